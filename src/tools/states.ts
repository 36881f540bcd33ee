/**
 * States of a model to verify it in: what the parameters and inputs are set to, and the batch that is run. A state is
 * written as what differs from a base (how training starts, or where it has come to), so that it is small, can be said
 * in words, and shrinks. fast-check drives the shrinking of a state that breaks something; what a simpler state is, is
 * said here: fewer tensors, fewer of their entries, rounder and smaller numbers, the first batch. What is left is what
 * matters. A drawn number depends on a seed and its place only, so that a half of a tensor holds what the whole held
 * there.
 */
import { sizeOf } from "../graph/record.js";
import { Arbitrary, limitShrink, stream, Value, type Random, type Stream } from "fast-check";

/** A tensor that can be set. */
export interface Slot {
  readonly name: string;
  readonly shape: readonly number[];
  /** `point`: a parameter that is a point of a manifold itself, of which no part can be what it was elsewhere. */
  readonly kind: "parameter" | "point" | "input";
}

export type Fill =
  /** One number everywhere. */
  | { readonly kind: "all"; readonly value: number }
  /** Independent numbers, even within +-scale. */
  | { readonly kind: "spread"; readonly scale: number; readonly seed: number }
  /** scale or -scale, at random: the corners. */
  | { readonly kind: "signs"; readonly scale: number; readonly seed: number }
  /** Rows (the last axis) that are all equal, even within +-scale. */
  | { readonly kind: "rows"; readonly scale: number; readonly seed: number }
  /** The base, moved by even numbers within +-scale times its root mean square. */
  | { readonly kind: "nudge"; readonly scale: number; readonly seed: number }
  /** What a run has trained. */
  | { readonly kind: "trained"; readonly values: Float32Array }
  /** These entries, by place. */
  | { readonly kind: "these"; readonly entries: readonly (readonly [number, number])[] };

/** A tensor that differs from the base, in its entries `from` to before `to`. */
export interface Change {
  readonly slot: Slot;
  readonly fill: Fill;
  readonly from: number;
  readonly to: number;
}

export type BatchChoice =
  /** The batch of a training step of the data. */
  | { readonly kind: "data"; readonly step: number }
  /** Tokens and labels at random; inputs of numbers within +-1. */
  | { readonly kind: "random"; readonly seed: number }
  /** One token everywhere. */
  | { readonly kind: "same"; readonly token: number };

export interface State {
  readonly batch: BatchChoice;
  readonly changes: readonly Change[];
}

export const whole = (slot: Slot, fill: Fill): Change => ({ slot, fill, from: 0, to: sizeOf(slot.shape) });

/**
 * An even number from 0 to below 1 for a seed and a place: two rounds of Wellons's mixer of 32 bits, a hundred times
 * cheaper than Threefry.
 */
export function even(seed: number, place: number): number {
  let x = (Math.imul(seed, 0x9e3779b9) ^ place) >>> 0;
  for (let round = 0; round < 2; round++) {
    x = Math.imul(x ^ (x >>> 16), 0x21f0aaad);
    x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
    x = (x ^ (x >>> 15)) >>> 0;
  }
  return x / 2 ** 32;
}

/** What a tensor holds in a state. */
export function valuesOf({ slot, fill, from, to }: Change, base: Float32Array): Float32Array {
  const values = Float32Array.from(base);
  if (fill.kind === "these") {
    for (const [at, value] of fill.entries) values[at] = value;
    return values;
  }
  const entry = entriesOf(fill, slot, base);
  for (let i = from; i < to; i++) values[i] = entry(i);
  return values;
}

function entriesOf(
  fill: Exclude<Fill, { readonly kind: "these" }>,
  { shape }: Slot,
  base: Float32Array,
): (i: number) => number {
  const last = shape[shape.length - 1] ?? 1;
  switch (fill.kind) {
    case "all":
      return () => fill.value;
    case "spread":
      return (i) => fill.scale * (2 * even(fill.seed, i) - 1);
    case "signs":
      return (i) => (even(fill.seed, i) < 0.5 ? -fill.scale : fill.scale);
    case "rows":
      return (i) => fill.scale * (2 * even(fill.seed, i % last) - 1);
    case "nudge": {
      const size = fill.scale * Math.sqrt(base.reduce((sum, value) => sum + value * value, 0) / base.length);
      return (i) => base[i]! + size * (2 * even(fill.seed, i) - 1);
    }
    case "trained":
      return (i) => fill.values[i]!;
    default:
      return fill satisfies never;
  }
}

