/** The operations that a kernel does for each node, by the op table: what is computed in several lanes or places counts once. */
import type { Node } from "../graph/node.js";
import { opTable } from "../graph/ops.js";
import type { OpRecord } from "../graph/record.js";
import type { Cluster } from "./partition.js";
import { sizeOf } from "./views.js";

export interface NodeWork {
  readonly node: Node;
  readonly flops: number;
}

/** What lies in memory when the kernel runs. */
interface Memory {
  readonly isBase: (node: Node) => boolean;
}

const flopsOf = (node: Node): number => (opTable[node.op] as OpRecord<typeof node.op>).flops(node as never);

/** Of everything between the roots and what is in memory. */
export function workOf({ members, roots }: Pick<Cluster, "members" | "roots">, { isBase }: Memory): NodeWork[] {
  const seen = new Set<Node>();
  const visit = (node: Node): void => {
    if (seen.has(node) || (isBase(node) && !members.has(node))) return;
    seen.add(node);
    node.inputs.forEach(visit);
  };
  roots.forEach(visit);
  return Array.from(seen, (node) => ({ node, flops: flopsOf(node) }));
}

/** Of a sum whose terms are almost all zero, where only the others are added: `sum` over `values`, by rows that are chosen. */
export function sparseWork(cluster: Pick<Cluster, "members" | "roots">, places: Memory, { sum, values }: { readonly sum: Node; readonly values: Node }): NodeWork[] {
  const [select] = sum.inputs as [Node];
  const skipped = new Set([select, ...select.inputs]);
  return workOf(cluster, places).filter(({ node }) => !skipped.has(node)).map((one) => (one.node === sum ? { node: sum, flops: sizeOf(values.shape) } : one));
}
