/**
 * The skeleton for everything without an anchor: maps, and rows with reductions (softmax, norms, losses, gradients of
 * gains). A row is one position of the kept axes. What varies is who walks what:
 *
 *   CPU, map             a group takes some rows (all axes but the last) and walks the last axis in vectors;
 *                        a map whose tensors all have its own shape is walked as one long row.
 *   CPU, trailing axes   a group takes some rows and walks the reduced axes inside each.
 *   CPU, leading axes    (sums over tokens) neighbouring rows are the lanes, and the reduction is walked
 *                        serially; where almost all terms are zero (an embedding's gradient), `scatter.ts` walks the
 *                        others only.
 *   GPU, map             an invocation an element.
 *   GPU, long rows       a workgroup a row, reductions through shared memory, so that loads are coalesced; on a GPU
 *                        that a CPU emulates an invocation a row too.
 *   GPU, other rows      an invocation a row.
 */
import type { KernelProfile } from "../../kernel/profile.js";
import type { Node, Shape } from "../../graph/node.js";
import { isReduction, sameShape, sizeOf } from "../../graph/record.js";
import * as k from "../../kernel/build.js";
import type { Expr, Lanes } from "../../kernel/ir.js";
import { mustAt } from "../../../runtime/lookup.js";
import { chosen } from "../emit/choices.js";
import { across, outermost, vectorRuns } from "../emit/coords.js";
import { constant, type Coord, type Reducing } from "../emit/emit.js";
import { kernelize, type Bound, type KernelRequest, type Places, type Workbench } from "../emit/kernelize.js";
import type { Cluster } from "../fusion/clusters.js";
import { without } from "../fusion/partition.js";
import { scatter } from "./scatter.js";
import { scatterOf } from "../fusion/sparse.js";
import { isView } from "../fusion/views.js";

/**
 * Elements that one group of a CPU kernel is worth: small enough to balance two threads, large enough to hide the call.
 */
const GROUP = 8192;
/** GPU rows of at least this length get a workgroup each, which shares its memory, */
const LONG_ROW = 32;
/** or an invocation each, where there are this many. */
const MANY_ROWS = 64;
const DEFAULT = { shared: 1 };
/** The family of long rows, for tests and tuning. */
export const gpuRows = [{ shared: 0 }, { shared: 1 }];

const group = k.ref("group", k.INDEX);
const local = k.ref("local", k.INDEX);

/** How the body addresses its roots: coordinates of the full domain, or of a row. */
interface Split {
  readonly shape: Shape;
  readonly axes: readonly number[];
}

/** The kernel of a cluster without an anchor. */
export function rowKernel(cluster: Cluster, profile: KernelProfile, places: Places): Bound {
  const name = cluster.axes ? "row" : "map";
  if (profile.kind === "gpu") return gpuKernel(name, cluster, profile, places);
  const request = { name, clusters: [cluster], profile, places, lanes: profile.lanes, workgroup: 1 };
  const scattered = scatterOf(cluster, profile);
  if (scattered) return kernelize({ ...request, name: "scatter" }, (bench) => scatter(bench, scattered));
  const isFlat = hasOneShape(cluster, places);
  const shape = isFlat ? [sizeOf(cluster.shape)] : cluster.shape;
  const axes = cluster.axes ?? (shape.length ? [shape.length - 1] : []);
  const isTrailing = axes.length === 0 || axes.includes(shape.length - 1);
  return kernelize(request, (bench) => {
    if (isFlat || (sizeOf(without(shape, axes)) === 1 && !cluster.axes)) return longRow(bench, cluster);
    return isTrailing ? rows(bench, cluster, { shape, axes }) : columns(bench, cluster, { shape, axes });
  });
}

/** Whether every tensor that the cluster touches has the cluster's shape, or one element: then all axes are one. */
function hasOneShape(cluster: Cluster, places: Places): boolean {
  if (cluster.axes || cluster.shape.length < 2) return false;
  const isScalar = (node: Node): boolean =>
    node.shape.length === 0 && (places.isBase(node) || node.inputs.every(isScalar));
  const isPlain = (node: Node): boolean => {
    if (places.isBase(node) && !cluster.members.has(node)) return sameShape(node.shape, cluster.shape);
    if (node.op === "broadcast") return node.inputs.every(isScalar);
    if (isView(node) || node.op === "gather" || node.op === "iota") return false;
    return sameShape(node.shape, cluster.shape) && node.inputs.every(isPlain);
  };
  return cluster.roots.every(isPlain);
}

/** Values first, then stores: a root may be stored over what another root reads. */
export function storeRoots(bench: Workbench, roots: readonly Node[], coords: readonly Coord[]): void {
  const values = roots.map((root): Expr => bench.emitter.emit(root, coords));
  roots.forEach((root, i) => bench.emitter.store(bench.write(root), root, coords, mustAt(values, i)));
}