/**
 * Sizes of numbers: nothing, what f32 holds without all its digits, what starts are of, what saturates, and what
 * overflows when it is squared.
 */
export const SIZES = [
  0, 1e-40, 1e-30, 1e-20, 1e-10, 1e-3, 0.02, 0.3, 1, 3, 10, 30, 79, 100, 1e3, 1e6, 1e12, 1e19, 1e38,
] as const;
/** Of many tensors at once: larger ones, multiplied with each other, leave f32 before they reach a set. */
const MODEST = SIZES.filter((size) => size <= 10);
/** Of what is added to a coordinate: from where maps begin to saturate to where they have. */
const LOUD = [1, 3, 10, 30, 79, 100, 1e3] as const;
/** Nudges, as a share of a tensor's root mean square. */
const NUDGES = [1e-3, 1e-2, 0.1, 0.3, 1] as const;
/** Tensors of at most so many numbers are often what is added to a coordinate. */
const SMALL = 64;
/** What they are set to, to see whether they are, and how far coordinates are then. */
const PROBE = 40;
const MOVED = 10;
/** Of a step of the data. */
const STEPS = 10_000;
const SEEDS = 2 ** 30;

export interface Drawing {
  readonly slots: readonly Slot[];
  /** Tensors that free coordinates follow, which are drawn as often as all others. */
  readonly drivers: readonly (readonly Slot[])[];
  /** `far`: numbers of every size in place of the base's. `near`: the base, nudged. */
  readonly about: "far" | "near";
  readonly data: boolean;
  /** Tokens or labels; 0 when there are none. */
  readonly vocabulary: number;
}

/**
 * States at random; one that fails gives at most `shrinks` simpler ones. `baseOf` is what a tensor holds where nothing
 * is changed.
 */
export const states = (drawing: Drawing, baseOf: (name: string) => Float32Array, shrinks: number): Arbitrary<State> =>
  limitShrink(new States(drawing, baseOf), shrinks);

/** Tensors that differ in their layer only. */
export function groupsOf(slots: readonly Slot[]): readonly (readonly Slot[])[] {
  const groups = new Map<string, Slot[]>();
  for (const slot of slots) {
    const stem = slot.name.replace(/\.\d+(?=\.)/g, ".*");
    groups.set(stem, [...(groups.get(stem) ?? []), slot]);
  }
  return [...groups.values()];
}

/**
 * States in which small tensors, one group each, are set far from 0; and whether the coordinates followed, by the
 * largest of them.
 */
export const probes = (
  slots: readonly Slot[],
  batch: BatchChoice,
): { readonly group: readonly Slot[]; readonly state: State; readonly followed: (coordinate: number) => boolean }[] =>
  groupsOf(slots.filter(({ kind }) => kind !== "input"))
    .filter(([slot]) => sizeOf(slot!.shape) <= SMALL)
    .map((group) => ({
      group,
      followed: (coordinate) => coordinate > MOVED,
      state: { batch, changes: group.map((slot, i) => whole(slot, { kind: "signs", scale: PROBE, seed: i + 1 })) },
    }));

class States extends Arbitrary<State> {
  private readonly groups: readonly (readonly Slot[])[];

  constructor(
    private readonly drawing: Drawing,
    private readonly baseOf: (name: string) => Float32Array,
  ) {
    super();
    this.groups = groupsOf(drawing.slots);
  }

