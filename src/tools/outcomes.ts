/**
 * What came of the runs of a comparison: one run out of the lines that it has logged, and all runs of each spec as one
 * row of figures.
 */
import { mustAt } from "../../runtime/lookup.js";
import { parametersOf, type Plan } from "../../runtime/plan.js";
import { merged, mustValue, recordOf, valueAt } from "../../runtime/records.js";
import type { GainMonitor } from "./gains.js";
import type { Line } from "./run.js";
import { medianOf, summarize, type Summary } from "./statistics.js";

/** A figure of a run after a step. */
export interface RunPoint {
  readonly step: number;
  /** Of training, since the run began. */
  readonly seconds: number;
  readonly value: number;
}

/** One run, as its folder tells it. */
export interface Outcome {
  readonly seed: number;
  readonly folder: string;
  readonly steps: number;
  /** Null when the run failed, as `failure` says. */
  readonly loss: number | null;
  readonly holdout: number | null;
  /** The named parts of the hold-out loss and the metrics at the end, by name. */
  readonly measured: Readonly<Record<string, number>>;
  readonly seconds: number | null;
  readonly failure: string | null;
  /** The largest gains of a stream when they were last measured: forward (row sums), and backward (column sums). */
  readonly gain: number | null;
  readonly backward: number | null;
  /** Milliseconds of a step, the median; of a model that has shrunk, since then. */
  readonly ms: number | null;
  /** A model that has shrunk, at the end: its parameters, and its shares of the dense model's cost. */
  readonly shrunk: { readonly parameters: number; readonly share: Readonly<Record<string, number>> } | null;
  readonly losses: readonly RunPoint[];
  readonly holdouts: readonly RunPoint[];
  readonly gains: readonly RunPoint[];
  readonly backwards: readonly RunPoint[];
}

/** A page whose runs are compared. */
export interface ComparedPage {
  /** As tables call it. */
  readonly name: string;
  readonly text: string;
  readonly plan: Plan;
  /** What a step takes at the start, modelled; null when it is not known. */
  readonly joules: number | null;
}

/** The figures of one spec, over all its seeds. */
export interface Compared {
  readonly spec: string;
  readonly text: string;
  /** At the start. */
  readonly parameters: number;
  /** Parameters at the end, of a model that has shrunk. */
  readonly left: Summary | null;
  /** What a step takes at the end, modelled. */
  readonly joules: Summary | null;
  /**
   * Seconds of training until the first evaluation at which the hold-out loss was that of the first spec's end, seed by
   * seed; null where it never was.
   */
  readonly reached: Summary | null;
  readonly loss: Summary | null;
  readonly holdout: Summary | null;
  /** The named parts of the hold-out loss and the metrics, by name. */
  readonly measured: ReadonlyMap<string, Summary>;
  /** Forward, and backward. */
  readonly gain: Summary | null;
  readonly backward: Summary | null;
  readonly seconds: Summary | null;
  readonly ms: Summary | null;
  /** Hold-out loss less that of the first spec, seed by seed; null for the first. */
  readonly difference: Summary | null;
  readonly runs: readonly Outcome[];
}

/**
 * A run out of its lines, of which the last says how it ended. `monitors`: the gains of streams that the lines have.
 * Throws an Error when there are none.
 */
