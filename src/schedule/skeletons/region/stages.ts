/**
 * The stages of a region: its clusters in order, each with the way in which a tile of tokens goes through it.
 * Neighbouring products of one operand are one stage; a product of a token's own operands that a single map reads as it
 * is joins that map, so that the streams are mixed and written in one pass. Where register blocks of several tokens
 * gain nothing (GPU), so do products with weights that have more columns than terms: the gradient of the streams is one
 * pass then.
 */
import type { Node, NodeWith } from "../../../graph/node.js";
import { letters } from "../../../graph/ops/structure.js";
import type { AxisClasses } from "../../fusion/axes.js";
import type { Places } from "../../emit/kernelize.js";
import type { Cluster } from "../../fusion/partition.js";
import { weightsOf, type Region } from "../../fusion/regions.js";
import { sameShape, sizeOf } from "../../../graph/record.js";
import { access, behindViews } from "../../fusion/views.js";

export interface ProductStage {
  readonly kind: "product";
  readonly clusters: readonly Cluster[];
  /** The operand with weights, the same for all clusters. */
  readonly operand: 0 | 1;
  /** Columns of all results together. */
  readonly columns: number;
}

/** Products whose results add up, in the same registers one after the other, and a map that reads the last of them. */
export interface ChainStage {
  readonly kind: "chain";
  readonly clusters: readonly Cluster[];
  readonly products: readonly ProductStage[];
  readonly after: Cluster | null;
}

/** Up to as many columns are spelt out in the kernel's text; more are a loop over those of one product. */
export const SPELT_OUT = 64;

export type Stage =
  /** The first cluster, and products that it computes where it reads them. */
  | { readonly kind: "map"; readonly clusters: readonly [Cluster, ...Cluster[]] }
  | { readonly kind: "sinkhorn"; readonly clusters: readonly [Cluster] }
  /** `wide`: an operand lies along the result's last axis, so four results are a vector; else the sum is. */
  | { readonly kind: "inner"; readonly clusters: readonly [Cluster, ...Cluster[]]; readonly wide: boolean }
  | ProductStage
  | ChainStage;

/** `wideJoin`: whether products with weights that have more columns than terms are computed where they are read. */
export function stagesOf(region: Region, classes: AxisClasses, places: Places, wideJoin: boolean): Stage[] {
  const tokensOf = (node: Node): number[] =>
    region.tokens.map((token) => classes(node).indexOf(token)).filter((axis) => axis >= 0);
  const shapeOf = (node: NodeWith<"contract">): ReturnType<typeof weightsOf> =>
    weightsOf(node, (operand) => tokensOf(operand).length > 0);
  /** Whether a product may be computed where its result is read, in one pass over it. */
  const isPass = (node: NodeWith<"contract">): boolean => {
    if (!wideJoin) return shapeOf(node) === null;
    const own = tokensOf(node);
    return sizeOf(node.shape.filter((_, axis) => !own.includes(axis))) > sizeOf(termsOf(node));
  };
  const joined = new Map<Cluster, Cluster[]>();
  const stages: Stage[] = [];
  for (const cluster of region.clusters) {
    const { anchor } = cluster;
    if (anchor?.op !== "contract") {
      if (cluster.kind === "sinkhorn") stages.push({ kind: "sinkhorn", clusters: [cluster] });
      else stages.push({ kind: "map", clusters: [cluster, ...(joined.get(cluster) ?? [])] });
      continue;
    }
    const weights = shapeOf(anchor);
    if (
      !weights ||
      isPass(anchor) ||
      !isPlain(anchor, weights.operand, tokensOf(anchor.inputs[1 - weights.operand]!))
    ) {
      const reader = isPass(anchor) ? readerToJoin(cluster) : null;
      const own = [cluster, ...(joined.get(cluster) ?? [])] as const;
      if (reader) joined.set(reader, [...(joined.get(reader) ?? []), ...own]);
      else stages.push({ kind: "inner", clusters: own, wide: isWide(anchor, places) });
      continue;
    }
    const before = stages[stages.length - 1];
    if (
      before?.kind === "product" &&
      before.columns + weights.columns <= SPELT_OUT &&
      sharesWalk(before, cluster, weights.operand)
    ) {
      stages[stages.length - 1] = {
        ...before,
        clusters: [...before.clusters, cluster],
        columns: before.columns + weights.columns,
      };
    } else stages.push({ kind: "product", clusters: [cluster], operand: weights.operand, columns: weights.columns });
  }
  return stages;

  /**
   * The one map without reductions that reads the product, at its own coordinates, when nothing else does; or that
   * product's epilogue.
   */
  function readerToJoin(cluster: Cluster): Cluster | null {
    const [root] = cluster.roots;
    if (cluster.roots.length !== 1 || (root !== cluster.anchor && !wideJoin) || !region.onChip.has(root!)) return null;
    const [reader, ...others] = region.clusters.filter((other) => other.reads.has(root!));
    if (!reader || others.length > 0 || reader.axes !== null || sizeOf(root!.shape) !== sizeOf(reader.shape))
      return null;
    if (reader.kind === "map") return reader;
    if (!wideJoin || reader.anchor?.op !== "contract" || !isPass(reader.anchor)) return null;
    return reader.anchor.inputs.some((input) => behindViews(input, places.isBase) === root) ? null : reader;
  }
}

/** The extent of the sum of a product. */
export function termsOf(node: NodeWith<"contract">): number[] {
  const l = letters(node.attrs.spec)!;
  return [...l.a].flatMap((letter, axis) => (l.out.includes(letter) ? [] : [node.inputs[0]!.shape[axis]!]));
}

/**
 * Whether every letter is a token's, a column's or summed: one row of the result a token, and the weights not indexed
 * by it.
 */
function isPlain(node: NodeWith<"contract">, operand: 0 | 1, tokens: readonly number[]): boolean {
  const l = letters(node.attrs.spec)!;
  const [term, other] = operand === 0 ? [l.a, l.b] : [l.b, l.a];
  return (
    [...other].every((letter, axis) => tokens.includes(axis) || !l.out.includes(letter)) &&
    [...term].every((letter) => !l.out.includes(letter) || !other.includes(letter))
  );
}

function isWide(node: NodeWith<"contract">, places: Places): boolean {
  const l = letters(node.attrs.spec)!;
  const last = l.out[l.out.length - 1]!;
  return [l.a, l.b].some((term, i) => {
    const axis = term.indexOf(last);
    return axis >= 0 && access(node.inputs[i]!, places.isBase)?.strides[axis] === 1;
  });
}

/**
 * Whether a product walks over the same operand in the same way as those of a stage, and reads none of their results.
 */
function sharesWalk(stage: ProductStage, cluster: Cluster, operand: 0 | 1): boolean {
  const [first] = stage.clusters;
  const [one, other] = [first!.anchor as NodeWith<"contract">, cluster.anchor as NodeWith<"contract">];
  if (operand !== stage.operand || one.inputs[1 - operand] !== other.inputs[1 - operand]) return false;
  if (stage.clusters.some(({ roots }) => roots.some((root) => cluster.reads.has(root)))) return false;
  const summed = (node: NodeWith<"contract">): number[] => {
    const l = letters(node.attrs.spec)!;
    const term = operand === 0 ? l.b : l.a;
    return [...term].flatMap((letter, i) => (l.out.includes(letter) ? [] : [i]));
  };
  return sameShape(summed(one), summed(other));
}
