/**
 * Linear algebra over many small matrices at once, as graph: what the maps and projections are written in. Matrices are
 * the last two axes of a tensor, vectors its last. Iterations have a fixed count, so that the graph is static; each
 * says what it needs of its argument.
 */
import { mustAt } from "../../runtime/lookup.js";
import type { Builder } from "../graph/builder.js";
import type { Node } from "../graph/node.js";

/** Below this a norm is taken for zero: its square would leave f32. */
export const TINY = 1e-18;

/**
 * Shorter vectors have no direction: of their squares f32 does not hold all digits, and a GPU may take those below
 * 1.2e-38 for zero.
 */
export const SHORT = 1e-14;

/** How many rows the matrices of a tensor have. */
export const rowsOf = (x: Node): number => mustAt(x.shape, x.shape.length - 2);

/** How many columns; of vectors, how many entries. */
export const columnsOf = (x: Node): number => mustAt(x.shape, x.shape.length - 1);

const LETTERS = "abcdefghijklmnopqrstuv";

/** Products of matrices [..., m, k] and [..., k, n]. */
export function product(b: Builder, x: Node, y: Node): Node {
  const many = LETTERS.slice(0, x.shape.length - 2);
  return b.contract(`${many}xy,${many}yz->${many}xz`, x, y);
}

/** x^T y of matrices [..., k, m] and [..., k, n]. */
export function transposedProduct(b: Builder, x: Node, y: Node): Node {
  const many = LETTERS.slice(0, x.shape.length - 2);
  return b.contract(`${many}yx,${many}yz->${many}xz`, x, y);
}

/** x y^T of matrices [..., m, k] and [..., n, k]. */
export function productTransposed(b: Builder, x: Node, y: Node): Node {
  const many = LETTERS.slice(0, x.shape.length - 2);
  return b.contract(`${many}xy,${many}zy->${many}xz`, x, y);
}

/** The transposes of matrices: [..., m, n] to [..., n, m]. */
export function transposed(b: Builder, x: Node): Node {
  const rank = x.shape.length;
  return b.transpose(
    x,
    x.shape.map((_, axis) => (axis === rank - 1 ? rank - 2 : axis === rank - 2 ? rank - 1 : axis)),
  );
}

/** Identity matrices; of a matrix that is not square, ones where the indices are equal. */
export function eye(b: Builder, shape: readonly number[]): Node {
  const rank = shape.length;
  return b.cast(b.eq(b.iota(shape, rank - 2), b.iota(shape, rank - 1)), "f32");
}

/** Ones where the index along the axis is this one, zeros elsewhere. */
export const indicator = (b: Builder, shape: readonly number[], axis: number, index: number): Node =>
  b.cast(b.eq(b.iota(shape, axis), b.fill(index, shape, "u32")), "f32");

/** One number a point, [...], repeated over the points' axes. */
export function over(b: Builder, x: Node, shape: readonly number[]): Node {
  return b.broadcast(
    x,
    shape,
    x.shape.map((_, axis) => axis),
  );
}

/** Axes of the points of this rank. */
const last = (x: Node, rank: number): readonly number[] =>
  Array.from({ length: rank }, (_, i) => x.shape.length - rank + i);

/** Sums over points of `rank` axes: [...]. */
export const total = (b: Builder, x: Node, rank: number): Node => b.sum(x, last(x, rank));

/** Largest values of points: [...]. */
export const largest = (b: Builder, x: Node, rank: number): Node => b.reduceMax(x, last(x, rank));

/** Inner products of points: [...]. */
export const dot = (b: Builder, x: Node, y: Node, rank: number): Node => total(b, b.mul(x, y), rank);

/** Frobenius norms, [...]; of zero, TINY, so that the derivative there is zero and not 0 / 0. */
export function norm(b: Builder, x: Node, rank: number): Node {
  const square = dot(b, x, x, rank);
  return b.sqrt(b.add(square, b.fill(TINY * TINY, square.shape)));
}

/** x times a number. */
export const scaled = (b: Builder, x: Node, factor: number): Node => b.mul(x, b.fill(factor, x.shape));

/** The symmetric parts of square matrices. */
export const symmetric = (b: Builder, x: Node): Node => scaled(b, b.add(x, transposed(b, x)), 0.5);
/** The skew parts of square matrices. */
export const skew = (b: Builder, x: Node): Node => scaled(b, b.sub(x, transposed(b, x)), 0.5);

/** The larger of x and a number. */
export const atLeast = (b: Builder, x: Node, least: number): Node => b.max(x, b.fill(least, x.shape));
/** The smaller of x and a number. */
export const atMost = (b: Builder, x: Node, most: number): Node => b.min(x, b.fill(most, x.shape));

