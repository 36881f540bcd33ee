/**
 * Makes a graph schedulable: composites without a kernel are expanded, and products that would starve the matmul
 * skeleton become multiply-and-sum, which the row skeleton does well. Those are products whose result ends in a batch
 * axis (nothing to vectorise over), or has few columns while the summed axis is contiguous (dot products, such as the
 * gradient of a mix). A reduction of a long vector to one number becomes two, so that more than one core works on it.
 */
import { mustAt } from "../../../runtime/lookup.js";
import type { Graph, Node, NodeWith, Op, ReductionNode } from "../../graph/node.js";
import { attentionSizes } from "../../graph/ops/attention.js";
import { SLOT } from "../../graph/packing.js";
import { bodyOf } from "../../graph/recurrence.js";
import { printGraph } from "../../graph/text.js";
import { nodesOf } from "../../graph/topology.js";
import { letters, type Letters } from "../../graph/ops/structure.js";
import { pushedIntoProduct, strided } from "../../passes/convolutions.js";
import { expand } from "../../passes/expand.js";
import { replace } from "../../passes/rewrite.js";
import type { Builder } from "../../graph/builder.js";
import { lastLetter } from "./contraction.js";
import { isReduction, sizeOf } from "../../graph/record.js";
import { access } from "./views.js";

/** Fewer columns than this fill no vector block. */
const FEW_COLUMNS = 8;
/** A vector of fewer elements is reduced by one core in less time than a second dispatch takes. */
const LONG_VECTOR = 16_384;
const LONGEST_ROW = 4096;

/** Several devices are scheduled from one graph, which is the same for all of them once it is legal. */
const legal = new WeakMap<Graph, Graph>();

/** Composites with a skeleton of their own. */
const KERNELS: ReadonlySet<Op> = new Set<Op>([
  "sinkhorn",
  "sinkhorn_vjp",
  "attention",
  "attention_lse",
  "attention_vjp",
]);

/**
 * Columns of a key and a value together: more, and four rows leave a workgroup's memory on a GPU, and a core's first
 * cache.
 */
const WIDEST_HEAD = 1022;

function isTooWide(node: Node): boolean {
  if (node.op !== "attention" && node.op !== "attention_lse" && node.op !== "attention_vjp") return false;
  const { depth, width } = attentionSizes(node.inputs);
  return depth + width > WIDEST_HEAD;
}

/** The graph with what the skeletons take. It is made once for a graph, whatever the devices. */
export function legalize(graph: Graph): Graph {
  const legalGraph = legal.get(graph) ?? legalized(graph);
  legal.set(graph, legalGraph);
  return legalGraph;
}

function legalized(graph: Graph): Graph {
  const expanded = expand(graph, (node) => !KERNELS.has(node.op) || isTooWide(node));
  const products = hasReads(expanded)
    ? replace(expanded, (b, node) => (node.op === "sum" ? pushedIntoProduct(b, node) : null))
    : expanded;
  return replace(products, (b, node) => {
    if (node.op === "recurrence") return withLegalBody(b, node);
    if (node.op === "contract") return isStarved(node) ? multiplyAndSum(b, node) : strided(b, node);
    return isReduction(node) ? inTwoStages(b, node) : null;
  });
}

/** Whether a graph reads at affine indices. */
const hasReads = (graph: Graph): boolean => nodesOf(graph).some(({ op }) => op === "affine");

/** The same recurrence with the composites of its body expanded. */
function withLegalBody(b: Builder, node: NodeWith<"recurrence">): Node {
  const body = expand(bodyOf(node.attrs.body), () => true);
  return b.make(node.op, node.inputs, { ...node.attrs, body: printGraph(body) }, { shape: node.shape, dtype: "f32" });
}

/**
 * First over rows of the vector, then over their results. The rows depend on the size alone: one order of summation
 * everywhere.
 */
function inTwoStages(b: Builder, node: ReductionNode): Node | null {
  const x = node.inputs[0];
  const [length, ...otherAxes] = x.shape;
  if (length === undefined || otherAxes.length > 0) return null;
  const row = rowOf(length);
  if (row === null) return null;
  const rows = b.reshape(x, [length / row, row]);
  return b.make(node.op, [b.make(node.op, [rows], { axes: [1] })], { axes: [0] });
}

/** The longest row that a long vector is cut into without a rest; null for what is short, or has no such row. */
function rowOf(size: number): number | null {
  if (size < LONG_VECTOR) return null;
  for (let row = LONGEST_ROW; row >= SLOT; row -= SLOT) if (size % row === 0) return row;
  return null;
}

function isStarved(node: NodeWith<"contract">): boolean {
  const l = letters(node.attrs.spec);
  const last = lastLetter(l.out, node.shape);
  if (last === undefined || (l.a.includes(last) && l.b.includes(last))) return true;
  const summed = [...l.a].filter((letter) => !l.out.includes(letter));
  if (summed.length === 0) return true;
  const size = (letter: string): number => sizeOfLetter(node, l, letter);
  const [owner, other] = l.a.includes(last) ? [l.a, l.b] : [l.b, l.a];
  const columns = sizeOf([...l.out].filter((letter) => owner.includes(letter) && !other.includes(letter)).map(size));
  const rows = sizeOf([...l.out].filter((letter) => other.includes(letter) && !owner.includes(letter)).map(size));
  if (columns >= FEW_COLUMNS || rows >= 64) return false;
  return (
    summed.some((letter) => strideOf(node.inputs[0], l.a, letter) === 1) &&
    summed.some((letter) => strideOf(node.inputs[1], l.b, letter) === 1)
  );
}

/** The size of the axis that a letter names, in whichever operand has it. */
function sizeOfLetter({ inputs: [x, y] }: NodeWith<"contract">, { a, b }: Letters, letter: string): number {
  return a.includes(letter) ? mustAt(x.shape, a.indexOf(letter)) : mustAt(y.shape, b.indexOf(letter));
}

/** The stride of a letter in an operand, in words; 0 when the operand repeats along it. */
function strideOf(operand: Node, term: string, letter: string): number {
  const stored = access(operand, (node) => node.op !== "broadcast" && node.op !== "reshape");
  return stored?.strides[term.indexOf(letter)] ?? 0;
}

function multiplyAndSum(b: Builder, node: NodeWith<"contract">): Node {
  const l = letters(node.attrs.spec);
  const summed = [...l.a].filter((letter) => !l.out.includes(letter));
  const [x, y] = node.inputs;
  // Neighbouring results are lanes when they are neighbours in memory; otherwise the summed axis is, and goes last.
  const last = lastLetter(l.out, node.shape);
  const columns = last !== undefined && (strideOf(x, l.a, last) === 1 || strideOf(y, l.b, last) === 1);
  const order = columns ? [...summed, ...l.out] : [...l.out, ...summed];
  const shape = order.map((letter) => sizeOfLetter(node, l, letter));
  const over = (operand: Node, term: string): Node =>
    b.broadcast(
      operand,
      shape,
      [...term].map((letter) => order.indexOf(letter)),
    );
  return b.sum(
    b.mul(over(x, l.a), over(y, l.b)),
    summed.map((letter) => order.indexOf(letter)),
  );
}
