/**
 * Constructors of the kernel IR, so that a skeleton reads like the loop nest that it makes. Types are inferred, and
 * index arithmetic folds as it is built (0 * x, 1 * x, x + 0, constants), because addresses are sums of mostly constant
 * terms.
 */
import type { BinaryOp, Expr, Lanes, ScalarKind, Stmt, Type, UnaryOp } from "./ir.js";

/** One f32. */
export const F32: Type = { of: "f32", lanes: 1 };
/** One u32. */
export const U32: Type = { of: "u32", lanes: 1 };
/** One truth value. */
export const BOOL: Type = { of: "bool", lanes: 1 };
/** One address or loop counter. */
export const INDEX: Type = { of: "index", lanes: 1 };

const scalar = (of: ScalarKind): Type => ({ of, lanes: 1 });
const constant = (value: number, of: ScalarKind): Expr => ({ kind: "const", value, type: scalar(of) });

/** A constant f32. */
export const f32 = (value: number): Expr => constant(value, "f32");
/** A constant u32, modulo 2^32. */
export const u32 = (value: number): Expr => constant(value >>> 0, "u32");
/** A constant index. */
export const idx = (value: number): Expr => constant(value, "index");
/** A constant truth value. */
export const bool = (value: boolean): Expr => constant(value ? 1 : 0, "bool");
/** The value of a name. */
export const ref = (name: string, type: Type): Expr => ({ kind: "ref", name, type });
/** The name of a variable, to assign to it. */
export const nameOf = (e: Expr): string => {
  if (e.kind !== "ref") throw new Error(`kernel: a ${e.kind} is no variable`);
  return e.name;
};

const COMPARISONS: ReadonlySet<BinaryOp> = new Set(["lt", "le", "eq", "ne"]);

/** What an operation on indices is when its constants say it; null when they do not. */
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
      if (y !== null && inner?.op === "add" && inner.b.kind === "const") return add(inner.a, idx(inner.b.value + y));
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
      if (y === null || inner?.op !== "mul" || inner.b.kind !== "const") return null;
      return mul(inner.a, idx(inner.b.value * y));
    case "div":
      return x === 0 ? idx(0) : y === 1 ? a : null;
    case "rem":
      return x === 0 || y === 1 ? idx(0) : null;
    default:
      return null;
  }
}

/** An operation of two operands; index arithmetic folds where it can. */
export function binary(op: BinaryOp, a: Expr, b: Expr): Expr {
  const folded = fold(op, a, b);
  if (folded) return folded;
  return { kind: "binary", op, a, b, type: COMPARISONS.has(op) ? { of: "bool", lanes: a.type.lanes } : a.type };
}

/** An operation of one operand, of its type. */
export const unary = (op: UnaryOp, a: Expr): Expr => ({ kind: "unary", op, a, type: a.type });

const binaryOf =
  (op: BinaryOp) =>
  (a: Expr, b: Expr): Expr =>
    binary(op, a, b);
/** a + b. */
export const add = binaryOf("add");
/** a - b. */
export const sub = binaryOf("sub");
/** a * b. */
export const mul = binaryOf("mul");
/** a / b; of index and u32 without the rest. */
export const div = binaryOf("div");
/** The rest of a / b, of index and u32. */
export const rem = binaryOf("rem");
/** The smaller. */
export const min = binaryOf("min");
/** The larger. */
export const max = binaryOf("max");
/** a to the power b, of f32. */
export const pow = binaryOf("pow");
/** Whether a < b. */
export const lt = binaryOf("lt");
/** Whether a <= b. */
export const le = binaryOf("le");
/** Whether a = b. */
export const eq = binaryOf("eq");
/** Whether a and b differ. */
export const ne = binaryOf("ne");
/** Both, of bool; bitwise of u32. */
export const and = binaryOf("and");
/** Either, of bool; bitwise of u32. */
export const or = binaryOf("or");
/** Bitwise, of u32 and index. */
export const xor = binaryOf("xor");
/** a with its bits moved up by b. */
export const shl = binaryOf("shl");
/** a with its bits moved down by b, zeros behind them. */
export const shr = binaryOf("shr");

const unaryOf =
  (op: UnaryOp) =>
  (a: Expr): Expr =>
    unary(op, a);
/** -a. */
export const neg = unaryOf("neg");
/** e to the power a. */
export const exp = unaryOf("exp");
/** The natural logarithm. */
export const log = unaryOf("log");
/** The square root. */
export const sqrt = unaryOf("sqrt");
/** The hyperbolic tangent. */
export const tanh = unaryOf("tanh");
/** The error function. */
export const erf = unaryOf("erf");
/** |a|. */
export const abs = unaryOf("abs");
/** The sine of a, in radians. */
export const sin = unaryOf("sin");
/** The cosine of a, in radians. */
export const cos = unaryOf("cos");
/** The largest whole number that is not above a. */
export const floor = unaryOf("floor");
/** The other truth value. */
export const not = unaryOf("not");

