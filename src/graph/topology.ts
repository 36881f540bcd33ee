/** Orders of nodes. Ids rise with creation, so ordering what is reachable by id puts producers first. */
import type { Graph, Node } from "./node.js";

/** All nodes that `roots` need, producers first; what is in `known` is left out, and what only that needs. */
export function topological(roots: Iterable<Node>, known: Iterable<Node> = []): Node[] {
  const left = new Set(known);
  const seen = new Set<Node>();
  const stack = [...roots];
  while (stack.length) {
    const node = stack.pop()!;
    if (seen.has(node) || left.has(node)) continue;
    seen.add(node);
    stack.push(...node.inputs);
  }
  return [...seen].sort((a, b) => a.id - b.id);
}

/** All nodes of a graph, the leaves that it updates included. */
export const nodesOf = (graph: Graph): Node[] =>
  topological([...graph.outputs.values(), ...graph.updates.keys(), ...graph.updates.values()]);
