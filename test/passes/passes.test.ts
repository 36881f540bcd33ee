/** The passes by the text before and the text after: derivatives, expansions, and the loop that rebuilds a graph. */
import { describe, expect, it } from "vitest";
import { createBuilder } from "../../src/graph/create-builder.js";
import { evaluate } from "../../src/graph/evaluate.js";
import type { Graph, Node } from "../../src/graph/node.js";
import { parseGraph, printGraph } from "../../src/graph/text.js";
import { verifyGraph } from "../../src/graph/verify.js";
import { gradients, vjp } from "../../src/graph/differentiate.js";
import { expand } from "../../src/passes/expand.js";
import { remake, replace, rewrite } from "../../src/passes/rewrite.js";

const graphOf = (outputs: Readonly<Record<string, Node>>): Graph => ({
  name: "g",
  outputs: new Map(Object.entries(outputs)),
  updates: new Map(),
});
const lines = (...text: string[]): string => ["graph g {", ...text.map((line) => `  ${line}`), "}"].join("\n");

describe("differentiate", () => {
  it("writes the derivative of a product as products", () => {
    const b = createBuilder();
    const x = b.input("x", [2, 3], "f32");
    const w = b.parameter("w", [3, 4]);
    const g = b.input("g", [2, 4], "f32");
    const [dx, dw] = vjp(b, [b.contract("ab,bc->ac", x, w)], [g], [x, w]) as [Node, Node];
    const graph = graphOf({ dx, dw });
    expect(verifyGraph(graph)).toEqual([]);
    expect(printGraph(graph)).toBe(
      lines(
        '%0: f32[2,3] = input {"name":"x"}',
        '%1: f32[3,4] = parameter {"name":"w"}',
        '%2: f32[2,4] = input {"name":"g"}',
        '%3: f32[2,3] = contract %2, %1 {"spec":"ac,bc->ab"}',
        '%4: f32[3,4] = contract %2, %0 {"spec":"ac,ab->bc"}',
        'output "dx" = %3',
        'output "dw" = %4',
      ),
    );
  });

  it("adds up what comes back over several paths, and over several outputs", () => {
    const b = createBuilder();
    const x = b.input("x", [3], "f32");
    const y = b.exp(x);
    const [dx] = vjp(b, [b.mul(x, y), y], [b.fill(1, [3]), b.fill(10, [3])], [x]) as [Node];
    const at = [0.5, -1, 2];
    const found = evaluate(graphOf({ dx }), new Map([["x", at]])).outputs.get("dx")!;
    at.forEach((value, i) => expect(found[i]).toBeCloseTo(Math.exp(value) * (1 + value + 10), 12));
  });

  it("differentiates by a node inside the graph, the output itself included", () => {
    const b = createBuilder();
    const x = b.input("x", [3], "f32");
    const y = b.sin(x);
    const z = b.sum(b.mul(y, y), [0]);
    const [dy, dz] = gradients(b, z, [y, z]) as [Node, Node];
    const { outputs } = evaluate(graphOf({ dy, dz }), new Map([["x", [1, 2, 3]]]));
    [1, 2, 3].forEach((value, i) => expect(outputs.get("dy")![i]).toBeCloseTo(2 * Math.sin(value), 12));
    expect([...outputs.get("dz")!]).toEqual([1]);
  });

  it("gives zeros of the right shape for what the outputs do not depend on, and visits no op on the way there", () => {
    const b = createBuilder();
    const x = b.input("x", [2], "f32");
    const other = b.input("other", [3, 4], "f32");
    // threefry has no derivative; it must not be asked for one when nothing wanted is behind it.
    const bits = ["a", "b", "c", "d"].map((name) => b.input(name, [2], "u32")) as [Node, Node, Node, Node];
    const noisy = b.mul(x, b.cast(b.threefry(0, ...bits), "f32"));
    const [dx, none] = gradients(b, b.sum(noisy, [0]), [x, other]) as [Node, Node];
    expect(none.shape).toEqual([3, 4]);
    expect([...evaluate(graphOf({ none }), new Map()).outputs.get("none")!]).toEqual(new Array<number>(12).fill(0));
    expect(verifyGraph(graphOf({ dx, none }))).toEqual([]);
  });

  it("names the op that has no derivative", () => {
    const b = createBuilder();
    const z = b.input("z", [3, 3], "f32");
    const attrs = { iterations: 2, convention: "paper", epsilon: 0 } as const;
    const second = b.sinkhornVjp(z, b.input("g", [3, 3], "f32"), attrs);
    expect(() => gradients(b, b.sum(second, [0, 1]), [z])).toThrow(/sinkhorn_vjp has no derivative/);
  });
});

