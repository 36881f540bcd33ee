/**
 * WebAssembly with SIMD: the device of machines without a GPU. With shared memory (Node, and pages that are
 * cross-origin isolated) a few workers walk the dispatch table together and meet at a barrier inside WebAssembly; a
 * run costs one message a worker. Without it one worker has a memory of its own, and where the host allows no workers
 * the calling thread computes. What is refused is known when the device is opened, so that `auto` can go on; `notes`
 * say what the device does without.
 */
import { DeviceError, reasonOf } from "../errors.js";
import type { Device, Session } from "../device.js";
import type { Host } from "../host.js";
import type { DevicePlan } from "../plan.js";
import { mustAt } from "../lookup.js";
import { hire } from "./hire.js";
import { layOut } from "./layout.js";
import type { Port } from "./port.js";
import { inlineSession, remoteSession, sharedSession } from "./session.js";

/** More threads than this do not pay on the models that fit one memory. */
const MOST_THREADS = 8;

/** How the device is opened. */
export interface WasmOptions {
  /** 1 to 64; all cores, at most 8, when not given. */
  readonly threads?: number | undefined;
  /** Whether to run the variant with fused multiply-add; where the engine has it when not given. */
  readonly relaxed?: boolean | undefined;
  /** Whether the engine may be asked to join neighbouring vectors. */
  readonly wide?: boolean | undefined;
}

/** A module of one function of three vectors. */
const probe = (...code: readonly number[]): Uint8Array<ArrayBuffer> =>
  Uint8Array.of(
    0,
    97,
    115,
    109,
    1,
    0,
    0,
    0, // magic, version
    1,
    8,
    1,
    96,
    3,
    123,
    123,
    123,
    1,
    123, // type: three vectors, a vector
    3,
    2,
    1,
    0, // function 0 of type 0
    10,
    6 + code.length,
    1,
    4 + code.length,
    0,
    32,
    0,
    ...code,
    11, // its code: the first vector, and what is done with it
  );
/** Engines without SIMD refuse both; those without relaxed SIMD the second, which multiplies and adds. */
const PROBES = { simd: probe(), relaxed: probe(32, 1, 32, 2, 253, 133, 2) };

/** Whether this engine has relaxed SIMD. */
export const hasRelaxedSimd = (engine: typeof WebAssembly | undefined = globalThis.WebAssembly): boolean =>
  engine?.validate(PROBES.relaxed) ?? false;

const isShared = { initial: 1, maximum: 1, shared: true } as const;
const isOwn = { initial: 1, maximum: 1 } as const;

/** Why the engine refuses a memory; null where it does not. */
function refusalOf(engine: typeof WebAssembly, memory: WebAssembly.MemoryDescriptor): string | null {
  try {
    return new engine.Memory(memory).buffer.byteLength > 0 ? null : "it is empty";
  } catch (error) {
    return reasonOf(error);
  }
}

/** The engine, where it may compile. */
async function engineOf({ engine: engineHere, engineFix }: Host): Promise<typeof WebAssembly> {
  const engine = engineHere();
  if (!engine) throw new DeviceError("this host has no WebAssembly", engineFix);
  if (!engine.validate(PROBES.simd)) throw new DeviceError("this engine has no WebAssembly SIMD", "update it");
  try {
    await engine.compile(PROBES.simd);
  } catch (error) {
    throw new DeviceError(`this host forbids WebAssembly: ${reasonOf(error)}`, engineFix);
  }
  return engine;
}

/**
 * Opens the device. Throws DeviceError where the host has no WebAssembly with SIMD or forbids it, gives no memory, or
 * lacks the relaxed SIMD that is asked for.
 */
