/**
 * Functions along axes, `softmax[u](s[t, u] where u <= t)`, and the conditions that may stand under them.
 */
import type { Call, Else, Expr, Path } from "../../../grammar/ast.js";
import { mustAt } from "../../../runtime/lookup.js";
import { diagnostic } from "../../diagnostics/table.js";
import type { Span } from "../../diagnostics/span.js";
import { listed } from "../quantities.js";
import { axesOf, union, type Axis, type Reducer, type Typed } from "../typed.js";
import { partsOf } from "../walk.js";
import { absentIn, readsNothing } from "../absence.js";
import { axisLike, axisNamed, unknownAxis } from "./axes.js";
import {
  ALONG_ONE,
  elementwise,
  elementwiseNamed,
  memberOf,
  ONE_HOT,
  REDUCERS,
  REDUCERS_OF_ABSENT,
  unknownFunction,
} from "./builtins.js";
import { oneHot } from "./one-hot.js";
import { ownLine } from "./einstein.js";
import { expression, fail, lookup, lookupBare, type Elaboration, type Expected, type Scope } from "./scope.js";
import { dotted } from "./syntax.js";
import { reference } from "./tensors.js";

/** A call with axes; `idents` are what stands in its brackets. */
export function reduction(state: Elaboration, e: Call, idents: NonNullable<Call["axes"]>, scope: Scope): Typed {
  const name = dotted(e.callee);
  if (name === ONE_HOT) return oneHot(state, e, idents, scope);
  const f = memberOf(REDUCERS, name);
  if (!f) return unknownFunction(state, e, name, `\`${name}\` does not work along axes`, [...REDUCERS, ONE_HOT]);
  const args = e.lists.flat();
  const [arg] = args;
  if (!arg || args.length !== 1) return fail(state, "MHC207", e.span, `\`${name}\` takes one argument`);
  const axes = idents.map((ident) => axisNamed(state, ident, scope, axisLike(arg.value, ident.name, scope)));
  if (axes.length === 0) return fail(state, "MHC207", e.span, `\`${name}\` needs at least one axis`);
  if (ALONG_ONE.includes(f) && axes.length > 1)
    return fail(state, "MHC207", e.span, `\`${name}\` works along one axis, and ${axes.length} are named`);
  const a = reduced(state, f, arg.value, axes, { ...scope, wanted: union(scope.wanted, axes) });
  const missing = axes.findIndex((axis) => !axesOf(a).includes(axis) && !mayKeep(a, axis));
  if (missing >= 0)
    return fail(
      state,
      "MHC205",
      mustAt(idents, missing).span,
      `\`${name}\` works along \`${mustAt(axes, missing).name}\`, which its argument does not have`,
      { fix: ownLine(a, axesOf(a)) ?? `its axes are ${listed(axesOf(a))}` },
    );
  return { kind: "reduce", f, axes, a, span: e.span };
}

/** Whether a cross entropy in a value has an axis when it is asked for. */
const mayKeep = (e: Typed, axis: Axis): boolean =>
  e.kind === "cross_entropy" ? axesOf(e.target).includes(axis) : partsOf(e).some((part) => mayKeep(part, axis));

/** What a reducer works on: a value, or one that is absent where a condition is false. */
function reduced(state: Elaboration, f: Reducer, e: Expr, axes: readonly Axis[], scope: Scope): Typed {
  if (e.kind === "group") return reduced(state, f, e.inner, axes, scope);
  if (e.kind !== "where") return expression(state, e, scope, null);
  if (!REDUCERS_OF_ABSENT.includes(f))
    return fail(state, "MHC212", e.span, `\`${f}\` does not know what to do without a value`);
  const a = expression(state, e.value, scope, null);
  const positions = union(union(axesOf(a), axes), scope.wanted);
  return { kind: "where", a, condition: condition(state, e.condition, scope, positions), span: e.span };
}

