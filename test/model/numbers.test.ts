/**
 * Numbers that are no sizes: as items of a model, which may be set from outside, and as arguments of blocks. Which
 * arguments must be sizes is read off what a block does with them.
 */
import { describe, expect, it } from "vitest";
import { check } from "../../src/compile/compile.js";
import { format } from "../../grammar/format.js";
import { outputsOf } from "../helpers/outputs.js";
import { printModel } from "../../src/model/print.js";

const page = (items: string, blocks: string): string => `model Numbers {
  dim width = 4
  ${items}
}
${blocks}`;

const u = [0.5, -1, 2, 0.25];
const scaled = "block scaled(by)(y[w]) { return [w] = by * y[w] }";

describe("a number of a model", () => {
  const text = page(
    "number temperature = 0.5, half = temperature / 2\n  input u[width]\n  output y[width] = half * u[width]",
    "",
  );

  it("stands in values, and in other numbers", () => {
    expect(outputsOf(text, { u }).get("y")).toEqual(u.map((x) => x * 0.25));
  });

  it("is set from outside, and what is made of it follows", () => {
    expect(outputsOf(text, { u }, { set: { temperature: "3" } }).get("y")).toEqual(u.map((x) => x * 1.5));
    expect(outputsOf(text, { u }, { set: { temperature: "sqrt(width)" } }).get("y")).toEqual(u);
  });

  it("is a setting of training, too", () => {
    const trained = `model Rate {
  number speed = 0.125
  input u[]
  param a[] ~ ones
  loss = (a - u) ^ 2
  train { batch = 2, steps = 2, optimizer = sgd(rate = speed / 2) }
}`;
    const { model, diagnostics } = check(trained, { file: "rate.mhc" });
    expect(diagnostics).toEqual([]);
    expect(model?.train?.optimizer.rate).toEqual({ kind: "constant", value: 0.0625 });
  });

  it("is printed and formatted as it is written", () => {
    const { model } = check(text, { file: "numbers.mhc" });
    expect(printModel(model!)).toContain("  number temperature = 0.5\n  number half = temperature / 2\n");
    const long = "model M {\n  number a = 0.5, b = 1 / 3 // both\n  number c = 2\n  dim number = 3\n}\n";
    expect(format(long, "m.mhc").text).toBe(long);
  });

  it("leaves its word to names", () => {
    const named = page("input number[width]\n  number = 2 * number\n  output y[width] = number", "");
    expect(check(named, { file: "n.mhc" }).diagnostics.map(({ message }) => message)).toEqual([
      "`number` is defined twice",
    ]);
    expect(outputsOf(page("input number[width]\n  output y[width] = number", ""), { number: u }).get("y")).toEqual(u);
  });
});

