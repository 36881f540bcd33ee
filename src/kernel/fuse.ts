/**
 * Products that are read once, by a sum of vectors, become multiply-adds: one instruction where the engine has it, two
 * as before where it has not. Only what the same block computes from values that never change may move to its reader. A
 * sum that a loop carries stays as it is: its turns wait for each other, three cycles for a sum and four for a
 * multiply-add.
 */
import * as k from "./build.js";
import type { Expr, Stmt } from "./ir.js";
import { eachExpr, mapOperands } from "./operands.js";

type Product = Extract<Expr, { readonly kind: "binary" }>;

export function fuse(body: readonly Stmt[]): Stmt[] {
  const uses = new Map<string, number>();
  eachExpr(body, (e) => {
    if (e.kind === "ref") uses.set(e.name, (uses.get(e.name) ?? 0) + 1);
  });
  const variables = new Set<string>();
  const isVariable = (e: Expr): boolean => e.kind === "ref" && variables.has(e.name);
  /** Whether an expression has the same value wherever it stands. */
  const isFixed = (e: Expr): boolean =>
    e.kind === "const" || (e.kind === "ref" && !isVariable(e)) || (e.kind === "splat" && isFixed(e.a));

  function block(stmts: readonly Stmt[]): Stmt[] {
    const products = new Map<string, Product>();
    const taken = new Set<string>();
    /** The product that an operand is, or names. */
    const take = (e: Expr): Product | null => {
      if (isProduct(e)) return e;
      const found = e.kind === "ref" ? products.get(e.name) : undefined;
      if (e.kind === "ref" && found) taken.add(e.name);
      return found ?? null;
    };
    const inside = (e: Expr): Expr => {
      const own = mapOperands(e, inside);
      if (own.kind !== "binary" || own.op !== "add" || !isVector(own) || isVariable(own.a) || isVariable(own.b))
        return own;
      const right = take(own.b);
      if (right) return k.fma(right.a, right.b, own.a);
      const left = take(own.a);
      return left ? k.fma(left.a, left.b, own.b) : own;
    };
    const renewed = stmts.map((s): Stmt => {
      switch (s.kind) {
        case "let": {
          const value = inside(s.value);
          if (isProduct(value) && uses.get(s.name) === 1 && isFixed(value.a) && isFixed(value.b))
            products.set(s.name, value);
          return { ...s, value };
        }
        case "var":
          variables.add(s.name);
          return { ...s, value: inside(s.value) };
        case "assign":
          return { ...s, value: inside(s.value) };
        case "store":
          return { ...s, value: inside(s.value) };
        case "for":
          return { ...s, body: block(s.body) };
        case "if":
          return { ...s, then: block(s.then), else: block(s.else) };
        case "array":
        case "shared":
        case "barrier":
          return s;
        default:
          return s satisfies never;
      }
    });
    return renewed.filter((s) => s.kind !== "let" || !taken.has(s.name));
  }
  return block(body);
}

const isVector = ({ type }: Expr): boolean => type.of === "f32" && type.lanes === 4;
const isProduct = (e: Expr): e is Product => e.kind === "binary" && e.op === "mul" && isVector(e);
