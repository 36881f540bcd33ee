/**
 * With each optimization off in turn, ten steps give the losses of f64. Here some of them, on one page and one
 * device; `without.slow.test.ts` has all, on all pages and devices.
 */
import { expect, it } from "vitest";
import { optimizationNames } from "../../src/compile/optimizations.js";
import { differenceWithout, SMALL } from "../helpers/without.js";

it.each(["recompute", "regions", "packs"] as const)("without %s", async (name) => {
  expect(await differenceWithout("recomputed", "wasm", [name])).toBeLessThan(SMALL.recomputed.tolerance);
});

it("without any", async () => {
  expect(await differenceWithout("recomputed", "wasm", optimizationNames)).toBeLessThan(SMALL.recomputed.tolerance);
});
