/**
 * What a device can do, measured with kernels of this compiler: a product, attention, elementary functions, plain
 * arithmetic, sums of tensors that some level of memory holds, and dispatches that do nothing to speak of. Whole runs
 * are timed, as a step is, and the least of several counts: the machine may be shared.
 */
import type { Session } from "../../runtime/device.js";
import type { Choices } from "../compile/compile.js";
import type { Account } from "../cost/account.js";
import { type Builder } from "../graph/builder.js";
import { createBuilder } from "../graph/create-builder.js";
import type { Graph, Node } from "../graph/node.js";
import { schedule } from "../schedule/plan.js";
import { profileWith } from "../compile/targets.js";
import type { OpenedDevice } from "./opened.js";
import { medianOf } from "./statistics.js";
import { mustGet } from "../../runtime/lookup.js";
import type { Entry } from "../../runtime/plan.js";
import { mustValue, recordOf } from "../../runtime/records.js";

/** A load that was timed. */
export interface Timed {
  /** Milliseconds of one run. */
  readonly ms: number;
  /** Of one run: operations, and bytes that its kernels touch. */
  readonly flops: number;
  readonly bytes: number;
  readonly dispatches: number;
  /**
   * How much longer the middle round's best run took than the best of all, as a share: little on a machine that does
   * nothing else.
   */
  readonly spread: number;
  /** What the dispatches did. */
  readonly accounts: readonly Account[];
}

/** A computation to time, of as many results as it has. */
export type Load = (b: Builder) => readonly Node[];

/**
 * Rounds over all loads with a pause between them, so that a neighbour who works for a moment slows no load in all its
 * runs; and in each, runs and milliseconds at least.
 */
const ROUNDS = 8;
const PAUSE = 300;
const RUNS = 3;
const SHORTEST = 10;

/**
 * Times loads one after the other, with the choices of kernels that steps get there. Inputs are ones, so that no number
 * is slow.
 */
export async function timeLoads<K extends string>(
  device: OpenedDevice,
  choices: Choices,
  loads: Readonly<Record<K, Load>>,
): Promise<Record<K, Timed>> {
  const graphs = Object.entries<Load>(loads).map(([name, load]): Graph => ({
    name,
    outputs: new Map(load(createBuilder()).map((node, i) => [`y${i}`, node])),
    updates: new Map(),
  }));
  const { printer } = device;
  const { kernels, infos, entries, pools, constants, accounts } = schedule(
    graphs,
    profileWith(printer.profile, choices),
    new Map(),
    0,
  );
  const session = await device.load({ kernels: infos, code: await printer.print(kernels), entries, pools, constants });
  try {
    await prepare(session, entries);
    const rounds = await roundsOf(session, Object.keys(loads));
    const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
    return recordOf(
      graphs.map(({ name }): [string, Timed] => {
        const counted = accounts(name);
        const times = mustGet(rounds, name);
        const ms = Math.min(...times);
        const timed: Timed = {
          ms,
          spread: medianOf(times) / ms - 1,
          accounts: counted,
          dispatches: mustValue(entries, name).dispatches.length,
          flops: sum(counted.flatMap(({ work }) => work.map(({ flops }) => flops))),
          bytes: sum(counted.flatMap(({ traffic }) => traffic.map(({ bytes }) => bytes))),
        };
        return [name, timed];
      }),
    ) as Record<K, Timed>;
  } finally {
    await session.close();
  }
}

/** Fills the inputs of all loads, and runs each: the first run makes what a device makes late. */
async function prepare(session: Session, entries: Readonly<Record<string, Entry>>): Promise<void> {
  for (const [name, { inputs }] of Object.entries(entries)) {
    for (const ref of Object.values(inputs)) {
      const size = ref.shape.reduce((n, each) => n * each, 1);
      session.write(ref, ref.dtype === "u32" ? new Uint32Array(size) : new Float32Array(size).fill(1));
    }
    await session.run(name);
  }
}

/** Milliseconds of each load's best run in every round, with a pause between rounds. */
async function roundsOf(session: Session, names: readonly string[]): Promise<ReadonlyMap<string, readonly number[]>> {
  const best = new Map<string, number[]>(names.map((name) => [name, []]));
  for (let round = 0; round < ROUNDS; round++) {
    if (round > 0) await new Promise((resolve) => setTimeout(resolve, PAUSE));
    for (const [name, times] of best) {
      let least = Number.POSITIVE_INFINITY;
      for (let run = 0, spent = 0; run < RUNS || spent < SHORTEST; run++) {
        const begun = performance.now();
        await session.run(name);
        const ms = performance.now() - begun;
        spent += ms;
        least = Math.min(ms, least);
      }
      times.push(least);
    }
  }
  return best;
}
