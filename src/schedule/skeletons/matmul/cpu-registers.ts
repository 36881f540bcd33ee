/**
 * Blocks of registers of a matrix product on a CPU: sums over k of rows of A by vectors of B, and what becomes of them.
 * All addresses of one step along k are one running index and constants, which become immediate offsets.
 */
import * as k from "../../../kernel/build.js";
import type { Expr, Type } from "../../../kernel/ir.js";
import { mustAt } from "../../../../runtime/lookup.js";
import { across, lanesFrom, vectorRuns } from "../../emit/coords.js";
import { constant, type Coord } from "../../emit/emit.js";
import { finish, type LoopPosition } from "../epilogue.js";
import { stridesOf } from "./axes.js";
import { loadB } from "./cpu-panels.js";
import {
  eachStep,
  inPanel,
  panelOfA,
  panelOfB,
  PANEL_B,
  PANELS_A,
  productAt,
  PRODUCTS,
  type CpuMatmul,
  type CpuTask,
} from "./cpu-task.js";

/** The place of a block of registers in the result: its first row and column. */
interface BlockStart {
  readonly m0: Coord;
  readonly n0: Coord;
}

/** A block of registers: `count` rows from m0 by `block` columns from n0. */
export function sumBlock(kernel: CpuMatmul, task: CpuTask, { m0, n0 }: BlockStart, count: number): void {
  const { bench, product, lanes, vectors, deferred } = kernel;
  const { emitter: e } = bench;
  const home = e.depth();
  const type: Type = { of: "f32", lanes };
  const zero = k.splat(k.f32(0), lanes);
  const rowAt = (r: number): Coord =>
    product.m.size === 1 ? constant(0) : r === 0 ? m0 : e.coord(k.add(m0.at, k.idx(r)));
  // Sums over a block along k go on from what is there of the blocks before.
  const places = task.along
    ? Array.from({ length: count }, (_, r) => e.bind(productAt(kernel, task, rowAt(r), n0)))
    : [];
  const sums = Array.from({ length: count }, (_, r) =>
    Array.from({ length: vectors }, (_vector, v) => {
      const name = e.fresh("acc");
      const place = places[r];
      e.push(k.varS(name, place ? k.load(PRODUCTS, k.add(place, k.idx(v * lanes)), type) : zero));
      return k.ref(name, type);
    }),
  );
  const a = readerOfA(kernel, task, m0);
  const b = readerOfB(kernel, task, n0);
  alongK(kernel, task, (kk, step) => {
    const wordAt = a(kk, step);
    const values = b(kk, step).map((value) => e.bind(value));
    for (const [r, row] of sums.entries()) {
      const word = wordAt(r);
      const x = e.bind(k.splat(word, lanes));
      for (const [v, sum] of row.entries()) e.push(k.assign(k.nameOf(sum), k.fma(x, mustAt(values, v), sum)));
    }
  });
  for (const [r, row] of sums.entries()) {
    const place = places[r];
    const mAt = place ? null : rowAt(r);
    for (const [v, sum] of row.entries()) {
      if (place) e.push(k.store(PRODUCTS, k.add(place, k.idx(v * lanes)), sum));
      else if (!mAt) continue;
      else if (deferred) e.push(k.store(PRODUCTS, k.add(productAt(kernel, task, mAt, n0), k.idx(v * lanes)), sum));
      else storeVector(kernel, task, { mAt, n0, v }, sum, home);
    }
  }
}

/** Walks k; `body` gets the coordinates of a turn and the step within it. */
function alongK(kernel: CpuMatmul, task: CpuTask, body: (kk: readonly Coord[], step: number) => void): void {
  const { bench, tile, kSizes } = kernel;
  const { emitter: e } = bench;
  const inner = kSizes.at(-1) ?? 1;
  if (task.along) return eachStep(kernel, task, (kk) => body(kk, 0));
  const unroll = Math.min(tile.unroll, inner);
  e.nest(kSizes.slice(0, -1), (before) => {
    if (inner <= 1) return body([...before, ...kSizes.slice(-1).map(() => constant(0))], 0);
    const main = inner - (inner % unroll);
    e.loop(k.idx(0), k.idx(main), unroll, (c) => {
      for (let step = 0; step < unroll; step++) body([...before, c], step);
    });
    for (let last = main; last < inner; last++) body([...before, constant(last)], 0);
  });
}

/** Loads of A: of row r at a step. */
function readerOfA(
  kernel: CpuMatmul,
  task: CpuTask,
  m0: Coord,
): (kk: readonly Coord[], step: number) => (r: number) => Expr {
  const { bench, product, a } = kernel;
  const { baseA } = task;
  const { emitter: e } = bench;
  const { m } = product;
  const { height } = kernel.tile;
  if (kernel.packsA) {
    const panel = e.bind(panelOfA(kernel, task, m0.at));
    return (kk, step) => {
      const at = e.bind(k.add(panel, inPanel(kernel, task, kk, height)));
      return (r) => k.load(PANELS_A, k.add(at, k.idx(step * height + r)), k.F32);
    };
  }
  const row = e.bind(k.add(baseA, k.mul(m0.at, k.idx(m.a))));
  const strides = stridesOf(product.k, "a");
  const inner = strides.at(-1) ?? 0;
  return (kk, step) => {
    const at = e.bind(k.add(row, e.address(kk, strides).at));
    return (r) => k.load(a, k.add(at, k.idx(step * inner + r * m.a)), k.F32);
  };
}

