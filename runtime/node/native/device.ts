/**
 * The native device: kernels as C, compiled by the machine's own compiler and loaded into the process. Pools are memory
 * of JavaScript whose addresses the kernels are given, so that nothing is copied but what is read; a run is one call,
 * made off the event loop, and the library's threads take part in it (`driver.ts`).
 */
import { availableParallelism, endianness } from "node:os";
import { bytesOf, sizeOf, type Device, type Session, type Words } from "../../device.js";
import { DeviceError, reasonOf } from "../../errors.js";
import { guarded } from "../../guarded.js";
import { mustAt, mustGet } from "../../lookup.js";
import { copiesOf, type DevicePlan, type Entry, type HostPool, type PoolName, type TensorRef } from "../../plan.js";
import { valueAt } from "../../records.js";
import { driverLibrary, kernelLibrary, type Library } from "./build.js";
import { findCompiler, type Compiler } from "./compiler.js";
import { RECORD } from "../../native/driver.js";

/** More threads than this do not pay on the models that are trained on a CPU. */
const MOST_THREADS = 16;
/** Bytes between the beginnings of pools, and what may be read behind the end of one by a vector of its last words. */
const ALIGN = 4096;

type Koffi = typeof import("koffi");
type NativePointer = unknown;

/** The functions of the driver's library. */
interface Driver {
  readonly open: (threads: number, scratch: number) => NativePointer | null;
  /** Asks for large pages for memory that has not been written yet. */
  readonly large: (memory: ArrayBufferLike, bytes: number) => void;
  readonly run: (
    session: NativePointer,
    kernels: NativePointer,
    table: BigInt64Array,
    count: number,
    times: Float64Array | null,
  ) => Promise<void>;
  readonly close: (session: NativePointer) => void;
}

async function koffiOf(): Promise<Koffi> {
  try {
    return (await import("koffi")).default as unknown as Koffi;
  } catch (error) {
    throw new DeviceError(`the package koffi cannot be loaded: ${reasonOf(error)}`, "run `npm install koffi`");
  }
}

/**
 * Opens the device. Throws DeviceError where there is no C compiler, or no way to load what it makes: one for another
 * processor compiles too.
 */
export async function nativeDevice({ threads }: { readonly threads?: number | undefined } = {}): Promise<Device> {
  if (process.platform === "win32") throw new DeviceError("the native device is for Linux and macOS", "use another");
  if (endianness() !== "LE" || process.arch === "arm" || process.arch === "ia32")
    throw new DeviceError(`the native device is for 64-bit processors, not ${process.arch}`, "use another");
  const koffi = await koffiOf();
  const compiler = await findCompiler();
  const driver = await driverOf(koffi, compiler);
  const count = threads ?? Math.min(MOST_THREADS, availableParallelism());
  return {
    name: "native",
    adapter: `${compiler.version}, ${32 * compiler.lanes}-bit vectors, ${count} thread${count === 1 ? "" : "s"}`,
    threads: count,
    software: false,
    subgroup: 0,
    vectors: { lanes: compiler.lanes, registers: compiler.registers },
    ...(compiler.bf16 ? { bf16: compiler.bf16 } : {}),
    notes: [],
    load: (plan) => load(plan, { koffi, compiler, driver, threads: count }),
    close: () => Promise.resolve(),
  };
}

/** What sessions of the device are made with. */
interface NativeMeans {
  readonly koffi: Koffi;
  readonly compiler: Compiler;
  readonly driver: Driver;
  readonly threads: number;
}

type LoadedLibrary = ReturnType<Koffi["load"]>;

/**
 * Loads a library that is made where it is not in the cache. What is there may be damaged: a library that the system
 * refuses is made once more. Throws DeviceError where it refuses that too.
 */