/** A map as one run of elements, cut into groups. */
function longRow(bench: Workbench, cluster: Cluster): number {
  const { emitter: e, profile } = bench;
  const { shape } = cluster;
  const total = sizeOf(shape);
  if (total === 1) {
    storeRoots(
      bench,
      cluster.roots,
      shape.map(() => constant(0)),
    );
    return 1;
  }
  // One coordinate stands for all axes: it is put on the last, whose stride is 1.
  const at = (c: Coord): Coord[] => shape.map((_, axis) => (axis === shape.length - 1 ? c : constant(0)));
  const groups = Math.ceil(total / GROUP);
  const from = e.bind(k.mul(group, k.idx(GROUP)));
  const to = e.bind(k.min(k.add(from, k.idx(GROUP)), k.idx(total)));
  if (profile.lanes === 1) e.loop(from, to, 1, (c) => storeRoots(bench, cluster.roots, at(c)));
  else {
    const store = (begin: Expr, end: Expr, width: Lanes): void =>
      e.loop(begin, end, width, (c) => storeRoots(bench, cluster.roots, at(across(c, width))));
    const main = total - (total % profile.lanes);
    if (main > 0) store(from, main === total ? to : e.bind(k.min(to, k.idx(main))), profile.lanes);
    if (main < total) {
      const rest = vectorRuns(total, profile.lanes).filter((run) => run.from >= main);
      e.guard(k.eq(to, k.idx(total)), () => {
        for (const run of rest) store(k.idx(run.from), k.idx(run.to), run.width);
      });
    }
  }
  return groups;
}

/** Loops over some axes, the last in vectors; its last elements, which are no whole vector, one by one. */
export function lanes(bench: Workbench, sizes: readonly number[], body: (coords: Coord[]) => void): void {
  const { emitter: e, profile } = bench;
  const last = sizes[sizes.length - 1];
  if (last === undefined) return body([]);
  if (profile.lanes === 1 || last < 4) return e.nest(sizes, body);
  e.nest(sizes.slice(0, -1), (outer) => {
    for (const { from, to, width } of vectorRuns(last, profile.lanes))
      e.loop(k.idx(from), k.idx(to), width, (c) => body([...outer, across(c, width)]));
  });
}

/** The coordinates of the full domain: those of a row, and those inside of it. */
const merge = ({ shape, axes }: Split, kept: readonly Coord[], inner: readonly Coord[]): Coord[] => {
  let i = 0;
  let j = 0;
  return shape.map((_, axis) => (axes.includes(axis) ? mustAt(inner, j++) : mustAt(kept, i++)));
};

/** The roots of a cluster with a value for each element of its domain, and those with a value a row. */
export const byLevel = (cluster: Cluster): { full: readonly Node[]; row: readonly Node[] } => {
  if (!cluster.axes) return { full: cluster.roots, row: [] };
  const full = cluster.roots.filter((root) => sameShape(root.shape, cluster.shape));
  return { full, row: cluster.roots.filter((root) => !full.includes(root)) };
};

/** The reductions of a cluster. */
export const sumsOf = (cluster: Cluster): Reducing[] => [...cluster.members].filter(isReduction);

/** Whether a node waits for a reduction of the cluster, which what is read does not. */
export const waits = (node: Node, cluster: Cluster): boolean =>
  node.inputs.some(
    (input) => !cluster.reads.has(input) && (isReduction(input) ? cluster.members.has(input) : waits(input, cluster)),
  );

/** Some rows a group; the inner axes walked inside each row. */
function rows(bench: Workbench, cluster: Cluster, split: Split): number {
  const { emitter: e } = bench;
  const kept = without(split.shape, split.axes);
  const inner = split.shape.filter((_, axis) => split.axes.includes(axis));
  const count = sizeOf(kept);
  const each = Math.max(1, Math.min(count, Math.ceil(GROUP / sizeOf(inner))));
  const { full, row } = byLevel(cluster);
  const from = e.bind(k.mul(group, k.idx(each)));
  const to = e.bind(k.min(k.add(from, k.idx(each)), k.idx(count)));
  e.loop(from, to, 1, (r) => {
    const at = e.split(r, kept);
    storeRoots(bench, row, at);
    if (full.length) lanes(bench, inner, (coords) => storeRoots(bench, full, merge(split, at, coords)));
  });
  return Math.ceil(count / each);
}

/** The width of vectors that leaves fewest blocks of an axis, counting what is no whole vector one by one. */
function widthFor(size: number, lanes: Lanes): Lanes {
  const blocks = (width: Lanes): number => Math.floor(size / width) + (size % width);
  return ([4, 8, 16] as const)
    .filter((width) => width <= Math.min(lanes, size))
    .reduce<Lanes>((best, width) => (blocks(width) < blocks(best) ? width : best), 1);
}

