/**
 * What the name of an axis means: in a value `size(t)` or `index(t)`, bare only where it is no axis of the value; in a
 * condition the position.
 */
import { describe, expect, it } from "vitest";
import { check } from "../../src/compile/compile.js";
import { evaluate } from "../../src/graph/evaluate.js";
import { entriesOf } from "../helpers/specs.js";

const page = (axes: string, value: string, lines: readonly string[] = []): string => `model Positions {
  dim t = 3, d = 2, u = t
  input a[t, d]
  input b[d]
  ${lines.join("\n  ")}
  output y${axes} = ${value}
}`;

const a = [1, 2, 3, 4, 5, 6];
const b = [1, -1];
const outputOf = (text: string): number[] => [
  ...evaluate(
    entriesOf(text).graphs.find(({ name }) => name === "forward")!,
    new Map(Object.entries({ a, b })),
  ).outputs.get("y")!,
];
const codesOf = (text: string): string[] =>
  check(text, { file: "positions.mhc" })
    .diagnostics.filter(({ severity }) => severity === "error")
    .map(({ code, span }) => `${code} ${text.slice(span.start, span.end)}`);

describe("in a value", () => {
  it.each<readonly [string, string, readonly number[]]>([
    ["[t]", "index(t)", [0, 1, 2]],
    ["[t]", "index(t) * size(t) + size(d)", [2, 5, 8]],
    ["[t, d]", "a[t, d] + index(d)", [1, 3, 3, 5, 5, 7]],
    ["[t]", "sum[d](index(d) * a[t, d])", [2, 4, 6]],
    // An axis that a product sums by itself is open to positions too, and by its bare name a size.
    ["[t]", "index(d) * a[t, d] * b[d]", [-2, -4, -6]],
    ["[t]", "a[t, d] * b[d] / d", [-0.5, -0.5, -0.5]],
    ["[t]", "sum[d](a[t, d]) / d + sqrt(d ^ 2)", [3.5, 5.5, 7.5]],
    ["[]", "mean[t, d](a) * t", [10.5]],
    // An axis that a reducer goes along is a position in the conditions inside of it, how deep they stand.
    ["[t]", "sum[d](a[t, d] * sum[u](1 where u < d))", [2, 4, 6]],
    ["[t]", "sum[d](1 where d < 1 else 0)", [1, 1, 1]],
  ])("%s = %s", (axes, value, expected) => {
    const found = outputOf(page(axes, value));
    expected.forEach((number, i) => expect(found[i]).toBeCloseTo(number, 6));
  });

  it.each<readonly [string, string, readonly string[]]>([
    ["[t, d]", "t * exp(d)", ["t", "d"]],
    ["[t, d]", "a[t, d] / sqrt(d)", ["d"]],
    ["[t]", "mean[d](a[t, d] * d)", ["d"]],
    ["[t]", "sum[d](a[t, d] where d < 1) + t", ["t"]],
    ["[t, d]", "rows(t * a[t, d])", ["t"]],
    ["[t]", "sum[u](u where u <= t)", ["u"]],
  ])("%s = %s says which is meant", (axes, value, bare) => {
    expect(codesOf(`${page(axes, value)}\nblock rows(y[i, j]) { return [i, j] = 2 * y[i, j] }`)).toEqual(
      bare.map((name) => `MHC219 ${name}`),
    );
  });

  it("without a left side, the axes of the value are those that other parts carry", () => {
    expect(codesOf(page("[t, d]", "h", ["h = a[t, d] * t"]))).toEqual(["MHC219 t"]);
    expect(codesOf(page("[t]", "h * sum[d](a)", ["h = sqrt(t)"]))).toEqual([]);
  });

  it("a position stands on the left, or is summed", () => {
    expect(codesOf(page("[t]", "sum[d](a) + index(d)"))).toEqual(["MHC204 index(d)"]);
    expect(codesOf(page("[t]", "index(4)"))).toEqual(["MHC207 index(4)"]);
  });
});

describe("in a condition", () => {
  it.each<readonly [string, readonly number[]]>([
    ["sum[u](1 where abs(t - u) < 2)", [2, 3, 2]],
    ["sum[u](1 where -u < -t)", [2, 1, 0]],
    ["sum[u](1 where max(t, u) < 2)", [2, 2, 0]],
    ["sum[u](index(u) where u <= t)", [0, 1, 3]],
    ["sum[u](1 where u + 1 < size(t) and u < d)", [2, 2, 2]],
  ])("%s", (value, expected) => expect(outputOf(page("[t]", value))).toEqual(expected));
});
