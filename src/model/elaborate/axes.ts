/**
 * Axes that are not declared. The axis is often meant as a second name of another (`dim u = t`), which can be read
 * off the place where it is used: as an index of a tensor whose axis there has a name, or in a comparison with an
 * axis.
 */
import type { Expr } from "../../../grammar/ast.js";
import type { Span } from "../../diagnostics/span.js";
import { nearest } from "../../diagnostics/suggest.js";
import { fail, lookup, namesIn, type Elaboration, type Scope } from "./scope.js";

/** Reports an axis that is not declared, with the declaration that is likely missing. */
export function unknownAxis(state: Elaboration, name: string, span: Span, scope: Scope, like: string | null): never {
  const dims = [...new Set(namesIn(scope))].filter((candidate) => lookup(scope, candidate)?.kind === "dim");
  const guess = nearest(name, dims);
  const second =
    like !== null && dims.includes(like) && like !== name
      ? `declare it as a second name of \`${like}\`: \`dim ${name} = ${like}\``
      : null;
  const there = dims.length
    ? `the axes here are ${dims.join(", ")}; a second name of one is declared with \`dim ${name} = ${dims[0]}\``
    : null;
  return fail(state, "MHC205", span, `there is no axis \`${name}\` here`, {
    fix: guess ? `did you mean \`${guess}\`?` : (second ?? there),
  });
}

/** The axis that a name stands for where an expression uses it, if it is used so. */
export function axisLike(e: Expr, name: string, scope: Scope): string | null {
  const is = (part: Expr): boolean => part.kind === "path" && part.parts.length === 1 && part.parts[0]!.name === name;
  const first = (...parts: readonly Expr[]): string | null => {
    for (const part of parts) {
      const found = axisLike(part, name, scope);
      if (found !== null) return found;
    }
    return null;
  };
  switch (e.kind) {
    case "index": {
      const at = e.axes.findIndex(is);
      const base = e.base.parts.length === 1 ? lookup(scope, e.base.parts[0]!.name) : null;
      const axis = at >= 0 && base?.kind === "tensor" ? base.tensor.axes[at] : undefined;
      return axis?.name ?? first(...e.axes);
    }
    case "binary": {
      const other = is(e.left) ? e.right : is(e.right) ? e.left : null;
      const dim = other?.kind === "path" && other.parts.length === 1 ? other.parts[0]!.name : null;
      return dim !== null && lookup(scope, dim)?.kind === "dim" ? dim : first(e.left, e.right);
    }
    case "call":
      return first(...e.lists.flat().map(({ value }) => value));
    case "where":
      return first(e.value, e.condition);
    case "group":
      return axisLike(e.inner, name, scope);
    case "unary":
      return axisLike(e.operand, name, scope);
    case "tuple":
      return first(...e.items);
    case "path":
    case "number":
    case "string":
      return null;
    default:
      return e satisfies never;
  }
}
