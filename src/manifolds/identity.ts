/**
 * The set of one point, the identity matrix: no free coordinates, nothing to learn. The ablation that every claim about
 * mixing needs.
 */
import { apart, eye } from "./algebra.js";
import type { ConvexSet } from "./set.js";

/** The identity matrix alone, as the registry has it. */
export const identity: ConvexSet = {
  kind: "convex",
  name: "identity",
  summary: "the identity matrix alone",
  source: "by definition",
  point: "square",
  options: {},
  free: () => [],
  start: () => ({ kind: "constant", value: 0 }),
  map: (b, _, shape) => eye(b, shape),
  project: (b, value) => eye(b, value.shape),
  violation: (b, value) => apart(b, value, eye(b, value.shape), 2),
  tolerance: () => 0,
  bound: () => 1,
  closed: "product",
  adapts: () => [],
  cases: [
    { shape: [1, 1], extreme: 0 },
    { shape: [5, 5], extreme: 0 },
  ],
};
