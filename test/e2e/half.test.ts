/**
 * Half precision on an adapter. SwiftShader, which the suite runs on, has no `shader-f16`: there the error is tested,
 * and the rest is skipped. `npm run test:driver` runs this file on the machine's own driver, where being skipped is a
 * failure.
 */
import { afterAll, describe, expect, it } from "vitest";
import { decode, encode } from "../../runtime/checkpoint.js";
import { textSource } from "../../runtime/data.js";
import type { DeviceName } from "../../runtime/device.js";
import { nodeHost } from "../../runtime/node/host.js";
import { load, type Model } from "../../runtime/index.js";
import { findAdapter } from "../../runtime/webgpu/adapter.js";
import type { Plan } from "../../runtime/plan.js";
import { ADAMW, facts, smallPage, text } from "../helpers/small.js";
import { distance, planOf } from "../helpers/specs.js";

const STEPS = 10;
const BATCH = 5;

const page = (connection: "residual" | "mhc(Mixing)", precision: "f16" | "f32"): string =>
  smallPage(connection, { optimizer: ADAMW, batch: BATCH, training: `precision = ${precision}` });

const sourceOf = (plan: Plan): ReturnType<typeof textSource> =>
  textSource(plan.data[0] as Parameters<typeof textSource>[0], text);
const lossesOf = async (model: Model, steps: number): Promise<number[]> => {
  const losses: number[] = [];
  for await (const { loss } of model.train(sourceOf(model.plan), { steps })) losses.push(loss);
  return losses;
};
const modelOf = async (
  connection: Parameters<typeof page>[0],
  precision: "f16" | "f32",
  device: DeviceName,
): Promise<Model> => load(await planOf(page(connection, precision), [device], { facts }), { device, threads: 2 });

const half = (await findAdapter(nodeHost)).features.has("shader-f16");

it.runIf(process.env["MHC_OWN_DRIVER"] === "1")("the machine's own adapter has shader-f16", () =>
  expect(half).toBe(true),
);

describe.skipIf(half)("on an adapter without shader-f16", () => {
  it("is an error that says so, and what to do", async () => {
    const plan = await planOf(page("residual", "f16"), ["webgpu"], { facts });
    await expect(load(plan, { device: "webgpu" })).rejects.toMatchObject({
      name: "DeviceError",
      message: expect.stringMatching(/`precision = f16`.* has no `shader-f16`/) as string,
      fix: expect.stringContaining("--set train.precision=f32") as string,
    });
  });
});

describe.skipIf(!half).each(["residual", "mhc(Mixing)"] as const)(
  "on an adapter with shader-f16, with %s",
  (connection) => {
    const opened: Model[] = [];
    const open = async (precision: "f16" | "f32", device: DeviceName): Promise<Model> => {
      const model = await modelOf(connection, precision, device);
      opened.push(model);
      return model;
    };
    afterAll(async () => Promise.all(opened.map((model) => model.close())));

    // What is stored is rounded by 2^-11 at most, some thirty times on the way to the loss; the roundings are
    // independent, and AdamW makes of a rounded gradient a step that is off by as much.
    it("ten steps make the losses of f32 within a hundredth, and twice the same bits", async () => {
      const [first, second, full] = [
        await open("f16", "webgpu"),
        await open("f16", "webgpu"),
        await open("f32", "wasm"),
      ];
      const [losses, expected] = [await lossesOf(first, STEPS), await lossesOf(full, STEPS)];
      losses.forEach((loss, i) =>
        expect(Math.abs(loss - expected[i]!) / expected[i]!, `step ${i + 1}`).toBeLessThan(1e-2),
      );
      expect(losses).not.toEqual(expected);
      expect(losses[STEPS - 1]).toBeLessThan(losses[0]!);
      await lossesOf(second, STEPS);
      expect(Buffer.from(await second.checkpoint()).equals(Buffer.from(await first.checkpoint()))).toBe(true);
      const { tensors } = decode(await first.checkpoint());
      expect([
        tensors.get("state:scale:loss")!.data[0],
        tensors.get("state:scale:good steps")!.data[0],
        tensors.get("state:scale:skipped steps")!.data[0],
      ]).toEqual([2 ** 15, STEPS, 0]);
    }, 240_000);

    it("gradients come unscaled", async () => {
      const [model, full] = [await open("f16", "webgpu"), await open("f32", "wasm")];
      const batch = sourceOf(model.plan).batch(BATCH, 3, 0);
      const [found, expected] = [await model.gradients(batch), await full.gradients(batch)];
      for (const name of ["layers.0.attention.wq", "layers.1.mlp.up", "embed.table"])
        expect(distance(found.gradients[name]!, expected.gradients[name]!), name).toBeLessThan(2e-2);
    }, 240_000);

    it("a scale that makes cotangents overflow is halved until none does; nothing changes before", async () => {
      const model = await open("f16", "webgpu");
      const start = await model.checkpoint();
      const { tensors, metadata } = decode(start);
      await model.load(
        encode({
          tensors: new Map([...tensors, ["state:scale:loss", { shape: [], data: Float32Array.of(2 ** 26) }]]),
          metadata,
        }),
      );
      await lossesOf(model, 1);
      const changed = [...decode(await model.checkpoint()).tensors]
        .filter(([name, { data }]) => !Buffer.from(data.buffer).equals(Buffer.from(tensors.get(name)!.data.buffer)))
        .map(([name]) => name);
      expect(changed.sort()).toEqual(["state:scale:loss", "state:scale:skipped steps"]);
      const losses = await lossesOf(model, 2 * STEPS);
      expect(losses[2 * STEPS - 1]).toBeLessThan(losses[0]!);
      const after = decode(await model.checkpoint()).tensors;
      const skipped = after.get("state:scale:skipped steps")!.data[0]!;
      expect(skipped).toBeGreaterThan(1);
      expect(skipped).toBeLessThan(STEPS);
      expect(after.get("state:scale:loss")!.data[0]).toBe(2 ** (26 - skipped));
    }, 240_000);
  },
);
