/**
 * Muon: the momentum of a matrix, made orthogonal, is its direction (Jordan and others, Muon, 2024,
 * kellerjordan.github.io/posts/muon). Of the momentum U S V^T the step takes about U V^T: every direction in which
 * gradients have pointed counts alike, where the few largest would rule. Five turns of an odd quintic with a large
 * slope at 0 bring singular values near 1: what is 0.0015 of the Frobenius norm or more ends between 0.68 and 1.21,
 * which is near enough. The direction is scaled by 0.2 sqrt(max(rows, columns)), so that its entries have the root mean
 * square 0.2 that AdamW's steps have, and one rate serves both (Liu and others, Muon is scalable for LLM training,
 * arXiv 2502.16982, section 2.2).
 *
 * Matrices of one shape are worked on at once, as [count, rows, columns]: products, kernels and dispatches do not grow
 * with depth. The turns cost 2 s^2 (2 l + s) operations each, for sides s <= l; five are as many as a training step
 * does with the matrix for 5/3 s (2 + s / l) tokens.
 */
import { mustAt } from "../../runtime/lookup.js";
import type { Builder } from "../graph/builder.js";
import type { Node } from "../graph/node.js";
import { SLOT } from "../graph/packing.js";
import { sizeOf } from "../graph/record.js";
import { product, productTransposed, QUINTIC, scaled, transposedProduct } from "../manifolds/algebra.js";
import type { Sides } from "../model/lower/matrices.js";

const TURNS = 5;
/** Beside the Frobenius norm, which may be zero. */
const EPSILON = 1e-7;
/** Root mean square of AdamW's steps, in rates. */
const RMS = 0.2;

/** An array as matrices. */
export interface Matrix {
  readonly shape: readonly number[];
  readonly sides: Sides;
}

/** Neighbours in a pack that are worked on at once: from `first` on, so many. */
export interface MatrixBatch extends Matrix {
  readonly first: number;
  readonly count: number;
}

/**
 * Its axes in the order [...each, ...one side, ...the other], and the sizes of these three. Which side comes first
 * makes no difference to a direction: it is that of the first axis, so that most arrays are matrices as they lie.
 */
function inSides({ shape, sides: { each, rows, columns } }: Matrix): {
  readonly order: readonly number[];
  readonly sizes: readonly [number, number, number];
} {
  const [one, other] = Math.min(...rows) < Math.min(...columns) ? [rows, columns] : [columns, rows];
  const size = (axes: readonly number[]): number => sizeOf(axes.map((axis) => mustAt(shape, axis)));
  return { order: [...each, ...one, ...other], sizes: [size(each), size(one), size(other)] };
}

/**
 * The array of a parameter; when it is matrices as it lies, as [each, one side, the other], whatever axes these have.
 */
export function matrixOf(matrix: Matrix): Matrix {
  const { order, sizes } = inSides(matrix);
  return order.every((axis, i) => axis === i)
    ? { shape: sizes, sides: { each: [0], rows: [1], columns: [2] } }
    : matrix;
}

/** What has the same can be worked on at once. */
const kindOf = ({ shape, sides: { each, rows, columns } }: Matrix): string =>
  [shape, each, rows, columns].map((list) => list.join()).join(";");

/** The order in which matrices that can be worked on at once are neighbours: by the first of their kind. */
export function inBatches(matrices: readonly Matrix[]): number[] {
  const kinds = matrices.map(kindOf);
  return kinds
    .map((kind, i) => ({ i, first: kinds.indexOf(kind) }))
    .sort((a, b) => a.first - b.first || a.i - b.i)
    .map(({ i }) => i);
}

/**
 * Cuts matrices in that order into batches. Those that do not fill their slots do not lie one after the other, and are
 * batches of their own.
 */
export function batchesOf(matrices: readonly Matrix[]): readonly MatrixBatch[] {
  const batches: MatrixBatch[] = [];
  matrices.forEach(({ shape, sides }, first) => {
    const last = batches[batches.length - 1];
    if (last && kindOf(last) === kindOf({ shape, sides }) && sizeOf(shape) % SLOT === 0)
      batches[batches.length - 1] = { ...last, count: last.count + 1 };
    else batches.push({ shape, sides, first, count: 1 });
  });
  return batches;
}

/** The scaled direction of all matrices of a batch, for their momenta as [count, ...shape], in that shape. */
export function direction(b: Builder, momenta: Node, batch: MatrixBatch): Node {
  const {
    order,
    sizes: [each, one, other],
  } = inSides(batch);
  const behind = [0, ...order.map((axis) => axis + 1)];
  const moved = b.transpose(momenta, behind);
  const o = scaled(
    b,
    orthogonalized(b, b.reshape(moved, [batch.count * each, one, other])),
    RMS * Math.sqrt(Math.max(one, other)),
  );
  return b.transpose(
    b.reshape(o, moved.shape),
    behind.map((_, axis) => behind.indexOf(axis)),
  );
}

/** Matrices [n, rows, columns] with singular values brought near 1; zero stays zero. */
export function orthogonalized(b: Builder, x: Node): Node {
  const wide = mustAt(x.shape, 1) <= mustAt(x.shape, 2);
  const [first, second, third] = QUINTIC;
  const square = b.sum(b.sum(b.mul(x, x), [2]), [1]);
  const shrink = b.div(b.fill(1, square.shape), b.add(b.sqrt(square), b.fill(EPSILON, square.shape)));
  let y = b.mul(x, b.broadcast(shrink, x.shape, [0]));
  for (let turn = 0; turn < TURNS; turn++) {
    const gram = wide ? productTransposed(b, y, y) : transposedProduct(b, y, y);
    const polynomial = b.add(scaled(b, gram, second), scaled(b, product(b, gram, gram), third));
    y = b.add(scaled(b, y, first), wide ? product(b, polynomial, y) : product(b, y, polynomial));
  }
  return y;
}
