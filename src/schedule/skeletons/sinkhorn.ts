/**
 * Sinkhorn's projection of n x n matrices onto the doubly stochastic ones, in registers, and its vjp. On a GPU an
 * invocation takes a matrix; on a CPU every lane takes one, which works for every n and needs no shuffles:
 * entry (i, j) of all of them is one vector. (A last block of fewer repeats the last matrix, and stores it again
 * where it stands.) The first column-and-row pass runs in the log domain, so logits of +-80 do no harm; afterwards
 * every denominator is at least 1/n^2. What is done once (reading, the first pass, writing) goes line by line through
 * small arrays, so that the text of a kernel does not hold an exponential for every entry; the iterations are in
 * registers. The vjp recomputes the projection on chip: it keeps the 2 T n scaling sums, not the 2 T matrices, and
 * walks back from the result by multiplying with them. It carries the cotangents of logarithms: for P = Q / s with s
 * the sum of Q along an axis (plus epsilon) and G = dP * P, that of log Q is G - sum(G) * P, the sum along the same
 * axis: no division, and half of the operations of dQ = (dP - sum(dP * P)) / s.
 */
import { sizeOf } from "../../graph/record.js";
import type { KernelProfile } from "../../kernel/profile.js";
import * as k from "../../kernel/build.js";
import type { Expr, Lanes } from "../../kernel/ir.js";
import { mustAt } from "../../../runtime/lookup.js";
import type { Coord } from "../emit/coords.js";
import type { Emitter } from "../emit/emit.js";
import { kernelize, type Bound, type Places, type Workbench } from "../emit/kernelize.js";
import type { Cluster } from "../fusion/clusters.js";
import { behindReshapes } from "../fusion/views.js";
import { anchorOf } from "./anchor.js";
import { createProjection, type Projection, type SinkhornNode } from "./projection.js";

/** Matrices a group of a CPU kernel takes. */
const GROUP = 64;
const group = k.ref("group", k.INDEX);

/** The kernel of a cluster whose anchor is a projection, or the derivative of one. */
export function sinkhornKernel(cluster: Cluster, profile: KernelProfile, places: Places): Bound {
  const node = anchorOf(cluster, "sinkhorn", "sinkhorn_vjp");
  const n = mustAt(node.shape, node.shape.length - 1);
  const count = sizeOf(node.shape) / (n * n);
  const isGpu = profile.kind === "gpu";
  const lanes = isGpu ? 1 : profile.lanes;
  const workgroup = isGpu ? profile.workgroup : 1;
  return kernelize({ name: node.op, clusters: [cluster], profile, places, lanes, workgroup }, (bench) => {
    const { emitter: e } = bench;
    const project = projectorOf(bench, node, lanes, count);
    if (isGpu) {
      const flat = k.add(k.mul(group, k.idx(workgroup)), k.ref("local", k.INDEX));
      e.guard(k.lt(flat, k.idx(count)), () => project(e.bind(flat)));
      return Math.ceil(count / workgroup);
    }
    const from = e.bind(k.mul(group, k.idx(GROUP)));
    e.loop(from, e.bind(k.min(k.add(from, k.idx(GROUP)), k.idx(count))), lanes, (index) => project(index.at));
    return Math.ceil(count / GROUP);
  });
}

/** Projects the matrices from a number on, one a lane, of `count` that lie in memory one after the other. */
function projectorOf(bench: Workbench, node: SinkhornNode, lanes: Lanes, count: number): (first: Expr) => void {
  const { emitter: e, places } = bench;
  const n = mustAt(node.shape, node.shape.length - 1);
  const inputs = node.inputs.map((input) => bench.read(behindReshapes(input, places.isBase)));
  const output = bench.write(node);
  const project: Projection = createProjection(e, node, lanes, false);
  const entry = (row: Coord, column: Coord): Expr => k.add(k.mul(row.at, k.idx(n)), column.at);
  return (first) => {
    const bases = Array.from({ length: lanes }, (_, l) => {
      const next = k.add(first, k.idx(l));
      return e.bind(k.mul(count % lanes === 0 || l === 0 ? next : k.min(next, k.idx(count - 1)), k.idx(n * n)));
    });
    project(
      (input, row, column) => loadLanes(mustAt(inputs, input), bases, entry(row, column)),
      (row, column, value) => storeLanes(e, output, bases, entry(row, column), value),
    );
  };
}

/** Word `i` after each of the bases: a scalar for one, else a vector. */
function loadLanes(buffer: string, bases: readonly Expr[], i: Expr): Expr {
  return k.lanes(bases.map((base) => k.load(buffer, k.add(base, i), k.F32)));
}

function storeLanes(e: Emitter, buffer: string, bases: readonly Expr[], i: Expr, value: Expr): void {
  for (const [l, base] of bases.entries())
    e.push(k.store(buffer, k.add(base, i), bases.length === 1 ? value : k.extract(value, l)));
}
