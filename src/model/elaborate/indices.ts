/**
 * Indices that are computed: `x[t - 1, w]`, `x[2 * i + a]`, `q[t, p, 0]`. An index is a sum of positions times whole
 * numbers, and a whole number. What may lie outside of the tensor is absent (`absence.ts`).
 */
import type { Expr, Indexed } from "../../../grammar/ast.js";
import { mustAt } from "../../../runtime/lookup.js";
import { diagnostic } from "../../diagnostics/table.js";
import { describe, valueOf } from "../../graph/sizes.js";
import type { Axis, DeferredNumber, AxisPlace, Tensor, TypedOf } from "../typed.js";
import { axisNamed } from "./axes.js";
import { numberFrom, scalarOf } from "./numbers.js";
import { fail, lookupBare, type Elaboration, type Scope } from "./scope.js";
import { bareName, dotted } from "./syntax.js";

const number = (value: number): DeferredNumber => ({ text: `${value}`, value: () => value });
const ZERO = number(0);
const ONE = number(1);

/** An index while it is read: a place whose terms may name an axis twice. */
type Linear = AxisPlace;

const isZero = ({ text }: DeferredNumber): boolean => text === "0";

function plus(a: DeferredNumber, b: DeferredNumber): DeferredNumber {
  if (isZero(a)) return b;
  return isZero(b) ? a : numberFrom([a, b], `${a.text} + ${b.text}`, (x, y) => x + y);
}

function times(a: DeferredNumber, b: DeferredNumber): DeferredNumber {
  if (a.text === "1") return b;
  return b.text === "1" ? a : numberFrom([a, b], `${a.text} * ${b.text}`, (x, y) => x * y);
}

const scaled = ({ offset, terms }: Linear, by: DeferredNumber): Linear => ({
  offset: isZero(offset) ? ZERO : times(by, offset),
  terms: terms.map(({ axis, step }) => ({ axis, step: times(by, step) })),
});

/** A tensor that is read at computed indices, and whether it is one of the recurrence that is being defined. */
export interface ShiftedTensor {
  readonly tensor: Tensor;
  readonly recurs: boolean;
}

/** A tensor read at indices of which one at least is computed. */
export function shifted(
  state: Elaboration,
  e: Indexed,
  { tensor, recurs }: ShiftedTensor,
  scope: Scope,
): TypedOf<"shifted"> {
  const at = e.axes.map((index): AxisPlace => together(linear(state, index, scope)));
  const axes = [...new Set(at.flatMap(({ terms }) => terms.map(({ axis }) => axis)))];
  for (const [i, place] of at.entries()) {
    const [declared, written] = [mustAt(tensor.axes, i), mustAt(e.axes, i)];
    state.checks.push(() => checkPlace(state, place, { axis: declared, written, recurs }));
  }
  const a = { kind: "tensor", tensor, axes: tensor.axes, span: e.base.span } as const;
  return { kind: "shifted", a, from: tensor.axes, at, axes, recurs, span: e.span };
}

/** The same place with every axis once. */
function together({ offset, terms }: Linear): AxisPlace {
  const steps = new Map<Axis, DeferredNumber>();
  for (const { axis, step } of terms) {
    const before = steps.get(axis);
    steps.set(axis, before ? plus(before, step) : step);
  }
  return { offset, terms: [...steps].map(([axis, step]) => ({ axis, step })) };
}

