/**
 * What a state of a model is that is verified: what the parameters and inputs are set to, and the batch that is run. A
 * state is written as what differs from a base (how training starts, or where it has come to), so that it is small, and
 * can be said in words. A drawn number depends on a seed and its place only, so that a half of a tensor holds what the
 * whole held there.
 */
import { mustAt } from "../../runtime/lookup.js";
import { sizeOf } from "../graph/record.js";

/** A tensor that can be set. */
export interface Slot {
  readonly name: string;
  readonly shape: readonly number[];
  /** `point`: a parameter that is a point of a manifold itself, of which no part can be what it was elsewhere. */
  readonly kind: "parameter" | "point" | "input";
}

/** What entries of a tensor hold. */
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
export interface TensorChange {
  readonly slot: Slot;
  readonly fill: Fill;
  readonly from: number;
  readonly to: number;
}

/** Which batch is run. */
export type BatchChoice =
  /** The batch of a training step of the data. */
  | { readonly kind: "data"; readonly step: number }
  /** Tokens and labels at random; inputs of numbers within +-1. */
  | { readonly kind: "random"; readonly seed: number }
  /** One token everywhere. */
  | { readonly kind: "same"; readonly token: number };

/** A batch, and all tensors that differ from the base. */
export interface ModelState {
  readonly batch: BatchChoice;
  readonly changes: readonly TensorChange[];
}

/** A whole tensor that differs. */
export const whole = (slot: Slot, fill: Fill): TensorChange => ({ slot, fill, from: 0, to: sizeOf(slot.shape) });

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
export function valuesOf({ slot, fill, from, to }: TensorChange, base: Float32Array): Float32Array {
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

/** Tensors that are named before the rest is counted. */
const NAMED = 4;

/** What a state is, a line each: the tensors that differ from the base, and the batch. */
export function wordsOf({ batch, changes }: ModelState): string[] {
  const named = changes.length > NAMED + 1 ? changes.slice(0, NAMED) : changes;
  return [
    ...named.map((change) => `${change.slot.name}${changeWords(change)}`),
    ...(named.length < changes.length ? [`and ${changes.length - named.length} more tensors`] : []),
    batchWords(batch),
  ];
}

/** A batch in words. */
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

/** A tensor that differs in words, to be written behind its name. */
export function changeWords({ slot, fill, from, to }: TensorChange): string {
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
      return to - from === 1 ? `${part} = ${short(mustAt(fill.values, from))}, as trained` : `${part} as trained`;
    default:
      return fill satisfies never;
  }
}

/** Four figures. */
export const short = (value: number): string => `${Number(value.toPrecision(4))}`;

/** [2, 0, 5] */
function place(position: number, shape: readonly number[]): string {
  const indices: number[] = [];
  let rest = position;
  for (const size of shape.toReversed()) {
    indices.unshift(rest % size);
    rest = Math.floor(rest / size);
  }
  return shape.length ? `[${indices.join(", ")}]` : "";
}