describe("an argument without a type", () => {
  const use = (argument: string): string => page(`input u[width]\n  output y[width] = scaled(${argument})(u)`, scaled);

  it.each([
    ["0.5", 0.5],
    ["1 / 4", 0.25],
    ["0.1 * width", 0.4],
    ["-2", -2],
    ["25%", 0.25],
    ["sqrt(width)", 2],
    ["3", 3],
    ["width", 4],
    ["width / 3", 4 / 3],
  ])("may be %s where no size is made of it", (argument, factor) => {
    outputsOf(use(argument), { u })
      .get("y")!
      .forEach((value, i) => expect(value).toBeCloseTo(u[i]! * factor, 12));
  });

  it("has a default that is a number, and then takes any", () => {
    const block = "block scaled(by = 0.5)(y[w]) { return [w] = by * y[w] }";
    const text = page("input u[width]\n  output y[width] = scaled()(u) + scaled(2)(u) as b", block);
    expect(outputsOf(text, { u }).get("y")).toEqual(u.map((x) => x * 2.5));
  });

  it("is handed on to another block, which judges it", () => {
    const outer = "block outer(by)(y[w]) { return [w] = scaled(by)(y) }";
    const text = page("input u[width]\n  output y[width] = outer(0.5)(u)", `${scaled}\n${outer}`);
    expect(outputsOf(text, { u }).get("y")).toEqual(u.map((x) => x / 2));
  });

  it.each([
    ["an axis of a parameter", "block f(k)(y[w]) { param m[w, k] ~ ones\n return [w] = m[w, k] * y[w] }"],
    ["a dim", "block f(k)(y[w]) { dim h = k\n param m[w, h] ~ ones\n return [w] = m[w, h] * y[w] }"],
    ["an axis along a reducer", "block f(k)(y[w]) { return [w] = y[w] + sum[k](index(k)) }"],
    ["what index takes", "block f(k)(y[w]) { return [w] = y[w] + mean[w](index(k)) }"],
    ["an axis of an argument", "block f(k)(y[k]) { return [k] = y }"],
    ["an index", "block f(k)(y[w]) { param m[k] ~ ones\n return [w] = y[w] + sum[k](m[k]) }"],
  ])("must be a size where it is %s", (_, block) => {
    const { diagnostics } = check(page("input u[width]\n  output y[width] = f(0.5)(u)", block), { file: "f.mhc" });
    expect(diagnostics.map(({ message }) => message)).toEqual(["a size is a whole number, and this is 0.5"]);
    expect(diagnostics[0]!.notes.at(-1)!.message).toBe("`k` of `f` is a size, by its use here");
  });
});

describe("a block that something goes through", () => {
  const blocks = `
block plus(by)(y[w], other[w], weight: number = 1) { return [w] = by * y[w] + weight * other[w] - y[w] }
block one(y[w], other[w]) { return [w] = other[w] - y[w] }
`;
  const text = (through: string): string =>
    page(
      `input u[width]\n  input v[width]\n  stream x[width] = u\n  stream m[width] = v\n  m through plus(2, other = u)
  ${through}\n  output y[width] = x`,
      `${blocks}connection residual(x[t], f) { y[t] = f(x)\n return [t] = x[t] + y[t] }`,
    );
  const v = [1, 2, -3, 0.5];

  it("is given its other tensors by name, which are read where it stands", () => {
    // m is 2 v + u there, and x the stream itself.
    expect(outputsOf(text("x through plus(3, other = m) as b"), { u, v }).get("y")).toEqual(
      u.map((x, i) => 3 * x + 2 * v[i]! + x),
    );
    expect(outputsOf(text("x through plus(3, weight = 0.5, other = m * u) as b"), { u, v }).get("y")).toEqual(
      u.map((x, i) => 3 * x + 0.5 * (2 * v[i]! + x) * x),
    );
    expect(outputsOf(text("x through one(other = m)"), { u, v }).get("y")).toEqual(u.map((x, i) => 2 * v[i]! + x));
  });

  it("keeps the gain of the stream that goes through it", () => {
    const claimed = text("x through one(other = x)").replace("  output", "  constrain { gain(x) <= 1 }\n  output");
    expect(check(claimed, { file: "g.mhc" }).model?.claims[0]?.proof).toEqual([
      "`one` passes the stream on beside its block: factor 1",
      "gain(x) is at most the product of these, 1",
    ]);
  });

  it.each([
    ["plus(3, m)", "`plus` takes 1 argument here, and this is one more"],
    ["plus(3)", "`plus` needs `other`"],
    ["plus(3)(other = m)", "a block that something goes through has one list of arguments, and this is a second"],
    ["plus(3, other = m, y = u)", "`y` is what goes through `plus`"],
    ["plus(3, othr = m)", "`plus` has no argument `othr`"],
  ])("%s is refused", (block, message) => {
    const { diagnostics } = check(text(`x through ${block} as b`), { file: "b.mhc" });
    expect(diagnostics.map((diagnostic) => diagnostic.message)).toEqual([message]);
    expect(diagnostics[0]!.fix).toMatch(/other/);
  });
});
