/**
 * Waiting for an adapter that a CPU emulates. Dawn in Node asks whether its work has ended in a busy loop (as long as a
 * promise is open, every turn of the event loop ends in a `setImmediate` for the next), on a core that such an adapter
 * computes and compiles with: with two cores that makes a step a third longer, and thirty kernels take twice as long to
 * compile. So nobody asks before most of the time is over that a run has taken before, and who asks takes a nap between
 * two turns.
 */
import { turn } from "../device.js";

/** Waits for the end of a run, by the name of what is run. */
export type Wait = <T>(run: string, end: () => Promise<T>) => Promise<T>;

/** Where waiting costs nothing: a browser, or an adapter with cores of its own. */
export const eager: Wait = (_, end) => end();

/** The share of the time that a run is known to take during which nobody asks whether it has ended. */
const PATIENCE = 0.8;
/** The longest nap, in ms: timers and signals wait that long for their turn. */
const NAP = 2;
/** A nap as a share of what has been waited: what is short ends on time. */
const SHARE = 0.1;

/** Nothing ever wakes who waits here. Not made before it is needed: a page may have no shared memory. */
let cell: Int32Array | null = null;

/** Sleeps, or, in a host without shared memory, lets a timer do it. */
async function nap(ms: number): Promise<void> {
  if (typeof SharedArrayBuffer === "undefined") return new Promise((resolve) => setTimeout(resolve, ms));
  cell ??= new Int32Array(new SharedArrayBuffer(4));
  Atomics.wait(cell, 0, 0, ms);
}

/**
 * Waits for `work` while the thread sleeps through most of every turn of the event loop. Node only: a page may not
 * block.
 */
export async function drowsily<T>(work: Promise<T>): Promise<T> {
  const state = { over: false };
  const end = (): void => void (state.over = true);
  work.then(end, end);
  const begun = performance.now();
  while (!state.over) {
    await nap(Math.min(NAP, SHARE * (performance.now() - begun)));
    await turn();
  }
  return work;
}

/**
 * Sleeps first, and then asks drowsily. The first run counts for nothing, since it compiles; whoever finds a run ended
 * on waking has slept too long and sleeps half of it next time.
 */
export function patient(): Wait {
  const rests = new Map<string, number>();
  return async (run, end) => {
    const begun = performance.now();
    const rest = rests.get(run) ?? 0;
    if (rest >= 1) await new Promise((resolve) => setTimeout(resolve, rest));
    const woken = performance.now();
    const result = await drowsily(end());
    const now = performance.now();
    const overslept = rest >= 1 && now - woken < 1;
    rests.set(run, !rests.has(run) ? 0 : overslept ? rest / 2 : PATIENCE * (now - begun));
    return result;
  };
}
