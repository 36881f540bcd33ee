/**
 * The native device: kernels as C, compiled by the machine's own compiler and loaded into the process. Pools are memory
 * of JavaScript whose addresses the kernels are given, so that nothing is copied but what is read; a run is one call,
 * made off the event loop, and the library's threads take part in it (`driver.ts`).
 */
import { availableParallelism, endianness } from "node:os";
import { bytesOf, sizeOf, type Device, type Session, type Words } from "../../device.js";
import { DeviceError, reasonOf } from "../../errors.js";
import { mustAt } from "../../lookup.js";
import { copiesOf, type DevicePlan, type HostPool, type PoolName, type TensorRef } from "../../plan.js";
import { recordOf, valueAt } from "../../records.js";
import { libraryOf } from "./build.js";
import { findCompiler, type Compiler } from "./compiler.js";
import { RECORD } from "../../native/driver.js";

/** More threads than this do not pay on the models that are trained on a CPU. */
const MOST_THREADS = 16;
/** Bytes between the beginnings of pools, and what may be read behind the end of one by a vector of its last words. */
const ALIGN = 4096;

type Koffi = typeof import("koffi");
type Pointer = unknown;

/** The functions of a library. */
interface Functions {
  readonly open: (threads: number, scratch: number) => Pointer | null;
  readonly run: (session: Pointer, table: BigInt64Array, count: number, times: Float64Array | null) => Promise<void>;
  readonly close: (session: Pointer) => void;
  /** Unloads the library. */
  readonly unload: () => void;
}

async function koffiOf(): Promise<Koffi> {
  try {
    return (await import("koffi")).default as unknown as Koffi;
  } catch (error) {
    throw new DeviceError(`the package koffi cannot be loaded: ${reasonOf(error)}`, "run `npm install koffi`");
  }
}

/**
 * Opens the device. Throws DeviceError where there is no C compiler, or no way to load what it makes.
 */
export async function nativeDevice({ threads }: { readonly threads?: number | undefined } = {}): Promise<Device> {
  if (process.platform === "win32") throw new DeviceError("the native device is for Linux and macOS", "use another");
  if (endianness() !== "LE" || process.arch === "arm" || process.arch === "ia32")
    throw new DeviceError(`the native device is for 64-bit processors, not ${process.arch}`, "use another");
  const koffi = await koffiOf();
  const compiler = await findCompiler();
  const count = threads ?? Math.min(MOST_THREADS, availableParallelism());
  return {
    name: "native",
    adapter: `${compiler.version}, ${32 * compiler.lanes}-bit vectors, ${count} thread${count === 1 ? "" : "s"}`,
    threads: count,
    software: false,
    subgroup: 0,
    vectors: { lanes: compiler.lanes, registers: compiler.registers },
    notes: [],
    load: (plan) => load(plan, { koffi, compiler, threads: count }),
    close: () => Promise.resolve(),
  };
}

/** What sessions of the device are made with. */
interface Means {
  readonly koffi: Koffi;
  readonly compiler: Compiler;
  readonly threads: number;
}

/** Loads a library. Throws an Error where the system refuses it. */
function functionsOf(koffi: Koffi, path: string): Functions {
  const library = koffi.load(path);
  const run = library.func("void mhc_run(void *session, const void *table, int64_t count, double *times)");
  return {
    open: library.func("void *mhc_open(int threads, int64_t scratch)") as Functions["open"],
    run: (session, table, count, times) =>
      new Promise((resolve, reject) => {
        run.async(session, table, count, times, (error: Error | null) => (error ? reject(error) : resolve()));
      }),
    close: library.func("void mhc_close(void *session)") as Functions["close"],
    unload: () => library.unload(),
  };
}

async function load(plan: DevicePlan, { koffi, compiler, threads }: Means): Promise<Session> {
  const { code } = plan;
  if (code.kind !== "c") throw new DeviceError("this plan has no kernels in C", "compile it with `--target native`");
  const library = await libraryOf(code, plan.kernels, compiler);
  let functions: Functions;
  try {
    functions = functionsOf(koffi, library.path);
  } catch {
    // What was in the cache may be damaged: it is made once more.
    await library.discard();
    const again = await libraryOf(code, plan.kernels, compiler);
    try {
      functions = functionsOf(koffi, again.path);
    } catch (error) {
      throw new DeviceError(
        `the compiled kernels cannot be loaded: ${reasonOf(error)}`,
        "let CC name another compiler",
      );
    }
  }
  const pools = poolsOf(plan, koffi);
  const session = functions.open(threads, code.scratchBytes);
  if (session === null) {
    functions.unload();
    throw new DeviceError(
      `${threads} threads with ${code.scratchBytes} bytes each were refused`,
      "ask for fewer threads (`threads`)",
    );
  }
  for (const { at, data } of plan.constants) pools[at.pool].set(data, at.offset);
  return sessionOf(
    plan,
    pools,
    tablesOf(plan, (data) => koffi.address(data), pools),
    functions,
    session,
  );
}