/** An expression as a sum of positions times numbers. */
function linear(state: Elaboration, e: Expr, scope: Scope): Linear {
  switch (e.kind) {
    case "group":
      return linear(state, e.inner, scope);
    case "unary":
      return scaled(linear(state, e.operand, scope), number(-1));
    case "path": {
      const position = positionOf(state, e, scope);
      return position
        ? { offset: ZERO, terms: [{ axis: position, step: ONE }] }
        : { offset: scalarOf(state, e, scope), terms: [] };
    }
    case "call": {
      const name = dotted(e.callee);
      const [arg, ...more] = e.lists.flat();
      const of = arg && !more.length ? bareName(arg.value) : null;
      if (name === "index" && of !== null)
        return { offset: ZERO, terms: [{ axis: axisNamed(state, { name: of, span: e.span }, scope), step: ONE }] };
      if (name === "size" && arg) return { offset: scalarOf(state, arg.value, scope), terms: [] };
      return { offset: scalarOf(state, e, scope), terms: [] };
    }
    case "binary": {
      const [a, b] = [linear(state, e.left, scope), linear(state, e.right, scope)];
      if (e.op === "+" || e.op === "-") {
        const second = e.op === "-" ? scaled(b, number(-1)) : b;
        return { offset: plus(a.offset, second.offset), terms: [...a.terms, ...second.terms] };
      }
      if (e.op === "*" && a.terms.length === 0) return scaled(b, a.offset);
      if (e.op === "*" && b.terms.length === 0) return scaled(a, b.offset);
      if (a.terms.length === 0 && b.terms.length === 0) return { offset: scalarOf(state, e, scope), terms: [] };
      return refuse(state, e);
    }
    case "number":
      return { offset: scalarOf(state, e, scope), terms: [] };
    default:
      return refuse(state, e);
  }
}

const refuse = (state: Elaboration, e: Expr): never =>
  fail(state, "MHC230", e.span, "an index is a sum of positions times whole numbers, such as `2 * i + a - 1`", {
    fix: "what chooses places by another rule is a sum under a condition: `sum[u](x[u] where …)`",
  });

/** The axis whose position a name stands for in an index; null for a number and for a size. */
function positionOf(state: Elaboration, e: Extract<Expr, { readonly kind: "path" }>, scope: Scope): Axis | null {
  const name = bareName(e);
  const entity = lookupBare(scope, e);
  if (name === null || entity?.kind !== "dim") return null;
  if (scope.standing.alone.has(name)) return entity.axis;
  if (!scope.standing.shared.has(name)) return null;
  return fail(
    state,
    "MHC219",
    e.span,
    `\`${name}\` stands in several indices here and by itself in none, and may be the position along it or its size`,
    { fix: `write \`index(${name})\` for the position, or \`size(${name})\` for the size` },
  );
}

/** An index as it is written, of an axis of a tensor. */
interface WrittenIndex {
  readonly axis: Axis;
  readonly written: Expr;
  readonly recurs: boolean;
}

/**
 * Reports an index that is no whole number, or never one of its axis. In a recurrence no place may have an earlier one:
 * along an axis of size 1 there is none, and each place is a start.
 */
function checkPlace(state: Elaboration, { offset, terms }: AxisPlace, { axis, written, recurs }: WrittenIndex): void {
  const size = valueOf(axis.size);
  let [least, most] = [offset.value(), offset.value()];
  for (const { axis: along, step } of terms) {
    const far = step.value() * ((valueOf(along.size) ?? Number.NaN) - 1);
    if (Number.isInteger(step.value())) least += Math.min(0, far);
    else return refuseFraction(state, step, written);
    most += Math.max(0, far);
  }
  if (!Number.isNaN(offset.value()) && !Number.isInteger(offset.value())) return refuseFraction(state, offset, written);
  if (size === null || recurs || !(most < 0 || least >= size)) return;
  state.report(
    diagnostic(
      "MHC232",
      written.span,
      `this index is ${least === most ? least : `${least} to ${most}`}, and \`${axis.name}\` has the places 0 to ` +
        `${size - 1} (its size is ${describe(axis.size)})`,
    ),
  );
}

function refuseFraction(state: Elaboration, value: DeferredNumber, { span }: Expr): void {
  if (Number.isNaN(value.value())) return;
  state.report(
    diagnostic("MHC230", span, `an index is made of whole numbers, and \`${value.text}\` is ${value.value()}`),
  );
}
