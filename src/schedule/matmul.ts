/**
 * Matrix products. CPU: blocks of 4 rows by two vectors of columns (4 x 8 with f32x4: the only block that never spilled when
 * measured), the columns of B packed into a panel when enough rows share it or when they are not contiguous. GPU: `matmul-gpu.ts`.
 * The elementwise epilogue of the cluster is emitted on the accumulators (`epilogue.ts`).
 */
import type { KernelProfile } from "../../codegen/target.js";
import type { NodeWith } from "../graph/node.js";
import * as k from "../kernel/build.js";
import type { Expr, Type } from "../kernel/ir.js";
import { extentOfK, readProduct, type Axis, type Product } from "./contraction.js";
import { constant, type Coord } from "./emit.js";
import { finish } from "./epilogue.js";
import { kernelize, type Bound, type Places, type Workbench } from "./kernelize.js";
import { matmulGpu } from "./matmul-gpu.js";
import type { Cluster } from "./partition.js";
import { rowMajor, sizeOf } from "./views.js";

const ROWS = 4;
/** Multiply-adds that one group of a CPU kernel is worth. */
const GROUP = 1 << 18;
/** Rows that share one packed panel. */
const CHUNK = 64;
/** A longer panel would leave the first-level cache. */
const LONGEST_PANEL = 2048;
const F32: Type = { of: "f32", lanes: 1 };

const group = k.ref("group", k.INDEX);

export function matmulKernel(cluster: Cluster, profile: KernelProfile, places: Places): Bound {
  const node = cluster.anchor as NodeWith<"contract">;
  const product = readProduct(node, places.isBase);
  return profile.kind === "gpu"
    ? kernelize("matmul", cluster, profile, places, 1, profile.workgroup, (bench) => matmulGpu(bench, cluster, node, product))
    : kernelize("matmul", cluster, profile, places, profile.lanes, 1, (bench) => cpu(bench, cluster, node, product));
}

