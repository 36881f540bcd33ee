/**
 * With each optimization off in turn, ten steps of small pages give the losses of f64, on every device: of all six on
 * WebAssembly, and of those that have most to optimize where compilers take long.
 *
 * @module-tag slow
 */
import { afterAll, describe, expect, it } from "vitest";
import { optimizationNames } from "../../src/compile/optimizations.js";
import { everyDevice } from "../helpers/devices.js";
import type { BuiltInDevice } from "../../runtime/index.js";
import { closeKept, differenceWithout, SMALL, type SmallPage } from "../helpers/without.js";

const PAGES: Readonly<Record<BuiltInDevice, readonly SmallPage[]>> = {
  wasm: Object.keys(SMALL) as SmallPage[],
  webgpu: ["mhc", "recomputed", "muon"],
  javascript: ["mhc", "muon"],
  native: ["residual"],
};

describe.each(everyDevice)("on %s", (device) => {
  afterAll(closeKept);
  describe.each(PAGES[device])("%s", (page) => {
    it.each(optimizationNames)(
      "without %s",
      async (name) => {
        expect(await differenceWithout(page, device, [name])).toBeLessThan(SMALL[page].tolerance);
      },
      240_000,
    );
  });
});
