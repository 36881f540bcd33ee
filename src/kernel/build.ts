/**
 * Constructors of the kernel IR, so that a skeleton reads like the loop nest that it makes. Types are inferred, and
 * index arithmetic folds as it is built (0 * x, 1 * x, x + 0, constants), because addresses are sums of mostly constant
 * terms.
 */
import type { BinaryOp, Expr, Scalar, Stmt, Type, UnaryOp } from "./ir.js";

export const F32: Type = { of: "f32", lanes: 1 };
export const U32: Type = { of: "u32", lanes: 1 };
export const BOOL: Type = { of: "bool", lanes: 1 };
export const INDEX: Type = { of: "index", lanes: 1 };

const scalar = (of: Scalar): Type => ({ of, lanes: 1 });
const constant = (value: number, of: Scalar): Expr => ({ kind: "const", value, type: scalar(of) });

export const f32 = (value: number): Expr => constant(value, "f32");
export const u32 = (value: number): Expr => constant(value >>> 0, "u32");
export const idx = (value: number): Expr => constant(value, "index");
export const bool = (value: boolean): Expr => constant(value ? 1 : 0, "bool");
export const ref = (name: string, type: Type): Expr => ({ kind: "ref", name, type });
/** The name of a variable, to assign to it. */
export const nameOf = (e: Expr): string => {
  if (e.kind !== "ref") throw new Error(`kernel: a ${e.kind} is no variable`);
  return e.name;
};

const COMPARISONS: ReadonlySet<BinaryOp> = new Set(["lt", "le", "eq", "ne"]);

function fold(op: BinaryOp, a: Expr, b: Expr): Expr | null {
  if (a.type.of !== "index") return null;
  const x = a.kind === "const" ? a.value : null;
  const y = b.kind === "const" ? b.value : null;
  if (x !== null && y !== null) {
    switch (op) {
      case "add":
        return idx(x + y);
      case "sub":
        return idx(x - y);
      case "mul":
        return idx(x * y);
      case "div":
        return idx(Math.floor(x / y));
      case "rem":
        return idx(x % y);
      case "min":
        return idx(Math.min(x, y));
      case "max":
        return idx(Math.max(x, y));
      case "lt":
        return bool(x < y);
      case "le":
        return bool(x <= y);
      case "eq":
        return bool(x === y);
      case "ne":
        return bool(x !== y);
      default:
        return null;
    }
  }
  // Sums keep their constant last: (x + 3) + 5 is x + 8, and a printer finds it for an immediate offset.
  const inner = y !== null && a.kind === "binary" && a.b.kind === "const" ? a : null;
  switch (op) {
    case "add":
      if (x === 0) return b;
      if (y === 0) return a;
      if (x !== null) return add(b, a);
      if (inner?.op === "add" && inner.b.kind === "const") return add(inner.a, idx(inner.b.value + y!));
      if (y === null && b.kind === "binary" && b.op === "add" && b.b.kind === "const") return add(add(a, b.a), b.b);
      if (y === null && a.kind === "binary" && a.op === "add" && a.b.kind === "const") return add(add(a.a, b), a.b);
      return null;
    case "sub":
      return y === 0 ? a : null;
    case "mul":
      if (x === 0 || y === 0) return idx(0);
      if (x === 1) return b;
      if (y === 1) return a;
      if (x !== null) return mul(b, a);
      return inner?.op === "mul" && inner.b.kind === "const" ? mul(inner.a, idx(inner.b.value * y!)) : null;
    case "div":
      return x === 0 ? idx(0) : y === 1 ? a : null;
    case "rem":
      return x === 0 || y === 1 ? idx(0) : null;
    default:
      return null;
  }
}

export function binary(op: BinaryOp, a: Expr, b: Expr): Expr {
  const folded = fold(op, a, b);
  if (folded) return folded;
  return { kind: "binary", op, a, b, type: COMPARISONS.has(op) ? { of: "bool", lanes: a.type.lanes } : a.type };
}

