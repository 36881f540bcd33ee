/**
 * Recurrences: definitions that read their own earlier places. Values are worked out by hand or by a loop in the test;
 * gradients are held against differences of the page itself.
 */
import { describe, expect, it } from "vitest";
import { check } from "../../src/compile/compile.js";
import { evaluate } from "../../src/graph/evaluate.js";
import { entriesOf } from "../helpers/specs.js";

const page = (body: string, output: string): string => `model Recurrences {
  dim t = 5, v = 2, u = v, k = 3
  input s[t]
  input x[t, v]
  input back[u, v]
  ${body}
  output ${output}
}
block half(y[n, w]) { return [n, w] = y[n, w] / 2 }
block mixed(y[n, w]) {
  dim m = n
  return [n, w] = sum[m](y[m, w])
}
block running(y[n]) {
  total[n] = y[n] + total[n - 1]
  return [n] = total[n]
}`;

const values = {
  s: [1, 2, -3, 4, 0.5],
  x: [0.1, -0.2, 0.3, 0.4, -0.5, 0.6, 0.7, -0.8, 0.9, 1],
  back: [0.5, -0.25, 0.125, 0.75],
};
const outputOf = (text: string): number[] => [
  ...evaluate(
    entriesOf(text).graphs.find(({ name }) => name === "forward")!,
    new Map(Object.entries(values)),
  ).outputs.get("y")!,
];
const close = (found: readonly number[], expected: readonly number[]): void => {
  expect(found).toHaveLength(expected.length);
  expected.forEach((number, at) => expect(found[at]).toBeCloseTo(number, 9));
};
const messagesOf = (text: string): string[] =>
  check(text, { file: "recurrences.mhc" })
    .diagnostics.filter(({ severity }) => severity === "error")
    .map(({ code, span, message }) => `${code} ${text.slice(span.start, span.end)}: ${message}`);

describe("a recurrence", () => {
  it.each<readonly [string, string, string, readonly number[]]>([
    ["sums what came before", "c[t] = s[t] + c[t - 1]", "y[t] = c", [1, 3, 0, 4, 4.5]],
    ["starts where it is told", "c[t] = s[t] + (c[t - 1] else 10)", "y[t] = c", [11, 13, 10, 14, 14.5]],
    ["goes backwards", "c[t] = s[t] + c[t + 1]", "y[t] = c", [4.5, 3.5, 1.5, 4.5, 0.5]],
    ["looks two places back", "c[t] = s[t] + c[t - 1] + c[t - 2]", "y[t] = c", [1, 3, 1, 8, 9.5]],
    ["decays", "c[t] = s[t] + 0.5 * c[t - 1]", "y[t] = c", [1, 2.5, -1.75, 3.125, 2.0625]],
    ["is read at its end", "c[t] = s[t] + c[t - 1]", "y[] = c[size(t) - 1]", [4.5]],
    ["is read elsewhere behind it", "c[t] = s[t] + c[t - 1]", "y[t] = c[t - 1] else 0", [0, 1, 3, 0, 4]],
    ["has two tensors", "a[t] = s[t] + b[t - 1]\n  b[t] = 2 * a[t]", "y[t] = a", [1, 4, 5, 14, 28.5]],
    [
      "leaves what is between readable",
      "z[t] = s[t] * c[t - 1]\n  c[t] = z[t] + 1",
      "y[t] = z",
      [0, 2, -9, -32, -15.5],
    ],
    ["stands in a block", "c[t] = running(s)", "y[t] = c", [1, 3, 0, 4, 4.5]],
    [
      "calls a block a place",
      "c[t, v] = x[t, v] + half(c[t - 1, v])",
      "y[t] = sum[v](c)",
      [-0.1, 0.65, 0.425, 0.1125, 1.95625],
    ],
    ["keeps the largest", "c[t] = max(s[t], c[t - 1])", "y[t] = c", [1, 2, 2, 4, 4]],
    ["chooses", "c[t] = s[t] where s[t] > 0 else c[t - 1]", "y[t] = c", [1, 2, 2, 4, 0.5]],
  ])("%s", (_, body, output, expected) => close(outputOf(page(body, output)), expected));

  it("multiplies by a matrix", () => {
    const expected: number[] = [];
    let h = [0, 0];
    for (let t = 0; t < 5; t++) {
      const at = (v: number): number =>
        Math.tanh(values.x[2 * t + v]! + h[0]! * values.back[v]! + h[1]! * values.back[2 + v]!);
      h = [at(0), at(1)];
      expected.push(...h);
    }
    close(outputOf(page("h[t, v] = tanh(x[t, v] + h[t - 1, u] * back[u, v])", "y[t, v] = h")), expected);
  });

  it.each<readonly [string, string, string, string]>([
    ["has no start of its own", "c[t] = s[t] + c[t]", "y[t] = c", "MHC201 c: `c` is defined further down"],
    ["is no matrix", "c[t] = s[t] + d[t]\n  d[t] = c[t]", "y[t] = c", "MHC201 d: `d` is defined further down"],
    [
      "has its axes on the left",
      "c = s[t] + c[t - 1]",
      "y[t] = c",
      "MHC233 c[t - 1]: `c` is read before it is defined",
    ],
    ["goes one way", "c[t] = c[t - 1] + c[t + 1] + s[t]", "y[t] = c", "MHC233 c[t + 1]: a recurrence goes one way"],
    [
      "goes along one axis",
      "c[t, v] = c[t - 1, v] + c[t, v - 1] + x[t, v]",
      "y[t, v] = c",
      "MHC233 c[t, v - 1]: a recurrence goes along one axis",
    ],
    ["has a step of one", "c[t] = c[2 * t] + s[t]", "y[t] = c", "MHC233 c[2 * t]: a tensor in its own definition"],
    ["is not summed over", "m[t] = sum[t](z[t])\n  z[t] = c[t - 1]\n  c[t] = s[t] + z[t]", "y[t] = c", "MHC201"],
    [
      "has no mean",
      "z[t, v] = c[t - 1, v] + x[t, v]\n  c[t, v] = z[t, v] - mean[t](z)",
      "y[t, v] = c",
      "MHC233 mean[t](z): `mean` goes along that axis",
    ],
    ["does not look around", "z[t, v] = c[t - 1, v] + x[t, v]\n  c[t, v] = mixed(z)", "y[t, v] = c", "MHC233"],
    [
      "is whole",
      "a[t] = s[t] + b[t - 1]\n  repeat k { q = 1 }\n  b[t] = 2 * a[t]",
      "y[t] = a",
      "MHC233 repeat k { q = 1 }: this stands between",
    ],
  ])("%s, or is refused", (_, body, output, start) => {
    const [first = ""] = messagesOf(page(body, output));
    expect(first.slice(0, start.length)).toBe(start);
  });
});
