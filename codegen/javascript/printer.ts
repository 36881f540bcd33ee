/**
 * Prints kernels as plain JavaScript: the smallest target, the reference for tests, and the proof that a target is
 * small. The code is the body of a function of the pools that returns one function (offsets, begin, end) a kernel.
 * Arithmetic is in f64 between a load and a store; stores to Float32Array round. Kernels are those of a CPU with one
 * lane.
 */
import type { Expr, Kernel, PanelAt, PoolName, Stmt } from "../../src/kernel/ir.js";
import { renamer } from "../../src/kernel/literals.js";
import type { KernelPrinter } from "../target.js";
import { helpers, MULTIPLY_TILES } from "./helpers.js";

/** Words of JavaScript, and what the code around the kernels names. */
const rename = renamer(
  new Set(
    (
      "arguments await begin bits_f32 bits_u32 break case catch class const continue convert debugger default " +
      "delete do else end enum erf eval export extends multiply_tiles " +
      "false finally for function group if implements import in instanceof interface ints let Math new null " +
      "offsets out package pools private protected " +
      "public return state static super switch this throw true try typeof undefined var void while with work " +
      "yield Float32Array Uint32Array DataView NaN Infinity"
    ).split(" "),
  ),
);

/** The body of a function of the pools that returns the kernels as functions, in their order. */
export function printKernels(kernels: readonly Kernel[]): string {
  const functions = kernels.map((kernel, i) => `${printKernel(kernel, i)},`);
  return [
    `"use strict";`,
    `const { state, work, ints, out } = pools;`,
    helpers,
    ...(functions.some((text) => text.includes("multiply_tiles(")) ? [MULTIPLY_TILES] : []),
    "return [",
    ...functions,
    "];",
  ].join("\n");
}

/** The state of printing one kernel. */
interface JavaScriptPrinting {
  /** The pool of every buffer. */
  readonly pools: ReadonlyMap<string, PoolName>;
  /**
   * Lines that make the arrays: once a call, not once a group. Sibling scopes may use a name for arrays of different
   * sizes, so each array has a name of its own, `arrayNames`.
   */
  readonly arrays: string[];
  readonly arrayNames: Map<string, string>;
}

function printKernel(kernel: Kernel, i: number): string {
  const offsets = kernel.buffers.map(({ name }, slot) => `${rename(name)} = offsets[${slot}]`).join(", ");
  const state: JavaScriptPrinting = {
    pools: new Map(kernel.buffers.map(({ name, pool }) => [name, pool])),
    arrays: [],
    arrayNames: new Map(),
  };
  const body = printStmts(state, kernel.body, "    ");
  return [
    `// ${kernel.name}: ${kernel.groups} groups`,
    `function k${i}(offsets, begin, end) {`,
    ...(offsets ? [`  const ${offsets};`] : []),
    ...state.arrays,
    `  for (let group = begin; group < end; group++) {`,
    ...body,
    "  }",
    "}",
  ].join("\n");
}

const arrayOf = ({ arrayNames }: JavaScriptPrinting, name: string): string => arrayNames.get(name) ?? rename(name);

/** Word `index` of a buffer or array. */
function wordAt(state: JavaScriptPrinting, name: string, index: Expr): string {
  const pool = state.pools.get(name);
  const at = printExpr(state, index);
  return pool ? `${pool}[${rename(name)} + ${at}]` : `${arrayOf(state, name)}[${at}]`;
}

/** Products of bf16: the reference for targets that have them. */
function tiles(state: JavaScriptPrinting, s: Extract<Stmt, { readonly kind: "tiles" }>): string {
  const panel = ({ of, index }: PanelAt): string => `${arrayOf(state, of)}, ${printExpr(state, index)}`;
  const result = `${arrayOf(state, s.to)}, ${printExpr(state, s.index)}, ${s.line}`;
  return `multiply_tiles(${result}, ${panel(s.a)}, ${panel(s.b)}, ${printExpr(state, s.blocks)}, ${s.adds});`;
}

function printExpr(state: JavaScriptPrinting, e: Expr): string {
  const expr = (part: Expr): string => printExpr(state, part);
  switch (e.kind) {
    case "const":
      if (e.type.of === "bool") return `${e.value !== 0}`;
      return e.value < 0 || Object.is(e.value, -0) ? `(-${Math.abs(e.value)})` : `${e.value}`;
    case "ref":
      return e.name === "group" ? e.name : rename(e.name);
    case "unary":
      return unary(e.op, expr(e.a));
    case "binary":
      return binary(e, expr(e.a), expr(e.b));
    case "fma":
      return `(${expr(e.a)} * ${expr(e.b)} + ${expr(e.c)})`;
    case "select":
      return `(${expr(e.condition)} ? ${expr(e.then)} : ${expr(e.else)})`;
    case "load":
      return wordAt(state, e.from, e.index);
    case "cast":
      if (e.a.type.of === "bool") return `(${expr(e.a)} ? 1 : 0)`;
      return e.a.type.of === "f32" ? `(${expr(e.a)} >>> 0)` : expr(e.a);
    case "bitcast":
      return e.type.of === "f32" ? `bits_f32(${expr(e.a)})` : `bits_u32(${expr(e.a)})`;
    case "splat":
    case "lanes":
    case "shuffle":
    case "extract":
      throw new Error("codegen: the JavaScript target takes kernels of one lane");
    case "exchange":
      throw new Error("codegen: the JavaScript target takes kernels of a CPU");
    default:
      return e satisfies never;
  }
}

