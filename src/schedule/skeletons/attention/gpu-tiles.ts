/**
 * What attention's kernels for a GPU with workgroup memory are made of: rows in registers, one name a column, and tiles
 * of rows that pass by in shared memory.
 */
import * as k from "../../../kernel/build.js";
import type { Expr } from "../../../kernel/ir.js";
import { mustAt } from "../../../../runtime/lookup.js";
import type { Emitter } from "../../emit/emit.js";
import type { Workbench } from "../../emit/kernelize.js";
import type { Attention, TensorRows } from "./operands.js";

/** Words of workgroup memory that every adapter has. */
const SHARED_WORDS = 4096;
/** Keys that update the largest score together: one rescaling for four. */
export const TOGETHER = 4;
/** Products that one expression sums. */
const RUN = 16;

const local = k.ref("local", k.INDEX);

/** A list of `count` items. */
export const times = <T>(count: number, make: (i: number) => T): T[] =>
  Array.from({ length: count }, (_, i) => make(i));

/** A word of a buffer or an array. */
export const word = (buffer: string, at: Expr): Expr => k.load(buffer, at, k.F32);

/** The tiles of one kernel. */
export interface SharedTiles {
  readonly e: Emitter;
  readonly workgroup: number;
  /** Rows of a tile. */
  readonly height: number;
  /** The arrays in workgroup memory: two for rows, and one word a row for logs and for deltas. */
  readonly names: { readonly a: string; readonly b: string; readonly logs: string; readonly deltas: string };
}

/** A tile of rows of a tensor: where word `column` of row j is. */
export interface OperandTile {
  readonly load: (j: Expr, column: number) => Expr;
}

/** Declares tiles of at most `rows` rows, as many as fit. */
export function createTiles(
  { emitter: e, profile }: Workbench,
  { depth, width }: Attention,
  rows: number,
): SharedTiles {
  const asked = Math.ceil(Math.max(1, rows) / TOGETHER) * TOGETHER;
  const height = Math.min(asked, Math.floor(SHARED_WORDS / (depth + width + 2) / TOGETHER) * TOGETHER);
  const names = { a: "tilea", b: "tileb", logs: "logs", deltas: "deltas" };
  const declare = (name: string, size: number): void => {
    if (size > 0) e.push(k.sharedS(name, "f32", size));
  };
  declare(names.a, height * depth);
  declare(names.b, height * width);
  declare(names.logs, height);
  declare(names.deltas, height);
  return { e, workgroup: profile.workgroup, height, names };
}

/** A variable with a value. */
export function variable(e: Emitter, value: Expr): Expr {
  const name = e.fresh("r");
  e.push(k.varS(name, value));
  return k.ref(name, k.F32);
}

/** Registers for the sum of rows. */
export const sumRegisters = (e: Emitter, count: number): Expr[] => times(count, () => variable(e, k.f32(0)));

const rowStart = (e: Emitter, rows: TensorRows, r: Expr): Expr => e.bind(k.add(rows.base, k.mul(r, k.idx(rows.row))));

/** Row `r` of a tensor, in registers. */
export function loadRow(e: Emitter, rows: TensorRows, r: Expr, count: number): Expr[] {
  const at = rowStart(e, rows, r);
  return times(count, (c) => e.bind(word(rows.buffer, k.add(at, k.idx(c * rows.column)))));
}

/** Stores row `r` of a tensor. */
export function storeRow(e: Emitter, rows: TensorRows, r: Expr, values: readonly Expr[]): void {
  const at = rowStart(e, rows, r);
  for (const [c, value] of values.entries()) e.push(k.store(rows.buffer, k.add(at, k.idx(c * rows.column)), value));
}

/** The product of two rows, in short runs: readers of WGSL refuse expressions that nest too deep. */
export function dot(e: Emitter, x: readonly Expr[], y: (column: number) => Expr): Expr {
  let sum = k.mul(mustAt(x, 0), y(0));
  for (const [i, value] of x.entries()) {
    if (i === 0) continue;
    const next = k.fma(value, y(i), sum);
    sum = i % RUN === 0 || i + 1 === x.length ? e.bind(next) : next;
  }
  return sum;
}

/** Adds a row, times a factor, to registers. */
export function accumulate(e: Emitter, sums: readonly Expr[], factor: Expr, y: (column: number) => Expr): void {
  for (const [c, sum] of sums.entries()) e.push(k.assign(k.nameOf(sum), k.fma(factor, y(c), sum)));
}

/** Brings rows `first` … of a tensor to an array of shared memory; rows beyond the last, of `total`, repeat it. */
export function loadTile(
  { e, workgroup, height }: SharedTiles,
  rows: TensorRows,
  name: string,
  first: Expr,
  { total, columns }: { readonly total: number; readonly columns: number },
): OperandTile {
  e.loop(local, k.idx(height * columns), workgroup, (n) => {
    const j = k.div(n.at, k.idx(columns));
    const c = k.rem(n.at, k.idx(columns));
    const row = k.min(k.add(first, j), k.idx(total - 1));
    const at = k.add(k.add(rows.base, k.mul(row, k.idx(rows.row))), k.mul(c, k.idx(rows.column)));
    e.push(k.store(name, n.at, word(rows.buffer, at)));
  });
  return { load: (j, c) => word(name, k.add(k.mul(j, k.idx(columns)), k.idx(c))) };
}

/** Walks over tiles of rows from `from`, a multiple of the tile, to `to`; both the same for the whole workgroup. */
export function eachTile<T>(
  { e, height }: SharedTiles,
  from: Expr,
  to: Expr,
  fill: (first: Expr) => T,
  body: (first: Expr, tiles: T) => void,
): void {
  e.loop(from, to, height, (c) => {
    e.push(k.barrier());
    const tiles = fill(c.at);
    e.push(k.barrier());
    body(c.at, tiles);
  });
}