/** a * b + c, of f32. */
export const fma = (a: Expr, b: Expr, c: Expr): Expr => ({ kind: "fma", a, b, c, type: a.type });
/** `then` where the condition is true, else `otherwise`: both are computed. */
export const select = (condition: Expr, then: Expr, otherwise: Expr): Expr => ({
  kind: "select",
  condition,
  then,
  else: otherwise,
  type: then.type,
});
/** The words from `index` on of a buffer or array: as many as the type has lanes. */
export const load = (from: string, index: Expr, type: Type): Expr => ({ kind: "load", from, index, type });
/** The same number as another type; itself where the type is the same already. */
export const cast = (a: Expr, type: Type): Expr => {
  if (a.type.of === type.of) return a;
  if (a.kind === "const" && a.type.of !== "f32" && type.of !== "bool")
    return { kind: "const", value: a.value, type: scalar(type.of) };
  return { kind: "cast", a, type: { of: type.of, lanes: a.type.lanes } };
};
/** The same bits as f32 or u32. */
export const bitcast = (a: Expr, of: "f32" | "u32"): Expr => ({
  kind: "bitcast",
  a,
  type: { of, lanes: a.type.lanes },
});
/** A scalar in each of some lanes; itself where one is asked for. */
export const splat = (a: Expr, lanes: Lanes): Expr =>
  lanes === 1 ? a : { kind: "splat", a, type: { of: a.type.of, lanes } };
/** Values as lanes; a single one is itself. Throws an Error for a number of values that no vector holds. */
export function lanes(items: readonly Expr[]): Expr {
  const [first] = items;
  const count = items.length;
  if (!first || !isLanes(count)) throw new Error(`bug: ${count} values are neither a vector nor a scalar`);
  return count === 1 ? first : { kind: "lanes", items, type: { of: first.type.of, lanes: count } };
}
/** Whether vectors of that many lanes exist, or it is one. */
export const isLanes = (count: number): count is Lanes => count === 1 || count === 4 || count === 8 || count === 16;
/** Some of the lanes of a, and of those of b, which are counted on from a's. */
export const shuffle = (a: Expr, b: Expr, order: readonly number[]): Expr => ({
  kind: "shuffle",
  a,
  b,
  order,
  type: a.type,
});
/** One lane. */
export const extract = (a: Expr, lane: number): Expr => ({ kind: "extract", a, lane, type: scalar(a.type.of) });
/** The value of a in invocation `lane` of the own cluster of `width` (see `Expr`). */
export const exchange = (a: Expr, lane: Expr, width: number): Expr => ({
  kind: "exchange",
  a,
  lane,
  width,
  type: a.type,
});

/** Declares a name for a value. */
export const letS = (name: string, value: Expr): Stmt => ({ kind: "let", name, value });
/** Declares a variable. */
export const varS = (name: string, value: Expr): Stmt => ({ kind: "var", name, value });
/** Gives a variable another value. */
export const assign = (name: string, value: Expr): Stmt => ({ kind: "assign", name, value });
/** Stores a value, of as many words as it has lanes, from `index` on. */
export const store = (to: string, index: Expr, value: Expr): Stmt => ({ kind: "store", to, index, value });
/** Asks for the cache line of a word ahead of its load, or of its store. */
export const prefetch = (of: string, index: Expr, write: boolean): Stmt => ({ kind: "prefetch", of, index, write });
/** A block of products of bf16 (see `Stmt`). */
export const tiles = (block: Omit<Extract<Stmt, { readonly kind: "tiles" }>, "kind">): Stmt => ({
  kind: "tiles",
  ...block,
});
/** A loop: for (name = from; name < to; name += step). */
export const forS = (name: string, from: Expr, to: Expr, step: number, body: readonly Stmt[]): Stmt => ({
  kind: "for",
  name,
  from,
  to,
  step,
  body,
});
/** A choice between two blocks. */
export const ifS = (condition: Expr, then: readonly Stmt[], otherwise: readonly Stmt[] = []): Stmt => ({
  kind: "if",
  condition,
  then,
  else: otherwise,
});
/** Declares a private array of `size` words. */
export const arrayS = (name: string, of: "f32" | "u32", size: number): Stmt => ({ kind: "array", name, of, size });
/** Declares memory of `size` words that a workgroup shares, at the top of the body. */
export const sharedS = (name: string, of: "f32" | "u32", size: number): Stmt => ({ kind: "shared", name, of, size });
/** All invocations of the workgroup meet; with `storage` they see each other's stores to buffers too. */
export const barrier = (storage = false): Stmt => ({ kind: "barrier", storage });
