/** A page whose layers are not alike, trained on devices, against the f64 evaluation of its graph. */
import { expect, it } from "vitest";
import { compareSteps } from "../helpers/steps.js";

const trained = `model Trained {
  dim context = 4, width = 8, heads = 2, layers = 4, lanes = 2
  data corpus = characters("text.txt", window = context)
  manifold Mixing = birkhoff(exact)
  stream x[lanes, context, width] = copies(embed(corpus.token))
  repeat layers as l {
    if l % 2 == 1 {
      x through attention(heads) via mhc(Mixing)
    } else {
      x through mlp(12, projection = normal(0.02 / sqrt(l + 1))) via mhc(Mixing)
    }
    x = x * (1 + 1 / (l + 2))
  }
  repeat layers as k shared {
    x through mlp(8) via hc
  }
  loss = cross_entropy(unembed(norm(total(x))), corpus.next)
  train { batch = 5, steps = 10, optimizer = sgd(rate = 0.1, momentum = 0.9), recompute = every 2 }
}`;
it.each(["javascript", "wasm"] as const)("trains on %s as the graph is defined", { tags: ["slow"] }, async (device) => {
  const text = "the quick brown fox jumps over the lazy dog. ".repeat(20);
  const vocabulary = [...new Set(text)].sort();
  const { losses, parameters, fell } = await compareSteps(trained, text, { corpus: { vocabulary } }, device, 1);
  expect(losses).toBeLessThan(1e-5);
  expect(parameters).toBeLessThan(1e-3);
  expect(fell).toBe(true);
});
