/**
 * Entries as a whole: for kernels of a GPU, which no other device runs. Each device has kernels of its own, from the
 * same graph; what is compared is what the host reads of it. The kernel that wrote a tensor which differs is named: it,
 * or one before it, is wrong.
 */
import type { Device, Session, Words } from "../../../runtime/device.js";
import { mustAt } from "../../../runtime/lookup.js";
import type { DevicePlan, Entry, TensorRef } from "../../../runtime/plan.js";
import { mustValue } from "../../../runtime/records.js";
import { differenceOf, type Difference } from "./compare.js";

/** What came of one output of an entry. */
export interface OutputFinding {
  readonly entry: string;
  readonly output: string;
  /** The kernel that wrote it last; null where none did. */
  readonly kernel: string | null;
  readonly difference: Difference;
}

/** The same entries for two devices. */
export interface OutputsSubject {
  readonly found: DevicePlan;
  readonly expected: DevicePlan;
  readonly start: (session: Session) => void;
  /** Writes the inputs of an entry, where the plan has them. */
  readonly feed: (session: Session, plan: DevicePlan, entry: string) => void;
  /**
   * What differences of an output are shares of at least (`differenceOf`); undefined where nothing is known of it.
   * `expected`: all outputs of the entry.
   */
  readonly least: (entry: string, output: string, expected: ReadonlyMap<string, Words>) => number | undefined;
}

/** Compares the outputs of all entries. */
export async function compareOutputs(
  device: Device,
  reference: Device,
  subject: OutputsSubject,
): Promise<OutputFinding[]> {
  const { found: plan, expected: other, start, feed, least } = subject;
  const expected = await reference.load(other);
  try {
    const found = await device.load(plan);
    try {
      start(found);
      start(expected);
      const findings: OutputFinding[] = [];
      for (const [entry, table] of Object.entries(plan.entries)) {
        feed(found, plan, entry);
        feed(expected, other, entry);
        const names = Object.keys(table.outputs);
        const wanted = await readAfter(expected, mustValue(other.entries, entry), entry, names);
        const all = new Map(names.map((name, i) => [name, mustAt(wanted, i)]));
        for (const [i, words] of (await readAfter(found, table, entry, names)).entries()) {
          const output = mustAt(names, i);
          const difference = differenceOf(words, mustAt(wanted, i), least(entry, output, all));
          findings.push({ entry, output, kernel: writerOf(plan, table, mustValue(table.outputs, output)), difference });
        }
      }
      return findings;
    } finally {
      await found.close();
    }
  } finally {
    await expected.close();
  }
}

const readAfter = (
  session: Session,
  { outputs }: Entry,
  entry: string,
  names: readonly string[],
): ReturnType<Session["run"]> =>
  session.run(
    entry,
    names.map((name) => mustValue(outputs, name)),
  );

/** The kernel that last wrote to the buffer that a tensor lies in. */
function writerOf({ kernels }: DevicePlan, { dispatches }: Entry, { pool, offset }: TensorRef): string | null {
  let writer: { readonly start: number; readonly name: string } | null = null;
  for (const { kernel, offsets } of dispatches) {
    const { buffers, name } = mustAt(kernels, kernel);
    for (const [slot, start] of offsets.entries()) {
      const buffer = mustAt(buffers, slot % buffers.length);
      if (buffer.pool !== pool || buffer.access === "read" || start > offset) continue;
      if (!writer || start >= writer.start) writer = { start, name };
    }
  }
  return writer?.name ?? null;
}
