/** Work as people speak of it, and as machines do it. */
import { mustAt } from "../../runtime/lookup.js";
import type { Node, NodeWith, Op } from "../graph/node.js";
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
 * The kind of every op but products. Composites without a kernel of their own are expanded before a plan is made, and
 * counted as what they are made of.
 */
const KIND_OF: Readonly<Record<Exclude<Op, "contract">, Kind>> = {
  attention: "attention",
  attention_lse: "attention",
  attention_vjp: "attention",
  sinkhorn: "mixing",
  sinkhorn_vjp: "mixing",
  exp: "elementary functions",
  log: "elementary functions",
  sqrt: "elementary functions",
  tanh: "elementary functions",
  erf: "elementary functions",
  sin: "elementary functions",
  cos: "elementary functions",
  sigmoid: "elementary functions",
  pow: "elementary functions",
  atan2: "elementary functions",
  softmax: "elementary functions",
  gelu: "elementary functions",
  silu: "elementary functions",
  softplus: "elementary functions",
  cross_entropy: "elementary functions",
  sum: "sums",
  reduce_max: "sums",
  reduce_prod: "sums",
  scatter_add: "sums",
  recurrence: "narrow products",
  threefry: "random numbers",
  parameter: "copies",
  state: "copies",
  input: "copies",
  constant: "copies",
  literal: "copies",
  iota: "copies",
  broadcast: "copies",
  reshape: "copies",
  pack: "copies",
  slice: "copies",
  affine: "copies",
  stop: "copies",
  gather: "copies",
  neg: "elementwise",
  abs: "elementwise",
  floor: "elementwise",
  add: "elementwise",
  sub: "elementwise",
  mul: "elementwise",
  div: "elementwise",
  min: "elementwise",
  max: "elementwise",
  lt: "elementwise",
  le: "elementwise",
  eq: "elementwise",
  and: "elementwise",
  or: "elementwise",
  not: "elementwise",
  finite: "elementwise",
  select: "elementwise",
  cast: "elementwise",
};

/** The kind of a node's work. */
export const kindOf = (node: Node): Kind =>
  node.op === "contract" ? (isNarrow(node) ? "narrow products" : "products") : KIND_OF[node.op];

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
