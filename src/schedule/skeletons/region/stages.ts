/**
 * The stages of a region: its clusters in order, each with the way in which a tile of tokens goes through it.
 * Neighbouring products of one operand are one stage; a product of a token's own operands that a single map reads as it
 * is joins that map, so that the streams are mixed and written in one pass. Where register blocks of several tokens
 * gain nothing (GPU), so do products with weights that have more columns than terms: the gradient of the streams is one
 * pass then.
 */
import type { Node, NodeWith } from "../../../graph/node.js";
import { mustAt } from "../../../../runtime/lookup.js";
import type { AxisClasses } from "../../fusion/axes.js";
import { letters } from "../../../graph/ops/structure.js";
import type { Cluster } from "../../fusion/clusters.js";
import { weightsOf, type Region } from "../../fusion/regions.js";
import { sameShape, sizeOf } from "../../../graph/record.js";
import { access, behindViews } from "../../fusion/views.js";
import { anchorOf } from "../anchor.js";

/** Products of one operand of a token with weights that all tokens share; they share the walk over the operand. */
export interface ProductStage {
  readonly kind: "product";
  readonly clusters: readonly [Cluster, ...Cluster[]];
  /** The operand with weights, the same for all clusters. */
  readonly operand: 0 | 1;
  /** Columns of all results together. */
  readonly columns: number;
}

/** Products whose results add up, in the same registers one after the other, and a map that reads the last of them. */
export interface ChainStage {
  readonly kind: "chain";
  readonly clusters: readonly [Cluster, ...Cluster[]];
  readonly products: readonly [ProductStage, ...ProductStage[]];
  readonly after: Cluster | null;
}

/** Up to as many columns are spelt out in the kernel's text; more are a loop over those of one product. */
export const SPELT_OUT = 64;

/** One stage of a region. */
export type RegionStage =
  /** The first cluster, and products that it computes where it reads them. */
  | { readonly kind: "map"; readonly clusters: readonly [Cluster, ...Cluster[]] }
  | { readonly kind: "sinkhorn"; readonly clusters: readonly [Cluster] }
  /** `wide`: an operand lies along the result's last axis, so four results are a vector; else the sum is. */
  | { readonly kind: "inner"; readonly clusters: readonly [Cluster, ...Cluster[]]; readonly wide: boolean }
  | ProductStage
  | ChainStage;

/** What is decided about the stages of a region while they are made. */
interface Staging {
  readonly region: Region;
  readonly isBase: (node: Node) => boolean;
  /** Whether products with weights that have more columns than terms are computed where they are read. */
  readonly wideJoin: boolean;
  /** The tokens' axes that a node has. */
  readonly tokensOf: (node: Node) => readonly number[];
  /** The products that a cluster computes where it reads them. */
  readonly joined: Map<Cluster, Cluster[]>;
  readonly stages: RegionStage[];
}

/**
 * The stages of a region in order. `wideJoin`: whether products with weights that have more columns than terms are
 * computed where they are read.
 */
export function stagesOf(
  region: Region,
  classes: AxisClasses,
  isBase: (node: Node) => boolean,
  wideJoin: boolean,
): RegionStage[] {
  const tokensOf = (node: Node): number[] =>
    region.tokens.map((token) => classes(node).indexOf(token)).filter((axis) => axis >= 0);
  const staging: Staging = { region, isBase, wideJoin, tokensOf, joined: new Map(), stages: [] };
  for (const cluster of region.clusters) {
    if (cluster.anchor?.op === "contract") addProduct(staging, cluster, cluster.anchor);
    else if (cluster.kind === "sinkhorn") staging.stages.push({ kind: "sinkhorn", clusters: [cluster] });
    else staging.stages.push({ kind: "map", clusters: withJoined(staging, cluster) });
  }
  return staging.stages;
}

const withJoined = ({ joined }: Staging, cluster: Cluster): [Cluster, ...Cluster[]] => [
  cluster,
  ...(joined.get(cluster) ?? []),
];

