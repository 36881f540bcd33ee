/** What the rows and the columns of a matrix sum to at most, in absolute values. */
import { mustAt } from "../../../runtime/lookup.js";
import type { Span } from "../../diagnostics/span.js";
import type { SetInstance } from "../../manifolds/registry.js";
import { rankOf } from "../../manifolds/set.js";
import type { Coefficient } from "../mixing.js";
import { axesOf, type Axis, type Typed, type TypedOf } from "../typed.js";
import {
  boundOf,
  isNone,
  mapMember,
  opened,
  parameterMember,
  sizesOf,
  unbounded,
  type BoundsState,
  type None,
  type SetMember,
} from "./bounds.js";
import { largest, rangeOf, type Interval } from "./ranges.js";

/**
 * Largest sums of absolute values of a matrix; `member`: the set that they are the bounds of, where they are just
 * these.
 */
export interface Sums {
  readonly rows: number;
  readonly columns: number;
  readonly member: SetInstance | null;
}

/** An expression as a matrix: its rows and columns, and by what names it has its axes. */
interface MatrixView {
  readonly row: Axis;
  readonly column: Axis;
  /** A renaming of axes on the way into a definition. */
  readonly nameOf: (axis: Axis) => Axis;
}

/** The largest sums of a coefficient as a matrix of these rows and columns; its other axes count matrices. */
export const matrixSums = (state: BoundsState, { e, names }: Coefficient, row: Axis, column: Axis): Sums | None =>
  sumsOf(state, e, { row, column, nameOf: (axis) => names.get(axis) ?? axis });

/** The view of what a name stands for: there, `from` are the axes that are called `to` here. */
const into = (view: MatrixView, from: readonly Axis[], to: readonly Axis[]): MatrixView => ({
  ...view,
  nameOf: (axis) => {
    const at = from.indexOf(axis);
    return view.nameOf(at < 0 ? axis : mustAt(to, at));
  },
});

function sumsOf(state: BoundsState, e: Typed, view: MatrixView): Sums | None {
  return structuredSums(state, e, view) ?? filled(rangeOf(state, e), view, e.span);
}

/** The sums of what is a matrix by the way it is made; null where only the range of its entries is known. */
function structuredSums(state: BoundsState, e: Typed, view: MatrixView): Sums | None | null {
  switch (e.kind) {
    case "tensor": {
      const inside = into(view, e.tensor.axes, e.axes);
      const definition = state.definitions.get(e.tensor);
      if (definition) return sumsOf(state, definition, inside);
      const parameter = state.parameterOf.get(e.tensor);
      const member = parameter && parameterMember(parameter);
      return member ? memberSums(e, member, inside) : null;
    }
    case "map":
      return memberSums(e, mapMember(e), view);
    case "relabel":
      return sumsOf(state, e.a, into(view, e.from, e.axes));
    case "call":
      return sumsOf(state, opened(state, e), into(view, e.instance.axes, e.axes));
    case "unary":
      return e.f === "neg" || e.f === "stop" ? sumsOf(state, e.a, view) : null;
    case "binary":
      return e.f === "+" || e.f === "-" ? addedSums(sumsOf(state, e.a, view), sumsOf(state, e.b, view)) : null;
    case "product":
      return productSums(state, e, view);
    case "reduce":
      return softmaxSums(e, view);
    default:
      return null;
  }
}

function addedSums(a: Sums | None, b: Sums | None): Sums | None {
  if (isNone(a)) return a;
  if (isNone(b)) return b;
  return { rows: a.rows + b.rows, columns: a.columns + b.columns, member: null };
}

/** Of a product with one factor that is a matrix: its sums, times the largest of what else there is. */
function productSums(state: BoundsState, e: TypedOf<"product">, view: MatrixView): Sums | None | null {
  const { row, column, nameOf } = view;
  const matrices = e.factors.filter(
    ({ e: factor, inverse }) =>
      !inverse && [row, column].every((axis) => axesOf(factor).some((inside) => nameOf(inside) === axis)),
  );
  const [matrix, ...others] = matrices;
  if (!matrix || others.length || e.summed.length) return null;
  const sums = sumsOf(state, matrix.e, view);
  const rest = rangeOf(state, { ...e, factors: e.factors.filter((factor) => factor !== matrix) });
  if (isNone(sums)) return sums;
  if (isNone(rest)) return rest;
  return { rows: sums.rows * largest(rest), columns: sums.columns * largest(rest), member: null };
}

/** A softmax along one side of a matrix sums to 1 there. */
function softmaxSums({ f, axes }: TypedOf<"reduce">, { row, column, nameOf }: MatrixView): Sums | null {
  const [axis, ...others] = axes;
  if (f !== "softmax" || !axis || others.length) return null;
  const [height, width] = sizesOf([row, column]) ?? [];
  if (height === undefined || width === undefined) return null;
  const along = nameOf(axis);
  if (along === column) return { rows: 1, columns: height, member: null };
  return along === row ? { rows: width, columns: 1, member: null } : null;
}

/** A matrix of which the entries are known to stay within a range. */
function filled(entries: Interval | None, { row, column }: MatrixView, span: Span): Sums | None {
  if (isNone(entries)) return entries;
  const [height, width] = sizesOf([row, column]) ?? [];
  if (height === undefined || width === undefined) return { none: "a matrix whose size is not known yet", span };
  return { rows: largest(entries) * width, columns: largest(entries) * height, member: null };
}

/** The sums that a set of matrices states of its members; null where a point is no matrix of these rows and columns. */
function memberSums({ span }: Typed, member: SetMember, { row, column, nameOf }: MatrixView): Sums | None | null {
  const { manifold, point } = member;
  const [first, second, ...others] = point.map(nameOf);
  const isStraight = first === row && second === column;
  const isTurned = first === column && second === row;
  if (others.length || rankOf(manifold.set.point) !== 2 || (!isStraight && !isTurned)) return null;
  const shape = sizesOf(point.map(nameOf));
  if (!shape) return { none: "the number of lanes is not known yet", span: span };
  const [rows, columns] = [boundOf(manifold, "row", shape), boundOf(manifold, "column", shape)];
  if (typeof rows !== "number") return unbounded(member, rows, span);
  if (typeof columns !== "number") return unbounded(member, columns, span);
  return isStraight ? { rows, columns, member: manifold } : { rows: columns, columns: rows, member: manifold };
}
