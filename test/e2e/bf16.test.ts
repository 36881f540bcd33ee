/** A page whose products are of bf16: it trains as with f32, to losses that are near and not the same. */
import { describe, expect, it } from "vitest";
import { textSource } from "../../runtime/data.js";
import { load } from "../../runtime/index.js";
import { compile } from "../../src/compile/compile.js";
import { hasBf16 } from "../../src/kernel/profile.js";
import { ADAMW, facts, smallPage, text } from "../helpers/small.js";
import { hasCompiler } from "../helpers/devices.js";
import { distance, planOf } from "../helpers/specs.js";

const STEPS = 10;

/** Wide enough for its products to be of bf16: 65 rows by 48 and 96 columns. */
const page = (connection: "residual" | "mhc(Mixing)", precision: string): string =>
  smallPage(connection, { optimizer: ADAMW, training: `precision = ${precision}` })
    .replace("width = 24", "width = 48")
    .replace("layers = 2", "layers = 1");

async function lossesOf(connection: Parameters<typeof page>[0], precision: string, threads: number): Promise<number[]> {
  const plan = await planOf(page(connection, precision), ["native"], { facts });
  expect(hasBf16(plan.devices["native"]!.kernels)).toBe(precision === "bf16");
  const model = await load(plan, { device: "native", threads });
  const losses: number[] = [];
  const source = textSource(plan.data[0] as Parameters<typeof textSource>[0], text);
  for await (const { loss } of model.train(source, { steps: STEPS })) losses.push(loss);
  await model.close();
  return losses;
}

it("a page whose products are all narrow is told that it changes nothing", async () => {
  const narrow = smallPage("residual", { optimizer: ADAMW, training: "precision = bf16" });
  const { plan, diagnostics } = await compile(narrow, { file: "small.mhc", devices: ["native"], facts });
  expect(plan).not.toBeNull();
  expect(diagnostics.map(({ code }) => code)).toContain("MHC602");
});

/** With so many lanes that the coefficients of a mix are as many as a product of bf16 has. */
const eightLanes = (precision: string): string => page("mhc(Mixing)", precision).replace("lanes = 4", "lanes = 8");

describe("a stream of eight lanes", () => {
  const products = async (precision: string): Promise<readonly string[]> => {
    const { kernels } = (await planOf(eightLanes(precision), ["native"], { facts })).devices["native"]!;
    return kernels.flatMap(({ tuned }) => (tuned?.startsWith("bf16/") ? [tuned] : []));
  };

  it("has products of bf16 in its blocks alone: 8 x 48 features by 64 coefficients stay in f32", async () => {
    const rounded = await products("bf16");
    expect(rounded.length).toBeGreaterThan(0);
    expect(rounded.filter((name) => name.includes("384") || name.includes("x64x"))).toEqual([]);
    expect(await products("f32")).toEqual([]);
  });

  it.skipIf(!hasCompiler)("has mixes whose sums are 1 to 1e-5, at every step", async () => {
    const plan = await planOf(eightLanes("bf16"), ["native"], { facts, monitors: "all" });
    const model = await load(plan, { device: "native", threads: 2 });
    const source = textSource(plan.data[0] as Parameters<typeof textSource>[0], text);
    const off: number[] = [];
    for await (const { constraints } of model.train(source, { steps: STEPS, monitor: 0 }))
      off.push(constraints["Mixing"]!);
    await model.close();
    expect(off).toHaveLength(STEPS);
    expect(Math.max(...off)).toBeLessThan(1e-5);
  });
});

describe.skipIf(!hasCompiler)("on the native device", () => {
  it.each(["residual", "mhc(Mixing)"] as const)("with %s", { timeout: 60_000 }, async (connection) => {
    const full = await lossesOf(connection, "f32", 2);
    const rounded = await lossesOf(connection, "bf16", 2);
    const far = distance(rounded, full);
    expect(far).toBeGreaterThan(0);
    expect(far).toBeLessThan(5e-3);
    // Whatever the number of threads, and again.
    expect(await lossesOf(connection, "bf16", 1)).toEqual(rounded);
  });
});
