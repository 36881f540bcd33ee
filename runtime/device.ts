/**
 * What a device is to the rest of the runtime: something that loads a plan once and then runs its entries. Sessions are
 * independent; each owns its pools.
 */
import { bytesOfPools, type DevicePlan, type TensorRef } from "./plan.js";
import { deviceNames, type BuiltInDevice, type DeviceName } from "./registry.js";

export { deviceNames };
export type { BuiltInDevice, DeviceName };

/** How a device is opened. */
export interface OpenOptions {
  /** Threads of the native and the wasm device, 1 to 64; all cores, at most 16 and 8, when not given. */
  readonly threads?: number | undefined;
  /** Whether the wasm device runs the variant with fused multiply-add; where the engine has it when not given. */
  readonly relaxed?: boolean | undefined;
  /**
   * Whether the wasm device may have the engine join neighbouring vectors into 256 bits: Node 24 does, on Linux and
   * processors with AVX2, in all WebAssembly of the process. It is a flag of V8 that is experimental; not asked for
   * when not given.
   */
  readonly wide?: boolean | undefined;
}

/** Values of a tensor, row-major: of f32 or of u32. */
export type Words = Float32Array | Uint32Array;

/** A plan that was loaded on a device: its memory and its compiled kernels. */
export interface Session {
  /**
   * Runs one entry to its end, and reads copies of the tensors asked for in the same submission. Runs of one session do
   * not overlap. Throws DeviceError when the session is closed, has no such entry, or its device is lost.
   */
  run(entry: string, read?: readonly TensorRef[]): Promise<readonly Words[]>;
  /**
   * Runs one entry dispatch by dispatch: the milliseconds of each, in order. Slower than `run`, and the same results.
   */
  profile(entry: string): Promise<readonly number[]>;
  /** Writes a tensor, or `data.length` words of it from word `at` (0 when not given). */
  write(ref: TensorRef, data: Words, at?: number): void;
  /** A copy of a tensor's values. */
  read(ref: TensorRef): Promise<Words>;
  /** Times that work was handed to the device: messages to the workers, or submissions to the queue. */
  readonly submits: number;
  /** Bytes of all pools. */
  readonly bytes: number;
  /** Gives the memory back. What is asked of the session later is refused. */
  close(): Promise<void>;
}

/** A device that is open. */
export interface Device {
  readonly name: DeviceName;
  /** What it is, for people: "SwiftShader", "2 threads, SIMD", … */
  readonly adapter: string;
  /** That compute at once, as the runtime sees it: 1 for a GPU. */
  readonly threads: number;
  /** Whether it is a GPU that a CPU emulates. */
  readonly software: boolean;
  /**
   * The smallest subgroup that it makes: invocations that can exchange values without memory. 0 where there are none.
   */
  readonly subgroup: number;
  /**
   * Words of its vectors, and how many of these its registers hold, where kernels are compiled for the processor; not
   * there where kernels do not depend on it.
   */
  readonly vectors?: { readonly lanes: 4 | 8 | 16; readonly registers?: number };
  /** The unit of its processor that multiplies bf16, such as "AMX"; not there where it has none. */
  readonly bf16?: string;
  /**
   * What the host refused, so that the device does without it, one sentence each: "one thread, not 8: memory cannot be
   * shared here (…)".
   */
  readonly notes: readonly string[];
  /** Loads a plan. Throws DeviceError where it has no code for this device, or does not fit. */
  load(plan: DevicePlan): Promise<Session>;
  /** Gives the device back. */
  close(): Promise<void>;
}

/**
 * Lets the event loop turn once. A device that runs in the calling thread waits for this after each run: promises alone
 * never let a signal, a timer or a page's events through, so that a long training could not be stopped.
 */
export const turn = (): Promise<void> =>
  new Promise((resolve) => {
    if (typeof setImmediate === "function") setImmediate(resolve);
    else setTimeout(resolve, 0);
  });

/** Bytes of all pools of a plan. */
export const bytesOf = ({ pools }: DevicePlan): number => bytesOfPools(pools);

/** Numbers in a tensor of a shape; 1 for a scalar. */
export const sizeOf = (ref: { readonly shape: readonly number[] }): number =>
  ref.shape.reduce((product, size) => product * size, 1);