  generate(random: Random): Value<State> {
    const pick = <T>(list: readonly T[]): T => list[random.nextInt(0, list.length - 1)]!;
    const { about, data, vocabulary, drivers } = this.drawing;
    const changes: Change[] = [];
    const change = (group: readonly Slot[], sizes: readonly number[]): void => {
      const scale = pick(about === "near" ? NUDGES : sizes);
      const kind = about === "near" ? "nudge" : pick(["all", "spread", "signs", "rows"] as const);
      // Layers differ, unless all of a tensor is one number.
      for (const slot of group)
        changes.push(
          whole(
            slot,
            kind === "all"
              ? { kind, value: random.nextInt(0, 1) ? scale : -scale }
              : { kind, scale, seed: random.nextInt(1, SEEDS) },
          ),
        );
    };
    const way = random.nextInt(0, 9);
    if (this.groups.length > 0) {
      if (way < 3 && drivers.length) change(pick(drivers), LOUD);
      else if (way < 6) change(pick(this.groups), SIZES);
      else if (way < 8) {
        for (const group of new Set([pick(this.groups), pick(this.groups)])) change(group, SIZES);
        if (drivers.length)
          for (const group of drivers)
            if (random.nextInt(0, 1) && !changes.some(({ slot }) => group.includes(slot))) change(group, LOUD);
      } else for (const group of this.groups) if (way === 9 || random.nextInt(0, 1)) change(group, MODEST);
    }
    const one = random.nextInt(0, 7);
    const batch: BatchChoice =
      data && one < 4
        ? { kind: "data", step: random.nextInt(0, STEPS) }
        : one === 7 && vocabulary
          ? { kind: "same", token: random.nextInt(0, vocabulary - 1) }
          : { kind: "random", seed: random.nextInt(1, SEEDS) };
    return new Value({ batch, changes }, undefined);
  }

  canShrinkWithoutContext(value: unknown): value is State {
    return typeof value === "object" && value !== null && "changes" in value;
  }

  shrink(state: State): Stream<Value<State>> {
    const { baseOf, drawing } = this;
    return stream(
      (function* () {
        for (const simpler of simplerStates(state, drawing, baseOf)) yield new Value(simpler, undefined);
      })(),
    );
  }
}

/** Simpler states, the boldest first. Each is smaller in an order that ends, so that shrinking does. */
function* simplerStates(
  { batch, changes }: State,
  { data }: Drawing,
  baseOf: (name: string) => Float32Array,
): Generator<State> {
  for (let size = Math.ceil(changes.length / 2); changes.length > 0; size = Math.ceil(size / 2)) {
    for (let from = 0; from < changes.length; from += size)
      yield { batch, changes: changes.filter((_, i) => i < from || i >= from + size) };
    if (size === 1) break;
  }
  const first: BatchChoice = data ? { kind: "data", step: 0 } : { kind: "random", seed: 0 };
  if (JSON.stringify(batch) !== JSON.stringify(first)) yield { batch: first, changes };
  for (const [i, change] of changes.entries()) {
    for (const simpler of simplerChanges(change, baseOf(change.slot.name)))
      yield { batch, changes: changes.with(i, simpler) };
  }
}

/** Entries that are spelt out one by one. */
const SPELT = 16;

function* simplerChanges(change: Change, base: Float32Array): Generator<Change> {
  const { slot, fill, from, to } = change;
  if (fill.kind === "these") {
    const { entries } = fill;
    if (entries.length > 1)
      for (let i = 0; i < entries.length; i++)
        yield { ...change, fill: { kind: "these", entries: entries.toSpliced(i, 1) } };
    for (const [i, [at, value]] of entries.entries())
      for (const simpler of simplerNumbers(value))
        yield { ...change, fill: { kind: "these", entries: entries.with(i, [at, simpler]) } };
    return;
  }
  if (fill.kind === "spread" || fill.kind === "signs" || fill.kind === "rows")
    for (const value of [0, 1, fill.scale]) yield { ...change, fill: { kind: "all", value } };
  const length = to - from;
  if (fill.kind === "trained" && slot.kind === "point") return;
  if (length > 1) {
    const middle = from + Math.ceil(length / 2);
    const quarter = Math.floor(length / 4);
    const parts = [
      [from, middle],
      [middle, to],
      ...(quarter
        ? [
            [from + quarter, to],
            [from, to - quarter],
          ]
        : []),
      ...(length <= SPELT
        ? [
            [from + 1, to],
            [from, to - 1],
          ]
        : []),
    ] as const;
    for (const [begin, end] of parts) yield { ...change, from: begin!, to: end! };
  }
  // What was trained is told as it is.
  if (fill.kind === "trained") return;
  if (length <= SPELT && (fill.kind !== "all" || length < sizeOf(slot.shape))) {
    const values = valuesOf(change, base);
    yield {
      ...change,
      fill: { kind: "these", entries: Array.from({ length }, (_, i) => [from + i, values[from + i]!] as const) },
    };
    return;
  }
  switch (fill.kind) {
    case "all":
      for (const value of simplerNumbers(fill.value)) yield { ...change, fill: { kind: "all", value } };
      return;
    case "spread":
    case "signs":
    case "rows":
    case "nudge":
      for (const scale of simplerNumbers(fill.scale)) yield { ...change, fill: { ...fill, scale } };
      return;
    default:
      fill satisfies never;
  }
}

