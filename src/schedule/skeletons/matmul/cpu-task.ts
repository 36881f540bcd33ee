/** What the parts of a matrix product on a CPU share: the kernel that is made, and one task of it. */
import type { Choice } from "../../../kernel/profile.js";
import * as k from "../../../kernel/build.js";
import type { Expr, Lanes } from "../../../kernel/ir.js";
import type { Product } from "../../fusion/contraction.js";
import { mustAt } from "../../../../runtime/lookup.js";
import { sizeOf } from "../../../graph/record.js";
import { rowMajor } from "../../fusion/views.js";
import type { Coord } from "../../emit/emit.js";
import type { ClusterProduct } from "../epilogue.js";

/** The knobs of a matrix product on a CPU. */
export interface CpuTile extends Choice {
  /** Rows and columns of a block that caches hold. */
  readonly rows: number;
  readonly columns: number;
  /** Blocks of rows, and of columns, that a task takes one after the other: it packs what they share once. */
  readonly rowBlocks: number;
  readonly columnBlocks: number;
  /** Rows of a block of registers. */
  readonly height: number;
  /** Steps along k in one turn of the inner loop. */
  readonly unroll: number;
  /** Steps along k that a panel holds; 0 for all. */
  readonly depth: number;
}

/** The array for panels of A. */
export const PANELS_A = "panels";
/** The array for panels of B. */
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
  /** Rows and columns of a block that caches hold. */
  readonly rows: number;
  readonly columns: number;
  /** Whether lanes run along the rows of the result, which then are the columns of `product`. */
  readonly turned: boolean;
  /** Whether A and B are packed into panels. */
  readonly packsA: boolean;
  readonly packsB: boolean;
  /** Whether all columns of a block are packed at once, row after row, since rows of B are runs in memory. */
  readonly packsRows: boolean;
  /** Whether panels of A stay for the next blocks of columns of a task, and those of B for its next blocks of rows. */
  readonly keepsA: boolean;
  readonly keepsB: boolean;
  /** Whether products are stored first, and taken up again for their epilogue: */
  readonly deferred: boolean;
  /** those of the whole block, so that its rows are written in one run, or else those of a panel of columns. */
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

/** A block of rows by a block of columns of the result, of those that a task has. */
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
  /** The first row and column of the first block. */
  readonly startRow: Expr;
  readonly startColumn: Expr;
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

/** Blocks along k that a position of the axes outside of the cut one has. */
const blocksAlong = (kSizes: readonly number[], { axis, size }: DepthCut): number =>
  Math.ceil(mustAt(kSizes, axis) / size);

/** Steps along k of all blocks together, each as long as the longest. */
export function stepsOf({ kSizes, cut, depth }: Pick<CpuMatmul, "kSizes" | "cut" | "depth">): number {
  if (!cut) return depth;
  return sizeOf(kSizes.slice(0, cut.axis)) * blocksAlong(kSizes, cut) * depth;
}

/** Steps along k of the blocks before the one that is summed now. */
function stepsBefore({ bench, kSizes, cut, depth }: CpuMatmul, { along }: CpuTask): Expr {
  if (!cut || !along) return k.idx(0);
  const each = blocksAlong(kSizes, cut);
  const strides = rowMajor(kSizes.slice(0, cut.axis)).map((stride) => stride * each);
  const before = k.add(bench.emitter.address(along.outer, strides).at, k.div(along.from, k.idx(cut.size)));
  return k.mul(before, k.idx(depth));
}

/** Where the panel of B of the columns from n0 begins. */
export function panelOfB(kernel: CpuMatmul, task: CpuTask, n0: Coord): Expr {
  const { packsRows, keepsB, depth, columns } = kernel;
  if (!packsRows && !keepsB) return k.idx(0);
  const within = k.mul(k.sub(n0.at, task.firstColumn.at), k.idx(depth));
  return keepsB ? k.add(k.mul(stepsBefore(kernel, task), k.idx(columns)), within) : within;
}

/** Where the panel of A of the rows from m0 begins. */
export function panelOfA(kernel: CpuMatmul, task: CpuTask, m0: Expr): Expr {
  const { keepsA, depth, rows } = kernel;
  const within = k.mul(k.sub(m0, task.firstRow.at), k.idx(depth));
  if (!keepsA) return within;
  const block = k.mul(k.sub(task.firstRow.at, task.startRow), k.idx(stepsOf(kernel)));
  return k.add(k.add(block, k.mul(stepsBefore(kernel, task), k.idx(rows))), within);
}

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

/** Where products of a row wait for their epilogue: those of a panel of columns, or of all that the block has. */
export function productAt(kernel: CpuMatmul, { firstRow, firstColumn }: CpuTask, row: Coord, column: Coord): Expr {
  const line = k.sub(row.at, firstRow.at);
  if (!kernel.together) return k.mul(line, k.idx(kernel.block));
  return k.add(k.mul(line, k.idx(kernel.columns)), k.sub(column.at, firstColumn.at));
}