async function loaded(koffi: Koffi, make: () => Promise<Library>): Promise<LoadedLibrary> {
  const library = await make();
  try {
    return koffi.load(library.path);
  } catch {
    await library.discard();
  }
  try {
    return koffi.load((await make()).path);
  } catch (error) {
    if (error instanceof DeviceError) throw error;
    throw new DeviceError(`the compiled kernels cannot be loaded: ${reasonOf(error)}`, "let CC name another compiler");
  }
}

/** The driver, loaded once in a process: sessions are its own. */
async function driverOf(koffi: Koffi, compiler: Compiler): Promise<Driver> {
  const library = await loaded(koffi, () => driverLibrary(compiler));
  const run = library.func(
    "void mhc_run(void *session, const void *kernels, const void *table, int64_t count, double *times)",
  );
  return {
    open: library.func("void *mhc_open(int threads, int64_t scratch)") as Driver["open"],
    large: library.func("void mhc_large(void *memory, int64_t bytes)") as Driver["large"],
    run: (...given) =>
      new Promise((resolve, reject) => {
        run.async(...given, (error: Error | null) => (error ? reject(error) : resolve()));
      }),
    close: library.func("void mhc_close(void *session)") as Driver["close"],
  };
}

async function load(plan: DevicePlan, { koffi, compiler, driver, threads }: NativeMeans): Promise<Session> {
  const { code } = plan;
  if (code.kind !== "c") throw new DeviceError("this plan has no kernels in C", "compile it with `--target native`");
  const pools = poolsOf(plan, koffi);
  const kernels = createKernels(
    plan,
    pools,
    (which) => loaded(koffi, () => kernelLibrary(code, plan.kernels, which, compiler)),
    (data) => koffi.address(data),
  );
  // What will be asked for first is compiled now, so that a compiler that cannot do it is known before a device is
  // chosen; other entries are compiled when they are first run.
  await kernels.tableOf(valueAt(plan.entries, "train") ? "train" : (Object.keys(plan.entries)[0] ?? ""));
  for (const { buffer } of Object.values(pools)) driver.large(buffer, buffer.byteLength);
  const session = driver.open(threads, code.scratchBytes);
  if (session === null) {
    kernels.unload();
    throw new DeviceError(
      `${threads} threads with ${code.scratchBytes} bytes each were refused`,
      "ask for fewer threads (`threads`)",
    );
  }
  for (const { at, data } of plan.constants) pools[at.pool].set(data, at.offset);
  return sessionOf(plan, pools, kernels, driver, session);
}

type Pools = Readonly<Record<HostPool, Words>>;

