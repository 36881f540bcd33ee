/**
 * Kernels as text: what `mhc compile --emit kernels` shows, what tests compare, and the key by which kernels are shared
 * (two kernels with the same text, names aside, are one kernel). Expressions are infix with every pair of parentheses;
 * types stand where they cannot be inferred, so that parse.ts reads back the same kernel. 5 is an index, 5u a u32, 5.0
 * a f32.
 */
import type { BinaryOp, Expr, Kernel, PanelAt, Stmt, Type } from "./ir.js";

/** How an operator stands between its operands, here and in the languages that are like C. */
export const INFIX = {
  add: "+",
  sub: "-",
  mul: "*",
  div: "/",
  rem: "%",
  lt: "<",
  le: "<=",
  eq: "==",
  ne: "!=",
  and: "&",
  or: "|",
  xor: "^",
  shl: "<<",
  shr: ">>",
} as const satisfies Readonly<Record<Exclude<BinaryOp, "min" | "max" | "pow">, string>>;

/** The same for any operator; the others are written as calls. */
export const SYMBOLS: Readonly<Partial<Record<BinaryOp, string>>> = INFIX;

const typeName = (type: Type): string => (type.lanes === 1 ? type.of : `${type.of}x${type.lanes}`);
/** What stands behind an access of several words. */
const wordsOf = ({ lanes }: Type): string => (lanes === 1 ? "" : `.x${lanes}`);

function number(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  const text = Object.is(value, -0) ? "-0" : `${value}`;
  return /[.e]/.test(text) ? text : `${text}.0`;
}

/** An expression as text. */
export function printExpr(e: Expr): string {
  switch (e.kind) {
    case "const":
      switch (e.type.of) {
        case "f32":
          return number(e.value);
        case "u32":
          return `${e.value}u`;
        case "bool":
          return `${e.value !== 0}`;
        case "index":
          return `${e.value}`;
        default:
          return e.type.of satisfies never;
      }
    case "ref":
      return e.name;
    case "unary":
      return `${e.op}(${printExpr(e.a)})`;
    case "binary": {
      const symbol = SYMBOLS[e.op];
      return symbol
        ? `(${printExpr(e.a)} ${symbol} ${printExpr(e.b)})`
        : `${e.op}(${printExpr(e.a)}, ${printExpr(e.b)})`;
    }
    case "fma":
      return `fma(${printExpr(e.a)}, ${printExpr(e.b)}, ${printExpr(e.c)})`;
    case "select":
      return `(${printExpr(e.condition)} ? ${printExpr(e.then)} : ${printExpr(e.else)})`;
    case "load":
      return `${e.from}[${printExpr(e.index)}]${wordsOf(e.type)}`;
    case "cast":
      return `${e.type.of}(${printExpr(e.a)})`;
    case "bitcast":
      return `bits_${e.type.of}(${printExpr(e.a)})`;
    case "splat":
      return `splat${e.type.lanes === 4 ? "" : e.type.lanes}(${printExpr(e.a)})`;
    case "lanes":
      return `lanes(${e.items.map(printExpr).join(", ")})`;
    case "shuffle":
      return `shuffle(${printExpr(e.a)}, ${printExpr(e.b)}, ${e.order.join(", ")})`;
    case "extract":
      return `${printExpr(e.a)}.${e.lane}`;
    case "exchange":
      return `exchange(${printExpr(e.a)}, ${printExpr(e.lane)}, ${e.width})`;
    default:
      return e satisfies never;
  }
}

/** Appends to `lines`: a kernel is printed to tell whether it is known, so this is called for every dispatch. */
function printStmts(stmts: readonly Stmt[], indent: string, lines: string[]): string[] {
  for (const s of stmts) {
    switch (s.kind) {
      case "let":
        lines.push(`${indent}let ${s.name}: ${typeName(s.value.type)} = ${printExpr(s.value)}`);
        break;
      case "var":
        lines.push(`${indent}var ${s.name}: ${typeName(s.value.type)} = ${printExpr(s.value)}`);
        break;
      case "assign":
        lines.push(`${indent}${s.name} = ${printExpr(s.value)}`);
        break;
      case "store":
        lines.push(`${indent}${s.to}[${printExpr(s.index)}]${wordsOf(s.value.type)} = ${printExpr(s.value)}`);
        break;
      case "prefetch":
        lines.push(`${indent}prefetch ${s.write ? "write " : ""}${s.of}[${printExpr(s.index)}]`);
        break;
      case "tiles": {
        const panel = ({ of, index }: PanelAt): string => `${of}[${printExpr(index)}]`;
        const to = `${panel({ of: s.to, index: s.index })} line ${s.line}`;
        lines.push(
          `${indent}tiles ${to} ${s.adds ? "+ =" : "="} ${panel(s.a)} * ${panel(s.b)} over ${printExpr(s.blocks)}`,
        );
        break;
      }
      case "for":
        lines.push(`${indent}for ${s.name} = ${printExpr(s.from)} to ${printExpr(s.to)} step ${s.step} {`);
        printStmts(s.body, `${indent}  `, lines);
        lines.push(`${indent}}`);
        break;
      case "if":
        lines.push(`${indent}if ${printExpr(s.condition)} {`);
        printStmts(s.then, `${indent}  `, lines);
        if (s.else.length) {
          lines.push(`${indent}} else {`);
          printStmts(s.else, `${indent}  `, lines);
        }
        lines.push(`${indent}}`);
        break;
      case "array":
        lines.push(`${indent}array ${s.name}: ${s.of}[${s.size}]`);
        break;
      case "shared":
        lines.push(`${indent}shared ${s.name}: ${s.of}[${s.size}]`);
        break;
      case "barrier":
        lines.push(`${indent}barrier${s.storage ? "(storage)" : ""}`);
        break;
      default:
        s satisfies never;
    }
  }
  return lines;
}

/** The kernel as text, without its name: equal for kernels that do the same to buffers of the same names. */
export function structuralKey(kernel: Kernel): string {
  const buffers = kernel.buffers.map(({ name, pool, access }) => `${name}: ${access} ${pool}`).join(", ");
  return (
    `(${buffers}) groups ${kernel.groups} workgroup ${kernel.workgroup} ` +
    `{\n${[...printStmts(kernel.body, "  ", []), ""].join("\n")}}`
  );
}

/** The kernel as text. */
export const printKernel = (kernel: Kernel): string => `kernel ${kernel.name}${structuralKey(kernel)}`;
