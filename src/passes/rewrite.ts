/** The one loop behind every pass: rebuilds a graph node by node, letting a function replace any node. */
import { type Builder } from "../graph/builder.js";
import { createBuilder } from "../graph/create-builder.js";
import type { Graph, Node } from "../graph/node.js";
import { saysShape } from "../graph/record.js";
import { nodesOf } from "../graph/topology.js";

/** Given a node whose inputs are already rewritten, its replacement, or null to keep it. */
export type Rule = (b: Builder, node: Node) => Node | null;

/** The same node with other inputs, in `b`. */
export function remake(b: Builder, node: Node, inputs: readonly Node[]): Node {
  return b.make(node.op, inputs, node.attrs, {
    ...(saysShape(node) ? { shape: node.shape, dtype: node.dtype } : {}),
    site: node.site,
    epoch: node.epoch,
    origin: node.origin,
  });
}

export function rewrite(graph: Graph, rule: Rule): Graph {
  const b = createBuilder();
  const done = new Map<Node, Node>();
  for (const node of nodesOf(graph)) {
    const same = remake(
      b,
      node,
      node.inputs.map((input) => done.get(input)!),
    );
    done.set(node, b.within(node.origin, () => b.inEpoch(node.epoch, () => rule(b, same))) ?? same);
  }
  return {
    name: graph.name,
    outputs: new Map([...graph.outputs].map(([name, node]) => [name, done.get(node)!])),
    updates: new Map([...graph.updates].map(([leaf, node]) => [done.get(leaf)!, done.get(node)!])),
    ...(graph.streams ? { streams: new Set([...graph.streams].flatMap((node) => done.get(node) ?? [])) } : {}),
    ...(graph.half === undefined ? {} : { half: graph.half }),
  };
}
