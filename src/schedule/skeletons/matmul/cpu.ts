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
import type { Lanes } from "../../../kernel/ir.js";
import type { KernelProfile } from "../../../kernel/profile.js";
import type { Choice } from "../../emit/choices.js";
import { extentOfK, shapeOf, type Product, type ProductAxis } from "../../fusion/contraction.js";
import { constant, type Coord } from "../../emit/emit.js";
import type { Workbench } from "../../emit/kernelize.js";
import type { Cluster } from "../../fusion/clusters.js";
import { isPlain } from "../epilogue.js";
import { sizesOf, stridesOf } from "./axes.js";
import { packA, packB, packRowsOfB } from "./cpu-panels.js";
import { clearProducts, finishDeferred, finishTogether, sumBlock } from "./cpu-registers.js";
import { PANEL_B, PANELS_A, PRODUCTS, type CpuMatmul, type CpuTask, type CpuTile, type DepthCut } from "./cpu-task.js";

/**
 * Rows of a block of registers by how many vectors the registers hold; where it is not said, multiplying and adding are
 * two instructions, and 4 rows are all that fit.
 */
const heightFor = ({ registers }: KernelProfile): number => (registers === undefined ? 4 : registers >= 32 ? 8 : 6);
const group = k.ref("group", k.INDEX);

/**
 * What is best where multiplying and adding are one instruction: nothing but sums, two vectors of B and a value of A
 * needs a register.
 */
export const FUSED: Choice = { height: 6 };

/** Columns of a result whose rows are worth writing in one run, when more than the result itself is read or written. */
const LONG_ROW = 256;
/** Steps along k of a panel of two vectors of columns that a first-level cache holds beside the rows. */
const DEPTH = 192;

/** Multiply-adds below which a task is not worth its call: small tasks share a group. */
const GROUP = 1 << 17;
/** A product is cut until it has a few tasks, and a large one until it has more: so that threads end together. */
const TASKS = 4;
const MANY_TASKS = 16;
const LARGE = 1 << 23;
/** Words of A that are packed at once: half of a second-level cache. */
const PANELS = 1 << 17;
/** Rows so few that a block of registers has four vectors of columns. */
const FLAT = 4;
/** Rows that make packing B worth it. */
const FEW = 8;

/**
 * Members of the family: cuts that have been the best for some shape, and deeper turns for engines that allocate
 * registers well.
 */
export const cpuTiles: readonly CpuTile[] = [
  { rows: 32, columns: 512, height: 4, unroll: 1, depth: 0 },
  { rows: 64, columns: 64, height: 4, unroll: 1, depth: 0 },
  { rows: 64, columns: 256, height: 4, unroll: 2, depth: 0 },
  { rows: 128, columns: 128, height: 4, unroll: 1, depth: 0 },
  { rows: 192, columns: 64, height: 4, unroll: 1, depth: 0 },
  { rows: 192, columns: 512, height: 4, unroll: 1, depth: 0 },
  { rows: 192, columns: 512, height: 6, unroll: 1, depth: 0 },
  { rows: 66, columns: 256, height: 6, unroll: 1, depth: 0 },
  { rows: 192, columns: 512, height: 4, unroll: 4, depth: 0 },
];

/**
 * Members for a compiler that keeps a block in registers: 8 rows where there are 32 of them, 6 where there are 16, and
 * panels from a half of a first-level cache to twice as much.
 */
export const nativeTiles: readonly CpuTile[] = [8, 6].flatMap((height) => [
  { rows: 192, columns: 1024, height, unroll: 1, depth: 128 },
  { rows: 192, columns: 1024, height, unroll: 1, depth: 256 },
  { rows: 192, columns: 512, height, unroll: 1, depth: 512 },
  { rows: 96, columns: 512, height, unroll: 1, depth: 256 },
  { rows: 384, columns: 256, height, unroll: 1, depth: 256 },
]);

/**
 * Blocks that fit the second-level cache, several to a thread: A's block is read once for every 8 columns, B's panels
 * once for every block of rows.
 */
export function defaultCpuTile(product: Product, profile: KernelProfile): CpuTile {
  if (profile.registers) return nativeTile(product, profile);
  const { m, n, k: summed, outer } = product;
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
  return { rows, columns, height: heightFor(profile), unroll: 1, depth: 0 };
}

/** Rows and columns of a task whose panels and products of a block along k fill a second-level cache of a megabyte. */
const NATIVE_ROWS = 256;
const NATIVE_COLUMNS = 512;

/**
 * The same where sums are cut along k: rows and columns are shared out evenly, into as many parts as keep blocks in the
 * cache, and more of them until every thread has its share.
 */
