/** Expressions in the one layout of .mhc, each on one line. `format.ts` lays out what they stand in. */
import type { Arg, Call, Expr, Formal, Ident, Path } from "./ast.js";

/** `[t, w]` */
export const axisNames = (axes: readonly Ident[]): string => `[${axes.map(({ name }) => name).join(", ")}]`;

/** `corpus.token` */
export const dotted = (path: Path): string => path.parts.map(({ name }) => name).join(".");

/** `y[t, w]`, `M: manifold`, `k = 4` */
export function formatFormal({ name, axes, type, default: value }: Formal): string {
  const start = value ? ` = ${formatExpr(value)}` : "";
  return `${name.name}${axes ? axisNames(axes) : ""}${type ? `: ${type.name}` : ""}${start}`;
}

const formatArg = ({ name, value }: Arg): string => `${name ? `${name.name} = ` : ""}${formatExpr(value)}`;

function formatCall({ callee, axes, lists, as }: Call): string {
  const args = lists.map((list) => `(${list.map(formatArg).join(", ")})`).join("");
  return `${dotted(callee)}${axes ? axisNames(axes) : ""}${args}${as ? ` as ${as.name}` : ""}`;
}

/** An expression on one line. */
export function formatExpr(e: Expr): string {
  switch (e.kind) {
    case "path":
      return dotted(e);
    case "number":
      return e.text;
    case "string":
      return `"${e.value.replace(/[\\"]/g, "\\$&")}"`;
    case "tuple":
      return `(${e.items.map(formatExpr).join(", ")})`;
    case "group":
      return `(${formatExpr(e.inner)})`;
    case "index":
      return `${dotted(e.base)}[${e.axes.map(formatExpr).join(", ")}]`;
    case "call":
      return formatCall(e);
    case "unary":
      return `${e.op}${formatExpr(e.operand)}`;
    case "binary":
      return `${formatExpr(e.left)} ${e.op} ${formatExpr(e.right)}`;
    case "where":
      return `${formatExpr(e.value)} where ${formatExpr(e.condition)}`;
    case "else":
      return `${formatExpr(e.value)} else ${formatExpr(e.otherwise)}`;
    default:
      return e satisfies never;
  }
}
