/**
 * The one memory of a WebAssembly session: control words (the barrier, and a counter of each thread in a cache line of
 * its own), the dispatch tables of all entries with their arguments, private scratch for each thread, then the pools.
 * Everything is laid out and written once, at load.
 */
import { DeviceError } from "../errors.js";
import { copiesOf, type DevicePlan, type PoolName } from "../plan.js";
import { mustAt } from "../lookup.js";
import { mustValue, recordOf } from "../records.js";

/** Where the dispatches of an entry stand, and how many there are. */
export interface DispatchTable {
  readonly address: number;
  readonly count: number;
}

/** Where everything lies in the memory, in bytes from its beginning. */
export interface MemoryLayout {
  /** Of 64 KiB. */
  readonly pages: number;
  /** Byte address of each pool. */
  readonly pools: Readonly<Record<PoolName, number>>;
  /** Byte address of each thread's own. */
  readonly scratch: readonly number[];
  readonly tables: Readonly<Record<string, DispatchTable>>;
  /** Words to be written at byte address 0: the tables and arguments. */
  readonly words: Uint32Array;
}

/** Byte address of the barrier. */
export const BARRIER = 64;
/**
 * Bytes of a dispatch in a table: kernel, groups of all copies, address of the arguments, groups of a copy, bytes of a
 * copy's arguments, and nothing.
 */
export const RECORD = 32;
const LINE = 64;
const ALIGN = 256;
const PAGE = 65536;
const LIMIT = 2 ** 32;

const align = (bytes: number): number => Math.ceil(bytes / ALIGN) * ALIGN;

/**
 * Lays out the memory of a plan for so many threads. Throws DeviceError where it ends beyond what a WebAssembly memory
 * can have.
 */
export function layOut(plan: DevicePlan, scratchBytes: number, threads: number): MemoryLayout {
  const entries = Object.entries(plan.entries);
  let at = BARRIER + LINE * (1 + threads);
  const tables = recordOf(
    entries.map(([name, { dispatches }]) => {
      const address = at;
      at += RECORD * dispatches.length;
      return [name, { address, count: dispatches.length }] as const;
    }),
  );
  const placed = entries.flatMap(([name, { dispatches }]) => {
    const { address: table } = mustValue(tables, name);
    return dispatches.map((dispatch, i) => {
      const args = at;
      at += 4 * dispatch.offsets.length;
      return { dispatch, record: table + RECORD * i, args };
    });
  });
  const tablesEnd = at;
  at = align(at);
  const scratch = Array.from({ length: threads }, () => {
    const address = at;
    at = align(at + scratchBytes);
    return address;
  });
  // Nothing is in half precision here.
  const pools = { state: 0, work: 0, ints: 0, out: 0, half: 0 };
  for (const name of ["state", "work", "ints", "out"] as const) {
    pools[name] = at;
    at = align(at + 4 * plan.pools[name]);
    if (at > LIMIT)
      throw new DeviceError(
        `the pool \`${name}\` ends at ${(at / 2 ** 30).toFixed(1)} GiB, and a WebAssembly memory has 4`,
        "make the batch or the model smaller",
      );
  }
  const words = new Uint32Array(Math.ceil(tablesEnd / 4));
  for (const { dispatch, record, args } of placed) {
    const { kernel, offsets } = dispatch;
    const info = mustAt(plan.kernels, kernel);
    const { groups, buffers } = info;
    words.set([kernel, groups * copiesOf(dispatch, info), args, groups, 4 * buffers.length], record / 4);
    words.set(
      offsets.map((offset, slot) => pools[mustAt(buffers, slot % buffers.length).pool] + 4 * offset),
      args / 4,
    );
  }
  return { pages: Math.ceil(at / PAGE), pools, scratch, tables, words };
}
