/**
 * Graphs as data: text there and back, hash-consing, the verifier, the order of products, passes that keep the meaning.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createBuilder } from "../../src/graph/create-builder.js";
import { contractAll, type LabelledTensor } from "../../src/graph/contraction.js";
import { evaluate } from "../../src/graph/evaluate.js";
import type { Graph, Node } from "../../src/graph/node.js";
import { opTable } from "../../src/graph/ops.js";
import { parseGraph, printGraph } from "../../src/graph/text.js";
import { nodesOf } from "../../src/graph/topology.js";
import { verifyGraph } from "../../src/graph/verify.js";
import { legalize } from "../../src/schedule/fusion/legalize.js";
import { expand } from "../../src/passes/expand.js";
import { entriesOf, readSpec } from "../helpers/specs.js";

const facts = { corpus: { vocabulary: ["a", "b", "c", "d"] } };
const small = { width: "8", heads: "2", layers: "1", context: "4", "train.batch": "2" };
const graphs = ["moby-dick", "nanogpt", "sublayer"].flatMap(
  (name) => entriesOf(readSpec(name), name === "sublayer" ? {} : { facts, set: small }).graphs,
);

describe.each(graphs.map((graph, i) => [`${i} ${graph.name}`, graph] as const))("entry %s", (_, graph) => {
  it("is sound, and stays so through the passes", () => {
    expect(verifyGraph(graph)).toEqual([]);
    expect(verifyGraph(expand(graph, () => true))).toEqual([]);
    expect(verifyGraph(legalize(graph))).toEqual([]);
  });

  it("reads back as it prints", () => {
    const text = printGraph(graph);
    expect(printGraph(parseGraph(text))).toBe(text);
  });
});

it("prints a node a line", () => {
  const b = createBuilder();
  const x = b.input("x", [2, 3], "f32");
  const w = b.parameter("w", [3, 4]);
  const graph: Graph = {
    name: "small",
    outputs: new Map([["y", b.tanh(b.contract("ab,bc->ac", x, w))]]),
    updates: new Map([[w, b.mul(w, b.fill(0.5, [3, 4]))]]),
  };
  expect(printGraph(graph)).toMatchInlineSnapshot(`
    "graph small {
      %0: f32[2,3] = input {"name":"x"}
      %1: f32[3,4] = parameter {"name":"w"}
      %2: f32[2,4] = contract %0, %1 {"spec":"ab,bc->ac"}
      %3: f32[2,4] = tanh %2
      %4: f32[] = constant {"value":0.5}
      %5: f32[3,4] = broadcast %4 {"axes":[]}
      %6: f32[3,4] = mul %1, %5
      output "y" = %3
      update %1 = %6
    }"
  `);
});

it("refuses text that is not a graph, with the line", () => {
  expect(() => parseGraph("graph g {\n  %0: f32[2] = frobnicate\n}")).toThrow(/frobnicate/);
  expect(() => parseGraph("graph g {\n  %1: f32[2] = neg %0\n}")).toThrow(/%0/);
});

it("the verifier names what is wrong", () => {
  const b = createBuilder();
  const x = b.input("x", [2], "f32");
  const broken = { ...b.neg(x), shape: [3] } as Node;
  expect(verifyGraph({ name: "g", outputs: new Map([["y", broken]]), updates: new Map() })[0]).toMatch(
    /neg: is f32\[3\], and the table says f32\[2\]/,
  );
  expect(verifyGraph({ name: "g", outputs: new Map(), updates: new Map([[x, b.neg(x)]]) })[0]).toMatch(
    /does not persist/,
  );
  expect(
    verifyGraph({ name: "g", outputs: new Map(), updates: new Map([[b.parameter("w", [3]), b.neg(x)]]) })[0],
  ).toMatch(/its new value/);
});

it("a constant is a finite f32, with one zero", () => {
  const b = createBuilder();
  expect(b.constant(-0)).toBe(b.constant(0));
  for (const value of [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN, 1e39])
    expect(() => b.constant(value)).toThrow(/not a finite f32/);
  expect(b.constant(0xffffffff, "u32").dtype).toBe("u32");
});

it("equal nodes are one node; sites and epochs keep them apart", () => {
  const b = createBuilder();
  const x = b.input("x", [2], "f32");
  expect(b.exp(x)).toBe(b.exp(x));
  expect(b.make("exp", [x], {}, { site: "a" })).not.toBe(b.exp(x));
  expect(b.make("exp", [x], {}, { epoch: 1 })).not.toBe(b.exp(x));
  expect(() => b.add(x, b.input("y", [3], "f32"))).toThrow(/one shape/);
});

describe("a read that counts through an axis", () => {
  const counting = (sizes: readonly [number, number], steps: readonly [number, number], offset = 0): Node => {
    const b = createBuilder();
    const at = (axis: number, step: number): [number, number] => [axis, step];
    return b.affine(
      b.input("x", [12, 5], "f32"),
      [sizes[0], 5, sizes[1]],
      [
        { offset, terms: [at(0, steps[0]), at(2, steps[1])], divisor: 1 },
        { offset: 0, terms: [at(1, 1)], divisor: 1 },
      ],
    );
  };

  it("cuts it into the axes that it counts by, and moves nothing", () => {
    const cut = counting([4, 3], [3, 1]);
    expect([cut.op, cut.inputs[0]!.op, cut.inputs[0]!.shape]).toEqual(["broadcast", "reshape", [4, 3, 5]]);
    const x = Float64Array.from({ length: 60 }, (_, i) => i);
    const { outputs } = evaluate(
      { name: "cut", outputs: new Map([["y", cut]]), updates: new Map() },
      new Map([["x", x]]),
    );
    // y[p, w, a] = x[3 p + a, w]
    const wanted = Array.from({ length: 60 }, (_, i) => {
      const [p, w, a] = [Math.floor(i / 15), Math.floor(i / 3) % 5, i % 3];
      return x[(3 * p + a) * 5 + w]!;
    });
    expect([...outputs.get("y")!]).toEqual(wanted);
  });

  it.each([
    ["begins elsewhere", counting([4, 3], [3, 1], 1)],
    ["overlaps", counting([4, 3], [2, 1])],
    ["leaves something out", counting([3, 3], [4, 1])],
    ["ends early", counting([3, 3], [3, 1])],
  ])("is a read like any other where it %s", (_, node) => expect(node.op).toBe("affine"));
});

describe("products of many factors", () => {
  const sizes: Record<string, number> = { a: 2, b: 3, c: 4, d: 5 };
  const labels = fc.uniqueArray(fc.constantFrom("a", "b", "c", "d"), { maxLength: 3 });

  it("are Einstein's sum, whatever the order", () => {
    fc.assert(
      fc.property(
        fc.array(labels, { minLength: 1, maxLength: 8 }),
        fc.uniqueArray(fc.constantFrom("a", "b", "c", "d")),
        (factors, wanted) => {
          const used = [...new Set(factors.flat())];
          const out = wanted.filter((label) => used.includes(label));
          const b = createBuilder();
          const values = new Map<string, number[]>();
          const parts = factors.map((own, i): LabelledTensor => {
            const size = own.reduce((product, label) => product * sizes[label]!, 1);
            values.set(
              `${i}`,
              Array.from({ length: size }, (_, at) => Math.cos(at + 3 * i)),
            );
            return {
              node: b.input(
                `${i}`,
                own.map((label) => sizes[label]!),
                "f32",
              ),
              labels: own,
            };
          });
          const { node } = contractAll(b, parts, out);
          const got = evaluate({ name: "g", outputs: new Map([["y", node]]), updates: new Map() }, values).outputs.get(
            "y",
          )!;
          const at = (own: readonly string[], index: Readonly<Record<string, number>>): number =>
            own.reduce((offset, label) => offset * sizes[label]! + index[label]!, 0);
          const expected = new Float64Array(out.reduce((product, label) => product * sizes[label]!, 1));
          const loop = (rest: readonly string[], index: Readonly<Record<string, number>>): void => {
            const [label, ...others] = rest;
            if (label === undefined)
              expected[at(out, index)]! += factors.reduce(
                (product, own, i) => product * values.get(`${i}`)![at(own, index)]!,
                1,
              );
            else for (let i = 0; i < sizes[label]!; i++) loop(others, { ...index, [label]: i });
          };
          loop(used, {});
          expect(node.shape).toEqual(out.map((label) => sizes[label]!));
          expected.forEach((value, i) => expect(got[i]).toBeCloseTo(value, 8));
        },
      ),
      { numRuns: 80 },
    );
  });

  it("cost what the cheapest bracketing of a chain of matrices costs", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 2, max: 40 }), { minLength: 3, maxLength: 7 }),
        fc.nat(5),
        (dims, turn) => {
          const b = createBuilder();
          const label = (i: number): string => `l${i}`;
          const chain = dims.slice(1).map((size, i): LabelledTensor => ({
            node: b.input(`m${i}`, [dims[i]!, size], "f32"),
            labels: [label(i), label(i + 1)],
          }));
          // The order in which the factors are written is not the order in which they are multiplied.
          const written = chain
            .map((_, i) => chain[(i * 5 + turn) % chain.length]!)
            .filter((factor, i, all) => all.indexOf(factor) === i);
          fc.pre(written.length === chain.length);
          const { node } = contractAll(b, written, [label(0), label(dims.length - 1)]);
          const products = nodesOf({ name: "g", outputs: new Map([["y", node]]), updates: new Map() }).filter(
            (made) => made.op === "contract",
          );
          const cost = products.reduce((total, made) => total + opTable.contract.flops(made) / 2, 0);
          // The textbook's dynamic programme over intervals.
          const best = (from: number, to: number): number =>
            to - from < 2
              ? 0
              : Math.min(
                  ...Array.from({ length: to - from - 1 }, (_, i) => {
                    const at = from + 1 + i;
                    return best(from, at) + best(at, to) + dims[from]! * dims[at]! * dims[to]!;
                  }),
                );
          expect(cost).toBe(best(0, dims.length - 1));
        },
      ),
    );
  });
});
