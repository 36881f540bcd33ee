/**
 * Workers at work: several that run one module on one shared memory, or one with a memory of its own. The calling
 * thread never waits.
 */
import { DeviceError } from "../errors.js";
import { mustAt } from "../lookup.js";
import type { Port } from "./port.js";
import type { Answer, Order } from "./serve.js";

/** Workers that follow one order together. */
export interface WorkerPool {
  /** Sends order i to worker i, and waits for all answers. */
  all(orders: readonly Order[]): Promise<readonly Answer[]>;
  close(): Promise<void>;
}

const closedError = (): DeviceError => new DeviceError("the session is closed");

const errorOf = (said: string): DeviceError => new DeviceError(`a worker failed: ${said}`);

/** Threads that share a memory, and so end an order together or not at all. */
export function poolOf(ports: readonly Port[]): WorkerPool {
  let waiting: {
    all: number;
    answers: Answer[];
    resolve: (answers: readonly Answer[]) => void;
    reject: (error: Error) => void;
  } | null = null;
  let dead: DeviceError | null = null;
  const fail = (error: DeviceError): void => {
    dead ??= error;
    const before = waiting;
    waiting = null;
    // The others may wait at the barrier for ever: they must not keep the process alive.
    ports.forEach((port) => port.idle());
    before?.reject(error);
  };
  const answer = (message: Answer): void => {
    if (message.error !== undefined) return fail(errorOf(message.error));
    if (!waiting) return;
    waiting.answers.push(message);
    if (waiting.answers.length < waiting.all) return;
    const { resolve, answers } = waiting;
    waiting = null;
    ports.forEach((port) => port.idle());
    resolve(answers);
  };
  for (const port of ports) port.listen({ answer, fail });
  return {
    all(orders) {
      if (dead) return Promise.reject(dead);
      if (waiting)
        return Promise.reject(new DeviceError("two runs of one session overlap", "wait for one run before the next"));
      return new Promise((resolve, reject) => {
        waiting = { all: orders.length, answers: [], resolve, reject };
        for (const [i, order] of orders.entries()) {
          const port = mustAt(ports, i);
          port.busy();
          port.post(order);
        }
      });
    },
    async close() {
      fail(closedError());
      await Promise.all(ports.map((port) => port.close()));
    },
  };
}

/** A worker that is reached by messages alone. */
export interface Remote {
  /** Sends an order that is answered; answers come in the order of what was asked. */
  ask(order: Order): Promise<Answer>;
  /** Sends an order without an answer. */
  tell(order: Order, transfer: ArrayBuffer[]): void;
  close(): Promise<void>;
}

/** A worker that has its own memory. */
export function remoteOf(port: Port): Remote {
  const asked: { resolve: (answer: Answer) => void; reject: (error: Error) => void }[] = [];
  let dead: DeviceError | null = null;
  const fail = (error: DeviceError): void => {
    dead ??= error;
    port.idle();
    for (const { reject } of asked.splice(0)) reject(error);
  };
  port.listen({
    answer(message) {
      if (message.error !== undefined && message.memory !== true) return fail(errorOf(message.error));
      const first = asked.shift();
      if (!asked.length) port.idle();
      first?.resolve(message);
    },
    fail,
  });
  return {
    ask(order) {
      if (dead) return Promise.reject(dead);
      return new Promise((resolve, reject) => {
        asked.push({ resolve, reject });
        port.busy();
        port.post(order);
      });
    },
    tell(order, transfer) {
      if (!dead) port.post(order, transfer);
    },
    async close() {
      fail(closedError());
      await port.close();
    },
  };
}
