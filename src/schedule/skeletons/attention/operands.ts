/**
 * What both skeletons of attention are given: sizes, and the operands and results at one batch and head, as rows in
 * memory. The order in which a tensor's axes lie in memory is in the two distances of its rows.
 */
import type { Expr } from "../../../kernel/ir.js";
import type { Coord } from "../../emit/coords.js";

/** A tensor [batch, row, heads, columns] in memory, at one batch and head. */
export interface TensorRows {
  readonly buffer: string;
  /** Where the batch and head begin. */
  readonly base: Expr;
  /** Words from row to row, and from column to column. */
  readonly row: number;
  readonly column: number;
}

/** Sizes and attributes. */
export interface Attention {
  readonly batch: number;
  readonly heads: number;
  readonly queries: number;
  readonly keys: number;
  /** Columns of queries and keys, and of values. */
  readonly depth: number;
  readonly width: number;
  /** What products of queries and keys are multiplied with. */
  readonly scale: number;
  /** Whether a query sees the keys up to its own position only. */
  readonly causal: boolean;
}

/** What choices are kept by. */
export const shapeOf = ({ batch, heads, queries, keys, depth, width, causal }: Attention): string =>
  `${batch}x${heads}x${queries}x${keys}x${depth}x${width}${causal ? "-causal" : ""}`;

/**
 * Operands and results of attention. Results that a cluster does not store are null, and so are values that nothing is
 * made of.
 */
export interface ForwardOperands {
  readonly q: TensorRows;
  readonly k: TensorRows;
  readonly v: TensorRows | null;
  readonly out: TensorRows | null;
  /** The logs of the sums of exponentials: one column. */
  readonly lse: TensorRows | null;
}

/** Binds the operands of attention at a batch and head. */
export type ForwardAt = (b: Coord, h: Coord) => ForwardOperands;

/** Operands of attention's derivative, and its results: those that a cluster does not store are null. */
export interface BackwardOperands {
  readonly q: TensorRows;
  readonly k: TensorRows;
  readonly v: TensorRows;
  readonly out: TensorRows;
  readonly lse: TensorRows;
  /** The cotangent of `out`. */
  readonly cotangent: TensorRows;
  readonly dq: TensorRows | null;
  readonly dk: TensorRows | null;
  readonly dv: TensorRows | null;
}

/**
 * Binds the operands of the derivative at a batch and head. `accumulates`: whether results are summed in their own
 * memory, so that they are read too.
 */
export type BackwardAt = (b: Coord, h: Coord, accumulates: boolean) => BackwardOperands;

/** Which results of the derivative are stored: those of queries, those of keys and values. */
export interface GradientRoles {
  readonly queries: boolean;
  readonly keys: boolean;
}
