/**
 * The probability simplex: vectors of no negative entry that sum to 1. The map is softmax, which reaches the inside
 * only. The projection is the nearest member, max(x - tau, 0) with the threshold tau at which that sums to 1 (Held,
 * Wolfe and Crowder 1974; Duchi and others, Efficient projections onto the l1-ball, ICML 2008). Sorting would find tau;
 * a graph without a sort halves its interval [max - 1, max] a fixed number of times from below, and then solves for it
 * exactly on the entries that are left above. A matrix whose rows are on it is row-stochastic (`stochastic`).
 */
import type { Builder } from "../graph/builder.js";
import type { Node } from "../graph/node.js";
import { largest, over, total } from "./algebra.js";
import { onlyPiece, type ConvexSet } from "./set.js";
import { temperature, tempered } from "./temperature.js";

/** The interval is then as short as the spacing of f32 near 1. */
const HALVINGS = 24;

/** The probability simplex, as the registry has it. */
export const simplex: ConvexSet = {
  kind: "convex",
  name: "simplex",
  summary: "vectors of no negative entry whose sum is 1",
  source: "Duchi, Shalev-Shwartz, Singer and Chandra, ICML 2008",
  point: "vector",
  options: { temperature },
  free: (point) => [{ name: "free", shape: point }],
  start: () => ({ kind: "constant", value: 0 }),
  map: (b, pieces, _, setting) => b.softmax(tempered(b, onlyPiece(pieces), setting)),
  project: (b, value) => nearestOnSimplex(b, value),
  violation: (b, x) => offSimplex(b, x),
  tolerance: () => 2e-6,
  bound: (of) => (of === "norm" ? 1 : { none: "has no rows or columns" }),
  closed: null,
  adapts: () => ["temperature"],
  cases: [
    { shape: [1], extreme: 80 },
    { shape: [7], extreme: 80 },
    { shape: [24], extreme: 80 },
  ],
};

/** The nearest points of the simplex to vectors [..., n]. */
export function nearestOnSimplex(b: Builder, x: Node): Node {
  // From the largest entry, so that large values keep their digits: tau is in -1 .. 0 then.
  const y = b.sub(x, over(b, largest(b, x, 1), x.shape));
  const zero = b.fill(0, x.shape);
  const above = (tau: Node): Node => b.max(b.sub(y, over(b, tau, x.shape)), zero);
  let tau = b.fill(-1, x.shape.slice(0, -1));
  const one = b.fill(1, tau.shape);
  for (let k = 1; k <= HALVINGS; k++) {
    const higher = b.add(tau, b.fill(2 ** -k, tau.shape));
    tau = b.select(b.lt(one, total(b, above(higher), 1)), higher, tau);
  }
  const isAbove = b.lt(over(b, tau, x.shape), y);
  const exact = b.div(b.sub(total(b, b.select(isAbove, y, zero), 1), one), total(b, b.cast(isAbove, "f32"), 1));
  return above(exact);
}

/** How far sums are from 1 and entries below 0. */
export function offSimplex(b: Builder, x: Node): Node {
  const sum = total(b, x, 1);
  return b.max(b.abs(b.sub(sum, b.fill(1, sum.shape))), largest(b, b.max(b.neg(x), b.fill(0, x.shape)), 1));
}
