/**
 * Turns on one model. All entries of a plan share its pools (the same words of memory hold the tokens of a training
 * step and those of a prompt), so what feeds, runs and reads back must not be mixed with another call that does. Every
 * call takes a turn, in the order of the calls; a training step is one. Work that takes no time is done at once when
 * no turn is under way.
 */

export interface Turns {
  /**
   * Does the work when all that was asked for before is done. When the signal aborts while it waits, it leaves the
   * queue and the promise is rejected with the signal's reason; once begun, heeding the signal is the work's own
   * business.
   */
  take<T>(work: () => T | Promise<T>, signal?: AbortSignal): Promise<T>;
  /** The last turn. Whatever is asked for later is refused with the error. */
  end(work: () => Promise<void>, refusal: () => Error): Promise<void>;
  /** Throws the error of a queue that has ended, or is about to. */
  check(): void;
}

/** A queue in which nobody waits yet. */
export function createTurns(): Turns {
  let taken = false;
  let draining = false;
  let refusal: (() => Error) | null = null;
  const waiting: (() => void)[] = [];

  /** Who comes next, when nobody has the turn. */
  const free = (): (() => void) | undefined => (taken ? undefined : waiting.shift());
  /** Begins turns until one of them takes time. A loop, so that a thousand that take none are no deep stack. */
  const drain = (): void => {
    if (draining) return;
    draining = true;
    for (let next = free(); next; next = free()) next();
    draining = false;
  };
  const leave = (): void => {
    taken = false;
    drain();
  };
  const begin = <T>(work: () => T | Promise<T>): Promise<T> => {
    taken = true;
    try {
      const result = work();
      if (result instanceof Promise) return result.finally(leave);
      leave();
      return Promise.resolve(result);
    } catch (error) {
      leave();
      return Promise.reject(error);
    }
  };
  const enter = <T>(work: () => T | Promise<T>, signal?: AbortSignal): Promise<T> => {
    if (!taken && waiting.length === 0) return begin(work);
    return new Promise((resolve, reject) => {
      const start = (): void => {
        signal?.removeEventListener("abort", abandon);
        resolve(begin(work));
      };
      const abandon = (): void => {
        waiting.splice(waiting.indexOf(start), 1);
        reject(signal?.reason);
      };
      signal?.addEventListener("abort", abandon, { once: true });
      waiting.push(start);
    });
  };
  return {
    take(work, signal) {
      if (signal?.aborted) return Promise.reject(signal.reason);
      return refusal ? Promise.reject(refusal()) : enter(work, signal);
    },
    end(work, error) {
      refusal = error;
      return enter(work);
    },
    check() {
      if (refusal) throw refusal();
    },
  };
}
