/** Expressions of the kernel IR in C. */
import { elementary, isElementary, power, type Elementary } from "../../src/kernel/mathematics.js";
import * as k from "../../src/kernel/build.js";
import type { Expr, Lanes } from "../../src/kernel/ir.js";
import { shortestF32 } from "../../src/kernel/literals.js";
import { INFIX } from "../../src/kernel/text.js";
import { helperName } from "./prelude.js";
import { nameOf, suffixOf, typeName } from "./types.js";

/** The state of printing the body of one function. */
export interface CPrinting {
  /** Lines of the body so far. */
  readonly lines: string[];
  /** Functions that the body calls, by name: elementary functions, as text. */
  readonly functions: Map<string, string>;
  /** Blanks before the line that is printed now. */
  indent: string;
  /** How many temporaries there are so far. */
  temporaries: number;
  /** Bytes of scratch memory so far. */
  scratchBytes: number;
}

/** The state at the start of a body; functions that it needs are added to `functions`. */
export const startPrinting = (functions: Map<string, string>): CPrinting => ({
  lines: [],
  functions,
  indent: "  ",
  temporaries: 0,
  scratchBytes: 0,
});

/** Appends a line to the body. */
export const put = (state: CPrinting, line: string): void => void state.lines.push(`${state.indent}${line}`);

/** Names the value of an expression that stands more than once. */
function bind(state: CPrinting, e: Expr): Expr {
  if (e.kind === "ref" || e.kind === "const" || (e.kind === "splat" && e.a.kind === "const")) return e;
  const name = `t${state.temporaries++}_`;
  put(state, `const ${typeName(e.type)} ${name} = ${printExpr(state, e)};`);
  return k.ref(name, e.type);
}

/** An expression; parts that stand more than once are put before it, under names. */
export function printExpr(state: CPrinting, e: Expr): string {
  const expr = (part: Expr): string => printExpr(state, part);
  switch (e.kind) {
    case "const":
      return constant(e.value, e.type.of);
    case "ref":
      return nameOf(e.name);
    case "unary":
      return unary(state, e);
    case "binary":
      return binary(state, e);
    case "fma":
      return `(${expr(e.a)} * ${expr(e.b)} + ${expr(e.c)})`;
    case "select":
      return e.type.lanes === 1
        ? `(${expr(e.condition)} ? ${expr(e.then)} : ${expr(e.else)})`
        : `${helperName("select", e.type)}(${expr(e.condition)}, ${expr(e.then)}, ${expr(e.else)})`;
    case "load":
      return e.type.lanes === 1
        ? `${nameOf(e.from)}[${expr(e.index)}]`
        : `${helperName("load", e.type)}(${nameOf(e.from)} + ${expr(e.index)})`;
    case "cast":
      return cast(state, e);
    case "bitcast":
      return e.type.lanes === 1 ? `bits_${e.type.of}(${expr(e.a)})` : `((${typeName(e.type)})${expr(e.a)})`;
    case "splat":
      return `${helperName("splat", e.type)}(${word(state, e.a)})`;
    case "lanes":
      return `((${typeName(e.type)}){${e.items.map((item) => word(state, item)).join(", ")}})`;
    case "shuffle":
      return `SHUFFLE(i32x${e.type.lanes}, ${expr(e.a)}, ${expr(e.b)}, ${e.order.join(", ")})`;
    case "extract":
      return e.type.of === "bool" ? `(${expr(e.a)}[${e.lane}] != 0)` : `${expr(e.a)}[${e.lane}]`;
    case "exchange":
      throw new Error("codegen: the C target takes kernels of a CPU");
    default:
      return e satisfies never;
  }
}

/** A scalar as an element of a vector: a truth value is a word of ones or zeros there. */
const word = (state: CPrinting, e: Expr): string =>
  e.type.of === "bool" ? `-(int32_t)${printExpr(state, e)}` : printExpr(state, e);

function constant(value: number, of: Expr["type"]["of"]): string {
  switch (of) {
    case "bool":
      return String(value !== 0);
    case "u32":
      return `${value}u`;
    case "index":
      return String(value);
    case "f32": {
      if (Number.isNaN(value)) return `__builtin_nanf("")`;
      if (!Number.isFinite(value)) return value > 0 ? "__builtin_inff()" : "(-__builtin_inff())";
      const text = shortestF32(value);
      const literal = `${/[.e]/.test(text) ? text : `${text}.0`}f`;
      return literal.startsWith("-") ? `(${literal})` : literal;
    }
    default:
      return of satisfies never;
  }
}

function unary(state: CPrinting, e: Extract<Expr, { readonly kind: "unary" }>): string {
  const a = printExpr(state, e.a);
  if (isElementary(e.op)) return `${needed(state, e.op, e.type.lanes)}(${a})`;
  switch (e.op) {
    case "neg":
      return `(-${a})`;
    case "not":
      return e.type.lanes === 1 ? `(!${a})` : `(~${a})`;
    case "abs":
    case "sqrt":
    case "floor":
      return `${helperName(e.op, e.type)}(${a})`;
    default:
      return e.op satisfies never;
  }
}

/** The name of an elementary function, whose text is added to those that the body needs. */
function needed(state: CPrinting, op: Elementary, lanes: Lanes): string {
  const type = { of: "f32", lanes } as const;
  const name = helperName(op, type);
  if (!state.functions.has(name)) {
    const t = typeName(type);
    const body = startPrinting(state.functions);
    const result = elementary[op](k.ref("x", type), (part) => bind(body, part));
    const value = printExpr(body, result);
    const text = [`INLINE ${t} ${name}(${t} x) {`, ...body.lines, `  return ${value};`, "}"].join("\n");
    state.functions.set(name, text);
  }
  return name;
}

/** Whether an expression is a constant number in every lane. */
const isNumber = (e: Expr): boolean =>
  e.kind === "splat" ? isNumber(e.a) : e.kind === "const" && !Number.isNaN(e.value);

function binary(state: CPrinting, e: Extract<Expr, { readonly kind: "binary" }>): string {
  const { type } = e.a;
  if (e.op === "pow")
    return printExpr(
      state,
      power(e.a, e.b, (part) => bind(state, part)),
    );
  const a = printExpr(state, e.a);
  if (e.op === "min" || e.op === "max") {
    const bounded = e.op === "min" ? "atmost" : "atleast";
    const name = type.of === "f32" && isNumber(e.b) ? bounded : e.op;
    return `${name}_${suffixOf(type)}(${a}, ${printExpr(state, e.b)})`;
  }
  // All lanes are shifted by one distance.
  const b = printExpr(state, (e.op === "shl" || e.op === "shr") && e.b.kind === "splat" ? e.b.a : e.b);
  return `(${a} ${INFIX[e.op]} ${b})`;
}

function cast(state: CPrinting, e: Extract<Expr, { readonly kind: "cast" }>): string {
  const a = printExpr(state, e.a);
  if (e.type.lanes === 1) return `((${typeName(e.type)})${a})`;
  if (e.a.type.of !== "bool") return `__builtin_convertvector(${a}, ${typeName(e.type)})`;
  const one = e.type.of === "f32" ? "1.0f" : "1u";
  return `((${typeName(e.type)})(${a} & (i32x${e.type.lanes})${helperName("splat", e.type)}(${one})))`;
}
