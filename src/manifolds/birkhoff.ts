/**
 * The Birkhoff polytope: doubly stochastic n x n matrices, the convex hull of the permutations. Two maps: Sinkhorn's (free
 * coordinates are n x n logits), which makes rows exact and columns nearly so, and a softmax-weighted sum of all permutations
 * (n! weights, n <= 5), which is exact. `exact` ends Sinkhorn with the rounding of Altschuler, Weed and Rigollet
 * (Near-linear time approximation algorithms for optimal transport via Sinkhorn iteration, NeurIPS 2017, algorithm 2): scale rows
 * down to sums of at most 1, then columns, then add the rank-one matrix r c^T / |r|_1 of what is missing.
 */
import type { Builder } from "../graph/builder.js";
import type { Node } from "../graph/node.js";
import { known, multiply } from "../graph/sizes.js";
import type { Manifold } from "./manifold.js";

const MOST_PERMUTED = 5;
const factorial = (n: number): number => (n <= 1 ? 1 : n * factorial(n - 1));

export const birkhoff: Manifold = {
  name: "birkhoff",
  summary: "doubly stochastic matrices: no negative entry, every row and every column sums to 1",
  options: {
    iterations: { kind: "integer", default: 20, from: 1, to: 1000 },
    convention: { kind: "choice", default: "paper", choices: ["paper", "deepseek"] },
    exact: { kind: "flag", default: false },
    by: { kind: "choice", default: "sinkhorn", choices: ["sinkhorn", "permutations"] },
  },
  free: (n, { by }) => {
    if (by !== "permutations") return multiply(n, n);
    if (n.value === null) return { error: "needs a known size to count permutations" };
    return n.value <= MOST_PERMUTED ? known(factorial(n.value)) : { error: `has ${n.value}! permutations at n = ${n.value}; at most n = ${MOST_PERMUTED} are spelt out` };
  },
  // Near the identity: a start at 0 would average the lanes away.
  start: ({ by }) => ({ kind: by === "permutations" ? "first" : "identity", value: 4 }),
  map: (b, free, shape, { iterations, convention, exact, by }) => {
    if (!free) throw new Error("manifolds: birkhoff has free coordinates");
    const n = shape[shape.length - 1]!;
    if (by === "permutations") return permuted(b, free, shape, n);
    const logits = b.reshape(free, shape);
    const paper = convention === "paper";
    const p = b.sinkhorn(logits, { iterations: iterations as number, convention: paper ? "paper" : "deepseek", epsilon: paper ? 0 : 1e-6 });
    return exact ? rounded(b, p) : p;
  },
  violation: (b, p) => {
    const rank = p.shape.length;
    const rows = b.reduceMax(off(b, b.sum(p, [rank - 1])), [rank - 2]);
    const columns = b.reduceMax(off(b, b.sum(p, [rank - 2])), [rank - 2]);
    const negative = b.reduceMax(b.max(b.neg(p), b.fill(0, p.shape)), [rank - 2, rank - 1]);
    return b.max(b.max(rows, columns), negative);
  },
  tolerance: ({ exact, by }) => (exact || by === "permutations" ? 1e-5 : null),
  closedUnderProduct: true,
};

const off = (b: Builder, sums: Node): Node => b.abs(b.sub(sums, b.fill(1, sums.shape)));

/** All permutations of 0 .. n-1, the identity first. */
export function permutations(n: number): number[][] {
  if (n === 0) return [[]];
  return permutations(n - 1).flatMap((rest) => Array.from({ length: n }, (_, i) => [...rest.slice(0, n - 1 - i), n - 1, ...rest.slice(n - 1 - i)]));
}

function permuted(b: Builder, free: Node, shape: readonly number[], n: number): Node {
  const all = permutations(n);
  const data = all.flatMap((order) => Array.from({ length: n * n }, (_, at) => (order[Math.floor(at / n)] === at % n ? 1 : 0)));
  const letters = "abcdefghijkl".slice(0, free.shape.length - 1);
  return b.reshape(b.contract(`${letters}p,pxy->${letters}xy`, b.softmax(free), b.literal([all.length, n, n], data)), shape);
}

function rounded(b: Builder, p: Node): Node {
  const rank = p.shape.length;
  const rowAxes = p.shape.map((_, axis) => axis).filter((axis) => axis !== rank - 1);
  const columnAxes = p.shape.map((_, axis) => axis).filter((axis) => axis !== rank - 2);
  const atMostOne = (x: Node, axis: number, kept: readonly number[]): Node => {
    const sums = b.sum(x, [axis]);
    const ones = b.fill(1, sums.shape);
    return b.mul(x, b.broadcast(b.div(ones, b.max(sums, ones)), x.shape, kept));
  };
  const q = atMostOne(atMostOne(p, rank - 1, rowAxes), rank - 2, columnAxes);
  const missing = (axis: number): Node => {
    const sums = b.sum(q, [axis]);
    return b.max(b.sub(b.fill(1, sums.shape), sums), b.fill(0, sums.shape));
  };
  const rows = missing(rank - 1);
  const columns = missing(rank - 2);
  const total = b.sum(rows, [rank - 2]);
  // When nothing is missing the correction is 0 / 0: the denominator is kept away from it, the numerator is then 0.
  const safe = b.max(total, b.fill(1e-30, total.shape));
  const share = b.div(rows, b.broadcast(safe, rows.shape, total.shape.map((_, axis) => axis)));
  return b.add(q, b.mul(b.broadcast(share, p.shape, rowAxes), b.broadcast(columns, p.shape, columnAxes)));
}
