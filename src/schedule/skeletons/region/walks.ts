/**
 * The stages of a region on a GPU: passes over results, and walks over terms that many results share (`token-gpu.ts`).
 */
import { sizeOf } from "../../../graph/record.js";
import type { Node } from "../../../graph/node.js";
import type { Expr } from "../../../kernel/ir.js";
import { constant, type Coord } from "../../emit/coords.js";
import type { Reducing, ReductionAt } from "../../emit/emit.js";
import type { Workbench } from "../../emit/kernelize.js";
import type { Cluster } from "../../fusion/partition.js";
import { unflatten } from "../../emit/reductions.js";
import { byLevel, storeRoots } from "../rows.js";
import { termsOf, type Stage } from "./stages.js";
import { coordsAt, type Tokens } from "./tiles.js";

/** How the invocations of a kernel share the work on a token. */
export interface Team {
  readonly bench: Workbench;
  readonly tokens: Tokens;
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
interface Rows {
  readonly free: readonly number[];
  readonly reduced: readonly number[];
  /** Reductions that wait for no other of the cluster. */
  readonly first: readonly Reducing[];
  /** Roots with a value a result, and those with a value a term. */
  readonly row: readonly Node[];
  readonly full: readonly Node[];
  /** Coordinates of a result, and of a term of it. */
  readonly result: (parts: readonly Coord[], kept: readonly Coord[]) => Coord[];
  readonly term: (parts: readonly Coord[], kept: readonly Coord[], along: readonly Coord[]) => Coord[];
}

function rowsOf(cluster: Cluster, { axes }: Tokens, isBase: (node: Node) => boolean): Rows {
  const reduced = cluster.axes ?? [];
  const sums = [...cluster.members].filter((node): node is Reducing => node.op === "sum" || node.op === "reduce_max");
  const domain = reduced.length > 0 ? sums[0]!.inputs[0]! : (cluster.anchor ?? cluster.roots[0]!);
  const tokens = axes(domain);
  const own = domain.shape.map((_, axis) => axis).filter((axis) => !tokens.includes(axis));
  const free = own.filter((axis) => !reduced.includes(axis));
  const sizesOf = (list: readonly number[]): number[] => list.map((axis) => domain.shape[axis]!);
  const term: Rows["term"] = (parts, kept, along) =>
    coordsAt(
      domain,
      tokens,
      parts,
      own.map((axis) => (reduced.includes(axis) ? along[reduced.indexOf(axis)]! : kept[free.indexOf(axis)]!)),
    );
  const result: Rows["result"] = (parts, kept) =>
    term(
      parts,
      kept,
      reduced.map(() => constant(0)),
    ).filter((_, axis) => !reduced.includes(axis));
  const shape = { free: sizesOf(free), result, term };
  if (reduced.length === 0) {
    const product = cluster.anchor?.op === "contract" ? cluster.anchor : null;
    return {
      ...shape,
      reduced: product ? termsOf(product) : [],
      first: product ? [product] : [],
      row: cluster.roots,
      full: [],
    };
  }
  const isRead = (node: Node): boolean => isBase(node) && !cluster.members.has(node);
  const waits = (node: Node): boolean =>
    node.inputs.some((input) => sums.includes(input as Reducing) || (!isRead(input) && waits(input)));
  return { ...shape, ...byLevel(cluster), reduced: sizesOf(reduced), first: sums.filter((node) => !waits(node)) };
}

/** Whether the results are few and their terms many. */
const isWalk = ({ free, reduced, first }: Rows): boolean =>
  first.length > 0 && sizeOf(free) <= Math.min(SPELT_OUT, sizeOf(reduced));

/** The positions of results: no vectors where a result has roots a term. */
const positionsOf = ({ free, full }: Rows): Coord[][] => positions(free, full.length === 0);

/** Constant coordinates, in vectors where four of the last axis remain, else one by one. */
export function positions(sizes: readonly number[], vectors: boolean): Coord[][] {
  const last = sizes[sizes.length - 1] ?? 1;
  const outer = sizes.slice(0, -1);
  const found: Coord[][] = [];
  for (let o = 0; o < sizeOf(outer); o++) {
    const at = unflatten(o, outer).map(constant);
    for (let c = 0; c < last;) {
      const width = vectors && last - c >= 4 ? 4 : 1;
      found.push(sizes.length ? [...at, { ...constant(c), lane: width === 4 ? 1 : 0 }] : []);
      c += width;
    }
  }
  return found;
}

/** The clusters that a stage computes, without those that are computed where these read them. */
export const ownOf = (stage: Stage): readonly Cluster[] =>
  stage.kind === "product" ? stage.clusters : [stage.clusters[0]!];

/** The reductions that a stage walks over. */
export function walksOf(stage: Stage, { bench, tokens, parts }: Team): ReductionAt[] {
  return ownOf(stage).flatMap((cluster) => {
    const rows = rowsOf(cluster, tokens, bench.places.isBase);
    return isWalk(rows)
      ? positionsOf(rows).flatMap((kept) => rows.first.map((node) => ({ node, coords: rows.result(parts, kept) })))
      : [];
  });
}

/** What must be in memory, or on the chip, before the walks of a stage. */
export function summedBy(stage: Stage, tokens: Tokens, isBase: (node: Node) => boolean): Node[] {
  const found = new Set<Node>();
  const visit = (node: Node): void => {
    if (found.has(node)) return;
    found.add(node);
    if (!isBase(node)) node.inputs.forEach(visit);
  };
  for (const cluster of ownOf(stage))
    for (const node of rowsOf(cluster, tokens, isBase).first) node.inputs.forEach(visit);
  return [...found].filter(isBase);
}

/** The first cluster of a stage, or each of several products. */
export function clusterStage({ bench, tokens, parts, spread, once }: Team, cluster: Cluster, stage: Stage): void {
  const { emitter: e } = bench;
  const light =
    stage.clusters.reduce((sum, { anchor }) => sum + (anchor?.op === "contract" ? sizeOf(termsOf(anchor)) : 0), 0) <=
    LIGHT;
  const rows = rowsOf(cluster, tokens, bench.places.isBase);
  const { free, reduced, row, full, result, term } = rows;
  if (!isWalk(rows)) {
    return spread(free, light && cluster.axes === null, (kept) => {
      storeRoots(bench, row, result(parts, kept));
      if (full.length > 0) e.nest(reduced, (along) => storeRoots(bench, full, term(parts, kept, along)));
    });
  }
  const all = positionsOf(rows);
  const values = all.flatMap((kept) => {
    const coords = result(parts, kept);
    return row.map((root): [Node, Coord[], Expr] => [root, coords, e.emit(root, coords)]);
  });
  if (values.length > 0)
    once(() => values.forEach(([root, coords, value]) => e.store(bench.write(root), root, coords, value)));
  if (full.length > 0)
    for (const kept of all) spread(reduced, true, (along) => storeRoots(bench, full, term(parts, kept, along)));
}
