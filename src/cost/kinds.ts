/** Work as people speak of it, and as machines do it. */
import { mustAt } from "../../runtime/lookup.js";
import type { Node, NodeWith } from "../graph/node.js";
import { letters } from "../graph/ops/structure.js";
import { sizeOf } from "../graph/record.js";
import type { WorkClass } from "./profile.js";

/** The kinds of work, in the order of a report. */
export const KINDS = [
  "products",
  "narrow products",
  "attention",
  "mixing",
  "elementary functions",
  "sums",
  "random numbers",
  "elementwise",
  "copies",
] as const;
/** What a kernel does, as a report says it. */
export type Kind = (typeof KINDS)[number];

/** A product with at most so many rows, columns or terms has little to do with each value that it loads. */
const NARROW = 24;

/**
 * The kind of an op. It is long since it is a flat table of all ops, held whole by the type checker.
 *
 * Composites without a kernel of their own are expanded before a plan is made, and counted as what they are made of.
 */
export function kindOf(node: Node): Kind {
  switch (node.op) {
    case "contract":
      return isNarrow(node) ? "narrow products" : "products";
    case "attention":
    case "attention_lse":
    case "attention_vjp":
      return "attention";
    case "sinkhorn":
    case "sinkhorn_vjp":
      return "mixing";
    case "exp":
    case "log":
    case "sqrt":
    case "tanh":
    case "erf":
    case "sin":
    case "cos":
    case "sigmoid":
    case "pow":
    case "atan2":
    case "softmax":
    case "gelu":
    case "silu":
    case "softplus":
    case "cross_entropy":
      return "elementary functions";
    case "sum":
    case "reduce_max":
    case "reduce_prod":
    case "scatter_add":
      return "sums";
    case "recurrence":
      return "narrow products";
    case "threefry":
      return "random numbers";
    case "parameter":
    case "state":
    case "input":
    case "constant":
    case "literal":
    case "iota":
    case "broadcast":
    case "reshape":
    case "pack":
    case "slice":
    case "affine":
    case "stop":
    case "gather":
      return "copies";
    case "neg":
    case "abs":
    case "floor":
    case "add":
    case "sub":
    case "mul":
    case "div":
    case "min":
    case "max":
    case "lt":
    case "le":
    case "eq":
    case "and":
    case "or":
    case "not":
    case "finite":
    case "select":
    case "cast":
      return "elementwise";
    default:
      return node satisfies never;
  }
}

/** Rows are what the first operand alone has, columns the second; what both and the result have is many products. */
function isNarrow({ attrs: { spec }, inputs: [x, y], shape }: NodeWith<"contract">): boolean {
  const { a, b, out } = letters(spec);
  const sizeOfAxis = (letter: string): number =>
    a.includes(letter) ? mustAt(x.shape, a.indexOf(letter)) : mustAt(y.shape, b.indexOf(letter));
  const count = (has: (letter: string) => boolean): number =>
    sizeOf([...new Set([...a, ...b])].filter(has).map(sizeOfAxis));
  const rows = count((letter) => out.includes(letter) && !b.includes(letter));
  const columns = count((letter) => out.includes(letter) && !a.includes(letter));
  const terms = count((letter) => !out.includes(letter));
  return shape.length === 0 || Math.min(rows, columns, terms) <= NARROW;
}

/** At which of a machine's rates each kind is done. */
export const classOf: Readonly<Record<Kind, WorkClass>> = {
  products: "product",
  "narrow products": "narrow",
  attention: "attention",
  mixing: "mixing",
  "elementary functions": "elementary",
  sums: "plain",
  "random numbers": "plain",
  elementwise: "plain",
  copies: "plain",
};
