/**
 * WebAssembly with SIMD: the device of machines without a GPU. With shared memory (Node, and pages that are cross-origin
 * isolated) a few workers walk the dispatch table together and meet at a barrier inside WebAssembly; a run costs one
 * message a worker. Without it the same code runs in the calling thread, on a memory of its own.
 */
import { DeviceError } from "../errors.js";
import { bytesOf, sizeOf, turn, type Device, type Session, type Words } from "../device.js";
import type { Host } from "../host.js";
import type { DevicePlan, HostPool, TensorRef } from "../plan.js";
import { BARRIER, layOut, RECORD } from "./layout.js";
import { openPool, type WorkerPool } from "./pool.js";

/** More threads than this do not pay on the models that fit one memory. */
const MOST_THREADS = 8;

export interface WasmOptions {
  readonly threads?: number | undefined;
  /** Whether to run the variant with fused multiply-add; where the engine has it when not given. */
  readonly relaxed?: boolean | undefined;
}

/** A module of one function that multiplies and adds with relaxed SIMD: engines without it refuse it. */
const PROBE = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 1, 8, 1, 96, 3, 123, 123, 123, 1, 123, 3, 2, 1, 0, 10, 13, 1, 11, 0, 32, 0, 32, 1, 32, 2, 253, 133, 2, 11);

/** Whether this engine has relaxed SIMD. */
export const hasRelaxedSimd = (): boolean => WebAssembly.validate(PROBE);

export async function wasmDevice(host: Host, { threads, relaxed = hasRelaxedSimd() }: WasmOptions = {}): Promise<Device> {
  if (threads !== undefined && (!Number.isInteger(threads) || threads < 1 || threads > 64)) throw new DeviceError(`the wasm device cannot have ${threads} threads`, "ask for 1 to 64");
  if (relaxed && !hasRelaxedSimd()) throw new DeviceError("this engine has no relaxed SIMD", "Node 22 and current browsers have it");
  const shared = host.sharesMemory();
  const count = shared ? (threads ?? Math.min(MOST_THREADS, host.cores())) : 1;
  return {
    name: "wasm", adapter: `WebAssembly ${relaxed ? "relaxed SIMD" : "SIMD"}, ${count} thread${count === 1 ? "" : "s"}`, threads: count, software: false, subgroup: 0,
    load: (plan) => load(host, plan, count, shared, relaxed),
    close: () => Promise.resolve(),
  };
}

function decode(text: string): Uint8Array<ArrayBuffer> {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes;
}

function memoryOf(pages: number, shared: boolean): WebAssembly.Memory {
  try {
    return new WebAssembly.Memory({ initial: pages, maximum: 65536, shared });
  } catch (error) {
    throw new DeviceError(`${(pages / 16384).toFixed(1)} GiB of memory were refused: ${error instanceof Error ? error.message : String(error)}`, "make the batch or the model smaller");
  }
}

async function load(host: Host, plan: DevicePlan, threads: number, shared: boolean, relaxed: boolean): Promise<Session> {
  const { code } = plan;
  if (code.kind !== "wasm") throw new DeviceError("this plan has no WebAssembly kernels", "compile it with `--target wasm`");
  const layout = layOut(plan, code.scratchBytes, threads);
  const bytes = decode(relaxed ? code.relaxed : code.binary);
  if (!shared) bytes[code.sharedFlag] = 1;
  const memory = memoryOf(layout.pages, shared);
  const module = await WebAssembly.compile(bytes);
  new Uint32Array(memory.buffer, 0, layout.words.length).set(layout.words);
  const view = (pool: HostPool): Words => new (pool === "ints" ? Uint32Array : Float32Array)(memory.buffer, layout.pools[pool], plan.pools[pool]);
  const pools = { state: view("state"), work: view("work"), ints: view("ints"), out: view("out") };
  for (const { at, data } of plan.constants) pools[at.pool].set(data, at.offset);

  let workers: WorkerPool | null = null;
  let inline: ((table: number, count: number) => void) | null = null;
  if (shared) {
    workers = await openPool(host, threads);
    try {
      await workers.all(Array.from({ length: threads }, (_, thread) => ({ module, memory, thread, threads, scratch: layout.scratch[thread] })));
    } catch (error) {
      await workers.close();
      throw error;
    }
  } else {
    const instance = await WebAssembly.instantiate(module, { env: { memory } });
    const run = instance.exports["run"] as (table: number, count: number, threads: number, thread: number, scratch: number, barrier: number) => void;
    inline = (table, count) => run(table, count, 1, 0, layout.scratch[0]!, BARRIER);
  }
  let closed = false;
  let submits = 0;
  const copyOf = (ref: TensorRef): Words => pools[ref.pool].slice(ref.offset, ref.offset + sizeOf(ref));
  // Messages are made once: a step makes no garbage that it need not.
  const messages = Object.fromEntries(Object.entries(layout.tables).map(([name, table]) => [name, Array.from({ length: threads }, () => ({ ...table, barrier: BARRIER }))]));
  const tableOf = (name: string): { readonly address: number; readonly count: number } => {
    if (closed) throw new DeviceError("the session is closed");
    const table = layout.tables[name];
    if (!table) throw new DeviceError(`the plan has no entry ${name}`);
    submits++;
    return table;
  };
  const walk = (name: string, address: number, count: number): void => {
    try {
      inline!(address, count);
    } catch (error) {
      throw new DeviceError(`the entry ${name} failed: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  return {
    bytes: bytesOf(plan),
    get submits() {
      return submits;
    },
    async run(name, read = []) {
      const { address, count } = tableOf(name);
      if (workers) await workers.all(messages[name]!);
      else {
        walk(name, address, count);
        await turn();
      }
      return read.map(copyOf);
    },
    async profile(name) {
      const { address, count } = tableOf(name);
      if (workers) {
        // A thread that comes late to a dispatch finds less left of it: the longest time is that of one that came first.
        const answers = await workers.all(messages[name]!.map((message) => ({ ...message, profile: true })));
        return Array.from({ length: count }, (_, i) => Math.max(...answers.map(({ times }) => times![i]!)));
      }
      return Array.from({ length: count }, (_, i) => {
        const begun = performance.now();
        walk(name, address + RECORD * i, 1);
        return performance.now() - begun;
      });
    },
    write: (ref, data, at = 0) => pools[ref.pool].set(data, ref.offset + at),
    read: (ref) => Promise.resolve(copyOf(ref)),
    async close() {
      closed = true;
      await workers?.close();
    },
  };
}
