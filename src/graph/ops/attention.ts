/**
 * Attention: rows of the op table for softmax(scale * q k^T) v and what its derivative needs, so that no kernel has to
 * keep a value for each pair of a query and a key. The forward pass also gives the log of the sum of exponentials of
 * each row of scores; the derivative makes the weights again from it, p = exp(s - lse), and needs of the forward pass
 * only its result, since the sum of p * dp along a row is the sum of the result times its cotangent (Dao 2023,
 * FlashAttention-2). Each row's expansion is its definition.
 *
 * Queries are [b, t, h, d], keys [b, u, h, d], values [b, u, h, e], the result [b, t, h, e], the logs [b, h, t]. With
 * `causal` a query sees the keys u <= t. FLOPs count the pairs that are seen: about half of them with `causal`.
 */
import { mustAt } from "../../../runtime/lookup.js";
import type { Builder } from "../builder.js";
import type { Attributes, Node } from "../node.js";
import { sameShape, sizeOf, type Inferred, type OpRecord, type Sample, type Value } from "../record.js";

/** The value of a score that does not exist, in place of minus infinity: the lowest f32. */
export const ABSENT = -3.4028234663852886e38;

type AttentionAttributes = Attributes["attention"];

interface AttentionSizes {
  readonly batch: number;
  readonly queries: number;
  readonly keys: number;
  readonly heads: number;
  /** How many numbers a query and a key have (`depth`), and a value (`width`). */
  readonly depth: number;
  readonly width: number;
}

type Rank4 = readonly [number, number, number, number];

/** Sizes by the operands q, k and v; without v, `width` is 0. */
export function attentionSizes(inputs: readonly Node[]): AttentionSizes {
  const sizesOf = (operand: number): Rank4 => mustAt(inputs, operand).shape as Rank4;
  const [batch, queries, heads, depth] = sizesOf(0);
  const [, keys] = sizesOf(1);
  return { batch, queries, keys, heads, depth, width: inputs[2]?.shape[3] ?? 0 };
}

/** Pairs of a query and a key that it sees. */
function pairs({ batch, queries, keys, heads }: AttentionSizes, causal: boolean): number {
  const seen = Math.min(queries, keys);
  return batch * heads * (causal ? (seen * (seen + 1)) / 2 + (queries - seen) * keys : queries * keys);
}

function infer(
  inputs: readonly Node[],
  result: (sizes: AttentionSizes) => readonly (readonly number[])[],
  shape: (sizes: AttentionSizes) => readonly number[],
): Inferred | string {
  if (
    inputs.some((input) => input.dtype !== "f32") ||
    inputs.length < 2 ||
    inputs.slice(0, 2).some((input) => input.shape.length !== 4)
  )
    return "takes f32 operands: queries and keys of rank 4, …";
  const sizes = attentionSizes(inputs);
  const wanted = result(sizes);
  if (inputs.length !== wanted.length) return `takes ${wanted.length} operands`;
  for (const [i, input] of inputs.entries()) {
    const expected = mustAt(wanted, i);
    if (!sameShape(input.shape, expected))
      return `operand ${i} is [${input.shape.join(",")}], not [${expected.join(",")}]`;
  }
  return { shape: shape(sizes), dtype: "f32" };
}

const shapes = {
  q: ({ batch, queries, heads, depth }: AttentionSizes) => [batch, queries, heads, depth],
  k: ({ batch, keys, heads, depth }: AttentionSizes) => [batch, keys, heads, depth],
  v: ({ batch, keys, heads, width }: AttentionSizes) => [batch, keys, heads, width],
  o: ({ batch, queries, heads, width }: AttentionSizes) => [batch, queries, heads, width],
  lse: ({ batch, queries, heads }: AttentionSizes) => [batch, heads, queries],
};

/** Scores as [b, h, t, u], those that do not exist as ABSENT. */
function scores(b: Builder, q: Node, k: Node, { scale, causal }: AttentionAttributes): Node {
  const products = b.contract("bthd,buhd->bhtu", q, k);
  const scaled = b.mul(products, b.fill(scale, products.shape));
  if (!causal) return scaled;
  const seen = b.le(b.iota(scaled.shape, 3), b.iota(scaled.shape, 2));
  return b.select(seen, scaled, b.fill(ABSENT, scaled.shape));
}

