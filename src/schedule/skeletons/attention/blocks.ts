/**
 * What attention's kernels for a CPU are made of: loops over blocks of four or eight rows by two vectors of columns, a
 * product of two operands into the registers of such a block, copies of rows into scratch, and what follows from edges.
 * Rows of one head lie a whole token apart, which would leave them a few sets of the cache; copied, plain or
 * transposed, they are dense, and lanes are neighbours whatever the order of a tensor's axes. Operands are addressed as
 * one index that the inner loop moves and constant distances from it, so that WebAssembly's loads take them as
 * immediate offsets. Ragged edges are code of their own, with sizes known when it is made.
 */
import * as k from "../../../kernel/build.js";
import type { Expr, Lanes, Type } from "../../../kernel/ir.js";
import { mustAt } from "../../../../runtime/lookup.js";
import { eachLane, lanesFrom, vectorRuns } from "../../emit/coords.js";
import type { KernelProfile } from "../../../kernel/profile.js";
import type { Emitter } from "../../emit/emit.js";
import { foldLanes } from "../../emit/reductions.js";
import { transpose } from "../transpose.js";
import type { TensorRows } from "./operands.js";

/** Rows of a block, by what registers hold: eight rows by two vectors of sums want 20 of them. */
const heightFor = ({ registers = 16 }: KernelProfile): number => (registers >= 32 ? 8 : 4);

/** How blocks are made in one kernel. */
export interface Blocks {
  readonly e: Emitter;
  readonly lanes: Lanes;
  /** Of a vector. */
  readonly type: Type;
  /** Rows and columns of a block. */
  readonly height: number;
  readonly block: number;
}

/** Blocks of the vectors of a profile. */
export const createBlocks = (e: Emitter, profile: KernelProfile): Blocks => ({
  e,
  lanes: profile.lanes,
  type: { of: "f32", lanes: profile.lanes },
  height: heightFor(profile),
  block: profile.lanes === 1 ? 4 : 2 * profile.lanes,
});

/** The left operand of a product: at index i and row r it is at `at + i * step + r * across`. */
export interface LeftOperand {
  readonly buffer: string;
  readonly at: Expr;
  readonly step: number;
  readonly across: number;
}

/** The right operand: neighbouring columns are neighbours in memory. */
export interface RightOperand {
  readonly buffer: string;
  readonly at: Expr;
  readonly step: number;
}

/** One row of a tensor. */
export interface TensorRow {
  readonly buffer: string;
  readonly at: Expr;
  /** Words from column to column. */
  readonly column: number;
}

/** Row `r` of a tensor. */
export const rowAt = ({ buffer, base, row, column }: TensorRows, r: Expr): TensorRow => ({
  buffer,
  at: k.add(base, k.mul(r, k.idx(row))),
  column,
});

/** A scalar in all lanes of a vector. */
export const wide = ({ lanes }: Blocks, x: Expr): Expr => k.splat(x, lanes);

/** A word of a buffer or an array. */
export const word = (buffer: string, at: Expr): Expr => k.load(buffer, at, k.F32);
/** A vector of neighbouring words. */
export const vector = ({ type }: Blocks, buffer: string, at: Expr): Expr => k.load(buffer, at, type);

/** An array of words; its name. */
export function array({ e, lanes }: Blocks, stem: string, words: number): string {
  const name = e.fresh(stem);
  // A vector that begins at the last word ends behind it.
  e.push(k.arrayS(name, "f32", words + lanes - 1));
  return name;
}

/** A variable with a value. */
export function variable({ e }: Blocks, value: Expr): Expr {
  const name = e.fresh("s");
  e.push(k.varS(name, value));
  return k.ref(name, value.type);
}

/** How many words of each vector of a whole block are columns: all. */
export const wholeBlock = ({ block, lanes }: Blocks): number[] => Array.from({ length: block / lanes }, () => lanes);

/**
 * The first `used` of a vector's words, `across` apart. What a vector reads beyond them is neither looked at nor
 * stored.
 */
