/**
 * What is cheaper to compute again than to keep: a stored tensor that is a few multiplications and additions of others
 * which are stored anyway (a gain times a centred row, a gate before its bias) is left to its readers. They read the
 * tensors behind it, most of which they read already, and the kernel that made it writes one tensor less.
 */
import type { Graph, Node, Op } from "../../graph/node.js";
import { elementwise } from "../../graph/ops/elementwise.js";
import { mustGet } from "../../../runtime/lookup.js";
import { isLeaf, partitionOf, type Cluster, type Partition } from "./clusters.js";
import { isReduction, sizeOf } from "../../graph/record.js";
import { findCompared, reachable } from "./inline.js";
import { isView, resultsOf } from "./views.js";

const CHEAP: ReadonlySet<Op> = new Set<Op>([
  "add",
  "sub",
  "mul",
  "neg",
  "max",
  "min",
  "abs",
  "broadcast",
  "reshape",
  "constant",
]);
/** Operations that one value may cost its reader. */
const FEW = 4;

/** Who reads what while stored tensors are left to their readers. */
interface Reading {
  readonly stored: Map<Node, Cluster>;
  readonly isBase: (node: Node) => boolean;
  readonly reads: ReadonlyMap<Cluster, Set<Node>>;
  readonly readers: Map<Node, Set<Cluster>>;
}

/** The partition without the tensors that are cheaper to compute again than to keep. */
export function rematerialize(graph: Graph, parts: Partition): Partition {
  const results = resultsOf(graph, parts.isBase);
  const compared = findCompared(reachable(graph));
  const stored = new Map(parts.stored);
  const reading: Reading = {
    stored,
    isBase: (node) => isLeaf(node) || stored.has(node),
    reads: new Map(parts.clusters.map((cluster) => [cluster, new Set(cluster.reads)])),
    readers: new Map(),
  };
  for (const cluster of parts.clusters) for (const node of cluster.reads) readersOf(reading, node).add(cluster);
  // The newest first: what it was made of may go next.
  for (const node of [...stored.keys()].sort((a, b) => b.id - a.id)) {
    if (results.has(node) || compared.has(node) || isView(node) || node.dtype !== "f32") continue;
    const bases = basesOf(node, reading.isBase);
    if (bases && isCheaper(reading, node, bases)) leaveToReaders(reading, node, bases);
  }
  const renewed = new Map<Cluster, Cluster>();
  for (const cluster of parts.clusters) {
    const roots = cluster.roots.filter((root) => stored.has(root));
    if (roots.length > 0) renewed.set(cluster, { ...cluster, roots, reads: mustGet(reading.reads, cluster) });
  }
  return partitionOf(
    [...renewed.values()],
    new Map([...stored].map(([node, cluster]) => [node, mustGet(renewed, cluster)])),
  );
}

function readersOf({ readers }: Reading, node: Node): Set<Cluster> {
  const clusters = readers.get(node) ?? new Set<Cluster>();
  readers.set(node, clusters);
  return clusters;
}

/** Whether every reader may compute the node, and one write and its reads are more than what the readers read then. */
function isCheaper(reading: Reading, node: Node, bases: ReadonlySet<Node>): boolean {
  const readers = readersOf(reading, node);
  if (![...readers].every((cluster) => mayCompute(cluster, node, reading.isBase))) return false;
  let more = 0;
  for (const cluster of readers) {
    const reads = mustGet(reading.reads, cluster);
    for (const base of bases) if (!reads.has(base)) more += sizeOf(base.shape);
  }
  return more <= (1 + readers.size) * sizeOf(node.shape);
}

function leaveToReaders(reading: Reading, node: Node, bases: ReadonlySet<Node>): void {
  const clusters = readersOf(reading, node);
  reading.stored.delete(node);
  reading.readers.delete(node);
  for (const cluster of clusters) {
    const reads = mustGet(reading.reads, cluster);
    reads.delete(node);
    for (const base of bases) {
      reads.add(base);
      readersOf(reading, base).add(cluster);
    }
  }
}

/** The tensors in memory from which a node is cheap to make; null when it is not. */
function basesOf(node: Node, isBase: (node: Node) => boolean): Set<Node> | null {
  const bases = new Set<Node>();
  let operations = 0;
  const visit = (inner: Node): boolean => {
    if (inner !== node && isBase(inner)) {
      bases.add(inner);
      return true;
    }
    if (!CHEAP.has(inner.op)) return false;
    if (!isView(inner) && inner.op !== "constant") operations++;
    return operations <= FEW && inner.inputs.every(visit);
  };
  return visit(node) ? bases : null;
}

/**
 * Whether a reader may compute the node itself: whatever is not computed element by element, or summed, needs the
 * address of its operands.
 */
function mayCompute(cluster: Cluster, node: Node, isBase: (node: Node) => boolean): boolean {
  const addressed = (operand: Node): boolean =>
    operand === node || (!isBase(operand) && isView(operand) && operand.inputs.some(addressed));
  const takesValues = (member: Node): boolean => member.op in elementwise || isView(member) || isReduction(member);
  return [...cluster.members].every((member) => takesValues(member) || !member.inputs.some(addressed));
}
