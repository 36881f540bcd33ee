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
import { mustTrain, tokensOf, type Plan } from "../../runtime/plan.js";
import type { Recompile } from "../../runtime/choose.js";
import { EVALUATED } from "./evaluate.js";
import { gainMonitors } from "./gains.js";
import { clearRun, conditionsOf, finishedLines, openRun, type Conditions, type KeptFile, type RunInfo } from "./run.js";
import { outcomeOf, tabulate, type Compared, type ComparedPage, type Outcome } from "./outcomes.js";
import {
  failureLine,
  holdoutFields,
  shareIn,
  trainModel,
  type Budget,
  type Evaluating,
  type StepLine,
} from "./train.js";
import { mustAt, mustGet } from "../../runtime/lookup.js";
import { merged, valueAt } from "../../runtime/records.js";
import { described } from "../../runtime/sources.js";

/** A spec that is ready to be trained. */
export interface Contender extends ComparedPage {
  /** The files that it uses. */
  readonly used: readonly KeptFile[];
  readonly source: Source;
  readonly recompile: Recompile | undefined;
  /** Equal for equal data. */
  readonly data: string;
  readonly describe: (seed: number) => Omit<RunInfo, "step" | "conditions">;
  /** What its runs depend on, besides the seed and the budget. */
  readonly conditions: Conditions;
}

/** The asked budget; without steps or seconds every page has its own. */
export interface AskedBudget {
  readonly steps?: number | undefined;
  readonly seconds?: number | undefined;
  /** Steps between two evaluations. */
  readonly evaluate?: number | undefined;
  /** Held-out examples of an evaluation while training, and at the end. */
  readonly evaluateOn?: number | undefined;
  readonly evaluateEnd?: number | undefined;
}

/** Specs that were trained under the same conditions. */
export interface Comparison {
  readonly specs: readonly Compared[];
  readonly seeds: readonly number[];
  readonly budget: AskedBudget;
  readonly device: string;
  readonly adapter: string;
  /** What is not the same for all specs. */
  readonly notes: readonly string[];
}

/** Who is told of a comparison under way. */
export interface Watcher {
  readonly begin: (contender: Contender, seed: number, steps: number) => void;
  readonly step: (line: StepLine) => void;
  /** Before each batch of an evaluation. */
  readonly evaluating?: (progress: Evaluating) => void;
  /** `taken`: it was in the folder already. */
  readonly end: (contender: Contender, outcome: Outcome, taken: boolean) => void;
}

/** What keeps losses from being compared: other data, or another share of the budget. One sentence each. */
export function differences(contenders: readonly Contender[], { steps, seconds }: AskedBudget): string[] {
  const [first, ...others] = contenders;
  return first ? others.flatMap((other) => differencesOf(first, other, { steps, seconds })) : [];
}

function differencesOf(first: Contender, other: Contender, { steps, seconds }: AskedBudget): string[] {
  const sentences: string[] = [];
  const differ = (what: string, of: (contender: Contender) => string | number): void => {
    if (of(first) !== of(other))
      sentences.push(`${what}: ${of(first)} in ${first.name}, ${of(other)} in ${other.name}`);
  };
  const data = ({ plan }: Contender): Plan["data"][number] => mustAt(plan.data, 0);
  if (first.data !== other.data) {
    const locations = `${data(first).location} and ${data(other).location}`;
    sentences.push(`${first.name} and ${other.name} have other data: ${locations}`);
  }
  // The name is part of the seed that draws batches.
  differ("names of the data, which draw other batches", (contender) => data(contender).name);
  differ("shares held out", (contender) => data(contender).holdout);
  if (seconds === undefined) differ(`${kindOfExamples(data(first))} a step`, ({ plan }) => tokensOf(plan));
  differ("negatives a pair", (contender) => negativesOf(data(contender)));
  if (steps === undefined && seconds === undefined) differ("steps", ({ plan }) => mustTrain(plan).steps);
  return sentences;
}

