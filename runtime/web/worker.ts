/** A worker of a page, from a script that is made here. */
import type { Answer, Listener, Port } from "../host.js";
import { workerSource } from "../wasm/worker.js";

export function startWorker({ answer, fail }: Listener): Promise<Port> {
  const url = URL.createObjectURL(new Blob([workerSource], { type: "text/javascript" }));
  const worker = new Worker(url);
  worker.addEventListener("message", (event: MessageEvent<Answer>) => answer(event.data));
  worker.addEventListener("error", (event) => fail(`a worker died: ${event.message}`));
  return Promise.resolve({
    post: (message) => worker.postMessage(message),
    idle: () => undefined,
    close() {
      worker.terminate();
      URL.revokeObjectURL(url);
      return Promise.resolve();
    },
  });
}