function cpu(bench: Workbench, cluster: Cluster, node: NodeWith<"contract">, product: Product): number {
  const { emitter: e, profile } = bench;
  const { m, n, outer } = product;
  const lanes = profile.lanes;
  const a = bench.read(product.a.base);
  const b = bench.read(product.b.base);
  const depthK = extentOfK(product);
  const vectors = lanes === 4 ? (n.size > 4 ? 2 : 1) : Math.min(4, n.size);
  const block = lanes * vectors;
  const blocks = Math.ceil(n.size / block);
  const packed = (m.size > 8 || (n.b !== 1 && m.size > 1) || (lanes === 4 && n.b !== 1 && n.size > 1)) && depthK <= LONGEST_PANEL;
  const chunk = packed ? Math.min(m.size, Math.max(CHUNK, Math.ceil(m.size / 64 / ROWS) * ROWS)) : Math.min(m.size, CHUNK);
  const chunks = Math.ceil(m.size / chunk);
  const sizes = [sizeOf(outer.map((axis) => axis.size)), chunks, blocks];
  const tasks = sizeOf(sizes);
  const each = Math.max(1, Math.min(tasks, Math.floor(GROUP / (chunk * block * depthK))));
  if (packed) e.push(k.arrayS("panel", "f32", depthK * block));

  const from = e.bind(k.mul(group, k.idx(each)));
  const to = e.bind(k.min(k.add(from, k.idx(each)), k.idx(tasks)));
  e.loop(from, to, 1, (task) => {
    const [o, c, j] = e.split(task, sizes) as [Coord, Coord, Coord];
    const at = e.split(o, outer.map((axis) => axis.size));
    const n0 = e.coord(k.mul(j.at, k.idx(block)));
    const baseA = e.address(at, outer.map((axis) => axis.a)).at;
    const baseB = e.address(at, outer.map((axis) => axis.b)).at;
    const whole = n.size % block === 0;
    const wholeVectors = whole || (lanes === 1);
    if (packed) pack(n0, baseB);
    const first = e.coord(k.mul(c.at, k.idx(chunk)));
    const end = e.bind(k.min(k.add(first.at, k.idx(chunk)), k.idx(m.size)));
    const rowsLeft = m.size % ROWS;
    const rows = Math.min(ROWS, m.size);
    if (m.size === 1) tile(constant(0), 1, false);
    else e.loop(first.at, end, rows, (m0) => tile(m0, rows, rowsLeft !== 0 && m.size > ROWS));

    function tile(m0: Coord, height: number, ragged: boolean): void {
      const home = e.depth();
      const type: Type = { of: "f32", lanes };
      const rowAt = Array.from({ length: height }, (_, r) => {
        const row = r === 0 ? m0.at : ragged ? k.min(k.add(m0.at, k.idx(r)), k.idx(m.size - 1)) : k.add(m0.at, k.idx(r));
        return e.bind(k.add(baseA, k.mul(row, k.idx(m.a))));
      });
      const names = rowAt.map(() => Array.from({ length: vectors }, () => {
        const name = e.fresh("acc");
        e.push(k.varS(name, lanes === 4 ? k.splat(k.f32(0)) : k.f32(0)));
        return name;
      }));
      e.nest(product.k.map((axis) => axis.size), (kk) => {
        const offA = e.address(kk, product.k.map((axis) => axis.a)).at;
        const columns = packed
          ? panelLoads(kk)
          : loadB(e.bind(k.add(k.add(baseB, k.mul(n0.at, k.idx(n.b))), e.address(kk, product.k.map((axis) => axis.b)).at)), n0);
        const bound = columns.map((value) => e.bind(value));
        rowAt.forEach((row, r) => {
          const x = e.bind(k.load(a, k.add(row, offA), F32));
          const wide = lanes === 4 ? e.bind(k.splat(x)) : x;
          bound.forEach((value, v) => e.push(k.assign(names[r]![v]!, k.fma(wide, value, k.ref(names[r]![v]!, type)))));
        });
      });
      names.forEach((row, r) => {
        const mAt: Coord = m.size === 1 ? constant(0) : r === 0 ? m0 : e.coord(k.add(m0.at, k.idx(r)));
        const emitRow = (): void => row.forEach((name, v) => emitVector(mAt, v, k.ref(name, type), home));
        if (ragged && r > 0) e.guard(k.lt(mAt.at, k.idx(m.size)), emitRow);
        else emitRow();
      });
    }

    function emitVector(mAt: Coord, v: number, value: Expr, home: number): void {
      const loops = (nAt: Coord): { axis: Axis; at: Coord }[] =>
        [...outer.map((axis, i) => ({ axis, at: at[i]! })), { axis: m, at: mAt }, { axis: n, at: nAt }];
      const start = v === 0 ? n0 : e.coord(k.add(n0.at, k.idx(v * lanes)));
      if (lanes === 1) {
        if (whole) finish(bench, cluster, node, loops(start), value, home);
        else e.guard(k.lt(start.at, k.idx(n.size)), () => finish(bench, cluster, node, loops(start), value, home));
        return;
      }
      if (wholeVectors) return finish(bench, cluster, node, loops({ ...start, lane: 1 }), value, home);
      if (n.size >= 4) e.guard(k.le(k.add(start.at, k.idx(4)), k.idx(n.size)), () => finish(bench, cluster, node, loops({ ...start, lane: 1 }), value, home));
      e.guard(k.lt(k.idx(n.size), k.add(start.at, k.idx(4))), () => {
        for (const l of [0, 1, 2, 3] as const) {
          if ((n.size - l - 1) % 4 > 2 && n.size % 4 <= l) continue;
          e.guard(k.lt(k.add(start.at, k.idx(l)), k.idx(n.size)), () =>
            finish(bench, cluster, node, loops(e.coord(k.add(start.at, k.idx(l)))), k.extract(value, l), home));
        }
      });
    }

    /** Columns n0 .. n0 + block of B for one k, straight from memory; columns past the end repeat the last one. */
    function loadB(address: Expr, start: Coord): Expr[] {
      if (n.b === 1 && whole) {
        return Array.from({ length: vectors }, (_, v) => k.load(b, k.add(address, k.idx(v * lanes)), { of: "f32", lanes }));
      }
      const scalar = (j: number): Expr => {
        const column = whole ? k.idx(j * n.b) : k.mul(k.sub(k.min(k.add(start.at, k.idx(j)), k.idx(n.size - 1)), start.at), k.idx(n.b));
        return k.load(b, k.add(address, column), F32);
      };
      if (lanes === 1) return Array.from({ length: block }, (_, i) => scalar(i));
      return Array.from({ length: vectors }, (_, v) =>
        k.lanes([scalar(4 * v), scalar(4 * v + 1), scalar(4 * v + 2), scalar(4 * v + 3)]));
    }

    function pack(start: Coord, base: Expr): void {
      const origin = e.bind(k.add(base, k.mul(start.at, k.idx(n.b))));
      e.nest(product.k.map((axis) => axis.size), (kk) => {
        const address = e.bind(k.add(origin, e.address(kk, product.k.map((axis) => axis.b)).at));
        const row = panelRow(kk);
        loadB(address, start).forEach((value, v) => e.push(k.store("panel", k.add(row, k.idx(v * lanes)), value)));
      });
    }

    function panelRow(kk: readonly Coord[]): Expr {
      const strides = rowMajor(product.k.map((axis) => axis.size)).map((stride) => stride * block);
      return e.bind(e.address(kk, strides).at);
    }

    function panelLoads(kk: readonly Coord[]): Expr[] {
      const row = panelRow(kk);
      return Array.from({ length: vectors }, (_, v) => k.load("panel", k.add(row, k.idx(v * lanes)), { of: "f32", lanes }));
    }
  });
  return Math.ceil(tasks / each);
}
