/**
 * Kernels as functions of C (buffers, scratch, begin, end): `buffers` are the addresses of its buffers, `scratch` is
 * memory private to the calling thread for its arrays, at a multiple of 64 bytes.
 */
import type { Buffer, Expr, Kernel, PanelAt, Stmt } from "../../src/kernel/ir.js";
import { poolType } from "../../src/kernel/ir.js";
import { eachOperand } from "../../src/kernel/operands.js";
import { helperName } from "./prelude.js";
import { printExpr, put, startPrinting, type CPrinting } from "./expressions.js";
import { TILE_UNIT, TILES, TILES_TEXT } from "./tiles.js";
import { nameOf, typeName } from "./types.js";

/** A kernel in C. */
export interface PrintedKernel {
  /** The function, of the name that was asked for. */
  readonly text: string;
  /** The elementary functions that it calls, by name. */
  readonly functions: ReadonlyMap<string, string>;
  /** Bytes of scratch memory that a thread needs for it. */
  readonly scratchBytes: number;
}

/** The type of a kernel's function. */
export const signature = (name: string): string =>
  `void ${name}(void *const *buffers, char *scratch, ptrdiff_t begin, ptrdiff_t end)`;

/** Prints a kernel as a function of that name. Throws an Error for what only a GPU's kernels have. */
export function printKernel(kernel: Kernel, name: string): PrintedKernel {
  const functions = new Map<string, string>();
  const state = startPrinting(functions);
  const used = new Set<string>();
  const kept = withoutUnused(kernel.body, used);
  for (const [slot, buffer] of kernel.buffers.entries())
    if (used.has(buffer.name)) put(state, `${pointerType(buffer)} const ${nameOf(buffer.name)} = buffers[${slot}];`);
  put(state, "for (ptrdiff_t group = begin; group < end; group++) {");
  printBlock(state, kept);
  put(state, "}");
  const hasTiles = functions.has(TILES);
  const unused = [
    ...(kernel.buffers.some((buffer) => used.has(buffer.name)) ? [] : ["buffers"]),
    ...(state.scratchBytes > 0 ? [] : ["scratch"]),
  ];
  return {
    text: [
      `/* ${kernel.name}: ${kernel.groups} groups */`,
      `${signature(name)} {`,
      ...unused.map((parameter) => `  (void)${parameter};`),
      ...(hasTiles ? [`  const bool ${TILE_UNIT} = ${TILES}_begin();`] : []),
      ...state.lines,
      ...(hasTiles ? [`  ${TILES}_end(${TILE_UNIT});`] : []),
      "}",
    ].join("\n"),
    functions,
    scratchBytes: state.scratchBytes,
  };
}

function pointerType({ pool, access }: Buffer): string {
  if (pool === "half") throw new Error("codegen: the C target has no half precision");
  return `${access === "read" ? "const " : ""}${typeName({ of: poolType[pool], lanes: 1 })} *`;
}

/**
 * A body without values and arrays that nothing reads, of which compilers warn. It is read from its end, since what
 * reads a name stands behind it; the names that are read are added to `used`. A variable is read where a loop comes
 * round to it again, so what is assigned to counts as read.
 */
function withoutUnused(body: readonly Stmt[], used: Set<string>): Stmt[] {
  const visit = (e: Expr): void => {
    if (e.kind === "ref") used.add(e.name);
    if (e.kind === "load") used.add(e.from);
    eachOperand(e, visit);
  };
  const keep = (s: Stmt): Stmt | null => {
    switch (s.kind) {
      case "let":
        if (!used.has(s.name)) return null;
        visit(s.value);
        return s;
      case "var":
      case "assign":
        used.add(s.name);
        visit(s.value);
        return s;
      case "store":
        used.add(s.to);
        visit(s.index);
        visit(s.value);
        return s;
      case "prefetch":
        used.add(s.of);
        visit(s.index);
        return s;
      case "tiles":
        for (const name of [s.to, s.a.of, s.b.of]) used.add(name);
        for (const index of [s.index, s.a.index, s.b.index, s.blocks]) visit(index);
        return s;
      case "for": {
        const inner = withoutUnused(s.body, used);
        visit(s.from);
        visit(s.to);
        return { ...s, body: inner };
      }
      case "if": {
        const otherwise = withoutUnused(s.else, used);
        const then = withoutUnused(s.then, used);
        visit(s.condition);
        return { ...s, then, else: otherwise };
      }
      case "array":
        return used.has(s.name) ? s : null;
      case "shared":
      case "barrier":
        return s;
      default:
        return s satisfies never;
    }
  };
  return body
    .toReversed()
    .flatMap((s) => keep(s) ?? [])
    .toReversed();
}

