/**
 * Binary operators of the kernel IR as instructions: of floats, of words (u32 and index, and truth values as 0 and 1),
 * and of vectors of words, whose truth values are masks of ones.
 */
import type { BinaryOp, Expr } from "../../src/kernel/ir.js";
import * as w from "./instructions.js";
import type { Instruction } from "./instructions.js";

/** A binary expression of the kernel IR. */
export type BinaryExpr = Extract<Expr, { readonly kind: "binary" }>;

/** An operator that is an instruction; powers are expressions of their own. */
export type WordOp = Exclude<BinaryOp, "pow">;

/** f32, one lane or four, from the operands' instructions. */
export function floatOperator(e: BinaryExpr, a: Instruction, b: Instruction): Instruction {
  const vector = e.a.type.lanes === 4;
  // Against a number that is neither zero nor NaN, the one instruction `pmin` gives what `min` gives in six:
  // `b < a ? b : a` keeps a NaN in a.
  if (vector && (e.op === "min" || e.op === "max") && isSplatOfNumber(e.b)) return w.plain(`f32x4.p${e.op}`, a, b);
  return w.plain(`${vector ? "f32x4" : "f32"}.${e.op}`, a, b);
}

const isSplatOfNumber = (e: Expr): boolean => e.kind === "splat" && e.a.kind === "const" && Math.abs(e.a.value) > 0;

/** Four lanes of words or masks. A shift takes its distance as a word, `distance`. */
export function vectorOperator(op: WordOp, a: Instruction, b: Instruction, distance: Instruction | null): Instruction {
  switch (op) {
    case "and":
    case "or":
    case "xor":
      return w.plain(`v128.${op}`, a, b);
    case "add":
    case "sub":
    case "mul":
    case "eq":
    case "ne":
      return w.plain(`i32x4.${op}`, a, b);
    case "lt":
    case "le":
    case "min":
    case "max":
      return w.plain(`i32x4.${op}_u`, a, b);
    case "shl":
    case "shr":
      if (!distance) throw new Error("codegen: lanes shift by one distance");
      return w.plain(`i32x4.${op === "shl" ? "shl" : "shr_u"}`, a, distance);
    case "div":
    case "rem":
      throw new Error(`codegen: WebAssembly has no ${op} of four words`);
    default:
      return op satisfies never;
  }
}

/** One word. Both operands of a minimum stand twice, since there is no minimum of words. */
export function wordOperator(op: WordOp, a: Instruction, b: Instruction): Instruction {
  switch (op) {
    case "lt":
    case "le":
    case "div":
    case "rem":
    case "shr":
      return w.plain(`i32.${op}_u`, a, b);
    case "min":
      return w.plain("select", a, b, w.plain("i32.lt_u", a, b));
    case "max":
      return w.plain("select", b, a, w.plain("i32.lt_u", a, b));
    case "add":
    case "sub":
    case "mul":
    case "eq":
    case "ne":
    case "and":
    case "or":
    case "xor":
    case "shl":
      return w.plain(`i32.${op}`, a, b);
    default:
      return op satisfies never;
  }
}
