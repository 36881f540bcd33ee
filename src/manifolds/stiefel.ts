/**
 * Matrices with orthonormal columns (rows, where a matrix is wide), with the metric of the space around them; square
 * ones are the orthogonal matrices. Three maps. `polar` takes the member nearest to the free coordinates, after adding
 * a twentieth of their root mean square singular value to the diagonal: so zero, equal entries and other matrices of
 * less than full rank have an image too. `cayley` (square) maps the skew part A of any matrix to (I + A)^-1 (I - A).
 * `householder` is a product of n reflections of -I, exact for any numbers, and the identity at the identity.
 * Retraction is the polar factor of x + v, whose singular values are at least 1, so that few turns do; transport is the
 * projection (Absil, Mahony and Sepulchre, 2008, examples 4.1.3 and 8.1.3).
 */
import type { Builder } from "../graph/builder.js";
import type { Node } from "../graph/node.js";
import type { Polynomial } from "../graph/sizes.js";
import {
  apart,
  columnsOf,
  dot,
  eye,
  indicator,
  inverse,
  norm,
  over,
  polar,
  product,
  productTransposed,
  rowsOf,
  scaled,
  SHORT,
  skew,
  symmetric,
  TINY,
  transposed,
  transposedProduct,
} from "./algebra.js";
import { onlyPiece, rowsAndColumns, type Manifold } from "./set.js";

/**
 * Smallest singular value, of the largest, that the map brings to 1: of random 8 x 8 matrices 1.4% have one below
 * 10^-3.
 */
const MAPPED = 1e-6;
/** The share of the root mean square singular value that is added to the diagonal. */
const LEAN = 0.05;
/**
 * The reach of the retraction: the singular values of x + v, scaled by their bound, are at least 1 / sqrt(1 + |v|^2).
 */
const RETRACTED = 1e-2;
/** Turns of an inverse, for a condition up to about 10^3, and of the iteration that removes its rounding. */
const INVERTED = 26;
const POLISHED = 2;

/** Matrices with orthonormal columns, as the registry has them. */
export const stiefel: Manifold = {
  kind: "manifold",
  name: "stiefel",
  summary: "matrices whose columns are orthonormal, or whose rows are when there are more columns than rows",
  source:
    "Absil, Mahony and Sepulchre, Optimization algorithms on matrix manifolds, 2008; Higham, Functions of " +
    "matrices, 2008",
  point: "matrix",
  options: { by: { kind: "choice", default: "polar", choices: ["polar", "householder", "cayley"] } },
  free: (point, { by }) =>
    by === "cayley" && !isSquare(point)
      ? { error: "by cayley takes square matrices" }
      : [{ name: "free", shape: point }],
  // Matrices that are not square cannot start at the identity: they start as random orthonormal columns (Saxe,
  // McClelland and Ganguli, ICLR 2014).
  start: ({ by }) => (by === "cayley" ? { kind: "constant", value: 0 } : { kind: "normal", value: 1 }),
  map: (b, pieces, _, { options: { by } }) => {
    const free = onlyPiece(pieces);
    if (by === "cayley") return cayley(b, free);
    return by === "householder" ? householder(b, free) : polar(b, leaning(b, free), MAPPED);
  },
  project: (b, value) => polar(b, value, MAPPED),
  violation: (b, x) => {
    const gram = isWide(x) ? productTransposed(b, x, x) : transposedProduct(b, x, x);
    return apart(b, gram, eye(b, gram.shape), 2);
  },
  tolerance: () => 1e-5,
  // A row of n entries and norm at most 1 has a sum of at most sqrt(n), by Cauchy and Schwarz.
  bound: (of, shape) => {
    const [rows, columns] = rowsAndColumns(shape);
    return { norm: 1, row: Math.sqrt(columns), column: Math.sqrt(rows) }[of];
  },
  closed: "square",
  adapts: () => [],
  cases: [
    { shape: [3, 3], extreme: 3 },
    { shape: [8, 5], extreme: 3 },
    { shape: [3, 8], extreme: 3 },
  ],

  tangent,
  gradient: tangent,
  inner: (b, _, u, v) => dot(b, u, v, 2),
  retract: (b, x, v) => polar(b, b.add(x, v), RETRACTED),
  transport: (b, _, y, v) => tangent(b, y, v),
  distance: null,
};

const isWide = (x: Node): boolean => rowsOf(x) < columnsOf(x);

function isSquare(point: readonly Polynomial[]): boolean {
  const [rows, columns] = rowsAndColumns(point);
  return rows.value === columns.value;
}

/** v - x sym(x^T v); of wide matrices, the same with the other side. */
function tangent(b: Builder, x: Node, v: Node): Node {
  return isWide(x)
    ? b.sub(v, product(b, symmetric(b, productTransposed(b, v, x)), x))
    : b.sub(v, product(b, x, symmetric(b, transposedProduct(b, x, v))));
}

/** Free coordinates with something on the diagonal, in proportion to them; the identity for zeros. */
function leaning(b: Builder, free: Node): Node {
  const least = Math.min(...free.shape.slice(-2));
  const mean = b.add(scaled(b, norm(b, free, 2), LEAN / Math.sqrt(least)), b.fill(TINY, free.shape.slice(0, -2)));
  return b.add(free, b.mul(eye(b, free.shape), over(b, mean, free.shape)));
}

function cayley(b: Builder, free: Node): Node {
  const a = skew(b, free);
  const identity = eye(b, free.shape);
  let q = product(b, inverse(b, b.add(identity, a), INVERTED), b.sub(identity, a));
  for (let i = 0; i < POLISHED; i++)
    q = product(b, q, b.sub(scaled(b, identity, 1.5), scaled(b, transposedProduct(b, q, q), 0.5)));
  return q;
}

/**
 * (I - 2 v1 v1^T / |v1|^2) … (I - 2 vn vn^T / |vn|^2) applied to the first columns of -I; a v of zeros, or SHORT,
 * reflects nothing.
 */
function householder(b: Builder, free: Node): Node {
  if (isWide(free)) return transposed(b, householder(b, transposed(b, free)));
  const rank = free.shape.length;
  const columns = columnsOf(free);
  const outer = free.shape.slice(0, -2);
  let q = b.neg(eye(b, free.shape));
  for (let j = columns - 1; j >= 0; j--) {
    const v = b.sum(b.mul(free, indicator(b, free.shape, rank - 1, j)), [rank - 1]);
    const square = dot(b, v, v, 1);
    const nothing = b.le(square, b.fill(SHORT * SHORT, square.shape));
    const direction = b.select(over(b, nothing, v.shape), b.fill(0, v.shape), v);
    const size = b.sqrt(b.select(nothing, b.fill(1, square.shape), square));
    const unit = b.reshape(b.div(direction, over(b, size, v.shape)), [...outer, rowsOf(free), 1]);
    q = b.sub(q, scaled(b, product(b, unit, transposedProduct(b, unit, q)), 2));
  }
  return q;
}
