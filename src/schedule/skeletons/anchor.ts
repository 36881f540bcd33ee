/** The node that a cluster is made around, read as one of the ops that its skeleton is for. */
import type { Node, NodeWith, Op } from "../../graph/node.js";
import type { Cluster } from "../fusion/clusters.js";

/** The anchor of a cluster. Throws an Error for a cluster without one, or with one of another op. */
export function anchorOf<K extends Op>({ anchor }: Cluster, ...ops: readonly K[]): NodeWith<K> {
  const isOneOf = (node: Node): node is NodeWith<K> => ops.some((op) => op === node.op);
  if (!anchor || !isOneOf(anchor)) throw new Error(`bug: a cluster has no ${ops.join(" or ")}`);
  return anchor;
}
