/**
 * The tile of a matrix product that an invocation of a GPU holds in registers: its accumulators, what is added to them,
 * and the stores of what becomes of them.
 */
import type { Choice } from "../../../kernel/profile.js";
import * as k from "../../../kernel/build.js";
import type { Expr } from "../../../kernel/ir.js";
import { mustAt } from "../../../../runtime/lookup.js";
import type { Product } from "../../fusion/contraction.js";
import { across } from "../../emit/coords.js";
import type { Coord } from "../../emit/emit.js";
import { finish, type ClusterProduct, type LoopPosition } from "../epilogue.js";
import { drain } from "../shift-registers.js";

/** The knobs of a matrix product on a GPU. */
export interface GpuTile extends Choice {
  /** Of the result, in the registers of one invocation. */
  readonly rows: number;
  readonly columns: number;
  /** Steps along k in one turn of the loop: 1, or 4 where the innermost summed axis is a multiple of it. */
  readonly unroll: number;
  /** 1: tiles of A and B go through workgroup memory. */
  readonly shared: number;
  /** 1: the epilogue and the store are in the text once, in a loop over the accumulators (`shift-registers.ts`). */
  readonly rolled: number;
  /** 0, or how many neighbours in a subgroup load one step along k of A each and hand it to the others. */
  readonly subgroup: number;
}

/** One product's kernel while it is made. */
export interface GpuMatmul extends ClusterProduct {
  readonly product: Product;
  readonly tile: GpuTile;
  /** Columns of a vector. */
  readonly lanes: 1 | 4;
  /** Rows, and vectors of columns, in the registers of an invocation. */
  readonly height: number;
  readonly vectors: number;
}

/** Where one invocation's tile lies, and its accumulators. */
export interface RegisterTile {
  /** Positions along the outer loops. */
  readonly outer: readonly Coord[];
  /** The first row. */
  readonly row: Coord;
  /** The first column of each vector, by its number, and bound for all. */
  readonly column: (v: Expr) => Expr;
  readonly columns: readonly Coord[];
  /** By row and vector. */
  readonly sums: readonly (readonly Expr[])[];
}

/** Whether a vector, by its number and first column, is one of the result at all; null where all are. */
export type IsInside = (v: Expr, start: Coord) => Expr | null;

/** Binds the columns of a tile and sets its accumulators to zero. */
export function tileAt(
  { bench: { emitter: e }, lanes, height, vectors }: GpuMatmul,
  { outer, row, column }: Pick<RegisterTile, "outer" | "row" | "column">,
): RegisterTile {
  const columns = Array.from({ length: vectors }, (_, v) => e.coord(column(k.idx(v))));
  const sums = Array.from({ length: height }, () =>
    columns.map(() => {
      const name = e.fresh("acc");
      e.push(k.varS(name, k.splat(k.f32(0), lanes)));
      return k.ref(name, { of: "f32", lanes });
    }),
  );
  return { outer, row, column, columns, sums };
}

/** Adds one step along k to all accumulators: `x` is the word of A of a row, `y` a vector of B. */
export function multiply(
  { bench: { emitter: e }, lanes }: GpuMatmul,
  { sums }: RegisterTile,
  x: (row: number) => Expr,
  y: (vector: number) => Expr,
): void {
  for (const [r, row] of sums.entries()) {
    const factor = lanes === 4 ? e.bind(k.splat(x(r), lanes)) : x(r);
    for (const [v, sum] of row.entries()) e.push(k.assign(k.nameOf(sum), k.fma(factor, y(v), sum)));
  }
}

/**
 * The epilogue and the stores of a tile. `checkFirst`: whether its first row may be past the end, and not only the
 * others.
 */
export function storeTile(kernel: GpuMatmul, tile: RegisterTile, isInside: IsInside, checkFirst = false): void {
  const {
    bench: { emitter: e },
    product: { m, outer },
    height,
    vectors,
  } = kernel;
  const isRagged = checkFirst || m.size % height !== 0;
  const outerLoops = outer.map((axis, i): LoopPosition => ({ axis, at: mustAt(tile.outer, i) }));
  const storeAt = (
    row: Coord,
    checksRow: boolean,
    conditionOfVector: Expr | null,
    store: (loops: LoopPosition[]) => void,
  ) => {
    const conditions = [checksRow ? k.lt(row.at, k.idx(m.size)) : null, conditionOfVector];
    guardAll(kernel, conditions, () => store([...outerLoops, { axis: m, at: row }]));
  };
  if (kernel.tile.rolled) {
    return drain(e, tile.sums.flat(), (at, value) => {
      const [r, v] = e.split(at, [height, vectors]);
      const row = e.coord(k.add(tile.row.at, r.at));
      const start = e.coord(tile.column(v.at));
      const home = e.depth();
      storeAt(row, isRagged && (checkFirst || height > 1), isInside(v.at, start), (loops) =>
        storeVector(kernel, loops, start, value, home),
      );
    });
  }
  const home = e.depth();
  for (const [r, sums] of tile.sums.entries()) {
    const row = r === 0 ? tile.row : e.coord(k.add(tile.row.at, k.idx(r)));
    for (const [v, sum] of sums.entries()) {
      const start = mustAt(tile.columns, v);
      storeAt(row, isRagged && (checkFirst || r > 0), isInside(k.idx(v), start), (loops) =>
        storeVector(kernel, loops, start, sum, home),
      );
    }
  }
}

function guardAll({ bench: { emitter: e } }: GpuMatmul, conditions: readonly (Expr | null)[], body: () => void): void {
  const [first, ...others] = conditions.filter((condition) => condition !== null);
  if (!first) return body();
  e.guard(
    others.reduce((both, condition) => k.and(both, condition), first),
    body,
  );
}

/** Stores a vector of columns that begins at `start`, or those of it that are columns of the result. */
function storeVector(kernel: GpuMatmul, loops: readonly LoopPosition[], start: Coord, value: Expr, home: number): void {
  const { bench, product, lanes } = kernel;
  const { emitter: e } = bench;
  const { n } = product;
  const store = (at: Coord, part: Expr): void => finish(kernel, [...loops, { axis: n, at }], part, home);
  if (lanes === 1) return store(start, value);
  if (n.size % 4 === 0) return store(across(start, 4), value);
  e.guard(k.le(k.add(start.at, k.idx(4)), k.idx(n.size)), () => store(across(start, 4), value));
  e.guard(k.lt(k.idx(n.size), k.add(start.at, k.idx(4))), () => {
    for (const l of ([0, 1, 2] as const).slice(0, n.size % 4))
      store(e.coord(k.add(start.at, k.idx(l))), k.extract(value, l));
  });
}
