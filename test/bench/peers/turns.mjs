/**
 * Times the contenders of a setting in turns: all are started first, as many at once as there are cores, and then every
 * round goes over all in the same order, so that a machine whose speed drifts is fair to each. A turn is a step that is
 * not counted, since its caches hold what was run before it, and about a second of steps. Of a turn the median counts,
 * of a contender the median over its turns.
 */
import { availableParallelism } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { ready } from "./program.mjs";

const TURN_MS = 1000;
const [FEWEST, MOST] = [3, 40];
/** Threads of the one before spin for some milliseconds before they sleep. */
const PAUSE_MS = 500;

/** The middle of a list. */
export const median = (list) => {
  const sorted = [...list].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
};

const named = ({ title, threads }) => `${title}${threads ? `, ${threads} thread${threads > 1 ? "s" : ""}` : ""}`;

/** Starts one, and notes why where that fails. */
async function started(entry, say) {
  const { contender, row } = entry;
  const begun = performance.now();
  try {
    contender.beforehand?.();
    entry.program = await ready(contender);
    const { about } = entry.program;
    Object.assign(row, { peer: about.peer, parameters: about.parameters, first_s: about.first_s });
    for (const name of ["lanes", "kernels", "node"]) if (about[name] !== undefined) row[name] = about[name];
    if (contender.lanes && about.lanes !== contender.lanes) {
      throw new Error(`the compiler makes vectors of ${about.lanes} lanes, not of ${contender.lanes}`);
    }
    say(`  ${named(contender)}: ready after ${((performance.now() - begun) / 1000).toFixed(0)} s`);
  } catch (error) {
    row.absent = error.message;
    say(`  ${named(contender)}: not timed: ${error.message}`);
    await entry.program?.stop();
    entry.program = undefined;
  }
}

/** Does something with every item of a list, so many at once. */
async function sideBySide(list, count, act) {
  const queue = [...list];
  const work = async () => {
    for (let item = queue.shift(); item; item = queue.shift()) await act(item);
  };
  await Promise.all(Array.from({ length: count }, work));
}

/** One turn of one contender. A contender that fails has no further turns. */
async function turn(entry, say) {
  const { row, program, contender } = entry;
  const { step_ms: expected } = program.about;
  const steps = Math.min(MOST, Math.max(FEWEST, Math.round(TURN_MS / (row.rounds.at(-1) ?? expected))));
  try {
    const [, ...times] = await program.turn(steps + 1);
    row.rounds.push(median(times));
    row.min_ms = Math.min(row.min_ms ?? Number.POSITIVE_INFINITY, ...times);
  } catch (error) {
    row.absent = error.message;
    say(`  ${named(contender)}: failed: ${error.message}`);
    await program.stop();
    entry.program = undefined;
  }
  await sleep(PAUSE_MS);
}

/** Rows of the contenders: `rounds` has the median of each turn, `absent` why there is none. */
export async function inTurns(contenders, rounds, say) {
  const entries = contenders.map((contender) => {
    const { key, title, threads, absent } = contender;
    return { contender, row: { key, title, threads, rounds: [], ...(absent ? { absent } : {}) }, program: undefined };
  });
  const there = entries.filter(({ row }) => !row.absent);
  for (const reason of new Set(entries.flatMap(({ row }) => row.absent ?? []))) say(`  left out: ${reason}`);
  await sideBySide(there, availableParallelism(), (entry) => started(entry, say));
  for (let round = 1; round <= rounds; round++) {
    for (const entry of there) if (entry.program) await turn(entry, say);
    say(`  round ${round} of ${rounds}`);
  }
  await Promise.all(there.map(({ program }) => program?.stop()));
  for (const { contender } of there) contender.afterwards?.();
  return entries.map(({ row }) => (row.rounds.length ? { ...row, median_ms: median(row.rounds) } : row));
}
