/** Vectors as their columns, for panels that are read across what lies in memory. */
import * as k from "../../kernel/build.js";
import type { Expr } from "../../kernel/ir.js";
import { mustAt } from "../../../runtime/lookup.js";
import type { Writer } from "../emit/writer.js";

/** The columns of as many rows as each has lanes. */
export const transpose = (w: Writer, rows: readonly Expr[]): Expr[] =>
  rows.length === 4 ? ofFour(w, rows) : exchanged(w, rows);

/**
 * Any power of two, after Eklundh (1972): quarters that lie across the diagonal change places, in squares of half the
 * size each time.
 */
function exchanged(w: Writer, rows: readonly Expr[]): Expr[] {
  const size = rows.length;
  const lanes = Array.from({ length: size }, (_, l) => l);
  let current = [...rows];
  for (let half = size / 2; half >= 1; half /= 2) {
    const upper = lanes.map((l) => (l & half ? size + l - half : l));
    const lower = lanes.map((l) => (l & half ? size + l : l + half));
    const before = current;
    current = before.map((row, i) => {
      const other = mustAt(before, i ^ half);
      return w.bind(i & half ? k.shuffle(other, row, lower) : k.shuffle(row, other, upper));
    });
  }
  return current;
}

function ofFour(w: Writer, rows: readonly Expr[]): Expr[] {
  const [p, q, r, s] = rows as [Expr, Expr, Expr, Expr];
  const t = [
    k.shuffle(p, q, [0, 4, 1, 5]),
    k.shuffle(p, q, [2, 6, 3, 7]),
    k.shuffle(r, s, [0, 4, 1, 5]),
    k.shuffle(r, s, [2, 6, 3, 7]),
  ].map((pair) => w.bind(pair)) as [Expr, Expr, Expr, Expr];
  return [
    k.shuffle(t[0], t[2], [0, 1, 4, 5]),
    k.shuffle(t[0], t[2], [2, 3, 6, 7]),
    k.shuffle(t[1], t[3], [0, 1, 4, 5]),
    k.shuffle(t[1], t[3], [2, 3, 6, 7]),
  ];
}
