/**
 * Examples that lie in memory, one a row, as batches. Which of them are held out is drawn once by Threefry from the
 * name of the source, so that files that are sorted by class or by time are cut through; the draw is the same in every
 * run.
 */
import { drawBelow, type Batch, type Source } from "./data.js";
import { DataError } from "./errors.js";
import { mustAt } from "./lookup.js";
import { recordOf } from "./records.js";
import type { DataInfo } from "./sources.js";
import { siteHash } from "./threefry.js";

/** A tensor of all examples: `size` values an example, row-major. */
export interface RowsField {
  /** As the page writes it: `value`. */
  readonly name: string;
  readonly size: number;
  /** Bytes are made numbers: 255 is 1. */
  readonly values: Float32Array | Uint32Array | Uint8Array;
}

/**
 * Which of `count` examples are held out: 1 for one that is. Throws DataError where none is left to train on, or none
 * is held out.
 */
export function heldOut(
  { name, holdout }: Pick<DataInfo, "name" | "holdout">,
  count: number,
  what = "examples",
): Uint8Array {
  const wanted = Math.max(1, Math.floor(count * holdout));
  if (count < 2)
    throw new DataError(`\`${name}\` has ${count} ${what}, and two are needed: one is held out`, "use more data");
  const site = siteHash(`data:${name}:held`);
  const order = Array.from({ length: count }, (_, i) => ({ i, at: drawBelow(4294967296, 0, 0, i, site) }));
  order.sort((a, b) => a.at - b.at || a.i - b.i);
  const held = new Uint8Array(count);
  for (const { i } of order.slice(0, Math.min(wanted, count - 1))) held[i] = 1;
  return held;
}

/** Batches of examples: fields `NAME.FIELD`, each [batch, size]. Throws DataError as `heldOut` does. */
export function rowsSource(
  info: Pick<DataInfo, "name" | "holdout">,
  count: number,
  fields: readonly RowsField[],
  what = "examples",
): Source {
  const { name } = info;
  const held = heldOut(info, count, what);
  const site = siteHash(`data:${name}`);
  const training = Uint32Array.from(held.keys()).filter((row) => held[row] === 0);
  const evaluated = Uint32Array.from(held.keys()).filter((row) => held[row] === 1);
  const make = (rows: readonly number[]): Batch =>
    recordOf(fields.map((field) => [`${name}.${field.name}`, gathered(field, rows)] as const));
  return {
    holdoutExamples: evaluated.length,
    batch: (size, seed, step) =>
      make(Array.from({ length: size }, (_, i) => mustAt(training, drawBelow(training.length, seed, step, i, site)))),
    *holdout(size) {
      for (let first = 0; first < evaluated.length; first += size) {
        const rows = evaluated.subarray(first, first + size);
        // Places past the end repeat the first example; their losses are not counted.
        const batch = make(Array.from({ length: size }, (_, i) => rows[i] ?? mustAt(evaluated, 0)));
        yield { batch, count: rows.length };
      }
    },
  };
}

/** The values of some examples. */
function gathered({ size, values }: RowsField, rows: readonly number[]): Float32Array | Uint32Array {
  const length = rows.length * size;
  const chosen = values instanceof Uint32Array ? new Uint32Array(length) : new Float32Array(length);
  for (const [i, row] of rows.entries()) chosen.set(values.subarray(row * size, (row + 1) * size), i * size);
  if (values instanceof Uint8Array) for (let i = 0; i < length; i++) chosen[i] = mustAt(chosen, i) / 255;
  return chosen;
}