/** Largest entry of |x - y|, one a point: [...]. */
export const apart = (b: Builder, x: Node, y: Node, rank: number): Node => largest(b, b.abs(b.sub(x, y)), rank);

/**
 * Upper bounds of spectral norms, [...], by Gram iteration (Delattre, Barthélemy, Araujo and Allauzen, Efficient bound
 * of Lipschitz constant for convolutional layers by Gram iteration, ICML 2023): with G_0 = x and G_(k+1) = G_k^T G_k,
 * |G_k|_F^(2^-k) falls to the norm from above, by a factor of at most rank^(2^-k / 2): it is the norm of order 2^(k +
 * 1) of the singular values. Every G is scaled to norm 1 and the scales are kept as logarithms.
 */
export function spectralBound(b: Builder, x: Node, iterations: number): Node {
  const wide = rowsOf(x) < columnsOf(x);
  const unit = (g: Node): { readonly g: Node; readonly log: Node } => {
    const size = atLeast(b, norm(b, g, 2), TINY);
    return { g: b.div(g, over(b, size, g.shape)), log: b.log(size) };
  };
  let { g, log } = unit(x);
  for (let k = 1; k <= iterations; k++) {
    const next = unit(k === 1 && wide ? productTransposed(b, g, g) : transposedProduct(b, g, g));
    g = next.g;
    log = b.add(log, scaled(b, next.log, 2 ** -k));
  }
  return b.exp(log);
}

/**
 * The coefficients of (a + b s^2 + c s^4) s: what is at most 1 ends within 0.68 and 1.21, and what is small grows by a.
 */
export const QUINTIC = [3.4445, -4.775, 2.0315] as const;
/** Newton-Schulz from there to 10^-12. */
const FINISHED = 5;

/**
 * Polar factors of matrices [..., m, n]: the nearest matrices with orthonormal columns (m >= n) or rows, right to
 * rounding for singular values down to `reach` of the largest. Odd polynomials of the matrix change its singular values
 * only. First a quintic of large slope at 0 (Jordan and others, Muon, 2024), which brings them near 1; then the
 * Newton-Schulz iteration x (3 I - x^T x) / 2 (Higham, Functions of matrices, 2008, chapter 8), which doubles their
 * digits. Newton-Schulz alone would grow small ones by 3/2 a turn: half as many again products for a reach of a
 * thousandth.
 */
export function polar(b: Builder, x: Node, reach: number): Node {
  const wide = rowsOf(x) < columnsOf(x);
  const times = (y: Node, factor: Node): Node => (wide ? product(b, factor, y) : product(b, y, factor));
  const gramOf = (y: Node): Node => (wide ? productTransposed(b, y, y) : transposedProduct(b, y, y));
  const turns = Math.ceil(Math.log(1 / reach) / Math.log(QUINTIC[0]));
  let y = b.div(x, over(b, atLeast(b, spectralBound(b, x, 4), TINY), x.shape));
  for (let i = 0; i < turns; i++) {
    const gram = gramOf(y);
    const [first, second, third] = QUINTIC;
    y = times(
      y,
      b.add(
        scaled(b, eye(b, gram.shape), first),
        b.add(scaled(b, gram, second), scaled(b, product(b, gram, gram), third)),
      ),
    );
  }
  for (let i = 0; i < FINISHED; i++) {
    const gram = gramOf(y);
    y = times(y, b.sub(scaled(b, eye(b, gram.shape), 1.5), scaled(b, gram, 0.5)));
  }
  return y;
}

/**
 * Inverses of square matrices: y (2 I - x y), from y = x^T / (|x|_1 |x|_inf) (Schulz 1933; Ben-Israel and Cohen 1966),
 * which converges for every regular matrix in about 2 log2(condition) + 5 turns.
 */
export function inverse(b: Builder, x: Node, iterations: number): Node {
  const rank = x.shape.length;
  const sums = (axis: number): Node => b.reduceMax(b.sum(b.abs(x), [axis]), [rank - 2]);
  let y = b.div(transposed(b, x), over(b, atLeast(b, b.mul(sums(rank - 1), sums(rank - 2)), TINY), x.shape));
  for (let i = 0; i < iterations; i++) y = product(b, y, b.sub(scaled(b, eye(b, x.shape), 2), product(b, x, y)));
  return y;
}

/**
 * Inverses of symmetric positive definite matrices, by n sweeps (Beaton 1964; Goodnight, A tutorial on the SWEEP
 * operator, 1979): each is a change of rank one by a pivot that is positive, so none has to be looked for, and the
 * rounding is that of a Cholesky factorization.
 */
