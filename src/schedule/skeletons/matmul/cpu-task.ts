/** What the parts of a matrix product on a CPU share: the kernel that is made, and one task of it. */
import type { Choice } from "../../../kernel/profile.js";
import * as k from "../../../kernel/build.js";
import type { Expr, Lanes } from "../../../kernel/ir.js";
import type { Product } from "../../fusion/contraction.js";
import { mustAt } from "../../../../runtime/lookup.js";
import { rowMajor } from "../../fusion/views.js";
import type { Coord } from "../../emit/emit.js";
import type { ClusterProduct } from "../epilogue.js";

/** The knobs of a matrix product on a CPU. */
export interface CpuTile extends Choice {
  /** Rows and columns of a task. */
  readonly rows: number;
  readonly columns: number;
  /** Rows of a block of registers. */
  readonly height: number;
  /** Steps along k in one turn of the inner loop. */
  readonly unroll: number;
  /** Steps along k that a panel holds; 0 for all. */
  readonly depth: number;
}

/** The array for the panels of A of a task. */
export const PANELS_A = "panels";
/** The array for a panel of B. */
export const PANEL_B = "panel";
/** The array for products that wait for their epilogue. */
export const PRODUCTS = "products";

/** One product's kernel while it is made. */
export interface CpuMatmul extends ClusterProduct {
  readonly product: Product;
  readonly tile: CpuTile;
  readonly lanes: Lanes;
  /** The buffers of the operands. */
  readonly a: string;
  readonly b: string;
  /** Extents of the summed axes. */
  readonly kSizes: readonly number[];
  /** Steps along k that panels hold: all of them, or those of a block. */
  readonly depth: number;
  /** How the summed axes are cut into blocks; null where panels hold all of them. */
  readonly cut: DepthCut | null;
  /** Vectors of columns, and columns, of a block of registers. */
  readonly vectors: number;
  readonly block: number;
  /** Rows and columns of a task. */
  readonly rows: number;
  readonly columns: number;
  /** Whether lanes run along the rows of the result, which then are the columns of `product`. */
  readonly turned: boolean;
  /** Whether A and B are packed into panels. */
  readonly packsA: boolean;
  readonly packsB: boolean;
  /** Whether all columns of a task are packed at once, row after row, since rows of B are runs in memory. */
  readonly packsRows: boolean;
  /** Whether products are stored first, and taken up again for their epilogue: */
  readonly deferred: boolean;
  /** those of the whole task, so that its rows are written in one run, or else those of a block of columns. */
  readonly together: boolean;
  /** Rows at the end of the product that are no whole block of registers; they are in the last task only. */
  readonly rest: number;
}

/**
 * Blocks along k, for sums so long that panels of them would leave the first-level cache: a block is `size` positions
 * of one axis with all of the axes inside of it.
 */
export interface DepthCut {
  readonly axis: number;
  readonly size: number;
}

/** One block along k while it is made. */
export interface DepthBlock {
  /** Positions along the axes outside of the one that is cut. */
  readonly outer: readonly Coord[];
  /** Its range of the cut axis. */
  readonly from: Expr;
  readonly to: Expr;
}

/** A block of rows by a block of columns of the result. */
export interface CpuTask {
  /** Positions along the outer loops. */
  readonly outer: readonly Coord[];
  /** Where the operands begin at that position. */
  readonly baseA: Expr;
  readonly baseB: Expr;
  readonly firstRow: Coord;
  readonly endRow: Expr;
  readonly firstColumn: Coord;
  readonly endColumn: Expr;
  /** The end of the rows that are whole blocks of registers. */
  readonly wholeRows: Expr;
  /** The block along k that is summed now; null where there is one only. */
  readonly along: DepthBlock | null;
}

/** The position of the coordinates `kk` along k in a panel of `width` words a step. */
export function inPanel({ bench, kSizes, cut }: CpuMatmul, task: CpuTask, kk: readonly Coord[], width: number): Expr {
  const strides = rowMajor(kSizes).map((stride) => stride * width);
  if (!cut || !task.along) return bench.emitter.address(kk, strides).at;
  const { axis } = cut;
  const at = bench.emitter.address(kk.slice(axis), strides.slice(axis)).at;
  return k.sub(at, k.mul(task.along.from, k.idx(mustAt(strides, axis))));
}

/** Where the panel of the columns from n0 begins, of those that are packed at once. */
export const panelAt = ({ packsRows, depth }: CpuMatmul, { firstColumn }: CpuTask, n0: Coord): Expr =>
  packsRows ? k.mul(k.sub(n0.at, firstColumn.at), k.idx(depth)) : k.idx(0);

/** Loops over the steps along k that the panels of a task hold. */
export function eachStep({ bench, kSizes, cut }: CpuMatmul, { along }: CpuTask, body: (kk: Coord[]) => void): void {
  const { emitter: e } = bench;
  if (!cut || !along) return e.nest(kSizes, body);
  e.loop(along.from, along.to, 1, (c) => e.nest(kSizes.slice(cut.axis + 1), body, [...along.outer, c]));
}

/** Loops over the steps along all axes but the last; the cut axis must be one of them. */
export function eachStepBefore({ bench, kSizes, cut }: CpuMatmul, task: CpuTask, body: (kk: Coord[]) => void): void {
  const { emitter: e } = bench;
  const { along } = task;
  if (!cut || !along) return e.nest(kSizes.slice(0, -1), body);
  e.loop(along.from, along.to, 1, (c) => e.nest(kSizes.slice(cut.axis + 1, -1), body, [...along.outer, c]));
}

/** Where products of a row wait for their epilogue: those of a block of columns, or of all that the task has. */
export function productAt(kernel: CpuMatmul, { firstRow, firstColumn }: CpuTask, row: Coord, column: Coord): Expr {
  const line = k.sub(row.at, firstRow.at);
  if (!kernel.together) return k.mul(line, k.idx(kernel.block));
  return k.add(k.mul(line, k.idx(kernel.columns)), k.sub(column.at, firstColumn.at));
}
