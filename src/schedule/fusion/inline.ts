/**
 * Which nodes are emitted where they are used, and which must be in memory, before it is known what is one kernel: what
 * addresses memory (products, attention, gathers) forces its operands to be stored, and a chain whose one reader is a
 * reduction floats into its loop.
 */
import { mustGet } from "../../../runtime/lookup.js";
import type { Graph, Node } from "../../graph/node.js";
import { isReduction, sizeOf } from "../../graph/record.js";
import { isLeaf } from "./clusters.js";
import { access, behindReshapes, behindStrides, behindViews, isView, rangeOf } from "./views.js";

/** Whether a node has a skeleton of its own, which a cluster is made around. */
export const isAnchor = (node: Node): boolean =>
  node.op === "contract" ||
  node.op === "sinkhorn" ||
  node.op === "sinkhorn_vjp" ||
  node.op === "pack" ||
  node.op === "recurrence" ||
  isAttention(node);
/** Whether a node is a result of attention or of its derivative. */
export const isAttention = (node: Node): boolean =>
  node.op === "attention" || node.op === "attention_lse" || node.op === "attention_vjp";

/** Whether a node is computed element by element. */
export const isElementwise = (node: Node): boolean =>
  node.inputs.length > 0 && !isAnchor(node) && !isReduction(node) && !isView(node) && node.op !== "gather";

/** Whether a kernel can compute a node wherever it is used: all but what addresses memory or sums. */
export const isEmittable = (node: Node): boolean => !isAnchor(node) && !isReduction(node) && node.op !== "gather";

/** Every node that `graph` needs, producers first. */
export function reachable(graph: Graph): Node[] {
  const seen = new Set<Node>();
  const order: Node[] = [];
  const visit = (node: Node): void => {
    if (seen.has(node)) return;
    seen.add(node);
    node.inputs.forEach(visit);
    order.push(node);
  };
  for (const node of graph.outputs.values()) visit(node);
  for (const [leaf, node] of graph.updates) {
    visit(leaf);
    visit(node);
  }
  return order.sort((a, b) => a.id - b.id);
}

/** The readers of every node; a result reads itself. */
export function countUses(nodes: readonly Node[], results: readonly Node[]): Map<Node, Node[]> {
  const uses = new Map<Node, Node[]>(nodes.map((node) => [node, []]));
  for (const node of nodes) for (const input of new Set(node.inputs)) mustGet(uses, input).push(node);
  for (const result of results) mustGet(uses, result).push(result);
  return uses;
}

/**
 * Elementwise nodes whose only reader is a reduction, over a chain that never grows: emitted inside the reduction's
 * loop.
 */
export function findFloating(nodes: readonly Node[], uses: Map<Node, Node[]>, results: ReadonlySet<Node>): Set<Node> {
  const floating = new Set<Node>();
  for (const node of [...nodes].reverse()) {
    if (
      isLeaf(node) ||
      isAnchor(node) ||
      isReduction(node) ||
      isView(node) ||
      node.op === "gather" ||
      results.has(node)
    )
      continue;
    let reader: Node = node;
    let grows = false;
    do {
      const [next, ...others]: readonly Node[] = mustGet(uses, reader);
      if (!next || others.length > 0 || results.has(reader)) break;
      reader = next;
      grows ||= sizeOf(reader.shape) > sizeOf(node.shape);
    } while (isView(reader));
    if (reader === node || isView(reader) || grows) continue;
    if (isReduction(reader) || floating.has(reader)) floating.add(node);
  }
  return floating;
}

/**
 * What is compared with its own maximum, as the derivative of a maximum does: whether two numbers are the same may be
 * asked of what is in memory alone, since a value that is computed twice may be rounded in two ways.
 */
export function findCompared(nodes: readonly Node[]): Set<Node> {
  const compared = new Set<Node>();
  for (const node of nodes) {
    if (node.op !== "eq") continue;
    const [x, y] = node.inputs;
    const largest = y.op === "broadcast" ? y.inputs[0] : y;
    if (largest.op === "reduce_max" && largest.inputs[0] === x) compared.add(behindViews(x, isLeaf));
  }
  return compared;
}

/**
 * Nodes that must be stored although they could be emitted in place: anchors and gathers address memory, and so does
 * the host.
 */
export function findForced(
  nodes: readonly Node[],
  outputs: readonly Node[],
  values: readonly Node[],
  never: (node: Node) => boolean,
): Set<Node> {
  const forced = new Set<Node>();
  const isBase = (node: Node): boolean => isLeaf(node) || forced.has(node) || !never(node);
  const force = (node: Node): void => {
    if (!isLeaf(node)) forced.add(node);
  };
  for (const node of nodes) {
    if (node.op === "contract" || isAttention(node)) {
      for (const operand of node.inputs) if (!access(operand, isBase)) force(behindStrides(operand, isBase));
    } else if (isAnchor(node)) {
      for (const operand of node.inputs) {
        const base = behindReshapes(operand, isBase);
        if (!isBase(base)) force(base);
      }
    } else if (node.op === "gather") {
      const [table] = node.inputs;
      if (table && !access(table, isBase)) force(table);
    }
  }
  for (const node of findCompared(nodes)) if (!isBase(node)) force(node);
  const ensure = (base: Node): void => {
    if (!isBase(base)) force(base);
  };
  for (const output of outputs) ensure(behindReshapes(output, isBase));
  for (const value of values) ensure(rangeOf(value, isBase).base);
  return forced;
}
