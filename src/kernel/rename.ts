/**
 * Gives free names of a body (buffers, `group`) other names, for kernels that are put together from the bodies of
 * others.
 */
import type { Expr, PanelAt, Stmt } from "./ir.js";
import { mapOperands } from "./operands.js";

/** New names by old ones. */
export type Renaming = ReadonlyMap<string, string>;

/** An expression with other names. */
export function renameExpr(e: Expr, names: Renaming): Expr {
  if (e.kind === "ref") {
    const name = names.get(e.name);
    return name === undefined ? e : { ...e, name };
  }
  const inner = mapOperands(e, (operand) => renameExpr(operand, names));
  return inner.kind === "load" ? { ...inner, from: names.get(inner.from) ?? inner.from } : inner;
}

/**
 * Statements with other names: those of buffers that they load from and store to, and of values they do not declare.
 */
export function rename(stmts: readonly Stmt[], names: Renaming): Stmt[] {
  const go = (e: Expr): Expr => renameExpr(e, names);
  return stmts.map((s): Stmt => {
    switch (s.kind) {
      case "let":
      case "var":
      case "assign":
        return { ...s, value: go(s.value) };
      case "store":
        return { ...s, to: names.get(s.to) ?? s.to, index: go(s.index), value: go(s.value) };
      case "prefetch":
        return { ...s, of: names.get(s.of) ?? s.of, index: go(s.index) };
      case "tiles": {
        const panel = ({ of, index }: PanelAt): PanelAt => ({ of: names.get(of) ?? of, index: go(index) });
        const to = panel({ of: s.to, index: s.index });
        return { ...s, to: to.of, index: to.index, a: panel(s.a), b: panel(s.b), blocks: go(s.blocks) };
      }
      case "for":
        return { ...s, from: go(s.from), to: go(s.to), body: rename(s.body, names) };
      case "if":
        return { ...s, condition: go(s.condition), then: rename(s.then, names), else: rename(s.else, names) };
      case "array":
      case "shared":
      case "barrier":
        return s;
      default:
        return s satisfies never;
    }
  });
}
