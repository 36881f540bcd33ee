/**
 * A place in a pool: of its own, or a part of another. Parts let several tensors lie side by side in one range that is
 * planned as a whole, which is how a pack costs nothing (`packs.ts`).
 */
import type { PoolName } from "../../../runtime/plan.js";
import type { Place } from "../emit/kernelize.js";

export interface Located extends Place {
  readonly words: number;
  /** In the pool; -1 until it is planned. Says nothing for a part. */
  offset: number;
  readonly part: { readonly of: Located; readonly at: number } | null;
}

export const located = (pool: PoolName, words: number, offset = -1): Located => ({ pool, words, offset, part: null });

/** The words from `at` of another place. */
export const partOf = (whole: Located, at: number, words: number): Located => ({
  pool: whole.pool,
  words,
  offset: -1,
  part: { of: whole, at },
});

/** The range that is planned, whatever it is a part of. */
export const wholeOf = (place: Located): Located => (place.part ? wholeOf(place.part.of) : place);

/** Where a place begins in the range that it is a part of. */
export const inWhole = (place: Located): number => (place.part ? inWhole(place.part.of) + place.part.at : 0);

export const startOf = (place: Located): number => wholeOf(place).offset + inWhole(place);
