/**
 * What the runtime asks of the platform that it runs on. There are two: `web/host.ts` for pages and their workers,
 * `node/host.ts` for Node. An entry file (`index.ts` for Node, `web/index.ts`) chooses one and hands it down, so that
 * nothing of Node is within reach of the module graph that a bundler walks for a browser, and nobody asks at run time
 * where he is: a page may well have something called `process`.
 */

import type { Device, OpenOptions } from "./device.js";
import type { OpenPort } from "./wasm/port.js";

/** Files, where there are any. Both throw DataError. */
export interface Files {
  readBytes(path: string): Promise<Uint8Array>;
  /** The file is the old one or the new one, never half. */
  writeAtomically(path: string, content: string | Uint8Array): Promise<void>;
}

/** The platform. */
export interface Host {
  readonly name: "web" | "node";
  /** Threads that can compute at once. */
  cores(): number;
  /** The engine; null where there is none. */
  engine(): typeof WebAssembly | null;
  /**
   * What to do where there is no engine, or it may not compile; where code may not be made of text; where a memory is
   * refused.
   */
  readonly engineFix: string;
  readonly evalFix: string;
  readonly memoryFix: string;
  /**
   * Asks the engine to make 256-bit vectors of neighbours from now on, in all WebAssembly of the process; whether it
   * will.
   */
  joinVectors(): boolean;
  /** Why threads may not share memory here; null where nothing is known against it. */
  unshared(): string | null;
  /** Ways to start a worker that serves (`wasm/serve.ts`), to be tried in this order. */
  workers(): readonly OpenPort[];
  /** Milliseconds after which a worker that has not answered is taken to be refused. */
  readonly patience: number;
  /** The entry object of WebGPU. Throws DeviceError where there is none. */
  gpu(): Promise<GPU>;
  /** Opens the native device. Throws DeviceError where there is no C compiler, or none may be run. */
  native(options: OpenOptions): Promise<Device>;
  /**
   * Whether there may be a GPU that no CPU emulates; asking `gpu` where there is none costs time, and warnings of the
   * driver.
   */
  mayHaveGpu(): boolean;
  /** Whether the calling thread may sleep while a device works. */
  readonly maySleep: boolean;
  /** Whether Mesa's drivers, if there are any, keep what they compile where other devices of the process find it. */
  sharesKernels(): boolean;
  readonly files: Files | null;
}