/** Sums over leading axes: neighbouring rows are lanes. */
function columns(bench: Workbench, cluster: Cluster, split: Split): number {
  const { emitter: e, profile } = bench;
  const kept = without(split.shape, split.axes);
  const last = mustAt(kept, kept.length - 1);
  const width = widthFor(last, profile.lanes);
  const outer = kept.slice(0, -1);
  const main = Math.floor(last / width);
  const blocks = sizeOf(outer) * (main + (last % width));
  const work = sizeOf(split.shape) / (sizeOf(kept) / width);
  const each = Math.max(1, Math.ceil(GROUP / work));
  const { full, row } = byLevel(cluster);
  const inner = split.shape.filter((_, axis) => split.axes.includes(axis));
  const storeAt = (at: Coord[]): void => {
    storeRoots(bench, row, at);
    if (full.length) e.nest(inner, (coords) => storeRoots(bench, full, merge(split, at, coords)));
  };
  const from = e.bind(k.mul(group, k.idx(each)));
  const to = e.bind(k.min(k.add(from, k.idx(each)), k.idx(blocks)));
  e.loop(from, to, 1, (b) => {
    // Blocks of a row of blocks: first the whole vectors, then single columns.
    const perOuter = main + (last % width);
    const [o, block] = e.split(b, [sizeOf(outer), perOuter]);
    const at = e.split(o, outer);
    const storeVector = (): void => storeAt([...at, across(e.coord(k.mul(block.at, k.idx(width))), width)]);
    if (last % width === 0) return storeVector();
    e.guard(k.lt(block.at, k.idx(main)), storeVector);
    e.guard(k.le(k.idx(main), block.at), () =>
      storeAt([...at, e.coord(k.add(k.idx(main * width), k.sub(block.at, k.idx(main))))]),
    );
  });
  return Math.ceil(blocks / each);
}

/** A cluster's rows on a GPU. */
interface GpuRows {
  readonly cluster: Cluster;
  /** Sizes of the kept axes, which make a row, and of those inside of it. */
  readonly kept: Shape;
  readonly inner: Shape;
  /** Whether rows are so long, or so few, that a workgroup may take one. */
  readonly isLong: boolean;
  /** The key of the choice for long rows: rows x elements of a row. */
  readonly key: string;
}

function gpuKernel(name: string, cluster: Cluster, profile: KernelProfile, places: Places): Bound {
  const { shape } = cluster;
  const { workgroup } = profile;
  const axes = cluster.axes ?? [];
  const kept = without(shape, axes);
  const inner = shape.filter((_, axis) => axes.includes(axis));
  const isLong =
    cluster.axes !== null && (axes.includes(shape.length - 1) || sizeOf(kept) < workgroup) && sizeOf(inner) >= LONG_ROW;
  const split: GpuRows = { cluster, kept, inner, isLong, key: `${sizeOf(kept)}x${sizeOf(inner)}` };
  const request: KernelRequest = { name, clusters: [cluster], profile, places, lanes: 1, workgroup };
  const sharesRows = isLong && (sizeOf(kept) < MANY_ROWS || chosen(profile, "row", split.key, DEFAULT).shared);
  if (!sharesRows) return kernelize(request, (bench) => rowPerInvocation(bench, split));
  return kernelize({ ...request, name: `${name}_shared`, cooperation: { depth: 0, workgroup } }, (bench) =>
    rowPerWorkgroup(bench, split),
  );
}

/** A row a workgroup. What its loop needs of reductions is emitted before it, where all invocations meet. */
function rowPerWorkgroup(bench: Workbench, { cluster, kept, inner, key }: GpuRows): number {
  const { emitter: e, profile } = bench;
  if (sizeOf(kept) >= MANY_ROWS) bench.choose("row", key, DEFAULT);
  const { full, row } = byLevel(cluster);
  const split: Split = { shape: cluster.shape, axes: cluster.axes ?? [] };
  const number: Coord = outermost(group);
  const at = kept.length === 1 ? [number] : e.split(number, kept);
  const values = row.map((root): Expr => e.emit(root, at));
  e.guard(k.eq(local, k.idx(0)), () =>
    row.forEach((root, i) => e.store(bench.write(root), root, at, mustAt(values, i))),
  );
  if (full.length) {
    e.loop(local, k.idx(sizeOf(inner)), profile.workgroup, (flat) =>
      storeRoots(bench, full, merge(split, at, e.split(flat, inner))),
    );
  }
  return sizeOf(kept);
}

/** A row an invocation, or an element of a map. */
function rowPerInvocation(bench: Workbench, { cluster, kept, inner, isLong, key }: GpuRows): number {
  const { emitter: e, profile } = bench;
  const { workgroup } = profile;
  const { full, row } = byLevel(cluster);
  const isMap = cluster.axes === null;
  const split: Split = { shape: cluster.shape, axes: cluster.axes ?? [] };
  const total = isMap ? sizeOf(cluster.shape) : sizeOf(kept);
  if (isLong) bench.choose("row", key, DEFAULT);
  const flat = k.add(k.mul(group, k.idx(workgroup)), local);
  e.guard(k.lt(flat, k.idx(total)), () => {
    const at = e.split(e.coord(flat), isMap ? cluster.shape : kept);
    if (isMap) return storeRoots(bench, full, at);
    storeRoots(bench, row, at);
    if (full.length) e.nest(inner, (coords) => storeRoots(bench, full, merge(split, at, coords)));
  });
  return Math.ceil(total / workgroup);
}
