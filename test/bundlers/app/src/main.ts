import type { Failure, Outcome } from "./outcome.js";
import { work } from "./work.js";

/** Read by the test. */
interface Told {
  outcome?: Outcome | Failure;
}

if (location.search === "?worker") {
  const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  const tell = (outcome: Outcome | Failure): void => void ((globalThis as Told).outcome = outcome);
  worker.addEventListener("message", (event: MessageEvent<Outcome | Failure>) => tell(event.data));
  worker.addEventListener("error", (event) => tell({ name: "worker", message: event.message, fix: null }));
} else {
  void work().then((outcome) => void ((globalThis as Told).outcome = outcome));
}
