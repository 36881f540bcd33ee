/**
 * The operations that a kernel does for each node, by the op table: what is computed in several lanes or places counts
 * once.
 */
import { sizeOf } from "../../graph/record.js";
import type { KernelProfile } from "../../kernel/profile.js";
import type { Node } from "../../graph/node.js";
import { opTable } from "../../graph/ops.js";
import type { OpRecord } from "../../graph/record.js";
import type { Cluster } from "../fusion/clusters.js";
import { scatterOf } from "../fusion/sparse.js";

/** What a kernel computes of one node. */
export interface NodeWork {
  readonly node: Node;
  /** Floating-point operations. */
  readonly flops: number;
}

const flopsOf = (node: Node): number => (opTable[node.op] as OpRecord<typeof node.op>).flops(node as never);

/**
 * The work of everything between the roots of clusters that are one kernel and what is in memory (`isBase`). Of a
 * scatter (a sum whose terms are almost all zero, computed as one) only the terms that are added count.
 */
export function workOf(
  clusters: readonly Cluster[],
  profile: KernelProfile,
  isBase: (node: Node) => boolean,
): NodeWork[] {
  const [cluster, ...others] = clusters;
  const scattered = cluster && others.length === 0 ? scatterOf(cluster, profile) : null;
  const members = new Set(clusters.flatMap((cluster) => [...cluster.members]));
  const flops = new Map<Node, number>();
  const visit = (node: Node): void => {
    if (flops.has(node) || (isBase(node) && !members.has(node))) return;
    const isScatter = scattered?.sum === node;
    flops.set(node, isScatter ? sizeOf(scattered.values.shape) : flopsOf(node));
    (isScatter ? [scattered.index, scattered.values] : node.inputs).forEach(visit);
  };
  clusters.forEach(({ roots }) => roots.forEach(visit));
  // One run makes all results of a recurrence.
  for (const { kind, roots } of clusters)
    if (kind === "recurrence") roots.slice(1).forEach((root) => flops.set(root, 0));
  return Array.from(flops, ([node, count]) => ({ node, flops: count }));
}
