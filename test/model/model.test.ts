/** What a page means: the axis rule, inference of sizes, names, counts. */
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { check } from "../../src/compile/compile.js";
import { evaluate } from "../../src/graph/evaluate.js";
import { printModel } from "../../src/model/print.js";
import { entriesOf, planOf, readSpec } from "../helpers/specs.js";

const vocabulary = Array.from({ length: 65 }, (_, i) => String.fromCodePoint(33 + i));
const facts = { corpus: { vocabulary } };
const count = (parameters: readonly { readonly shape: readonly number[] }[]): number =>
  parameters.reduce((sum, { shape }) => sum + shape.reduce((size, n) => size * n, 1), 0);

/** Evaluates the output y of a page in f64. */
function outputOf(page: string, values: Readonly<Record<string, readonly number[]>>): number[] {
  const graph = entriesOf(page).graphs.find(({ name }) => name === "forward")!;
  return [...evaluate(graph, new Map(Object.entries(values))).outputs.get("y")!];
}

describe("the examples", () => {
  it("nanogpt has the published number of parameters", async () => {
    expect(count((await planOf(readSpec("nanogpt"), ["javascript"], { facts })).parameters)).toBe(804_096);
  });

  it("names follow the page", () => {
    const names = entriesOf(readSpec("moby-dick"), { facts, set: { layers: "3" } }).lowered.parameters.map(
      ({ name }) => name,
    );
    expect(names).toContain("layers.2.mlp.up");
    expect(names).toContain("layers.0.attention.mhc.read.phi");
    expect(names).toContain("layers.1.attention.norm.gain");
    expect(names).toContain("embed.table");
    expect(new Set(names).size).toBe(names.length);
  });

  it("check needs no data, and keeps its sizes symbolic", () => {
    const { model, diagnostics } = check(readSpec("moby-dick"), { file: "moby-dick.mhc" });
    expect(diagnostics).toEqual([]);
    expect(printModel(model!)).toContain("param embed.table[v: corpus.vocab, w: width = 128] ~ normal(0.02)");
  });

  it("the README's block compiles", () => {
    const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
    const block = /```\n(block gated[\s\S]*?)```/.exec(readme)![1]!;
    const page = readSpec("moby-dick").replace("mlp(hidden = 4 * width)", "gated(hidden = 2 * width)") + block;
    expect(check(page, { file: "page.mhc" }).diagnostics).toEqual([]);
    const shown = /```\n(\/\/\/ A character[\s\S]*?)```/.exec(readme)![1]!;
    expect(shown).toBe(readSpec("moby-dick"));
  });

  it("a small page prints with its sums explicit", () => {
    const { model } = check(
      `model Small {
  dim t = 3, w = 4, v = 2
  input u[t, w]
  param m[w, v] ~ normal(0.1)
  output y[t, v] = 2 * u[t, w] * m[w, v] / sqrt(w)
}`,
      { file: "small.mhc" },
    );
    expect(printModel(model!)).toMatchInlineSnapshot(`
      "model Small {
        dim t = 3
        dim w = 4
        dim v = 2
        input u[t: t = 3, w: w = 4]
        param m[w: w = 4, v: v = 2] ~ normal(0.1)
        output y[t, v] = sum[w](2 * u[t, w] * m[w, v] / sqrt(w = 4))
      }"
    `);
  });
});

