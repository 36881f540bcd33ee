/**
 * Recompute by the text before and the text after, and by what must not change: values, random numbers, and how often a
 * block runs.
 */
import { describe, expect, it } from "vitest";
import { createBuilder } from "../../src/graph/create-builder.js";
import { evaluate } from "../../src/graph/evaluate.js";
import type { Graph, Node } from "../../src/graph/node.js";
import { activationsOf, lanesOf, type Connection, type Forward } from "../../src/graph/streams.js";
import { printGraph } from "../../src/graph/text.js";
import { nodesOf, topological } from "../../src/graph/topology.js";
import { verifyGraph } from "../../src/graph/verify.js";
import { gradients } from "../../src/graph/differentiate.js";
import { footprint, recompute, segmentLength } from "../../src/passes/recompute.js";
import { legalize } from "../../src/schedule/fusion/legalize.js";
import { entriesOf, readSpec } from "../helpers/specs.js";
import { random } from "../helpers/cases.js";

const lines = (...text: string[]): string => ["graph g {", ...text.map((line) => `  ${line}`), "}"].join("\n");

/** x + sin(x) . w, so often; the gradient of the sum of the last x by every w. */
function chained(count: number): { graph: Graph; forward: Forward } {
  const b = createBuilder();
  let x = b.input("x", [2, 3], "f32");
  const weights: Node[] = [];
  const chain: Connection[] = [];
  for (let i = 0; i < count; i++) {
    const w = b.parameter(`w${i}`, [3, 3]);
    const y = b.contract("ab,bc->ac", b.sin(x), w);
    const after = b.add(x, y);
    chain.push({ before: x, after, stream: "x", mix: { kind: "unknown" }, blocks: [{ inputs: [x], output: y }] });
    weights.push(w);
    x = after;
  }
  const loss = b.sum(b.mul(x, x), [0, 1]);
  const found = gradients(b, loss, weights);
  return {
    graph: {
      name: "g",
      outputs: new Map([["loss", loss], ...found.map((node, i) => [`d${i}`, node] as const)]),
      updates: new Map(),
      streams: activationsOf([chain]),
    },
    forward: { results: [loss], chains: [chain] },
  };
}

