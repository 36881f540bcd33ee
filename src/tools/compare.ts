/**
 * Several specs trained under the same conditions, for several seeds each. All compiled before any is trained, seed by
 * seed rather than spec by spec: what the machine does meanwhile then hits all specs alike, and a comparison that is
 * broken off has whole seeds. The seeds are those of batches too, so runs of one seed see the same data and their
 * difference is told apart from the luck of the draw sooner than two means are. Every run has a folder as `train`
 * leaves it; what is reported is read back from there, so a comparison that goes on reports old and new runs alike.
 */
import { join } from "node:path";
import type { Source } from "../../runtime/data.js";
import type { Device } from "../../runtime/device.js";
import { DataError, NumericError } from "../../runtime/errors.js";
import { load } from "../../runtime/index.js";
import { parametersOf, tokensOf, type Plan } from "../../runtime/plan.js";
import type { Recompile } from "../../runtime/choose.js";
import { EVALUATED } from "./evaluate.js";
import { gainMonitors, type GainMonitor } from "./gains.js";
import {
  clearRun,
  conditionsOf,
  finishedLines,
  openRun,
  type Conditions,
  type KeptFile,
  type Line,
  type RunInfo,
} from "./run.js";
import { medianOf, summarize, type Summary } from "./statistics.js";
import { failureLine, shareIn, trainModel, type Budget, type Evaluating, type StepLine } from "./train.js";
import { merged, valueAt } from "../../runtime/records.js";

/** A spec that is ready to be trained. */
export interface Contender {
  /** As tables call it. */
  readonly name: string;
  readonly text: string;
  /** The files that it uses. */
  readonly used: readonly KeptFile[];
  readonly plan: Plan;
  readonly source: Source;
  readonly recompile: Recompile | undefined;
  /** What a step takes at the start, modelled; null when it is not known. */
  readonly joules: number | null;
  /** Equal for equal data. */
  readonly data: string;
  readonly describe: (seed: number) => Omit<RunInfo, "step" | "conditions">;
  /** What its runs depend on, besides the seed and the budget. */
  readonly conditions: Conditions;
}

/** The asked budget; without steps or seconds every page has its own. */
export interface Asked {
  readonly steps?: number | undefined;
  readonly seconds?: number | undefined;
  /** Steps between two evaluations. */
  readonly evaluate?: number | undefined;
  /** Held-out examples of an evaluation while training, and at the end. */
  readonly evaluateOn?: number | undefined;
  readonly evaluateEnd?: number | undefined;
}

export interface Point {
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
  readonly seconds: number | null;
  readonly failure: string | null;
  /** The largest gains of a stream when they were last measured: forward (row sums), and backward (column sums). */
  readonly gain: number | null;
  readonly backward: number | null;
  /** Milliseconds of a step, the median; of a model that has shrunk, since then. */
  readonly ms: number | null;
  /** What is left of a model that has shrunk: parameters, and shares of the dense model's cost. */
  readonly shrunk: { readonly parameters: number; readonly share: Readonly<Record<string, number>> } | null;
  readonly losses: readonly Point[];
  readonly holdouts: readonly Point[];
  readonly gains: readonly Point[];
  readonly backwards: readonly Point[];
}

export interface Compared {
  readonly spec: string;
  readonly text: string;
  /** At the start. */
  readonly parameters: number;
  /** Of what is left, where something was left out. */
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
  /** Forward, and backward. */
  readonly gain: Summary | null;
  readonly backward: Summary | null;
  readonly seconds: Summary | null;
  readonly ms: Summary | null;
  /** Hold-out loss less that of the first spec, seed by seed; null for the first. */
  readonly difference: Summary | null;
  readonly runs: readonly Outcome[];
}

export interface Comparison {
  readonly specs: readonly Compared[];
  readonly seeds: readonly number[];
  readonly budget: Asked;
  readonly device: string;
  readonly adapter: string;
  /** What is not the same for all specs. */
  readonly notes: readonly string[];
}

export interface Watcher {
  readonly begin: (contender: Contender, seed: number, steps: number) => void;
  readonly step: (line: StepLine) => void;
  /** Before each batch of an evaluation. */
  readonly evaluating?: (progress: Evaluating) => void;
  /** `taken`: it was in the folder already. */
  readonly end: (contender: Contender, outcome: Outcome, taken: boolean) => void;
}