export const unary = (op: UnaryOp, a: Expr): Expr => ({ kind: "unary", op, a, type: a.type });

const two =
  (op: BinaryOp) =>
  (a: Expr, b: Expr): Expr =>
    binary(op, a, b);
export const add = two("add");
export const sub = two("sub");
export const mul = two("mul");
export const div = two("div");
export const rem = two("rem");
export const min = two("min");
export const max = two("max");
export const pow = two("pow");
export const lt = two("lt");
export const le = two("le");
export const eq = two("eq");
export const ne = two("ne");
export const and = two("and");
export const or = two("or");
export const xor = two("xor");
export const shl = two("shl");
export const shr = two("shr");

const one =
  (op: UnaryOp) =>
  (a: Expr): Expr =>
    unary(op, a);
export const neg = one("neg");
export const exp = one("exp");
export const log = one("log");
export const sqrt = one("sqrt");
export const tanh = one("tanh");
export const erf = one("erf");
export const abs = one("abs");
export const sin = one("sin");
export const cos = one("cos");
export const floor = one("floor");
export const not = one("not");

export const fma = (a: Expr, b: Expr, c: Expr): Expr => ({ kind: "fma", a, b, c, type: a.type });
export const select = (condition: Expr, then: Expr, otherwise: Expr): Expr => ({
  kind: "select",
  condition,
  then,
  else: otherwise,
  type: then.type,
});
export const load = (from: string, index: Expr, type: Type): Expr => ({ kind: "load", from, index, type });
export const cast = (a: Expr, type: Type): Expr => {
  if (a.type.of === type.of) return a;
  if (a.kind === "const" && a.type.of !== "f32" && type.of !== "bool")
    return { kind: "const", value: a.value, type: scalar(type.of) };
  return { kind: "cast", a, type: { of: type.of, lanes: a.type.lanes } };
};
export const bitcast = (a: Expr, of: "f32" | "u32"): Expr => ({
  kind: "bitcast",
  a,
  type: { of, lanes: a.type.lanes },
});
export const splat = (a: Expr): Expr => ({ kind: "splat", a, type: { of: a.type.of, lanes: 4 } });
export const lanes = (items: readonly [Expr, Expr, Expr, Expr]): Expr => ({
  kind: "lanes",
  items,
  type: { of: items[0].type.of, lanes: 4 },
});
export const shuffle = (a: Expr, b: Expr, order: readonly [number, number, number, number]): Expr => ({
  kind: "shuffle",
  a,
  b,
  order,
  type: a.type,
});
export const extract = (a: Expr, lane: 0 | 1 | 2 | 3): Expr => ({ kind: "extract", a, lane, type: scalar(a.type.of) });
export const exchange = (a: Expr, lane: Expr, width: number): Expr => ({
  kind: "exchange",
  a,
  lane,
  width,
  type: a.type,
});

export const letS = (name: string, value: Expr): Stmt => ({ kind: "let", name, value });
export const varS = (name: string, value: Expr): Stmt => ({ kind: "var", name, value });
export const assign = (name: string, value: Expr): Stmt => ({ kind: "assign", name, value });
export const store = (to: string, index: Expr, value: Expr): Stmt => ({ kind: "store", to, index, value });
export const forS = (name: string, from: Expr, to: Expr, step: number, body: readonly Stmt[]): Stmt => ({
  kind: "for",
  name,
  from,
  to,
  step,
  body,
});
export const ifS = (condition: Expr, then: readonly Stmt[], otherwise: readonly Stmt[] = []): Stmt => ({
  kind: "if",
  condition,
  then,
  else: otherwise,
});
export const arrayS = (name: string, of: "f32" | "u32", size: number): Stmt => ({ kind: "array", name, of, size });
export const sharedS = (name: string, of: "f32" | "u32", size: number): Stmt => ({ kind: "shared", name, of, size });
export const barrier = (storage = false): Stmt => ({ kind: "barrier", storage });
