/**
 * Recurrences that are too wide for the memory which a workgroup of a GPU shares: what has no room there is in memory
 * of the kernel's own, and whole training steps are those of WebAssembly.
 */
import { describe, expect, it } from "vitest";
import type { DeviceName } from "../../../runtime/device.js";
import { textSource } from "../../../runtime/data.js";
import { load } from "../../../runtime/index.js";
import { compile } from "../../../src/compile/compile.js";
import { facts, text } from "../../helpers/small.js";

/** Two layers, whose kernels are of one text, over memory of their own. */
const page = (block: string, width: number): string => `model Wide {
  dim context = 3, width = ${width}, layers = 2
  data corpus = characters("text", window = context)
  stream x[context, width] = embed(corpus.token)
  repeat layers {
    x = x + ${block}(x)
  }
  loss = cross_entropy(unembed(x), corpus.next)
  train { batch = 2, steps = 3, seed = 1, optimizer = sgd(rate = 0.1) }
}`;

/** A value that is wider than the chip on the way of a narrow one. */
const WIDE_INSIDE = `
block widened(y[t, w]) {
  dim v = w, wide = 4100
  param up[v, wide], down[wide, w] ~ normal(0.01)
  a[t, wide] = tanh(h[t - 1, v] * up[v, wide])
  h[t, w] = tanh(y[t, w] + a[t, wide] * down[wide, w])
  return [t, w] = h
}`;

/** Words that the workgroups of every adapter of WebGPU can share. */
const SHARED_WORDS = 4096;

const planOf = async (spec: string, device: DeviceName) => {
  const { plan, diagnostics } = await compile(spec, { file: "wide.mhc", facts, devices: [device], verify: true });
  if (!plan) throw new Error(diagnostics.map(({ message }) => message).join("; "));
  return plan;
};

async function lossesOf(spec: string, device: DeviceName): Promise<number[]> {
  const plan = await planOf(spec, device);
  const info = plan.data[0];
  if (info?.kind !== "characters") throw new Error("the page has no text");
  const model = await load(plan, { device });
  const losses: number[] = [];
  for await (const { loss } of model.train(textSource(info, text), { steps: 3 })) losses.push(loss);
  await model.close();
  return losses;
}

describe.each([
  ["long short-term memory", page("lstm", 416)],
  ["a value wider than the chip", page("widened", 8) + WIDE_INSIDE],
])("%s", (_, spec) => {
  it("shares no more than workgroups can", async () => {
    const { code } = (await planOf(spec, "webgpu")).devices["webgpu"] ?? {};
    if (code?.kind !== "wgsl") throw new Error("the plan has no WGSL");
    const shared = code.modules.map((module) =>
      Array.from(module.matchAll(/var<workgroup> \w+: array<f32, (\d+)>/g), ([, words]) => Number(words)),
    );
    expect(shared.flat().length).toBeGreaterThan(0);
    for (const words of shared) expect(words.reduce((sum, own) => sum + own, 0)).toBeLessThanOrEqual(SHARED_WORDS);
  });

  it("trains as on WebAssembly", { tags: ["slow"], timeout: 120_000 }, async () => {
    const expected = await lossesOf(spec, "wasm");
    const found = await lossesOf(spec, "webgpu");
    expect(expected).toHaveLength(3);
    expected.forEach((loss, i) => expect(Math.abs(found[i]! - loss) / loss).toBeLessThan(1e-5));
  });
});