function gathered(s: Blocks, buffer: string, at: Expr, across: number, used: number): Expr {
  if (s.lanes === 1 || across === 1) return vector(s, buffer, at);
  const item = (l: number): Expr => (l < used ? word(buffer, k.add(at, k.idx(l * across))) : k.f32(0));
  return eachLane(s.lanes, item);
}

/** Stores the first `used` lanes of a vector. */
export function storeLanes({ e, lanes }: Blocks, buffer: string, at: Expr, used: number, value: Expr): void {
  if (used === lanes) return e.push(k.store(buffer, at, value));
  const bound = e.bind(value);
  for (const { from, to, width } of vectorRuns(used, lanes))
    for (let l = from; l < to; l += width) e.push(k.store(buffer, k.add(at, k.idx(l)), lanesFrom(bound, l, width)));
}

/** Blocks of rows from `from` to `to`, both multiples of a block's rows, or the latter `total`. */
export function eachRows(
  { e, height }: Blocks,
  from: Expr,
  to: Expr,
  total: number,
  body: (at: Expr, height: number) => void,
): void {
  const remaining = total % height;
  const whole = total - remaining;
  if (whole > 0)
    e.loop(from, remaining === 0 ? to : e.bind(k.min(to, k.idx(whole))), height, (c) => body(c.at, height));
  if (remaining === 0) return;
  if (to.kind === "const") body(k.idx(whole), remaining);
  else e.guard(k.eq(to, k.idx(total)), () => body(k.idx(whole), remaining));
}

/** Blocks of columns; `used` says how many words of each vector are columns. */
export function eachColumns(s: Blocks, size: number, body: (at: Expr, used: readonly number[]) => void): void {
  const { e, lanes, block } = s;
  const whole = size - (size % block);
  const full = wholeBlock(s);
  if (whole === block) body(k.idx(0), full);
  else if (whole > 0) e.loop(k.idx(0), k.idx(whole), block, (c) => body(c.at, full));
  const remaining = size - whole;
  if (remaining > 0)
    body(
      k.idx(whole),
      Array.from({ length: Math.ceil(remaining / lanes) }, (_, v) => Math.min(lanes, remaining - v * lanes)),
    );
}

/** A product into the registers of a block: the sum over an index, from `from` to `to`, of x[r] * y[c]. */
export interface BlockProduct {
  readonly x: LeftOperand;
  readonly y: RightOperand;
  /** Rows of the block, and how many words of each of its vectors are columns. */
  readonly height: number;
  readonly used: readonly number[];
  readonly from: Expr;
  readonly to: Expr;
  /** What the sum of row r and vector v is added to; zero, if nothing is said. */
  readonly start?: ((r: number, v: number) => Expr) | undefined;
}

/** The accumulators of a product, by row and vector. */
export function product(s: Blocks, { x, y, height, used, from, to, start }: BlockProduct): Expr[][] {
  const { e, lanes } = s;
  const sums = Array.from({ length: height }, (_, r) =>
    used.map((_, v) => variable(s, start ? start(r, v) : wide(s, k.f32(0)))),
  );
  e.loop(from, to, 1, (i) => {
    const xAt = e.bind(k.add(x.at, k.mul(i.at, k.idx(x.step))));
    const yAt = e.bind(k.add(y.at, k.mul(i.at, k.idx(y.step))));
    const right = used.map((_, v) => e.bind(vector(s, y.buffer, k.add(yAt, k.idx(v * lanes)))));
    for (const [r, row] of sums.entries()) {
      const left = e.bind(wide(s, word(x.buffer, k.add(xAt, k.idx(r * x.across)))));
      for (const [v, sum] of row.entries()) e.push(k.assign(k.nameOf(sum), k.fma(left, mustAt(right, v), sum)));
    }
  });
  return sums;
}

/** Rows `first` .. `first + count` of a tensor, with that many columns. */
export interface RowRange {
  readonly rows: TensorRows;
  readonly columns: number;
  readonly first: Expr;
  readonly count: Expr;
}

