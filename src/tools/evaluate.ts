/**
 * How much of what is held out an evaluation takes. While a model trains, its hold-out loss is a sign of how it goes,
 * and a mean over a thousand examples tells that as well as one over all of them, in a time that does not grow with the
 * data. They are whole batches, evenly spread over what is held out and the same at each step, so that the figures of
 * one run, and of runs beside it, compare. At the end all of it is taken.
 */
import type { Source } from "../../runtime/data.js";

/** Held-out examples of an evaluation while training, when nobody says otherwise. */
export const EVALUATED = 1024;

/** A source whose hold-out is at most `most` examples of it (and at least a batch), for batches of `size`. */
export function shareOf(source: Source, most: number, size: number): Source {
  const { holdoutExamples: all } = source;
  const batches = Math.ceil(all / size);
  const taken = Math.max(1, Math.floor(most / size));
  if (taken >= batches) return source;
  // The middle one of each of `taken` equal parts.
  const before = (i: number): number => Math.floor((i * taken) / batches + 0.5);
  const isTaken = (i: number): boolean => before(i + 1) > before(i);
  return {
    ...source,
    holdoutExamples: taken * size - (isTaken(batches - 1) ? batches * size - all : 0),
    *holdout(asked) {
      let i = 0;
      for (const part of source.holdout(asked)) if (isTaken(i++)) yield part;
    },
  };
}

/** The same source, which says before each batch of its hold-out how many of its examples are done. */
export const watched = (source: Source, watch: (done: number) => void): Source => ({
  ...source,
  *holdout(size) {
    let done = 0;
    for (const part of source.holdout(size)) {
      watch(done);
      yield part;
      done += part.count;
    }
  },
});
