/** Ops as people speak of them, and as machines do them. */
import type { Op } from "../graph/node.js";
import type { WorkClass } from "./profile.js";

/** In the order of a report. */
export const KINDS = ["products", "attention", "mixing", "elementary functions", "sums", "random numbers", "elementwise", "copies"] as const;
export type Kind = (typeof KINDS)[number];

/** Composites without a kernel of their own are expanded before a plan is made, and counted as what they are made of. */
export function kindOf(op: Op): Kind {
  switch (op) {
    case "contract": return "products";
    case "attention": case "attention_lse": case "attention_vjp": return "attention";
    case "sinkhorn": case "sinkhorn_vjp": return "mixing";
    case "exp": case "log": case "sqrt": case "tanh": case "erf": case "sin": case "cos": case "sigmoid": case "pow":
    case "softmax": case "gelu": case "silu": case "softplus": case "cross_entropy": return "elementary functions";
    case "sum": case "reduce_max": case "scatter_add": return "sums";
    case "threefry": return "random numbers";
    case "parameter": case "state": case "input": case "constant": case "literal": case "iota": case "broadcast": case "reshape": case "pack": case "slice": case "gather": return "copies";
    case "neg": case "abs": case "add": case "sub": case "mul": case "div": case "min": case "max": case "lt": case "le": case "eq": case "and": case "or": case "not":
    case "finite": case "select": case "cast": return "elementwise";
    default: return op satisfies never;
  }
}

export const classOf: Readonly<Record<Kind, WorkClass>> = {
  products: "product", attention: "attention", mixing: "plain", "elementary functions": "elementary", sums: "plain", "random numbers": "plain", elementwise: "plain", copies: "plain",
};
