/**
 * The Birkhoff polytope: doubly stochastic n x n matrices, the convex hull of the permutations. Four maps. Sinkhorn's
 * (free coordinates are n x n logits) makes rows exact and columns nearly so, and ends with the rounding of Altschuler,
 * Weed and Rigollet (Near-linear time approximation algorithms for optimal transport via Sinkhorn iteration, NeurIPS
 * 2017, algorithm 2): scale rows down to sums of at most 1, then columns, then add the rank-one matrix r c^T / |r|_1 of
 * what is missing. `truncated` leaves the rounding out: that is the form that arXiv 2512.24880 and the models after it
 * publish, whose columns have no useful bound. A softmax-weighted sum of all permutations (n! weights, n <= 5) is
 * exact. So is the Kronecker product of log2 n matrices [a, 1 - a; 1 - a, a] (one number each), and the squared entries
 * of an orthogonal matrix (`orthostochastic`); both reach a part of the set only. The same rounding, of the positive
 * part, is the projection: it leaves members alone and moves others by at most twice what all their sums are off, which
 * is near, not nearest.
 */
import { mustAt } from "../../runtime/lookup.js";
import type { Builder } from "../graph/builder.js";
import type { Node } from "../graph/node.js";
import { describe, known, type Polynomial } from "../graph/sizes.js";
import { atLeast, indicator, scaled } from "./algebra.js";
import { relax, relaxed } from "./relax.js";
import { onlyPiece, rowsAndColumns, type ConvexSet, type Options, type Piece } from "./set.js";
import { stiefel } from "./stiefel.js";
import { temperature, tempered } from "./temperature.js";

const MOST_PERMUTED = 5;
/** Kernels of Sinkhorn's projection have a variable for every entry (src/schedule/skeletons/sinkhorn.ts). */
const MOST_PROJECTED = 64;
/** The most that may be missing of all sums together: less than the tolerance. */
const FLOOR = 1e-6;
/** Off the diagonal, squares of an eighth: what Sinkhorn's start has there. */
const LEAN = 1 / 16;
const factorial = (n: number): number => (n <= 1 ? 1 : n * factorial(n - 1));

/** Doubly stochastic matrices, as the registry has them. */
export const birkhoff: ConvexSet = {
  kind: "convex",
  name: "birkhoff",
  summary: "doubly stochastic matrices: no negative entry, every row and every column sums to 1",
  source: "Sinkhorn 1967; Altschuler, Weed and Rigollet, NeurIPS 2017; DeepSeek, arXiv 2512.24880",
  point: "square",
  options: {
    iterations: { kind: "integer", default: 20, from: 1, to: 1000 },
    convention: { kind: "choice", default: "paper", choices: ["paper", "deepseek"] },
    exact: { kind: "flag", default: true, opposite: "truncated" },
    by: { kind: "choice", default: "sinkhorn", choices: ["sinkhorn", "permutations", "kronecker", "orthostochastic"] },
    relax,
    temperature,
  },
  idle: ({ by }) => [
    ...(by === "sinkhorn" ? [] : ["iterations", "convention", "exact"]),
    ...(by === "orthostochastic" ? ["temperature"] : []),
  ],
  free,
  units: ({ by }) => (by === "sinkhorn" ? apart : null),
  // Near the identity: a start at 0 would average the lanes away.
  start: ({ by }) =>
    by === "permutations"
      ? { kind: "first", value: 4 }
      : by === "kronecker"
        ? { kind: "constant", value: 4 }
        : { kind: "identity", value: 4 },
  map: (b, pieces, shape, setting) =>
    relaxed(
      b,
      doublyStochastic(
        b,
        pieces.map((free) => (hasLogits(setting.options) ? tempered(b, free, setting) : free)),
        shape,
        setting.options,
      ),
      setting,
    ),
  project: (b, value) => rounded(b, atLeast(b, value, 0)),
  violation: (b, p) => {
    const rank = p.shape.length;
    const rows = b.reduceMax(off(b, b.sum(p, [rank - 1])), [rank - 2]);
    const columns = b.reduceMax(off(b, b.sum(p, [rank - 2])), [rank - 2]);
    const negative = b.reduceMax(b.max(b.neg(p), b.fill(0, p.shape)), [rank - 2, rank - 1]);
    return b.max(b.max(rows, columns), negative);
  },
  tolerance: ({ exact, by }) => (exact || by !== "sinkhorn" ? 1e-5 : null),
  bound: (of, _, { exact, by, iterations, convention }) => {
    if (exact || by !== "sinkhorn") return 1;
    if (of === "row" && convention === "paper") return 1;
    const sums = convention === "paper" ? "the sums of the columns" : "the sums of rows and columns";
    return {
      none:
        `stops Sinkhorn's projection after ${iterations as number} turns, and ${sums} have no useful bound then ` +
        `(docs/birkhoff.md); \`birkhoff\` without \`truncated\` has one`,
    };
  },
  closed: "product",
  adapts: (options) => (hasLogits(options) ? ["relax", "temperature"] : ["relax"]),
  cases: [
    { shape: [1, 1], extreme: 80 },
    { shape: [2, 2], extreme: 80 },
    { shape: [4, 4], extreme: 80 },
  ],
};

