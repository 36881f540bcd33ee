/**
 * What a worker runs, as text, since one source must serve Node's worker threads and the browser's workers without a file of its
 * own. It instantiates the module on the shared memory and walks its part of an entry at every message.
 */
import { RECORD } from "./layout.js";

export const workerSource = `
const start = (post) => {
  let instance = null, thread = 0, threads = 1, scratch = 0;
  return (message) => {
    try {
      if (message.module) {
        ({ thread, threads, scratch } = message);
        instance = new WebAssembly.Instance(message.module, { env: { memory: message.memory } });
        post({ ready: true });
      } else {
        const run = instance.exports.run;
        if (message.profile) {
          // Dispatch by dispatch; each ends at the barrier.
          const times = [];
          for (let i = 0; i < message.count; i++) {
            const begun = performance.now();
            run(message.address + ${RECORD} * i, 1, threads, thread, scratch, message.barrier);
            times.push(performance.now() - begun);
          }
          post({ times });
        } else {
          run(message.address, message.count, threads, thread, scratch, message.barrier);
          post({ done: true });
        }
      }
    } catch (error) {
      post({ error: String(error && error.message || error) });
    }
  };
};
if (typeof self !== "undefined" && typeof importScripts === "function") {
  const receive = start((message) => self.postMessage(message));
  self.onmessage = (event) => receive(event.data);
} else {
  const { parentPort } = require("node:worker_threads");
  const receive = start((message) => parentPort.postMessage(message));
  parentPort.on("message", receive);
}
`;
