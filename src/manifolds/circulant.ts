/**
 * Doubly stochastic circulant matrices: averages of the n cyclic shifts, sum over k of w_k S^k with w on the simplex
 * (Davis, Circulant matrices, 1979). n numbers instead of n^2, the identity and all shifts among them, and products are
 * members, since S^j S^k = S^(j + k). The map is softmax. The projection is the nearest member: the means over the
 * cyclic diagonals are the nearest circulant matrix, and its distance to members is that of the weights times sqrt(n),
 * so that their projection onto the simplex is the rest.
 */
import type { Builder } from "../graph/builder.js";
import type { Node } from "../graph/node.js";
import { apart, columnsOf, scaled } from "./algebra.js";
import { relax, relaxed } from "./relax.js";
import { onlyPiece, type ConvexSet } from "./set.js";
import { nearestOnSimplex, offSimplex } from "./simplex.js";
import { temperature, tempered } from "./temperature.js";

/** Doubly stochastic circulant matrices, as the registry has them. */
export const circulant: ConvexSet = {
  kind: "convex",
  name: "circulant",
  summary: "averages of the cyclic shifts: doubly stochastic matrices whose entries depend on j - i modulo n only",
  source: "Davis, Circulant matrices, 1979",
  point: "square",
  options: { relax, temperature },
  free: (point) => [{ name: "free", shape: point.slice(1) }],
  // Near the identity, the shift by 0.
  start: () => ({ kind: "first", value: 4 }),
  map: (b, pieces, _, setting) => relaxed(b, placed(b, b.softmax(tempered(b, onlyPiece(pieces), setting))), setting),
  project: (b, value) => placed(b, nearestOnSimplex(b, means(b, value))),
  violation: (b, x) => {
    const w = means(b, x);
    return b.max(offSimplex(b, w), apart(b, x, placed(b, w), 2));
  },
  tolerance: () => 2e-6,
  bound: () => 1,
  closed: "product",
  adapts: () => ["relax", "temperature"],
  cases: [
    { shape: [1, 1], extreme: 80 },
    { shape: [5, 5], extreme: 80 },
  ],
};

/** [..., n, n, n]: ones at i, j, k where j is i + k modulo n. */
function shifts(b: Builder, many: readonly number[], n: number): Node {
  const shape = [...many, n, n, n];
  const index = (axis: number): Node => b.iota(shape, many.length + axis);
  const [j, shifted] = [index(1), b.add(index(0), index(2))];
  return b.cast(b.or(b.eq(shifted, j), b.eq(shifted, b.add(j, b.fill(n, shape, "u32")))), "f32");
}

/** Weights [..., n] of the shifts, as matrices. */
function placed(b: Builder, w: Node): Node {
  const n = columnsOf(w);
  const many = w.shape.slice(0, -1);
  const axes = many.map((_, axis) => axis);
  const cyclic = shifts(b, many, n);
  return b.sum(b.mul(cyclic, b.broadcast(w, cyclic.shape, [...axes, many.length + 2])), [many.length + 2]);
}

/** Means over the cyclic diagonals of matrices: [..., n]. */
function means(b: Builder, x: Node): Node {
  const n = columnsOf(x);
  const many = x.shape.slice(0, -2);
  const cyclic = shifts(b, many, n);
  const on = b.mul(
    cyclic,
    b.broadcast(
      x,
      cyclic.shape,
      x.shape.map((_, axis) => axis),
    ),
  );
  return scaled(b, b.sum(on, [many.length, many.length + 1]), 1 / n);
}