function nativeTile({ m, n, k: summed, outer }: Product, profile: KernelProfile): CpuTile {
  const depth = sizeOf(summed.map(({ size }) => size));
  const repeats = sizeOf(outer.map(({ size }) => size));
  const parts = { rows: Math.ceil(m.size / NATIVE_ROWS), columns: Math.ceil(n.size / NATIVE_COLUMNS) };
  const rows = (): number => Math.ceil(m.size / parts.rows / 8) * 8;
  const columns = (): number => Math.ceil(n.size / parts.columns / 32) * 32;
  const tasks = (): number => repeats * parts.rows * parts.columns;
  const work = (): number => rows() * columns() * depth;
  const many = Math.max(4, 2 * (profile.threads ?? 4));
  while ((tasks() < TASKS && work() > 2 * GROUP) || (tasks() < many && work() > LARGE)) {
    if (columns() > rows() && columns() > 32) parts.columns++;
    else if (rows() > 32) parts.rows += tasks() < TASKS ? 1 : parts.rows;
    else break;
  }
  return { rows: rows(), columns: columns(), height: heightFor(profile), unroll: 1, depth: DEPTH };
}

const LONG: ReadonlySet<Op> = new Set<Op>(["exp", "log", "tanh", "erf", "sin", "cos", "sigmoid", "pow"]);

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
  const { tile, depth, block, rows, columns, kSizes } = kernel;
  const { m, n, outer } = kernel.product;
  const sizes = [sizeOf(sizesOf(outer)), Math.ceil(m.size / rows), Math.ceil(n.size / columns)] as const;
  const tasks = sizeOf(sizes);
  const each = Math.max(1, Math.min(tasks, Math.floor(GROUP / (rows * columns * sizeOf(kSizes)))));
  if (kernel.packsA) e.push(k.arrayS(PANELS_A, "f32", Math.ceil(rows / tile.height) * tile.height * depth));
  if (kernel.packsB) e.push(k.arrayS(PANEL_B, "f32", depth * (kernel.packsRows ? columns : block)));
  if (kernel.deferred) e.push(k.arrayS(PRODUCTS, "f32", rows * (kernel.together ? columns : block)));

  const from = e.bind(k.mul(group, k.idx(each)));
  const to = e.bind(k.min(k.add(from, k.idx(each)), k.idx(tasks)));
  e.loop(from, to, 1, (number) => runTask(kernel, taskAt(kernel, e.split(number, sizes))));
  return Math.ceil(tasks / each);
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
    depth: cut ? cut.size * sizeOf(kSizes.slice(cut.axis + 1)) : extentOfK(product),
    cut,
    vectors,
    block,
    rows: Math.min(m.size, Math.ceil(tile.rows / height) * height),
    columns: Math.min(Math.ceil(n.size / block) * block, Math.ceil(tile.columns / block) * block),
    packsA: m.size >= height && n.size > 2 * block && (m.a === 1 || isWorthTurning(product, tile)),
    packsB:
      m.size > FEW ||
      (!isContiguous && m.size > 1) ||
      (lanes !== 1 && !isContiguous) ||
      (n.size % block !== 0 && m.size > 1),
    packsRows: tile.depth > 0 && n.b === 1 && n.size % block === 0 && m.size > FEW,
    deferred: cut !== null || hasLong || together,
    together: cut !== null || together,
    rest: m.size % height,
  };
}

/** Binds where a task lies: its positions along the outer loops, its block of rows and its block of columns. */
export function taskAt(kernel: CpuMatmul, [o, i, j]: readonly [Coord, Coord, Coord]): CpuTask {
  const { bench, product, rows, columns, rest } = kernel;
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
  return { outer, baseA, baseB, firstRow, endRow, firstColumn, endColumn, wholeRows, along: null };
}

/** One task: all of k at once, or block by block along it. */
function runTask(kernel: CpuMatmul, task: CpuTask): void {
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

/** Packs A, then goes through the columns of a task block by block: packs them, and sums them with all rows. */
function sumTask(kernel: CpuMatmul, task: CpuTask): void {
  const { bench, product, tile, block, rest } = kernel;
  const { emitter: e } = bench;
  const { m } = product;
  const { height } = tile;
  const { firstRow, endRow, firstColumn, endColumn, wholeRows } = task;
  if (kernel.packsA) packA(kernel, task);
  if (kernel.packsRows) packRowsOfB(kernel, task);
  e.loop(firstColumn.at, endColumn, block, (n0) => {
    if (kernel.packsB && !kernel.packsRows) packB(kernel, task, n0);
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
