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
 * Draws the words for a key and a counter into `words`. Signed words throughout, since an engine keeps unsigned ones as
 * floats, and rounds that are written out, since it does not unroll them: each takes half the time away.
 */
// oxfmt-ignore
export function drawWords(words: Uint32Array, k0: number, k1: number, c0: number, c1: number): void {
  const k2 = k0 ^ k1 ^ PARITY;
  let a = (c0 + k0) | 0;
  let b = (c1 + k1) | 0;
  a = (a + b) | 0; b = rotate(b, 13) ^ a; a = (a + b) | 0; b = rotate(b, 15) ^ a;
  a = (a + b) | 0; b = rotate(b, 26) ^ a; a = (a + b) | 0; b = rotate(b, 6) ^ a;
  a = (a + k1) | 0; b = (b + k2 + 1) | 0;
  a = (a + b) | 0; b = rotate(b, 17) ^ a; a = (a + b) | 0; b = rotate(b, 29) ^ a;
  a = (a + b) | 0; b = rotate(b, 16) ^ a; a = (a + b) | 0; b = rotate(b, 24) ^ a;
  a = (a + k2) | 0; b = (b + k0 + 2) | 0;
  a = (a + b) | 0; b = rotate(b, 13) ^ a; a = (a + b) | 0; b = rotate(b, 15) ^ a;
  a = (a + b) | 0; b = rotate(b, 26) ^ a; a = (a + b) | 0; b = rotate(b, 6) ^ a;
  a = (a + k0) | 0; b = (b + k1 + 3) | 0;
  a = (a + b) | 0; b = rotate(b, 17) ^ a; a = (a + b) | 0; b = rotate(b, 29) ^ a;
  a = (a + b) | 0; b = rotate(b, 16) ^ a; a = (a + b) | 0; b = rotate(b, 24) ^ a;
  a = (a + k1) | 0; b = (b + k2 + 4) | 0;
  a = (a + b) | 0; b = rotate(b, 13) ^ a; a = (a + b) | 0; b = rotate(b, 15) ^ a;
  a = (a + b) | 0; b = rotate(b, 26) ^ a; a = (a + b) | 0; b = rotate(b, 6) ^ a;
  words[0] = a + k2;
  words[1] = b + k0 + 5;
}

const drawn = new Uint32Array(2);

/** Two random words for a key and a counter. */
export function threefry2x32(key: WordPair, counter: WordPair): [number, number] {
  drawWords(drawn, key[0] | 0, key[1] | 0, counter[0] | 0, counter[1] | 0);
  return [drawn[0] as number, drawn[1] as number];
}

/** A number in [0, 1) from two words: 53 bits. */
export const unit = (a: number, b: number): number => ((a >>> 5) * 67108864 + (b >>> 6)) / 9007199254740992;

/** FNV-1a of a name, as a key word: which parameter or which use of a random op this is. */
export function siteHash(name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) {
    hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  }
  return hash >>> 0;
}