/** The coordinates of an orthogonal matrix are no logits: a temperature of theirs would be none. */
const hasLogits = ({ by }: Options): boolean => by !== "orthostochastic";

/** A member, by one of the four maps. */
function doublyStochastic(
  b: Builder,
  pieces: readonly Node[],
  shape: readonly number[],
  { iterations, convention, exact, by }: Options,
): Node {
  const n = mustAt(shape, shape.length - 1);
  // A matrix of one entry has no coordinates then.
  if (by === "kronecker") return kronecker(b, pieces[0], shape, n);
  const free = onlyPiece(pieces);
  if (by === "permutations") return permuted(b, free, shape, n);
  if (by === "orthostochastic") return orthostochastic(b, free, shape);
  const paper = convention === "paper";
  const p = b.sinkhorn(free, {
    iterations: iterations as number,
    convention: paper ? "paper" : "deepseek",
    epsilon: paper ? 0 : 1e-6,
  });
  return exact ? rounded(b, p) : p;
}

function free(point: readonly Polynomial[], { by }: Options): readonly Piece[] | { readonly error: string } {
  const [n] = rowsAndColumns(point);
  const weights = (count: number): readonly Piece[] => [{ name: "free", shape: [known(count)] }];
  if (by === "sinkhorn" && n.value !== null && n.value > MOST_PROJECTED)
    return {
      error:
        `by sinkhorn holds a matrix in registers, ${MOST_PROJECTED} x ${MOST_PROJECTED} at most, and this one ` +
        `is ${describe(n)}`,
    };
  if (by === "sinkhorn" || by === "orthostochastic") return [{ name: "free", shape: point }];
  if (n.value === null) return { error: `needs a known size to be made by ${by as string}` };
  if (by === "kronecker") {
    const factors = Math.log2(n.value);
    return Number.isInteger(factors)
      ? factors
        ? weights(factors)
        : []
      : { error: `by kronecker takes sizes that are powers of 2, and n is ${n.value}` };
  }
  return n.value <= MOST_PERMUTED
    ? weights(factorial(n.value))
    : { error: `has ${n.value}! permutations at n = ${n.value}; at most n = ${MOST_PERMUTED} are spelt out` };
}

/** The logarithm of a closed gate: below every logit, and still a number. */
const CLOSED = -1e4;

/**
 * Logits of K_ij = z_i z_j exp(l_ij) + (1 - z_i) delta_ij: a closed unit has 1 on the diagonal and nothing beside it,
 * so the projection works on the open ones as if it were not there. On the diagonal the sum is taken in the log domain.
 */
function apart(b: Builder, logits: Node, gates: Node): Node {
  const { shape } = logits;
  const rank = shape.length;
  const logarithm = (x: Node): Node =>
    b.select(b.lt(b.fill(0, x.shape), x), b.log(atLeast(b, x, 1e-30)), b.fill(CLOSED, x.shape));
  const open = logarithm(gates);
  const shut = logarithm(b.sub(b.fill(1, gates.shape), gates));
  const along = (x: Node, axis: number): Node => b.broadcast(x, shape, [axis]);
  const off = b.add(logits, b.add(along(open, rank - 2), along(open, rank - 1)));
  const alone = along(shut, rank - 2);
  // log(e^off + e^alone), where off = alone is 0 / 0 for neither.
  const on = b.add(b.max(off, alone), b.log(b.add(b.fill(1, shape), b.exp(b.neg(b.abs(b.sub(off, alone)))))));
  return b.select(b.eq(b.iota(shape, rank - 2), b.iota(shape, rank - 1)), on, off);
}

