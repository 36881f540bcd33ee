/** What a device's kernels are before anything is tuned for it: SwiftShader is a GPU that a CPU emulates, WebAssembly is none. */
import { join } from "node:path";
import { tmpdir } from "node:os";
import { expect, it, vi } from "vitest";
import { openDevice } from "../../runtime/index.js";
import { choicesFor } from "../../src/cli/tuned.js";
import { compile } from "../../src/compile.js";
import { isMember } from "../../src/schedule/families.js";
import { readSpec } from "../helpers/specs.js";

it("an emulated GPU gets kernels without workgroup memory, all of their families", async () => {
  vi.stubEnv("MHC_CACHE", join(tmpdir(), "no such cache.json"));
  const device = await openDevice("webgpu");
  expect(device.software).toBe(true);
  const choices = choicesFor(device);
  await device.close();
  const { loop, ...families } = choices;
  expect(loop).toEqual({ kept: 1 });
  for (const [skeleton, choice] of Object.entries(families)) expect(isMember("gpu", skeleton, choice), skeleton).toBe(true);
  const waiting = async (own: typeof choices): Promise<string[]> => {
    const { plan } = await compile(readSpec("nanogpt"), { file: "nanogpt.mhc", devices: ["webgpu"], choices: { webgpu: own }, facts: { corpus: { vocabulary: ["a", "b", "c"] } }, set: { layers: "1", width: "64" } });
    const { code, kernels } = plan!.devices["webgpu"]!;
    if (code.kind !== "wgsl") throw new Error(code.kind);
    // A few long rows still share their memory: an invocation each would leave cores idle.
    return kernels.flatMap(({ name, groups }, i) => (code.modules[i]!.includes("workgroupBarrier") && (groups >= 64 || !name.startsWith("row")) ? [name.replace(/_\d+$/, "")] : []));
  };
  expect(new Set(await waiting({}))).toEqual(new Set(["attention", "token", "attention_vjp", "row_shared"]));
  expect(await waiting(choices)).toEqual([]);
  vi.unstubAllEnvs();
});

it("WebAssembly is no GPU", async () => {
  const device = await openDevice("wasm", { threads: 1 });
  expect(device.software).toBe(false);
  await device.close();
});
