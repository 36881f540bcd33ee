/**
 * `one_hot[v](e)`: a whole number as numbers along an axis, 1 at the position that it is and 0 elsewhere. It is the
 * indicator of `index(v) == e`, and the sizes of the axis and of what the number is below are one.
 */
import type { Call } from "../../../grammar/ast.js";
import { describe, unify } from "../../graph/sizes.js";
import { axesOf, type Typed } from "../typed.js";
import { axisNamed } from "./axes.js";
import { expression, fail, type Elaboration, type Scope } from "./scope.js";
import { kindOf } from "./tensors.js";

/** A call of `one_hot`; `idents` are what stands in its brackets. */
export function oneHot(state: Elaboration, e: Call, idents: NonNullable<Call["axes"]>, scope: Scope): Typed {
  const [ident, ...more] = idents;
  const [arg, ...others] = e.lists.flat();
  if (!ident || more.length)
    return fail(state, "MHC207", e.span, "`one_hot` makes one axis", { fix: "write `one_hot[v](corpus.token)`" });
  if (!arg || others.length) return fail(state, "MHC207", e.span, "`one_hot` takes one whole number");
  const axis = axisNamed(state, ident, scope);
  const number = expression(state, arg.value, scope, null);
  const { dtype, range } = kindOf(number);
  if (dtype !== "u32" || !range)
    return fail(state, "MHC210", arg.span, "`one_hot` takes whole numbers: from the data, or by `argmax`", {
      fix: "write `one_hot[v](corpus.token)`",
    });
  if (axesOf(number).includes(axis))
    return fail(state, "MHC205", ident.span, `\`${axis.name}\` is an axis of the number already`, {
      fix: `declare a second name for it: \`dim other = ${axis.name}\``,
    });
  if (!unify(axis.size, range))
    return fail(
      state,
      "MHC203",
      e.span,
      `the number is below ${describe(range)}, and \`${axis.name}\` has size ${describe(axis.size)}`,
    );
  const { span } = e;
  const position: Typed = { kind: "position", axis, span: ident.span };
  return { kind: "unary", f: "indicator", a: { kind: "binary", f: "==", a: number, b: position, span }, span };
}