/** Loads of B: the vectors of a block at a step. */
function readerOfB(kernel: CpuMatmul, task: CpuTask, n0: Coord): (kk: readonly Coord[], step: number) => Expr[] {
  const { bench, product, lanes, vectors, block } = kernel;
  const { emitter: e } = bench;
  if (kernel.packsB) {
    const panel = e.bind(panelOfB(kernel, task, n0));
    return (kk, step) => {
      const at = k.add(panel, inPanel(kernel, task, kk, block));
      return Array.from({ length: vectors }, (_, v) =>
        k.load(PANEL_B, k.add(at, k.idx(step * block + v * lanes)), { of: "f32", lanes }),
      );
    };
  }
  const column = e.bind(k.add(task.baseB, k.mul(n0.at, k.idx(product.n.b))));
  const strides = stridesOf(product.k, "b");
  const inner = strides.at(-1) ?? 0;
  return (kk, step) => {
    const at = e.bind(k.add(column, e.address(kk, strides).at));
    return loadB(kernel, k.add(at, k.idx(step * inner)), n0);
  };
}

/** The place of a vector of results: its row, the first column of its block, and its number there. */
interface VectorPlace {
  readonly mAt: Coord;
  readonly n0: Coord;
  readonly v: number;
}

/** Stores what becomes of a vector of products; `home` is the depth of the scope that holds it. */
function storeVector(kernel: CpuMatmul, task: CpuTask, place: VectorPlace, value: Expr, home: number): void {
  const { bench, product, lanes, block } = kernel;
  const { emitter: e } = bench;
  const { m, n, outer } = product;
  const { mAt, n0, v } = place;
  const start = v === 0 ? n0 : e.coord(k.add(n0.at, k.idx(v * lanes)));
  const isWhole = n.size % block === 0;
  const store = (nAt: Coord, part: Expr): void => {
    const outerLoops = outer.map((axis, i): LoopPosition => ({ axis, at: mustAt(task.outer, i) }));
    finish(kernel, [...outerLoops, { axis: m, at: mAt }, { axis: n, at: nAt }], part, home);
  };
  if (lanes === 1) {
    if (isWhole) store(start, value);
    else e.guard(k.lt(start.at, k.idx(n.size)), () => store(start, value));
    return;
  }
  if (isWhole) return store(across(start, lanes), value);
  if (n.size >= lanes)
    e.guard(k.le(k.add(start.at, k.idx(lanes)), k.idx(n.size)), () => store(across(start, lanes), value));
  const remaining = n.size % lanes;
  if (remaining === 0) return;
  // The last lanes, in narrower vectors and one by one; they stand in the last block only.
  e.guard(k.and(k.lt(start.at, k.idx(n.size)), k.lt(k.idx(n.size), k.add(start.at, k.idx(lanes)))), () => {
    for (const { from, to, width } of vectorRuns(remaining, lanes))
      for (let l = from; l < to; l += width)
        store(across(e.coord(k.add(start.at, k.idx(l))), width), lanesFrom(value, l, width));
  });
}

/** Takes up the products of a panel of columns from where they wait, row after row, for their epilogue. */
export function finishDeferred(kernel: CpuMatmul, task: CpuTask, n0: Coord): void {
  kernel.bench.emitter.loop(task.firstRow.at, task.endRow, 1, (mAt) => finishBlock(kernel, task, mAt, n0));
}

/** The same for all columns of a task: every row is written in one run. */
export function finishTogether(kernel: CpuMatmul, task: CpuTask): void {
  const { emitter: e } = kernel.bench;
  if (kernel.turned) return finishTurned(kernel, task);
  e.loop(task.firstRow.at, task.endRow, 1, (mAt) =>
    e.loop(task.firstColumn.at, task.endColumn, kernel.block, (n0) => finishBlock(kernel, task, mAt, n0)),
  );
}

/** The epilogue where columns of the product are rows of the result: value by value, in the order of the result. */
function finishTurned(kernel: CpuMatmul, task: CpuTask): void {
  const { emitter: e } = kernel.bench;
  const { m, n, outer } = kernel.product;
  e.loop(task.firstColumn.at, task.endColumn, 1, (nAt) =>
    e.loop(task.firstRow.at, task.endRow, 1, (mAt) => {
      const home = e.depth();
      const value = e.bind(k.load(PRODUCTS, productAt(kernel, task, mAt, nAt), k.F32));
      const outerLoops = outer.map((axis, i): LoopPosition => ({ axis, at: mustAt(task.outer, i) }));
      finish(kernel, [...outerLoops, { axis: m, at: mAt }, { axis: n, at: nAt }], value, home);
    }),
  );
}

/** The epilogue of a block of columns of one row. */
function finishBlock(kernel: CpuMatmul, task: CpuTask, mAt: Coord, n0: Coord): void {
  const { bench, lanes, vectors } = kernel;
  const { emitter: e } = bench;
  const from = e.bind(productAt(kernel, task, mAt, n0));
  const home = e.depth();
  for (let v = 0; v < vectors; v++) {
    const value = e.bind(k.load(PRODUCTS, k.add(from, k.idx(v * lanes)), { of: "f32", lanes }));
    storeVector(kernel, task, { mAt, n0, v }, value, home);
  }
}

/** Zeros where the products of a task are summed block after block along k. */
export function clearProducts(kernel: CpuMatmul, task: CpuTask): void {
  const { bench, lanes, columns } = kernel;
  const { emitter: e } = bench;
  e.loop(task.firstRow.at, task.endRow, 1, (mAt) => {
    const line = e.bind(productAt(kernel, task, mAt, task.firstColumn));
    e.loop(k.idx(0), k.idx(columns), lanes, (c) =>
      e.push(k.store(PRODUCTS, k.add(line, c.at), k.splat(k.f32(0), lanes))),
    );
  });
}
