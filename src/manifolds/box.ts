/**
 * Numbers from `from` to `to`. The map is the middle plus half the width times tanh, so coordinates of 0 are the
 * middle; rounding could leave the box by a digit, so it ends with the projection, which clips: the nearest member. The
 * ends do not adapt, since learned ones could cross.
 */
import type { Builder } from "../graph/builder.js";
import type { Node } from "../graph/node.js";
import { atLeast, atMost, scaled } from "./algebra.js";
import { onlyPiece, rowsAndColumns, type ConvexSet, type Options } from "./set.js";

const WIDEST = 1e6;

/** Numbers between two ends, as the registry has them. */
export const box: ConvexSet = {
  kind: "convex",
  name: "box",
  summary: "numbers from one end to another",
  source: "by definition",
  point: "entry",
  options: {
    from: { kind: "real", default: -1, from: -WIDEST, to: WIDEST },
    to: { kind: "real", default: 1, from: -WIDEST, to: WIDEST },
  },
  free: (_, options) => {
    const { from, to } = ends(options);
    return from < to
      ? [{ name: "free", shape: [] }]
      : { error: `goes from a number to a larger one, not from ${from} to ${to}` };
  },
  start: () => ({ kind: "constant", value: 0 }),
  map: (b, pieces, _, { options }) => {
    const { from, to } = ends(options);
    const free = onlyPiece(pieces);
    return clipped(b, b.add(b.fill((from + to) / 2, free.shape), scaled(b, b.tanh(free), (to - from) / 2)), options);
  },
  project: (b, value, { options }) => clipped(b, value, options),
  violation: (b, x, { options }) => b.abs(b.sub(x, clipped(b, x, options))),
  tolerance: () => 0,
  // Of m x n entries of at most a: rows sum to n a, columns to m a, and the Frobenius norm is at most a sqrt(m n).
  bound: (of, shape, options) => {
    const { from, to } = ends(options);
    const [rows, columns] = rowsAndColumns(shape);
    const entries = { norm: Math.sqrt(rows * columns), row: columns, column: rows };
    return Math.max(Math.abs(from), Math.abs(to)) * entries[of];
  },
  closed: null,
  adapts: () => [],
  cases: [
    { shape: [], extreme: 80 },
    { shape: [], options: { from: 0.1, to: 0.7 }, extreme: 80 },
  ],
};

const ends = ({ from, to }: Options): { readonly from: number; readonly to: number } => ({
  from: from as number,
  to: to as number,
});

function clipped(b: Builder, x: Node, options: Options): Node {
  const { from, to } = ends(options);
  return atMost(b, atLeast(b, x, from), to);
}
