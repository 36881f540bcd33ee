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
import { sizeOf } from "../../../graph/record.js";
import { mustAt } from "../../../../runtime/lookup.js";
import * as k from "../../../kernel/build.js";
import type { Expr, Lanes } from "../../../kernel/ir.js";
import type { KernelProfile } from "../../../kernel/profile.js";
import { extentOfK, shapeOf, type Product, type ProductAxis } from "../../fusion/contraction.js";
import { constant, type Coord } from "../../emit/emit.js";
import type { Workbench } from "../../emit/kernelize.js";
import type { Cluster } from "../../fusion/clusters.js";
import { isPlain } from "../epilogue.js";
import { sizesOf, stridesOf } from "./axes.js";
import { packA, packB, packRowsOfB } from "./cpu-panels.js";
import { clearProducts, finishDeferred, finishTogether, sumBlock } from "./cpu-registers.js";
import {
  PANEL_B,
  PANELS_A,
  PRODUCTS,
  stepsOf,
  type CpuMatmul,
  type CpuTask,
  type CpuTile,
  type DepthCut,
} from "./cpu-task.js";
import { defaultCpuTile, GROUP } from "./cpu-tiles.js";

const group = k.ref("group", k.INDEX);

/** Columns of a result whose rows are worth writing in one run, when more than the result itself is read or written. */
const LONG_ROW = 256;
/** Rows so few that a block of registers has four vectors of columns. */
const FLAT = 4;
/** Words of an operand's panels that a task keeps for its next blocks: more are packed anew for each. */
const MOST_KEPT = 1 << 20;
/** Rows that make packing B worth it. */
const FEW = 8;

const LONG: ReadonlySet<Op> = new Set<Op>([
  "exp",
  "log",
  "tanh",
  "erf",
  "sin",
  "cos",
  "sigmoid",
  "pow",
  "atan2",
  "threefry",
]);

/**
 * Whether what becomes of a product has elementary functions in it. Their constants and intermediates leave no register
 * to the sums, so the products of a panel of columns are stored on the chip first and taken up again one after the
 * other.
 */
const hasLongEpilogue = (cluster: Cluster): boolean => [...cluster.members].some(({ op }) => LONG.has(op));

/** Makes the kernel of a product on a CPU; the number of its groups. */
export function matmulCpu(bench: Workbench, cluster: Cluster, node: NodeWith<"contract">, product: Product): number {
  const { emitter: e } = bench;
  const kernel = readKernel(bench, cluster, node, product);
  const { tile, block, rows, columns, kSizes } = kernel;
  const { m, n, outer } = kernel.product;
  const taskRows = rows * tile.rowBlocks;
  const taskColumns = columns * tile.columnBlocks;
  const sizes = [sizeOf(sizesOf(outer)), Math.ceil(m.size / taskRows), Math.ceil(n.size / taskColumns)] as const;
  const tasks = sizeOf(sizes);
  const each = Math.max(1, Math.min(tasks, Math.floor(GROUP / (taskRows * taskColumns * sizeOf(kSizes)))));
  const [wordsA, wordsB] = panelWords(kernel);
  if (kernel.packsA) e.push(k.arrayS(PANELS_A, "f32", wordsA));
  if (kernel.packsB) e.push(k.arrayS(PANEL_B, "f32", wordsB));
  if (kernel.deferred) e.push(k.arrayS(PRODUCTS, "f32", rows * (kernel.together ? columns : block)));

  const from = e.bind(k.mul(group, k.idx(each)));
  const to = e.bind(k.min(k.add(from, k.idx(each)), k.idx(tasks)));
  e.loop(from, to, 1, (number) => runTask(kernel, taskAt(kernel, e.split(number, sizes))));
  return Math.ceil(tasks / each);
}

/** Words of the panels of A and of B that a task has at once. */
function panelWords(kernel: CpuMatmul): readonly [a: number, b: number] {
  const { tile, depth, block, rows, columns, keepsA, keepsB } = kernel;
  const height = Math.ceil(rows / tile.height) * tile.height;
  return [
    keepsA ? height * tile.rowBlocks * stepsOf(kernel) : height * depth,
    keepsB ? columns * stepsOf(kernel) : depth * (kernel.packsRows ? columns : block),
  ];
}

/**
 * Cuts the summed axes into blocks of at most `depth` steps, but not where it would leave one block and a bit: the
 * outermost axis is cut that has all axes inside of it in a block. Null where all are one block.
 */