/** An array whose rows are `pitch` words apart. */
export interface ScratchRows {
  readonly name: string;
  readonly pitch: number;
}

/** Copies rows of a tensor to rows of an array. */
export function copyRows(s: Blocks, { rows, columns, first, count }: RowRange, to: ScratchRows): void {
  const { e, lanes } = s;
  e.loop(k.idx(0), count, 1, (r) => {
    const source = e.bind(rowAt(rows, k.add(first, r.at)).at);
    const target = e.bind(k.mul(r.at, k.idx(to.pitch)));
    eachColumns(s, columns, (c, used) => {
      for (const [v, words] of used.entries()) {
        const column = k.add(c, k.idx(v * lanes));
        const from = k.add(source, k.mul(column, k.idx(rows.column)));
        e.push(k.store(to.name, k.add(target, column), gathered(s, rows.buffer, from, rows.column, words)));
      }
    });
  });
}

/**
 * Copies rows of a tensor to columns of an array. Lanes beyond the tensor's last row, of `total`, repeat it.
 */
export function transposeRows(
  { e, lanes, type }: Blocks,
  { rows, columns, first, count }: RowRange,
  total: number,
  to: ScratchRows,
): void {
  e.loop(k.idx(0), count, lanes, (c) => {
    const row = e.bind(k.add(first, c.at));
    const starts = Array.from({ length: lanes }, (_, l) => {
      const at = total % lanes === 0 ? k.add(row, k.idx(l)) : k.min(k.add(row, k.idx(l)), k.idx(total - 1));
      return e.bind(k.add(rows.base, k.mul(at, k.idx(rows.row))));
    });
    // Wide vectors of columns become vectors of rows, a square at a time.
    if (lanes > 4 && rows.column === 1 && columns % lanes === 0) {
      return e.loop(k.idx(0), k.idx(columns), lanes, (d) => {
        const square = starts.map((start) => e.bind(k.load(rows.buffer, k.add(start, d.at), type)));
        const target = e.bind(k.add(k.mul(d.at, k.idx(to.pitch)), c.at));
        for (const [l, row] of transpose(e, square).entries())
          e.push(k.store(to.name, k.add(target, k.idx(l * to.pitch)), row));
      });
    }
    e.loop(k.idx(0), k.idx(columns), 1, (d) => {
      const values = starts.map((start) => word(rows.buffer, k.add(start, k.mul(d.at, k.idx(rows.column)))));
      e.push(k.store(to.name, k.add(k.mul(d.at, k.idx(to.pitch)), c.at), k.lanes(values)));
    });
  });
}

/** Sets the words from `from` to `to` of a row of an array. */
export function fillWords(
  { e }: Blocks,
  name: string,
  row: Expr,
  [from, to]: readonly [Expr, Expr],
  value: number,
): void {
  e.loop(from, to, 1, (c) => e.push(k.store(name, k.add(row, c.at), k.f32(value))));
}

/** Combines the lanes of a vector. */
export const folded = ({ e, lanes }: Blocks, x: Expr, combine: (a: Expr, b: Expr) => Expr): Expr =>
  lanes === 1 ? x : e.bind(foldLanes(e, e.bind(x), combine));

/** Sum over `size` columns of the products of two rows. */
export function dot(s: Blocks, a: TensorRow, b: TensorRow, size: number): Expr {
  const { e } = s;
  const lanes = a.column === 1 && b.column === 1 ? s.lanes : 1;
  const parts = vectorRuns(size, lanes).map(({ from, to, width }) => {
    const sum = variable(s, k.splat(k.f32(0), width));
    e.loop(k.idx(from), k.idx(to), width, (c) => {
      const at = (x: TensorRow): Expr =>
        k.load(x.buffer, k.add(x.at, k.mul(c.at, k.idx(x.column))), { of: "f32", lanes: width });
      e.push(k.assign(k.nameOf(sum), k.fma(at(a), at(b), sum)));
    });
    return width === 1 ? sum : e.bind(foldLanes(e, sum, k.add));
  });
  return e.bind(parts.reduce(k.add));
}
