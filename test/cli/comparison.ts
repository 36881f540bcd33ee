/** What `mhc compare --json` prints. */
import { expect } from "vitest";
import type { Summary } from "../../src/tools/statistics.js";
import { rows } from "../helpers/command.js";

/** A page of a comparison: what its runs came to. */
export interface Row {
  readonly spec: string;
  readonly parameters: number;
  readonly loss: Summary;
  readonly holdout: Summary;
  readonly gain: Summary | null;
  readonly seconds: Summary;
  readonly difference: Summary | null;
  readonly runs: readonly { readonly folder: string; readonly steps: number; readonly failure: string | null }[];
}

/** The one line of a comparison. */
export const resultOf = (
  out: string,
): { readonly specs: readonly Row[]; readonly seeds: readonly number[]; readonly notes: readonly string[] } => {
  const lines = rows(out);
  expect(lines).toHaveLength(1);
  return lines[0] as ReturnType<typeof resultOf>;
};
