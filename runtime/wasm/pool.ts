/** A few workers that run one WebAssembly module on one shared memory. The calling thread never waits. */
import { DeviceError } from "../errors.js";
import type { Answer, Host, Port } from "../host.js";

export interface WorkerPool {
  /** Sends message i to worker i, and waits for all answers. */
  all(messages: readonly unknown[]): Promise<readonly Answer[]>;
  close(): Promise<void>;
}

export async function openPool(host: Host, threads: number): Promise<WorkerPool> {
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
  const listener = { answer, fail: (reason: string) => fail(new DeviceError(reason)) };
  ports = await Promise.all(Array.from({ length: threads }, () => host.startWorker(listener)));
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
