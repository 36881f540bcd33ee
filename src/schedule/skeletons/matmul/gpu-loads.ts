/**
 * Loads of a matrix product on a GPU, for the registers of one invocation. What is read has three forms: four words
 * along the operand's own axis, four along k (where four steps make a turn), or single words.
 */
import * as k from "../../../kernel/build.js";
import { F32 } from "../../../kernel/build.js";
import type { Expr, Type } from "../../../kernel/ir.js";
import { mustAt } from "../../../../runtime/lookup.js";
import type { ProductAxis, Product } from "../../fusion/contraction.js";
import type { Coord } from "../../emit/coords.js";
import { stridesOf } from "./axes.js";
import type { GpuMatmul, RegisterTile } from "./gpu-tile.js";

/**
 * Loads an operand for one turn of the loop over k: at the coordinates `kk` of the summed axes, `step` steps from
 * there. The result is the value of a row (of A) or of a vector (of B) at one of these steps.
 */
export type TurnLoads = (kk: readonly Coord[], step: number) => (position: number, s: number) => Expr;

const VECTOR: Type = { of: "f32", lanes: 4 };

/** The axes that are summed, without those of one element. */
export const summedAxes = (product: Product): ProductAxis[] => product.k.filter(({ size }) => size > 1);

/** Loads of A for one turn: of row r and step s. */
export function rowsOfA({ bench, product, lanes, height }: GpuMatmul, { outer, row }: RegisterTile): TurnLoads {
  const { emitter: e } = bench;
  const { m } = product;
  const a = bench.read(product.a.base);
  const strides = stridesOf(summedAxes(product), "a");
  const inner = strides.at(-1) ?? 0;
  const base = e.address(outer, stridesOf(product.outer, "a")).at;
  const inRows = lanes === 4 && m.a === 1 && height % 4 === 0 && m.size % 4 === 0;
  const lastStart = m.size % height === 0 ? null : k.idx(inRows ? m.size - 4 : m.size - 1);
  const starts = Array.from({ length: height }, (_, r) => {
    const position = k.add(row.at, k.idx(r));
    const clamped = lastStart && r > 0 ? k.min(position, lastStart) : position;
    return e.bind(k.add(base, k.mul(clamped, k.idx(m.a))));
  });
  return (kk, step) => {
    const offset = e.address(kk, strides).at;
    const at = (start: Expr, s: number): Expr => k.add(k.add(start, offset), k.idx(s * inner));
    if (inRows) {
      const loaded = Array.from({ length: step }, (_, s) =>
        starts.filter((_start, r) => r % 4 === 0).map((start) => e.bind(k.load(a, at(start, s), VECTOR))),
      );
      return (r, s) => k.extract(mustAt(mustAt(loaded, s), r >> 2), r & 3);
    }
    if (lanes === 4 && step === 4 && inner === 1) {
      const loaded = starts.map((start) => e.bind(k.load(a, at(start, 0), VECTOR)));
      return (r, s) => k.extract(mustAt(loaded, r), s);
    }
    const loaded = starts.map((start) =>
      Array.from({ length: step }, (_step, s) => e.bind(k.load(a, at(start, s), F32))),
    );
    return (r, s) => mustAt(mustAt(loaded, r), s);
  };
}

/** Loads of B for one turn: of vector v and step s. */
export function columnsOfB({ bench, product, lanes }: GpuMatmul, { outer, columns }: RegisterTile): TurnLoads {
  const { emitter: e } = bench;
  const { n } = product;
  const b = bench.read(product.b.base);
  const strides = stridesOf(summedAxes(product), "b");
  const inner = strides.at(-1) ?? 0;
  const base = e.address(outer, stridesOf(product.outer, "b")).at;
  const isWhole = n.size % lanes === 0;
  const inColumns = lanes === 1 || (n.b === 1 && isWhole);
  const startAt = (column: Coord, l: number): Expr => {
    const position = k.add(column.at, k.idx(l));
    const clamped = isWhole || l === 0 ? position : k.min(position, k.idx(n.size - 1));
    return e.bind(k.add(base, k.mul(clamped, k.idx(n.b))));
  };
  /** Where each vector begins, or each word of it. */
  const starts = columns.map((column): [Expr, ...Expr[]] => [
    startAt(column, 0),
    ...(inColumns ? [] : [startAt(column, 1), startAt(column, 2), startAt(column, 3)]),
  ]);
  return (kk, step) => {
    const offset = e.address(kk, strides).at;
    const at = (start: Expr, s: number): Expr => k.add(k.add(start, offset), k.idx(s * inner));
    const steps = Array.from({ length: step }, (_, s) => s);
    const packed = (items: readonly Expr[]): Expr => e.bind(k.lanes(items));
    const loaded = starts.map((words) => {
      if (inColumns) return steps.map((s) => e.bind(k.load(b, at(words[0], s), { of: "f32", lanes })));
      if (step === 4 && inner === 1) {
        const runs = words.map((start) => e.bind(k.load(b, at(start, 0), VECTOR)));
        return steps.map((s) => packed(runs.map((run) => k.extract(run, s))));
      }
      return steps.map((s) => packed(words.map((start) => k.load(b, at(start, s), F32))));
    });
    return (v, s) => mustAt(mustAt(loaded, v), s);
  };
}