export function outcomeOf(
  seed: number,
  folder: string,
  lines: readonly Line[],
  monitors: readonly GainMonitor[],
): Outcome {
  const named = (direction: GainMonitor["direction"]): readonly string[] =>
    monitors.filter((monitor) => monitor.direction === direction).map(({ name }) => name);
  const [forward, backward] = [named("forward"), named("backward")];
  const done = mustAt(lines, lines.length - 1);
  const losses: RunPoint[] = [];
  const holdouts: RunPoint[] = [];
  const gains: RunPoint[] = [];
  const backwards: RunPoint[] = [];
  let seconds = 0;
  for (const line of lines.slice(0, -1)) {
    const step = numberOf(line["step"]) ?? 0;
    seconds += (numberOf(line["ms"]) ?? 0) / 1000;
    const add = (points: RunPoint[], value: number | null): void =>
      void (value !== null && points.push({ step, seconds, value }));
    add(losses, numberOf(line["loss"]));
    add(holdouts, numberOf(line["holdout"]));
    add(gains, largestOf(line["monitors"], forward));
    add(backwards, largestOf(line["monitors"], backward));
  }
  const steps = numberOf(done["steps"]) ?? losses.length;
  const holdout = numberOf(done["holdout"]);
  if (holdout !== null) holdouts.push({ step: steps, seconds, value: holdout });
  const cut = lines.findIndex((line) => line["shrunk"] !== undefined);
  const times = lines.slice(cut + 1).flatMap((line) => numberOf(line["ms"]) ?? []);
  return {
    seed,
    folder,
    steps,
    loss: numberOf(done["loss"]),
    holdout,
    measured: merged(numbersIn(done["holdout_terms"]), numbersIn(done["holdout_metrics"])),
    seconds: numberOf(done["seconds"]),
    failure: typeof done["failure"] === "string" ? done["failure"] : null,
    gain: gains.at(-1)?.value ?? null,
    backward: backwards.at(-1)?.value ?? null,
    ms: times.length ? medianOf(times) : null,
    shrunk: cut < 0 ? null : (mustAt(lines, cut)["shrunk"] as Outcome["shrunk"]),
    losses,
    holdouts,
    gains,
    backwards,
  };
}

/** The numbers of a record that a line has; a metric that is not finite is null there. */
const numbersIn = (record: unknown): Readonly<Record<string, number>> =>
  recordOf(
    Object.entries(typeof record === "object" && record !== null ? record : {}).filter(
      (entry): entry is [string, number] => typeof entry[1] === "number",
    ),
  );

const numberOf = (value: unknown): number | null => (typeof value === "number" ? value : null);

/** The largest of the monitors of some names, as they were measured after a step; null where none was. */
function largestOf(monitors: unknown, names: readonly string[]): number | null {
  const values = names.flatMap((name) => valueAt(monitors as Readonly<Record<string, number>> | undefined, name) ?? []);
  return values.length ? Math.max(...values) : null;
}

/** What was measured on the held-out data over some runs, in the order in which it is met. */
function measuredOf(runs: readonly Outcome[]): ReadonlyMap<string, Summary> {
  const names = new Set(runs.flatMap(({ measured }) => Object.keys(measured)));
  return new Map(
    [...names].flatMap((name) => {
      const summary = summarize(runs.map(({ measured }) => valueAt(measured, name) ?? null));
      return summary ? [[name, summary] as const] : [];
    }),
  );
}

/** The figures of each contender. Differences, and times until a loss is reached, are measured from the first one's. */
export function tabulate(outcomes: ReadonlyMap<ComparedPage, readonly Outcome[]>): Compared[] {
  const [first = []] = outcomes.values();
  return [...outcomes].map(([{ name, text, plan, joules }, runs]) => {
    const over = (key: "loss" | "holdout" | "gain" | "backward" | "seconds" | "ms"): Summary | null =>
      summarize(runs.map((run) => run[key]));
    const beside = runs.map((run, i) => ({ run, target: mustAt(first, i).holdout }));
    const dense = valueAt(plan.cost?.dense, "energy") ?? null;
    return {
      spec: name,
      text,
      parameters: parametersOf(plan),
      left: runs.some(({ shrunk }) => shrunk) ? summarize(runs.map(({ shrunk }) => shrunk?.parameters ?? null)) : null,
      joules: summarize(
        runs.map(({ shrunk }) =>
          joules !== null && shrunk && dense !== null ? dense * mustValue(shrunk.share, "energy") : joules,
        ),
      ),
      reached: summarize(
        beside.map(
          ({ run: { holdouts }, target }) =>
            holdouts.find(({ value }) => value <= (target ?? Number.NEGATIVE_INFINITY))?.seconds ?? null,
        ),
      ),
      loss: over("loss"),
      holdout: over("holdout"),
      measured: measuredOf(runs),
      gain: over("gain"),
      backward: over("backward"),
      seconds: over("seconds"),
      ms: over("ms"),
      difference:
        runs === first
          ? null
          : summarize(
              beside.map(({ run: { holdout }, target }) =>
                holdout === null || target === null ? null : holdout - target,
              ),
            ),
      runs,
    };
  });
}
