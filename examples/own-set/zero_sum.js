/**
 * Vectors whose entries sum to 0: what is left of scores when only their differences matter, as under a softmax. They
 * are a plane through the origin, so the set is convex. The nearest member of a vector is the vector less its mean,
 * which is the map as well as the projection.
 */
import { over, total } from "mhc-lang/manifolds";

/** Vectors [..., n] less their means. */
const centred = (b, x) => b.sub(x, over(b, b.mean(x, [x.shape.length - 1]), x.shape));

/** @type {import("mhc-lang/manifolds").ConvexSet} */
export default {
  kind: "convex",
  name: "zero_sum",
  summary: "vectors whose entries sum to 0",
  source: "by definition",
  point: "vector",
  options: {},
  // As many free coordinates as the vector has entries: one too many, but then all entries are alike to the optimizer.
  free: (point) => [{ name: "free", shape: point }],
  start: () => ({ kind: "constant", value: 0 }),
  map: (b, [free]) => centred(b, free),
  project: centred,
  violation: (b, x) => b.abs(total(b, x, 1)),
  // In f32: a sum of 24 numbers of up to 80 is rounded by this much.
  tolerance: () => 1e-3,
  bound: () => ({ none: "can be of any size" }),
  closed: null,
  adapts: () => [],
  cases: [
    { shape: [1], extreme: 80 },
    { shape: [24], extreme: 80 },
  ],
};
