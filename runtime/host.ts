/**
 * What the runtime asks of the platform that it runs on. There are two: `web/host.ts` for pages and their workers, `node/host.ts` for Node. An
 * entry file (`index.ts` for Node, `web/index.ts`) chooses one and hands it down, so that nothing of Node is within reach of the module graph that a
 * bundler walks for a browser, and nobody asks at run time where he is: a page may well have something called `process`.
 */

/** What a worker answers to a message. */
export interface Answer {
  readonly error?: string;
  /** Milliseconds of each dispatch, when they were asked for. */
  readonly times?: readonly number[];
}

/** The little that Node's and the browser's workers have in common. */
export interface Port {
  post(message: unknown): void;
  /** Nothing is under way: an idle worker must not keep the process alive. */
  idle(): void;
  close(): Promise<void>;
}

/** Who listens to a worker: to its answers, and to its end, with the reason. */
export interface Listener {
  answer(message: Answer): void;
  fail(reason: string): void;
}

/** Files, where there are any. Both throw DataError. */
export interface Files {
  readBytes(path: string): Promise<Uint8Array>;
  /** The file is the old one or the new one, never half. */
  writeAtomically(path: string, content: string | Uint8Array): Promise<void>;
}

export interface Host {
  readonly name: "web" | "node";
  /** Threads that can compute at once. */
  cores(): number;
  /** Whether threads may share memory here. */
  sharesMemory(): boolean;
  /** Starts a worker that runs `wasm/worker.ts`. */
  startWorker(listener: Listener): Promise<Port>;
  /** The entry object of WebGPU. Throws DeviceError where there is none. */
  gpu(): Promise<GPU>;
  /** Whether the calling thread may sleep while a device works. */
  readonly maySleep: boolean;
  /** Whether Mesa's drivers, if there are any, keep what they compile where other devices of the process find it. */
  sharesKernels(): boolean;
  readonly files: Files | null;
}