/** `a where condition else b`, or `a else b`, where what makes the first absent is an index outside of its tensor. */
export function choice(state: Elaboration, e: Else, scope: Scope, expected: Expected): Typed {
  const guarded = withoutParentheses(e.value);
  const [value, when] = guarded.kind === "where" ? [guarded.value, guarded.condition] : [guarded, null];
  const a = expression(state, value, scope, expected);
  const otherwise = expression(state, e.otherwise, scope, expected);
  const positions = union(union(axesOf(a), axesOf(otherwise)), scope.wanted);
  if (when) return { kind: "choice", a, condition: condition(state, when, scope, positions), otherwise, span: e.span };
  state.checks.push(() => {
    if (absentIn(a, true).length === 0 && !readsNothing(a))
      state.report(
        diagnostic("MHC212", e.span, "`else` has nothing to stand for: the value before it is always there", {
          fix: "write `… where condition else …`, or leave it out",
        }),
      );
  });
  return { kind: "choice", a, condition: null, otherwise, span: e.span };
}

const withoutParentheses = (e: Expr): Expr => (e.kind === "group" ? withoutParentheses(e.inner) : e);

/**
 * A condition. An axis of the guarded value, or of the left side, is its position; any other dim is its size.
 * `positions`: the axes of the first kind.
 */
function condition(state: Elaboration, e: Expr, scope: Scope, positions: readonly Axis[]): Typed {
  const { span } = e;
  const inner = (part: Expr): Typed => condition(state, part, scope, positions);
  switch (e.kind) {
    case "group":
      return inner(e.inner);
    case "path":
      return nameInCondition(state, e, scope, positions);
    case "binary": {
      switch (e.op) {
        case "and":
        case "or":
          return { kind: "binary", f: e.op, a: inner(e.left), b: inner(e.right), span };
        case "<":
        case "<=":
        case "==":
        case "!=":
        case "+":
        case "-":
          for (const side of [e.left, e.right]) refuseUnknown(state, side, e, scope);
          return { kind: "binary", f: e.op, a: inner(e.left), b: inner(e.right), span };
        case ">":
        case ">=":
          return { kind: "binary", f: e.op === ">" ? "<" : "<=", a: inner(e.right), b: inner(e.left), span };
        case "*":
          return times(inner(e.left), inner(e.right), span);
        case "%":
          return { kind: "binary", f: "mod", a: inner(e.left), b: inner(e.right), span };
        default:
          return fail(state, "MHC210", span, `\`${e.op}\` has no place in a condition`);
      }
    }
    case "unary":
      return { kind: "unary", f: "neg", a: inner(e.operand), span };
    case "call": {
      const name = dotted(e.callee);
      const isOther = e.axes !== null || lookup(scope, name) !== null || state.blocks.has(name);
      const f = isOther ? null : elementwiseNamed(name);
      return f ? elementwise(state, e, f, inner) : expression(state, e, scope, null);
    }
    default:
      return expression(state, e, scope, null);
  }
}

function nameInCondition(state: Elaboration, e: Path, scope: Scope, positions: readonly Axis[]): Typed {
  const entity = lookupBare(scope, e);
  return entity?.kind === "dim" && positions.includes(entity.axis)
    ? { kind: "position", axis: entity.axis, span: e.span }
    : reference(state, e, scope, null);
}

const times = (a: Typed, b: Typed, span: Span): Typed => ({
  kind: "product",
  factors: [
    { e: a, inverse: false },
    { e: b, inverse: false },
  ],
  summed: [],
  span,
});

/** In a comparison a name that nothing has is an axis that was not declared. */
function refuseUnknown(state: Elaboration, side: Expr, comparison: Expr, scope: Scope): void {
  if (side.kind !== "path" || side.parts.length > 1 || lookupBare(scope, side)) return;
  const [ident] = side.parts;
  unknownAxis(state, ident, scope, axisLike(comparison, ident.name, scope));
}
