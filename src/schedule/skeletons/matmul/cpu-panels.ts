/**
 * Packs the operands of a task on a CPU into panels that lie in the order in which they are read, and reads columns of
 * B that are not packed.
 */
import * as k from "../../../kernel/build.js";
import type { Expr, Lanes, Type } from "../../../kernel/ir.js";
import { mustAt } from "../../../../runtime/lookup.js";
import { eachLane } from "../../emit/coords.js";
import { constant, type Coord } from "../../emit/emit.js";
import { transpose } from "../transpose.js";
import { stridesOf } from "./axes.js";
import {
  eachStep,
  eachStepBefore,
  inPanel,
  panelOfA,
  panelOfB,
  PANEL_B,
  PANELS_A,
  type CpuMatmul,
  type CpuTask,
} from "./cpu-task.js";

/** Columns n0 .. n0 + block of B at one k, straight from memory; columns past the end repeat the last one. */
export function loadB({ product: { n }, lanes, vectors, block, b }: CpuMatmul, address: Expr, n0: Coord): Expr[] {
  const isWhole = n.size % block === 0;
  if (n.b === 1 && isWhole)
    return Array.from({ length: vectors }, (_, v) => k.load(b, k.add(address, k.idx(v * lanes)), { of: "f32", lanes }));
  const word = (c: number): Expr => {
    const column = isWhole
      ? k.idx(c * n.b)
      : k.mul(k.sub(k.min(k.add(n0.at, k.idx(c)), k.idx(n.size - 1)), n0.at), k.idx(n.b));
    return k.load(b, k.add(address, column), k.F32);
  };
  return Array.from({ length: vectors }, (_, v) => eachLane(lanes, (l) => word(lanes * v + l)));
}

/** Packs all of k for the columns from n0. */
export function packB(kernel: CpuMatmul, task: CpuTask, n0: Coord): void {
  const { bench, product, lanes, block } = kernel;
  const { emitter: e } = bench;
  const { n } = product;
  const origin = e.bind(k.add(task.baseB, k.mul(n0.at, k.idx(n.b))));
  const strides = stridesOf(product.k, "b");
  const panel = e.bind(panelOfB(kernel, task, n0));
  const word = (): void =>
    eachStep(kernel, task, (kk) => {
      const address = e.bind(k.add(origin, e.address(kk, strides).at));
      const to = k.add(panel, inPanel(kernel, task, kk, block));
      for (const [v, value] of loadB(kernel, address, n0).entries())
        e.push(k.store(PANEL_B, k.add(to, k.idx(v * lanes)), value));
    });
  if (lanes === 1 || strides.at(-1) !== 1 || n.b === 1) return word();
  const turned = (): void => packTurned(kernel, task, origin, panel);
  if (n.size % block === 0) return turned();
  // Rows of B past the end must not be read: the last block is packed word by word.
  if (n.size > block) e.guard(k.le(k.add(n0.at, k.idx(block)), k.idx(n.size)), turned);
  e.guard(k.lt(k.idx(n.size), k.add(n0.at, k.idx(block))), word);
}

/** Packs all of k for all columns of the block. */
export function packRowsOfB(kernel: CpuMatmul, task: CpuTask): void {
  const { bench, product, lanes, vectors, block, b } = kernel;
  const { emitter: e } = bench;
  const strides = stridesOf(product.k, "b");
  eachStep(kernel, task, (kk) => {
    const row = e.bind(k.add(task.baseB, e.address(kk, strides).at));
    const to = e.bind(inPanel(kernel, task, kk, block));
    e.loop(task.firstColumn.at, task.endColumn, block, (n0) => {
      const panel = e.bind(k.add(panelOfB(kernel, task, n0), to));
      for (let v = 0; v < vectors; v++) {
        const value = k.load(b, k.add(row, k.add(n0.at, k.idx(v * lanes))), { of: "f32", lanes });
        e.push(k.store(PANEL_B, k.add(panel, k.idx(v * lanes)), value));
      }
    });
  });
}

/** B runs along k: vectors along k become vectors of columns, a square of them at a time. */
function packTurned(kernel: CpuMatmul, task: CpuTask, origin: Expr, panel: Expr): void {
  const { bench, product, lanes, block, kSizes, cut, b } = kernel;
  const { along } = task;
  const { emitter: e } = bench;
  const strides = stridesOf(product.k, "b");
  const inner = mustAt(kSizes, kSizes.length - 1);
  const square = ([16, 8] as const).find((width) => width <= lanes && inner % width === 0) ?? 4;
  const main = inner - (inner % square);
  const squaresAt = (kk: readonly Coord[]): void => {
    const address = e.bind(k.add(origin, e.address(kk, strides).at));
    const to = k.add(panel, inPanel(kernel, task, kk, block));
    for (let first = 0; first < block; first += square) {
      const columns = Array.from({ length: square }, (_, l) =>
        e.bind(k.load(b, k.add(address, k.idx((first + l) * product.n.b)), { of: "f32", lanes: square })),
      );
      for (const [l, row] of transpose(e, columns).entries())
        e.push(k.store(PANEL_B, k.add(to, k.idx(l * block + first)), row));
    }
  };
  const lastSteps = (before: readonly Coord[]): void => {
    for (let step = main; step < inner; step++) {
      const kk = [...before, constant(step)];
      const address = e.bind(k.add(origin, e.address(kk, strides).at));
      const to = k.add(panel, inPanel(kernel, task, kk, block));
      for (const [v, value] of loadB(kernel, address, constant(0)).entries())
        e.push(k.store(PANEL_B, k.add(to, k.idx(v * lanes)), value));
    }
  };
  if (cut && along && cut.axis === kSizes.length - 1) {
    e.loop(along.from, e.bind(k.min(along.to, k.idx(main))), square, (c) => squaresAt([...along.outer, c]));
    if (main < inner) e.guard(k.eq(along.to, k.idx(inner)), () => lastSteps(along.outer));
    return;
  }
  eachStepBefore(kernel, task, (before) => {
    if (main > 0) e.loop(k.idx(0), k.idx(main), square, (c) => squaresAt([...before, c]));
    lastSteps(before);
  });
}

