/**
 * The gradient of a table of rows that tokens chose (an embedding) is, row by row, a sum over all tokens of which
 * almost all terms are zero: the graph says so (`scatter_add` expands to it), and a GPU computes it so, without
 * atomics. On a CPU a group takes some columns of the whole table, and adds every token's values to the row that it
 * chose: no two groups meet, and the order of the sums is that of the tokens.
 */
import * as k from "../../kernel/build.js";
import { across, inAll, still } from "../emit/coords.js";
import type { Coord } from "../emit/emit.js";
import type { Workbench } from "../emit/kernelize.js";
import type { Scatter } from "../fusion/sparse.js";

/** Columns of a group: a cache line. */
const COLUMNS = 16;

/** Makes the kernel of a scatter on a CPU; the number of its groups. */
export function scatter(bench: Workbench, { sum, root, index, values }: Scatter): number {
  const { emitter: e, profile } = bench;
  const [rows, columns] = sum.shape as [number, number];
  const { lanes } = profile;
  const to = bench.write(root);
  const from = e.bind(k.mul(k.ref("group", k.INDEX), k.idx(COLUMNS)));
  const end =
    columns % COLUMNS === 0
      ? e.bind(k.add(from, k.idx(COLUMNS)))
      : e.bind(k.min(k.add(from, k.idx(COLUMNS)), k.idx(columns)));
  const eachColumn = (body: (column: Coord) => void): void =>
    e.loop(from, end, lanes, (column) => body(across(column, lanes)));
  e.loop(k.idx(0), k.idx(rows), 1, (row) =>
    eachColumn((column) => {
      e.define(sum, [row, column], k.splat(k.f32(0), lanes));
      e.store(to, root, [row, column], e.emit(root, [row, column]));
    }),
  );
  e.nest(index.shape, (token) => {
    const row = e.coord(k.cast(e.emit(index, token), k.INDEX));
    e.guard(k.lt(row.at, k.idx(rows)), () =>
      eachColumn((column) => {
        const before = k.load(bench.read(root), e.address([row, still(column)], [columns, 1]).at, {
          of: "f32",
          lanes,
        });
        const value = e.emit(values, [...token, column]);
        e.store(to, root, [row, column], k.add(before, inAll(value, lanes)));
      }),
    );
  });
  return Math.ceil(columns / COLUMNS);
}
