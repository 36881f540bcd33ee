/** What types the operations of the kernel IR take and make, as `ir.ts` lists them. */
import type { BinaryOp, Expr, ScalarKind, Type } from "./ir.js";

/** Whether two types are one. */
export const same = (a: Type, b: Type): boolean => a.of === b.of && a.lanes === b.lanes;
/** The operand types of each binary operation. */
export const TAKES: Readonly<Record<BinaryOp, readonly ScalarKind[]>> = {
  add: ["f32", "u32", "index"],
  sub: ["f32", "u32", "index"],
  mul: ["f32", "u32", "index"],
  div: ["f32", "u32", "index"],
  rem: ["u32", "index"],
  min: ["f32", "u32", "index"],
  max: ["f32", "u32", "index"],
  pow: ["f32"],
  lt: ["f32", "u32", "index"],
  le: ["f32", "u32", "index"],
  eq: ["f32", "u32", "index", "bool"],
  ne: ["f32", "u32", "index", "bool"],
  and: ["bool", "u32"],
  or: ["bool", "u32"],
  xor: ["u32", "index"],
  shl: ["u32", "index"],
  shr: ["u32", "index"],
};

/** Casts by value, as ir.ts lists them. */
export const CASTS: Readonly<Record<ScalarKind, readonly ScalarKind[]>> = {
  f32: ["u32"],
  u32: ["f32", "index"],
  index: ["f32", "u32"],
  bool: ["f32", "u32"],
};

/** Whether the type of an expression of one operand is what its operand makes. */
export function fitsOperand(e: Extract<Expr, { readonly kind: "unary" | "bitcast" | "splat" | "extract" }>): boolean {
  const { type: a } = e.a;
  switch (e.kind) {
    case "unary":
      return a.of === (e.op === "not" ? "bool" : "f32") && same(e.type, a);
    case "bitcast":
      return isBits(e.type.of) && isBits(a.of) && e.type.of !== a.of && e.type.lanes === a.lanes;
    case "splat":
      return a.lanes === 1 && e.type.lanes !== 1 && a.of === e.type.of;
    case "extract":
      return e.lane < a.lanes && a.lanes !== 1 && e.type.lanes === 1 && a.of === e.type.of;
    default:
      return e satisfies never;
  }
}

const isBits = (of: ScalarKind): boolean => of === "f32" || of === "u32";

/** Whether a number is one of that type. */
export function fits(value: number, of: ScalarKind): boolean {
  switch (of) {
    case "f32":
      return Number.isFinite(Math.fround(value));
    case "u32":
      return Number.isInteger(value) && value >= 0 && value < 2 ** 32;
    case "index":
      return Number.isInteger(value) && value >= 0 && value < 2 ** 31;
    case "bool":
      return value === 0 || value === 1;
    default:
      return of satisfies never;
  }
}
