/** Statements of the kernel IR as lines of WGSL. */
import * as k from "../../src/kernel/build.js";
import type { Stmt } from "../../src/kernel/ir.js";
import { bind, nameOf, printExpr, put, stored, vectorAt, wordAt, type WgslPrinting } from "./expressions.js";

/** Puts the lines of statements at the end of the body, after so many blanks. */
export function printStmts(state: WgslPrinting, list: readonly Stmt[], indent: string): void {
  for (const s of list) {
    state.indent = indent;
    printStmt(state, s, indent);
  }
}

function printStmt(state: WgslPrinting, s: Stmt, indent: string): void {
  switch (s.kind) {
    case "let":
      put(state, `let ${nameOf(state, s.name)} = ${printExpr(state, s.value)};`);
      break;
    case "var":
      put(state, `var ${nameOf(state, s.name)} = ${printExpr(state, s.value)};`);
      break;
    case "assign":
      put(state, `${nameOf(state, s.name)} = ${printExpr(state, s.value)};`);
      break;
    case "store":
      printStore(state, s);
      break;
    case "for":
      printLoop(state, s, indent);
      break;
    case "if":
      put(state, `if (${printExpr(state, s.condition)}) {`);
      printInner(state, s.then, indent);
      if (s.else.length) {
        put(state, "} else {");
        printInner(state, s.else, indent);
      }
      put(state, "}");
      break;
    case "array":
      put(state, `var ${nameOf(state, s.name)}: array<${s.of}, ${s.size}>;`);
      break;
    case "shared":
      state.shared.push(`var<workgroup> ${nameOf(state, s.name)}: array<${s.of}, ${s.size}>;`);
      break;
    case "prefetch":
      throw new Error("codegen: WGSL has no way to fetch ahead");
    case "tiles":
      throw new Error("codegen: the WGSL target takes kernels of a GPU");
    case "barrier":
      put(state, s.storage ? "workgroupBarrier(); storageBarrier();" : "workgroupBarrier();");
      break;
    default:
      s satisfies never;
  }
}

/** A block inside of a statement, which goes on behind it. */
function printInner(state: WgslPrinting, list: readonly Stmt[], indent: string): void {
  printStmts(state, list, `${indent}  `);
  state.indent = indent;
}

function printStore(state: WgslPrinting, s: Extract<Stmt, { readonly kind: "store" }>): void {
  const to = s.value.type.lanes === 4 ? vectorAt(state, s.to, s.index, s) : wordAt(state, s.to, s.index);
  if (to !== null) {
    put(state, `${to} = ${stored(state, s.to, s.value)};`);
    return;
  }
  const value = bind(state, s.value);
  for (const lane of [0, 1, 2, 3] as const) {
    const word = wordAt(state, s.to, k.add(s.index, k.idx(lane)));
    put(state, `${word} = ${stored(state, s.to, k.extract(value, lane))};`);
  }
}

/** The bound is evaluated once: in a block of its own, unless it is a constant. */
function printLoop(state: WgslPrinting, s: Extract<Stmt, { readonly kind: "for" }>, indent: string): void {
  const isConstant = s.to.kind === "const";
  const name = nameOf(state, s.name);
  const end = isConstant ? printExpr(state, s.to) : `${s.name}_end_`;
  const from = printExpr(state, s.from);
  if (!isConstant) put(state, `{ let ${end} = ${printExpr(state, s.to)};`);
  put(state, `for (var ${name} = ${from}; ${name} < ${end}; ${name} += ${s.step}u) {`);
  printInner(state, s.body, indent);
  put(state, isConstant ? "}" : "} }");
}
