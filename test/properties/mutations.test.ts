/**
 * Whatever is done to a page, the compiler says what is wrong with it: it does not throw, takes no second, and every
 * place that it names is a place of the text.
 */
import fc from "fast-check";
import { expect, it } from "vitest";
import { asked } from "./asked.js";
import { faultWith, mutated, mutation, originals } from "./mutations.js";

it("there are pages to make mistakes in", () => {
  expect(originals.length).toBeGreaterThan(300);
  expect(originals.map(faultWith)).toEqual(originals.map(() => null));
});

const hold = (count: number, seed: number): void =>
  fc.assert(
    fc.property(mutation, (made) => {
      const text = mutated(made);
      const fault = faultWith(text);
      if (fault) throw new Error(`${fault}:\n${text}`);
    }),
    { numRuns: count, seed },
  );

const RIGHT = "no mistake makes the compiler throw, hang or point outside of the text";
it(RIGHT, () => hold(200, 19));
it(`${RIGHT}: many`, { tags: "slow", timeout: 3_600_000 }, () => hold(asked("mutations", 2000), asked("seed", 20)));
