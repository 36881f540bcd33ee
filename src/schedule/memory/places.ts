/**
 * A place in a pool: of its own, or a part of another. Parts let several tensors lie side by side in one range that is
 * planned as a whole, which is how a pack costs nothing (`packs.ts`). Places are values that never change: the state's
 * know their offsets, and those of the other pools are a table that the last pass makes (`offsets.ts`). Two tensors
 * share memory when they have the same object.
 */
import { mustGet } from "../../../runtime/lookup.js";
import type { PoolName } from "../../../runtime/plan.js";
import type { Place } from "../emit/kernelize.js";

/** Some words of a pool. */
export interface Located extends Place {
  readonly words: number;
  /** In the pool, in words, where that is known beforehand: in the state. Null for what is planned, and for a part. */
  readonly offset: number | null;
  /** The place that this is a part of, and where in it, in words. */
  readonly part: { readonly of: Located; readonly at: number } | null;
}

/** Where the planned places of an entry begin, in words of their pools. */
export type Offsets = ReadonlyMap<Located, number>;

/** A place of its own, with its offset where that is known beforehand. */
export const located = (pool: PoolName, words: number, offset: number | null = null): Located => ({
  pool,
  words,
  offset,
  part: null,
});

/** The words from `at` of another place. */
export const partOf = (whole: Located, at: number, words: number): Located => ({
  pool: whole.pool,
  words,
  offset: null,
  part: { of: whole, at },
});

/** The range that is planned, whatever it is a part of. */
export const wholeOf = (place: Located): Located => (place.part ? wholeOf(place.part.of) : place);

/** Where a place begins in the range that it is a part of. */
export const inWhole = (place: Located): number => (place.part ? inWhole(place.part.of) + place.part.at : 0);

/** Where a place begins in its pool, in words. */
export function startOf(place: Located, offsets: Offsets): number {
  const whole = wholeOf(place);
  return (whole.offset ?? mustGet(offsets, whole)) + inWhole(place);
}

/** Where a place of the state begins, in words. Throws for a place whose offset is planned. */
export function knownStart(place: Located): number {
  if (place.offset === null) throw new Error(`bug: a place of ${place.words} words in ${place.pool} has no offset yet`);
  return place.offset;
}
