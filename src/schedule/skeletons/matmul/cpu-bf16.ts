/**
 * Matrix products of bf16 on a CPU (`precision = bf16`): both operands are rounded to nearest while they are packed
 * into squares of pairs, blocks of 32 rows by 32 columns are multiplied by `tiles`, and what becomes of the sums, which
 * are of f32, is the same as that of other products. A task packs its rows once, and its columns some at a time.
 */
import type { NodeWith } from "../../../graph/node.js";
import { sizeOf } from "../../../graph/record.js";
import * as k from "../../../kernel/build.js";
import { TILE, type Expr } from "../../../kernel/ir.js";
import { BF16, type Choice } from "../../../kernel/profile.js";
import type { Cluster } from "../../fusion/clusters.js";
import { extentOfK, shapeOf, type Product } from "../../fusion/contraction.js";
import type { Coord } from "../../emit/emit.js";
import type { Workbench } from "../../emit/kernelize.js";
import { sizesOf } from "./axes.js";
import { packPairs, PAIRS_A, PAIRS_B, type Steps } from "./cpu-pairs.js";
import { taskAt } from "./cpu.js";
import { clearProducts, finishTogether } from "./cpu-registers.js";
import { PRODUCTS, type CpuMatmul, type CpuTask } from "./cpu-task.js";

/** The knobs of a product of bf16: rows and columns of a task, columns that are packed at once, and steps along k. */
export interface Bf16Tile extends Choice {
  readonly rows: number;
  readonly columns: number;
  readonly packed: number;
  readonly depth: number;
}

/** Members of the family: they fill a second-level cache of two megabytes, of one, and a part of it. */
export const cpuBf16: readonly Bf16Tile[] = [
  { rows: 256, columns: 512, packed: 128, depth: 1024 },
  { rows: 256, columns: 256, packed: 128, depth: 512 },
  { rows: 128, columns: 256, packed: 64, depth: 512 },
  { rows: 128, columns: 128, packed: 128, depth: 256 },
];

/** Multiply-adds below which a task is not worth its call. */
const GROUP = 1 << 19;
/** Tasks that a product is cut into at least, where they are large enough: so that threads end together. */
const TASKS = 8;

/** Whether a product is one of bf16 where the page asks for it: whole blocks of it are worth their packing. */
export const isOfBf16 = (product: Product): boolean =>
  product.m.size >= TILE && product.n.size >= TILE && extentOfK(product) >= TILE;

const toTiles = (size: number): number => Math.ceil(size / TILE) * TILE;

function defaultTile(product: Product): Bf16Tile {
  const { m, n, outer } = product;
  const repeats = sizeOf(outer.map(({ size }) => size));
  const depth = 1024;
  let rows = Math.min(256, toTiles(m.size));
  let columns = Math.min(512, toTiles(n.size));
  const tasks = (): number => repeats * Math.ceil(m.size / rows) * Math.ceil(n.size / columns);
  const work = (): number => rows * columns * extentOfK(product);
  while (tasks() < TASKS && work() > 2 * GROUP && (rows > TILE || columns > TILE)) {
    if (columns > rows) columns = toTiles(columns / 2);
    else rows = toTiles(rows / 2);
  }
  return { rows, columns, packed: 128, depth };
}

/** Makes the kernel of a product of bf16; the number of its groups. */
export function matmulBf16(bench: Workbench, cluster: Cluster, node: NodeWith<"contract">, product: Product): number {
  const { emitter: e } = bench;
  const { m, n, outer } = product;
  const tile = bench.choose(BF16, shapeOf(product), defaultTile(product));
  const kernel = kernelOf(bench, cluster, node, product, tile);
  const { rows, columns, depth } = kernel;
  const packed = Math.min(columns, toTiles(tile.packed));
  const sizes = [sizeOf(sizesOf(outer)), Math.ceil(m.size / rows), Math.ceil(n.size / columns)] as const;
  const tasks = sizeOf(sizes);
  const each = Math.max(1, Math.min(tasks, Math.floor(GROUP / (rows * columns * extentOfK(product)))));
  e.push(k.arrayS(PAIRS_A, "u32", (rows * depth) / 2));
  e.push(k.arrayS(PAIRS_B, "u32", (packed * depth) / 2));
  e.push(k.arrayS(PRODUCTS, "f32", rows * columns));
  const from = e.bind(k.mul(k.ref("group", k.INDEX), k.idx(each)));
  const to = e.bind(k.min(k.add(from, k.idx(each)), k.idx(tasks)));
  e.loop(from, to, 1, (number) => runTask(kernel, taskAt(kernel, e.split(number, sizes)), packed));
  return Math.ceil(tasks / each);
}

