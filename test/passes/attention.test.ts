/**
 * Attention is found by structure: by the text before and after, in pages that write it in other words, and not where
 * it is something else.
 */
import { describe, expect, it } from "vitest";
import { type Builder } from "../../src/graph/builder.js";
import { createBuilder } from "../../src/graph/create-builder.js";
import { evaluate } from "../../src/graph/evaluate.js";
import type { Graph, Node } from "../../src/graph/node.js";
import { ABSENT } from "../../src/graph/ops/attention.js";
import { sizeOf } from "../../src/graph/record.js";
import { parseGraph, printGraph } from "../../src/graph/text.js";
import { nodesOf } from "../../src/graph/topology.js";
import { verifyGraph } from "../../src/graph/verify.js";
import { fuseAttention } from "../../src/passes/attention.js";
import { entriesOf } from "../helpers/specs.js";

const lines = (...text: string[]): string => ["graph g {", ...text.map((line) => `  ${line}`), "}"].join("\n");
const graphOf = (outputs: Readonly<Record<string, Node>>): Graph => ({
  name: "g",
  outputs: new Map(Object.entries(outputs)),
  updates: new Map(),
});
const found = (graph: Graph): Node[] => nodesOf(graph).filter(({ op }) => op === "attention");

it("as the standard library writes it", () => {
  const before = lines(
    '%0: f32[2,5,3,4] = input {"name":"q"}',
    '%1: f32[2,5,3,4] = input {"name":"k"}',
    '%2: f32[2,5,3,4] = input {"name":"v"}',
    '%3: f32[2,5,3,5] = contract %0, %1 {"spec":"abcd,aecd->abce"}',
    '%4: f32[] = constant {"value":0.5}',
    '%5: f32[2,5,3,5] = broadcast %4 {"axes":[]}',
    "%6: f32[2,5,3,5] = mul %3, %5",
    '%7: f32[2,3,5,5] = broadcast %6 {"axes":[0,2,1,3]}',
    '%8: u32[5] = iota {"axis":0}',
    '%9: f32[5] = cast %8 {"to":"f32"}',
    '%10: f32[5,5] = broadcast %9 {"axes":[0]}',
    '%11: f32[5,5] = broadcast %9 {"axes":[1]}',
    "%12: bool[5,5] = le %10, %11",
    '%13: bool[2,3,5,5] = broadcast %12 {"axes":[3,2]}',
    `%14: f32[] = constant {"value":${ABSENT}}`,
    '%15: f32[2,3,5,5] = broadcast %14 {"axes":[]}',
    "%16: f32[2,3,5,5] = select %13, %7, %15",
    "%17: f32[2,3,5,5] = softmax %16",
    '%18: f32[2,3,5,4] = contract %17, %2 {"spec":"abcd,adbe->abce"}',
    'output "y" = %18',
  );
  const { graph: made } = fuseAttention(parseGraph(before));
  expect(verifyGraph(made)).toEqual([]);
  expect(printGraph(made)).toBe(
    lines(
      '%0: f32[2,5,3,4] = input {"name":"q"}',
      '%1: f32[2,5,3,4] = input {"name":"k"}',
      '%2: f32[2,5,3,4] = input {"name":"v"}',
      '%3: f32[2,5,3,4] = attention %0, %1, %2 {"scale":0.5,"causal":true}',
      '%4: f32[2,3,5,4] = broadcast %3 {"axes":[0,2,1,3]}',
      'output "y" = %4',
    ),
  );
});

/** How a test may write attention: shapes and letters of the operands, and what happens to the scores. */
interface Writing {
  readonly q: string;
  readonly k: string;
  readonly v: string;
  /** Letters of the product, and of the softmax's operand, whose last letter is softened. */
  readonly scores: string;
  readonly weights: string;
  readonly out: string;
  readonly swapped?: boolean;
  readonly scaled?: (b: Builder, s: Node) => Node;
  /** The letter that u may not exceed. */
  readonly mask?: string;
}

const SIZES: Readonly<Record<string, number>> = { b: 2, c: 3, t: 5, u: 4, h: 3, d: 4, e: 2 };
const shape = (letters: string): number[] => [...letters].map((letter) => SIZES[letter]!);

