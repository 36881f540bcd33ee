/**
 * Starts workers. A host may refuse one at once, later, or without a word; so a worker is counted on when it has
 * answered, not before.
 */
import { DeviceError, reasonOf } from "../errors.js";
import type { Host } from "../host.js";
import type { OpenPort, Port } from "./port.js";

/** Workers that have answered, and why there are not more. */
export interface Hired {
  readonly ports: readonly Port[];
  readonly refused: string | null;
}

/** Starts workers, in the first of the host's ways that gives any. */
export async function hire({ workers, patience }: Pick<Host, "workers" | "patience">, count: number): Promise<Hired> {
  const ways = workers();
  const reasons = new Set<string>();
  for (const open of ways) {
    const tried = await Promise.all(
      Array.from({ length: count }, () => greeted(open, patience).catch((error: unknown) => reasonOf(error))),
    );
    const ports = tried.filter((port) => typeof port !== "string");
    for (const reason of tried) if (typeof reason === "string") reasons.add(reason);
    if (ports.length) return { ports, refused: ports.length < count ? [...reasons].join("; ") : null };
  }
  return { ports: [], refused: ways.length ? [...reasons].join("; ") : "there are none" };
}

/** Opens a worker, and waits for its first answer. */
async function greeted(open: OpenPort, patience: number): Promise<Port> {
  const port = await open();
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      const refuse = (): void => reject(new DeviceError(`a worker did not answer within ${patience / 1000} s`));
      // In two halves: when this thread was busy all the time, an answer may be waiting behind the first timer.
      timer = setTimeout(() => (timer = setTimeout(refuse, patience / 2)), patience / 2);
      port.listen({
        answer: ({ error }) => (error === undefined ? resolve() : reject(new DeviceError(error))),
        fail: reject,
      });
      port.busy();
      port.post({ kind: "hello" });
    });
    port.idle();
    return port;
  } catch (error) {
    await port.close();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
