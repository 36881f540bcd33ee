/**
 * Every example page, twenty steps on native and on WebAssembly: the losses are equal to 1e-4. Batches are made up, the
 * same on both.
 * @module-tag slow
 */
import { readdirSync } from "node:fs";
import { describe, expect, it, vi } from "vitest";
import type { DeviceName } from "../../runtime/device.js";
import type { Batch, Source } from "../../runtime/data.js";
import { load } from "../../runtime/index.js";
import type { Plan } from "../../runtime/plan.js";
import { described } from "../../runtime/sources.js";
import { threefry2x32, unit } from "../../runtime/threefry.js";
import { check, type Facts } from "../../src/compile/compile.js";
import { hasCompiler } from "../helpers/devices.js";
import { compilePlan, readSpec } from "../helpers/specs.js";

// As users compile: other tests do it without optimization (test/vitest.config.ts).
vi.hoisted(() => {
  if (process.env["CC"] === "cc -O0") process.env["CC"] = "cc";
});

const STEPS = 20;
const facts: Facts = {
  corpus: { vocabulary: [..."abcdefghijklmnopqrstuvwxyz .,!"].sort() },
  images: { features: 784, classes: 10 },
  mammals: { names: Array.from({ length: 60 }, (_, i) => `noun.${String(i).padStart(2, "0")}`) },
  task: { vocabulary: [..."abcdefghijklmnopqrstuvwxyz"] },
  houses: {
    columns: ["area", "rooms", "year", "town"].map((name) => ({ kind: "number", name, mean: 5, deviation: 2 })),
    target: { name: "price", mean: 400, deviation: 100 },
    label: { name: "soon", classes: ["no", "yes"] },
  },
};
const pages = readdirSync(new URL("../../specs", import.meta.url))
  .filter((file) => file.endsWith(".mhc"))
  .map((file) => file.slice(0, -".mhc".length))
  // Its kernels are those of hc and mhc at another width, and compilers take a minute for them.
  .filter((name) => name !== "deep-narrow")
  .filter((name) => check(readSpec(name), { file: name, facts }).model?.train);

/** Numbers that depend on the step and their place: indices below the smallest table, or values from 0 to 1. */
function madeUp(plan: Plan, device: DeviceName): Source {
  const { inputs } = plan.devices[device]!.entries["train"]!;
  const indices = Math.min(
    ...plan.data.flatMap((info) => described(info).fields.map(({ range }) => range?.size ?? Number.POSITIVE_INFINITY)),
  );
  const batch = (_size: number, seed: number, step: number): Batch =>
    Object.fromEntries(
      Object.entries(inputs)
        .filter(([name]) => name !== "step" && name !== "seed")
        .map(([name, { shape, dtype }], at) => {
          const size = shape.reduce((product, n) => product * n, 1);
          const value = (i: number): number => unit(...threefry2x32([seed, step], [at, i]));
          return [
            name,
            dtype === "u32"
              ? Uint32Array.from({ length: size }, (_, i) => Math.floor(value(i) * indices))
              : Float32Array.from({ length: size }, (_, i) => value(i)),
          ];
        }),
    );
  return { batch, holdout: () => [], holdoutExamples: 0 };
}

async function lossesOf(name: string, device: DeviceName): Promise<number[]> {
  const plan = await compilePlan(readSpec(name), [device], { facts });
  const model = await load(plan, { device, threads: 2, seed: 4 });
  const losses: number[] = [];
  for await (const { loss } of model.train(madeUp(plan, device), { steps: STEPS })) losses.push(loss);
  await model.close();
  return losses;
}

describe.skipIf(!hasCompiler).each(pages)("%s", (name) => {
  it("has the losses of wasm on native", { timeout: 600_000 }, async () => {
    const expected = await lossesOf(name, "wasm");
    const found = await lossesOf(name, "native");
    expect(found).toHaveLength(STEPS);
    const apart = found.map((loss, i) => Math.abs(loss - expected[i]!) / Math.abs(expected[i]!));
    expect(Math.max(...apart)).toBeLessThan(1e-4);
  });
});
