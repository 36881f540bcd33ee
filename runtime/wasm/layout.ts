/**
 * The one memory of a WebAssembly session: control words (the barrier, and a counter of each thread in a cache line of
 * its own), the dispatch tables of all entries with their arguments, private scratch for each thread, then the pools.
 * Everything is laid out and written once, at load.
 */
import { DeviceError } from "../errors.js";
import { copiesOf, type DevicePlan, type PoolName } from "../plan.js";
import { recordOf } from "../records.js";

/** Where the dispatches of an entry stand, and how many there are. */
export interface Table {
  readonly address: number;
  readonly count: number;
}

export interface Layout {
  readonly pages: number;
  /** Byte address of each pool. */
  readonly pools: Readonly<Record<PoolName, number>>;
  readonly scratch: readonly number[];
  readonly tables: Readonly<Record<string, Table>>;
  /** Words to be written at byte address 0: the tables and arguments. */
  readonly words: Uint32Array;
}

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

export function layOut(plan: DevicePlan, scratchBytes: number, threads: number): Layout {
  const entries = Object.entries(plan.entries);
  let at = BARRIER + LINE * (1 + threads);
  const tables = new Map<string, { address: number; count: number }>();
  for (const [name, { dispatches }] of entries) {
    tables.set(name, { address: at, count: dispatches.length });
    at += RECORD * dispatches.length;
  }
  const args = new Map<string, number[]>();
  for (const [name, { dispatches }] of entries) {
    args.set(
      name,
      dispatches.map(({ offsets }) => {
        const address = at;
        at += 4 * offsets.length;
        return address;
      }),
    );
  }
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
  for (const [name, { dispatches }] of entries) {
    dispatches.forEach((dispatch, i) => {
      const { kernel, offsets } = dispatch;
      const { groups, buffers } = plan.kernels[kernel]!;
      words.set(
        [kernel, groups * copiesOf(dispatch, plan.kernels[kernel]!), args.get(name)![i]!, groups, 4 * buffers.length],
        (tables.get(name)!.address + RECORD * i) / 4,
      );
      words.set(
        offsets.map((offset, slot) => pools[buffers[slot % buffers.length]!.pool] + 4 * offset),
        args.get(name)![i]! / 4,
      );
    });
  }
  return { pages: Math.ceil(at / PAGE), pools, scratch, tables: recordOf(tables), words };
}