function write(
  b: Builder,
  { q, k, v, scores, weights, out, swapped = false, scaled = (_, s) => s, mask }: Writing,
): { readonly p: Node; readonly y: Node } {
  const input = (name: string, letters: string): Node => b.input(name, shape(letters), "f32");
  const product = swapped
    ? b.contract(`${k},${q}->${scores}`, input("k", k), input("q", q))
    : b.contract(`${q},${k}->${scores}`, input("q", q), input("k", k));
  const moved = b.transpose(
    scaled(b, product),
    [...weights].map((letter) => scores.indexOf(letter)),
  );
  const position = (letter: string): Node =>
    b.broadcast(b.cast(b.iota([SIZES[letter]!], 0), "f32"), moved.shape, [weights.indexOf(letter)]);
  const last = weights[weights.length - 1]!;
  const p = b.softmax(
    mask ? b.select(b.le(position(last), position(mask)), moved, b.fill(ABSENT, moved.shape)) : moved,
  );
  const y = swapped
    ? b.contract(`${v},${weights}->${out}`, input("v", v), p)
    : b.contract(`${weights},${v}->${out}`, p, input("v", v));
  return { p, y };
}

const plain: Writing = { q: "bthd", k: "buhd", v: "buhe", scores: "bhtu", weights: "bhtu", out: "bthe" };
const divided = (b: Builder, s: Node): Node => b.div(b.neg(s), b.broadcast(b.sqrt(b.constant(4)), s.shape, []));
const learned = (b: Builder, s: Node): Node =>
  b.mul(b.broadcast(b.input("temperature", [], "f32"), s.shape, []), b.mul(s, b.fill(0.5, s.shape)));

const FOUND: readonly (readonly [string, Writing, { readonly scale: number; readonly causal: boolean }])[] = [
  ["without a mask or a scale", plain, { scale: 1, causal: false }],
  ["masked, with more queries than keys", { ...plain, mask: "t" }, { scale: 1, causal: true }],
  ["the operands of both products exchanged", { ...plain, swapped: true, mask: "t" }, { scale: 1, causal: true }],
  [
    "other orders of axes everywhere",
    { q: "dhtb", k: "hubd", v: "ebhu", scores: "tbuh", weights: "hbtu", out: "ehtb", mask: "t" },
    { scale: 1, causal: true },
  ],
  ["a quotient and a sign", { ...plain, scaled: divided }, { scale: -0.5, causal: false }],
  ["a learned temperature", { ...plain, scaled: learned, mask: "t" }, { scale: 0.5, causal: true }],
  [
    "one key and value for all heads",
    { q: "bthd", k: "bud", v: "bue", scores: "bhtu", weights: "bhtu", out: "bthe", mask: "t" },
    { scale: 1, causal: true },
  ],
  [
    "without a mask, heads that only the queries have",
    { q: "bthd", k: "bud", v: "bue", scores: "bthu", weights: "bthu", out: "bthe" },
    { scale: 1, causal: false },
  ],
  [
    "two batch axes and no heads",
    { q: "bctd", k: "bcud", v: "bcue", scores: "bctu", weights: "bctu", out: "bcte", mask: "t" },
    { scale: 1, causal: true },
  ],
  [
    "no batch at all",
    { q: "td", k: "ud", v: "ue", scores: "tu", weights: "tu", out: "et", mask: "t" },
    { scale: 1, causal: true },
  ],
  [
    "keys that come from no example",
    { q: "bthd", k: "uhd", v: "uhe", scores: "bhtu", weights: "bhtu", out: "bthe" },
    { scale: 1, causal: false },
  ],
];

