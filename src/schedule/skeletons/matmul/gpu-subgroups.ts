/**
 * Matrix products on a GPU whose subgroups exchange what they load: clusters of neighbours have their rows in common.
 * Lane l of a cluster loads the steps l, l + width, … of A, and has the l-th of every `width` vectors.
 */
import { sizeOf } from "../../../graph/record.js";
import * as k from "../../../kernel/build.js";
import type { Expr } from "../../../kernel/ir.js";
import { mustAt } from "../../../../runtime/lookup.js";
import type { Coord } from "../../emit/emit.js";
import { sizesOf } from "./axes.js";
import { columnsOfB, rowsOfA, summedAxes } from "./gpu-loads.js";
import { multiply, storeTile, tileAt, type GpuMatmul, type RegisterTile } from "./gpu-tile.js";

const group = k.ref("group", k.INDEX);
const local = k.ref("local", k.INDEX);

/** Makes the kernel; the number of its workgroups. */
export function subgroupTiles(kernel: GpuMatmul): number {
  const { bench, product, lanes, height, vectors } = kernel;
  const { emitter: e, profile } = bench;
  const { m, n, outer } = product;
  const width = kernel.tile.subgroup;
  const totalVectors = Math.ceil(n.size / lanes);
  const across = Math.ceil(totalVectors / (vectors * width));
  const sizes = [sizeOf(sizesOf(outer)), Math.ceil(m.size / height), across] as const;
  const clusters = sizeOf(sizes);
  const mate = e.coord(k.rem(local, k.idx(width)));
  const cluster = e.bind(k.div(k.add(k.mul(group, k.idx(profile.workgroup)), local), k.idx(width)));
  // Clusters past the end do the work of the last one again, since all must meet, and store nothing.
  const hasSpare = (clusters * width) % profile.workgroup !== 0;
  const task = e.coord(hasSpare ? k.min(cluster, k.idx(clusters - 1)) : cluster);
  const [o, i, j] = e.split(task, sizes);
  const vector = (v: Expr): Expr => k.add(k.mul(k.add(k.mul(j.at, k.idx(vectors)), v), k.idx(width)), mate.at);
  const mayEnd = across * vectors * width > totalVectors;
  const tile = tileAt(kernel, {
    outer: e.split(o, sizesOf(outer)),
    row: e.coord(k.mul(i.at, k.idx(height))),
    column: (v) => k.mul(mayEnd ? k.min(vector(v), k.idx(totalVectors - 1)) : vector(v), k.idx(lanes)),
  });
  sumTogether(kernel, tile, mate);
  storeTile(kernel, tile, (v) => {
    const isVector = mayEnd ? k.lt(vector(v), k.idx(totalVectors)) : null;
    const isTask = hasSpare ? k.lt(cluster, k.idx(clusters)) : null;
    return isVector && isTask ? k.and(isVector, isTask) : (isVector ?? isTask);
  });
  return Math.ceil((clusters * width) / profile.workgroup);
}

/** The loop over k, in turns of as many steps as a cluster has lanes; `mate` is this lane. */
function sumTogether(kernel: GpuMatmul, tile: RegisterTile, mate: Coord): void {
  const { bench, product, height } = kernel;
  const { emitter: e } = bench;
  const width = kernel.tile.subgroup;
  const a = rowsOfA(kernel, tile);
  const b = columnsOfB(kernel, tile);
  const summed = summedAxes(product);
  const last = summed[summed.length - 1]?.size ?? 1;
  const isWhole = last % width === 0;
  const clamped = (at: Expr): Coord => e.coord(isWhole ? at : k.min(at, k.idx(last - 1)));
  e.nest(sizesOf(summed.slice(0, -1)), (before) => {
    e.loop(k.idx(0), k.idx(last), width, (at) => {
      const step = e.bind(k.add(at.at, mate.at));
      const x = a(summed.length ? [...before, clamped(step)] : before, 1);
      // Past the end of k, zeros.
      const loaded = Array.from({ length: height }, (_, r) =>
        e.bind(isWhole ? x(r, 0) : k.select(k.lt(step, k.idx(last)), x(r, 0), k.f32(0))),
      );
      e.loop(k.idx(0), k.idx(width), 1, (lane) => {
        const y = b(summed.length ? [...before, clamped(k.add(at.at, lane.at))] : before, 1);
        const exchanged = loaded.map((value) => e.bind(k.exchange(value, lane.at, width)));
        multiply(
          kernel,
          tile,
          (r) => mustAt(exchanged, r),
          (v) => y(v, 0),
        );
      });
    });
  });
}