/** What `tokensOf` counts. */
const kindOfExamples = (info: Plan["data"][number]): string =>
  info.kind === "characters" ? "characters" : described(info).text ? "tokens" : "examples";

/** With more of them a loss is a larger number. */
const negativesOf = (info: Plan["data"][number]): number => (info.kind === "pairs" ? info.negatives : 0);

/** The budget of one spec's runs. */
export const budgetOf = ({ plan }: Contender, { steps, seconds }: AskedBudget): Budget => ({
  steps: steps ?? (seconds === undefined ? mustTrain(plan).steps : Number.POSITIVE_INFINITY),
  seconds,
});

/** What is compared, and how. */
export interface ComparisonRequest {
  readonly contenders: readonly Contender[];
  readonly seeds: readonly number[];
  readonly asked: AskedBudget;
  readonly device: Device;
  /** The folder that holds the folders of the runs. */
  readonly out: string;
  /** Ends the comparison after the step, or the batch of an evaluation, under way. */
  readonly signal: AbortSignal;
  readonly watcher: Watcher;
}

/** A run of a comparison: one contender with one seed. */
interface PlannedRun {
  readonly contender: Contender;
  readonly seed: number;
  readonly folder: string;
  readonly conditions: Conditions;
  /** Whether it is in its folder already. */
  readonly taken: boolean;
}

/**
 * Trains what is not in the folder yet; null when the signal ended it. Throws DataError when a folder holds a run under
 * other conditions.
 */
export async function compare(request: ComparisonRequest): Promise<Comparison | null> {
  const { contenders, seeds, asked, device, signal, watcher } = request;
  const runs = runsOf(request);
  // All are looked at before any is trained: what an old folder holds is known at once.
  for (const run of runs) if (run.taken) checkConditions(run);
  const outcomes = new Map<Contender, Outcome[]>(contenders.map((contender) => [contender, []]));
  for (const run of runs) {
    if (signal.aborted) return null;
    if (!run.taken && !(await runOne(run, request))) return null;
    const { contender, seed, folder, taken } = run;
    const outcome = outcomeOf(seed, folder, finishedLines(folder) ?? [], gainMonitors(contender.plan));
    mustGet(outcomes, contender).push(outcome);
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

/** All runs, seed by seed. */
function runsOf({ contenders, seeds, asked, device, out }: ComparisonRequest): readonly PlannedRun[] {
  const stems = stemsOf(contenders);
  return seeds.flatMap((seed) =>
    contenders.map((contender, i) => {
      const { steps, seconds = null } = budgetOf(contender, asked);
      const conditions: Conditions = merged<string | number | null>(contender.conditions, {
        seed,
        steps: Number.isFinite(steps) ? steps : null,
        seconds,
        evaluate: asked.evaluate ?? null,
        evaluate_on: asked.evaluateOn ?? EVALUATED,
        evaluate_end: asked.evaluateEnd ?? null,
        device: device.name,
        adapter: device.adapter,
      });
      const folder = join(out, `${mustAt(stems, i)}-seed-${seed}`);
      return { contender, seed, folder, conditions, taken: finishedLines(folder) !== null };
    }),
  );
}

/** Throws DataError when a folder holds a run under other conditions than those that it would be made under. */
function checkConditions({ folder, conditions }: PlannedRun): void {
  const before = conditionsOf(folder);
  const others = Object.keys(conditions).flatMap((name) => {
    const [then, now] = [valueAt(before, name), valueAt(conditions, name)];
    return then === now ? [] : [`${name}: ${then ?? "none"}, now ${now ?? "none"}`];
  });
  if (!others.length) return;
  throw new DataError(
    `${folder} holds a run under other conditions (${others.join("; ")})`,
    "give another --out, or move the old run away",
  );
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
  { contender, seed, folder, conditions }: PlannedRun,
  { asked, device, signal, watcher }: ComparisonRequest,
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
    const { loss, holdout, terms, metrics, evaluated, seconds } = await trainModel(
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
      ...holdoutFields({ terms, metrics }),
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
