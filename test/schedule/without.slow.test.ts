/**
 * With each optimization off in turn, ten steps of six small pages give the losses of f64, on every device; on native,
 * where a compiler takes long, of one of them.
 *
 * @module-tag slow
 */
import { afterAll, describe, expect, it } from "vitest";
import { optimizationNames } from "../../src/compile/optimizations.js";
import { everyDevice } from "../helpers/devices.js";
import { closeKept, differenceWithout, SMALL, type SmallPage } from "../helpers/without.js";

describe.each(everyDevice)("on %s", (device) => {
  afterAll(closeKept);
  const pages = Object.keys(SMALL) as SmallPage[];
  describe.each(device === "native" ? pages.slice(0, 1) : pages)("%s", (page) => {
    it.each(optimizationNames)(
      "without %s",
      async (name) => {
        expect(await differenceWithout(page, device, [name])).toBeLessThan(SMALL[page].tolerance);
      },
      240_000,
    );
  });
});