describe("is found", () => {
  it.each(FOUND)("%s", (_, writing, attrs) => {
    const b = createBuilder();
    const before = graphOf({ y: write(b, writing).y });
    const { graph: made } = fuseAttention(before);
    expect(verifyGraph(made)).toEqual([]);
    expect(found(made).map((node) => node.attrs)).toEqual([attrs]);
    expect(nodesOf(made).filter(({ op }) => op === "softmax" || op === "contract")).toEqual([]);
    const values = new Map(
      nodesOf(before).flatMap((node, i) =>
        node.op === "input"
          ? [[node.attrs.name, Array.from({ length: sizeOf(node.shape) }, (_, j) => Math.sin(3 * j + i))] as const]
          : [],
      ),
    );
    const want = evaluate(before, values).outputs.get("y")!;
    evaluate(made, values)
      .outputs.get("y")!
      .forEach((value: number, i: number) => expect(value).toBeCloseTo(want[i]!, 12));
  });
});

describe("is not found", () => {
  const none = (outputs: Readonly<Record<string, Node>>): void => {
    const graph = graphOf(outputs);
    const { graph: made } = fuseAttention(graph);
    expect(found(made)).toEqual([]);
    expect(printGraph(made)).toBe(printGraph(graph));
  };

  it("where something else reads the weights", () => {
    const b = createBuilder();
    const { p, y } = write(b, plain);
    none({ y, weights: p });
    none({ y, squares: b.mul(p, p) });
  });

  it("under another mask", () => {
    const b = createBuilder();
    const position = (axis: number): Node => b.cast(b.iota([2, 3, 5, 4], axis), "f32");
    const scores = b.contract(
      "bthd,buhd->bhtu",
      b.input("q", shape("bthd"), "f32"),
      b.input("k", shape("buhd"), "f32"),
    );
    const masked = (condition: Node, fill: number): Node =>
      b.contract(
        "bhtu,buhe->bthe",
        b.softmax(b.select(condition, scores, b.fill(fill, scores.shape))),
        b.input("v", shape("buhe"), "f32"),
      );
    none({ y: masked(b.lt(position(3), position(2)), ABSENT) });
    none({ y: masked(b.le(position(2), position(3)), ABSENT) });
    none({ y: masked(b.le(position(3), position(1)), ABSENT) });
    none({ y: masked(b.le(position(3), position(2)), 0) });
  });

  it("where more than the keys is summed, or the scores are no plain product", () => {
    const b = createBuilder();
    none({ y: write(b, { ...plain, out: "bte" }).y });
    none({ y: write(b, { ...plain, v: "buh", out: "bth" }).y });
    none({ y: write(b, { ...plain, scaled: (own, s) => own.tanh(s) }).y });
    none({ y: write(b, { ...plain, scaled: (own, s) => own.div(own.fill(2, s.shape), s) }).y });
  });
});

const page = (block: string, use: string): string => `
  ${block}
  model Small {
    dim context = 6, width = 8, heads = 2
    data corpus = characters("text", window = context)
    stream x[context, width] = embed(corpus.token) + positions()
    repeat 2 { x through ${use} }
    loss = cross_entropy(unembed(norm(x)), corpus.next)
    train { batch = 2, steps = 5, seed = 1, optimizer = sgd(rate = 0.1) }
  }`;
const facts = { corpus: { vocabulary: ["a", "b", "c"] } };

describe("in a page", () => {
  const count = (text: string): Record<string, number> =>
    Object.fromEntries(entriesOf(text, { facts }).graphs.map((graph) => [graph.name, found(graph).length]));

  it("of the standard library, in every entry", () => {
    expect(count(page("", "attention(heads)"))).toEqual({ train: 2, loss: 2, gradients: 2, forward: 2 });
  });

  it("in a block of one's own, with names, orders and a scale of one's own", () => {
    const own = `block look(n)(y[place, w]) {
      dim c = w / n, other = place
      param a[w, c, n], g[w, n, c], f[n, c, w] ~ normal(0.1)
      ask[n, place, c] = y[place, w] * a[w, c, n] * 0.3
      tell[c, n, other] = y[other, w] * g[w, n, c]
      seen[n, place, other] = softmax[other](ask[n, place, c] * tell[c, n, other] where other <= place)
      return [place, w] = seen[n, place, other] * tell[c, n, other] * f[n, c, w]
    }`;
    expect(count(page(own, "look(heads)"))).toEqual({ train: 2, loss: 2, gradients: 2, forward: 2 });
  });
});
