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
import { sizeOf } from "../../../graph/record.js";
import type { Choice } from "../../../kernel/profile.js";
import type { NodeWith } from "../../../graph/node.js";
import * as k from "../../../kernel/build.js";
import { F32 } from "../../../kernel/build.js";
import type { Expr, Type } from "../../../kernel/ir.js";
import { extentOfK, shapeOf, type Axis, type Product } from "../../fusion/contraction.js";
import type { Coord } from "../../emit/emit.js";
import { finish } from "../epilogue.js";
import type { Workbench } from "../../emit/kernelize.js";
import type { Cluster } from "../../fusion/partition.js";
import { drain } from "../shift-registers.js";

export interface GpuTile extends Choice {
  /** Of the result, in the registers of one invocation. */
  readonly rows: number;
  readonly columns: number;
  /** Steps along k in one turn of the loop: 1, or 4 where the innermost summed axis is a multiple of it. */
  readonly unroll: number;
  /** 1: tiles of A and B go through workgroup memory. */
  readonly shared: number;
  /** 1: the epilogue and the store are in the text once, in a loop over the accumulators (`shift-registers.ts`). */
  readonly rolled: number;
  /** 0, or how many neighbours in a subgroup load one step along k of A each and hand it to the others. */
  readonly subgroup: number;
}

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
/** Steps along k that workgroup memory holds. */
const STEPS = 16;

/** Where one invocation's tile lies, and its accumulators. */
interface Tile {
  readonly outer: readonly Coord[];
  /** First row, and how many. */
  readonly row: Coord;
  readonly height: number;
  /** The first column of each vector, by its number, and bound for all. */
  readonly column: (v: Expr) => Expr;
  readonly columns: readonly Coord[];
  readonly names: readonly (readonly string[])[];
  readonly type: Type;
}

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

