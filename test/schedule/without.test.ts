/**
 * With each optimization off in turn, ten steps give the losses of f64. Here on one page and one device; the other
 * pages and devices are in `without.slow.test.ts`.
 */
import { expect, it } from "vitest";
import { optimizationNames } from "../../src/compile/optimizations.js";
import { differenceWithout, SMALL } from "../helpers/without.js";

it.each(optimizationNames)("without %s", async (name) => {
  expect(await differenceWithout("recomputed", "wasm", [name])).toBeLessThan(SMALL.recomputed.tolerance);
});

it("without any", async () => {
  expect(await differenceWithout("recomputed", "wasm", optimizationNames)).toBeLessThan(SMALL.recomputed.tolerance);
});
