/**
 * Matrix products on a CPU, after Goto and van de Geijn (2008): blocks of registers over panels that lie in memory in
 * the order in which they are read. A task is a block of rows by a block of columns of the result. For every 8 columns
 * it packs B into a panel [k][8]; A is packed into panels [k][4 or 6] only when its rows are neighbours in memory (the
 * gradient of a weight), since rows that run along k can be read as they lie. The block of registers is 4 rows by 2
 * vectors, the largest that V8 keeps in 16 registers together with what it multiplies, or 6 rows where it multiplies
 * and adds at once. All addresses of one step along k are one running index and constants, which become immediate
 * offsets.
 */
import type { NodeWith, Op } from "../../../graph/node.js";
import * as k from "../../../kernel/build.js";
import type { Expr, Type } from "../../../kernel/ir.js";
import type { Choice } from "../../emit/choices.js";
import { extentOfK, shapeOf, type Axis, type Product } from "../../fusion/contraction.js";
import { constant, type Coord } from "../../emit/emit.js";
import { finish } from "../epilogue.js";
import type { Workbench } from "../../emit/kernelize.js";
import type { Cluster } from "../../fusion/partition.js";
import { transpose } from "../transpose.js";
import { sizeOf } from "../../../graph/record.js";
import { rowMajor } from "../../fusion/views.js";

/** Rows of a block of registers, where multiplying and adding are two instructions. */
const HEIGHT = 4;
const F32: Type = { of: "f32", lanes: 1 };
const group = k.ref("group", k.INDEX);

export interface CpuTile extends Choice {
  /** Rows and columns of a task. */
  readonly rows: number;
  readonly columns: number;
  /** Rows of a block of registers. */
  readonly height: number;
  /** Steps along k in one turn of the inner loop. */
  readonly unroll: number;
}

/**
 * What is best where multiplying and adding are one instruction: nothing but sums, two vectors of B and a value of A
 * needs a register.
 */
export const FUSED: Choice = { height: 6 };

/** Multiply-adds below which a task is not worth its call: small tasks share a group. */
const GROUP = 1 << 17;
/** A product is cut until it has a few tasks, and a large one until it has more: so that threads end together. */
const TASKS = 4;
const MANY_TASKS = 16;
const LARGE = 1 << 23;
/** Words of A that are packed at once: half of a second-level cache. */
const PANELS = 1 << 17;
/** Rows that make packing B worth it. */
const FEW = 8;

/**
 * Members of the family: cuts that have been the best for some shape, and deeper turns for engines that allocate
 * registers well.
 */
export const cpuTiles: readonly CpuTile[] = [
  { rows: 32, columns: 512, height: 4, unroll: 1 },
  { rows: 64, columns: 64, height: 4, unroll: 1 },
  { rows: 64, columns: 256, height: 4, unroll: 2 },
  { rows: 128, columns: 128, height: 4, unroll: 1 },
  { rows: 192, columns: 64, height: 4, unroll: 1 },
  { rows: 192, columns: 512, height: 4, unroll: 1 },
  { rows: 192, columns: 512, height: 6, unroll: 1 },
  { rows: 66, columns: 256, height: 6, unroll: 1 },
  { rows: 192, columns: 512, height: 4, unroll: 4 },
];

/**
 * Blocks that fit the second-level cache, several to a thread: A's block is read once for every 8 columns, B's panels
 * once for every block of rows.
 */
export function defaultCpuTile({ m, n, k: summed, outer }: Product): CpuTile {
  const depth = sizeOf(summed.map(({ size }) => size));
  const repeats = sizeOf(outer.map(({ size }) => size));
  const packsA = m.a === 1 && m.size > 1;
  let rows = Math.min(m.size, packsA ? Math.max(16, Math.min(128, Math.floor(PANELS / depth / 16) * 16)) : 192);
  let columns = Math.min(n.size, packsA ? 128 : 1024);
  const tasks = (): number => repeats * Math.ceil(m.size / rows) * Math.ceil(n.size / columns);
  const work = (): number => rows * columns * depth;
  while ((tasks() < TASKS && work() > 2 * GROUP) || (tasks() < MANY_TASKS && work() > LARGE)) {
    if (columns > rows || rows <= 32) {
      if (columns <= 32) break;
      columns = Math.ceil(columns / 16) * 8;
    } else rows = Math.ceil(rows / 8) * 4;
  }
  return { rows, columns, height: HEIGHT, unroll: 1 };
}

const LONG: ReadonlySet<Op> = new Set<Op>(["exp", "log", "tanh", "erf", "sin", "cos", "sigmoid", "pow"]);

/**
 * Whether what becomes of a product has elementary functions in it. Their constants and intermediates leave no register
 * to the sums, so the products of a panel of columns are stored on the chip first and taken up again one after the
 * other.
 */
