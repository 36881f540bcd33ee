/**
 * Numbers that are not negative. The map is softplus, which grows as its argument does, or exp, for scales that are
 * learned as logarithms. The projection is max(x, 0), the nearest member. Products of nonnegative numbers, and of
 * matrices of them, are members.
 */
import { atLeast } from "./algebra.js";
import { onlyPiece, type ConvexSet } from "./set.js";

/** Numbers that are not negative, as the registry has them. */
export const nonnegative: ConvexSet = {
  kind: "convex",
  name: "nonnegative",
  summary: "numbers of at least 0",
  source: "by definition; softplus: Dugas, Bengio, Bélisle, Nadeau and Garcia, NIPS 2000",
  point: "entry",
  options: { by: { kind: "choice", default: "softplus", choices: ["softplus", "exp"] } },
  free: () => [{ name: "free", shape: [] }],
  start: () => ({ kind: "constant", value: 0 }),
  map: (b, pieces, _, { options: { by } }) => (by === "exp" ? b.exp(onlyPiece(pieces)) : b.softplus(onlyPiece(pieces))),
  project: (b, value) => atLeast(b, value, 0),
  violation: (b, x) => atLeast(b, b.neg(x), 0),
  tolerance: () => 0,
  bound: () => ({ none: "has no upper end" }),
  closed: "product",
  adapts: () => [],
  cases: [{ shape: [], extreme: 80 }],
};
