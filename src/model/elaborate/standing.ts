/**
 * The names that stand by themselves in a definition: on its left side, in the brackets of a tensor or of a reducer. In
 * an index that is computed, `x[t + k - half]`, a name that stands by itself elsewhere in the definition is the
 * position along that axis; any other dim is its size. A name that would be a lone axis otherwise is thus never taken
 * for one.
 */
import type { Expr } from "../../../grammar/ast.js";
import { bareName } from "./syntax.js";

/** Names of one definition. */
export interface Standing {
  readonly alone: ReadonlySet<string>;
  /** Names in two computed indices or more: if they stand alone nowhere, an axis may be meant that is summed. */
  readonly shared: ReadonlySet<string>;
}

/** No names at all. */
export const NONE_STANDING: Standing = { alone: new Set(), shared: new Set() };

/** The names of a definition whose left side has these axes, with those of the definition around it. */
export function standingIn(e: Expr, left: readonly { readonly name: string }[], around: Standing): Standing {
  const alone = new Set([...around.alone, ...left.map(({ name }) => name)]);
  const computed = new Map<string, number>();
  visit(e, alone, computed);
  return { alone, shared: new Set([...computed].flatMap(([name, count]) => (count > 1 ? [name] : []))) };
}

function visit(e: Expr, alone: Set<string>, computed: Map<string, number>): void {
  const inside = (part: Expr): void => visit(part, alone, computed);
  switch (e.kind) {
    case "index":
      for (const index of e.axes) {
        const name = bareName(index);
        if (name !== null) alone.add(name);
        else if (index.kind !== "call" && index.kind !== "index")
          for (const part of new Set(namesIn(index))) computed.set(part, (computed.get(part) ?? 0) + 1);
      }
      return;
    case "call":
      for (const { name } of e.axes ?? []) alone.add(name);
      return e.lists.flat().forEach(({ value }) => inside(value));
    case "binary":
      return [e.left, e.right].forEach(inside);
    case "unary":
      return inside(e.operand);
    case "group":
      return inside(e.inner);
    case "where":
      return [e.value, e.condition].forEach(inside);
    case "else":
      return [e.value, e.otherwise].forEach(inside);
    case "tuple":
      return e.items.forEach(inside);
    case "path":
    case "number":
    case "string":
      return;
    default:
      e satisfies never;
  }
}

/** The bare names of a computed index; those of `size(…)` and `index(…)` say themselves what they are. */
function namesIn(e: Expr): string[] {
  const name = bareName(e);
  if (name !== null) return [name];
  if (e.kind === "binary") return [...namesIn(e.left), ...namesIn(e.right)];
  if (e.kind === "unary") return namesIn(e.operand);
  return e.kind === "group" ? namesIn(e.inner) : [];
}
