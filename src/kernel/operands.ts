/** The operands of expressions and the expressions of statements, for passes that look into all of them. */
import type { Expr, Stmt } from "./ir.js";

/** The same expression of other operands. */
export function mapOperands(e: Expr, go: (operand: Expr) => Expr): Expr {
  switch (e.kind) {
    case "const":
    case "ref":
      return e;
    case "unary":
    case "cast":
    case "bitcast":
    case "splat":
    case "extract":
      return { ...e, a: go(e.a) };
    case "binary":
    case "shuffle":
      return { ...e, a: go(e.a), b: go(e.b) };
    case "exchange":
      return { ...e, a: go(e.a), lane: go(e.lane) };
    case "fma":
      return { ...e, a: go(e.a), b: go(e.b), c: go(e.c) };
    case "select":
      return { ...e, condition: go(e.condition), then: go(e.then), else: go(e.else) };
    case "load":
      return { ...e, index: go(e.index) };
    case "lanes":
      return { ...e, items: [go(e.items[0]), go(e.items[1]), go(e.items[2]), go(e.items[3])] };
    default:
      return e satisfies never;
  }
}

/** Visits the operands of an expression; nothing is made anew. */
export function eachOperand(e: Expr, visit: (operand: Expr) => void): void {
  switch (e.kind) {
    case "const":
    case "ref":
      return;
    case "unary":
    case "cast":
    case "bitcast":
    case "splat":
    case "extract":
      return visit(e.a);
    case "binary":
    case "shuffle":
      return [e.a, e.b].forEach(visit);
    case "exchange":
      return [e.a, e.lane].forEach(visit);
    case "fma":
      return [e.a, e.b, e.c].forEach(visit);
    case "select":
      return [e.condition, e.then, e.else].forEach(visit);
    case "load":
      return visit(e.index);
    case "lanes":
      return e.items.forEach(visit);
    default:
      return e satisfies never;
  }
}

/** Visits every expression of a block and of the blocks inside it, operands too. */
export function eachExpr(stmts: readonly Stmt[], visit: (e: Expr) => void): void {
  const go = (e: Expr): void => {
    visit(e);
    eachOperand(e, go);
  };
  for (const s of stmts) {
    switch (s.kind) {
      case "let":
      case "var":
      case "assign":
        go(s.value);
        break;
      case "store":
        go(s.index);
        go(s.value);
        break;
      case "for":
        go(s.from);
        go(s.to);
        eachExpr(s.body, visit);
        break;
      case "if":
        go(s.condition);
        eachExpr(s.then, visit);
        eachExpr(s.else, visit);
        break;
      case "array":
      case "shared":
      case "barrier":
        break;
      default:
        s satisfies never;
    }
  }
}
