/**
 * Choices that a list of numbers makes: each takes the next number, and 0 where there is none left. So any list is a
 * page, and a list with fewer and smaller numbers is a simpler one, which is how a page that fails is made small.
 */
import fc from "fast-check";

/** Makes choices, one after the other. */
export interface Chooser {
  /** A whole number from 0 up to `count`, which is left out. */
  readonly below: (count: number) => number;
  /** One of some things; the first is the simplest. Throws where there are none. */
  readonly one: <T>(things: readonly T[]) => T;
  /** Whether something that is so in `share` of 10 cases is so. */
  readonly often: (share: number) => boolean;
}

/** The choices of a list of numbers. */
export function chooserOf(numbers: readonly number[]): Chooser {
  let at = 0;
  const below = (count: number): number => (numbers[at++] ?? 0) % count;
  const one = <T>(things: readonly T[]): T => {
    const [first, ...rest] = things;
    if (first === undefined) throw new Error("there is nothing to choose from");
    return rest[below(things.length) - 1] ?? first;
  };
  return { below, one, often: (share) => below(10) >= 10 - share };
}

/** Lists of numbers for pages of every length. */
export const numbers: fc.Arbitrary<number[]> = fc
  .nat(240)
  .chain((length) => fc.array(fc.nat(2519), { minLength: length, maxLength: length }));