export function inversePositive(b: Builder, x: Node): Node {
  const rank = x.shape.length;
  const n = columnsOf(x);
  const many = x.shape.slice(0, -2);
  let y = x;
  for (let k = 0; k < n; k++) {
    const hit = indicator(b, x.shape, rank - 1, k);
    const column = b.sum(b.mul(y, hit), [rank - 1]);
    const pivot = over(b, b.sum(b.mul(column, indicator(b, column.shape, rank - 2, k)), [rank - 2]), x.shape);
    const [rows, columns] = [b.reshape(column, [...many, n, 1]), b.reshape(column, [...many, 1, n])];
    const inRow = indicator(b, x.shape, rank - 2, k);
    const half = b.fill(0.5, x.shape);
    const [one, both] = [b.lt(half, b.max(hit, inRow)), b.lt(half, b.mul(hit, inRow))];
    const others = b.sub(y, b.div(product(b, rows, columns), pivot));
    y = b.select(both, b.div(b.fill(-1, x.shape), pivot), b.select(one, b.div(y, pivot), others));
  }
  return b.neg(y);
}

/**
 * The least norm that a direction keeps when it is made orthogonal a second time. A direction of norm 1 that is
 * orthogonal already keeps all of it; what was rounding along the others keeps little.
 */
const MOST = 0.5;

/**
 * Orthonormal columns that span those of matrices [..., m, r], by Gram and Schmidt, each made orthogonal twice: once is
 * enough for any condition but of the rounding (Giraud, Langou and Rozložník 2005). A column that depends on those
 * before it leaves only rounding, which is made a direction too: that does no harm to a span. Where the rounding lies
 * along the others again (as with equal rows) the column becomes zeros, as a column of zeros does.
 */
export function orthonormal(b: Builder, x: Node): Node {
  const rank = x.shape.length;
  const r = columnsOf(x);
  const column = x.shape.slice(0, -1);
  const unit = (v: Node): Node => b.div(v, over(b, atLeast(b, norm(b, v, 2), TINY), v.shape));
  let q: Node | null = null;
  for (let j = 0; j < r; j++) {
    const hit = indicator(b, x.shape, rank - 1, j);
    let v = unit(b.reshape(b.sum(b.mul(x, hit), [rank - 1]), [...column, 1]));
    const beside = (w: Node, basis: Node): Node => b.sub(w, product(b, basis, transposedProduct(b, basis, w)));
    if (q) {
      const direction = beside(unit(beside(v, q)), q);
      const size = norm(b, direction, 2);
      const kept = b.cast(b.le(b.fill(MOST, size.shape), size), "f32");
      v = b.mul(direction, over(b, b.div(kept, atLeast(b, size, MOST)), direction.shape));
    }
    const placed = b.mul(over(b, b.reshape(v, column), x.shape), hit);
    q = q ? b.add(q, placed) : placed;
  }
  if (!q) throw new Error("manifolds: matrices without columns span nothing");
  return q;
}

const HALVINGS = 3;
const TERMS = 10;

/**
 * The inverse tangent of numbers of any sign: three times atan(x) = 2 atan(x / (1 + sqrt(1 + x^2))), after which |x| <=
 * tan(pi / 16), and the series to x^19, which then ends below 10^-14.
 */
export function arctangent(b: Builder, x: Node): Node {
  const one = b.fill(1, x.shape);
  let y = x;
  for (let i = 0; i < HALVINGS; i++) y = b.div(y, b.add(one, b.sqrt(b.add(one, b.mul(y, y)))));
  const square = b.mul(y, y);
  let series = b.fill(0, x.shape);
  for (let k = TERMS - 1; k >= 0; k--)
    series = b.add(b.mul(series, square), b.fill((k % 2 ? -1 : 1) / (2 * k + 1), x.shape));
  return scaled(b, b.mul(y, series), 2 ** HALVINGS);
}

/** Below this the logarithm loses digits, and the series has them. */
const SMALL = 0.1;

/**
 * The inverse hyperbolic sine of numbers of at least 0: 2 artanh(t) = log((1 + t) / (1 - t)) with t = x / (1 + sqrt(1 +
 * x^2)), for small t as a series.
 */
export function areaSine(b: Builder, x: Node): Node {
  const one = b.fill(1, x.shape);
  const below = b.add(one, b.sqrt(b.add(one, b.mul(x, x))));
  const t = b.div(x, below);
  const square = b.mul(t, t);
  let series = b.fill(0, x.shape);
  for (let k = 6; k >= 0; k--) series = b.add(b.mul(series, square), b.fill(2 / (2 * k + 1), x.shape));
  // 1 - t is (1 + r - x) / (1 + r), with r the root: never zero in f32.
  const large = b.log(b.div(b.add(below, x), b.sub(below, x)));
  return b.select(b.lt(t, b.fill(SMALL, x.shape)), b.mul(t, series), large);
}
