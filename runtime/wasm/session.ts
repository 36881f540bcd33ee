/**
 * A session of the wasm device, in three kinds with the same bits: threads that share a memory with the caller; one
 * worker with a memory of its own, where memory cannot be shared; and the calling thread alone, where the host allows
 * no workers.
 */
import { bytesOf, sizeOf, turn, type Session, type Words } from "../device.js";
import { DeviceError, reasonOf } from "../errors.js";
import { guarded } from "../guarded.js";
import { mustAt, mustGet } from "../lookup.js";
import type { DevicePlan, HostPool, TensorRef } from "../plan.js";
import { mustValue, valueAt } from "../records.js";
import { BARRIER, RECORD, type DispatchTable, type MemoryLayout } from "./layout.js";
import { poolOf, remoteOf } from "./pool.js";
import type { Port } from "./port.js";
import type { MemoryRange, Order } from "./serve.js";

/** Where a session computes. */
interface Computing {
  run(name: string, reads: readonly TensorRef[]): Promise<readonly Words[]>;
  /** Milliseconds of each dispatch. */
  profile(name: string): Promise<readonly number[]>;
  write(ref: TensorRef, data: Words, at: number): void;
  read(ref: TensorRef): Promise<Words>;
  close(): Promise<void>;
}

/** A plan with the layout of its memory and its compiled module. */
export interface LaidOutPlan {
  readonly plan: DevicePlan;
  readonly layout: MemoryLayout;
  readonly module: WebAssembly.Module;
}

type PoolViews = Readonly<Record<HostPool, Words>>;

const wordsOf = (pool: HostPool): typeof Uint32Array | typeof Float32Array =>
  pool === "ints" ? Uint32Array : Float32Array;

/** Writes tables and constants, and gives views of the pools. */
function filled({ plan, layout }: LaidOutPlan, memory: WebAssembly.Memory): PoolViews {
  new Uint32Array(memory.buffer, 0, layout.words.length).set(layout.words);
  const view = (pool: HostPool): Words => new (wordsOf(pool))(memory.buffer, layout.pools[pool], plan.pools[pool]);
  const pools = { state: view("state"), work: view("work"), ints: view("ints"), out: view("out") };
  for (const { at, data } of plan.constants) pools[at.pool].set(data, at.offset);
  return pools;
}

const access = (pools: PoolViews): { copyOf: (ref: TensorRef) => Words } & Pick<Computing, "read" | "write"> => {
  const copyOf = (ref: TensorRef): Words => pools[ref.pool].slice(ref.offset, ref.offset + sizeOf(ref));
  return {
    copyOf,
    read: (ref) => Promise.resolve(copyOf(ref)),
    write: (ref, data, at) => pools[ref.pool].set(data, ref.offset + at),
  };
};

type RunOrder = Extract<Order, { readonly kind: "run" }>;

const orderOf = ({ address, count }: DispatchTable): RunOrder => ({
  kind: "run",
  address,
  count,
  barrier: BARRIER,
  stride: null,
  reads: [],
});

/** Orders are made once: a step makes no garbage that it need not. */
const ordersOf = (layout: MemoryLayout): Map<string, RunOrder> =>
  new Map(Object.entries(layout.tables).map(([name, table]) => [name, orderOf(table)]));

/** Threads on a memory that they share with the caller. */
export async function sharedSession(
  laidOut: LaidOutPlan,
  memory: WebAssembly.Memory,
  ports: readonly Port[],
): Promise<Session> {
  const { layout, module } = laidOut;
  const pools = filled(laidOut, memory);
  const workers = poolOf(ports);
  const threads = ports.length;
  try {
    await workers.all(
      ports.map((_, thread) => ({
        kind: "join",
        module,
        memory,
        thread,
        threads,
        scratch: mustAt(layout.scratch, thread),
      })),
    );
  } catch (error) {
    await workers.close();
    throw error;
  }
  const { copyOf, read, write } = access(pools);
  const orders = new Map([...ordersOf(layout)].map(([name, order]) => [name, Array.from(ports, () => order)]));
  return sessionAt(laidOut, {
    read,
    write,
    async run(name, reads) {
      await workers.all(mustGet(orders, name));
      return reads.map(copyOf);
    },
    async profile(name) {
      const answers = await workers.all(mustGet(orders, name).map((order) => ({ ...order, stride: RECORD })));
      // A thread that comes late to a dispatch finds less left of it: the longest time is that of one that came first.
      return Array.from({ length: mustValue(layout.tables, name).count }, (_, i) =>
        Math.max(...answers.map(({ times = [] }) => mustAt(times, i))),
      );
    },
    close: () => workers.close(),
  });
}

