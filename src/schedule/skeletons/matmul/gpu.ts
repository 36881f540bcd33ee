/**
 * Matrix products on a GPU: a family of tiles. An invocation holds `rows` x `columns` of the result in registers, its
 * columns in vec4s that lie apart, so that neighbours in a workgroup read neighbouring vec4s of B; the rows of A are
 * the same for a run of neighbours. What is read has three forms: four words along the operand's own axis, four along k
 * (`unroll` 4), or single words. With `shared` a workgroup first copies its tiles of A and B to its own memory, where
 * every word is read by many; that is what GPUs with little cache want. With `subgroup` neighbours share rows, and each
 * loads another step along k of them: what was loaded once is then exchanged, without memory or barriers. The epilogue
 * of the cluster is emitted on the accumulators.
 *
 * Measured on lavapipe, where every load of a word is eight loads with a check each and arithmetic is nearly free: a
 * load of four words costs less than three single ones. In GFLOP/s over the products of nanogpt, forward, backward,
 * weights: single words 4 x 4 5-6; vec4s 4 x 4 7-14, 4 x 8 8-18, 8 x 8 11-18 at twice the time to compile; four along k
 * 13-15 backward; workgroup memory 4-9. There what is unrolled must be compiled before the first step
 * (`shift-registers.ts`): with the epilogue in a loop 8 x 4 is as fast as 8 x 8 and takes half the time of 4 x 8
 * without.
 */
import type { NodeWith } from "../../../graph/node.js";
import { sizeOf } from "../../../graph/record.js";
import * as k from "../../../kernel/build.js";
import type { Expr } from "../../../kernel/ir.js";
import { shapeOf, type Product } from "../../fusion/contraction.js";
import type { Coord } from "../../emit/emit.js";
import type { Workbench } from "../../emit/kernelize.js";
import type { Cluster } from "../../fusion/clusters.js";
import { sizesOf } from "./axes.js";
import { columnsOfB, rowsOfA, summedAxes } from "./gpu-loads.js";
import { sharedTiles } from "./gpu-shared.js";
import { subgroupTiles } from "./gpu-subgroups.js";
import { multiply, storeTile, tileAt, type GpuMatmul, type GpuTile, type RegisterTile } from "./gpu-tile.js";

/** The members that tuning tries. */
export const gpuTiles: readonly GpuTile[] = [
  { rows: 4, columns: 4, unroll: 1, shared: 0, rolled: 0, subgroup: 0 },
  { rows: 4, columns: 4, unroll: 4, shared: 0, rolled: 0, subgroup: 0 },
  { rows: 4, columns: 8, unroll: 1, shared: 0, rolled: 0, subgroup: 0 },
  { rows: 4, columns: 8, unroll: 4, shared: 0, rolled: 0, subgroup: 0 },
  { rows: 8, columns: 4, unroll: 1, shared: 0, rolled: 0, subgroup: 0 },
  { rows: 8, columns: 8, unroll: 1, shared: 0, rolled: 0, subgroup: 0 },
  { rows: 4, columns: 8, unroll: 1, shared: 1, rolled: 0, subgroup: 0 },
  { rows: 8, columns: 8, unroll: 1, shared: 1, rolled: 0, subgroup: 0 },
  { rows: 8, columns: 4, unroll: 1, shared: 0, rolled: 1, subgroup: 0 },
  { rows: 8, columns: 8, unroll: 4, shared: 0, rolled: 1, subgroup: 0 },
  { rows: 4, columns: 4, unroll: 1, shared: 0, rolled: 0, subgroup: 4 },
  { rows: 8, columns: 4, unroll: 1, shared: 0, rolled: 1, subgroup: 8 },
  { rows: 8, columns: 8, unroll: 1, shared: 0, rolled: 0, subgroup: 8 },
  { rows: 8, columns: 8, unroll: 1, shared: 0, rolled: 0, subgroup: 16 },
  { rows: 8, columns: 8, unroll: 1, shared: 0, rolled: 0, subgroup: 32 },
];

const group = k.ref("group", k.INDEX);
const local = k.ref("local", k.INDEX);

