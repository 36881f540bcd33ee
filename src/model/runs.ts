/** Definitions and statements in the runs that belong together: those of a recurrence, any other by itself. */
import { mustAt } from "../../runtime/lookup.js";
import type { Definition, Recurrence, Statement } from "./typed.js";

/** The recurrence that a definition or a statement is of. */
export const recurrenceOf = (item: Statement | Definition): Recurrence | undefined =>
  "recurrence" in item ? item.recurrence : undefined;

/** Items in their order, those of a recurrence together. */
export function runsOf<T extends Statement | Definition>(items: readonly T[]): readonly (readonly T[])[] {
  const runs: T[][] = [];
  for (const item of items) {
    const last = runs.at(-1);
    const recurrence = recurrenceOf(item);
    if (last && recurrence && recurrenceOf(mustAt(last, 0)) === recurrence) last.push(item);
    else runs.push([item]);
  }
  return runs;
}
