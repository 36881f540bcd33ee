/**
 * How many invocations of a subgroup a kernel takes to exchange values, so that a device can tell whether it has as
 * many.
 */
import type { Expr, Stmt } from "./ir.js";

/** The widest cluster of any exchange; 0 when there is none. */
export function clusterOf(body: readonly Stmt[]): number {
  return Math.max(
    0,
    ...body.map((s): number => {
      switch (s.kind) {
        case "let":
        case "var":
        case "assign":
          return widest(s.value);
        case "store":
          return Math.max(widest(s.index), widest(s.value));
        case "for":
          return clusterOf(s.body);
        case "if":
          return Math.max(widest(s.condition), clusterOf(s.then), clusterOf(s.else));
        case "array":
        case "shared":
        case "barrier":
          return 0;
        default:
          return s satisfies never;
      }
    }),
  );
}

function widest(e: Expr): number {
  switch (e.kind) {
    case "const":
    case "ref":
      return 0;
    case "unary":
    case "cast":
    case "bitcast":
    case "splat":
    case "extract":
      return widest(e.a);
    case "binary":
    case "shuffle":
      return Math.max(widest(e.a), widest(e.b));
    case "fma":
      return Math.max(widest(e.a), widest(e.b), widest(e.c));
    case "select":
      return Math.max(widest(e.condition), widest(e.then), widest(e.else));
    case "load":
      return widest(e.index);
    case "lanes":
      return Math.max(...e.items.map(widest));
    case "exchange":
      return Math.max(e.width, widest(e.a), widest(e.lane));
    default:
      return e satisfies never;
  }
}
