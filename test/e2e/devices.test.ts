/** One spec on every device: the same losses, and on the same device with the same seed the same bits. */
import { describe, expect, it } from "vitest";
import { textSource } from "../../runtime/data.js";
import { load, openDevice } from "../../runtime/index.js";
import type { Device, DeviceName } from "../../runtime/device.js";
import { isThere } from "../helpers/devices.js";
import { facts, text } from "../helpers/small.js";
import { planOf, readSpec } from "../helpers/specs.js";

const set = { width: "16", heads: "2", layers: "1", lanes: "2", context: "8", "train.batch": "2" };
const STEPS = 20;

async function train(device: Device): Promise<{ losses: number[]; bits: string }> {
  const plan = await planOf(readSpec("moby-dick"), [device.name], { facts, set });
  const model = await load(plan, { device, seed: 4 });
  const losses: number[] = [];
  for await (const { loss } of model.train(textSource(plan.data[0] as Parameters<typeof textSource>[0], text), {
    steps: STEPS,
  }))
    losses.push(loss);
  const bits = Buffer.from(await model.checkpoint()).toString("base64");
  await model.close();
  return { losses, bits };
}

/** What `use` makes of a device that is opened for it. */
async function on<T>(name: DeviceName, threads: number, use: (device: Device) => Promise<T>): Promise<T> {
  const device = await openDevice(name, { threads });
  const result = await use(device);
  await device.close();
  return result;
}

const reference = on("wasm", 2, train);

/** The bits of a device after training, which are the same for every number of threads. */
const bitsOf = new Map<DeviceName, string>();

describe.each(
  (
    [
      ["native", 1],
      ["native", 2],
      ["native", 3],
      ["wasm", 1],
      ["wasm", 2],
      ["wasm", 3],
      ["javascript", 1],
      ["webgpu", 1],
    ] as const
  ).filter(([name]) => isThere(name)),
)("moby-dick, small, on %s with %i thread(s)", (name, threads) => {
  it("makes the same bits twice, and the losses of wasm", async () => {
    const [first, second] = await on(
      name,
      threads,
      async (device) => [await train(device), await train(device)] as const,
    );
    expect(second.bits === first.bits).toBe(true);
    const expected = await reference;
    const bits = name === "wasm" ? expected.bits : (bitsOf.get(name) ?? first.bits);
    bitsOf.set(name, bits);
    expect(first.bits === bits).toBe(true);
    first.losses.forEach((loss, i) =>
      expect(Math.abs(loss - expected.losses[i]!) / expected.losses[i]!, `step ${i + 1}`).toBeLessThan(1e-3),
    );
    expect(first.losses[STEPS - 1]).toBeLessThan(first.losses[0]!);
  }, 120_000);
});