describe("Einstein's rule", () => {
  it("sums over the smallest product: inside a function, and across a sum", () => {
    const y = outputOf(
      `model M {
      dim t = 2, w = 2
      input a[t, w]
      input b[w]
      input c[t]
      output y[t] = tanh(a[t, w] * b[w]) + (a[t, w] + b[w]) * b[w] + c[t]
    }`,
      { a: [1, 2, 3, 4], b: [0.5, -1], c: [10, 20] },
    );
    const a = [
      [1, 2],
      [3, 4],
    ];
    const b = [0.5, -1];
    expect(y).toEqual(
      [0, 1].map((t) => {
        const inner = a[t]![0]! * b[0]! + a[t]![1]! * b[1]!;
        const outer = b.reduce((sum, x, w) => sum + (a[t]![w]! + x) * x, 0);
        return expect.closeTo(Math.tanh(inner) + outer + [10, 20][t]!, 12) as number;
      }),
    );
  });

  it("agrees with a sum written out, for random products", () => {
    const axes = ["i", "j", "k"];
    const sizes: Record<string, number> = { i: 2, j: 3, k: 4 };
    const subset = fc.subarray(axes);
    fc.assert(
      fc.property(fc.array(subset, { minLength: 1, maxLength: 4 }), subset, (factors, left) => {
        const used = new Set(factors.flat());
        fc.pre(left.every((axis) => used.has(axis)));
        const summed = [...used].filter((axis) => !left.includes(axis));
        fc.pre(summed.every((axis) => factors.filter((factor) => factor.includes(axis)).length >= 2));
        const inputs = factors.map((factor, at) => ({
          name: `f${at}`,
          factor,
          data: Array.from({ length: factor.reduce((size, axis) => size * sizes[axis]!, 1) }, (_, i) =>
            Math.sin(i + 7 * at + 1),
          ),
        }));
        const page = `model M {
        dim i = 2, j = 3, k = 4
        ${inputs.map(({ name, factor }) => `input ${name}[${factor.join(", ")}]`).join("\n")}
        output y[${left.join(", ")}] = ${inputs.map(({ name, factor }) => `${name}[${factor.join(", ")}]`).join(" * ")}
      }`;
        const got = outputOf(page, Object.fromEntries(inputs.map(({ name, data }) => [name, data])));
        const at = (factor: readonly string[], index: Readonly<Record<string, number>>): number =>
          factor.reduce((offset, axis) => offset * sizes[axis]! + index[axis]!, 0);
        const expected = new Array<number>(left.reduce((size, axis) => size * sizes[axis]!, 1)).fill(0);
        const loop = (rest: readonly string[], index: Readonly<Record<string, number>>): void => {
          const [axis, ...others] = rest;
          if (axis === undefined)
            expected[at(left, index)]! += inputs.reduce(
              (product, { factor, data }) => product * data[at(factor, index)]!,
              1,
            );
          else for (let i = 0; i < sizes[axis]!; i++) loop(others, { ...index, [axis]: i });
        };
        loop([...used], {});
        expected.forEach((value, i) => expect(got[i]).toBeCloseTo(value, 10));
      }),
      { numRuns: 60 },
    );
  });

  it("absent values are the neutral element of what reduces them", () => {
    const page = (f: string): string => `model M {
      dim t = 3, u = t
      input a[t]
      output y[t] = ${f}
    }`;
    const a = [3, -1, 2];
    expect(outputOf(page("sum[u](a[u] where u <= t)"), { a })).toEqual([3, 2, 4]);
    expect(outputOf(page("max[u](a[u] where u >= t)"), { a })).toEqual([3, 2, 2]);
    expect(outputOf(page("mean[u](a[u] where u <= t)"), { a })).toEqual([3, 1, expect.closeTo(4 / 3, 12)]);
    const soft = outputOf(page("max[u](softmax[u](a[u] where u < t + 1) * 1)"), { a });
    expect(soft[0]).toBeCloseTo(1, 12);
  });
});

describe("settings from outside", () => {
  it("--set changes dims and training, and what depends on them", async () => {
    const plan = await planOf(readSpec("nanogpt"), ["javascript"], {
      facts,
      set: { width: "64", layers: "2", "train.steps": "7", "train.batch": "3" },
    });
    expect(plan.dims).toMatchObject({ width: 64, layers: 2 });
    expect(plan.train).toMatchObject({ steps: 7, batch: 3 });
    expect(plan.parameters.find(({ name }) => name === "layers.1.mlp.up")!.shape).toEqual([64, 256]);
    expect(plan.parameters.some(({ name }) => name.startsWith("layers.2."))).toBe(false);
  });
});
