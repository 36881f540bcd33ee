/**
 * What attention's kernels for a CPU are made of: loops over blocks of four rows by two vectors of columns, a product
 * of two operands into the registers of such a block, copies of rows into scratch, and what follows from edges. Rows of
 * one head lie a whole token apart, which would leave them a few sets of the cache; copied, plain or transposed, they
 * are dense, and lanes are neighbours whatever the order of a tensor's axes. Operands are addressed as one index that
 * the inner loop moves and constant distances from it, so that WebAssembly's loads take them as immediate offsets.
 * Ragged edges are code of their own, with sizes known when it is made.
 */
import * as k from "../../../kernel/build.js";
import type { Expr, Type } from "../../../kernel/ir.js";
import type { Rows } from "./operands.js";
import type { Emitter } from "../../emit/emit.js";

const F32: Type = { of: "f32", lanes: 1 };
/** Rows of a block. */
export const HEIGHT = 4;

/** The left operand of a product: at index i and row r it is at `at + i * step + r * across`. */
export interface Walk {
  readonly buffer: string;
  readonly at: Expr;
  readonly step: number;
  readonly across: number;
}

/** The right operand: neighbouring columns are neighbours in memory. */
export interface Panel {
  readonly buffer: string;
  readonly at: Expr;
  readonly step: number;
}

/** One row of a tensor. */
export interface Row {
  readonly buffer: string;
  readonly at: Expr;
  readonly column: number;
}

export const rowAt = ({ buffer, base, row, column }: Rows, r: Expr): Row => ({
  buffer,
  at: k.add(base, k.mul(r, k.idx(row))),
  column,
});

export type Blocks = ReturnType<typeof createBlocks>;