/**
 * Packs the rows of a block: panel p holds [k][height]. Several panels at a time, so that lines of A are read in runs.
 * Rows past the end of the product are left as they are, and never used.
 */
export function packA(kernel: CpuMatmul, task: CpuTask): void {
  const { bench, product, rows, rest } = kernel;
  const { emitter: e } = bench;
  const { m } = product;
  const { height } = kernel.tile;
  if (m.a !== 1) e.loop(task.firstRow.at, task.wholeRows, height, (m0) => packTurnedRows(kernel, task, m0.at));
  else {
    const wide = kernel.tile.depth > 0 ? [16, 8, 4] : [4];
    const atOnce = wide.find((count) => rows % (count * height) === 0 && m.size % (count * height) === 0) ?? 1;
    e.loop(task.firstRow.at, task.wholeRows, atOnce * height, (m0) => packRows(kernel, task, m0.at, atOnce, height));
  }
  if (rest > 0) e.guard(k.eq(task.endRow, k.idx(m.size)), () => packRows(kernel, task, k.idx(m.size - rest), 1, rest));
}

/** Packs a panel whose rows run along k: squares of vectors along k become vectors of rows. */
function packTurnedRows(kernel: CpuMatmul, task: CpuTask, m0: Expr): void {
  const { bench, product, a, kSizes, cut } = kernel;
  const { emitter: e } = bench;
  const { height: square } = kernel.tile;
  const strides = stridesOf(product.k, "a");
  const panel = e.bind(panelOfA(kernel, task, m0));
  const origin = e.bind(k.add(task.baseA, k.mul(m0, k.idx(product.m.a))));
  const squareAt = (kk: readonly Coord[]): void => {
    const address = e.bind(k.add(origin, e.address(kk, strides).at));
    const to = e.bind(k.add(panel, inPanel(kernel, task, kk, square)));
    const type: Type = { of: "f32", lanes: square as Lanes };
    const lines = Array.from({ length: square }, (_, r) =>
      e.bind(k.load(a, k.add(address, k.idx(r * product.m.a)), type)),
    );
    for (const [step, column] of transpose(e, lines).entries())
      e.push(k.store(PANELS_A, k.add(to, k.idx(step * square)), column));
  };
  const { along } = task;
  const inner = mustAt(kSizes, kSizes.length - 1);
  if (cut && along && cut.axis === kSizes.length - 1)
    e.loop(along.from, along.to, square, (c) => squareAt([...along.outer, c]));
  else
    eachStepBefore(kernel, task, (before) => e.loop(k.idx(0), k.idx(inner), square, (c) => squareAt([...before, c])));
}

/** The widest vector that `words` hold. */
const widestIn = (words: number, lanes: Lanes): Lanes =>
  ([16, 8, 4] as const).find((width) => width <= Math.min(words, lanes)) ?? 1;

/** Packs `count` panels from row m0 on, of which `used` rows are rows of the product. */
function packRows(kernel: CpuMatmul, task: CpuTask, m0: Expr, count: number, used: number): void {
  const { bench, product, lanes, depth, a } = kernel;
  const { emitter: e } = bench;
  const { height } = kernel.tile;
  const strides = stridesOf(product.k, "a");
  const panel = e.bind(panelOfA(kernel, task, m0));
  const origin = e.bind(k.add(task.baseA, k.mul(m0, k.idx(product.m.a))));
  eachStep(kernel, task, (kk) => {
    const address = e.bind(k.add(origin, e.address(kk, strides).at));
    const to = e.bind(k.add(panel, inPanel(kernel, task, kk, height)));
    for (let p = 0; p < count; p++) {
      const move = (r: number, width: Lanes): void => {
        const row = k.idx((p * height + r) * product.m.a);
        const value = k.load(a, k.add(address, row), { of: "f32", lanes: width });
        e.push(k.store(PANELS_A, k.add(to, k.idx(p * height * depth + r)), value));
      };
      const width = used === height ? widestIn(height, lanes) : 1;
      if (width > 1) {
        // The last vector may begin within the one before.
        for (let r = 0; r < height; r += width) move(Math.min(r, height - width), width);
      } else for (let r = 0; r < used; r++) move(r, 1);
    }
  });
}
