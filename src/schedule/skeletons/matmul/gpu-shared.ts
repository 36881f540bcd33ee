/**
 * Matrix products on a GPU through workgroup memory: tiles of A and B are copied there first, where every word is read
 * by many. Workgroups are `across` invocations by the rest; all of them copy, none leaves before the last barrier.
 */
import { sizeOf } from "../../../graph/record.js";
import * as k from "../../../kernel/build.js";
import { F32 } from "../../../kernel/build.js";
import type { Expr } from "../../../kernel/ir.js";
import { mustAt } from "../../../../runtime/lookup.js";
import { extentOfK, type ProductAxis } from "../../fusion/contraction.js";
import { outermost } from "../../emit/coords.js";
import type { Coord } from "../../emit/emit.js";
import { sizesOf, stridesOf } from "./axes.js";
import { multiply, storeTile, tileAt, type GpuMatmul } from "./gpu-tile.js";

const group = k.ref("group", k.INDEX);
const local = k.ref("local", k.INDEX);
/** Steps along k that workgroup memory holds. */
const STEPS = 16;

/** An operand's tile in workgroup memory, [STEPS][extent], and what is copied there. */
interface SharedTile {
  readonly operand: "a" | "b";
  /** The array in workgroup memory. */
  readonly array: string;
  readonly extent: number;
  /** The first position of the tile along the operand's own axis (m of A, n of B), and that axis. */
  readonly start: Coord;
  readonly axis: ProductAxis;
  /** Where the operand of this outer position begins. */
  readonly base: Expr;
}

/** Makes the kernel; the number of its workgroups. */
export function sharedTiles(kernel: GpuMatmul): number {
  const { bench, product, lanes, height, vectors } = kernel;
  const { emitter: e, profile } = bench;
  const { m, n, outer } = product;
  const across = Math.min(8, profile.workgroup);
  const down = profile.workgroup / across;
  const wide = across * vectors * lanes;
  const high = down * height;
  const [left, right] = [e.fresh("left"), e.fresh("right")];
  e.push(k.sharedS(left, "f32", high * STEPS));
  e.push(k.sharedS(right, "f32", wide * STEPS));
  const sizes = [sizeOf(sizesOf(outer)), Math.ceil(m.size / high), Math.ceil(n.size / wide)] as const;
  const [o, i, j] = e.split(outermost(group), sizes);
  const [y, x] = e.split(outermost(local), [down, across]);
  const [m0, n0] = [e.coord(k.mul(i.at, k.idx(high))), e.coord(k.mul(j.at, k.idx(wide)))];
  const firstVector = e.bind(k.mul(x.at, k.idx(lanes)));
  const firstRow = e.bind(k.mul(y.at, k.idx(height)));
  const tile = tileAt(kernel, {
    outer: e.split(o, sizesOf(outer)),
    row: e.coord(k.add(m0.at, firstRow)),
    column: (v) => k.add(k.add(n0.at, firstVector), k.mul(v, k.idx(across * lanes))),
  });
  const baseA = e.address(tile.outer, stridesOf(outer, "a")).at;
  const baseB = e.address(tile.outer, stridesOf(outer, "b")).at;
  const tileA: SharedTile = { operand: "a", array: left, extent: high, start: m0, axis: m, base: baseA };
  const tileB: SharedTile = { operand: "b", array: right, extent: wide, start: n0, axis: n, base: baseB };
  e.loop(k.idx(0), k.idx(extentOfK(product)), STEPS, (k0) => {
    copy(kernel, tileA, k0);
    copy(kernel, tileB, k0);
    e.push(k.barrier());
    e.loop(k.idx(0), k.idx(STEPS), 1, (step) => {
      const rowAt = e.bind(k.add(k.mul(step.at, k.idx(high)), firstRow));
      const columnAt = e.bind(k.add(k.mul(step.at, k.idx(wide)), firstVector));
      const xs = Array.from({ length: height }, (_, r) => e.bind(k.load(left, k.add(rowAt, k.idx(r)), F32)));
      const ys = Array.from({ length: vectors }, (_, v) =>
        e.bind(k.load(right, k.add(columnAt, k.idx(v * across * lanes)), { of: "f32", lanes })),
      );
      multiply(
        kernel,
        tile,
        (r) => mustAt(xs, r),
        (v) => mustAt(ys, v),
      );
    });
    e.push(k.barrier());
  });
  const isInside = (_: Expr, start: Coord): Expr | null => (n.size % wide === 0 ? null : k.lt(start.at, k.idx(n.size)));
  storeTile(kernel, tile, isInside, m.size % high !== 0);
  return sizeOf(sizes);
}

/**
 * Copies the positions of a tile from its start on, by STEPS along k from k0 on; what is past an end counts as 0.
 */
function copy({ bench, product }: GpuMatmul, tile: SharedTile, k0: Coord): void {
  const { emitter: e, profile } = bench;
  const { operand, array, extent, start, axis, base } = tile;
  const from = bench.read(product[operand].base);
  const stride = axis[operand];
  const depth = extentOfK(product);
  const alongOwnAxis = stride === 1;
  e.loop(local, k.idx(extent * STEPS), profile.workgroup, (flat) => {
    const sizes: readonly [number, number] = alongOwnAxis ? [STEPS, extent] : [extent, STEPS];
    const parts = e.split(flat, sizes);
    const [step, position] = alongOwnAxis ? parts : [parts[1], parts[0]];
    const inK = e.bind(k.add(k0.at, step.at));
    const inOwn = e.bind(k.add(start.at, position.at));
    const clampedK = depth % STEPS === 0 ? inK : k.min(inK, k.idx(depth - 1));
    const clampedOwn = axis.size % extent === 0 ? inOwn : k.min(inOwn, k.idx(axis.size - 1));
    const kk = e.split(e.coord(clampedK), sizesOf(product.k));
    const inStep = e.address(kk, stridesOf(product.k, operand)).at;
    const word = e.bind(k.load(from, k.add(k.add(base, k.mul(clampedOwn, k.idx(stride))), inStep), F32));
    const value = depth % STEPS === 0 ? word : k.select(k.lt(inK, k.idx(depth)), word, k.f32(0));
    e.push(k.store(array, k.add(k.mul(step.at, k.idx(extent)), position.at), value));
  });
}