export function createBlocks(e: Emitter, lanes: 1 | 4) {
  const type: Type = { of: "f32", lanes };
  /** Columns of a block. */
  const block = lanes === 4 ? 8 : 4;
  const wide = (x: Expr): Expr => (lanes === 4 ? k.splat(x) : x);
  const word = (buffer: string, at: Expr): Expr => k.load(buffer, at, F32);
  const vector = (buffer: string, at: Expr): Expr => k.load(buffer, at, type);

  function array(stem: string, words: number): string {
    const name = e.fresh(stem);
    // A vector that begins at the last word ends behind it.
    e.push(k.arrayS(name, "f32", words + lanes - 1));
    return name;
  }

  function variable(value: Expr): string {
    const name = e.fresh("s");
    e.push(k.varS(name, value));
    return name;
  }

  /**
   * The first `used` of a vector's words, `across` apart. What a vector reads beyond them is neither looked at nor
   * stored.
   */
  function gathered(buffer: string, at: Expr, across: number, used: number): Expr {
    if (lanes === 1 || across === 1) return vector(buffer, at);
    const one = (l: number): Expr => (l < used ? word(buffer, k.add(at, k.idx(l * across))) : k.f32(0));
    return k.lanes([one(0), one(1), one(2), one(3)]);
  }

  function scattered(buffer: string, at: Expr, used: number, value: Expr): void {
    if (used === lanes) return e.push(k.store(buffer, at, value));
    const bound = e.bind(value);
    for (const l of [0, 1, 2] as const) if (l < used) e.push(k.store(buffer, k.add(at, k.idx(l)), k.extract(bound, l)));
  }

  /** Blocks of rows from `from`, a multiple of four, to `to`, which is a multiple of four or `total`. */
  function rows(from: Expr, to: Expr, total: number, body: (at: Expr, height: number) => void): void {
    const left = total % HEIGHT;
    const whole = total - left;
    if (whole > 0) e.loop(from, left === 0 ? to : e.bind(k.min(to, k.idx(whole))), HEIGHT, (c) => body(c.at, HEIGHT));
    if (left === 0) return;
    if (to.kind === "const") body(k.idx(whole), left);
    else e.guard(k.eq(to, k.idx(total)), () => body(k.idx(whole), left));
  }

  /** Blocks of columns; `used` says how many words of each vector are columns. */
  function columns(size: number, body: (at: Expr, used: readonly number[]) => void): void {
    const whole = size - (size % block);
    const full = Array.from({ length: block / lanes }, () => lanes);
    if (whole === block) body(k.idx(0), full);
    else if (whole > 0) e.loop(k.idx(0), k.idx(whole), block, (c) => body(c.at, full));
    const left = size - whole;
    if (left > 0)
      body(
        k.idx(whole),
        Array.from({ length: Math.ceil(left / lanes) }, (_, v) => Math.min(lanes, left - v * lanes)),
      );
  }

  /**
   * The sum over an index of x[r] * y[c], for `height` rows and a vector of columns for each of `used`, on top of
   * `start`; the names of the accumulators.
   */
  function product(
    x: Walk,
    height: number,
    y: Panel,
    used: readonly number[],
    from: Expr,
    to: Expr,
    start?: (r: number, v: number) => Expr,
  ): string[][] {
    const sums = Array.from({ length: height }, (_, r) =>
      used.map((_, v) => variable(start ? start(r, v) : wide(k.f32(0)))),
    );
    e.loop(from, to, 1, (i) => {
      const xAt = e.bind(k.add(x.at, k.mul(i.at, k.idx(x.step))));
      const yAt = e.bind(k.add(y.at, k.mul(i.at, k.idx(y.step))));
      const right = used.map((_, v) => e.bind(vector(y.buffer, k.add(yAt, k.idx(v * lanes)))));
      sums.forEach((row, r) => {
        const left = e.bind(wide(word(x.buffer, k.add(xAt, k.idx(r * x.across)))));
        row.forEach((name, v) => e.push(k.assign(name, k.fma(left, right[v]!, k.ref(name, type)))));
      });
    });
    return sums;
  }

  /** Copies rows `first` .. `first + count` of a tensor to rows of `to`, `pitch` words apart. */
  function copy(from: Rows, size: number, first: Expr, count: Expr, to: string, pitch: number): void {
    e.loop(k.idx(0), count, 1, (r) => {
      const source = e.bind(rowAt(from, k.add(first, r.at)).at);
      const target = e.bind(k.mul(r.at, k.idx(pitch)));
      columns(size, (c, used) =>
        used.forEach((words, v) => {
          const column = k.add(c, k.idx(v * lanes));
          e.push(
            k.store(
              to,
              k.add(target, column),
              gathered(from.buffer, k.add(source, k.mul(column, k.idx(from.column))), from.column, words),
            ),
          );
        }),
      );
    });
  }

  /**
   * Copies rows `first` .. `first + count` of a tensor to columns of `to`, whose rows are `pitch` words apart. Lanes
   * beyond the tensor's last row repeat it.
   */
  function transpose(
    from: Rows,
    depth: number,
    first: Expr,
    count: Expr,
    total: number,
    to: string,
    pitch: number,
  ): void {
    e.loop(k.idx(0), count, lanes, (c) => {
      const row = e.bind(k.add(first, c.at));
      const starts = Array.from({ length: lanes }, (_, l) => {
        const at = total % lanes === 0 ? k.add(row, k.idx(l)) : k.min(k.add(row, k.idx(l)), k.idx(total - 1));
        return e.bind(k.add(from.base, k.mul(at, k.idx(from.row))));
      });
      e.loop(k.idx(0), k.idx(depth), 1, (d) => {
        const values = starts.map((start) => word(from.buffer, k.add(start, k.mul(d.at, k.idx(from.column)))));
        const value = lanes === 4 ? k.lanes(values as [Expr, Expr, Expr, Expr]) : values[0]!;
        e.push(k.store(to, k.add(k.mul(d.at, k.idx(pitch)), c.at), value));
      });
    });
  }

  /** Sets the words from `from` to `to` of a row of scores, which stand for no key that is seen. */
  function fill(buffer: string, row: Expr, from: Expr, to: Expr, value: number): void {
    e.loop(from, to, 1, (c) => e.push(k.store(buffer, k.add(row, c.at), k.f32(value))));
  }

  /** Combines the lanes of a vector. */
  function folded(x: Expr, combine: (a: Expr, b: Expr) => Expr): Expr {
    if (lanes === 1) return x;
    const v = e.bind(x);
    return e.bind(combine(combine(k.extract(v, 0), k.extract(v, 1)), combine(k.extract(v, 2), k.extract(v, 3))));
  }

  /** Sum over `size` columns of the products of two rows. */
  function dot(a: Row, b: Row, size: number): Expr {
    const contiguous = lanes === 4 && a.column === 1 && b.column === 1;
    const whole = contiguous ? size - (size % 4) : 0;
    const parts: Expr[] = [];
    if (whole > 0) {
      const sum = variable(wide(k.f32(0)));
      e.loop(k.idx(0), k.idx(whole), 4, (c) =>
        e.push(
          k.assign(
            sum,
            k.fma(vector(a.buffer, k.add(a.at, c.at)), vector(b.buffer, k.add(b.at, c.at)), k.ref(sum, type)),
          ),
        ),
      );
      parts.push(folded(k.ref(sum, type), k.add));
    }
    if (whole < size) {
      const sum = variable(k.f32(0));
      e.loop(k.idx(whole), k.idx(size), 1, (c) => {
        const at = (x: Row): Expr => word(x.buffer, k.add(x.at, k.mul(c.at, k.idx(x.column))));
        e.push(k.assign(sum, k.fma(at(a), at(b), k.ref(sum, F32))));
      });
      parts.push(k.ref(sum, F32));
    }
    return e.bind(parts.reduce(k.add));
  }

  return {
    block,
    type,
    wide,
    word,
    vector,
    array,
    variable,
    scattered,
    rows,
    columns,
    product,
    copy,
    transpose,
    fill,
    folded,
    dot,
  };
}
