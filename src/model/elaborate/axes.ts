/**
 * Axes by name, and what is said of one that is not declared. Such an axis is often meant as a second name of another
 * (`dim u = t`), which can be read off the place where it is used: as an index of a tensor whose axis there has a name,
 * or in a comparison with an axis.
 */
import type { Expr, Ident } from "../../../grammar/ast.js";
import { nearest } from "../../diagnostics/suggest.js";
import type { Axis } from "../typed.js";
import { fail, giveUp, lookup, lookupBare, namesIn, refuseBelow, type Elaboration, type Scope } from "./scope.js";
import { bareName } from "./syntax.js";

/**
 * The axis that a name in brackets stands for. `like`: the axis of which it is likely to be a second name, if it is not
 * declared.
 */
export function axisNamed(state: Elaboration, ident: Ident, scope: Scope, like: string | null = null): Axis {
  const entity = lookup(scope, ident.name);
  if (entity?.kind === "dim") return entity.axis;
  if (entity?.kind === "poison") return giveUp();
  if (entity)
    return fail(state, "MHC205", ident.span, `\`${ident.name}\` is not an axis`, {
      notes: [{ message: "it is defined here", span: entity.span }],
    });
  return unknownAxis(state, ident, scope, like);
}

/** Reports an axis that is not declared, with the declaration that is likely missing. */
export function unknownAxis(state: Elaboration, { name, span }: Ident, scope: Scope, like: string | null): never {
  refuseBelow(state, scope, { name, span });
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

/**
 * The name of the axis for which `name` stands in an expression: of a tensor that it indexes, or that it is compared
 * with; null when it is used in neither way.
 */
export function axisLike(e: Expr, name: string, scope: Scope): string | null {
  const isName = (part: Expr | undefined): boolean => part !== undefined && bareName(part) === name;
  const firstOf = (parts: readonly Expr[]): string | null => {
    for (const part of parts) {
      const axis = axisLike(part, name, scope);
      if (axis !== null) return axis;
    }
    return null;
  };
  switch (e.kind) {
    case "index": {
      const at = e.axes.findIndex(isName);
      const base = lookupBare(scope, e.base);
      const axis = at >= 0 && base?.kind === "tensor" ? base.tensor.axes[at] : undefined;
      return axis?.name ?? firstOf(e.axes);
    }
    case "binary": {
      const other = isName(e.left) ? e.right : isName(e.right) ? e.left : null;
      const dim = other && bareName(other);
      return dim !== null && lookup(scope, dim)?.kind === "dim" ? dim : firstOf([e.left, e.right]);
    }
    case "call":
      return firstOf(e.lists.flat().map(({ value }) => value));
    case "where":
      return firstOf([e.value, e.condition]);
    case "else":
      return firstOf([e.value, e.otherwise]);
    case "group":
      return axisLike(e.inner, name, scope);
    case "unary":
      return axisLike(e.operand, name, scope);
    case "tuple":
      return firstOf(e.items);
    case "path":
    case "number":
    case "string":
      return null;
    default:
      return e satisfies never;
  }
}
