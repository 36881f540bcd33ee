/**
 * What becomes of a product: the elementwise operations of its cluster, emitted on the accumulators where they are, and
 * the stores of the roots. Both halves of the matmul skeleton end here; they differ in who holds which accumulators.
 */
import type { NodeWith } from "../../graph/node.js";
import * as k from "../../kernel/build.js";
import type { Expr } from "../../kernel/ir.js";
import { mustAt } from "../../../runtime/lookup.js";
import type { ProductAxis } from "../fusion/contraction.js";
import { across, still } from "../emit/coords.js";
import { constant, type Coord, type Emitter } from "../emit/emit.js";
import type { Workbench } from "../emit/kernelize.js";
import type { Cluster } from "../fusion/clusters.js";
import { rowMajor } from "../fusion/views.js";
import { storeRoots } from "./rows.js";

/** A matrix product that is the anchor of a cluster, and the bench on which its kernel is made. */
export interface ClusterProduct {
  readonly bench: Workbench;
  readonly cluster: Cluster;
  readonly node: NodeWith<"contract">;
}

/** A position along one loop of a product. */
export interface LoopPosition {
  readonly axis: ProductAxis;
  readonly at: Coord;
}

/** Coordinates of the result for given positions along the outer, m and n loops. */
function resultCoords(e: Emitter, node: NodeWith<"contract">, loops: readonly LoopPosition[]): Coord[] {
  const coords = node.shape.map(() => constant(0));
  for (const { axis, at } of loops) {
    const long = axis.out.filter((out) => mustAt(node.shape, out) > 1);
    if (long.length <= 1) for (const out of long) coords[out] = at;
    else {
      const parts = e.split(
        at,
        axis.out.map((out) => mustAt(node.shape, out)),
      );
      for (const [i, part] of parts.entries()) coords[mustAt(axis.out, i)] = part;
    }
  }
  return coords;
}

/**
 * Whether the epilogue only ever asks for the result at its own flat position, so that merged axes need not be split.
 */
export const isPlain = (cluster: Cluster): boolean => cluster.roots.length === 1 && cluster.roots[0] === cluster.anchor;

/** Stores what becomes of one value of the product; `home` is the depth of the scope that holds the accumulators. */
export function finish(product: ClusterProduct, loops: readonly LoopPosition[], value: Expr, home: number): void {
  const { bench, cluster, node } = product;
  const { emitter: e } = bench;
  if (isPlain(cluster)) return storePlain(product, loops, value);
  const laned = loops.find(({ at }) => at.lane !== 0);
  if (laned && !keepsLanes(node, laned)) {
    for (let l = 0; l < laned.at.width; l++) {
      const shifted = loops.map(({ axis, at }) => ({ axis, at: at.lane ? e.coord(k.add(at.at, k.idx(l))) : at }));
      finish(product, shifted, k.extract(value, l), home);
    }
    return;
  }
  const coords = resultCoords(
    e,
    node,
    loops.map(({ axis, at }) => ({ axis, at: still(at) })),
  );
  const last = laned?.axis.out.findLast((out) => mustAt(node.shape, out) > 1);
  if (laned && last !== undefined) coords[last] = across(mustAt(coords, last), laned.at.width);
  // A product of a single block has constant coordinates only, yet what is made of it must not leave the accumulators'
  // scope.
  if (coords.every(({ depth }) => depth < home)) coords[0] = { ...mustAt(coords, 0), depth: home };
  e.define(node, coords, value);
  storeRoots(bench, cluster.roots, coords);
}

/** Stores a value of the product itself, at its flat position. */
function storePlain({ bench, node }: ClusterProduct, loops: readonly LoopPosition[], value: Expr): void {
  const { emitter: e } = bench;
  const strides = rowMajor(node.shape);
  const { at, lane } = e.address(
    loops.map((loop) => loop.at),
    loops.map(({ axis }) => (axis.out.length ? mustAt(strides, mustAt(axis.out, axis.out.length - 1)) : 0)),
  );
  if (lane > 1) throw new Error("schedule: the result of a product is stored along its last axis");
  e.push(k.store(bench.write(node), at, value));
}

/** Whether a vector along merged axes stays in the last one: when that holds whole vectors. */
const keepsLanes = (node: ClusterProduct["node"], { axis, at }: LoopPosition): boolean =>
  axis.out.filter((out) => mustAt(node.shape, out) > 1).length <= 1 ||
  mustAt(node.shape, mustAt(axis.out, axis.out.length - 1)) % at.width === 0;