function cutOf(kSizes: readonly number[], depth: number): DepthCut | null {
  if (sizeOf(kSizes) <= 1.5 * depth) return null;
  const axis = kSizes.findIndex((_, i) => sizeOf(kSizes.slice(i + 1)) <= depth);
  const extent = mustAt(kSizes, axis);
  const inside = sizeOf(kSizes.slice(axis + 1));
  const blocks = Math.ceil((extent * inside) / depth);
  // Blocks of one size, in whole squares of what is packed.
  const size = Math.ceil(extent / blocks / 16) * 16;
  return { axis, size: inside === 1 ? Math.min(size, extent) : Math.ceil(extent / blocks) };
}

/** Lanes of the vectors along the columns: no more than hold them all. */
const lanesFor = (columns: number, most: Lanes): Lanes =>
  ([4, 8, 16] as const).find((lanes) => lanes <= most && columns <= lanes) ?? most;

/**
 * Whether lanes run along the rows of a result whose columns would leave most of them idle, where the rows lie side by
 * side in the left operand: the gradient of a connection's gates. Wide vectors only: four lanes are soon filled.
 */
const turns = ({ m, n }: Product, { lanes, registers }: KernelProfile): boolean =>
  registers !== undefined && lanes > 4 && n.size <= lanes && m.size > n.size && m.a === 1;

/** The same product with rows for columns. */
function turned({ a, b, outer, m, n, k: summed }: Product): Product {
  const flip = (axis: ProductAxis): ProductAxis => ({ ...axis, a: axis.b, b: axis.a });
  return { a: b, b: a, outer: outer.map(flip), m: flip(n), n: flip(m), k: summed.map(flip) };
}

/** Columns that make it worth to turn rows of A while they are packed. */
const MANY_COLUMNS = 256;

/**
 * Whether rows of A that run along k are packed, as they are where a compiler has vectors as long as a panel is high:
 * rows that lie a power of two apart would take each other's place in a first-level cache.
 */
const isWorthTurning = ({ n, k: summed }: Product, { height, depth }: CpuTile): boolean => {
  const last = summed.at(-1);
  return depth > 0 && height === 8 && n.size >= MANY_COLUMNS && last?.a === 1 && last.size % height === 0;
};

/** The sizes of the kernel's blocks, and what it packs. */
function readKernel(bench: Workbench, cluster: Cluster, node: NodeWith<"contract">, given: Product): CpuMatmul {
  const isTurned = turns(given, bench.profile);
  const product = isTurned ? turned(given) : given;
  const { m, n } = product;
  const lanes = lanesFor(n.size, bench.profile.lanes);
  const a = bench.read(product.a.base);
  const b = bench.read(product.b.base);
  const vectors = lanes === 1 ? Math.min(4, n.size) : isTurned && m.size <= FLAT ? 4 : n.size > lanes ? 2 : 1;
  const block = lanes * vectors;
  const tile = bench.choose("matmul", shapeOf(given), defaultCpuTile(product, bench.profile));
  const { height } = tile;
  const isContiguous = n.b === 1 || n.size === 1;
  const kSizes = sizesOf(product.k);
  const cut = cutOf(kSizes, tile.depth || extentOfK(product));
  const hasLong = hasLongEpilogue(cluster);
  const together = isTurned || (tile.depth > 0 && (hasLong || (n.size >= LONG_ROW && !isPlain(cluster))));
  const depth = cut ? cut.size * sizeOf(kSizes.slice(cut.axis + 1)) : extentOfK(product);
  const packsA = m.size >= height && n.size > 2 * block && (m.a === 1 || isWorthTurning(product, tile));
  const packsB =
    m.size > FEW ||
    (!isContiguous && m.size > 1) ||
    (lanes !== 1 && !isContiguous) ||
    (n.size % block !== 0 && m.size > 1);
  const rows = Math.min(m.size, Math.ceil(tile.rows / height) * height);
  const columns = Math.min(Math.ceil(n.size / block) * block, Math.ceil(tile.columns / block) * block);
  const steps = stepsOf({ kSizes, cut, depth });
  return {
    bench,
    cluster,
    node,
    product,
    tile,
    lanes,
    a,
    b,
    turned: isTurned,
    kSizes,
    depth,
    cut,
    vectors,
    block,
    rows,
    columns,
    packsA,
    packsB,
    packsRows: tile.depth > 0 && n.b === 1 && n.size % block === 0 && m.size > FEW,
    keepsA: packsA && tile.columnBlocks > 1 && rows * tile.rowBlocks * steps <= MOST_KEPT,
    keepsB: packsB && tile.rowBlocks > 1 && columns * steps <= MOST_KEPT,
    deferred: cut !== null || hasLong || together,
    together: cut !== null || together,
    rest: m.size % height,
  };
}

