/** A worker thread of Node, from the text that a page's worker runs. */
import { DeviceError, reasonOf } from "../errors.js";
import { relay, type Port } from "../wasm/port.js";
import type { Answer } from "../wasm/serve.js";
import { serveText } from "../wasm/worker-text.js";

const text = `${serveText}
const { parentPort } = require("node:worker_threads");
parentPort.on("message", serve((answer, transfer) => parentPort.postMessage(answer, transfer)));`;

const fix = "run again; fewer threads take less memory";

/** Starts a thread. Throws where a permission model forbids threads, or a host that is nearly Node has none. */
export async function openThread(): Promise<Port> {
  const { Worker } = await import("node:worker_threads");
  // Flags of the process (`--input-type=module`, say) are not for this source.
  const worker = new Worker(text, { eval: true, execArgv: [] });
  const { answer, fail, listen } = relay();
  let closed = false;
  worker.on("message", (message: Answer) => answer(message));
  worker.on("messageerror", (error: unknown) =>
    fail(new DeviceError(`a worker could not be told its work: ${reasonOf(error)}`)),
  );
  worker.on("error", (error: unknown) => fail(new DeviceError(`a worker died: ${reasonOf(error)}`, fix)));
  worker.on("exit", () => {
    if (!closed) fail(new DeviceError("a worker ended before its work", fix));
  });
  worker.unref();
  return {
    listen,
    post: (order, transfer = []) => worker.postMessage(order, transfer),
    busy: () => worker.ref(),
    idle: () => worker.unref(),
    async close() {
      closed = true;
      await worker.terminate();
    },
  };
}
