/** Replaces composites by their expansions, the definitions in the op table, until none of those asked for is left. */
import { mustGet } from "../../runtime/lookup.js";
import type { Builder } from "../graph/builder.js";
import type { Graph, Node } from "../graph/node.js";
import { opTable } from "../graph/ops.js";
import { topological } from "../graph/topology.js";
import { remake, replace } from "./rewrite.js";

const expansion = (node: Node): ((b: Builder, node: Node) => Node) | undefined =>
  opTable[node.op].expand as ((b: Builder, node: Node) => Node) | undefined;

/** Expands every composite for which `which` holds. */
export const expand = (graph: Graph, which: (node: Node) => boolean): Graph =>
  replace(graph, (b, node) => expandNode(b, node, which));

/** The expansion of a node whose inputs are expanded already; null for what is not to be expanded. */
function expandNode(b: Builder, node: Node, which: (node: Node) => boolean): Node | null {
  const rule = which(node) ? expansion(node) : undefined;
  if (!rule) return null;
  const expanded = rule(b, node);
  // An expansion may hold composites itself (sinkhorn's softmax): they are expanded in turn. The inputs are expanded
  // already: to walk on below them, for every composite, would take time in the square of the depth.
  const moved = new Map<Node, Node>(node.inputs.map((input) => [input, input]));
  for (const inner of topological([expanded], node.inputs)) {
    const isChanged = inner.inputs.some((input) => moved.get(input) !== input);
    const inputs = isChanged ? inner.inputs.map((input) => mustGet(moved, input)) : inner.inputs;
    const same = isChanged ? remake(b, inner, inputs) : inner;
    moved.set(inner, inner === node ? inner : (expandNode(b, same, which) ?? same));
  }
  return mustGet(moved, expanded);
}
