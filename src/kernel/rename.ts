/** Gives free names of a body (buffers, `group`) other names, for kernels that are put together from the bodies of others. */
import type { Expr, Stmt } from "./ir.js";

export type Names = ReadonlyMap<string, string>;

export function renameExpr(e: Expr, names: Names): Expr {
  const go = (inner: Expr): Expr => renameExpr(inner, names);
  switch (e.kind) {
    case "const": return e;
    case "ref": return names.has(e.name) ? { ...e, name: names.get(e.name)! } : e;
    case "unary": case "cast": case "bitcast": case "splat": case "extract": return { ...e, a: go(e.a) };
    case "binary": case "shuffle": return { ...e, a: go(e.a), b: go(e.b) };
    case "exchange": return { ...e, a: go(e.a), lane: go(e.lane) };
    case "fma": return { ...e, a: go(e.a), b: go(e.b), c: go(e.c) };
    case "select": return { ...e, condition: go(e.condition), then: go(e.then), else: go(e.else) };
    case "load": return { ...e, from: names.get(e.from) ?? e.from, index: go(e.index) };
    case "lanes": return { ...e, items: [go(e.items[0]), go(e.items[1]), go(e.items[2]), go(e.items[3])] };
    default: return e satisfies never;
  }
}

export function rename(stmts: readonly Stmt[], names: Names): Stmt[] {
  const go = (e: Expr): Expr => renameExpr(e, names);
  return stmts.map((s): Stmt => {
    switch (s.kind) {
      case "let": case "var": case "assign": return { ...s, value: go(s.value) };
      case "store": return { ...s, to: names.get(s.to) ?? s.to, index: go(s.index), value: go(s.value) };
      case "for": return { ...s, from: go(s.from), to: go(s.to), body: rename(s.body, names) };
      case "if": return { ...s, condition: go(s.condition), then: rename(s.then, names), else: rename(s.else, names) };
      case "array": case "shared": case "barrier": return s;
      default: return s satisfies never;
    }
  });
}
