/**
 * Conditions that are decided when a page is compiled: of an `if`, by dims, numbers and the number of the layer. What
 * is computed from data or parameters is no such condition.
 */
import type { BlockItem, Braced, Expr, If } from "../../../grammar/ast.js";
import type { DeferredNumber } from "../typed.js";
import { isNumberFunction, numberFrom, scalarOf } from "./numbers.js";
import { fail, lookup, lookupBare, type Elaboration, type Scope } from "./scope.js";
import { dotted } from "./syntax.js";

/** Comparisons and connectives of numbers: 1 where they hold. */
const TRUTHS: Readonly<Partial<Record<string, (x: number, y: number) => boolean>>> = {
  "<": (x, y) => x < y,
  "<=": (x, y) => x <= y,
  ">": (x, y) => x > y,
  ">=": (x, y) => x >= y,
  "==": (x, y) => x === y,
  "!=": (x, y) => x !== y,
  and: (x, y) => x !== 0 && y !== 0,
  or: (x, y) => x !== 0 || y !== 0,
};

/** A condition as a number: 1 where it holds, 0 where it does not, NaN while that is not known. */
export function conditionOf(state: Elaboration, e: Expr, scope: Scope): DeferredNumber {
  refuseComputed(state, e, scope, "an `if` is decided when the page is compiled");
  return truthOf(state, e, scope);
}

function truthOf(state: Elaboration, e: Expr, scope: Scope): DeferredNumber {
  if (e.kind === "group") {
    const inner = truthOf(state, e.inner, scope);
    return { ...inner, text: `(${inner.text})` };
  }
  const holds = e.kind === "binary" ? TRUTHS[e.op] : undefined;
  if (e.kind !== "binary" || !holds)
    return fail(state, "MHC226", e.span, "a condition compares two numbers", {
      fix: "write `l % 2 == 0`, or the like",
    });
  const part = e.op === "and" || e.op === "or" ? truthOf : scalarOf;
  const [a, b] = [part(state, e.left, scope), part(state, e.right, scope)];
  return numberFrom([a, b], `${a.text} ${e.op} ${b.text}`, (x, y) =>
    Number.isNaN(x) || Number.isNaN(y) ? Number.NaN : Number(holds(x, y)),
  );
}

/** Refuses an expression with something in it that is known only when the page runs; `why`: what needs to know it. */
export function refuseComputed(state: Elaboration, e: Expr, scope: Scope, why: string): void {
  const computed = computedIn(e, scope);
  if (!computed) return;
  fail(state, "MHC226", computed.span, `\`${computed.name}\` is computed while the page runs, and ${why}`, {
    fix: "choose between values: `a where … else b`",
  });
}

/** Whether an expression is of numbers alone: of no tensor, no dim, and no function but those that numbers know. */
export function isOfNumbers(e: Expr, scope: Scope): boolean {
  switch (e.kind) {
    case "number":
      return true;
    case "path":
      return lookupBare(scope, e)?.kind === "number";
    case "call":
      return isNumberFunction(dotted(e.callee)) && e.lists.flat().every(({ value }) => isOfNumbers(value, scope));
    case "group":
      return isOfNumbers(e.inner, scope);
    case "unary":
      return isOfNumbers(e.operand, scope);
    case "binary":
      return isOfNumbers(e.left, scope) && isOfNumbers(e.right, scope);
    default:
      return false;
  }
}

/** The first part of an expression that names a tensor, or something of data that is one. */
function computedIn(e: Expr, scope: Scope): { readonly name: string; readonly span: Expr["span"] } | null {
  const firstOf = (parts: readonly Expr[]): ReturnType<typeof computedIn> => {
    for (const part of parts) {
      const computed = computedIn(part, scope);
      if (computed) return computed;
    }
    return null;
  };
  switch (e.kind) {
    case "path": {
      const [first, second] = e.parts;
      const entity = lookup(scope, first.name);
      const field = entity?.kind === "data" && second ? entity.fields.has(second.name) : false;
      return entity?.kind === "tensor" || field ? { name: dotted(e), span: e.span } : null;
    }
    case "index":
      return { name: dotted(e.base), span: e.span };
    case "call":
      return e.axes ? { name: dotted(e.callee), span: e.span } : firstOf(e.lists.flat().map(({ value }) => value));
    case "group":
      return computedIn(e.inner, scope);
    case "unary":
      return computedIn(e.operand, scope);
    case "binary":
      return firstOf([e.left, e.right]);
    case "tuple":
      return firstOf(e.items);
    case "where":
      return firstOf([e.value, e.condition]);
    case "else":
      return firstOf([e.value, e.otherwise]);
    case "number":
    case "string":
      return null;
    default:
      return e satisfies never;
  }
}

/**
 * The items of an `if` in a block: those of the branch that this use of the block has. The condition is decided for the
 * use as a whole, so it cannot be of the layer, nor of what only the data tells.
 */
export function chosenItems<Item>(state: Elaboration, item: If<Item>, scope: Scope): readonly Item[] {
  const condition = conditionOf(state, item.condition, scope);
  if (condition.depths?.length)
    return fail(
      state,
      "MHC226",
      item.condition.span,
      `\`${condition.text}\` depends on the layer, and an \`if\` of a block is decided once for all layers`,
      { fix: "put the `if` into the `repeat`, around what goes through the block" },
    );
  const value = condition.value();
  if (Number.isNaN(value) && state.assumed === null)
    return fail(
      state,
      "MHC226",
      item.condition.span,
      `\`${condition.text}\` is known only with the data, and an \`if\` of a block is decided before`,
      { fix: "put the `if` into the model, around what goes through the block" },
    );
  if (Number.isNaN(value) ? state.assumed : value !== 0) return item.then.items;
  const { otherwise } = item;
  if (!otherwise) return [];
  return isBraced(otherwise) ? otherwise.items : chosenItems(state, otherwise, scope);
}

/** Whether what stands behind `else` is a body, and not another `if`. */
export const isBraced = <Item>(otherwise: Braced<Item> | If<Item>): otherwise is Braced<Item> => !("kind" in otherwise);

/** The names of all dims that items declare, be they in an `if` or not. */
export function dimsIn(items: readonly BlockItem[]): ReadonlySet<string> {
  return new Set(
    items.flatMap((item): readonly string[] => {
      if (item.kind === "dim") return [item.name.name];
      if (item.kind !== "if") return [];
      const { then, otherwise } = item;
      const others = !otherwise ? [] : isBraced(otherwise) ? otherwise.items : [otherwise];
      return [...dimsIn(then.items), ...dimsIn(others)];
    }),
  );
}
