/**
 * Chains: the gradient of a connection's streams is a sum of three products, one for each gate, and of what the mean
 * square adds. As stages of their own each would read and write all the streams of a tile once more, for as few as four
 * terms. Where a product's result is only read by the next one, which adds to it, its registers go on: they start from
 * what is there, sum over the terms of all products, and the map that reads the last result takes it from them.
 */
import type { Node } from "../../../graph/node.js";
import { sameShape } from "../../../graph/record.js";
import { mustAt } from "../../../../runtime/lookup.js";
import { letters } from "../../../graph/ops/structure.js";
import type { Cluster } from "../../fusion/clusters.js";
import type { Region } from "../../fusion/regions.js";
import { isView } from "../../fusion/views.js";
import { SPELT_OUT, type ProductStage, type RegionStage } from "./stages.js";
import { anchorOf } from "../anchor.js";

/** The first node that a cluster stores. */
export const rootOf = ({ roots }: Cluster): Node => mustAt(roots, 0);

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
  if (root?.op !== "add" || !anchor || !root.inputs.includes(anchor)) return null;
  const start = root.inputs.find((input) => input !== anchor);
  return start && !dependsOn(start, anchor, cluster) ? { start } : null;
}

/** Whether a member's value depends on another one. */
const dependsOn = (node: Node, other: Node, cluster: Cluster): boolean =>
  node === other || (!cluster.reads.has(node) && node.inputs.some((input) => dependsOn(input, other, cluster)));

/** The stages of a region, with products that add up as one stage. */
export function chain(stages: readonly RegionStage[], region: Region, isBase: (node: Node) => boolean): RegionStage[] {
  const chained = [...stages];
  for (let at = 0; at < chained.length; at++) {
    const stage = mustAt(chained, at);
    if (stage.kind !== "product" || !isLink(stage)) continue;
    const { products, after, last } = collectLinks(chained, { stage, at }, region, isBase);
    if (products.length === 1 && !after) continue;
    const [head, ...others] = products;
    const clusters = [
      ...head.clusters,
      ...others.flatMap((product) => product.clusters),
      ...(after ? [after] : []),
    ] as const;
    chained[last] = { kind: "chain", clusters, products, after };
    // What has moved up to `at` is looked at next.
    if (last !== at) at--;
  }
  return chained;
}

/** A stage and its place in the list of stages. */
interface StageAt<S extends RegionStage = RegionStage> {
  readonly stage: S;
  readonly at: number;
}

/** Products that add up, and the place of the last of them in the list of stages. */
interface Links {
  readonly products: readonly [ProductStage, ...ProductStage[]];
  readonly after: Cluster | null;
  readonly last: number;
}

/** Follows a product to those that add to its result; takes all but the last out of the list of stages. */
function collectLinks(
  stages: RegionStage[],
  { stage, at }: StageAt<ProductStage>,
  region: Region,
  isBase: (node: Node) => boolean,
): Links {
  const products: [ProductStage, ...ProductStage[]] = [stage];
  let after: Cluster | null = null;
  let root = rootOf(stage.clusters[0]);
  let last = at;
  while (!after) {
    const next = region.onChip.has(root) ? onlyReader(stages, last, root) : null;
    if (!next) break;
    const [cluster, ...others] = next.stage.clusters;
    if (next.stage.kind === "product" && continues(next.stage, root, stage)) {
      products.push(next.stage);
      root = rootOf(cluster);
    } else if (next.stage.kind === "map" && others.length === 0 && takes(cluster, root, isBase)) after = cluster;
    else break;
    stages.splice(last, 1);
    last = next.at - 1;
  }
  return { products, after, last };
}

/** The stage of the one cluster that reads a result, if it comes after the stage at `from`. */
function onlyReader(stages: readonly RegionStage[], from: number, root: Node): StageAt | null {
  const readers = stages.flatMap((stage, at) =>
    stage.clusters.filter((cluster) => cluster.reads.has(root)).map(() => ({ stage, at })),
  );
  const [reader, ...others] = readers;
  return reader && others.length === 0 && reader.at > from ? reader : null;
}

/** Whether a product adds to a result in the registers of the first product of a chain. */
const continues = (stage: ProductStage, result: Node, first: ProductStage): boolean =>
  isLink(stage) && startOf(stage.clusters[0])?.start === result && sameShape(columnsOf(stage), columnsOf(first));

/** Whether a map without reductions reads the result where it stores its own, not behind a view. */
function takes(cluster: Cluster, result: Node, isBase: (node: Node) => boolean): boolean {
  if (cluster.axes !== null || !cluster.roots.every((root) => sameShape(root.shape, result.shape))) return false;
  const plain = (node: Node): boolean =>
    node !== result &&
    ((isBase(node) && !cluster.members.has(node)) ||
      node.inputs.every((input) => (input === result ? !isView(node) : plain(input))));
  return cluster.roots.every((root) => root !== result && plain(root));
}

/**
 * Whether a stage is one product with more columns than are spelt out, whose registers may start from what its result
 * adds.
 */
const isLink = ({ clusters: [cluster, ...others], columns }: ProductStage): boolean =>
  others.length === 0 && columns > SPELT_OUT && startOf(cluster) !== null;

/** The axes of a product's result that are columns, in the order of its weights. */
function columnsOf({ clusters: [cluster], operand }: ProductStage): number[] {
  const { a, b, out } = letters(anchorOf(cluster, "contract").attrs.spec);
  return [...(operand === 0 ? a : b)].flatMap((letter) => (out.includes(letter) ? [out.indexOf(letter)] : []));
}

/** All products of a stage, those in chains too. */
export const productsOf = (stage: RegionStage): readonly ProductStage[] =>
  stage.kind === "product" ? [stage] : stage.kind === "chain" ? stage.products : [];