function addProduct(staging: Staging, cluster: Cluster, anchor: NodeWith<"contract">): void {
  const { stages, isBase, tokensOf } = staging;
  const weights = readWeights(staging, anchor);
  const isPlain =
    weights !== null &&
    !isPass(staging, anchor) &&
    hasPlainRows(anchor, weights.operand, tokensOf(anchor.inputs[weights.operand === 0 ? 1 : 0]));
  if (!isPlain) {
    const clusters = withJoined(staging, cluster);
    const reader = isPass(staging, anchor) ? readerToJoin(staging, cluster) : null;
    if (reader) staging.joined.set(reader, [...(staging.joined.get(reader) ?? []), ...clusters]);
    else stages.push({ kind: "inner", clusters, wide: isWide(anchor, isBase) });
    return;
  }
  const { operand, columns } = weights;
  const before = stages[stages.length - 1];
  const joinsBefore =
    before?.kind === "product" && before.columns + columns <= SPELT_OUT && sharesWalk(before, cluster, anchor, operand);
  if (!joinsBefore) stages.push({ kind: "product", clusters: [cluster], operand, columns });
  else {
    const clusters = [...before.clusters, cluster] as const;
    stages[stages.length - 1] = { ...before, clusters, columns: before.columns + columns };
  }
}

/** Which operand of a product is weights without a token's axis, and how many columns they have. */
const readWeights = ({ tokensOf }: Staging, anchor: NodeWith<"contract">): ReturnType<typeof weightsOf> =>
  weightsOf(anchor, (operand) => tokensOf(operand).length > 0);

/** Whether a product may be computed where its result is read, in one pass over it. */
function isPass(staging: Staging, anchor: NodeWith<"contract">): boolean {
  if (!staging.wideJoin) return readWeights(staging, anchor) === null;
  const tokens = staging.tokensOf(anchor);
  return sizeOf(anchor.shape.filter((_, axis) => !tokens.includes(axis))) > sizeOf(termsOf(anchor));
}

/**
 * The one map without reductions that reads the product, at its own coordinates, when nothing else does; or that
 * product's epilogue.
 */
function readerToJoin(staging: Staging, cluster: Cluster): Cluster | null {
  const { region, wideJoin, isBase } = staging;
  const [root, ...otherRoots] = cluster.roots;
  if (!root || otherRoots.length > 0 || (root !== cluster.anchor && !wideJoin) || !region.onChip.has(root)) return null;
  const [reader, ...others] = region.clusters.filter((other) => other.reads.has(root));
  if (!reader || others.length > 0 || reader.axes !== null || sizeOf(root.shape) !== sizeOf(reader.shape)) return null;
  if (reader.kind === "map") return reader;
  if (!wideJoin || reader.anchor?.op !== "contract" || !isPass(staging, reader.anchor)) return null;
  return reader.anchor.inputs.some((input) => behindViews(input, isBase) === root) ? null : reader;
}

/** The extents of the sum of a product. */
export function termsOf(node: NodeWith<"contract">): number[] {
  const { a, out } = letters(node.attrs.spec);
  const left = node.inputs[0];
  return [...a].flatMap((letter, axis) => (out.includes(letter) ? [] : [mustAt(left.shape, axis)]));
}

/**
 * Whether every letter is a token's, a column's or summed: one row of the result a token, and the weights not indexed
 * by it.
 */
function hasPlainRows(node: NodeWith<"contract">, operand: 0 | 1, tokens: readonly number[]): boolean {
  const { a, b, out } = letters(node.attrs.spec);
  const [weights, streams] = operand === 0 ? [a, b] : [b, a];
  return (
    [...streams].every((letter, axis) => tokens.includes(axis) || !out.includes(letter)) &&
    [...weights].every((letter) => !out.includes(letter) || !streams.includes(letter))
  );
}

function isWide(node: NodeWith<"contract">, isBase: (node: Node) => boolean): boolean {
  const { a, b, out } = letters(node.attrs.spec);
  const last = mustAt(out, out.length - 1);
  return [a, b].some((term, i) => {
    const axis = term.indexOf(last);
    return axis >= 0 && access(mustAt(node.inputs, i), isBase)?.strides[axis] === 1;
  });
}

/**
 * Whether a product walks over the same operand in the same way as those of a stage, and reads none of their results.
 */
function sharesWalk(stage: ProductStage, cluster: Cluster, anchor: NodeWith<"contract">, operand: 0 | 1): boolean {
  const stageAnchor = anchorOf(stage.clusters[0], "contract");
  if (operand !== stage.operand || stageAnchor.inputs[1 - operand] !== anchor.inputs[1 - operand]) return false;
  if (stage.clusters.some(({ roots }) => roots.some((root) => cluster.reads.has(root)))) return false;
  const summed = (node: NodeWith<"contract">): number[] => {
    const { a, b, out } = letters(node.attrs.spec);
    return [...(operand === 0 ? b : a)].flatMap((letter, i) => (out.includes(letter) ? [] : [i]));
  };
  return sameShape(summed(stageAnchor), summed(anchor));
}
