/**
 * States of a model to verify it in, drawn at random. fast-check drives the shrinking of a state that breaks something;
 * what a simpler state is, is said here: fewer tensors, fewer of their entries, rounder and smaller numbers, the first
 * batch. What remains is what matters.
 */
import { Arbitrary, limitShrink, stream, Value, type Random, type Stream } from "fast-check";
import { mustAt } from "../../runtime/lookup.js";
import { sizeOf } from "../graph/record.js";
import {
  valuesOf,
  whole,
  type BatchChoice,
  type Fill,
  type ModelState,
  type Slot,
  type TensorChange,
} from "./fills.js";

/**
 * Sizes of numbers: nothing, what f32 holds without all its digits, what starts are of, what saturates, and what
 * overflows when it is squared.
 */
export const SIZES = [
  0, 1e-40, 1e-30, 1e-20, 1e-10, 1e-3, 0.02, 0.3, 1, 3, 10, 30, 79, 100, 1e3, 1e6, 1e12, 1e19, 1e38,
] as const;
/** Of many tensors at once: larger ones, multiplied with each other, leave f32 before they reach a set. */
const MODEST = SIZES.filter((size) => size <= 10);
/** Sizes of tensors that are added to coordinates: from where maps begin to saturate to where they have. */
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

/** What states are drawn of. */
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
export const states = (
  drawing: Drawing,
  baseOf: (name: string) => Float32Array,
  shrinks: number,
): Arbitrary<ModelState> => limitShrink(new States(drawing, baseOf), shrinks);

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
): {
  readonly group: readonly Slot[];
  readonly state: ModelState;
  readonly followed: (coordinate: number) => boolean;
}[] =>
  groupsOf(slots.filter(({ kind }) => kind !== "input"))
    .filter(([slot]) => slot && sizeOf(slot.shape) <= SMALL)
    .map((group) => ({
      group,
      followed: (coordinate) => coordinate > MOVED,
      state: { batch, changes: group.map((slot, i) => whole(slot, { kind: "signs", scale: PROBE, seed: i + 1 })) },
    }));

class States extends Arbitrary<ModelState> {
  private readonly groups: readonly (readonly Slot[])[];

  constructor(
    private readonly drawing: Drawing,
    private readonly baseOf: (name: string) => Float32Array,
  ) {
    super();
    this.groups = groupsOf(drawing.slots);
  }

  generate(random: Random): Value<ModelState> {
    const pick = <T>(list: readonly T[]): T => mustAt(list, random.nextInt(0, list.length - 1));
    const { about, data, vocabulary, drivers } = this.drawing;
    const changes: TensorChange[] = [];
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
    const kind = random.nextInt(0, 7);
    const batch: BatchChoice =
      data && kind < 4
        ? { kind: "data", step: random.nextInt(0, STEPS) }
        : kind === 7 && vocabulary
          ? { kind: "same", token: random.nextInt(0, vocabulary - 1) }
          : { kind: "random", seed: random.nextInt(1, SEEDS) };
    return new Value({ batch, changes }, undefined);
  }

  canShrinkWithoutContext(value: unknown): value is ModelState {
    return typeof value === "object" && value !== null && "changes" in value;
  }

  shrink(state: ModelState): Stream<Value<ModelState>> {
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
  { batch, changes }: ModelState,
  { data }: Drawing,
  baseOf: (name: string) => Float32Array,
): Generator<ModelState> {
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

/** The changes of one tensor that are simpler. */
function* simplerChanges(change: TensorChange, base: Float32Array): Generator<TensorChange> {
  const { slot, fill, from, to } = change;
  if (fill.kind === "these") return yield* simplerEntries(change, fill.entries);
  if (fill.kind === "spread" || fill.kind === "signs" || fill.kind === "rows")
    for (const value of [0, 1, fill.scale]) yield { ...change, fill: { kind: "all", value } };
  const length = to - from;
  if (fill.kind === "trained" && slot.kind === "point") return;
  if (length > 1) for (const [begin, end] of partsOf(from, to)) yield { ...change, from: begin, to: end };
  // What was trained is told as it is.
  if (fill.kind === "trained") return;
  if (length <= SPELT && (fill.kind !== "all" || length < sizeOf(slot.shape))) {
    const values = valuesOf(change, base);
    const entries = Array.from({ length }, (_, i) => [from + i, mustAt(values, from + i)] as const);
    yield { ...change, fill: { kind: "these", entries } };
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

/** Of entries that are spelt out: one fewer, or one of them simpler. */
function* simplerEntries(
  change: TensorChange,
  entries: Extract<Fill, { readonly kind: "these" }>["entries"],
): Generator<TensorChange> {
  if (entries.length > 1)
    for (let i = 0; i < entries.length; i++)
      yield { ...change, fill: { kind: "these", entries: entries.toSpliced(i, 1) } };
  for (const [i, [at, value]] of entries.entries())
    for (const simpler of simplerNumbers(value))
      yield { ...change, fill: { kind: "these", entries: entries.with(i, [at, simpler]) } };
}

/** Parts of a range: its halves, three quarters from each end, and of a short one all but an end. */
function partsOf(from: number, to: number): readonly (readonly [from: number, to: number])[] {
  const middle = from + Math.ceil((to - from) / 2);
  const quarter = Math.floor((to - from) / 4);
  const parts: (readonly [number, number])[] = [
    [from, middle],
    [middle, to],
  ];
  if (quarter) parts.push([from + quarter, to], [from, to - quarter]);
  if (to - from <= SPELT) parts.push([from + 1, to], [from, to - 1]);
  return parts;
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