/** Rounder numbers nearer to 1, or 0. */
function* simplerNumbers(value: number): Generator<number> {
  if (value === 0) return;
  yield 0;
  if (value === 1) return;
  yield 1;
  if (value < 0) yield -value;
  const size = Math.abs(value);
  // Towards 1 by decades, then by halves, then a little.
  const nearer =
    size > 1
      ? [size / 1e6, size / 1e3, size / 10, size / 2, size * 0.9].filter((next) => next > 1)
      : [size * 1e6, size * 1e3, size * 10, size * 2, size * 1.1].filter((next) => next < 1);
  for (const next of [...nearer, size]) {
    const rounded = Number(next.toPrecision(2));
    // What rounds back to where it was, or away from 1, is no simpler.
    if (size > 1 ? rounded < size : rounded > size) yield Math.sign(value) * rounded;
    else if (next === size && rounded !== size && `${rounded}`.length < `${size}`.length)
      yield Math.sign(value) * rounded;
  }
}

/** Tensors that are named before the rest is counted. */
const NAMED = 4;

/** What a state is, a line each: the tensors that differ from the base, and the batch. */
export function wordsOf({ batch, changes }: State): string[] {
  const named = changes.length > NAMED + 1 ? changes.slice(0, NAMED) : changes;
  return [
    ...named.map((change) => `${change.slot.name}${changeWords(change)}`),
    ...(named.length < changes.length ? [`and ${changes.length - named.length} more tensors`] : []),
    batchWords(batch),
  ];
}

export function batchWords(batch: BatchChoice): string {
  switch (batch.kind) {
    case "data":
      return `batch ${batch.step} of the data`;
    case "random":
      return `a batch of random values (draw ${batch.seed})`;
    case "same":
      return `a batch of token ${batch.token} only`;
    default:
      return batch satisfies never;
  }
}

export function changeWords({ slot, fill, from, to }: Change): string {
  if (fill.kind === "these")
    return fill.entries.map(([at, value]) => `${place(at, slot.shape)} = ${short(value)}`).join(", ");
  const size = sizeOf(slot.shape);
  const part =
    to - from === size
      ? ""
      : to - from === 1
        ? place(from, slot.shape)
        : `${place(from, slot.shape)} to ${place(to - 1, slot.shape)}`;
  switch (fill.kind) {
    case "all":
      return `${part} = ${short(fill.value)}${to - from > 1 ? " everywhere" : ""}`;
    case "spread":
      return `${part} at random within ${short(fill.scale)} of 0 (draw ${fill.seed})`;
    case "signs":
      return `${part} = +-${short(fill.scale)} at random (draw ${fill.seed})`;
    case "rows":
      return `${part} with equal rows, within ${short(fill.scale)} of 0 (draw ${fill.seed})`;
    case "nudge":
      return `${part} moved by up to ${short(fill.scale)} of its size (draw ${fill.seed})`;
    case "trained":
      return to - from === 1 ? `${part} = ${short(fill.values[from]!)}, as trained` : `${part} as trained`;
    default:
      return fill satisfies never;
  }
}

export const short = (value: number): string => `${Number(value.toPrecision(4))}`;

/** [2, 0, 5] */
function place(at: number, shape: readonly number[]): string {
  const indices: number[] = [];
  for (const size of shape.toReversed()) {
    indices.unshift(at % size);
    at = Math.floor(at / size);
  }
  return shape.length ? `[${indices.join(", ")}]` : "";
}