/** Walks over rows of scores: the offsets of the query, of the result and of the log, and the keys that are seen. */
function rows(
  sizes: AttentionSizes,
  causal: boolean,
  visit: (row: {
    readonly q: number;
    readonly o: number;
    readonly lse: number;
    readonly k: (u: number) => number;
    readonly v: (u: number) => number;
    readonly seen: number;
  }) => void,
): void {
  const { batch, queries, keys, heads, depth, width } = sizes;
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      for (let t = 0; t < queries; t++) {
        const at = (b * queries + t) * heads + h;
        const key = (u: number): number => (b * keys + u) * heads + h;
        visit({
          q: at * depth,
          o: at * width,
          lse: (b * heads + h) * queries + t,
          seen: causal ? Math.min(keys, t + 1) : keys,
          k: (u) => key(u) * depth,
          v: (u) => key(u) * width,
        });
      }
    }
  }
}

/** The product of `size` values of x from `at` on with as many of y from `from` on. */
function dot(x: Value, at: number, y: Value, from: number, size: number): number {
  let total = 0;
  for (let i = 0; i < size; i++) total += x[at + i]! * y[from + i]!;
  return total;
}

/** What adds `factor` times `size` values of y from `from` on to as many of `out` from `at` on. */
const adder =
  (out: Float64Array, size: number) =>
  (at: number, factor: number, y: Value, from: number): void => {
    for (let i = 0; i < size; i++) out[at + i]! += factor * y[from + i]!;
  };

const draw = (shape: readonly number[]): Sample => ({ shape, dtype: "f32", low: -2, high: 2 });

/** Sizes with tails in every direction, with and without a mask; more keys than queries and fewer. */
const CASES: readonly { readonly sizes: AttentionSizes; readonly attrs: AttentionAttributes }[] = [
  { sizes: { batch: 2, queries: 5, keys: 5, heads: 3, depth: 4, width: 4 }, attrs: { scale: 0.5, causal: true } },
  { sizes: { batch: 1, queries: 3, keys: 7, heads: 2, depth: 5, width: 3 }, attrs: { scale: -0.4, causal: false } },
  { sizes: { batch: 2, queries: 7, keys: 4, heads: 1, depth: 1, width: 2 }, attrs: { scale: 1, causal: true } },
  { sizes: { batch: 1, queries: 2, keys: 6, heads: 2, depth: 2, width: 1 }, attrs: { scale: 0.7, causal: true } },
];

