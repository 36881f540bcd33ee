/**
 * How a process that is asked to end does so: by Ctrl-C (SIGINT), by SIGTERM (`docker stop`, `kubectl delete`,
 * `scancel`), by SIGHUP (a terminal that was closed), or because nobody reads what it prints any more. A command that
 * has something to keep heeds the first of these: it ends the step under way and keeps what there is; a second one ends
 * the process at once. Everywhere else a signal ends the process as it ends any other, since Node runs no handler while
 * it computes: a handler would only make Ctrl-C late. Writes are the exception: they are short, and take their
 * temporary file with them.
 *
 * Exit codes are those of shells: 128 and the number of the signal.
 */
import { constants } from "node:os";
import { abandonWrites, writeAtomically } from "../../runtime/node/files.js";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
/** What ends a process: a signal, or that nobody reads what it prints. */
export type Ending = (typeof SIGNALS)[number] | "SIGPIPE";

/** npm passes Ctrl-C on to a process that the terminal has told already: signals this close are one. */
const ONE_SIGNAL_MS = 100;

/** The exit code of a process that was ended so. */
export const exitCodeBy = (ending: Ending): number => 128 + constants.signals[ending];

/** Signals that are heeded. */
export interface Heeded {
  /** Aborted by the first signal. */
  readonly signal: AbortSignal;
  /** The first signal; null while there was none. */
  readonly by: () => Ending | null;
  /** From here on signals end the process. */
  readonly release: () => void;
}

/** What the command that runs does when it is asked to end; null when it has nothing to keep. */
let keeper: ((ending: Ending) => void) | null = null;

function endAtOnce(ending: Ending): void {
  abandonWrites();
  process.exit(exitCodeBy(ending));
}

/** Heeds signals until they are released. */
export function heedSignals(): Heeded {
  const controller = new AbortController();
  let first: { readonly by: Ending; readonly at: number } | null = null;
  const ask = (ending: Ending): void => {
    if (first === null) {
      first = { by: ending, at: performance.now() };
      controller.abort();
    } else if (ending !== "SIGPIPE" && performance.now() - first.at > ONE_SIGNAL_MS) endAtOnce(ending);
  };
  keeper = ask;
  for (const signal of SIGNALS) process.on(signal, ask);
  return {
    signal: controller.signal,
    by: () => first?.by ?? null,
    release() {
      keeper = null;
      for (const signal of SIGNALS) process.off(signal, ask);
    },
  };
}

/** Nobody reads what the command prints: one with something to keep ends as by a signal, any other is done. */
export function readerLeft(): void {
  if (keeper) keeper("SIGPIPE");
  else process.exit(process.exitCode ?? 0);
}

/**
 * Writes a file; a signal meanwhile leaves the old one, and no temporary. A DataError says why it cannot be written.
 */
export async function write(path: string, content: string | Uint8Array): Promise<void> {
  for (const signal of SIGNALS) process.on(signal, endIfAlone);
  try {
    await writeAtomically(path, content);
  } finally {
    for (const signal of SIGNALS) process.off(signal, endIfAlone);
  }
}

/** While signals are heeded, it is not for a write to end the process. */
const endIfAlone = (ending: (typeof SIGNALS)[number]): void => {
  if (!keeper) endAtOnce(ending);
};
