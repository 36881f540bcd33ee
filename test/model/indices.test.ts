/**
 * Computed indices and `else`: what `x[t - 1, w]`, `x[2 * i + a]` and `x[t, 0]` are, what is absent outside, and what
 * may stand in an index. Values are worked out by hand; gradients are held against differences.
 */
import { describe, expect, it } from "vitest";
import { check } from "../../src/compile/compile.js";
import { evaluate } from "../../src/graph/evaluate.js";
import { entriesOf } from "../helpers/specs.js";

const page = (axes: string, value: string, lines: readonly string[] = []): string => `model Indices {
  dim t = 4, w = 2, k = 3, i = 2, a = 2, half = 1, u = t
  input x[t, w]
  input s[t]
  input taps[k]
  ${lines.join("\n  ")}
  output y${axes} = ${value}
}
block twice(y[n]) { return [n] = 2 * y[n] }
block strided(size: dim, step: dim)(y[n], f[m]) {
  dim out = n / step
  return [out] = y[size(step) * out + m] * f[m]
}`;

const inputs = { x: [1, 2, 3, 4, 5, 6, 7, 8], s: [1, -2, 3, -4], taps: [10, 1, 100] };
const outputOf = (text: string): number[] => [
  ...evaluate(
    entriesOf(text).graphs.find(({ name }) => name === "forward")!,
    new Map(Object.entries(inputs)),
  ).outputs.get("y")!,
];
const codesOf = (text: string): string[] =>
  check(text, { file: "indices.mhc" })
    .diagnostics.filter(({ severity }) => severity === "error")
    .map(({ code, span }) => `${code} ${text.slice(span.start, span.end)}`);

describe("a computed index", () => {
  it.each<readonly [string, string, readonly number[]]>([
    // Shifts, with what stands outside said by `else`.
    ["[t]", "s[t - 1] else 0", [0, 1, -2, 3]],
    ["[t]", "s[t + 1] else 9", [-2, 3, -4, 9]],
    ["[t, w]", "x[t - 1, w] else x[t, w]", [1, 2, 1, 2, 3, 4, 5, 6]],
    ["[t]", "s[t] - (s[t - 1] else 0)", [1, -3, 5, -7]],
    ["[t]", "s[t - 2] else s[t - 1] else 7", [7, 1, 1, -2]],
    // Constant ones, and those that are sizes.
    ["[t]", "x[t, 1]", [2, 4, 6, 8]],
    ["[]", "s[2]", [3]],
    ["[]", "s[size(t) - 1]", [-4]],
    ["[w]", "x[size(half), w]", [3, 4]],
    // Backwards.
    ["[t]", "s[size(t) - 1 - t]", [-4, 3, -2, 1]],
    // Strides.
    ["[i]", "s[2 * i]", [1, 3]],
    ["[i, a]", "s[2 * i + a]", [1, -2, 3, -4]],
    ["[i]", "sum[a](s[2 * i + a])", [-1, -1]],
    ["[i]", "max[a](s[2 * i + a])", [1, 3]],
    ["[i]", "max[k](s[2 * i + k - 1])", [1, 3]],
    // All are negative where they are there: what is outside is not 0.
    ["[i]", "max[k](s[2 * i + k - 1] - 10)", [-9, -7]],
    ["[i]", "mean[k](s[2 * i + k - 1])", [-0.5, -1]],
    // Convolutions: s[t - 1] * 10 + s[t] * 1 + s[t + 1] * 100.
    ["[t]", "s[t + k - 1] * taps[k]", [-199, 308, -417, 26]],
    ["[t]", "s[t + k - half] * taps[k]", [-199, 308, -417, 26]],
    ["[t]", "sum[k](taps[k] * s[t + k - 1])", [-199, 308, -417, 26]],
    // Behind a function what is outside counts for nothing, though exp(0) is 1.
    ["[t]", "(s[t + k - 1] + 1) * taps[k]", [-98, 419, -306, 37]],
    ["[t]", "exp(0 * s[t + k - 1]) * taps[k]", [101, 111, 111, 11]],
    // A sum over nothing is 0.
    ["[t]", "sum[w](x[t - 1, w])", [0, 3, 7, 11]],
    // Two axes in one index, and choices.
    ["[t, u]", "s[t - u] else 0", [1, 0, 0, 0, -2, 1, 0, 0, 3, -2, 1, 0, -4, 3, -2, 1]],
    ["[t]", "index(t) where t < 2 else -1", [0, 1, -1, -1]],
    ["[t, w]", "x[t, 0] where w == 0 else -x[t, 1]", [1, -2, 3, -4, 5, -6, 7, -8]],
    ["[t]", "s[t] where s[t] > 0 else 0", [1, 0, 3, 0]],
  ])("%s = %s", (axes, value, expected) => {
    const found = outputOf(page(axes, value));
    expect(found).toHaveLength(expected.length);
    expected.forEach((number, at) => expect(found[at]).toBeCloseTo(number, 6));
  });

  it("has the steps of a block's own sizes", () => {
    expect(outputOf(page("[i]", "strided(2, 2)(s, pair)", ["pair[a] = 1 + index(a)"]))).toEqual([-3, -5]);
  });

  it.each<readonly [string, string, readonly string[]]>([
    ["[t]", "s[t - 1]", ["MHC231 s[t - 1]"]],
    ["[t]", "s[t] + s[t - 1]", ["MHC231 s[t - 1]"]],
    ["[t]", "sum[w](x[t, w] + x[t - 1, w])", ["MHC231 x[t - 1, w]"]],
    ["[t]", "(x[t - 1, w] + 1) * x[t, w]", ["MHC231 x[t - 1, w]"]],
    ["[t]", "max[w](x[t - 1, w])", ["MHC231 x[t - 1, w]"]],
    ["[t]", "rms[w](x[t - 1, w])", ["MHC231 x[t - 1, w]"]],
    ["[t]", "twice(s[t - 1])", ["MHC231 s[t - 1]"]],
    ["[t]", "s[t] where s[t - 1] > 0 else 0", ["MHC231 s[t - 1]"]],
    ["[t]", "s[t] else 0", ["MHC212 s[t] else 0"]],
    ["[t]", "s[t] where t < 2", ["MHC212 s[t] where t < 2"]],
    ["[t]", "s[t ^ 2]", ["MHC230 t ^ 2"]],
    ["[t]", "s[t * t]", ["MHC230 t * t"]],
    ["[t]", "s[t / 2] else 0", ["MHC230 t / 2"]],
    ["[t]", "s[0.5 * t] else 0", ["MHC230 0.5 * t"]],
    ["[t]", "s[t + 4] else 0", ["MHC232 t + 4"]],
    ["[]", "s[4]", ["MHC232 4"]],
    ["[]", "s[-1]", ["MHC232 -1"]],
    // Whether k is summed or a size cannot be told.
    ["[t]", "s[t + k] * s[t - k]", ["MHC219 k"]],
    ["[t]", "s[t + k - 1] * 2", ["MHC231 s[t + k - 1]"]],
  ])("%s = %s is refused", (axes, value, codes) => {
    expect(codesOf(page(axes, value))).toEqual(codes);
  });
});