/** The pools of a plan, each at the beginning of a page. Throws DeviceError where there is no room for them. */
function poolsOf({ pools }: DevicePlan, { address }: Koffi): Pools {
  const { state, work, ints, out } = pools;
  try {
    // A vector that crosses a cache line takes twice as long, so the beginning is not left to the engine.
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

/** The dispatches of an entry as the driver reads them, and what they point to. */
interface Table {
  /** The addresses of the entry's kernels. */
  readonly kernels: NativePointer;
  readonly records: BigInt64Array;
  readonly count: number;
  /** Read by address, so it must live as long as the table. */
  readonly addresses: BigUint64Array;
}

/** The kernels of a session, which are compiled entry by entry. */
interface SessionKernels {
  /** The table of an entry. Throws DeviceError where the plan has no such entry, or the compiler refuses. */
  readonly tableOf: (name: string) => Promise<Table>;
  readonly unload: () => void;
}

function createKernels(
  plan: DevicePlan,
  pools: Pools,
  libraryFor: (which: readonly number[]) => Promise<LoadedLibrary>,
  addressOf: (data: Words | BigUint64Array) => bigint,
): SessionKernels {
  const libraries: LoadedLibrary[] = [];
  const tables = new Map<string, Promise<Table>>();
  const make = async (name: string): Promise<Table> => {
    const entry = valueAt(plan.entries, name);
    if (!entry) throw new DeviceError(`the plan has no entry ${name}`);
    const which = [...new Set(entry.dispatches.map(({ kernel }) => kernel))];
    const library = await libraryFor(which);
    libraries.push(library);
    const kernels = (library.func("const void *mhc_table(void)") as () => NativePointer)();
    return { kernels, ...recordsOf(plan, entry, which, pools, addressOf) };
  };
  return {
    tableOf(name) {
      const table = tables.get(name) ?? make(name);
      tables.set(name, table);
      // An attempt that failed may succeed later: a disk may have room again.
      table.catch(() => tables.delete(name));
      return table;
    },
    unload: () => libraries.forEach((library) => library.unload()),
  };
}

/** The records of an entry's dispatches, whose kernels are counted in the order of `which`. */
function recordsOf(
  plan: DevicePlan,
  { dispatches }: Entry,
  which: readonly number[],
  pools: Pools,
  addressOf: (data: Words | BigUint64Array) => bigint,
): Omit<Table, "kernels"> {
  const words = dispatches.reduce((sum, { offsets }) => sum + offsets.length, 0);
  // Beyond the small size that an engine may keep beside the object, and move.
  const addresses = new BigUint64Array(new ArrayBuffer(8 * words + ALIGN), 0, words);
  const records = new BigInt64Array(new ArrayBuffer(8 * RECORD * dispatches.length + ALIGN));
  const places = new Map(which.map((kernel, i) => [kernel, i]));
  let at = 0;
  for (const [i, dispatch] of dispatches.entries()) {
    const info = mustAt(plan.kernels, dispatch.kernel);
    const { groups, buffers } = info;
    const kernel = BigInt(mustGet(places, dispatch.kernel));
    const start = addressOf(addresses) + BigInt(8 * at);
    const all = BigInt(groups * copiesOf(dispatch, info));
    records.set([kernel, all, BigInt(groups), start, BigInt(buffers.length)], RECORD * i);
    for (const [slot, offset] of dispatch.offsets.entries()) {
      const pool = hostPool(mustAt(buffers, slot % buffers.length).pool);
      addresses[at++] = addressOf(pools[pool]) + BigInt(4 * offset);
    }
  }
  return { records, count: dispatches.length, addresses };
}

function hostPool(pool: PoolName): HostPool {
  if (pool === "half") throw new Error("bug: a plan for the native device has half precision");
  return pool;
}

function sessionOf(
  plan: DevicePlan,
  pools: Pools,
  kernels: SessionKernels,
  driver: Driver,
  session: NativePointer,
): Session {
  const copyOf = (ref: TensorRef): Words => pools[ref.pool].slice(ref.offset, ref.offset + sizeOf(ref));
  let running: Promise<void> | null = null;
  let submits = 0;
  const start = async (name: string, timed: boolean): Promise<Float64Array | null> => {
    const { kernels: functions, records, count } = await kernels.tableOf(name);
    const times = timed ? new Float64Array(new ArrayBuffer(8 * count + ALIGN), 0, count) : null;
    await driver.run(session, functions, records, count, times);
    return times;
  };
  const runOne = async (name: string, timed: boolean): Promise<Float64Array | null> => {
    if (!valueAt(plan.entries, name)) throw new DeviceError(`the plan has no entry ${name}`);
    if (running) throw new DeviceError("two runs of one session overlap", "wait for one run before the next");
    submits++;
    const run = start(name, timed);
    running = run.then(
      () => undefined,
      () => undefined,
    );
    try {
      return await run;
    } finally {
      running = null;
    }
  };
  return guarded({
    bytes: bytesOf(plan),
    get submits() {
      return submits;
    },
    async run(name, read = []) {
      await runOne(name, false);
      return read.map(copyOf);
    },
    profile: async (name) => [...((await runOne(name, true)) ?? [])],
    write: (ref, data, at = 0) => pools[ref.pool].set(data, ref.offset + at),
    read: (ref) => Promise.resolve(copyOf(ref)),
    async close() {
      // A run that is under way ends first: its threads read what is given back here.
      await running;
      driver.close(session);
      kernels.unload();
    },
  });
}
