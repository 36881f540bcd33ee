/**
 * What both skeletons of attention are given: sizes, and the operands and results at one batch and head, as rows in
 * memory. The order in which a tensor's axes lie in memory is in the two distances of its rows.
 */
import type { Expr } from "../../../kernel/ir.js";

/** A tensor [batch, row, heads, columns] in memory, at one batch and head. */
export interface Rows {
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
  readonly depth: number;
  readonly width: number;
  readonly scale: number;
  readonly causal: boolean;
}

/** What choices are kept by. */
export const shapeOf = ({ batch, heads, queries, keys, depth, width, causal }: Attention): string =>
  `${batch}x${heads}x${queries}x${keys}x${depth}x${width}${causal ? "-causal" : ""}`;

/** Results that a cluster does not store are null, and so are values that nothing is made of. */
export interface Forward {
  readonly q: Rows;
  readonly k: Rows;
  readonly v: Rows | null;
  readonly out: Rows | null;
  readonly lse: Rows | null;
}

export interface Backward {
  readonly q: Rows;
  readonly k: Rows;
  readonly v: Rows;
  readonly out: Rows;
  readonly lse: Rows;
  readonly cotangent: Rows;
  readonly dq: Rows | null;
  readonly dk: Rows | null;
  readonly dv: Rows | null;
}

/** Which results of the derivative are stored: those of queries, those of keys and values. */
export interface Roles {
  readonly queries: boolean;
  readonly keys: boolean;
}