/** What keeps losses from being compared: other data, or another share of the budget. One sentence each. */
export function differences(contenders: readonly Contender[], { steps, seconds }: Asked): string[] {
  const [first, ...others] = contenders;
  return others.flatMap((other) => {
    const found: string[] = [];
    const differ = (what: string, of: (contender: Contender) => string | number): void => {
      if (of(first!) !== of(other))
        found.push(`${what}: ${of(first!)} in ${first!.name}, ${of(other)} in ${other.name}`);
    };
    const data = ({ plan }: Contender): Plan["data"][number] => plan.data[0]!;
    if (first!.data !== other.data)
      found.push(
        `${first!.name} and ${other.name} have other data: ${data(first!).location} and ${data(other).location}`,
      );
    // The name is part of the seed that draws batches.
    differ("names of the data, which draw other batches", (contender) => data(contender).name);
    differ("shares held out", (contender) => data(contender).holdout);
    if (seconds === undefined)
      differ(`${data(first!).kind === "characters" ? "characters" : "examples"} a step`, ({ plan }) => tokensOf(plan));
    differ("negatives a pair", (contender) => negativesOf(data(contender)));
    if (steps === undefined && seconds === undefined) differ("steps", ({ plan }) => plan.train!.steps);
    return found;
  });
}

/** With more of them a loss is a larger number. */
const negativesOf = (info: Plan["data"][number]): number => (info.kind === "pairs" ? info.negatives : 0);

/** The budget of one spec's runs. */
export const budgetOf = ({ plan }: Contender, { steps, seconds }: Asked): Budget => ({
  steps: steps ?? (seconds === undefined ? plan.train!.steps : Number.POSITIVE_INFINITY),
  seconds,
});

/** Trains what is not in the folder yet; null when the signal ended it. */
export async function compare(
  contenders: readonly Contender[],
  seeds: readonly number[],
  asked: Asked,
  device: Device,
  out: string,
  signal: AbortSignal,
  watcher: Watcher,
): Promise<Comparison | null> {
  const stems = stemsOf(contenders);
  const runs = seeds.flatMap((seed) =>
    contenders.map((contender, i) => {
      const { steps, seconds = null } = budgetOf(contender, asked);
      const evaluations = {
        evaluate: asked.evaluate ?? null,
        evaluate_on: asked.evaluateOn ?? EVALUATED,
        evaluate_end: asked.evaluateEnd ?? null,
      };
      const conditions: Conditions = merged<string | number | null>(contender.conditions, {
        seed,
        steps: Number.isFinite(steps) ? steps : null,
        seconds,
        ...evaluations,
        device: device.name,
        adapter: device.adapter,
      });
      const folder = join(out, `${stems[i]!}-seed-${seed}`);
      return { contender, seed, folder, conditions, taken: finishedLines(folder) !== null };
    }),
  );
  // All are looked at before any is trained: what an old folder holds is known at once.
  for (const { folder, conditions } of runs.filter(({ taken }) => taken)) {
    const before = conditionsOf(folder);
    const other = Object.keys(conditions).filter((name) => valueAt(before, name) !== valueAt(conditions, name));
    if (other.length)
      throw new DataError(
        `${folder} holds a run under other conditions ` +
          `(${other.map((name) => `${name}: ${valueAt(before, name) ?? "none"}, now ${valueAt(conditions, name) ?? "none"}`).join("; ")})`,
        "give another --out, or move the old run away",
      );
  }
  const outcomes = new Map<Contender, Outcome[]>(contenders.map((contender) => [contender, []]));
  for (const { contender, seed, folder, conditions, taken } of runs) {
    if (signal.aborted) return null;
    if (!taken && !(await runOne(contender, seed, asked, device, folder, conditions, signal, watcher))) return null;
    const outcome = outcomeOf(seed, folder, finishedLines(folder)!, gainMonitors(contender.plan));
    outcomes.get(contender)!.push(outcome);
    watcher.end(contender, outcome, taken);
  }
  return {
    specs: tabulate(outcomes),
    seeds,
    budget: asked,
    device: device.name,
    adapter: device.adapter,
    notes: differences(contenders, asked),
  };
}

/**
 * What the folders of each spec's runs are called: its name as a plain file name, with a number where two names would
 * be one, by case too.
 */
function stemsOf(contenders: readonly Pick<Contender, "name">[]): string[] {
  const plain = contenders.map(({ name }) => name.replace(/[^\w.,=@+-]+/g, "-"));
  return plain.map((stem, i) => {
    const before = plain.slice(0, i).filter((other) => other.toLowerCase() === stem.toLowerCase()).length;
    return before ? `${stem}-${before + 1}` : stem;
  });
}

