/**
 * Whether an argument of a block without a type must be a size. Such a name is a size where an axis or a size of the
 * block is made of it, which its words say; where it stands in values alone, any number will do. An argument that is
 * handed on to another block is judged there.
 */
import type { Block, BlockItem, Expr, Ident } from "../../../grammar/ast.js";
import type { Span } from "../../diagnostics/span.js";
import { bareName, dotted } from "./syntax.js";
import { OF_AXES } from "./builtins.js";

/** The first place in a block where a name is an axis, or a part of a size; null when there is none. */
export function sizeUseOf({ config, data, items, result }: Block, name: string): Span | null {
  const formals = [...config, ...data];
  return (
    first(formals, ({ axes }) => amongAxes(axes, name)) ??
    first(formals, ({ default: value }) => value && sizeUseIn(value, name)) ??
    first(items, (item) => sizeUseInItem(item, name)) ??
    amongAxes(result.axes, name) ??
    sizeUseIn(result.value, name)
  );
}

/** The first place that a function finds in some parts. */
function first<T>(parts: readonly T[], find: (part: T) => Span | null): Span | null {
  for (const part of parts) {
    const span = find(part);
    if (span) return span;
  }
  return null;
}

const amongAxes = (axes: readonly Ident[] | null, name: string): Span | null =>
  axes?.find((axis) => axis.name === name)?.span ?? null;

function sizeUseInItem(item: BlockItem, name: string): Span | null {
  switch (item.kind) {
    case "dim":
      return mentionOf(item.value, name);
    case "number":
      return sizeUseIn(item.value, name);
    case "param":
      return amongAxes(item.axes, name) ?? amongAxes(item.each, name);
    case "let":
      return amongAxes(item.axes, name) ?? sizeUseIn(item.value, name);
    case "term":
      return sizeUseIn(item.value, name);
    case "allow":
      return null;
    case "if": {
      const { condition, then, otherwise } = item;
      const others = !otherwise ? [] : "kind" in otherwise ? [otherwise] : otherwise.items;
      return sizeUseIn(condition, name) ?? first([...then.items, ...others], (part) => sizeUseInItem(part, name));
    }
    default:
      return item satisfies never;
  }
}

/** Where an expression has the name as an axis: among indices, along a reducer, or in `size(…)` and `index(…)`. */
function sizeUseIn(e: Expr, name: string): Span | null {
  if (e.kind === "index") return first(e.axes, (index) => mentionOf(index, name));
  if (e.kind === "call") {
    const along = amongAxes(e.axes, name);
    if (along) return along;
    const ofAxis = OF_AXES.some((word) => word === dotted(e.callee));
    return first(e.lists.flat(), ({ value }) => (ofAxis ? mentionOf(value, name) : sizeUseIn(value, name)));
  }
  return first(partsOf(e), (part) => sizeUseIn(part, name));
}

/** Where an expression names it at all. */
function mentionOf(e: Expr, name: string): Span | null {
  if (bareName(e) === name) return e.span;
  if (e.kind === "index") return first(e.axes, (index) => mentionOf(index, name));
  if (e.kind === "call") return first(e.lists.flat(), ({ value }) => mentionOf(value, name));
  return first(partsOf(e), (part) => mentionOf(part, name));
}

/** The expressions that one is made of, but for indices and arguments. */
function partsOf(e: Expr): readonly Expr[] {
  switch (e.kind) {
    case "path":
    case "number":
    case "string":
    case "index":
    case "call":
      return [];
    case "tuple":
      return e.items;
    case "group":
      return [e.inner];
    case "unary":
      return [e.operand];
    case "binary":
      return [e.left, e.right];
    case "where":
      return [e.value, e.condition];
    case "else":
      return [e.value, e.otherwise];
    default:
      return e satisfies never;
  }
}