/** The kernel as other products have it: all sums of a task wait for their epilogue together. */
function kernelOf(
  bench: Workbench,
  cluster: Cluster,
  node: NodeWith<"contract">,
  product: Product,
  tile: Bf16Tile,
): CpuMatmul {
  const steps = toTiles(extentOfK(product));
  const blocks = Math.ceil(steps / toTiles(tile.depth));
  const depth = toTiles(steps / blocks);
  const rows = Math.min(toTiles(product.m.size), toTiles(tile.rows));
  const columns = Math.min(toTiles(product.n.size), toTiles(tile.columns));
  const { lanes } = bench.profile;
  return {
    bench,
    cluster,
    node,
    product,
    tile: { rows, columns, rowBlocks: 1, columnBlocks: 1, height: TILE, unroll: 1, depth },
    lanes,
    a: bench.read(product.a.base),
    b: bench.read(product.b.base),
    turned: false,
    kSizes: sizesOf(product.k),
    depth,
    cut: null,
    vectors: TILE / lanes,
    block: TILE,
    rows,
    columns,
    packsA: true,
    packsB: true,
    packsRows: false,
    keepsA: false,
    keepsB: false,
    deferred: true,
    together: true,
    rest: 0,
  };
}

/** One task: block by block along k, packs its rows, then its columns some at a time, and multiplies. */
function runTask(kernel: CpuMatmul, task: CpuTask, packed: number): void {
  const { bench, product, depth } = kernel;
  const { emitter: e } = bench;
  const steps = extentOfK(product);
  if (steps <= depth) sumSteps(kernel, task, { from: k.idx(0), to: k.idx(steps) }, packed, false);
  else {
    clearProducts(kernel, task);
    e.loop(k.idx(0), k.idx(steps), depth, ({ at: from }) => {
      const to = e.bind(k.min(k.add(from, k.idx(depth)), k.idx(steps)));
      sumSteps(kernel, task, { from, to }, packed, true);
    });
  }
  finishTogether(kernel, task);
}

function sumSteps(kernel: CpuMatmul, task: CpuTask, steps: Steps, packed: number, adds: boolean): void {
  const { bench, product, columns, depth } = kernel;
  const { emitter: e } = bench;
  const { firstRow, endRow, firstColumn, endColumn } = task;
  const blocks = e.bind(k.div(k.add(k.sub(steps.to, steps.from), k.idx(TILE - 1)), k.idx(TILE)));
  packPairs(kernel, { operand: "a", base: task.baseA, from: firstRow.at, to: endRow, axis: product.m, steps });
  const panelWords = (depth * TILE) / 2;
  const panelAt = (line: Coord, first: Coord): Expr =>
    k.mul(k.div(k.sub(line.at, first.at), k.idx(TILE)), k.idx(panelWords));
  e.loop(firstColumn.at, endColumn, packed, (c0) => {
    const end = packed >= columns ? endColumn : e.bind(k.min(k.add(c0.at, k.idx(packed)), endColumn));
    packPairs(kernel, { operand: "b", base: task.baseB, from: c0.at, to: end, axis: product.n, steps });
    e.loop(c0.at, end, TILE, (n0) => {
      const b = e.bind(panelAt(n0, c0));
      e.loop(firstRow.at, endRow, TILE, (m0) => {
        const row = k.mul(k.sub(m0.at, firstRow.at), k.idx(columns));
        e.push(
          k.tiles({
            to: PRODUCTS,
            index: e.bind(k.add(row, k.sub(n0.at, firstColumn.at))),
            line: columns,
            a: { of: PAIRS_A, index: e.bind(panelAt(m0, firstRow)) },
            b: { of: PAIRS_B, index: b },
            blocks,
            adds,
          }),
        );
      });
    });
  });
}
