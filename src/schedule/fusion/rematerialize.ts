/**
 * What is cheaper to compute again than to keep: a stored tensor that is a few multiplications and additions of others
 * which are stored anyway (a gain times a centred row, a gate before its bias) is left to its readers. They read the
 * tensors behind it, most of which they read already, and the kernel that made it writes one tensor less.
 */
import type { Graph, Node, Op } from "../../graph/node.js";
import { elementwise } from "../../graph/ops/elementwise.js";
import { isLeaf, type Cluster, type Partition } from "./partition.js";
import { isView, resultsOf, sizeOf } from "./views.js";

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

export function rematerialize(graph: Graph, parts: Partition): Partition {
  const results = resultsOf(graph, parts.isBase);
  const stored = new Map(parts.stored);
  const isBase = (node: Node): boolean => isLeaf(node) || stored.has(node);
  const reads = new Map(parts.clusters.map((cluster) => [cluster, new Set(cluster.reads)]));
  const readers = new Map<Node, Set<Cluster>>();
  for (const cluster of parts.clusters)
    for (const node of cluster.reads) readers.set(node, (readers.get(node) ?? new Set()).add(cluster));

  // The newest first: what it was made of may go next.
  for (const node of [...stored.keys()].sort((a, b) => b.id - a.id)) {
    if (results.has(node) || isView(node) || node.dtype !== "f32") continue;
    const behind = basesOf(node, isBase);
    const own = readers.get(node) ?? new Set<Cluster>();
    if (!behind || ![...own].every((cluster) => mayCompute(cluster, node, isBase))) continue;
    // One write and a read for each reader, against what the readers do not read yet.
    const more = [...own].reduce(
      (sum, cluster) =>
        sum + [...behind].reduce((words, base) => words + (reads.get(cluster)!.has(base) ? 0 : sizeOf(base.shape)), 0),
      0,
    );
    if (more > (1 + own.size) * sizeOf(node.shape)) continue;
    stored.delete(node);
    readers.delete(node);
    for (const cluster of own) {
      reads.get(cluster)!.delete(node);
      for (const base of behind) {
        reads.get(cluster)!.add(base);
        readers.set(base, (readers.get(base) ?? new Set()).add(cluster));
      }
    }
  }

  const renewed = new Map<Cluster, Cluster>();
  for (const cluster of parts.clusters) {
    const roots = cluster.roots.filter((root) => stored.has(root));
    if (roots.length > 0) renewed.set(cluster, { ...cluster, roots, reads: reads.get(cluster)! });
  }
  return {
    clusters: [...renewed.values()],
    stored: new Map([...stored].map(([node, cluster]) => [node, renewed.get(cluster)!])),
    isBase,
    readersOf: (node) =>
      [...(readers.get(node) ?? [])].flatMap((cluster) => renewed.get(cluster) ?? []).sort((a, b) => a.order - b.order),
  };
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
  const takesValues = (member: Node): boolean =>
    member.op in elementwise || isView(member) || member.op === "sum" || member.op === "reduce_max";
  return [...cluster.members].every((member) => takesValues(member) || !member.inputs.some(addressed));
}
