/**
 * Threefry-2x32 with 20 rounds, the counter-based generator of Salmon, Moraes, Dror and Shaw (Parallel Random Numbers: As Easy
 * as 1, 2, 3, SC 2011). Only 32-bit additions, rotations and exclusive ors, so every device draws the same bits; this is the
 * reference, used for initial values, batches, sampling and the evaluator. Kernels emit the same rounds.
 */

const ROTATIONS = [13, 15, 26, 6, 17, 29, 16, 24];
const PARITY = 0x1bd11bda;

export type Words = readonly [number, number];

/** Two random words for a key and a counter. */
export function threefry2x32(key: Words, counter: Words): [number, number] {
  const keys = [key[0] >>> 0, key[1] >>> 0, (key[0] ^ key[1] ^ PARITY) >>> 0];
  let a = (counter[0] + keys[0]!) >>> 0;
  let b = (counter[1] + keys[1]!) >>> 0;
  for (let round = 0; round < 20; round++) {
    const by = ROTATIONS[round % 8]!;
    a = (a + b) >>> 0;
    b = (((b << by) | (b >>> (32 - by))) ^ a) >>> 0;
    if (round % 4 === 3) {
      const injection = (round + 1) / 4;
      a = (a + keys[injection % 3]!) >>> 0;
      b = (b + keys[(injection + 1) % 3]! + injection) >>> 0;
    }
  }
  return [a, b];
}

/** A number in [0, 1) from two words: 53 bits. */
export const unit = ([a, b]: Words): number => ((a >>> 5) * 67108864 + (b >>> 6)) / 9007199254740992;

/** FNV-1a of a name, as a key word: which parameter or which use of a random op this is. */
export function siteHash(name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) {
    hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  }
  return hash >>> 0;
}
