/**
 * Ten whole training steps, planned and fused, against the unfused f64 evaluation of the same graph: under SGD losses
 * and parameters to 1e-4, under AdamW losses to 1e-3 (the gradient of a first mix of equal lanes is zero, and Adam
 * makes noise of it).
 */
import { describe, expect, it } from "vitest";
import type { DeviceName } from "../../runtime/device.js";
import { hasCompiler } from "../helpers/devices.js";
import { ADAMW, connections, facts, smallPage, text } from "../helpers/small.js";
import type { SpecOptions } from "../helpers/specs.js";
import { compareSteps } from "../helpers/steps.js";

const spec = (connection: (typeof connections)[number], optimizer: string, batch = 5): string =>
  smallPage(connection, { optimizer, batch });

const compare = (page: string, device: DeviceName, threads: number, batch = 5, choices: SpecOptions["choices"] = {}) =>
  compareSteps(page, text, facts, device, threads, batch, choices);

describe.each(connections)("ten steps with %s", (connection) => {
  const underSgd = async (device: DeviceName, threads: number): Promise<void> => {
    const { losses, parameters, fell } = await compare(
      spec(connection, "sgd(rate = 0.2, momentum = 0.9)"),
      device,
      threads,
    );
    expect(fell).toBe(true);
    expect(losses).toBeLessThan(1e-4);
    expect(parameters).toBeLessThan(1e-4);
  };
  // The connection that has everything on every device; the others apart.
  const tags = connection === "mhc(Mixing)" ? [] : ["slow"];
  it("under SGD on wasm", { tags }, () => underSgd("wasm", 2));
  it.skipIf(!hasCompiler)("under SGD on native", { tags }, () => underSgd("native", 2));
  it("under SGD on javascript", { tags }, () => underSgd("javascript", 1));

  it("under AdamW on wasm", { tags }, async () => {
    const { losses, fell } = await compare(spec(connection, ADAMW), "wasm", 2);
    expect(fell).toBe(true);
    expect(losses).toBeLessThan(1e-3);
  });
});

// An even width fills slots, so that layers are worked on at once; 24 does not, and every matrix is a batch of its own.
const MUON = "ten steps under Muon on %s";
const underMuon = async (device: DeviceName, threads: number, width: number): Promise<void> => {
  const page = spec("residual", "muon(rate = cosine(5e-3, 1e-3, warmup = 3), decay = 0.1)")
    .replace("width = 24", `width = ${width}`)
    .replace("heads = 3", "heads = 4");
  const { losses, parameters, fell } = await compare(page, device, threads);
  expect(fell).toBe(true);
  expect(losses).toBeLessThan(1e-4);
  expect(parameters).toBeLessThan(1e-3);
};
it.each([
  ["wasm", 3, 32],
  ["javascript", 1, 24],
] as const)(MUON, underMuon);
it.skipIf(!hasCompiler).each([["native", 3, 32]] as const)(MUON, { tags: "slow" }, underMuon);

// 65 tokens are too few for regions, 130 are not.
it.each([5, 10])("ten steps with mhc on webgpu, under SGD, of %i sequences", { tags: "slow" }, async (batch) => {
  const { losses, parameters } = await compare(spec("mhc(Mixing)", "sgd(rate = 0.2)", batch), "webgpu", 1, batch, {
    webgpu: { token: { threads: 1 }, loop: { kept: 1 } },
  });
  expect(losses).toBeLessThan(1e-4);
  expect(parameters).toBeLessThan(1e-4);
});
