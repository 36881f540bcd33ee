/**
 * What the language says beyond products and sums, in whole training steps: shifted and strided reads, recurrences both
 * ways, and the blocks of the standard library that are made of them. Ten steps, planned and fused, on every device
 * against the unfused f64 evaluation of the same graph.
 */
import { describe, expect, it } from "vitest";
import type { DeviceName } from "../../runtime/device.js";
import { hasCompiler } from "../helpers/devices.js";
import { facts, text } from "../helpers/small.js";
import { compareSteps } from "../helpers/steps.js";

const page = (body: string, blocks = ""): string => `model Small {
  dim context = 12, width = 16, heads = 4, hidden = 24
  data corpus = characters("text.txt", window = context, holdout = 10%)
  stream x[context, width] = embed(corpus.token)
  ${body}
  loss = cross_entropy(unembed(norm(x)), corpus.next)
  train {
    batch = 5, steps = 10, seed = 1
    optimizer = sgd(rate = 0.2, momentum = 0.9)
  }
}
${blocks}`;

/** A page with further dims. */
const withDims = (dims: string, spec: string): string => spec.replace("hidden = 24", `hidden = 24, ${dims}`);

/** A recurrence from the end, which reads two places ahead. */
const BACK = `block back(y[t, w]) {
  dim v = w
  param b[w, v] ~ normal(0.2)
  h[t, v] = tanh(y[t, w] * b[w, v] + 0.5 * h[t + 1, v] + (h[t + 2, v] else 1))
  return [t, v] = h
}`;

/** An image of the streams: a convolution, groups, pools, and the way back. */
const IMAGE = `one[context, width, single] = x[context, width] where single == 0 else 0
  c[context, width, channels] = relu(conv2d(3, padding = 1)(one))
  d[six, eight, channels] = max_pool(2)(group_norm(2)(c))
  e[six, eight, channels] = depthwise2d(3, padding = 1)(d)
  f[three, four, channels] = mean_pool(2)(e) as pooled
  x[context, width] = x[context, width] + flat(f)`;
const FLAT = `block flat(f[i, j, c]) {
  param w[i, j, c, t, v] ~ normal(0.1)
  return [t, v] = f[i, j, c] * w[i, j, c, t, v]
}`;

/** Pages by what they show. */
const PAGES: readonly (readonly [string, string])[] = [
  ["a gated recurrent unit", page("x = x + gru(x)")],
  ["long short-term memory", page("x = x + lstm(x)")],
  ["a state-space layer", page("x = x + state_space(4)(x)")],
  ["linear attention", page("x through linear_attention(heads)")],
  [
    "grouped attention with rotary positions",
    page("x through grouped_attention(heads, 2)\n  x through swiglu(hidden)"),
  ],
  ["attention in a window", page("x through window_attention(heads, 3)")],
  [
    "an encoder and a decoder",
    page("m[context, width] = full_attention(heads)(x)\n  x through cross_attention(heads, memory = m)"),
  ],
  ["a causal convolution", page("x = x + causal_conv1d(3)(x)")],
  [
    "a convolution with a stride, and its mirror",
    withDims(
      "half = 6, four = 4",
      page(`h[half, width] = relu(conv1d(4, stride = 2, padding = 1)(x))
  back[context, width] = sum[half, four](h[half, width] where 2 * half + four - 1 == context)
  x = x + back`),
    ),
  ],
  ["layer normalisation with a bias", page("x = layernorm(x)")],
  ["a recurrence from the end, in a repeat", page("repeat heads {\n    x = x + back(x)\n  }", BACK)],
  [
    "images: convolutions, pools and groups",
    withDims("single = 1, channels = 6, six = 6, eight = 8, three = 3, four = 4", page(IMAGE, FLAT)),
  ],
];

const subjects: readonly (readonly [DeviceName, number])[] = [
  ["javascript", 1],
  ["wasm", 2],
  ...(hasCompiler ? [["native", 2] as const] : []),
  ["webgpu", 1],
];

/** Those that every change is held against; the others take their time. */
const QUICK = [
  "a gated recurrent unit",
  "grouped attention with rotary positions",
  "images: convolutions, pools and groups",
];

describe.each(PAGES)("ten steps with %s", (name, spec) => {
  for (const [device, threads] of subjects) {
    const tags = device === "wasm" && QUICK.includes(name) ? [] : ["slow"];
    it(`on ${device}`, { tags, timeout: 120_000 }, async () => {
      const { losses, parameters, fell } = await compareSteps(spec, text, facts, device, threads, 5, {});
      expect(fell).toBe(true);
      expect(losses).toBeLessThan(1e-4);
      expect(parameters).toBeLessThan(2e-4);
    });
  }
});