/** Records of attention and what its derivative needs. */
export const attentions = {
  attention: {
    infer: (inputs) => infer(inputs, (s) => [shapes.q(s), shapes.k(s), shapes.v(s)], shapes.o),
    evaluate: (node, [q, k, v]) => {
      const sizes = attentionSizes(node.inputs);
      const out = new Float64Array(sizeOf(node.shape));
      const add = adder(out, sizes.width);
      rows(sizes, node.attrs.causal, (row) => {
        const s = Array.from(
          { length: row.seen },
          (_, u) => node.attrs.scale * dot(q, row.q, k, row.k(u), sizes.depth),
        );
        const largest = s.reduce((x, y) => Math.max(x, y));
        const weights = s.map((x) => Math.exp(x - largest));
        const total = weights.reduce((x, y) => x + y);
        weights.forEach((weight, u) => add(row.o, weight / total, v, row.v(u)));
      });
      return out;
    },
    vjp: (b, node, g) => {
      const [q, k, v] = node.inputs;
      const lse = b.make("attention_lse", [q, k], node.attrs);
      const wrt = (which: Attributes["attention_vjp"]["wrt"]): Node =>
        b.make("attention_vjp", [q, k, v, node, lse, g], { ...node.attrs, wrt: which });
      return [wrt("query"), wrt("key"), wrt("value")];
    },
    flops: (node) => {
      const sizes = attentionSizes(node.inputs);
      return pairs(sizes, node.attrs.causal) * (2 * sizes.depth + 2 * sizes.width + 5);
    },
    expand: (b, node) => {
      const [q, k, v] = node.inputs;
      return b.contract("bhtu,buhe->bthe", b.softmax(scores(b, q, k, node.attrs)), v);
    },
    cases: CASES.map(({ sizes, attrs }) => ({
      attrs,
      inputs: [shapes.q(sizes), shapes.k(sizes), shapes.v(sizes)].map(draw),
    })),
  } satisfies OpRecord<"attention">,
  attention_lse: {
    infer: (inputs) => infer(inputs, (s) => [shapes.q(s), shapes.k(s)], shapes.lse),
    evaluate: (node, [q, k]) => {
      const sizes = attentionSizes(node.inputs);
      const out = new Float64Array(sizeOf(node.shape));
      rows(sizes, node.attrs.causal, (row) => {
        const s = Array.from(
          { length: row.seen },
          (_, u) => node.attrs.scale * dot(q, row.q, k, row.k(u), sizes.depth),
        );
        const largest = s.reduce((x, y) => Math.max(x, y));
        out[row.lse] = largest + Math.log(s.reduce((total, x) => total + Math.exp(x - largest), 0));
      });
      return out;
    },
    vjp: null,
    // The scores are counted where the result is made: one kernel makes both.
    flops: (node) => 2 * sizeOf(node.shape),
    expand: (b, node) => {
      const s = scores(b, node.inputs[0], node.inputs[1], node.attrs);
      const largest = b.reduceMax(s, [3]);
      const total = b.sum(b.exp(b.sub(s, b.broadcast(largest, s.shape, [0, 1, 2]))), [3]);
      return b.add(largest, b.log(total));
    },
    cases: CASES.map(({ sizes, attrs }) => ({ attrs, inputs: [shapes.q(sizes), shapes.k(sizes)].map(draw) })),
  } satisfies OpRecord<"attention_lse">,
  attention_vjp: {
    infer: (inputs, { wrt }) =>
      infer(
        inputs,
        (s) => [shapes.q(s), shapes.k(s), shapes.v(s), shapes.o(s), shapes.lse(s), shapes.o(s)],
        wrt === "query" ? shapes.q : wrt === "key" ? shapes.k : shapes.v,
      ),
    evaluate: (node, [q, k, v, o, lse, g]) => {
      const sizes = attentionSizes(node.inputs);
      const { scale, causal, wrt } = node.attrs;
      const out = new Float64Array(sizeOf(node.shape));
      const add = adder(out, wrt === "value" ? sizes.width : sizes.depth);
      rows(sizes, causal, (row) => {
        const delta = dot(o, row.o, g, row.o, sizes.width);
        for (let u = 0; u < row.seen; u++) {
          const p = Math.exp(scale * dot(q, row.q, k, row.k(u), sizes.depth) - lse[row.lse]!);
          const ds = scale * p * (dot(g, row.o, v, row.v(u), sizes.width) - delta);
          if (wrt === "query") add(row.q, ds, k, row.k(u));
          else if (wrt === "key") add(row.k(u), ds, q, row.q);
          else add(row.v(u), p, g, row.o);
        }
      });
      return out;
    },
    vjp: null,
    // Five products in all: the scores again and dq; dk; the cotangent of the weights and dv.
    flops: (node) => {
      const sizes = attentionSizes(node.inputs);
      const each = { query: 4 * sizes.depth + 5, key: 2 * sizes.depth, value: 4 * sizes.width };
      return pairs(sizes, node.attrs.causal) * each[node.attrs.wrt];
    },
    expand: (b, node) => {
      const [q, k, v, o, lse, g] = node.inputs;
      const s = scores(b, q, k, node.attrs);
      const p = b.exp(b.sub(s, b.broadcast(lse, s.shape, [0, 1, 2])));
      if (node.attrs.wrt === "value") return b.contract("bhtu,bthe->buhe", p, g);
      const delta = b.broadcast(b.sum(b.mul(o, g), [3]), s.shape, [0, 2, 1]);
      const ds = b.mul(b.mul(p, b.sub(b.contract("bthe,buhe->bhtu", g, v), delta)), b.fill(node.attrs.scale, s.shape));
      return node.attrs.wrt === "query" ? b.contract("bhtu,buhd->bthd", ds, k) : b.contract("bhtu,bthd->buhd", ds, q);
    },
    cases: CASES.flatMap(({ sizes, attrs }) =>
      (["query", "key", "value"] as const).map((wrt) => ({
        attrs: { ...attrs, wrt },
        inputs: [
          shapes.q(sizes),
          shapes.k(sizes),
          shapes.v(sizes),
          shapes.o(sizes),
          shapes.lse(sizes),
          shapes.o(sizes),
        ].map(draw),
      })),
    ),
  } satisfies OpRecord<"attention_vjp">,
};