/** Trains one run into its folder; false when the signal ended it. */
async function runOne(
  contender: Contender,
  seed: number,
  asked: Asked,
  device: Device,
  folder: string,
  conditions: Conditions,
  signal: AbortSignal,
  watcher: Watcher,
): Promise<boolean> {
  const budget = budgetOf(contender, asked);
  const info = { ...contender.describe(seed), conditions };
  clearRun(folder);
  const run = await openRun(folder, contender.name, contender.text, contender.used);
  await run.describe({ ...info, step: 0 });
  const model = await load(contender.plan, { device, seed });
  try {
    watcher.begin(contender, seed, budget.steps);
    const { evaluate, evaluateOn, evaluateEnd } = asked;
    const { recompile, source } = contender;
    const { loss, holdout, evaluated, seconds } = await trainModel(
      model,
      source,
      { ...budget, recompile, evaluate, evaluateOn, evaluateEnd },
      {
        signal,
        ...(watcher.evaluating ? { evaluating: watcher.evaluating } : {}),
        step(line) {
          run.log({ ...line });
          watcher.step(line);
        },
        save: () => run.save(model, { ...info, step: model.step }),
      },
    );
    if (holdout === null) return false;
    run.log({
      done: true,
      run: folder,
      steps: model.step,
      seconds,
      loss,
      holdout,
      holdout_share: shareIn(source, evaluated),
      device: device.name,
    });
  } catch (error) {
    // That a spec does not survive a seed is a result, and no reason to lose the others.
    if (!(error instanceof NumericError)) throw error;
    run.log({ done: true, run: folder, steps: model.step, ...failureLine(error), device: device.name });
  } finally {
    await model.close();
  }
  return true;
}

/** A run out of its lines. `monitors`: the gains of streams that the lines have. */
export function outcomeOf(
  seed: number,
  folder: string,
  lines: readonly Line[],
  monitors: readonly GainMonitor[],
): Outcome {
  const named = (direction: GainMonitor["direction"]): readonly string[] =>
    monitors.filter((monitor) => monitor.direction === direction).map(({ name }) => name);
  const [forward, backward] = [named("forward"), named("backward")];
  const done = lines.at(-1)!;
  const number = (value: unknown): number | null => (typeof value === "number" ? value : null);
  const losses: Point[] = [];
  const holdouts: Point[] = [];
  const gains: Point[] = [];
  const backwards: Point[] = [];
  let seconds = 0;
  for (const line of lines.slice(0, -1)) {
    const step = number(line["step"])!;
    seconds += (number(line["ms"]) ?? 0) / 1000;
    const add = (points: Point[], value: number | null): void =>
      void (value !== null && points.push({ step, seconds, value }));
    add(losses, number(line["loss"]));
    add(holdouts, number(line["holdout"]));
    add(gains, largestOf(line["monitors"], forward));
    add(backwards, largestOf(line["monitors"], backward));
  }
  const steps = number(done["steps"]) ?? losses.length;
  const holdout = number(done["holdout"]);
  if (holdout !== null) holdouts.push({ step: steps, seconds, value: holdout });
  const cut = lines.findIndex((line) => line["shrunk"] !== undefined);
  const times = lines.slice(cut + 1).flatMap((line) => number(line["ms"]) ?? []);
  return {
    seed,
    folder,
    steps,
    loss: number(done["loss"]),
    holdout,
    seconds: number(done["seconds"]),
    failure: typeof done["failure"] === "string" ? done["failure"] : null,
    gain: gains.at(-1)?.value ?? null,
    backward: backwards.at(-1)?.value ?? null,
    ms: times.length ? medianOf(times) : null,
    shrunk: cut < 0 ? null : (lines[cut]!["shrunk"] as Outcome["shrunk"]),
    losses,
    holdouts,
    gains,
    backwards,
  };
}

/** The largest of the monitors of some names, as they were measured after a step; null where none was. */
function largestOf(monitors: unknown, names: readonly string[]): number | null {
  const values = names.flatMap((name) => valueAt(monitors as Readonly<Record<string, number>> | undefined, name) ?? []);
  return values.length ? Math.max(...values) : null;
}

export function tabulate(
  outcomes: ReadonlyMap<Pick<Contender, "name" | "text" | "plan" | "joules">, readonly Outcome[]>,
): Compared[] {
  const first = [...outcomes.values()][0]!;
  return [...outcomes].map(([{ name, text, plan, joules }, runs]) => {
    const over = (key: "loss" | "holdout" | "gain" | "backward" | "seconds" | "ms"): Summary | null =>
      summarize(runs.map((run) => run[key]));
    const apart = runs.map(({ holdout }, i) =>
      holdout === null || first[i]!.holdout === null ? null : holdout - first[i]!.holdout,
    );
    const dense = plan.cost?.dense["energy"] ?? null;
    return {
      spec: name,
      text,
      parameters: parametersOf(plan),
      left: runs.some(({ shrunk }) => shrunk) ? summarize(runs.map(({ shrunk }) => shrunk?.parameters ?? null)) : null,
      joules: summarize(
        runs.map(({ shrunk }) =>
          joules !== null && shrunk && dense !== null ? dense * shrunk.share["energy"]! : joules,
        ),
      ),
      reached: summarize(
        runs.map(
          ({ holdouts }, i) =>
            holdouts.find(({ value }) => value <= (first[i]!.holdout ?? Number.NEGATIVE_INFINITY))?.seconds ?? null,
        ),
      ),
      loss: over("loss"),
      holdout: over("holdout"),
      gain: over("gain"),
      backward: over("backward"),
      seconds: over("seconds"),
      ms: over("ms"),
      difference: runs === first ? null : summarize(apart),
      runs,
    };
  });
}