/** Binds where a task lies: its positions along the outer loops, its rows and its columns. */
export function taskAt(kernel: CpuMatmul, [o, i, j]: readonly [Coord, Coord, Coord]): CpuTask {
  const { bench, product, rest } = kernel;
  const rows = kernel.rows * kernel.tile.rowBlocks;
  const columns = kernel.columns * kernel.tile.columnBlocks;
  const { emitter: e } = bench;
  const { m, n } = product;
  const outer = e.split(o, sizesOf(product.outer));
  const baseA = e.address(outer, stridesOf(product.outer, "a")).at;
  const baseB = e.address(outer, stridesOf(product.outer, "b")).at;
  const firstRow = e.coord(k.mul(i.at, k.idx(rows)));
  const endRow = e.bind(k.min(k.add(firstRow.at, k.idx(rows)), k.idx(m.size)));
  const firstColumn = e.coord(k.mul(j.at, k.idx(columns)));
  const endColumn = e.bind(k.min(k.add(firstColumn.at, k.idx(columns)), k.idx(n.size)));
  const wholeRows = rest === 0 ? endRow : e.bind(k.min(endRow, k.idx(m.size - rest)));
  const [startRow, startColumn] = [firstRow.at, firstColumn.at];
  const ends = { endRow, endColumn, wholeRows };
  return { outer, baseA, baseB, firstRow, firstColumn, ...ends, startRow, startColumn, along: null };
}

/** One task: its blocks of rows for each of its blocks of columns. */
function runTask(kernel: CpuMatmul, task: CpuTask): void {
  const { bench, product, tile, rows, columns, rest } = kernel;
  const { emitter: e } = bench;
  const { firstRow, endRow, firstColumn, endColumn } = task;
  const rowsOf = (columnsOnly: CpuTask): void => {
    if (tile.rowBlocks === 1) return runBlock(kernel, columnsOnly);
    e.loop(firstRow.at, endRow, rows, (first) => {
      const end = e.bind(k.min(k.add(first.at, k.idx(rows)), endRow));
      const wholeRows = rest === 0 ? end : e.bind(k.min(end, k.idx(product.m.size - rest)));
      runBlock(kernel, { ...columnsOnly, firstRow: first, endRow: end, wholeRows });
    });
  };
  if (tile.columnBlocks === 1) return rowsOf(task);
  e.loop(firstColumn.at, endColumn, columns, (first) =>
    rowsOf({ ...task, firstColumn: first, endColumn: e.bind(k.min(k.add(first.at, k.idx(columns)), endColumn)) }),
  );
}

/** One block of a task: all of k at once, or block by block along it. */
function runBlock(kernel: CpuMatmul, task: CpuTask): void {
  const { bench, kSizes, cut } = kernel;
  const { emitter: e } = bench;
  if (cut) {
    clearProducts(kernel, task);
    const extent = mustAt(kSizes, cut.axis);
    e.nest(kSizes.slice(0, cut.axis), (outer) =>
      e.loop(k.idx(0), k.idx(extent), cut.size, (from) => {
        const to =
          extent % cut.size === 0
            ? k.add(from.at, k.idx(cut.size))
            : k.min(k.add(from.at, k.idx(cut.size)), k.idx(extent));
        sumTask(kernel, { ...task, along: { outer, from: from.at, to: e.bind(to) } });
      }),
    );
  } else sumTask(kernel, task);
  if (kernel.together) finishTogether(kernel, task);
}

/** Packs A, then goes through the columns of a block panel by panel: packs them, and sums them with all rows. */
function sumTask(kernel: CpuMatmul, task: CpuTask): void {
  const { bench, product, tile, block, rest } = kernel;
  const { emitter: e } = bench;
  const { m } = product;
  const { height } = tile;
  const { firstRow, endRow, firstColumn, endColumn, wholeRows } = task;
  // What stays packed is packed with the first block of columns, or of rows.
  const once = (stays: boolean, at: Expr, first: Expr, pack: () => void): void =>
    stays ? e.guard(k.eq(at, first), pack) : pack();
  const onceB = (pack: () => void): void => once(kernel.keepsB, firstRow.at, task.startRow, pack);
  if (kernel.packsA) once(kernel.keepsA, firstColumn.at, task.startColumn, () => packA(kernel, task));
  if (kernel.packsRows) onceB(() => packRowsOfB(kernel, task));
  e.loop(firstColumn.at, endColumn, block, (n0) => {
    if (kernel.packsB && !kernel.packsRows) onceB(() => packB(kernel, task, n0));
    if (m.size >= height) e.loop(firstRow.at, wholeRows, height, (m0) => sumBlock(kernel, task, { m0, n0 }, height));
    if (rest > 0) {
      const m0 = m.size === rest ? constant(0) : constant(m.size - rest);
      const tail = (): void => sumBlock(kernel, task, { m0, n0 }, rest);
      if (m.size < height) tail();
      else e.guard(k.eq(endRow, k.idx(m.size)), tail);
    }
    if (kernel.deferred && !kernel.together) finishDeferred(kernel, task, n0);
  });
}