const hasLongEpilogue = (cluster: Cluster): boolean => [...cluster.members].some(({ op }) => LONG.has(op));

export function matmulCpu(bench: Workbench, cluster: Cluster, node: NodeWith<"contract">, product: Product): number {
  const { emitter: e, profile } = bench;
  const { m, n, outer } = product;
  const lanes = profile.lanes;
  const a = bench.read(product.a.base);
  const b = bench.read(product.b.base);
  const depth = extentOfK(product);
  const kSizes = product.k.map((axis) => axis.size);
  const vectors = lanes === 4 ? (n.size > 4 ? 2 : 1) : Math.min(4, n.size);
  const block = lanes * vectors;
  const tile = bench.choose("matmul", shapeOf(product), defaultCpuTile(product));
  const height = tile.height;
  const rows = Math.min(m.size, Math.ceil(tile.rows / height) * height);
  const columns = Math.min(Math.ceil(n.size / block) * block, Math.ceil(tile.columns / block) * block);
  const packsA = m.a === 1 && m.size >= height && n.size > 2 * block;
  const contiguous = n.b === 1 || n.size === 1;
  const packsB =
    m.size > FEW || (!contiguous && m.size > 1) || (lanes === 4 && !contiguous) || (n.size % block !== 0 && m.size > 1);
  const sizes = [sizeOf(outer.map((axis) => axis.size)), Math.ceil(m.size / rows), Math.ceil(n.size / columns)];
  const tasks = sizeOf(sizes);
  const each = Math.max(1, Math.min(tasks, Math.floor(GROUP / (rows * columns * depth))));
  if (packsA) e.push(k.arrayS("panels", "f32", Math.ceil(rows / height) * height * depth));
  if (packsB) e.push(k.arrayS("panel", "f32", depth * block));
  const deferred = hasLongEpilogue(cluster);
  if (deferred) e.push(k.arrayS("products", "f32", rows * block));

  const from = e.bind(k.mul(group, k.idx(each)));
  const to = e.bind(k.min(k.add(from, k.idx(each)), k.idx(tasks)));
  e.loop(from, to, 1, (task) => {
    const [o, i, j] = e.split(task, sizes) as [Coord, Coord, Coord];
    const at = e.split(
      o,
      outer.map((axis) => axis.size),
    );
    const baseA = e.address(
      at,
      outer.map((axis) => axis.a),
    ).at;
    const baseB = e.address(
      at,
      outer.map((axis) => axis.b),
    ).at;
    const firstRow = e.coord(k.mul(i.at, k.idx(rows)));
    const endRow = e.bind(k.min(k.add(firstRow.at, k.idx(rows)), k.idx(m.size)));
    const firstColumn = e.coord(k.mul(j.at, k.idx(columns)));
    const endColumn = e.bind(k.min(k.add(firstColumn.at, k.idx(columns)), k.idx(n.size)));
    /** The last rows that are no whole block; they are in the last task only. */
    const rest = m.size % height;
    const wholeRows = rest === 0 ? endRow : e.bind(k.min(endRow, k.idx(m.size - rest)));
    if (packsA) packA();
    e.loop(firstColumn.at, endColumn, block, (n0) => {
      if (packsB) packB(n0);
      if (m.size >= height) e.loop(firstRow.at, wholeRows, height, (m0) => registers(m0, n0, height));
      if (rest > 0) {
        const last = m.size === rest ? constant(0) : { at: k.idx(m.size - rest), lane: 0, depth: 0 };
        const tail = (): void => registers(last, n0, rest);
        if (m.size < height) tail();
        else e.guard(k.eq(endRow, k.idx(m.size)), tail);
      }
      if (deferred) {
        e.loop(firstRow.at, endRow, 1, (mAt) => {
          const from = e.bind(productAt(mAt));
          const home = e.depth();
          for (let v = 0; v < vectors; v++)
            result(mAt, n0, v, e.bind(k.load("products", k.add(from, k.idx(v * lanes)), { of: "f32", lanes })), home);
        });
      }
    });

    /** Where a row of products waits for its epilogue. */
    function productAt(mAt: Coord): Expr {
      return k.mul(k.sub(mAt.at, firstRow.at), k.idx(block));
    }

    /** A block of registers: `count` rows from m0 by `block` columns from n0. */
    function registers(m0: Coord, n0: Coord, count: number): void {
      const home = e.depth();
      const type: Type = { of: "f32", lanes };
      const zero = lanes === 4 ? k.splat(k.f32(0)) : k.f32(0);
      const names = Array.from({ length: count }, () =>
        Array.from({ length: vectors }, () => {
          const name = e.fresh("acc");
          e.push(k.varS(name, zero));
          return name;
        }),
      );
      const rowA = packsA
        ? e.bind(k.mul(k.sub(m0.at, firstRow.at), k.idx(depth)))
        : e.bind(k.add(baseA, k.mul(m0.at, k.idx(m.a))));
      const columnB = packsB ? null : e.bind(k.add(baseB, k.mul(n0.at, k.idx(n.b))));
      alongK((kk, step) => {
        const left = packsA
          ? e.bind(k.add(rowA, flat(kk, height)))
          : e.bind(
              k.add(
                rowA,
                e.address(
                  kk,
                  product.k.map((axis) => axis.a),
                ).at,
              ),
            );
        const right =
          columnB === null
            ? flat(kk, block)
            : e.bind(
                k.add(
                  columnB,
                  e.address(
                    kk,
                    product.k.map((axis) => axis.b),
                  ).at,
                ),
              );
        const innerA = packsA ? height : (product.k.at(-1)?.a ?? 0);
        const innerB = columnB === null ? block : (product.k.at(-1)?.b ?? 0);
        const values =
          columnB === null
            ? Array.from({ length: vectors }, (_, v) =>
                k.load("panel", k.add(right, k.idx(step * innerB + v * lanes)), type),
              )
            : loadB(k.add(right, k.idx(step * innerB)), n0);
        const bound = values.map((value) => e.bind(value));
        names.forEach((row, r) => {
          const one = k.load(packsA ? "panels" : a, k.add(left, k.idx(step * innerA + r * (packsA ? 1 : m.a))), F32);
          const x = e.bind(lanes === 4 ? k.splat(one) : one);
          bound.forEach((value, v) => e.push(k.assign(row[v]!, k.fma(x, value, k.ref(row[v]!, type)))));
        });
      });
      names.forEach((row, r) => {
        const mAt: Coord = m.size === 1 ? constant(0) : r === 0 ? m0 : e.coord(k.add(m0.at, k.idx(r)));
        if (deferred)
          row.forEach((name, v) =>
            e.push(k.store("products", k.add(productAt(mAt), k.idx(v * lanes)), k.ref(name, type))),
          );
        else row.forEach((name, v) => result(mAt, n0, v, k.ref(name, type), home));
      });
    }

    /** Walks k; `body` gets the coordinates of a turn and the step within it. */
    function alongK(body: (kk: readonly Coord[], step: number) => void): void {
      const inner = kSizes.at(-1) ?? 1;
      const unroll = Math.min(tile.unroll, inner);
      e.nest(kSizes.slice(0, -1), (before) => {
        if (inner <= 1) return body([...before, ...kSizes.slice(-1).map(() => constant(0))], 0);
        const main = inner - (inner % unroll);
        e.loop(k.idx(0), k.idx(main), unroll, (c) => {
          for (let step = 0; step < unroll; step++) body([...before, c], step);
        });
        for (let left = main; left < inner; left++) body([...before, constant(left)], 0);
      });
    }

    /** The position of kk in a panel of `width` words a step. */
    function flat(kk: readonly Coord[], width: number): Expr {
      return e.address(
        kk,
        rowMajor(kSizes).map((stride) => stride * width),
      ).at;
    }

    function result(mAt: Coord, n0: Coord, v: number, value: Expr, home: number): void {
      const loops = (nAt: Coord): { axis: Axis; at: Coord }[] => [
        ...outer.map((axis, x) => ({ axis, at: at[x]! })),
        { axis: m, at: mAt },
        { axis: n, at: nAt },
      ];
      const start = v === 0 ? n0 : e.coord(k.add(n0.at, k.idx(v * lanes)));
      const whole = n.size % block === 0;
      const store = (nAt: Coord, part: Expr): void => finish(bench, cluster, node, loops(nAt), part, home);
      if (lanes === 1) {
        if (whole) store(start, value);
        else e.guard(k.lt(start.at, k.idx(n.size)), () => store(start, value));
        return;
      }
      if (whole) return store({ ...start, lane: 1 }, value);
      if (n.size >= 4)
        e.guard(k.le(k.add(start.at, k.idx(4)), k.idx(n.size)), () => store({ ...start, lane: 1 }, value));
      const left = n.size % 4;
      if (left === 0) return;
      // The last lanes, one by one; they stand in the last block only.
      e.guard(k.and(k.lt(start.at, k.idx(n.size)), k.lt(k.idx(n.size), k.add(start.at, k.idx(4)))), () => {
        for (let l = 0; l < left; l++) store(e.coord(k.add(start.at, k.idx(l))), k.extract(value, l as 0 | 1 | 2 | 3));
      });
    }

    /** Columns n0 .. n0 + block of B at one k, straight from memory; columns past the end repeat the last one. */
    function loadB(address: Expr, n0: Coord): Expr[] {
      const whole = n.size % block === 0;
      if (n.b === 1 && whole)
        return Array.from({ length: vectors }, (_, v) =>
          k.load(b, k.add(address, k.idx(v * lanes)), { of: "f32", lanes }),
        );
      const scalar = (c: number): Expr => {
        const column = whole
          ? k.idx(c * n.b)
          : k.mul(k.sub(k.min(k.add(n0.at, k.idx(c)), k.idx(n.size - 1)), n0.at), k.idx(n.b));
        return k.load(b, k.add(address, column), F32);
      };
      if (lanes === 1) return Array.from({ length: block }, (_, c) => scalar(c));
      return Array.from({ length: vectors }, (_, v) =>
        k.lanes([scalar(4 * v), scalar(4 * v + 1), scalar(4 * v + 2), scalar(4 * v + 3)]),
      );
    }

    /** Packs all of k for the columns from n0. */
    function packB(n0: Coord): void {
      const origin = e.bind(k.add(baseB, k.mul(n0.at, k.idx(n.b))));
      const strides = product.k.map((axis) => axis.b);
      const plain = (): void =>
        e.nest(kSizes, (kk) => {
          const address = e.bind(k.add(origin, e.address(kk, strides).at));
          const to = flat(kk, block);
          loadB(address, n0).forEach((value, v) => e.push(k.store("panel", k.add(to, k.idx(v * lanes)), value)));
        });
      if (lanes !== 4 || strides.at(-1) !== 1 || n.b === 1) return plain();
      const transposing = (): void => transposed(strides, origin);
      if (n.size % block === 0) return transposing();
      // Rows of B past the end must not be read: the last block is packed word by word.
      if (n.size > block) e.guard(k.le(k.add(n0.at, k.idx(block)), k.idx(n.size)), transposing);
      e.guard(k.lt(k.idx(n.size), k.add(n0.at, k.idx(block))), plain);
    }

    /** B runs along k: four vectors along k become four vectors of columns. */
    function transposed(strides: readonly number[], origin: Expr): void {
      const inner = kSizes.at(-1)!;
      const main = inner - (inner % 4);
      e.nest(kSizes.slice(0, -1), (before) => {
        if (main > 0) {
          e.loop(k.idx(0), k.idx(main), 4, (c) => {
            const kk = [...before, c];
            const address = e.bind(k.add(origin, e.address(kk, strides).at));
            const to = flat(kk, block);
            for (let v = 0; v < vectors; v++) {
              const columns4 = [0, 1, 2, 3].map((l) =>
                e.bind(k.load(b, k.add(address, k.idx((4 * v + l) * n.b)), { of: "f32", lanes: 4 })),
              );
              transpose(e, columns4).forEach((row, l) =>
                e.push(k.store("panel", k.add(to, k.idx(l * block + v * 4)), row)),
              );
            }
          });
        }
        for (let left = main; left < inner; left++) {
          const kk = [...before, constant(left)];
          const address = e.bind(k.add(origin, e.address(kk, strides).at));
          loadB(address, { ...constant(0) }).forEach((value, v) =>
            e.push(k.store("panel", k.add(flat(kk, block), k.idx(v * lanes)), value)),
          );
        }
      });
    }

    /**
     * Packs the task's rows: panel p holds [k][height]. Four panels at a time, so that a cache line of A is read once.
     * Rows past the end of the product are left as they are, and never used.
     */
    function packA(): void {
      const strides = product.k.map((axis) => axis.a);
      const panels = (m0: Expr, count: number, full: boolean): void => {
        const panel = e.bind(k.mul(k.sub(m0, firstRow.at), k.idx(depth)));
        const origin = e.bind(k.add(baseA, m0));
        e.nest(kSizes, (kk) => {
          const address = e.bind(k.add(origin, e.address(kk, strides).at));
          const to = e.bind(k.add(panel, flat(kk, height)));
          for (let p = 0; p < count; p++) {
            const store = (r: number, value: Expr): void =>
              e.push(k.store("panels", k.add(to, k.idx(p * height * depth + r)), value));
            const load = (r: number, width: 1 | 4): Expr =>
              k.load(a, k.add(address, k.idx(p * height + r)), { of: "f32", lanes: width });
            if (lanes === 4 && full && height >= 4) {
              // The last vector may begin within the one before.
              for (let r = 0; r < height; r += 4) store(Math.min(r, height - 4), load(Math.min(r, height - 4), 4));
            } else for (let r = 0; r < (full ? height : rest); r++) store(r, load(r, 1));
          }
        });
      };
      const four = rows % (4 * height) === 0 && m.size % (4 * height) === 0 ? 4 : 1;
      e.loop(firstRow.at, wholeRows, four * height, (m0) => panels(m0.at, four, true));
      if (rest > 0) e.guard(k.eq(endRow, k.idx(m.size)), () => panels(k.idx(m.size - rest), 1, false));
    }
  });
  return Math.ceil(tasks / each);
}
