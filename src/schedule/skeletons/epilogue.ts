/**
 * What becomes of a product: the elementwise operations of its cluster, emitted on the accumulators where they are, and
 * the stores of the roots. Both halves of the matmul skeleton end here; they differ in who holds which accumulators.
 */
import type { NodeWith } from "../../graph/node.js";
import * as k from "../../kernel/build.js";
import type { Expr } from "../../kernel/ir.js";
import type { Axis } from "../fusion/contraction.js";
import { constant, type Coord, type Emitter } from "../emit/emit.js";
import type { Workbench } from "../emit/kernelize.js";
import type { Cluster } from "../fusion/partition.js";
import { rowMajor } from "../fusion/views.js";

/** Coordinates of the result for given positions along the outer, m and n loops. */
function resultCoords(
  e: Emitter,
  node: NodeWith<"contract">,
  loops: readonly { readonly axis: Axis; readonly at: Coord }[],
): Coord[] {
  const coords = node.shape.map(() => constant(0));
  for (const { axis, at } of loops) {
    const sizes = axis.out.map((out) => node.shape[out]!);
    if (sizes.filter((size) => size > 1).length <= 1) {
      axis.out.forEach((out, i) => {
        if (sizes[i]! > 1) coords[out] = at;
      });
    } else e.split(at, sizes).forEach((part, i) => (coords[axis.out[i]!] = part));
  }
  return coords;
}

/**
 * Whether the epilogue only ever asks for the result at its own flat position, so that merged axes need not be split.
 */
export const isPlain = (cluster: Cluster): boolean => cluster.roots.length === 1 && cluster.roots[0] === cluster.anchor;

/** Stores what becomes of one value of the product; `home` is the depth of the scope that holds the accumulators. */
export function finish(
  bench: Workbench,
  cluster: Cluster,
  node: NodeWith<"contract">,
  loops: readonly { readonly axis: Axis; readonly at: Coord }[],
  value: Expr,
  home: number,
): void {
  const { emitter: e } = bench;
  if (isPlain(cluster)) {
    const strides = rowMajor(node.shape);
    const coords = loops.map(({ at }) => at);
    const { at, lane } = e.address(
      coords,
      loops.map(({ axis }) => (axis.out.length ? strides[axis.out[axis.out.length - 1]!]! : 0)),
    );
    if (lane > 1) throw new Error("schedule: the result of a product is stored along its last axis");
    e.push(k.store(bench.write(node), at, value));
    return;
  }
  const vector = loops.some(
    ({ at, axis }) => at.lane !== 0 && axis.out.filter((out) => node.shape[out]! > 1).length > 1,
  );
  if (vector) {
    // A vector along merged axes: its lanes stay in the last one only when that holds whole vectors.
    const axis = loops.find(({ at }) => at.lane !== 0)!.axis;
    const last = node.shape[axis.out[axis.out.length - 1]!]!;
    if (last % 4 !== 0) {
      for (const l of [0, 1, 2, 3] as const) {
        const shifted = loops.map(({ axis: own, at }) => ({
          axis: own,
          at: at.lane ? e.coord(k.add(at.at, k.idx(l))) : at,
        }));
        finish(bench, cluster, node, shifted, k.extract(value, l), home);
      }
      return;
    }
  }
  const coords = resultCoords(
    e,
    node,
    loops.map(({ axis, at }) => ({ axis, at: { ...at, lane: 0 } })),
  );
  const laned = loops.find(({ at }) => at.lane !== 0);
  if (laned) {
    const out = [...laned.axis.out].reverse().find((o) => node.shape[o]! > 1)!;
    coords[out] = { ...coords[out]!, lane: 1 };
  }
  // A product of a single block has constant coordinates only, yet what is made of it must not leave the accumulators'
  // scope.
  if (coords.every(({ depth }) => depth < home)) coords[0] = { ...coords[0]!, depth: home };
  e.define(node, coords, value);
  const values = cluster.roots.map((root) => e.emit(root, coords));
  cluster.roots.forEach((root, i) => e.store(bench.write(root), root, coords, values[i]!));
}
