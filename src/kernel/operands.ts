/** The operands of expressions and the expressions of statements, for passes that look into all of them. */
import type { Expr, Stmt } from "./ir.js";

/** The same expression of other operands; itself where all of them are what they were. */
export function mapOperands(e: Expr, go: (operand: Expr) => Expr): Expr {
  switch (e.kind) {
    case "const":
    case "ref":
      return e;
    case "unary":
    case "cast":
    case "bitcast":
    case "splat":
    case "extract": {
      const a = go(e.a);
      return a === e.a ? e : { ...e, a };
    }
    case "binary":
    case "shuffle": {
      const [a, b] = [go(e.a), go(e.b)];
      return a === e.a && b === e.b ? e : { ...e, a, b };
    }
    case "exchange": {
      const [a, lane] = [go(e.a), go(e.lane)];
      return a === e.a && lane === e.lane ? e : { ...e, a, lane };
    }
    case "fma": {
      const [a, b, c] = [go(e.a), go(e.b), go(e.c)];
      return a === e.a && b === e.b && c === e.c ? e : { ...e, a, b, c };
    }
    case "select": {
      const [condition, yes, no] = [go(e.condition), go(e.then), go(e.else)];
      return condition === e.condition && yes === e.then && no === e.else
        ? e
        : { ...e, condition, then: yes, else: no };
    }
    case "load": {
      const index = go(e.index);
      return index === e.index ? e : { ...e, index };
    }
    case "lanes": {
      const items = e.items.map(go);
      return items.every((item, i) => item === e.items[i]) ? e : { ...e, items };
    }
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
      visit(e.a);
      return visit(e.b);
    case "exchange":
      visit(e.a);
      return visit(e.lane);
    case "fma":
      visit(e.a);
      visit(e.b);
      return visit(e.c);
    case "select":
      visit(e.condition);
      visit(e.then);
      return visit(e.else);
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
      case "prefetch":
        go(s.index);
        break;
      case "tiles":
        for (const index of [s.index, s.a.index, s.b.index, s.blocks]) go(index);
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