/** One worker with a memory of its own: what is written and read goes in messages. */
export async function remoteSession(
  laidOut: LaidOutPlan,
  port: Port,
  refused: (reason: string) => DeviceError,
): Promise<Session> {
  const { plan, layout, module } = laidOut;
  const worker = remoteOf(port);
  const addressOf = (ref: TensorRef, at = 0): number => layout.pools[ref.pool] + 4 * (ref.offset + at);
  const rangeOf = (ref: TensorRef): MemoryRange => ({
    at: addressOf(ref),
    length: sizeOf(ref),
    ints: ref.pool === "ints",
  });
  const write = (ref: TensorRef, data: ArrayLike<number>, at: number): void => {
    if (ref.offset + at + data.length > plan.pools[ref.pool])
      throw new RangeError(`${data.length} words do not fit the pool ${ref.pool}`);
    const copy = wordsOf(ref.pool).from(data);
    worker.tell({ kind: "write", at: addressOf(ref, at), data: copy }, [copy.buffer as ArrayBuffer]);
  };
  try {
    const { error } = await worker.ask({
      kind: "own",
      module,
      pages: layout.pages,
      scratch: mustAt(layout.scratch, 0),
    });
    if (error !== undefined) throw refused(error);
    const words = layout.words.slice();
    worker.tell({ kind: "write", at: 0, data: words }, [words.buffer as ArrayBuffer]);
    for (const { at, data } of plan.constants) write(at, data, 0);
  } catch (error) {
    await worker.close();
    throw error;
  }
  const orders = ordersOf(layout);
  let running = false;
  const alone = async <T>(work: () => Promise<T>): Promise<T> => {
    if (running) throw new DeviceError("two runs of one session overlap", "wait for one run before the next");
    running = true;
    try {
      return await work();
    } finally {
      running = false;
    }
  };
  const readAll = async (order: RunOrder, refs: readonly TensorRef[]): Promise<readonly Words[]> =>
    (await worker.ask(refs.length ? { ...order, reads: refs.map(rangeOf) } : order)).reads ?? [];
  return sessionAt(laidOut, {
    write,
    run: (name, reads) => alone(() => readAll(mustGet(orders, name), reads)),
    profile: (name) => alone(async () => (await worker.ask({ ...mustGet(orders, name), stride: RECORD })).times ?? []),
    read: async (ref) => mustAt(await readAll(orderOf({ address: 0, count: 0 }), [ref]), 0),
    close: () => worker.close(),
  });
}

/** The calling thread alone. */
export async function inlineSession(
  laidOut: LaidOutPlan,
  memory: WebAssembly.Memory,
  engine: typeof WebAssembly,
): Promise<Session> {
  const { layout, module } = laidOut;
  const { copyOf, read, write } = access(filled(laidOut, memory));
  const { exports } = await engine.instantiate(module, { env: { memory } });
  const run = exports["run"] as (
    table: number,
    count: number,
    threads: number,
    thread: number,
    scratch: number,
    barrier: number,
  ) => void;
  const scratch = mustAt(layout.scratch, 0);
  const walk = (name: string, address: number, count: number): void => {
    try {
      run(address, count, 1, 0, scratch, BARRIER);
    } catch (error) {
      throw new DeviceError(`the entry ${name} failed: ${reasonOf(error)}`);
    }
  };
  return sessionAt(laidOut, {
    read,
    write,
    async run(name, reads) {
      const { address, count } = mustValue(layout.tables, name);
      walk(name, address, count);
      await turn();
      return reads.map(copyOf);
    },
    profile(name) {
      const { address, count } = mustValue(layout.tables, name);
      return Promise.resolve(
        Array.from({ length: count }, (_, i) => {
          const begun = performance.now();
          walk(name, address + RECORD * i, 1);
          return performance.now() - begun;
        }),
      );
    },
    close: () => Promise.resolve(),
  });
}

/** What all kinds have in common: names are checked. */
function sessionAt({ plan, layout }: LaidOutPlan, place: Computing): Session {
  let submits = 0;
  const check = (name: string): void => {
    if (!valueAt(layout.tables, name)) throw new DeviceError(`the plan has no entry ${name}`);
    submits++;
  };
  return guarded({
    bytes: bytesOf(plan),
    get submits() {
      return submits;
    },
    async run(name, read = []) {
      check(name);
      return place.run(name, read);
    },
    async profile(name) {
      check(name);
      return place.profile(name);
    },
    write: (ref, data, at = 0) => place.write(ref, data, at),
    read: (ref) => place.read(ref),
    close: () => place.close(),
  });
}
