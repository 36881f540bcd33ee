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

it("pages have all that the language says", () => {
  const texts = fc.sample(numbers, { numRuns: 500, seed: 1 }).map((list) => pageOf(list, { smooth: false }).text);
  const said = [
    / where .* else /,
    / else /,
    /\[.* - 1/,
    /\[.*2 \* /,
    /sum\[k\]/,
    /softmax/,
    /cumsum/,
    /prod/,
    /rms/,
    /\bmax\(/,
    /\bh\d+\[t - 1/,
    /\bh\d+\[t \+ 1/,
    /\bc\d+\[t - 2/,
    /repeat \w+ as/,
    /shared/,
    /\bif\b.*%/,
    /else if/,
    /through/,
    /via residual/,
    /via mine/,
    /stream/,
    /p = 0.75/,
    /p: number/,
    /z = /,
    /loss part/,
    /metric/,
    /loss fit/,
    /dropout/,
    /noise/,
    /stop/,
    /one_hot/,
    /points\.label/,
    /temperature/,
    /size\(/,
    /index\(/,
    /adamw/,
  ];
  expect(said.filter((words) => !texts.some((text) => words.test(text))).map(String)).toEqual([]);
});

it("a derivative that is not that of differences is found", () => {
  const text = "model Wrong {\n  dim t = 2\n  input s[t]\n  output out[t] = s[t] * stop(s[t])\n}\n";
  expect(wrongDerivative({ text, trains: false })).toContain("cotangent:s");
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
