/**
 * The stages of a region on a GPU: passes over results, and walks over terms that many results share (`gpu.ts`).
 */
import { sizeOf } from "../../../graph/record.js";
import type { Node } from "../../../graph/node.js";
import type { Expr } from "../../../kernel/ir.js";
import { mustAt } from "../../../../runtime/lookup.js";
import type { Coord } from "../../emit/coords.js";
import type { Reducing, ReductionAt } from "../../emit/emit.js";
import type { Workbench } from "../../emit/kernelize.js";
import type { Cluster } from "../../fusion/clusters.js";
import { byLevel, storeRoots, sumsOf } from "../rows.js";
import { termsOf, type RegionStage } from "./stages.js";
import { positions, tokenRows, type RegionTokens, type TokenRows } from "./tiles.js";

/** How the invocations of a kernel share the work on a token. */
export interface Team {
  readonly bench: Workbench;
  readonly tokens: RegionTokens;
  /** The token that this invocation works on. */
  readonly parts: readonly Coord[];
  /**
   * Every position of `sizes`, by one of the team. `light`: the body is so short that several positions may be spelt
   * out side by side.
   */
  readonly spread: (sizes: readonly number[], light: boolean, body: (coords: readonly Coord[]) => void) => void;
  /** Something that one of the team does. */
  readonly once: (body: () => void) => void;
}

/** Results that share one walk at most. */
const SPELT_OUT = 64;
/** Terms of all products of a light stage. */
const LIGHT = 8;

/** A cluster as results over free axes, each with sums over reduced axes. */
interface ClusterRows extends TokenRows {
  /** Reductions that wait for no other of the cluster. */
  readonly first: readonly Reducing[];
  /** Roots with a value a result, and those with a value a term. */
  readonly row: readonly Node[];
  readonly full: readonly Node[];
}

function rowsOf(cluster: Cluster, { axes }: RegionTokens, isBase: (node: Node) => boolean): ClusterRows {
  const sums = sumsOf(cluster);
  const isReduced = (cluster.axes ?? []).length > 0;
  const domain = isReduced ? mustAt(mustAt(sums, 0).inputs, 0) : (cluster.anchor ?? mustAt(cluster.roots, 0));
  const rows = tokenRows(domain, cluster, axes(domain));
  if (!isReduced) {
    const product = cluster.anchor?.op === "contract" ? cluster.anchor : null;
    return {
      ...rows,
      reduced: product ? termsOf(product) : [],
      first: product ? [product] : [],
      row: cluster.roots,
      full: [],
    };
  }
  const isRead = (node: Node): boolean => isBase(node) && !cluster.members.has(node);
  const waits = (node: Node): boolean =>
    node.inputs.some((input) => sums.includes(input as Reducing) || (!isRead(input) && waits(input)));
  return { ...rows, ...byLevel(cluster), first: sums.filter((node) => !waits(node)) };
}

/** Whether the results are few and their terms many. */
const isWalk = ({ free, reduced, first }: ClusterRows): boolean =>
  first.length > 0 && sizeOf(free) <= Math.min(SPELT_OUT, sizeOf(reduced));

/** The positions of results: no vectors where a result has roots a term. */
const positionsOf = ({ free, full }: ClusterRows): Coord[][] => positions(free, full.length === 0 ? 4 : 1);

/** The clusters that a stage computes, without those that are computed where these read them. */
export const computedBy = (stage: RegionStage): readonly Cluster[] =>
  stage.kind === "product" ? stage.clusters : [stage.clusters[0]];

/** The reductions that a stage walks over. */
export function walksOf(stage: RegionStage, { bench, tokens, parts }: Team): ReductionAt[] {
  return computedBy(stage).flatMap((cluster) => {
    const rows = rowsOf(cluster, tokens, bench.places.isBase);
    return isWalk(rows)
      ? positionsOf(rows).flatMap((kept) => rows.first.map((node) => ({ node, coords: rows.result(parts, kept) })))
      : [];
  });
}

/** What must be in memory, or on the chip, before the walks of a stage. */
export function summedBy(stage: RegionStage, tokens: RegionTokens, isBase: (node: Node) => boolean): Node[] {
  const visited = new Set<Node>();
  const visit = (node: Node): void => {
    if (visited.has(node)) return;
    visited.add(node);
    if (!isBase(node)) node.inputs.forEach(visit);
  };
  for (const cluster of computedBy(stage))
    for (const node of rowsOf(cluster, tokens, isBase).first) node.inputs.forEach(visit);
  return [...visited].filter(isBase);
}

/** The first cluster of a stage, or each of several products. */
export function clusterStage({ bench, tokens, parts, spread, once }: Team, cluster: Cluster, stage: RegionStage): void {
  const { emitter: e } = bench;
  const terms = stage.clusters.map(({ anchor }) => (anchor?.op === "contract" ? sizeOf(termsOf(anchor)) : 0));
  const light = terms.reduce((sum, count) => sum + count, 0) <= LIGHT;
  const rows = rowsOf(cluster, tokens, bench.places.isBase);
  const { free, reduced, row, full, result, term } = rows;
  if (!isWalk(rows)) {
    return spread(free, light && cluster.axes === null, (kept) => {
      storeRoots(bench, row, result(parts, kept));
      if (full.length > 0) e.nest(reduced, (along) => storeRoots(bench, full, term(parts, kept, along)));
    });
  }
  const results = positionsOf(rows);
  const values = results.flatMap((kept) => {
    const coords = result(parts, kept);
    return row.map((root): [Node, Coord[], Expr] => [root, coords, e.emit(root, coords)]);
  });
  if (values.length > 0)
    once(() => values.forEach(([root, coords, value]) => e.store(bench.write(root), root, coords, value)));
  if (full.length > 0)
    for (const kept of results) spread(reduced, true, (along) => storeRoots(bench, full, term(parts, kept, along)));
}