/**
 * The best on lavapipe for every product of a transformer's step, or within a tenth of it; among equals, what compiles
 * soonest.
 */
export function defaultGpuTile(product: Product): GpuTile {
  return alongK(product)
    ? { rows: 4, columns: 4, unroll: 4, shared: 0, rolled: 0, subgroup: 0 }
    : { rows: 4, columns: 8, unroll: 1, shared: 0, rolled: 0, subgroup: 0 };
}

/** Whether B is contiguous along k only, so that four words along k are what can be read at once. */
const alongK = ({ n, k: summed }: Product): boolean => n.b !== 1 && summed[summed.length - 1]?.b === 1;

/** Makes the kernel of a product on a GPU; the number of its workgroups. */
export function matmulGpu(bench: Workbench, cluster: Cluster, node: NodeWith<"contract">, product: Product): number {
  const tile = bench.choose("matmul", shapeOf(product), defaultGpuTile(product));
  const lanes = bench.profile.lanes === 4 && product.n.size >= 4 ? 4 : 1;
  const height = Math.max(1, Math.min(tile.rows, product.m.size));
  const vectors = Math.max(1, Math.min(Math.floor(tile.columns / lanes), Math.ceil(product.n.size / lanes)));
  const kernel: GpuMatmul = { bench, cluster, node, product, tile, lanes, height, vectors };
  if (tile.shared) return sharedTiles(kernel);
  return tile.subgroup ? subgroupTiles(kernel) : loneTiles(kernel);
}

/** Every invocation loads what it multiplies, and meets no other. */
function loneTiles(kernel: GpuMatmul): number {
  const { bench, product, lanes, height, vectors } = kernel;
  const { emitter: e, profile } = bench;
  const { m, n, outer } = product;
  const totalVectors = Math.ceil(n.size / lanes);
  const across = Math.ceil(totalVectors / vectors);
  const sizes = [sizeOf(sizesOf(outer)), Math.ceil(m.size / height), across] as const;
  const tasks = sizeOf(sizes);
  const flat = k.add(k.mul(group, k.idx(profile.workgroup)), local);
  const body = (): void => {
    const [o, i, j] = e.split(e.coord(flat), sizes);
    const vector = (v: Expr): Expr => k.add(j.at, k.mul(v, k.idx(across)));
    const mayEnd = (v: Expr): boolean => (v.kind === "const" ? v.value + 1 : vectors) * across > totalVectors;
    const tile = tileAt(kernel, {
      outer: e.split(o, sizesOf(outer)),
      row: e.coord(k.mul(i.at, k.idx(height))),
      column: (v) => k.mul(mayEnd(v) ? k.min(vector(v), k.idx(totalVectors - 1)) : vector(v), k.idx(lanes)),
    });
    sumAlone(kernel, tile);
    storeTile(kernel, tile, (v) => (mayEnd(v) ? k.lt(vector(v), k.idx(totalVectors)) : null));
  };
  if (tasks % profile.workgroup === 0) body();
  else e.guard(k.lt(flat, k.idx(tasks)), body);
  return Math.ceil(tasks / profile.workgroup);
}

/** The loop over k, in turns of `unroll` steps where the innermost summed axis is a multiple of it. */
function sumAlone(kernel: GpuMatmul, tile: RegisterTile): void {
  const {
    bench: { emitter: e },
    product,
    tile: { unroll },
  } = kernel;
  const a = rowsOfA(kernel, tile);
  const b = columnsOfB(kernel, tile);
  const summed = summedAxes(product);
  const last = summed[summed.length - 1];
  const step = last !== undefined && unroll > 1 && last.size % unroll === 0 ? unroll : 1;
  const turn = (kk: readonly Coord[]): void => {
    const x = a(kk, step);
    const y = b(kk, step);
    for (let s = 0; s < step; s++)
      multiply(
        kernel,
        tile,
        (r) => x(r, s),
        (v) => y(v, s),
      );
  };
  e.nest(sizesOf(summed.slice(0, -1)), (before) => {
    if (last === undefined) turn(before);
    else e.loop(k.idx(0), k.idx(last.size), step, (at) => turn([...before, at]));
  });
}
