/**
 * The workers of a page: a script that is made here, or a file. A policy may forbid either (`worker-src` without
 * `blob:`, or without `'self'`), and a bundler may leave the file behind.
 */
import { DeviceError } from "../errors.js";
import { relay, type Port } from "../wasm/port.js";
import type { Answer } from "../wasm/serve.js";
import { serveText } from "../wasm/worker-text.js";

const text = `${serveText}
const receive = serve((answer, transfer) => self.postMessage(answer, transfer));
self.addEventListener("message", (event) => receive(event.data));`;

/** A worker made of text. */
export function openBlob(): Port {
  const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
  return portOf(new Worker(url), () => URL.revokeObjectURL(url));
}

/** A worker made of the file beside this one. */
export const openFile = (): Port =>
  portOf(new Worker(new URL("./thread.js", import.meta.url), { type: "module" }), () => undefined);

function portOf(worker: Worker, after: () => void): Port {
  const { answer, fail, listen } = relay();
  worker.addEventListener("message", (event: MessageEvent<Answer>) => answer(event.data));
  worker.addEventListener("messageerror", () =>
    fail(new DeviceError("a worker could not be told its work: what it was sent cannot be sent here")),
  );
  worker.addEventListener("error", (event) => {
    event.preventDefault();
    fail(
      new DeviceError(
        `a worker died: ${event.message || "it was refused, or could not be loaded"}`,
        "load the page again; fewer threads take less memory",
      ),
    );
  });
  return {
    listen,
    post: (order, transfer = []) => worker.postMessage(order, transfer),
    busy: () => undefined,
    idle: () => undefined,
    close() {
      worker.terminate();
      after();
      return Promise.resolve();
    },
  };
}
