/** How memory of two devices is compared: words, with what is rounding told from what is wrong. */
import type { Words } from "../../../runtime/device.js";
import { mustAt } from "../../../runtime/lookup.js";

/** The largest difference of some words, as a share of the largest number among those that were to be written. */
export interface Difference {
  readonly share: number;
  /** The word, and what the two devices have there. */
  readonly at: number;
  readonly found: number;
  readonly expected: number;
}

/** Nothing differs. */
export const SAME: Difference = { share: 0, at: 0, found: 0, expected: 0 };

/** A tensor of which all numbers are as small as that is taken to have one of this size. */
const LEAST = 1e-20;

const isSame = (a: number, b: number): boolean => a === b || (Number.isNaN(a) && Number.isNaN(b));

/** Whether numbers are finite, so that a difference is a number. */
const apart = (a: number, b: number, scale: number): number =>
  isSame(a, b) ? 0 : Number.isFinite(a) && Number.isFinite(b) ? Math.abs(a - b) / scale : Number.POSITIVE_INFINITY;

/** The larger of two differences. */
export const worse = (a: Difference, b: Difference): Difference => (b.share > a.share ? b : a);

/**
 * How much the words of a tensor differ. `least`: the largest of them is taken to be so large at least; 0 for words
 * that must be the same.
 */
export function differenceOf(found: Words, expected: Words, least = LEAST): Difference {
  if (found.length !== expected.length)
    return { share: Number.POSITIVE_INFINITY, at: 0, found: found.length, expected: expected.length };
  const scale = Math.max(least, largestOf(expected));
  const exact = least === 0 || expected instanceof Uint32Array;
  return worst(found, expected, 0, found.length, exact ? 0 : scale);
}

/** The largest finite number of some words, as it is without its sign. */
export function largestOf(words: Words): number {
  let most = 0;
  for (const value of words) most = largest(most, value);
  return most;
}

const largest = (most: number, value: number): number =>
  Number.isFinite(value) ? Math.max(most, Math.abs(value)) : most;

/** The largest difference of words `from` to before `to`, as a share of a scale. */
function worst(found: Words, expected: Words, from: number, to: number, scale: number): Difference {
  let difference = SAME;
  for (let at = from; at < to; at++) {
    const [a, b] = [mustAt(found, at), mustAt(expected, at)];
    const share = apart(a, b, scale);
    if (share > difference.share) difference = { share, at, found: a, expected: b };
  }
  return difference;
}

/** A pool before a kernel ran, and what it is after it. */
export interface PoolImages {
  readonly before: Words;
  readonly found: Words;
  readonly expected: Words;
  /** After the reference ran it with every result rounded to f32. */
  readonly rounded: Words;
}

/**
 * So many times what rounding alone makes of a buffer are rounding on a device too, as a multiple of the tolerance: a
 * sum that cancels is as far off as its terms are, and another device may sum otherwise.
 */
const ROUNDING = 16;

/**
 * How much a pool differs after a kernel that writes to buffers which begin at some words. Each buffer has a scale of
 * its own: the largest number that was written to it; where results cancel, so much that rounding is a share
 * `tolerance` of it.
 */
export function differenceAfter(images: PoolImages, starts: readonly number[], tolerance: number): Difference {
  const { before, found, expected, rounded } = images;
  const edges = [...new Set([0, ...starts, before.length])].sort((a, b) => a - b);
  let difference = SAME;
  for (const [i, from] of edges.entries()) {
    const to = edges[i + 1] ?? before.length;
    let scale = LEAST;
    for (let at = from; at < to; at++) {
      const [wanted, rough] = [mustAt(expected, at), mustAt(rounded, at)];
      if (!isSame(mustAt(before, at), wanted)) scale = largest(scale, wanted);
      scale = largest(scale, (ROUNDING / tolerance) * (rough - wanted));
    }
    difference = worse(difference, worst(found, expected, from, to, expected instanceof Uint32Array ? 0 : scale));
  }
  return difference;
}