function printBlock(state: CPrinting, list: readonly Stmt[]): void {
  const { indent } = state;
  state.indent = `${indent}  `;
  for (const s of list) printStmt(state, s);
  state.indent = indent;
}

/** A condition without parentheses of its own: Clang warns of two pairs around an equality. */
function conditionOf(state: CPrinting, e: Expr): string {
  const text = printExpr(state, e);
  return e.kind === "binary" ? text.slice(1, -1) : text;
}

function printStmt(state: CPrinting, s: Stmt): void {
  const expr = (e: Expr): string => printExpr(state, e);
  switch (s.kind) {
    case "let":
      return put(state, `const ${typeName(s.value.type)} ${nameOf(s.name)} = ${expr(s.value)};`);
    case "var":
      return put(state, `${typeName(s.value.type)} ${nameOf(s.name)} = ${expr(s.value)};`);
    case "assign":
      return put(state, `${nameOf(s.name)} = ${expr(s.value)};`);
    case "store": {
      const { type } = s.value;
      const value = expr(s.value);
      const at = expr(s.index);
      if (type.lanes === 1) return put(state, `${nameOf(s.to)}[${at}] = ${value};`);
      return put(state, `${helperName("store", type)}(${nameOf(s.to)} + ${at}, ${value});`);
    }
    case "prefetch":
      return put(state, `__builtin_prefetch(${nameOf(s.of)} + ${expr(s.index)}, ${s.write ? 1 : 0}, 2);`);
    case "tiles": {
      state.functions.set(TILES, TILES_TEXT);
      const panel = ({ of, index }: PanelAt): string => `${nameOf(of)} + ${expr(index)}`;
      const to = panel({ of: s.to, index: s.index });
      const panels = `${panel(s.a)}, ${panel(s.b)}, ${expr(s.blocks)}`;
      return put(state, `${TILES}(${TILE_UNIT}, ${s.adds}, ${to}, ${s.line}, ${panels});`);
    }
    case "for": {
      const i = nameOf(s.name);
      const from = expr(s.from);
      const to = expr(s.to);
      const limit = s.to.kind === "const" ? to : `${i}_end`;
      const head = s.to.kind === "const" ? `${i} = ${from}` : `${i} = ${from}, ${limit} = ${to}`;
      put(state, `for (ptrdiff_t ${head}; ${i} < ${limit}; ${i} += ${s.step}) {`);
      printBlock(state, s.body);
      return put(state, "}");
    }
    case "if":
      put(state, `if (${conditionOf(state, s.condition)}) {`);
      printBlock(state, s.then);
      if (s.else.length > 0) {
        put(state, "} else {");
        printBlock(state, s.else);
      }
      return put(state, "}");
    case "array": {
      const type = typeName({ of: s.of, lanes: 1 });
      put(state, `${type} *const ${nameOf(s.name)} = (${type} *)(void *)(scratch + ${state.scratchBytes});`);
      state.scratchBytes += Math.ceil((4 * s.size) / 64) * 64;
      return;
    }
    case "shared":
    case "barrier":
      throw new Error("codegen: the C target takes kernels of a CPU");
    default:
      return s satisfies never;
  }
}
