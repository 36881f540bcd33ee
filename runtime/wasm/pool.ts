/** A few workers that run one WebAssembly module on one shared memory. The calling thread never waits. */
import { DeviceError } from "../errors.js";
import { workerSource } from "./worker.js";

interface Answer {
  readonly error?: string;
  /** Milliseconds of each dispatch, when they were asked for. */
  readonly times?: readonly number[];
}

/** The little that Node's and the browser's workers have in common. */
interface Port {
  post(message: unknown): void;
  /** Nothing is under way: an idle worker must not keep the process alive. */
  idle(): void;
  close(): Promise<void>;
}

export interface WorkerPool {
  /** Sends message i to worker i, and waits for all answers. */
  all(messages: readonly unknown[]): Promise<readonly Answer[]>;
  close(): Promise<void>;
}

export async function openPool(threads: number): Promise<WorkerPool> {
  let waiting: { all: number; answers: Answer[]; resolve: (answers: readonly Answer[]) => void; reject: (error: Error) => void } | null = null;
  let dead: DeviceError | null = null;
  let ports: readonly Port[] = [];
  const answer = (message: Answer): void => {
    if (message.error !== undefined) return fail(new DeviceError(`a worker failed: ${message.error}`));
    if (!waiting) return;
    waiting.answers.push(message);
    if (waiting.answers.length < waiting.all) return;
    const { resolve, answers } = waiting;
    waiting = null;
    ports.forEach((port) => port.idle());
    resolve(answers);
  };
  const fail = (error: DeviceError): void => {
    dead = error;
    const before = waiting;
    waiting = null;
    // The others may wait at the barrier for ever: they must not keep the process alive.
    ports.forEach((port) => port.idle());
    before?.reject(error);
  };
  ports = await Promise.all(Array.from({ length: threads }, () => openPort(answer, fail)));
  return {
    all(messages) {
      if (dead) return Promise.reject(dead);
      if (waiting) return Promise.reject(new DeviceError("two runs of one session overlap", "wait for one run before the next"));
      return new Promise((resolve, reject) => {
        waiting = { all: messages.length, answers: [], resolve, reject };
        messages.forEach((message, i) => ports[i]!.post(message));
      });
    },
    async close() {
      fail(new DeviceError("the session is closed"));
      await Promise.all(ports.map((port) => port.close()));
    },
  };
}

async function openPort(answer: (message: Answer) => void, fail: (error: DeviceError) => void): Promise<Port> {
  if (isNode()) {
    const { Worker } = await import("node:worker_threads");
    // Flags of the process (`--input-type=module`, say) are not for this source.
    const worker = new Worker(workerSource, { eval: true, execArgv: [] });
    let closed = false;
    worker.on("message", answer);
    worker.on("error", (error) => fail(new DeviceError(`a worker died: ${error instanceof Error ? error.message : String(error)}`)));
    worker.on("exit", () => {
      if (!closed) fail(new DeviceError("a worker ended before its work"));
    });
    worker.unref();
    return {
      post(message) {
        worker.ref();
        worker.postMessage(message);
      },
      idle: () => worker.unref(),
      async close() {
        closed = true;
        await worker.terminate();
      },
    };
  }
  const url = URL.createObjectURL(new Blob([workerSource], { type: "text/javascript" }));
  const worker = new Worker(url);
  worker.addEventListener("message", (event: MessageEvent<Answer>) => answer(event.data));
  worker.addEventListener("error", (event) => fail(new DeviceError(`a worker died: ${event.message}`)));
  return {
    post: (message) => worker.postMessage(message),
    idle: () => undefined,
    close() {
      worker.terminate();
      URL.revokeObjectURL(url);
      return Promise.resolve();
    },
  };
}

export const isNode = (): boolean => typeof process !== "undefined" && process.versions?.node !== undefined;
