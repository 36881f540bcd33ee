/** Code does not grow with depth: layers share their kernels, and only the table of dispatches gets longer. */
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { compile } from "../../src/compile/compile.js";

const vocabulary = Array.from({ length: 65 }, (_, i) => String.fromCodePoint(33 + i));

const read = (spec: string): string => readFileSync(new URL(`../../specs/${spec}.mhc`, import.meta.url), "utf8");

async function sizes(
  spec: string,
  layers: number,
): Promise<{ wasm: number; wgsl: number; kernels: readonly number[]; dispatches: number }> {
  const text = read(spec);
  const { plan } = await compile(text, {
    file: `${spec}.mhc`,
    facts: { corpus: { vocabulary } },
    set: { layers: `${layers}` },
    devices: ["wasm", "webgpu"],
  });
  const { wasm, webgpu } = plan!.devices;
  if (wasm?.code.kind !== "wasm" || webgpu?.code.kind !== "wgsl") throw new Error("the plan lacks a device");
  return {
    wasm: atob(wasm.code.binary).length,
    wgsl: webgpu.code.modules.join("").length,
    kernels: [wasm.kernels.length, webgpu.kernels.length],
    dispatches: wasm.entries["train"]!.dispatches.length,
  };
}

const HARDLY = "%s has hardly more code at 24 layers than at 2";
const hasHardlyMore = async (spec: string): Promise<void> => {
  const shallow = await sizes(spec, 2);
  const deep = await sizes(spec, 24);
  expect(deep.dispatches).toBeGreaterThan(6 * shallow.dispatches);
  // A few more at the ends of long sums over all parameters and of batches of small kernels; with every layer, none.
  deep.kernels.forEach((count, device) => expect(count - shallow.kernels[device]!).toBeLessThan(22));
  expect(deep.wasm / shallow.wasm).toBeLessThanOrEqual(1.2);
  expect(deep.wgsl / shallow.wgsl).toBeLessThanOrEqual(1.2);
};
it.each(["nanogpt"])(HARDLY, hasHardlyMore);
it.each(["moby-dick"])(HARDLY, { tags: "slow" }, hasHardlyMore);

it("Muon takes no more dispatches beyond AdamW's at 8 layers than at 2, and no more kernels", async () => {
  const counts = async (text: string, layers: number): Promise<readonly [number, number]> => {
    const { plan } = await compile(text, {
      file: "nanogpt.mhc",
      facts: { corpus: { vocabulary } },
      set: { layers: `${layers}` },
      devices: ["wasm"],
    });
    const { entries, kernels } = plan!.devices["wasm"]!;
    return [entries["train"]!.dispatches.length, kernels.length];
  };
  const adamw = read("nanogpt");
  const muon = adamw.replace("adamw(", "muon(");
  const more = await Promise.all(
    [2, 8].map(async (layers) => {
      const [ours, theirs] = [await counts(muon, layers), await counts(adamw, layers)];
      return ours.map((count, i) => count - theirs[i]!);
    }),
  );
  expect(more[0]![0]).toBeGreaterThan(45);
  more[1]!.forEach((count, i) => expect(count).toBeLessThanOrEqual(more[0]![i]!));
});
