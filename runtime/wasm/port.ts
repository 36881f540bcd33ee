/** The little that Node's and the browser's workers have in common. */
import type { DeviceError } from "../errors.js";
import type { Answer, Order } from "./serve.js";

/** Who hears what a worker says. */
export interface Listener {
  readonly answer: (answer: Answer) => void;
  readonly fail: (error: DeviceError) => void;
}

/** A worker, as the thread that gives it orders sees it. */
export interface Port {
  /** Who hears the answers from now on. A worker that has failed tells every listener so. */
  listen(to: Listener): void;
  post(order: Order, transfer?: ArrayBuffer[]): void;
  /** Something is under way, for which the process must wait. */
  busy(): void;
  /** Nothing is under way: an idle worker must not keep the process alive. */
  idle(): void;
  close(): Promise<void>;
}

/** A way to start a worker. What it gives has not answered yet, and may never do so. */
export type OpenPort = () => Port | Promise<Port>;

/** Hands what a worker says to whoever listens. */
export function relay(): Listener & Pick<Port, "listen"> {
  let listener: Listener | null = null;
  let dead: DeviceError | null = null;
  return {
    answer: (answer) => listener?.answer(answer),
    fail(error) {
      dead ??= error;
      listener?.fail(error);
    },
    listen(to) {
      listener = to;
      if (dead) to.fail(dead);
    },
  };
}