const printStmts = (state: JavaScriptPrinting, list: readonly Stmt[], indent: string): string[] =>
  list.flatMap((s) => printStmt(state, s, indent));

function printStmt(state: JavaScriptPrinting, s: Stmt, indent: string): string[] {
  const expr = (e: Expr): string => printExpr(state, e);
  switch (s.kind) {
    case "let":
      return [`${indent}const ${rename(s.name)} = ${expr(s.value)};`];
    case "var":
      return [`${indent}let ${rename(s.name)} = ${expr(s.value)};`];
    case "assign":
      return [`${indent}${rename(s.name)} = ${expr(s.value)};`];
    case "store":
      return [`${indent}${wordAt(state, s.to, s.index)} = ${expr(s.value)};`];
    case "prefetch":
      // A hint, which the language has no words for.
      return [];
    case "for": {
      const i = rename(s.name);
      return [
        `${indent}for (let ${i} = ${expr(s.from)}, ${i}$end = ${expr(s.to)}; ${i} < ${i}$end; ${i} += ${s.step}) {`,
        ...printStmts(state, s.body, `${indent}  `),
        `${indent}}`,
      ];
    }
    case "if":
      return [
        `${indent}if (${expr(s.condition)}) {`,
        ...printStmts(state, s.then, `${indent}  `),
        ...(s.else.length ? [`${indent}} else {`, ...printStmts(state, s.else, `${indent}  `)] : []),
        `${indent}}`,
      ];
    case "array": {
      const { arrays, arrayNames } = state;
      const name = arrays.length === 0 ? rename(s.name) : `${s.name}$${arrays.length}`;
      arrayNames.set(s.name, name);
      arrays.push(`  const ${name} = new ${s.of === "f32" ? "Float32Array" : "Uint32Array"}(${s.size});`);
      return [];
    }
    case "tiles":
      return [`${indent}${tiles(state, s)}`];
    case "shared":
    case "barrier":
      throw new Error("codegen: the JavaScript target takes kernels of a CPU");
    default:
      return s satisfies never;
  }
}

function unary(op: Extract<Expr, { readonly kind: "unary" }>["op"], a: string): string {
  switch (op) {
    case "neg":
      return `(-${a})`;
    case "not":
      return `(!${a})`;
    case "erf":
      return `erf(${a})`;
    case "exp":
    case "log":
    case "sqrt":
    case "tanh":
    case "abs":
    case "sin":
    case "cos":
    case "floor":
      return `Math.${op}(${a})`;
    default:
      return op satisfies never;
  }
}

function binary(e: Extract<Expr, { readonly kind: "binary" }>, a: string, b: string): string {
  const word = e.a.type.of === "u32";
  switch (e.op) {
    case "add":
      return word ? `((${a} + ${b}) >>> 0)` : `(${a} + ${b})`;
    case "sub":
      return word ? `((${a} - ${b}) >>> 0)` : `(${a} - ${b})`;
    case "mul":
      return word ? `(Math.imul(${a}, ${b}) >>> 0)` : `(${a} * ${b})`;
    case "div":
      return e.a.type.of === "f32" ? `(${a} / ${b})` : word ? `Math.floor(${a} / ${b})` : `((${a} / ${b}) | 0)`;
    case "rem":
      return `(${a} % ${b})`;
    case "min":
    case "max":
      return `Math.${e.op}(${a}, ${b})`;
    case "pow":
      return `(${a} ** ${b})`;
    case "lt":
      return `(${a} < ${b})`;
    case "le":
      return `(${a} <= ${b})`;
    case "eq":
      return `(${a} === ${b})`;
    case "ne":
      return `(${a} !== ${b})`;
    case "and":
      return word ? `((${a} & ${b}) >>> 0)` : `(${a} && ${b})`;
    case "or":
      return word ? `((${a} | ${b}) >>> 0)` : `(${a} || ${b})`;
    case "xor":
      return `((${a} ^ ${b}) >>> 0)`;
    case "shl":
      return `((${a} << ${b}) >>> 0)`;
    case "shr":
      return `(${a} >>> ${b})`;
    default:
      return e.op satisfies never;
  }
}

/** The javascript target. */
export const javascript: KernelPrinter = {
  kind: "kernels",
  name: "javascript",
  profile: { kind: "cpu", lanes: 1, workgroup: 1 },
  print: (kernels) => Promise.resolve({ kind: "javascript", text: printKernels(kernels) }),
  files: (stem, code) => (code.kind === "javascript" ? [{ path: `${stem}.kernels.js`, content: code.text }] : []),
};
