/**
 * The operations that a kernel does for each node, by the op table: what is computed in several lanes or places counts
 * once.
 */
import type { KernelProfile } from "../../kernel/profile.js";
import type { Node } from "../../graph/node.js";
import { opTable } from "../../graph/ops.js";
import type { OpRecord } from "../../graph/record.js";
import type { Cluster } from "../fusion/partition.js";
import { scatterOf } from "../fusion/sparse.js";
import { sizeOf } from "../fusion/views.js";

export interface NodeWork {
  readonly node: Node;
  readonly flops: number;
}

const flopsOf = (node: Node): number => (opTable[node.op] as OpRecord<typeof node.op>).flops(node as never);

/**
 * Of everything between the roots of clusters that are one kernel and what is in memory (`isBase`). A sum whose terms
 * are almost all zero adds the others only where it is a scatter.
 */
export function workOf(
  clusters: readonly Cluster[],
  profile: KernelProfile,
  isBase: (node: Node) => boolean,
): NodeWork[] {
  const scattered = clusters.length === 1 ? scatterOf(clusters[0]!, profile) : null;
  const members = new Set(clusters.flatMap((cluster) => [...cluster.members]));
  const found = new Map<Node, number>();
  const visit = (node: Node): void => {
    if (found.has(node) || (isBase(node) && !members.has(node))) return;
    const sparse = scattered?.sum === node;
    found.set(node, sparse ? sizeOf(scattered.values.shape) : flopsOf(node));
    (sparse ? [scattered.index, scattered.values] : node.inputs).forEach(visit);
  };
  clusters.forEach(({ roots }) => roots.forEach(visit));
  return Array.from(found, ([node, flops]) => ({ node, flops }));
}
