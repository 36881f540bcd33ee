/** What the parts of a matrix product on a CPU share: the kernel that is made, and one task of it. */
import type { Choice } from "../../../kernel/profile.js";
import * as k from "../../../kernel/build.js";
import type { Expr, Lanes } from "../../../kernel/ir.js";
import type { Product } from "../../fusion/contraction.js";
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
  /** Extents of the summed axes, and their product. */
  readonly kSizes: readonly number[];
  readonly depth: number;
  /** Vectors of columns, and columns, of a block of registers. */
  readonly vectors: number;
  readonly block: number;
  /** Rows and columns of a task. */
  readonly rows: number;
  readonly columns: number;
  /** Whether A and B are packed into panels. */
  readonly packsA: boolean;
  readonly packsB: boolean;
  /** Whether products are stored first, and taken up again for their epilogue. */
  readonly deferred: boolean;
  /** Rows at the end of the product that are no whole block of registers; they are in the last task only. */
  readonly rest: number;
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
}

/** The position of the coordinates `kk` along k in a panel of `width` words a step. */
export const inPanel = ({ bench, kSizes }: CpuMatmul, kk: readonly Coord[], width: number): Expr =>
  bench.emitter.address(
    kk,
    rowMajor(kSizes).map((stride) => stride * width),
  ).at;

/** Where a row of products waits for its epilogue. */
export const productAt = ({ block }: CpuMatmul, { firstRow }: CpuTask, row: Coord): Expr =>
  k.mul(k.sub(row.at, firstRow.at), k.idx(block));
