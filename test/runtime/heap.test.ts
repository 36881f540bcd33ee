/** A long run leaves nothing behind: after 2,000 steps the heap is what it was, but for less than a megabyte. */
import v8 from "node:v8";
import vm from "node:vm";
import { expect, it } from "vitest";
import { cpuDevices } from "../helpers/devices.js";
import { loaded } from "../helpers/specs.js";

const STEPS = 2_000;
const MOST = 2 ** 20;
const text = "the sea was calm, and the whale went down. all hands! ".repeat(12);
const page = `model Small {
  dim context = 6, width = 8, heads = 2, lanes = 2
  data corpus = characters("text", window = context, holdout = 18%)
  manifold Mixing = birkhoff(iterations = 20)
  stream x[lanes, context, width] = copies(embed(corpus.token) + positions())
  x through attention(heads) via mhc(Mixing)
  loss = cross_entropy(unembed(norm(total(x))), corpus.next)
  train { batch = 3, steps = 5000, seed = 5, optimizer = adamw(rate = 1e-3) }
}`;

v8.setFlagsFromString("--expose-gc");
const collect = vm.runInNewContext("gc") as () => void;
/** Bytes that live on the heap and outside it. */
const living = (): number => {
  collect();
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
};

it.each(cpuDevices)("on %s", async (device) => {
  const model = await loaded(page, device, {
    facts: { corpus: { vocabulary: [...new Set(text)].sort() } },
    threads: 2,
  });
  let before = 0;
  let after = 0;
  for await (const { step } of model.train(text, { steps: STEPS + 200 })) {
    // The first steps are for the engine's own: code is compiled, caches fill.
    if (step === 200) before = living();
    if (step === STEPS + 200) after = living();
  }
  await model.close();
  expect(before).toBeGreaterThan(0);
  expect(after - before).toBeLessThan(MOST);
});
