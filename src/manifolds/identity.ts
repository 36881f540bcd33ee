/** The set of one point, the identity matrix: no free coordinates, nothing to learn. The ablation that every claim about mixing needs. */
import { known } from "../graph/sizes.js";
import type { Manifold } from "./manifold.js";

export const identity: Manifold = {
  name: "identity",
  summary: "the identity matrix alone",
  options: {},
  free: () => known(0),
  start: () => ({ kind: "constant", value: 0 }),
  map: (b, _, shape) => {
    const rank = shape.length;
    const hit = b.eq(b.iota(shape, rank - 2), b.iota(shape, rank - 1));
    return b.cast(hit, "f32");
  },
  violation: (b, value) => {
    const rank = value.shape.length;
    const hit = b.cast(b.eq(b.iota(value.shape, rank - 2), b.iota(value.shape, rank - 1)), "f32");
    return b.reduceMax(b.abs(b.sub(value, hit)), [rank - 2, rank - 1]);
  },
  tolerance: () => 0,
  closedUnderProduct: true,
};
