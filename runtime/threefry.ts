/**
 * Threefry-2x32 with 20 rounds, the counter-based generator of Salmon, Moraes, Dror and Shaw (Parallel Random Numbers:
 * As Easy as 1, 2, 3, SC 2011). Only 32-bit additions, rotations and exclusive ors, so every device draws the same
 * bits; this is the reference, used for initial values, batches, sampling and the evaluator. Kernels emit the same
 * rounds.
 */

const PARITY = 0x1bd11bda;

/** Two words of 32 bits: a key, a counter, or what is drawn. */
export type WordPair = readonly [number, number];

const rotate = (word: number, by: number): number => (word << by) | (word >>> (32 - by));

/**
 * Two random words for a key and a counter. Signed words throughout, since an engine keeps unsigned ones as floats:
 * that takes twice as long.
 */
export function threefry2x32(key: WordPair, counter: WordPair): [number, number] {
  let now = key[0] | 0;
  let next = key[1] | 0;
  let last = now ^ next ^ PARITY;
  let a = (counter[0] + now) | 0;
  let b = (counter[1] + next) | 0;
  for (let four = 1; four <= 5; four++) {
    const odd = (four & 1) === 1;
    a = (a + b) | 0;
    b = rotate(b, odd ? 13 : 17) ^ a;
    a = (a + b) | 0;
    b = rotate(b, odd ? 15 : 29) ^ a;
    a = (a + b) | 0;
    b = rotate(b, odd ? 26 : 16) ^ a;
    a = (a + b) | 0;
    b = rotate(b, odd ? 6 : 24) ^ a;
    // The next two of the three words of the key, in turn.
    const first = now;
    now = next;
    next = last;
    last = first;
    a = (a + now) | 0;
    b = (b + next + four) | 0;
  }
  return [a >>> 0, b >>> 0];
}

/** A number in [0, 1) from two words: 53 bits. */
export const unit = ([a, b]: WordPair): number => ((a >>> 5) * 67108864 + (b >>> 6)) / 9007199254740992;

/** FNV-1a of a name, as a key word: which parameter or which use of a random op this is. */
export function siteHash(name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) {
    hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  }
  return hash >>> 0;
}
