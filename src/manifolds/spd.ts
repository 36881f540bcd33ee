/**
 * Symmetric positive definite matrices with the affine-invariant metric, tr(X^-1 U X^-1 V) (Bhatia, Positive definite
 * matrices, 2007, chapter 6; as SymmetricPositiveDefinite of Pymanopt): distances do not change when the space is
 * stretched, and singular matrices are infinitely far away. The map is L L^T + epsilon I, with L the lower triangle of
 * the free coordinates. The projection is the nearest matrix with eigenvalues of at least epsilon: what exceeds epsilon
 * I is symmetrized, and its negative part removed by the polar factor S of it, (X + S X) / 2 (Higham, Computing a
 * nearest symmetric positive semidefinite matrix, 1988). The retraction X + V + V X^-1 V / 2 is (X + (X + V) X^-1 (X +
 * V)) / 2, so it never halves an eigenvalue more than once a step. Transport leaves vectors as they are: the tangent
 * spaces are all the symmetric matrices. Distances need eigenvalues, so there is none.
 */
import type { Builder } from "../graph/builder.js";
import type { Node } from "../graph/node.js";
import {
  apart,
  atLeast,
  dot,
  eye,
  inversePositive,
  over,
  polar,
  product,
  productTransposed,
  scaled,
  spectralBound,
  symmetric,
  TINY,
  transposed,
} from "./algebra.js";
import { onlyPiece, quantity, type Manifold, type Setting } from "./set.js";

/**
 * Reach of the polar factor: an eigenvalue that has not come to its sign is less than this of the largest, and so is
 * the error.
 */
const SIGNED = 1e-7;
/** Turns of the bounds: the second is above the norm by a factor of at most n^(2^-19). */
const SCALED = 6;
const CERTAIN = 18;

/** Symmetric positive definite matrices, as the registry has them. */
export const spd: Manifold = {
  kind: "manifold",
  name: "spd",
  summary: "symmetric positive definite matrices",
  source: "Bhatia, Positive definite matrices, 2007; Higham 1988; Pymanopt",
  point: "square",
  options: { epsilon: { kind: "real", default: 0.05, from: 1e-6, to: 1 } },
  free: (point) => [{ name: "free", shape: point }],
  start: () => ({ kind: "identity", value: 1 }),
  map: (b, pieces, _, setting) => {
    const free = onlyPiece(pieces);
    const rank = free.shape.length;
    const lower = b.mul(free, b.cast(b.le(b.iota(free.shape, rank - 1), b.iota(free.shape, rank - 2)), "f32"));
    return b.add(productTransposed(b, lower, lower), least(b, free, setting));
  },
  project: (b, value, setting) => {
    const floor = least(b, value, setting);
    const above = symmetric(b, b.sub(value, floor));
    return b.add(symmetric(b, scaled(b, b.add(above, product(b, polar(b, above, SIGNED), above)), 0.5)), floor);
  },
  /**
   * Relative to an upper bound s of the norm, the larger of the asymmetry and of how far a lower bound of the smallest
   * eigenvalue is below 0: 1 - |I - X / s|, since no eigenvalue of X / s exceeds 1. So X / s is within this of a
   * positive semidefinite matrix.
   */
  violation: (b, x) => {
    const y = b.div(x, over(b, atLeast(b, spectralBound(b, x, SCALED), TINY), x.shape));
    const rest = spectralBound(b, b.sub(eye(b, y.shape), symmetric(b, y)), CERTAIN);
    return b.max(apart(b, y, transposed(b, y), 2), atLeast(b, b.sub(rest, b.fill(1, rest.shape)), 0));
  },
  tolerance: () => 1e-5,
  bound: () => ({ none: "has no upper end" }),
  closed: null,
  adapts: () => [],
  cases: [
    { shape: [1, 1], extreme: 3 },
    { shape: [3, 3], extreme: 3 },
  ],

  tangent: (b, _, v) => symmetric(b, v),
  gradient: (b, x, g) => symmetric(b, product(b, product(b, x, symmetric(b, g)), x)),
  inner: (b, x, u, v) => {
    const inverse = inversePositive(b, x);
    return dot(b, product(b, inverse, u), transposed(b, product(b, inverse, v)), 2);
  },
  retract: (b, x, v) =>
    symmetric(b, b.add(b.add(x, v), scaled(b, product(b, v, product(b, inversePositive(b, x), v)), 0.5))),
  transport: (b, _, __, v) => symmetric(b, v),
  distance: null,
};

const least = (b: Builder, x: Node, setting: Setting): Node =>
  b.mul(eye(b, x.shape), over(b, quantity(b, setting, "epsilon"), x.shape));
