/**
 * Row-stochastic matrices, m x n: every row is on the simplex, so they average the rows of what they multiply. Map and
 * projection are those of the simplex, row by row, and the projection is the nearest member (Seneta, Non-negative
 * matrices and Markov chains, 1981). Products are members: the rows of a product are averages of rows.
 */
import { largest } from "./algebra.js";
import { relax, relaxed } from "./relax.js";
import { rowsAndColumns, onlyPiece, type ConvexSet } from "./set.js";
import { nearestOnSimplex, offSimplex } from "./simplex.js";
import { temperature, tempered } from "./temperature.js";

/** Row-stochastic matrices, as the registry has them. */
export const stochastic: ConvexSet = {
  kind: "convex",
  name: "stochastic",
  summary: "row-stochastic matrices: no negative entry, every row sums to 1",
  source: "Seneta, Non-negative matrices and Markov chains, 1981; Duchi, Shalev-Shwartz, Singer and Chandra, ICML 2008",
  point: "matrix",
  options: { relax, temperature },
  free: (point) => [{ name: "free", shape: point }],
  // Near the identity, as birkhoff.
  start: () => ({ kind: "identity", value: 4 }),
  map: (b, pieces, _, setting) => relaxed(b, b.softmax(tempered(b, onlyPiece(pieces), setting)), setting),
  project: (b, value) => nearestOnSimplex(b, value),
  violation: (b, x) => largest(b, offSimplex(b, x), 1),
  tolerance: () => 2e-6,
  // The square of a norm is at most the product of the row sums' and the column sums' bounds.
  bound: (of, shape) => {
    const [rows] = rowsAndColumns(shape);
    return { row: 1, column: rows, norm: Math.sqrt(rows) }[of];
  },
  closed: "product",
  adapts: () => ["relax", "temperature"],
  cases: [
    { shape: [4, 4], extreme: 80 },
    { shape: [3, 5], extreme: 80 },
  ],
};