const off = (b: Builder, sums: Node): Node => b.abs(b.sub(sums, b.fill(1, sums.shape)));

/** All permutations of 0 .. n-1, the identity first. */
export function permutations(n: number): number[][] {
  if (n === 0) return [[]];
  return permutations(n - 1).flatMap((order) =>
    Array.from({ length: n }, (_, i) => [...order.slice(0, n - 1 - i), n - 1, ...order.slice(n - 1 - i)]),
  );
}

function permuted(b: Builder, free: Node, shape: readonly number[], n: number): Node {
  const orders = permutations(n);
  const data = orders.flatMap((order) =>
    Array.from({ length: n * n }, (_, at) => (order[Math.floor(at / n)] === at % n ? 1 : 0)),
  );
  const letters = "abcdefghijkl".slice(0, free.shape.length - 1);
  return b.reshape(
    b.contract(`${letters}p,pxy->${letters}xy`, b.softmax(free), b.literal([orders.length, n, n], data)),
    shape,
  );
}

/**
 * The Kronecker product of matrices [a, 1 - a; 1 - a, a]: entry i, j is the product over the bits of i xor j, which
 * choose a or 1 - a.
 */
function kronecker(b: Builder, free: Node | undefined, shape: readonly number[], n: number): Node {
  if (!free) return b.fill(1, shape);
  const outer = shape.length - 2;
  const factors = Array.from({ length: Math.log2(n) }, (_, bit) => {
    const atBit = indicator(b, free.shape, outer, bit);
    const logit = b.broadcast(
      b.sum(b.mul(free, atBit), [outer]),
      shape,
      shape.slice(0, outer).map((_, axis) => axis),
    );
    const differ = Array.from({ length: n * n }, (_, at) => (((Math.floor(at / n) ^ (at % n)) >> bit) & 1 ? -1 : 1));
    return b.sigmoid(b.mul(logit, b.broadcast(b.literal([n, n], differ), shape, [outer, outer + 1])));
  });
  return factors.reduce((p, factor) => b.mul(p, factor));
}

/**
 * Squares of the entries of an orthogonal matrix, by Cayley's transform. At the identity all their derivatives are
 * zero, and training would never leave it: so coordinates whose skew part is zero stand for the matrix of a skew part
 * +-LEAN, whose squares off the diagonal are about (2 LEAN)^2.
 */
function orthostochastic(b: Builder, free: Node, shape: readonly number[]): Node {
  const rank = shape.length;
  const above = b.cast(b.lt(b.iota(shape, rank - 2), b.iota(shape, rank - 1)), "f32");
  const q = stiefel.map(b, [b.add(free, scaled(b, above, 2 * LEAN))], shape, {
    options: { by: "cayley" },
    adapted: {},
  });
  return b.mul(q, q);
}

function rounded(b: Builder, p: Node): Node {
  const rank = p.shape.length;
  const rowAxes = p.shape.map((_, axis) => axis).filter((axis) => axis !== rank - 1);
  const columnAxes = p.shape.map((_, axis) => axis).filter((axis) => axis !== rank - 2);
  const atMostOne = (x: Node, axis: number, kept: readonly number[]): Node => {
    const sums = b.sum(x, [axis]);
    const ones = b.fill(1, sums.shape);
    return b.mul(x, b.broadcast(b.div(ones, b.max(sums, ones)), x.shape, kept));
  };
  const q = atMostOne(atMostOne(p, rank - 1, rowAxes), rank - 2, columnAxes);
  const missing = (axis: number): Node => {
    const sums = b.sum(q, [axis]);
    return b.max(b.sub(b.fill(1, sums.shape), sums), b.fill(0, sums.shape));
  };
  const rows = missing(rank - 1);
  const columns = missing(rank - 2);
  const total = b.sum(rows, [rank - 2]);
  // When nothing is missing but rounding, the correction is 0 / 0: below FLOOR it fades, since its derivative would
  // grow as 1 / total.
  const safe = b.max(total, b.fill(FLOOR, total.shape));
  const share = b.div(
    rows,
    b.broadcast(
      safe,
      rows.shape,
      total.shape.map((_, axis) => axis),
    ),
  );
  return b.add(q, b.mul(b.broadcast(share, p.shape, rowAxes), b.broadcast(columns, p.shape, columnAxes)));
}
