/**
 * Random pages of the whole language: they check and compile, their derivatives are those of differences, and every
 * device computes what f64 does, with each optimization turned off too.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { BuiltInDevice } from "../../runtime/device.js";
import { optimizationNames } from "../../src/compile/optimizations.js";
import { everyDevice } from "../helpers/devices.js";
import { asked } from "./asked.js";
import { numbers } from "./chooser.js";
import { pageOf } from "./pages.js";
import { wrongDerivative, wrongOn } from "./programs.js";

const LONG = 3_600_000;
const seed = asked("seed", 7);
/** A page that fails is made small only where that is asked for: it takes minutes. */
const runs = (count: number): { numRuns: number; seed: number; endOnFailure: boolean } => ({
  numRuns: asked("programs", count),
  seed,
  endOnFailure: asked("shrink", 0) === 0,
});

it("derivatives are those of differences", { timeout: LONG }, () => {
  fc.assert(
    fc.property(numbers, (list) => {
      const wrong = wrongDerivative(pageOf(list, { smooth: true }));
      if (wrong !== null) throw new Error(wrong);
    }),
    runs(60),
  );
});

const areRight = async (device: BuiltInDevice, count: number): Promise<void> => {
  await fc.assert(
    fc.asyncProperty(numbers, async (list) => {
      const wrong = await wrongOn(pageOf(list, { smooth: false }), { device });
      if (wrong !== null) throw new Error(wrong);
    }),
    runs(count),
  );
};

describe("a device computes what f64 does", () => {
  it.each(["javascript", "wasm"] as const)("%s", { timeout: LONG }, (device) => areRight(device, 12));
  const slow = everyDevice.filter((device) => device === "native" || device === "webgpu");
  it.each(slow)("%s", { tags: "slow", timeout: LONG }, (device) => areRight(device, 12));
});

it("with each optimization off in turn, too", { timeout: LONG }, async () => {
  await fc.assert(
    fc.asyncProperty(numbers, fc.nat(optimizationNames.length), async (list, which) => {
      const one = optimizationNames[which];
      const without = one ? [one] : optimizationNames;
      const wrong = await wrongOn(pageOf(list, { smooth: false }), { device: "wasm", without });
      expect(wrong, `without ${without.join(", ")}`).toBeNull();
    }),
    runs(14),
  );
});
