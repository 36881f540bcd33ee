/** Coordinates of elements, as kernels compute them. */
import * as k from "../kernel/build.js";
import type { Expr } from "../kernel/ir.js";

export interface Coord {
  /** A constant or a name: other expressions are bound first, so that equal coordinates have equal keys. */
  readonly at: Expr;
  readonly lane: number;
  /** Scope in which `at` exists. */
  readonly depth: number;
}

export const constant = (value: number): Coord => ({ at: k.idx(value), lane: 0, depth: 0 });

/** The same values, all with four lanes if one of them has. */
export const widen = (values: readonly Expr[]): Expr[] =>
  values.some((value) => value.type.lanes === 4) ? values.map((value) => (value.type.lanes === 4 ? value : k.splat(value))) : [...values];
