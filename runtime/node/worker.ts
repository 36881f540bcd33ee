/** A worker thread of Node, from the same script as a page's worker. */
import { Worker } from "node:worker_threads";
import type { Listener, Port } from "../host.js";
import { workerSource } from "../wasm/worker.js";

export function startWorker({ answer, fail }: Listener): Promise<Port> {
  // Flags of the process (`--input-type=module`, say) are not for this source.
  const worker = new Worker(workerSource, { eval: true, execArgv: [] });
  let closed = false;
  worker.on("message", answer);
  worker.on("error", (error) => fail(`a worker died: ${error instanceof Error ? error.message : String(error)}`));
  worker.on("exit", () => {
    if (!closed) fail("a worker ended before its work");
  });
  worker.unref();
  return Promise.resolve({
    post(message) {
      worker.ref();
      worker.postMessage(message);
    },
    idle: () => worker.unref(),
    async close() {
      closed = true;
      await worker.terminate();
    },
  });
}