export function matmulGpu(bench: Workbench, cluster: Cluster, node: NodeWith<"contract">, product: Product): number {
  const tile = bench.choose("matmul", shapeOf(product), defaultGpuTile(product));
  const lanes = bench.profile.lanes === 4 && product.n.size >= 4 ? 4 : 1;
  const height = Math.max(1, Math.min(tile.rows, product.m.size));
  const vectors = Math.max(1, Math.min(Math.floor(tile.columns / lanes), Math.ceil(product.n.size / lanes)));
  return tile.shared ? shared() : tile.subgroup ? subgroups() : registers();

  function registers(): number {
    const { emitter: e, profile } = bench;
    const { m, n, outer } = product;
    const all = Math.ceil(n.size / lanes);
    const across = Math.ceil(all / vectors);
    const sizes = [sizeOf(outer.map((axis) => axis.size)), Math.ceil(m.size / height), across];
    const tasks = sizeOf(sizes);
    const flat = k.add(k.mul(group, k.idx(profile.workgroup)), local);
    const body = (): void => {
      const [o, i, j] = e.split(e.coord(flat), sizes) as [Coord, Coord, Coord];
      const vector = (v: Expr): Expr => k.add(j.at, k.mul(v, k.idx(across)));
      const mayEnd = (v: Expr): boolean => (v.kind === "const" ? v.value + 1 : vectors) * across > all;
      const mine = tileAt(
        e.split(
          o,
          outer.map((axis) => axis.size),
        ),
        e.coord(k.mul(i.at, k.idx(height))),
        (v) => k.mul(mayEnd(v) ? k.min(vector(v), k.idx(all - 1)) : vector(v), k.idx(lanes)),
      );
      const a = rowsOfA(mine);
      const b = columnsOfB(mine);
      const { summed, step } = loopOverK(tile.unroll);
      e.nest(
        summed.slice(0, -1).map((axis) => axis.size),
        (before) => {
          const last = summed[summed.length - 1];
          const turn = (kk: readonly Coord[]): void => {
            const x = a(kk, step);
            const y = b(kk, step);
            for (let s = 0; s < step; s++)
              multiply(
                mine,
                (r) => x(r, s),
                (v) => y(v, s),
              );
          };
          if (last === undefined) turn(before);
          else e.loop(k.idx(0), k.idx(last.size), step, (at) => turn([...before, at]));
        },
      );
      store(mine, (v) => (mayEnd(v) ? k.lt(vector(v), k.idx(all)) : null));
    };
    if (tasks % profile.workgroup === 0) body();
    else e.guard(k.lt(flat, k.idx(tasks)), body);
    return Math.ceil(tasks / profile.workgroup);
  }

  /**
   * Clusters of neighbours that have their rows in common: lane l of a cluster loads the steps l, l + width, … of A,
   * and has the l-th of every `width` vectors.
   */
  function subgroups(): number {
    const { emitter: e, profile } = bench;
    const { m, n, outer } = product;
    const width = tile.subgroup;
    const all = Math.ceil(n.size / lanes);
    const across = Math.ceil(all / (vectors * width));
    const sizes = [sizeOf(outer.map((axis) => axis.size)), Math.ceil(m.size / height), across];
    const clusters = sizeOf(sizes);
    const mate = e.coord(k.rem(local, k.idx(width)));
    const cluster = e.bind(k.div(k.add(k.mul(group, k.idx(profile.workgroup)), local), k.idx(width)));
    // Clusters past the end do the work of the last one again, since all must meet, and store nothing.
    const spare = (clusters * width) % profile.workgroup !== 0;
    const [o, i, j] = e.split(e.coord(spare ? k.min(cluster, k.idx(clusters - 1)) : cluster), sizes) as [
      Coord,
      Coord,
      Coord,
    ];
    const vector = (v: Expr): Expr => k.add(k.mul(k.add(k.mul(j.at, k.idx(vectors)), v), k.idx(width)), mate.at);
    const mayEnd = across * vectors * width > all;
    const mine = tileAt(
      e.split(
        o,
        outer.map((axis) => axis.size),
      ),
      e.coord(k.mul(i.at, k.idx(height))),
      (v) => k.mul(mayEnd ? k.min(vector(v), k.idx(all - 1)) : vector(v), k.idx(lanes)),
    );
    const a = rowsOfA(mine);
    const b = columnsOfB(mine);
    const { summed } = loopOverK(1);
    const last = summed[summed.length - 1]?.size ?? 1;
    const clamped = (at: Expr): Coord => e.coord(last % width === 0 ? at : k.min(at, k.idx(last - 1)));
    e.nest(
      summed.slice(0, -1).map((axis) => axis.size),
      (before) => {
        e.loop(k.idx(0), k.idx(last), width, (at) => {
          const own = e.bind(k.add(at.at, mate.at));
          const x = a(summed.length ? [...before, clamped(own)] : before, 1);
          // Past the end of k, zeros.
          const held = Array.from({ length: height }, (_, r) =>
            e.bind(last % width === 0 ? x(r, 0) : k.select(k.lt(own, k.idx(last)), x(r, 0), k.f32(0))),
          );
          e.loop(k.idx(0), k.idx(width), 1, (lane) => {
            const y = b(summed.length ? [...before, clamped(k.add(at.at, lane.at))] : before, 1);
            const given = held.map((value) => e.bind(k.exchange(value, lane.at, width)));
            multiply(
              mine,
              (r) => given[r]!,
              (v) => y(v, 0),
            );
          });
        });
      },
    );
    store(mine, (v) => {
      const conditions = [
        ...(mayEnd ? [k.lt(vector(v), k.idx(all))] : []),
        ...(spare ? [k.lt(cluster, k.idx(clusters))] : []),
      ];
      return conditions.length ? conditions.reduce((x, y) => k.and(x, y)) : null;
    });
    return Math.ceil((clusters * width) / profile.workgroup);
  }

  /** Workgroups of `across` invocations by the rest; all of them copy, none leaves before the last barrier. */
  function shared(): number {
    const { emitter: e, profile } = bench;
    const { m, n, outer } = product;
    const depth = extentOfK(product);
    const across = Math.min(8, profile.workgroup);
    const down = profile.workgroup / across;
    const wide = across * vectors * lanes;
    const high = down * height;
    const [left, right] = [e.fresh("left"), e.fresh("right")];
    e.push(k.sharedS(left, "f32", high * STEPS));
    e.push(k.sharedS(right, "f32", wide * STEPS));
    const sizes = [sizeOf(outer.map((axis) => axis.size)), Math.ceil(m.size / high), Math.ceil(n.size / wide)];
    const [o, i, j] = e.split({ at: group, lane: 0, depth: 0 }, sizes) as [Coord, Coord, Coord];
    const [y, x] = e.split({ at: local, lane: 0, depth: 0 }, [down, across]) as [Coord, Coord];
    const [m0, n0] = [e.coord(k.mul(i.at, k.idx(high))), e.coord(k.mul(j.at, k.idx(wide)))];
    const firstVector = e.bind(k.mul(x.at, k.idx(lanes)));
    const firstRow = e.bind(k.mul(y.at, k.idx(height)));
    const mine = tileAt(
      e.split(
        o,
        outer.map((axis) => axis.size),
      ),
      e.coord(k.add(m0.at, firstRow)),
      (v) => k.add(k.add(n0.at, firstVector), k.mul(v, k.idx(across * lanes))),
    );
    const baseA = e.address(
      mine.outer,
      outer.map((axis) => axis.a),
    ).at;
    const baseB = e.address(
      mine.outer,
      outer.map((axis) => axis.b),
    ).at;
    e.loop(k.idx(0), k.idx(depth), STEPS, (k0) => {
      copy(left, high, k0, m0, m.size, m.a, bench.read(product.a.base), baseA, "a");
      copy(right, wide, k0, n0, n.size, n.b, bench.read(product.b.base), baseB, "b");
      e.push(k.barrier());
      e.loop(k.idx(0), k.idx(STEPS), 1, (step) => {
        const rowAt = e.bind(k.add(k.mul(step.at, k.idx(high)), firstRow));
        const columnAt = e.bind(k.add(k.mul(step.at, k.idx(wide)), firstVector));
        const xs = Array.from({ length: height }, (_, r) => e.bind(k.load(left, k.add(rowAt, k.idx(r)), F32)));
        const ys = Array.from({ length: vectors }, (_, v) =>
          e.bind(k.load(right, k.add(columnAt, k.idx(v * across * lanes)), mine.type)),
        );
        multiply(
          mine,
          (r) => xs[r]!,
          (v) => ys[v]!,
        );
      });
      e.push(k.barrier());
    });
    store(mine, (_, start) => (n.size % wide === 0 ? null : k.lt(start.at, k.idx(n.size))), m.size % high !== 0);
    return sizeOf(sizes);

    /**
     * Copies `extent` positions of an operand from `start` on, by STEPS along k from k0 on; what is past an end counts
     * as 0.
     */
    function copy(
      to: string,
      extent: number,
      k0: Coord,
      start: Coord,
      size: number,
      stride: number,
      from: string,
      base: Expr,
      operand: "a" | "b",
    ): void {
      const along = stride === 1;
      e.loop(local, k.idx(extent * STEPS), profile.workgroup, (flat) => {
        const parts = e.split(flat, along ? [STEPS, extent] : [extent, STEPS]) as [Coord, Coord];
        const [step, own] = along ? parts : [parts[1], parts[0]];
        const inK = e.bind(k.add(k0.at, step.at));
        const inOwn = e.bind(k.add(start.at, own.at));
        const clampedK = depth % STEPS === 0 ? inK : k.min(inK, k.idx(depth - 1));
        const clampedOwn = size % extent === 0 ? inOwn : k.min(inOwn, k.idx(size - 1));
        const kk = e.split(
          e.coord(clampedK),
          product.k.map((axis) => axis.size),
        );
        const word = e.bind(
          k.load(
            from,
            k.add(
              k.add(base, k.mul(clampedOwn, k.idx(stride))),
              e.address(
                kk,
                product.k.map((axis) => axis[operand]),
              ).at,
            ),
            F32,
          ),
        );
        const value = depth % STEPS === 0 ? word : k.select(k.lt(inK, k.idx(depth)), word, k.f32(0));
        e.push(k.store(to, k.add(k.mul(step.at, k.idx(extent)), own.at), value));
      });
    }
  }

  function tileAt(outer: readonly Coord[], row: Coord, column: (v: Expr) => Expr): Tile {
    const { emitter: e } = bench;
    const type: Type = { of: "f32", lanes };
    const columns = Array.from({ length: vectors }, (_, v) => e.coord(column(k.idx(v))));
    const names = Array.from({ length: height }, () =>
      columns.map(() => {
        const name = e.fresh("acc");
        e.push(k.varS(name, lanes === 4 ? k.splat(k.f32(0)) : k.f32(0)));
        return name;
      }),
    );
    return { outer, row, height, column, columns, names, type };
  }

  function multiply({ names, type }: Tile, x: (row: number) => Expr, y: (vector: number) => Expr): void {
    names.forEach((row, r) => {
      const wide = lanes === 4 ? bench.emitter.bind(k.splat(x(r))) : x(r);
      row.forEach((name, v) => bench.emitter.push(k.assign(name, k.fma(wide, y(v), k.ref(name, type)))));
    });
  }

  /** The summed axes, and how many steps one turn of the innermost loop takes. */
  function loopOverK(unroll: number): { readonly summed: readonly Axis[]; readonly step: number } {
    const summed = product.k.filter(({ size }) => size > 1);
    const last = summed[summed.length - 1];
    return { summed, step: last !== undefined && unroll > 1 && last.size % unroll === 0 ? unroll : 1 };
  }

  /** Loads of A for one turn: of row r and step s. */
  function rowsOfA({ outer, row }: Tile) {
    const { emitter: e } = bench;
    const { m, outer: axes } = product;
    const a = bench.read(product.a.base);
    const summed = product.k.filter(({ size }) => size > 1);
    const inner = summed[summed.length - 1]?.a ?? 0;
    const base = e.address(
      outer,
      axes.map((axis) => axis.a),
    ).at;
    const inRows = lanes === 4 && m.a === 1 && height % 4 === 0 && m.size % 4 === 0;
    const ragged = m.size % height !== 0;
    const starts = Array.from({ length: height }, (_, r) => {
      const position = k.add(row.at, k.idx(r));
      return e.bind(
        k.add(
          base,
          k.mul(ragged && r > 0 ? k.min(position, k.idx(inRows ? m.size - 4 : m.size - 1)) : position, k.idx(m.a)),
        ),
      );
    });
    return (kk: readonly Coord[], step: number): ((r: number, s: number) => Expr) => {
      const offset = e.address(
        kk,
        summed.map((axis) => axis.a),
      ).at;
      const at = (r: number, s: number): Expr => k.add(k.add(starts[r]!, offset), k.idx(s * inner));
      if (inRows) {
        const loaded = Array.from({ length: step }, (_, s) =>
          starts
            .filter((_start, r) => r % 4 === 0)
            .map((_start, q) => e.bind(k.load(a, at(4 * q, s), { of: "f32", lanes: 4 }))),
        );
        return (r, s) => k.extract(loaded[s]![r >> 2]!, (r & 3) as 0 | 1 | 2 | 3);
      }
      if (lanes === 4 && step === 4 && inner === 1) {
        const loaded = starts.map((_, r) => e.bind(k.load(a, at(r, 0), { of: "f32", lanes: 4 })));
        return (r, s) => k.extract(loaded[r]!, s as 0 | 1 | 2 | 3);
      }
      const loaded = starts.map((_, r) => Array.from({ length: step }, (_step, s) => e.bind(k.load(a, at(r, s), F32))));
      return (r, s) => loaded[r]![s]!;
    };
  }

  /** Loads of B for one turn: of vector v and step s. */
  function columnsOfB({ outer, columns, type }: Tile) {
    const { emitter: e } = bench;
    const { n, outer: axes } = product;
    const b = bench.read(product.b.base);
    const summed = product.k.filter(({ size }) => size > 1);
    const inner = summed[summed.length - 1]?.b ?? 0;
    const base = e.address(
      outer,
      axes.map((axis) => axis.b),
    ).at;
    const whole = n.size % lanes === 0;
    const inColumns = lanes === 1 || (n.b === 1 && whole);
    const starts = columns.map((column) =>
      Array.from({ length: inColumns ? 1 : 4 }, (_, l) => {
        const position = k.add(column.at, k.idx(l));
        return e.bind(k.add(base, k.mul(whole || l === 0 ? position : k.min(position, k.idx(n.size - 1)), k.idx(n.b))));
      }),
    );
    return (kk: readonly Coord[], step: number): ((v: number, s: number) => Expr) => {
      const offset = e.address(
        kk,
        summed.map((axis) => axis.b),
      ).at;
      const at = (start: Expr, s: number): Expr => k.add(k.add(start, offset), k.idx(s * inner));
      const steps = Array.from({ length: step }, (_, s) => s);
      const packed = (items: readonly Expr[]): Expr => e.bind(k.lanes(items as unknown as [Expr, Expr, Expr, Expr]));
      const loaded = starts.map((lane) => {
        if (inColumns) return steps.map((s) => e.bind(k.load(b, at(lane[0]!, s), type)));
        if (step === 4 && inner === 1) {
          const runs = lane.map((start) => e.bind(k.load(b, at(start, 0), { of: "f32", lanes: 4 })));
          return steps.map((s) => packed(runs.map((run) => k.extract(run, s as 0 | 1 | 2 | 3))));
        }
        return steps.map((s) => packed(lane.map((start) => k.load(b, at(start, s), F32))));
      });
      return (v, s) => loaded[v]![s]!;
    };
  }

  /** The epilogue and the stores; `within` says when a vector is one of the result at all. */
  function store(
    { outer, row, column, columns, names, type }: Tile,
    within: (v: Expr, start: Coord) => Expr | null,
    checkFirst = false,
  ): void {
    const { emitter: e } = bench;
    const { m, n } = product;
    const ragged = checkFirst || m.size % height !== 0;
    const when = (conditions: readonly (Expr | null)[], body: () => void): void => {
      const real = conditions.filter((condition) => condition !== null);
      if (real.length)
        e.guard(
          real.reduce((x, y) => k.and(x, y)),
          body,
        );
      else body();
    };
    const write = (mAt: Coord, isFirst: boolean, start: Coord, v: Expr, value: Expr, home: number): void => {
      const one = (nAt: Coord, item: Expr): void =>
        finish(
          bench,
          cluster,
          node,
          [...product.outer.map((axis, x) => ({ axis, at: outer[x]! })), { axis: m, at: mAt }, { axis: n, at: nAt }],
          item,
          home,
        );
      when([ragged && (checkFirst || !isFirst) ? k.lt(mAt.at, k.idx(m.size)) : null, within(v, start)], () => {
        if (lanes === 1) return one(start, value);
        if (n.size % 4 === 0) return one({ ...start, lane: 1 }, value);
        e.guard(k.le(k.add(start.at, k.idx(4)), k.idx(n.size)), () => one({ ...start, lane: 1 }, value));
        e.guard(k.lt(k.idx(n.size), k.add(start.at, k.idx(4))), () => {
          for (let l = 0; l < n.size % 4; l++)
            one(e.coord(k.add(start.at, k.idx(l))), k.extract(value, l as 0 | 1 | 2 | 3));
        });
      });
    };
    if (tile.rolled) {
      return drain(
        e,
        names.flat().map((name) => k.ref(name, type)),
        (at, value) => {
          const [r, v] = e.split(at, [height, vectors]) as [Coord, Coord];
          write(e.coord(k.add(row.at, r.at)), height === 1, e.coord(column(v.at)), v.at, value, e.depth());
        },
      );
    }
    const home = e.depth();
    names.forEach((list, r) => {
      const mAt = r === 0 ? row : e.coord(k.add(row.at, k.idx(r)));
      list.forEach((name, v) => write(mAt, r === 0, columns[v]!, k.idx(v), k.ref(name, type), home));
    });
  }
}