describe("expand", () => {
  const text = lines(
    '%0: f32[2,3] = input {"name":"x"}',
    "%1: f32[2,3] = softmax %0 @head",
    "%2: f32[2,3] = silu %1",
    'output "y" = %2',
  );

  it("replaces what it is asked to, by the definition in the table", () => {
    const flat = expand(parseGraph(text), (node) => node.op === "softmax");
    expect(verifyGraph(flat)).toEqual([]);
    expect(printGraph(flat)).toBe(
      lines(
        '%0: f32[2,3] = input {"name":"x"}',
        '%1: f32[2] = reduce_max %0 {"axes":[1]}',
        '%2: f32[2,3] = broadcast %1 {"axes":[0]}',
        "%3: f32[2,3] = sub %0, %2",
        "%4: f32[2,3] = exp %3",
        '%5: f32[2] = sum %4 {"axes":[1]}',
        '%6: f32[2,3] = broadcast %5 {"axes":[0]}',
        "%7: f32[2,3] = div %4, %6",
        "%8: f32[2,3] = silu %7",
        'output "y" = %8',
      ),
    );
  });

  it("leaves the rest, and the values, as they are", () => {
    const graph = parseGraph(text);
    expect(printGraph(expand(graph, () => false))).toBe(text);
    const x = new Map([["x", [1, -2, 0.5, 3, 0, -1]]]);
    const before = evaluate(graph, x).outputs.get("y")!;
    evaluate(
      expand(graph, () => true),
      x,
    )
      .outputs.get("y")!
      .forEach((value: number, i: number) => expect(value).toBeCloseTo(before[i]!, 14));
  });

  it("expands the composites inside an expansion, in updates too", () => {
    const b = createBuilder();
    const w = b.parameter("w", [4, 4]);
    const projected = b.sinkhorn(w, { iterations: 3, convention: "deepseek", epsilon: 1e-6 });
    const graph: Graph = { name: "g", outputs: new Map(), updates: new Map([[w, b.add(w, projected)]]) };
    const flat = expand(graph, () => true);
    expect(verifyGraph(flat)).toEqual([]);
    expect(printGraph(flat)).not.toMatch(/sinkhorn|softmax/);
    const bindings = new Map([["w", Array.from({ length: 16 }, (_, i) => Math.sin(i))]]);
    const before = evaluate(graph, bindings).updates.get("w")!;
    evaluate(flat, bindings)
      .updates.get("w")!
      .forEach((value: number, i: number) => expect(value).toBeCloseTo(before[i]!, 12));
  });
});

describe("replace", () => {
  it("shows a rule nodes whose inputs are rewritten already, and follows its answer everywhere", () => {
    const graph = parseGraph(
      lines(
        '%0: f32[2] = parameter {"name":"w"}',
        "%1: f32[2] = neg %0",
        "%2: f32[2] = neg %1",
        "%3: f32[2] = exp %2 @drop #3",
        'output "y" = %3',
        'output "z" = %2',
        "update %0 = %2",
      ),
    );
    // neg (neg x) = x
    const made = replace(graph, (_, node) =>
      node.op === "neg" && node.inputs[0]!.op === "neg" ? node.inputs[0]!.inputs[0]! : null,
    );
    expect(verifyGraph(made)).toEqual([]);
    expect(printGraph(made)).toBe(
      lines(
        '%0: f32[2] = parameter {"name":"w"}',
        "%1: f32[2] = exp %0 @drop #3",
        'output "y" = %1',
        'output "z" = %0',
        "update %0 = %0",
      ),
    );
  });

  it("makes one node of two that have become equal", () => {
    const graph = parseGraph(
      lines(
        '%0: f32[2] = input {"name":"x"}',
        "%1: f32[2] = abs %0",
        "%2: f32[2] = exp %0",
        "%3: f32[2] = exp %1",
        "%4: f32[2] = add %2, %3",
        'output "y" = %4',
      ),
    );
    const made = replace(graph, (_, node) => (node.op === "abs" ? node.inputs[0]! : null));
    expect(printGraph(made)).toBe(
      lines('%0: f32[2] = input {"name":"x"}', "%1: f32[2] = exp %0", "%2: f32[2] = add %1, %1", 'output "y" = %2'),
    );
  });
});

describe("rewrite", () => {
  it("says where each node went, and lets nothing ask for a node that is not of the graph", () => {
    const graph = parseGraph(
      lines('%0: f32[2] = input {"name":"x"}', "%1: f32[2] = neg %0", "%2: f32[2] = exp %1", 'output "y" = %2'),
    );
    const b = createBuilder();
    const { graph: made, moved } = rewrite(graph, (node, now) =>
      node.op === "neg" ? b.abs(now(node.inputs[0]!)) : remake(b, node, node.inputs.map(now)),
    );
    expect([...moved].map(([node, now]) => `${node.op} ${now.op}`)).toEqual(["input input", "neg abs", "exp exp"]);
    expect(made.outputs.get("y")).toBe(moved.get(graph.outputs.get("y")!));
    const other = b.neg(b.input("other", [2], "f32"));
    expect(() => rewrite(graph, (_, now) => now(other))).toThrow("has no neg");
  });
});
