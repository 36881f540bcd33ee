/** Matrix products on a GPU: a 4 x 4 tile of registers an invocation. The epilogue of the cluster is emitted on the accumulators. */
import type { NodeWith } from "../graph/node.js";
import * as k from "../kernel/build.js";
import { F32 } from "../kernel/build.js";
import type { Expr } from "../kernel/ir.js";
import type { Axis, Product } from "./contraction.js";
import type { Coord } from "./emit.js";
import { finish } from "./epilogue.js";
import type { Workbench } from "./kernelize.js";
import type { Cluster } from "./partition.js";
import { sizeOf } from "./views.js";

const group = k.ref("group", k.INDEX);

export function matmulGpu(bench: Workbench, cluster: Cluster, node: NodeWith<"contract">, product: Product): number {
  const { emitter: e, profile } = bench;
  const { m, n, outer } = product;
  const a = bench.read(product.a.base);
  const b = bench.read(product.b.base);
  const height = Math.min(4, m.size);
  const width = Math.min(4, n.size);
  const sizes = [sizeOf(outer.map((axis) => axis.size)), Math.ceil(m.size / height), Math.ceil(n.size / width)];
  const tasks = sizeOf(sizes);
  const flat = k.add(k.mul(group, k.idx(profile.workgroup)), k.ref("local", k.INDEX));
  e.guard(k.lt(flat, k.idx(tasks)), () => {
    const [o, i, j] = e.split(e.coord(flat), sizes) as [Coord, Coord, Coord];
    const at = e.split(o, outer.map((axis) => axis.size));
    const baseA = e.address(at, outer.map((axis) => axis.a)).at;
    const baseB = e.address(at, outer.map((axis) => axis.b)).at;
    const m0 = e.coord(k.mul(i.at, k.idx(height)));
    const n0 = e.coord(k.mul(j.at, k.idx(width)));
    const clamp = (start: Coord, offset: number, axis: Axis, step: number): Expr => {
      const position = k.add(start.at, k.idx(offset));
      return axis.size % step === 0 || offset === 0 ? position : k.min(position, k.idx(axis.size - 1));
    };
    const rows = Array.from({ length: height }, (_, r) => e.bind(k.add(baseA, k.mul(clamp(m0, r, m, height), k.idx(m.a)))));
    const columns = Array.from({ length: width }, (_, c) => e.bind(k.add(baseB, k.mul(clamp(n0, c, n, width), k.idx(n.b)))));
    const names = rows.map(() => columns.map(() => {
      const name = e.fresh("acc");
      e.push(k.varS(name, k.f32(0)));
      return name;
    }));
    e.nest(product.k.map((axis) => axis.size), (kk) => {
      const offA = e.address(kk, product.k.map((axis) => axis.a)).at;
      const offB = e.address(kk, product.k.map((axis) => axis.b)).at;
      const x = rows.map((row) => e.bind(k.load(a, k.add(row, offA), F32)));
      const y = columns.map((column) => e.bind(k.load(b, k.add(column, offB), F32)));
      x.forEach((left, r) => y.forEach((right, c) => e.push(k.assign(names[r]![c]!, k.fma(left, right, k.ref(names[r]![c]!, F32))))));
    });
    const home = e.depth();
    names.forEach((row, r) => {
      row.forEach((name, c) => {
        const mAt = e.coord(k.add(m0.at, k.idx(r)));
        const nAt = e.coord(k.add(n0.at, k.idx(c)));
        const loops = [...outer.map((axis, x) => ({ axis, at: at[x]! })), { axis: m, at: mAt }, { axis: n, at: nAt }];
        const emitOne = (): void => finish(bench, cluster, node, loops, k.ref(name, F32), home);
        const ragged = [
          ...(r > 0 && m.size % height !== 0 ? [k.lt(mAt.at, k.idx(m.size))] : []),
          ...(c > 0 && n.size % width !== 0 ? [k.lt(nAt.at, k.idx(n.size))] : []),
        ];
        if (ragged.length) e.guard(ragged.reduce((x, y) => k.and(x, y)), emitOne);
        else emitOne();
      });
    });
  });
  return Math.ceil(tasks / profile.workgroup);
}
