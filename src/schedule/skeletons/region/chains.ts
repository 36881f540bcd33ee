/**
 * Chains: the gradient of a connection's streams is a sum of three products, one for each gate, and of what the mean
 * square adds. As stages of their own each would read and write all the streams of a tile once more, for as few as four
 * terms. Where a product's result is only read by the next one, which adds to it, its registers go on: they start from
 * what is there, sum over the terms of all products, and the map that reads the last result takes it from them.
 */
import type { Node, NodeWith } from "../../../graph/node.js";
import { letters } from "../../../graph/ops/structure.js";
import type { Cluster } from "../../fusion/partition.js";
import type { Region } from "../../fusion/regions.js";
import { SPELT_OUT, type ProductStage, type Stage } from "./stages.js";
import { sameShape } from "../../../graph/record.js";
import { isView } from "../../fusion/views.js";

/**
 * What a product's registers may start from: all that its only result adds to the sum. A result that is the sum starts
 * from zero; null where more becomes of it.
 */
export function startOf(cluster: Cluster): { readonly start: Node | null } | null {
  const {
    roots: [root, ...others],
    anchor,
  } = cluster;
  if (others.length > 0) return null;
  if (root === anchor) return { start: null };
  if (root!.op !== "add" || !root!.inputs.includes(anchor!)) return null;
  const start = root!.inputs.find((input) => input !== anchor);
  return start && !reads(start, anchor!, cluster) ? { start } : null;
}

/** Whether a member's value depends on another one. */
const reads = (node: Node, other: Node, cluster: Cluster): boolean =>
  node === other || (!cluster.reads.has(node) && node.inputs.some((input) => reads(input, other, cluster)));

export function chain(stages: readonly Stage[], region: Region, isBase: (node: Node) => boolean): Stage[] {
  const found = [...stages];
  for (let at = 0; at < found.length; at++) {
    const stage = found[at]!;
    if (stage.kind !== "product" || !isLink(stage)) continue;
    const products = [stage];
    let after: Cluster | null = null;
    let last = at;
    for (;;) {
      const root = products[products.length - 1]!.clusters[0]!.roots[0]!;
      const next = onlyReader(found, last, root);
      if (!next) break;
      const [cluster, ...joined] = next.stage.clusters as [Cluster, ...Cluster[]];
      if (
        next.stage.kind === "product" &&
        isLink(next.stage) &&
        startOf(cluster)!.start === root &&
        sameShape(columnsOf(next.stage), columnsOf(stage))
      )
        products.push(next.stage);
      else if (next.stage.kind === "map" && joined.length === 0 && takes(cluster, root)) after = cluster;
      else break;
      found.splice(last, 1);
      last = next.at - 1;
      if (after) break;
    }
    if (products.length === 1 && !after) continue;
    found[last] = {
      kind: "chain",
      clusters: [...products.flatMap(({ clusters }) => clusters), ...(after ? [after] : [])],
      products,
      after,
    };
    // What has moved up to `at` is looked at next.
    if (last !== at) at--;
  }
  return found;

  /** The stage of the one cluster that reads a result which never leaves the chip. */
  function onlyReader(
    all: readonly Stage[],
    from: number,
    root: Node,
  ): { readonly stage: Stage; readonly at: number } | null {
    if (!region.onChip.has(root)) return null;
    const readers = all.flatMap((stage, i) =>
      stage.clusters.filter((cluster) => cluster.reads.has(root)).map(() => ({ stage, at: i })),
    );
    return readers.length === 1 && readers[0]!.at > from ? readers[0]! : null;
  }

  /** Whether a map without reductions reads the result where it stores its own, not behind a view. */
  function takes(cluster: Cluster, result: Node): boolean {
    if (cluster.axes !== null || !cluster.roots.every((root) => sameShape(root.shape, result.shape))) return false;
    const plain = (node: Node): boolean =>
      node !== result &&
      ((isBase(node) && !cluster.members.has(node)) ||
        node.inputs.every((input) => (input === result ? !isView(node) : plain(input))));
    return cluster.roots.every((root) => root !== result && plain(root));
  }
}

/**
 * Whether a stage is one product with more columns than are spelt out, whose registers may start from what its result
 * adds.
 */
const isLink = ({ clusters, columns }: ProductStage): boolean =>
  clusters.length === 1 && columns > SPELT_OUT && startOf(clusters[0]!) !== null;

/** The axes of a product's result that are columns, in the order of its weights. */
function columnsOf({ clusters: [cluster], operand }: ProductStage): number[] {
  const { a, b, out } = letters((cluster!.anchor as NodeWith<"contract">).attrs.spec)!;
  return [...(operand === 0 ? a : b)].flatMap((letter) => (out.includes(letter) ? [out.indexOf(letter)] : []));
}

/** All products of a region, those in chains too. */
export const productsOf = (stage: Stage): readonly ProductStage[] =>
  stage.kind === "product" ? [stage] : stage.kind === "chain" ? stage.products : [];