describe("the pass", () => {
  it("makes again what lies between the kept streams, and not what the block returned", () => {
    const { graph, forward } = chained(2);
    expect(printGraph(graph)).toBe(
      lines(
        '%0: f32[2,3] = input {"name":"x"}',
        '%1: f32[3,3] = parameter {"name":"w0"}',
        "%2: f32[2,3] = sin %0",
        '%3: f32[2,3] = contract %2, %1 {"spec":"ab,bc->ac"}',
        "%4: f32[2,3] = add %0, %3",
        '%5: f32[3,3] = parameter {"name":"w1"}',
        "%6: f32[2,3] = sin %4",
        '%7: f32[2,3] = contract %6, %5 {"spec":"ab,bc->ac"}',
        "%8: f32[2,3] = add %4, %7",
        "%9: f32[2,3] = mul %8, %8",
        '%10: f32[] = sum %9 {"axes":[0,1]}',
        "%11: f32[2,3] = add %8, %8",
        '%12: f32[2,3] = contract %11, %5 {"spec":"ac,bc->ab"}',
        '%13: f32[3,3] = contract %11, %6 {"spec":"ac,ab->bc"}',
        "%14: f32[2,3] = cos %4",
        "%15: f32[2,3] = mul %12, %14",
        "%16: f32[2,3] = add %11, %15",
        '%17: f32[3,3] = contract %16, %2 {"spec":"ac,ab->bc"}',
        'output "loss" = %10',
        'output "d0" = %17',
        'output "d1" = %13',
      ),
    );
    // Two segments of one connection: of the first, the sine is made again from the input; the last is left alone.
    expect(printGraph(recompute(graph, forward, () => 1))).toBe(
      lines(
        '%0: f32[2,3] = input {"name":"x"}',
        '%1: f32[3,3] = parameter {"name":"w0"}',
        "%2: f32[2,3] = sin %0",
        '%3: f32[2,3] = contract %2, %1 {"spec":"ab,bc->ac"}',
        "%4: f32[2,3] = add %0, %3",
        '%5: f32[3,3] = parameter {"name":"w1"}',
        "%6: f32[2,3] = sin %4",
        '%7: f32[2,3] = contract %6, %5 {"spec":"ab,bc->ac"}',
        "%8: f32[2,3] = add %4, %7",
        "%9: f32[2,3] = mul %8, %8",
        '%10: f32[] = sum %9 {"axes":[0,1]}',
        "%11: f32[2,3] = add %8, %8",
        '%12: f32[2,3] = contract %11, %5 {"spec":"ac,bc->ab"}',
        '%13: f32[3,3] = contract %11, %6 {"spec":"ac,ab->bc"}',
        "%14: f32[2,3] = cos %4",
        "%15: f32[2,3] = mul %12, %14",
        "%16: f32[2,3] = add %11, %15",
        "%17: f32[2,3] = sin %0 #1",
        '%18: f32[3,3] = contract %16, %17 {"spec":"ac,ab->bc"}',
        'output "loss" = %10',
        'output "d0" = %18',
        'output "d1" = %13',
      ),
    );
  });

  it("makes a stream inside a segment again from what the blocks returned", () => {
    const { graph, forward } = chained(4);
    const text = printGraph(recompute(graph, forward, () => 2));
    // The stream between the first two connections, its sine, and the sine of the input; nothing of the last two
    // connections.
    expect(text.match(/.* #1$/gm)?.map((line) => line.replace(/%\d+/g, "%").trim())).toEqual([
      "%: f32[2,3] = add %, % #1",
      "%: f32[2,3] = sin % #1",
      "%: f32[2,3] = sin % #1",
    ]);
    expect(text).not.toMatch(/#2/);
    expect(text.match(/= contract /g)).toHaveLength(printGraph(graph).match(/= contract /g)!.length);
  });

  it("has nothing to do when all connections are one segment", () => {
    const { graph, forward } = chained(3);
    expect(printGraph(recompute(graph, forward, () => 3))).toBe(printGraph(graph));
    expect(printGraph(recompute(graph, forward, () => 100))).toBe(printGraph(graph));
  });

  it("draws the same random numbers again", () => {
    const b = createBuilder();
    const shape = [2, 3];
    const zero = b.fill(0, shape, "u32");
    let x = b.input("x", shape, "f32");
    const w = b.parameter("w", [3, 3]);
    const chain: Connection[] = [];
    for (let i = 0; i < 2; i++) {
      const bits = b.make(
        "threefry",
        [b.broadcast(b.input("seed", [], "u32"), shape, []), zero, b.cast(b.iota(shape, 1), "u32"), zero],
        { word: 0 },
        { site: `layers.${i}.dropout` },
      );
      const kept = b.mul(b.sin(x), b.cast(b.lt(b.cast(bits, "f32"), b.fill(2 ** 31, shape)), "f32"));
      const y = b.contract("ab,bc->ac", kept, w);
      const after = b.add(x, y);
      chain.push({ before: x, after, stream: "x", mix: { kind: "unknown" }, blocks: [{ inputs: [x], output: y }] });
      x = after;
    }
    const loss = b.sum(x, [0, 1]);
    const graph: Graph = { name: "g", outputs: new Map([["dw", gradients(b, loss, [w])[0]!]]), updates: new Map() };
    const made = recompute(graph, { results: [loss], chains: [chain] }, () => 1);
    const sites = nodesOf(made)
      .filter(({ op }) => op === "threefry")
      .map(({ site, epoch }) => `${site} ${epoch}`);
    expect(sites).toContain("layers.0.dropout 1");
    const values = new Map<string, readonly number[]>([
      ["x", [1, -2, 3, 0.5, 0.25, -1]],
      ["w", [1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => n / 10)],
      ["seed", [7]],
    ]);
    expect([...evaluate(made, values).outputs.get("dw")!]).toEqual([...evaluate(graph, values).outputs.get("dw")!]);
  });

  it("keeps what an expansion makes of a clone apart from what it makes of the original", () => {
    const b = createBuilder();
    const x = b.input("x", [4], "f32");
    const once = b.make("silu", [x], {});
    const twice = b.make("silu", [x], {}, { epoch: 1 });
    const graph = legalize({
      name: "g",
      outputs: new Map([
        ["a", once],
        ["b", twice],
      ]),
      updates: new Map(),
    });
    const [a, c] = [...graph.outputs.values()].map((node) => new Set(topological([node]))) as [Set<Node>, Set<Node>];
    expect([...c].filter((node) => a.has(node)).map(({ op }) => op)).toEqual(["input"]);
  });
});

describe("segments of the paper's length", () => {
  it.each([
    [4, 48, 6],
    [4, 96, 8],
    [4, 8, 2],
    [4, 24, 4],
    [1, 48, 4],
    [4, 1, 1],
    [2, 2, 1],
  ])("%i lanes, %i connections: %i", (lanes, connections, expected) => {
    const every = segmentLength(lanes, connections);
    expect(every).toBe(expected);
    expect(Math.abs(every - Math.sqrt((lanes * connections) / (lanes + 2)))).toBeLessThan(1);
    // No other length has a footprint that is much smaller: the root is that of the smooth function, and whole segments
    // have steps.
    const best = Math.min(...Array.from({ length: connections }, (_, i) => footprint(lanes, connections, i + 1)));
    expect(footprint(lanes, connections, every)).toBeLessThanOrEqual(1.1 * best);
  });
});

const small = { layers: "3", width: "12", heads: "3", context: "5", "train.batch": "2" };
const facts = { corpus: { vocabulary: [..."abcdefg"] } };

describe.each([
  ["moby-dick", 4],
  ["nanogpt", 1],
] as const)("the step of %s", (name, lanes) => {
  const entries = entriesOf(readSpec(name), { set: small, facts });
  const next = random(5);
  const values = new Map<string, number[]>([
    ...[...entries.lowered.parameters, ...entries.states].map(
      ({ name: own, shape }) =>
        [
          own,
          Array.from({ length: shape.reduce((p, s) => p * s, 1) }, () =>
            own.startsWith("v:") ? next() : next() - 0.5,
          ),
        ] as const,
    ),
    ...["corpus.token", "corpus.next"].map(
      (own) => [own, Array.from({ length: 10 }, () => Math.floor(7 * next()))] as const,
    ),
    ["step", [3]],
    ["seed", [1]],
  ]);

  it("has the chain of connections that the page says", () => {
    const { chains } = entries.forwards.get("train")!;
    expect(chains.map((chain) => chain.length)).toEqual([6]);
    expect(lanesOf(chains[0]!)).toBe(lanes);
    chains[0]!.slice(1).forEach(({ before }, i) => expect(before).toBe(chains[0]![i]!.after));
    for (const { blocks } of chains[0]!) expect(blocks).toHaveLength(1);
  });

  it.each(["train", "gradients"])("%s: has the same values in f64, whatever the segments", (own) => {
    const graph = entries.graphs.find((one) => one.name === own)!;
    const before = evaluate(graph, values);
    for (const every of [1, 2, 4, 5]) {
      const made = recompute(graph, entries.forwards.get(own)!, () => every);
      expect(verifyGraph(made)).toEqual([]);
      const after = evaluate(made, values);
      for (const [key, value] of before.outputs) expect(after.outputs.get(key), key).toEqual(value);
      for (const [key, value] of before.updates) expect(after.updates.get(key), key).toEqual(value);
    }
  });

  it("makes the products of connections again, and runs no block twice", () => {
    const made = recompute(entries.graphs[0]!, entries.forwards.get("train")!, () => 2);
    const products = nodesOf(made).filter(({ op, epoch }) => op === "contract" && epoch > 0);
    // Two of three segments, two connections each: three gates and what the block reads of all four, and the mix of the
    // streams inside.
    expect(products).toHaveLength(name === "moby-dick" ? 3 * 4 + 4 + 2 : 0);
    expect([...new Set(nodesOf(made).map(({ epoch }) => epoch))].sort()).toEqual([0, 1, 2]);
  });
});
