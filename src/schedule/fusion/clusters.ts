/**
 * What fusion cuts a graph into, as plain data: clusters, each one kernel, and the partition, which says of every node
 * in memory which cluster stores it. Passes make new partitions and change none (`partition.ts`, `rematerialize.ts`,
 * `regions.ts`).
 */
import type { Graph, Node, Shape } from "../../graph/node.js";
import { namesOf, printNode } from "../../graph/text.js";

/** Which skeleton makes the kernel: `map` for what has no anchor, else the kind of the anchor. */
export type ClusterKind = "map" | "matmul" | "sinkhorn" | "attention" | "recurrence" | "pack";

/** Nodes that one kernel computes. */
export interface Cluster {
  /** Position in the schedule; producers have smaller ones. */
  readonly order: number;
  readonly kind: ClusterKind;
  /** The full domain. For an anchor, its own shape. */
  readonly shape: Shape;
  /** Axes of `shape` that the cluster's reductions remove; null when it has none. */
  readonly axes: readonly number[] | null;
  readonly anchor: Node | null;
  readonly members: ReadonlySet<Node>;
  /** Leaves and other clusters' nodes that the members read. */
  readonly reads: ReadonlySet<Node>;
  /** Members that are stored, in order of their ids. */
  readonly roots: readonly Node[];
}

/** The clusters of a graph in an order in which they can run, and what they store. */
export interface Partition {
  readonly clusters: readonly Cluster[];
  /** Every stored node that is not a leaf, with the cluster that stores it. */
  readonly stored: ReadonlyMap<Node, Cluster>;
  /** What a kernel can load: leaves and stored nodes. */
  readonly isBase: (node: Node) => boolean;
  /** The clusters that read a leaf or a stored node, oldest first. */
  readonly readersOf: (node: Node) => readonly Cluster[];
}

/** A partition of clusters in ascending order; who reads what follows from them. */
export function partitionOf(clusters: readonly Cluster[], stored: ReadonlyMap<Node, Cluster>): Partition {
  const readers = new Map<Node, Cluster[]>();
  for (const cluster of clusters) {
    for (const node of cluster.reads) {
      const list = readers.get(node);
      if (list) list.push(cluster);
      else readers.set(node, [cluster]);
    }
  }
  return {
    clusters,
    stored,
    isBase: (node) => isLeaf(node) || stored.has(node),
    readersOf: (node) => readers.get(node) ?? [],
  };
}

/** Whether a node is in memory before the entry runs: the state, what the host feeds, constant tensors. */
export const isLeaf = (node: Node): boolean =>
  node.op === "parameter" || node.op === "state" || node.op === "input" || node.op === "literal";

/** Whether a node persists between steps. */
export const isState = (node: Node): boolean => node.op === "parameter" || node.op === "state";

/** A cluster in a line, without its members: `cluster 3: map [8,16], sums over 1, reads %0, %1, stores %4`. */
export function clusterLine({ order, kind, shape, axes, reads, roots }: Cluster, name: (node: Node) => string): string {
  const list = (nodes: Iterable<Node>): string => Array.from(nodes, name).join(", ");
  const summed = axes ? `, sums over ${axes.join(", ")}` : "";
  const read = reads.size ? `, reads ${list(reads)}` : "";
  return `cluster ${order}: ${kind} [${shape.join(",")}]${summed}${read}, stores ${list(roots)}`;
}

/**
 * A partition as text, with the names that the graph's text gives its nodes. What no cluster lists is emitted where it
 * is used.
 */
export function printClusters(graph: Graph, { clusters }: Partition): string {
  const name = namesOf(graph);
  const lines = clusters.flatMap((cluster) => [
    `  ${clusterLine(cluster, name)}`,
    ...Array.from(cluster.members, (member) => `    ${printNode(member, name)}`),
  ]);
  return [`clusters of ${graph.name} {`, ...lines, "}"].join("\n");
}
