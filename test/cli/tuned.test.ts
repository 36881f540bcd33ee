/**
 * What a device's kernels are before anything is tuned for it: SwiftShader is a GPU that a CPU emulates, WebAssembly is
 * none.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tmpdir } from "node:os";
import { expect, it, vi } from "vitest";
import { openTarget } from "../../src/tools/opened.js";
import { profileFolder } from "../../src/cli/profiles.js";
import { cachePath, choicesFor, keepTuned } from "../../src/cli/tuned.js";
import { compile } from "../../src/compile/compile.js";
import { isMember } from "../../src/schedule/families.js";
import { readSpec } from "../helpers/specs.js";

it("an emulated GPU gets kernels without workgroup memory, all of their families", async () => {
  vi.stubEnv("MHC_CACHE", join(tmpdir(), "no such cache.json"));
  const device = await openTarget("webgpu", {});
  expect(device.software).toBe(true);
  const choices = choicesFor(device);
  await device.close();
  const { loop, ...families } = choices;
  expect(loop).toEqual({ kept: 1 });
  for (const [skeleton, choice] of Object.entries(families))
    expect(isMember("gpu", skeleton, choice), skeleton).toBe(true);
  const waiting = async (own: typeof choices): Promise<string[]> => {
    const { plan } = await compile(readSpec("nanogpt"), {
      file: "nanogpt.mhc",
      devices: ["webgpu"],
      choices: { webgpu: own },
      facts: { corpus: { vocabulary: ["a", "b", "c"] } },
      set: { layers: "1", width: "64" },
    });
    const { code, kernels } = plan!.devices["webgpu"]!;
    if (code.kind !== "wgsl") throw new Error(code.kind);
    // A few long rows still share their memory: an invocation each would leave cores idle.
    return kernels.flatMap(({ name, groups }, i) =>
      code.modules[i]!.includes("workgroupBarrier") && (groups >= 64 || !name.startsWith("row"))
        ? [name.replace(/_\d+$/, "")]
        : [],
    );
  };
  expect(new Set(await waiting({}))).toEqual(new Set(["attention", "token", "attention_vjp", "row_shared"]));
  expect(await waiting(choices)).toEqual([]);
  vi.unstubAllEnvs();
});

it("WebAssembly is no GPU", async () => {
  const device = await openTarget("wasm", { threads: 1 });
  expect(device.software).toBe(false);
  await device.close();
});

it("MHC_CACHE names a file or a folder, there or not; one that cannot be written is a warning", async () => {
  const folder = mkdtempSync(join(tmpdir(), "mhc cache "));
  const placeOf = (named: string): string => {
    vi.stubEnv("MHC_CACHE", named);
    return cachePath();
  };
  writeFileSync(join(folder, "plain"), "{}");
  expect(placeOf(folder)).toBe(join(folder, "tune.json"));
  expect(profileFolder()).toBe(join(folder, "profiles"));
  expect(placeOf(join(folder, "new"))).toBe(join(folder, "new/tune.json"));
  expect(placeOf(join(folder, "new.d/"))).toBe(join(folder, "new.d/tune.json"));
  for (const file of ["mine.json", "plain"]) expect(placeOf(join(folder, file))).toBe(join(folder, file));
  const device = await openTarget("wasm", { threads: 1 });
  const said = vi.spyOn(process.stderr, "write").mockReturnValue(true);
  placeOf(folder);
  expect([await keepTuned(device, {}), said.mock.calls.length]).toEqual([join(folder, "tune.json"), 0]);
  placeOf(join(folder, "plain/below"));
  expect(await keepTuned(device, {})).toBe(null);
  expect(said.mock.calls.flat().join("")).toMatch(
    /^warning: the choices are not kept: .*below.tune\.json cannot be written.*; MHC_CACHE names another place\n$/,
  );
  expect(choicesFor(device)).toEqual(expect.any(Object));
  said.mockRestore();
  vi.unstubAllEnvs();
  await device.close();
  rmSync(folder, { recursive: true });
});
