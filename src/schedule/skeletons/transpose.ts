/** Four vectors of four as their columns, for panels that are read across what lies in memory. */
import * as k from "../../kernel/build.js";
import type { Expr } from "../../kernel/ir.js";
import type { Writer } from "../emit/writer.js";

/** The columns of four rows of four lanes. */
export function transpose(w: Writer, rows: readonly Expr[]): Expr[] {
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
