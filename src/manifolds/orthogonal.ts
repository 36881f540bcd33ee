/**
 * Orthogonal matrices: the square case of `stiefel`, whose maps, metric, retraction and transport these are. Being
 * square they are a group, so products are members, and Cayley's transform is the default: it starts at the identity
 * and has the whole tangent space there. It reaches rotations without the eigenvalue -1, `householder` products of n
 * reflections of -I, which are rotations too; only `polar` reaches determinant -1.
 */
import type { Manifold } from "./set.js";
import { stiefel } from "./stiefel.js";

/** Orthogonal matrices, as the registry has them. */
export const orthogonal: Manifold = {
  ...stiefel,
  name: "orthogonal",
  summary: "square matrices whose columns are orthonormal",
  point: "square",
  options: { by: { kind: "choice", default: "cayley", choices: ["cayley", "polar", "householder"] } },
  start: ({ by }) => (by === "cayley" ? { kind: "constant", value: 0 } : { kind: "identity", value: 1 }),
  closed: "product",
  cases: [
    { shape: [1, 1], extreme: 3 },
    { shape: [4, 4], extreme: 3 },
  ],
};
