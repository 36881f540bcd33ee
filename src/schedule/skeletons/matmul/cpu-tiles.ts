/** How a matrix product on a CPU is cut: into tasks, blocks that caches hold, and blocks of registers. */
import { sizeOf } from "../../../graph/record.js";
import type { KernelProfile } from "../../../kernel/profile.js";
import type { Choice } from "../../emit/choices.js";
import type { Product } from "../../fusion/contraction.js";
import type { CpuTile } from "./cpu-task.js";

/**
 * Rows of a block of registers by how many vectors the registers hold; where it is not said, multiplying and adding are
 * two instructions, and 4 rows are all that fit.
 */
const heightFor = ({ registers }: KernelProfile): number => (registers === undefined ? 4 : registers >= 32 ? 8 : 6);
/**
 * What is best where multiplying and adding are one instruction: nothing but sums, two vectors of B and a value of A
 * needs a register.
 */
export const FUSED: Choice = { height: 6 };

/** Multiply-adds below which a task is not worth its call: small tasks share a group. */
export const GROUP = 1 << 17;
/** A product is cut until it has a few tasks, and a large one until it has more: so that threads end together. */
const TASKS = 4;
const MANY_TASKS = 16;
const LARGE = 1 << 23;
/** Words of A that are packed at once: half of a second-level cache. */
const PANELS = 1 << 17;
/** Steps along k of a panel of two vectors of columns that a first-level cache holds beside the rows. */
const DEPTH = 192;

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
].map((tile) => ({ ...tile, rowBlocks: 1, columnBlocks: 1, depth: 0 }));

/**
 * Members for a compiler that keeps a block in registers: 8 rows where there are 32 of them, 6 where there are 16, and
 * panels from a half of a first-level cache to twice as much.
 */
export const nativeTiles: readonly CpuTile[] = [8, 6].flatMap((height) => [
  { rows: 192, columns: 1024, rowBlocks: 1, columnBlocks: 1, height, unroll: 1, depth: 128 },
  { rows: 192, columns: 1024, rowBlocks: 1, columnBlocks: 1, height, unroll: 1, depth: 256 },
  { rows: 192, columns: 512, rowBlocks: 2, columnBlocks: 1, height, unroll: 1, depth: 512 },
  { rows: 96, columns: 512, rowBlocks: 4, columnBlocks: 1, height, unroll: 1, depth: 256 },
  { rows: 384, columns: 256, rowBlocks: 1, columnBlocks: 2, height, unroll: 1, depth: 256 },
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
  return { rows, columns, rowBlocks: 1, columnBlocks: 1, height: heightFor(profile), unroll: 1, depth: 0 };
}

/** Rows and columns of a block whose panels and products fill a second-level cache of a megabyte. */
const NATIVE_ROWS = 256;
const NATIVE_COLUMNS = 512;

/** Threads that are as fast as each other; among more of them some are slower, or have other work. */
const EQUAL_THREADS = 4;

/** Tasks that a product is cut into: every cut packs something once more, so no more than keep all threads busy. */
const tasksFor = ({ threads = EQUAL_THREADS }: KernelProfile): number =>
  threads <= EQUAL_THREADS ? threads : 2 * threads;

/**
 * The same where sums are cut along k: rows and columns are shared out evenly, into as many tasks as threads ask for,
 * and a task's into blocks that keep to the cache.
 */
function nativeTile({ m, n, k: summed, outer }: Product, profile: KernelProfile): CpuTile {
  const depth = sizeOf(summed.map(({ size }) => size));
  const repeats = sizeOf(outer.map(({ size }) => size));
  const tasks = { rows: 1, columns: 1 };
  const rows = (): number => Math.ceil(m.size / tasks.rows / 8) * 8;
  const columns = (): number => Math.ceil(n.size / tasks.columns / 32) * 32;
  const wanted = tasksFor(profile);
  while (repeats * tasks.rows * tasks.columns < wanted && rows() * columns() * depth > 2 * GROUP) {
    if (columns() > rows() && columns() > 32) tasks.columns++;
    else if (rows() > 32) tasks.rows++;
    else break;
  }
  const rowBlocks = Math.ceil(rows() / NATIVE_ROWS);
  const columnBlocks = Math.ceil(columns() / NATIVE_COLUMNS);
  return {
    rows: Math.ceil(rows() / rowBlocks / 8) * 8,
    columns: Math.ceil(columns() / columnBlocks / 32) * 32,
    rowBlocks,
    columnBlocks,
    height: heightFor(profile),
    unroll: 1,
    depth: DEPTH,
  };
}