export async function wasmDevice(host: Host, { threads, relaxed, wide }: WasmOptions = {}): Promise<Device> {
  const engine = await engineOf(host);
  if (relaxed === true && !hasRelaxedSimd(engine))
    throw new DeviceError("this engine has no relaxed SIMD", "Node 22 and current browsers have it");
  const wanted = threads ?? Math.min(MOST_THREADS, host.cores());
  // Workers come first: beside a memory, of which an engine reserves far more addresses than it has bytes, a process
  // may be unable to start one.
  const { ports, refused } = await hire(host, host.unshared() === null ? wanted : 1);
  const unshared = host.unshared() ?? refusalOf(engine, isShared);
  const refusal = unshared === null ? null : refusalOf(engine, isOwn);
  // One worker serves a memory of its own.
  await Promise.all((refusal !== null ? ports : unshared !== null ? ports.slice(1) : []).map((port) => port.close()));
  if (refusal !== null) throw new DeviceError(`no WebAssembly memory can be made: ${refusal}`, host.memoryFix);
  const kept = unshared !== null ? ports.slice(0, 1) : ports;
  const count = Math.max(1, kept.length);
  const variant = relaxed ?? hasRelaxedSimd(engine);
  const notes = [
    ...(ports.length === 0 ? [`one thread, which is the caller's own: this host allows no workers (${refused})`] : []),
    ...(ports.length > 0 && unshared !== null && wanted > 1
      ? [`one thread, not ${wanted}: memory cannot be shared here (${unshared})`]
      : []),
    ...(ports.length > 0 && unshared === null && refused !== null
      ? [`${count} of ${wanted} threads: the others were refused (${refused})`]
      : []),
  ];
  // The workers that have answered are those of the first session; later ones start their own.
  let idle = kept;
  const take = async (): Promise<readonly Port[]> => {
    const taken = idle;
    idle = [];
    return taken.length || kept.length === 0 ? taken : (await hire(host, kept.length)).ports;
  };
  const isWide = wide === true && host.joinVectors();
  const simd = `${variant ? "relaxed SIMD" : "SIMD"}${isWide ? " joined to 256 bits" : ""}`;
  return {
    name: "wasm",
    adapter: `WebAssembly ${simd}, ${count} thread${count === 1 ? "" : "s"}`,
    threads: count,
    software: false,
    subgroup: 0,
    ...(isWide ? { vectors: { lanes: 8 } } : {}),
    notes,
    load: (plan) => load(plan, { engine, host, shared: unshared === null, relaxed: variant, take }),
    async close() {
      const unused = idle;
      idle = [];
      await Promise.all(unused.map((port) => port.close()));
    },
  };
}

function decode(text: string): Uint8Array<ArrayBuffer> {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes;
}

/** A module of a plan's kernels, which an engine may refuse to compile for want of memory or addresses. */
async function compiled(engine: typeof WebAssembly, bytes: Uint8Array<ArrayBuffer>): Promise<WebAssembly.Module> {
  try {
    return await engine.compile(bytes);
  } catch (error) {
    const fix = "make the model smaller, or use another device; if the engine is new enough, report it with the page";
    throw new DeviceError(`this engine refused the kernels: ${reasonOf(error)}`, fix);
  }
}

/** What sessions of the device are made with. */
interface Means {
  readonly engine: typeof WebAssembly;
  readonly host: Host;
  readonly shared: boolean;
  readonly relaxed: boolean;
  readonly take: () => Promise<readonly Port[]>;
}

async function load(plan: DevicePlan, { engine, host, shared, relaxed, take }: Means): Promise<Session> {
  const { code } = plan;
  if (code.kind !== "wasm")
    throw new DeviceError("this plan has no WebAssembly kernels", "compile it with `--target wasm`");
  const ports = await take();
  try {
    // A memory is as large as the plan needs: hosts refuse, or reserve, the largest size that is asked for.
    const layout = layOut(plan, code.scratchBytes, Math.max(1, ports.length));
    const { pages } = layout;
    const refused = (reason: string): DeviceError =>
      new DeviceError(
        `${(pages / 16384).toFixed(3)} GiB of memory were refused: ${reason}`,
        `make the batch or the model smaller, or ${host.memoryFix}`,
      );
    const memoryOf = (descriptor: WebAssembly.MemoryDescriptor): WebAssembly.Memory => {
      try {
        return new engine.Memory(descriptor);
      } catch (error) {
        throw refused(reasonOf(error));
      }
    };
    const threaded = shared && ports.length > 0;
    const memory =
      threaded || ports.length === 0 ? memoryOf({ initial: pages, maximum: pages, shared: threaded }) : null;
    const bytes = decode(relaxed ? code.relaxed : code.binary);
    if (!threaded) bytes[code.sharedFlag] = 1;
    const laidOut = { plan, layout, module: await compiled(engine, bytes) };
    if (!memory) return await remoteSession(laidOut, mustAt(ports, 0), refused);
    return await (threaded ? sharedSession(laidOut, memory, ports) : inlineSession(laidOut, memory, engine));
  } catch (error) {
    await Promise.all(ports.map((port) => port.close()));
    throw error;
  }
}
