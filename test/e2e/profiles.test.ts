/**
 * One page for two device profiles: two plans that differ in kernels, in what is recomputed and in precision, and train
 * alike; and what a profile has no room for is an error.
 */
import { afterAll, expect, it } from "vitest";
import type { Device } from "../../runtime/device.js";
import { load, openDevice } from "../../runtime/index.js";
import type { DevicePlan, Plan } from "../../runtime/plan.js";
import { textSource } from "../../runtime/data.js";
import { compile, type Compiled } from "../../src/compile/compile.js";
import type { DeviceProfile } from "../../src/cost/profile.js";
import { profiles } from "../../src/cost/profiles.js";
import { facts, text } from "../helpers/small.js";
import { readSpec } from "../helpers/specs.js";

const set = { width: "16", heads: "2", context: "8", layers: "4", lanes: "2", "train.batch": "4" };
const page = readSpec("moby-dick").replace(/optimizer = .*/, "optimizer = sgd(rate = 0.05)");
const named = (name: string): DeviceProfile => profiles.find((profile) => profile.name === name)!;

const made = (
  profile: DeviceProfile,
  more: Readonly<Record<string, string>> = {},
  devices: readonly ("wasm" | "webgpu")[] = ["webgpu"],
): Promise<Compiled> => compile(page, { file: "test.mhc", devices, set: { ...set, ...more }, facts, profile });
const planned = async (...args: Parameters<typeof made>): Promise<Plan> => {
  const { plan, diagnostics } = await made(...args);
  if (!plan) throw new Error(diagnostics.map(({ message }) => message).join("\n"));
  return plan;
};
const workOf = ({ pools }: DevicePlan): number => 4 * pools.work;

const opened: Device[] = [];
afterAll(() => Promise.all(opened.map((device) => device.close())));

async function losses(plan: Plan, device: Device): Promise<number[]> {
  const model = await load(plan, { device, seed: 3 });
  const found: number[] = [];
  for await (const { loss } of model.train(textSource(plan.data[0] as Parameters<typeof textSource>[0], text), {
    steps: 5,
  }))
    found.push(loss);
  await model.close();
  return found;
}

it("a phone and a desktop get plans of their own, and both are right", { tags: "slow" }, async () => {
  const desktop = await planned(named("rtx"));
  // As if a binding of the phone held three quarters of what the desktop's plan has in one.
  const tight = { ...named("phone"), binding_bytes: Math.floor(0.75 * workOf(desktop.devices["webgpu"]!)) };
  const phone = await planned(tight);
  const [a, b] = [desktop.devices["webgpu"]!, phone.devices["webgpu"]!];
  expect(workOf(b)).toBeLessThanOrEqual(tight.binding_bytes);
  expect(b.entries["train"]!.dispatches.length).toBeGreaterThan(a.entries["train"]!.dispatches.length);
  expect(JSON.stringify(b.code)).not.toBe(JSON.stringify(a.code));
  // Its tiles alone make other kernels.
  const roomy = (await planned(named("phone"))).devices["webgpu"]!;
  expect(roomy.entries["train"]!.dispatches.length).toBe(a.entries["train"]!.dispatches.length);
  expect(JSON.stringify(roomy.code)).not.toBe(JSON.stringify(a.code));

  const gpu = await openDevice("webgpu");
  const cpu = await openDevice("wasm");
  opened.push(gpu, cpu);
  const { plan: reference } = await compile(page, { file: "test.mhc", devices: ["wasm"], set, facts });
  const right = await losses(reference!, cpu);
  for (const plan of [desktop, phone])
    (await losses(plan, gpu)).forEach((loss, i) => expect(Math.abs(loss / right[i]! - 1)).toBeLessThan(1e-4));
});

it("a profile shapes the plans of its own kind of device only", async () => {
  const both = await planned(named("phone"), {}, ["wasm", "webgpu"]);
  const { plan } = await compile(page, { file: "test.mhc", devices: ["wasm"], set, facts });
  expect(JSON.stringify(both.devices["wasm"]!.code)).toBe(JSON.stringify(plan!.devices["wasm"]!.code));
});

it("`precision = auto` is half precision where the profile has it, and f32 elsewhere", async () => {
  const auto = { "train.precision": "auto" };
  expect((await planned(named("rtx"), auto)).devices["webgpu"]!.pools.half).toBeGreaterThan(0);
  expect((await planned({ ...named("rtx"), half: false }, auto)).devices["webgpu"]!.pools.half).toBe(0);
  // A plan for WebAssembly beside it has no such memory, and both are one model.
  expect((await planned(named("rtx"), auto, ["wasm", "webgpu"])).devices["webgpu"]!.pools.half).toBe(0);
  const { plan } = await compile(page, { file: "test.mhc", devices: ["webgpu"], set: { ...set, ...auto }, facts });
  expect(plan!.devices["webgpu"]!.pools.half).toBe(0);
});

it.each([
  [
    "memory",
    { memory_bytes: 1e5, binding_bytes: 2 ** 30 },
    /^the plan takes at least \d+(\.\d)? KiB .*and `phone` has 97\.7 KiB: .* are parameters/,
  ],
  [
    "a binding",
    { binding_bytes: 1 << 12 },
    /^the plan takes at least \d+(\.\d)? KiB in one pool .*and one binding of `phone` holds 4 KiB$/,
  ],
])("what does not fit into %s of the device is an error", async (_, limits, words) => {
  const { plan, diagnostics } = await made({ ...named("phone"), ...limits });
  expect(plan).toBeNull();
  expect(diagnostics[0]!.code).toBe("MHC504");
  expect(diagnostics[0]!.message).toMatch(words);
});
