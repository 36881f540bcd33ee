/**
 * The stages of a region: its clusters in order, each with the way in which a tile of tokens goes through it. Neighbouring products
 * of one operand are one stage; a product of a token's own operands that a single map reads as it is joins that map, so that the
 * streams are mixed and written in one pass.
 */
import type { Node, NodeWith } from "../graph/node.js";
import { letters } from "../graph/ops/structure.js";
import type { AxisClasses } from "./axes.js";
import type { Places } from "./kernelize.js";
import type { Cluster } from "./partition.js";
import { weightsOf, type Region } from "./regions.js";
import { access, sameShape, sizeOf } from "./views.js";

export interface ProductStage {
  readonly kind: "product";
  readonly clusters: readonly Cluster[];
  /** The operand with weights, the same for all clusters. */
  readonly operand: 0 | 1;
  /** Columns of all results together. */
  readonly columns: number;
}

/** Up to as many columns are spelt out in the kernel's text; more are a loop over those of one product. */
export const SPELT_OUT = 64;

export type Stage =
  /** The first cluster, and products that it computes where it reads them. */
  | { readonly kind: "map"; readonly clusters: readonly [Cluster, ...Cluster[]] }
  | { readonly kind: "sinkhorn"; readonly clusters: readonly [Cluster] }
  /** `wide`: an operand lies along the result's last axis, so four results are a vector; else the sum is. */
  | { readonly kind: "inner"; readonly clusters: readonly [Cluster]; readonly wide: boolean }
  | ProductStage;

export function stagesOf(region: Region, classes: AxisClasses, places: Places): Stage[] {
  const tokensOf = (node: Node): number[] => region.tokens.map((token) => classes(node).indexOf(token)).filter((axis) => axis >= 0);
  const joined = new Map<Cluster, Cluster[]>();
  const stages: Stage[] = [];
  for (const cluster of region.clusters) {
    const { anchor } = cluster;
    if (anchor?.op !== "contract") {
      if (cluster.kind === "sinkhorn") stages.push({ kind: "sinkhorn", clusters: [cluster] });
      else stages.push({ kind: "map", clusters: [cluster, ...(joined.get(cluster) ?? [])] });
      continue;
    }
    const weights = weightsOf(anchor, (node) => tokensOf(node).length > 0);
    if (!weights || !isPlain(anchor, weights.operand, tokensOf(anchor.inputs[1 - weights.operand]!))) {
      const reader = weights ? null : readerToJoin(cluster, region);
      if (reader) joined.set(reader, [...(joined.get(reader) ?? []), cluster]);
      else stages.push({ kind: "inner", clusters: [cluster], wide: isWide(anchor, places) });
      continue;
    }
    const before = stages[stages.length - 1];
    if (before?.kind === "product" && before.columns + weights.columns <= SPELT_OUT && sharesWalk(before, cluster, weights.operand)) {
      stages[stages.length - 1] = { ...before, clusters: [...before.clusters, cluster], columns: before.columns + weights.columns };
    } else stages.push({ kind: "product", clusters: [cluster], operand: weights.operand, columns: weights.columns });
  }
  return stages;
}

/** Whether every letter is a token's, a column's or summed: one row of the result a token, and the weights not indexed by it. */
function isPlain(node: NodeWith<"contract">, operand: 0 | 1, tokens: readonly number[]): boolean {
  const l = letters(node.attrs.spec)!;
  const [term, other] = operand === 0 ? [l.a, l.b] : [l.b, l.a];
  return [...other].every((letter, axis) => tokens.includes(axis) || !l.out.includes(letter)) && [...term].every((letter) => !l.out.includes(letter) || !other.includes(letter));
}

/** The one map without reductions that reads the product, at its own coordinates, when nothing else does. */
function readerToJoin(cluster: Cluster, region: Region): Cluster | null {
  const [root] = cluster.roots;
  if (cluster.roots.length !== 1 || root !== cluster.anchor || !region.onChip.has(root!)) return null;
  const [reader, ...others] = region.clusters.filter((other) => other.reads.has(root!));
  return reader && others.length === 0 && reader.kind === "map" && reader.axes === null && sizeOf(root!.shape) === sizeOf(reader.shape) ? reader : null;
}

function isWide(node: NodeWith<"contract">, places: Places): boolean {
  const l = letters(node.attrs.spec)!;
  const last = l.out[l.out.length - 1]!;
  return [l.a, l.b].some((term, i) => {
    const axis = term.indexOf(last);
    return axis >= 0 && access(node.inputs[i]!, places.isBase)?.strides[axis] === 1;
  });
}

/** Whether a product walks over the same operand in the same way as those of a stage, and reads none of their results. */
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
