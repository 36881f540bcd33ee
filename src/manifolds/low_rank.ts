/**
 * Matrices m x n of at most rank r: a variety, neither convex nor smooth where the rank is less. The map is U diag(s)
 * V^T with free U, s and V: r (m + n + 1) numbers, and s as gates that can close. The projection is by subspace
 * iteration: with V of r orthonormal columns, V becomes an orthonormal basis of A^T A V, a fixed number of times, and A
 * becomes Q Q^T A with Q one of A V. That has rank r whatever the turns are; the basis approaches the first r singular
 * vectors as (s_(r+1) / s_r)^(2 turns), and where there is no gap to speak of, the distance is still within a small
 * factor of s_(r+1), the least there is (Halko, Martinsson and Tropp, Finding structure with randomness, SIAM Review
 * 2011, section 9.3). So it is near, not nearest; members, whose s_(r+1) is 0, stay. The iteration starts at a fixed
 * matrix of no structure: members with a row space orthogonal to part of that are of measure zero.
 *
 * How many of the parts s_i u_i v_i^T a task needs is learned by what pulls them: (|u_i|^2 + s_i^2 + |v_i|^2) / 3 is at
 * least the part's norm to the power 2/3, and as much when the three are equal, so that their sum is least at the
 * Schatten 2/3 quasi-norm of the matrix (Shang, Liu and Cheng, Tractable and scalable Schatten quasi-norm
 * approximations for rank minimization, AISTATS 2016). It is concave in the singular values: large ones are hardly made
 * smaller, two parts of one direction become one, and what does not earn its pull ends at nothing.
 */
import { mustAt } from "../../runtime/lookup.js";
import type { Builder } from "../graph/builder.js";
import type { Node } from "../graph/node.js";
import { known } from "../graph/sizes.js";
import {
  atLeast,
  columnsOf,
  largest,
  norm,
  orthonormal,
  over,
  product,
  productTransposed,
  scaled,
  TINY,
  transposedProduct,
} from "./algebra.js";
import { rowsAndColumns, type Options, type Variety } from "./set.js";

/** A gap of 1/2 leaves 2^-12 of the angle. */
const TURNS = 6;
/** Its inverse is still an f32. */
const SMALLEST = 1e-37;

/** Matrices of low rank, as the registry has them. */
export const lowRank: Variety = {
  kind: "variety",
  name: "low_rank",
  summary: "matrices of at most a given rank",
  source: "Halko, Martinsson and Tropp, SIAM Review 2011; Eckart and Young 1936",
  point: "matrix",
  options: { rank: { kind: "integer", default: 1, from: 1, to: 256 } },
  free: (point, options) => {
    const rank = rankOption(options);
    const [m, n] = rowsAndColumns(point);
    const least = Math.min(m.value ?? Number.POSITIVE_INFINITY, n.value ?? Number.POSITIVE_INFINITY);
    if (rank > least) return { error: `has rank ${least} at most at this size, and rank is ${rank}` };
    const r = known(rank);
    return [
      { name: "u", shape: [m, r] },
      { name: "s", shape: [r] },
      { name: "v", shape: [n, r] },
    ];
  },
  // The product of three has entries of deviation 0.02 to 0.03 a rank.
  start: () => ({ kind: "normal", value: 0.3 }),
  map: (b, pieces) => {
    const [u, s, v] = factors(pieces);
    const axes = u.shape.map((_, axis) => axis).filter((axis) => axis !== u.shape.length - 2);
    return productTransposed(b, b.mul(u, b.broadcast(s, u.shape, axes)), v);
  },
  project: (b, value, { options }) => {
    const size = sizes(b, value);
    return b.mul(truncated(b, b.div(value, size), options), size);
  },
  // The violation is an upper bound of the (r + 1)st singular value relative to the norm: no matrix of rank r is nearer
  // than that value (Eckart and Young).
  violation: (b, x, { options }) => {
    const y = b.div(x, sizes(b, x));
    // A matrix whose largest entry is SMALLEST is one of norm 1 at least; what is smaller, zeros too, has too few
    // digits to have a rank.
    return b.div(norm(b, b.sub(y, truncated(b, y, options)), 2), atLeast(b, norm(b, y, 2), 1));
  },
  tolerance: () => 1e-5,
  bound: () => ({ none: "bounds the rank, and no size" }),
  closed: "product",
  adapts: () => ["rank"],
  parts: {
    sizes: (b, pieces) => {
      const [u, s, v] = factors(pieces);
      return b.mul(b.mul(columnNorms(b, u), columnNorms(b, v)), b.abs(s));
    },
    pull: (b, pieces) => {
      const [u, s, v] = factors(pieces);
      return scaled(b, b.add(b.mul(s, s), b.add(columnSquares(b, u), columnSquares(b, v))), 1 / 3);
    },
    gated: (b, pieces, gates) => {
      const [u, s, v] = factors(pieces);
      return [u, b.mul(s, gates), v];
    },
  },
  cases: [
    { shape: [3, 3], extreme: 10 },
    { shape: [6, 4], options: { rank: 2 }, extreme: 10 },
  ],
};

/** U [..., m, r], s [..., r] and V [..., n, r]. */
const factors = (pieces: readonly Node[]): readonly [Node, Node, Node] => [
  mustAt(pieces, 0),
  mustAt(pieces, 1),
  mustAt(pieces, 2),
];

/** Squared norms of columns: [..., r]. */
const columnSquares = (b: Builder, x: Node): Node => b.sum(b.mul(x, x), [x.shape.length - 2]);

function columnNorms(b: Builder, x: Node): Node {
  const squares = columnSquares(b, x);
  return b.sqrt(b.add(squares, b.fill(TINY * TINY, squares.shape)));
}

/** Largest entries, so that norms of matrices of any size, products of many say, stay within f32. */
const sizes = (b: Builder, x: Node): Node => over(b, atLeast(b, largest(b, b.abs(x), 2), SMALLEST), x.shape);

const rankOption = ({ rank }: Options): number => rank as number;

function truncated(b: Builder, x: Node, options: Options): Node {
  const rank = rankOption(options);
  const n = columnsOf(x);
  const many = x.shape.slice(0, -2);
  const start = Array.from({ length: n * rank }, (_, at) => Math.cos(1 + at * at));
  let v = orthonormal(b, b.broadcast(b.literal([n, rank], start), [...many, n, rank], [many.length, many.length + 1]));
  for (let turn = 0; turn < TURNS; turn++)
    v = orthonormal(b, transposedProduct(b, x, orthonormal(b, product(b, x, v))));
  const q = orthonormal(b, product(b, x, v));
  return product(b, q, transposedProduct(b, q, x));
}
