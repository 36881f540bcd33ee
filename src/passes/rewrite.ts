/**
 * The one loop behind every pass: a graph is rebuilt node by node, and it is written down where each node went. What
 * holds nodes of the old graph (`Lowered`, the streams of an entry) is brought over by that map.
 */
import { mustGet } from "../../runtime/lookup.js";
import type { Builder } from "../graph/builder.js";
import { createBuilder } from "../graph/create-builder.js";
import type { Graph, Node } from "../graph/node.js";
import { saysShape } from "../graph/record.js";
import { nodesOf } from "../graph/topology.js";

/** Where a node of the old graph is in the new one. Throws for what the old graph does not need. */
export type MapNode = (node: Node) => Node;

/** A graph that a pass has made, and where the nodes of the old one are in it. */
export interface Rewritten {
  readonly graph: Graph;
  readonly moved: ReadonlyMap<Node, Node>;
}

/** Makes a node of the old graph anew in the new builder; its inputs are there already. */
export type Remake = (node: Node, now: MapNode) => Node;

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

/**
 * A graph of which every node is made anew by `make`, producers first. What `make` makes beside belongs to the builder
 * that it uses, which is that of the new graph.
 */
export function rewrite(graph: Graph, make: Remake): Rewritten {
  const moved = new Map<Node, Node>();
  const now = (node: Node): Node => mustGet(moved, node);
  for (const node of nodesOf(graph)) moved.set(node, make(node, now));
  return {
    graph: {
      name: graph.name,
      outputs: new Map([...graph.outputs].map(([name, node]) => [name, now(node)])),
      updates: new Map([...graph.updates].map(([leaf, node]) => [now(leaf), now(node)])),
      ...(graph.streams ? { streams: new Set([...graph.streams].flatMap((node) => moved.get(node) ?? [])) } : {}),
      ...(graph.half === undefined ? {} : { half: graph.half }),
    },
    moved,
  };
}

/** A graph of which a rule has replaced nodes, in a builder of its own. */
export function replace(graph: Graph, rule: Rule): Graph {
  const b = createBuilder();
  const make: Remake = (node, now) => {
    const same = remake(b, node, node.inputs.map(now));
    return b.within(node.origin, () => b.inEpoch(node.epoch, () => rule(b, same))) ?? same;
  };
  return rewrite(graph, make).graph;
}