type Pools = Readonly<Record<HostPool, Words>>;

/** The pools of a plan, each at the beginning of a page. Throws DeviceError where there is no room for them. */
function poolsOf({ pools }: DevicePlan, { address }: Koffi): Pools {
  const { state, work, ints, out } = pools;
  try {
    // A vector that crosses a cache line takes twice as long, so the beginning matters; it is not the engine's to choose.
    const memory = (words: number): [ArrayBuffer, number, number] => {
      const buffer = new ArrayBuffer(4 * words + 2 * ALIGN);
      const past = Number(address(buffer) % BigInt(ALIGN));
      return [buffer, (ALIGN - past) % ALIGN, words];
    };
    return {
      state: new Float32Array(...memory(state)),
      work: new Float32Array(...memory(work)),
      ints: new Uint32Array(...memory(ints)),
      out: new Float32Array(...memory(out)),
    };
  } catch (error) {
    const size = ((4 * (state + work + out + ints)) / 2 ** 30).toFixed(3);
    throw new DeviceError(
      `${size} GiB of memory were refused: ${reasonOf(error)}`,
      "make the batch or the model smaller",
    );
  }
}

/** The dispatches of an entry as the driver reads them, and the arguments that they point to. */
interface Table {
  readonly records: BigInt64Array;
  readonly count: number;
  /** Read by address, so it must live as long as the table. */
  readonly addresses: BigUint64Array;
}

/** The tables of all entries. */
const tablesOf = (plan: DevicePlan, addressOf: (data: Words | BigUint64Array) => bigint, pools: Pools) =>
  recordOf(
    Object.entries(plan.entries).map(([name, { dispatches }]): [string, Table] => {
      const infos = dispatches.map(({ kernel }) => mustAt(plan.kernels, kernel));
      const words = dispatches.reduce((sum, { offsets }) => sum + offsets.length, 0);
      // Beyond the small size that an engine may keep beside the object, and move.
      const addresses = new BigUint64Array(new ArrayBuffer(8 * words + ALIGN), 0, words);
      const records = new BigInt64Array(new ArrayBuffer(8 * RECORD * dispatches.length + ALIGN));
      let at = 0;
      for (const [i, dispatch] of dispatches.entries()) {
        const { groups, buffers } = mustAt(infos, i);
        const all = groups * copiesOf(dispatch, mustAt(infos, i));
        const start = addressOf(addresses) + BigInt(8 * at);
        records.set([BigInt(dispatch.kernel), BigInt(all), BigInt(groups), start, BigInt(buffers.length)], RECORD * i);
        for (const [slot, offset] of dispatch.offsets.entries()) {
          const pool = hostPool(mustAt(buffers, slot % buffers.length).pool);
          addresses[at++] = addressOf(pools[pool]) + BigInt(4 * offset);
        }
      }
      return [name, { records, count: dispatches.length, addresses }];
    }),
  );

function hostPool(pool: PoolName): HostPool {
  if (pool === "half") throw new Error("bug: a plan for the native device has half precision");
  return pool;
}

function sessionOf(
  plan: DevicePlan,
  pools: Pools,
  tables: Readonly<Record<string, Table>>,
  functions: Functions,
  session: Pointer,
): Session {
  const copyOf = (ref: TensorRef): Words => pools[ref.pool].slice(ref.offset, ref.offset + sizeOf(ref));
  let closed: Promise<void> | null = null;
  let running: Promise<void> | null = null;
  let submits = 0;
  const runTable = async (name: string, times: Float64Array | null): Promise<void> => {
    if (closed) throw new DeviceError("the session is closed");
    const table = valueAt(tables, name);
    if (!table) throw new DeviceError(`the plan has no entry ${name}`);
    if (running) throw new DeviceError("two runs of one session overlap", "wait for one run before the next");
    submits++;
    running = functions.run(session, table.records, table.count, times);
    try {
      await running;
    } finally {
      running = null;
    }
  };
  return {
    bytes: bytesOf(plan),
    get submits() {
      return submits;
    },
    async run(name, read = []) {
      await runTable(name, null);
      return read.map(copyOf);
    },
    async profile(name) {
      const times = new Float64Array(valueAt(tables, name)?.count ?? 0);
      await runTable(name, times);
      return [...times];
    },
    write: (ref, data, at = 0) => pools[ref.pool].set(data, ref.offset + at),
    read: (ref) => Promise.resolve(copyOf(ref)),
    close: () =>
      (closed ??= (async () => {
        // A run that is under way ends first: its threads read what is given back here.
        await running?.catch(() => undefined);
        functions.close(session);
        functions.unload();
      })()),
  };
}
