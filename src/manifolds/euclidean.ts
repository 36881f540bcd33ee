/**
 * Everything, with the metric of the space: what a parameter without a constraint is, and the baseline that every other
 * set is compared with.
 */
import { onlyPiece, type Manifold } from "./set.js";

/** Any numbers, as the registry has them. */
export const euclidean: Manifold = {
  kind: "manifold",
  name: "euclidean",
  summary: "any numbers",
  source: "by definition",
  point: "entry",
  options: {},
  free: () => [{ name: "free", shape: [] }],
  start: () => ({ kind: "constant", value: 0 }),
  map: (_, pieces) => onlyPiece(pieces),
  project: (_, value) => value,
  violation: (b, x) => b.fill(0, x.shape),
  tolerance: () => 0,
  bound: () => ({ none: "holds nothing back" }),
  closed: "product",
  adapts: () => [],
  cases: [{ shape: [], extreme: 1e6 }],

  tangent: (_, __, v) => v,
  gradient: (_, __, g) => g,
  inner: (b, _, u, v) => b.mul(u, v),
  retract: (b, x, v) => b.add(x, v),
  transport: (_, __, ___, v) => v,
  distance: (b, x, y) => b.abs(b.sub(x, y)),
};
