/** Orders of nodes. Ids rise with creation, so ordering what is reachable by id puts producers first. */
import type { Graph, Node } from "./node.js";

/** All nodes that `roots` need, producers first; `stops` are left out, and so is what only they need. */
export function topological(roots: Iterable<Node>, stops: Iterable<Node> = []): Node[] {
  const stopped = new Set(stops);
  const seen = new Set<Node>();
  const stack = [...roots];
  for (let node = stack.pop(); node; node = stack.pop()) {
    if (seen.has(node) || stopped.has(node)) continue;
    seen.add(node);
    stack.push(...node.inputs);
  }
  return [...seen].sort((a, b) => a.id - b.id);
}

/** All nodes of a graph, the leaves that it updates included. */
export const nodesOf = (graph: Graph): Node[] =>
  topological([...graph.outputs.values(), ...graph.updates.keys(), ...graph.updates.values()]);
