/**
 * Training: a step is one turn, in which its batch is checked and written, the entry runs, and its results are read;
 * other calls come between two steps. An iterator that is left half-way, or never asked again, therefore holds nothing
 * up, and two iterators of one model make its steps alternately. The step that is made is the model's next one,
 * whoever made the one before.
 */
import { optionsOf, signalOf, whole, describe } from "./check.js";
import type { Batch, Source } from "./data.js";
import { DataError, NumericError } from "./errors.js";
import { batchOf, checkedFor, sourceOf, write, type Fed } from "./feed.js";
import {
  calmer,
  entryOf,
  examine,
  notFinite,
  runEntry,
  scalarsOf,
  type ModelInstance,
  type WantedKinds,
} from "./instance.js";
import type { StepMetrics, TrainOptions } from "./interface.js";
import { mustTrain, tokensOfExample, type Plan } from "./plan.js";
import { valueAt } from "./records.js";
import { mustSingle, named, single, stateNameOf } from "./roles.js";
import type { Recompile } from "./choose.js";
import { shrinkIfDue } from "./settle.js";
import type { Turns } from "./turns.js";

/** Steps between two looks at the monitors, which take a forward pass. */
const MONITOR = 50;

/** What is the same for all steps of one iterator. */
interface TrainingRun {
  readonly instance: ModelInstance;
  readonly source: Source;
  readonly monitor: number;
  readonly recompile: Recompile | undefined;
  readonly signal: AbortSignal | undefined;
  /** Whether a norm of the gradients that is not finite ends the run (`watchesNorm`). */
  readonly normEnds: boolean;
  /** The batch of a step, put together while the step before it ran. */
  upcoming: { readonly step: number; readonly batch: Batch } | null;
  /** The batch of the step before, whose memory is used again. */
  fed: Fed | undefined;
}

/** See `Model.train`. */
export async function* train(
  instance: ModelInstance,
  turns: Turns,
  data: unknown,
  options: TrainOptions | undefined,
): AsyncGenerator<StepMetrics, undefined, undefined> {
  const run = runOf(instance, data, options);
  const { signal } = run;
  const steps = options?.steps;
  const planned = mustTrain(instance.plan).steps;
  /** Whether the step after the next `more` ones is still to be made. */
  const goesOn = (done: number, more = 0): boolean =>
    steps === undefined ? instance.step + more < planned : done + more < steps;
  for (let done = 0; goesOn(done); done++) {
    if (signal?.aborted) throw signal.reason;
    // Others may have made the last step meanwhile.
    const metrics = await turns.take(() => (goesOn(done) ? step(run, goesOn(done, 1)) : null), signal);
    if (!metrics) break;
    yield metrics;
  }
  // A loss is that before the update: of the page's last update no loss tells. Of others the next step does, or the
  // checkpoint.
  await turns.take(async () => {
    if (instance.lastFinite !== instance.step || instance.step < planned) return;
    const at = instance.step;
    const { words, report } = await examine(instance, at);
    const message = `${words} after step ${at}, whose loss, that before its update, was finite`;
    if (words) throw new NumericError(message, calmer(instance), report);
  });
}

function runOf(instance: ModelInstance, data: unknown, options: TrainOptions | undefined): TrainingRun {
  const { plan, step } = instance;
  const checked = optionsOf("train", options);
  // A run that only time ends has infinitely many steps.
  const steps = checked.steps === Number.POSITIVE_INFINITY ? checked.steps : whole("steps", checked.steps);
  const monitor = whole("monitor", checked.monitor) ?? MONITOR;
  if (checked.monitor && !instance.entries["monitor"]) {
    const why = "it was compiled without monitors, or no connection mixes lanes";
    throw new DataError(
      `${plan.name} cannot measure gains and mixes: ${why}`,
      "compile it with `--monitors` (`monitors: true`), or train without `monitor`",
    );
  }
  const { recompile } = checked;
  if (recompile !== undefined && typeof recompile !== "function") {
    throw new DataError(`\`recompile\` is ${describe(recompile)}, and a function is expected`);
  }
  const source = sourceOf(plan, data);
  const last = step + (steps ?? mustTrain(plan).steps);
  if (plan.shrinking?.by === "magnitude" && !recompile && last >= plan.shrinking.decided) {
    const why = `${plan.name} is pruned by magnitude, which takes a compiler: nothing masks its units`;
    throw new DataError(why, "pass `recompile` to `train`, or choose by gates");
  }
  return {
    instance,
    source,
    monitor,
    recompile,
    signal: signalOf(checked.signal),
    normEnds: watchesNorm(plan),
    upcoming: null,
    fed: undefined,
  };
}

/** Under a loss scale steps of infinite gradients are skipped, and lower it; without one they are the end. */
const watchesNorm = ({ roles }: Plan): boolean => stateNameOf(roles, "lossScale") === undefined;

/** Kinds of outputs that are read: after a step, of the entry `monitor`, and to find numbers that are not finite. */
const STEP: WantedKinds = new Set(["loss", "norm", "term", "metric", "constraint", "adapted", "cost"]);
const MONITORED: WantedKinds = new Set(["monitor", "claim"]);
const GRADIENTS: WantedKinds = new Set(["gradient"]);

/** One step, from its batch to its metrics. It changes nothing when its batch is wrong, or its loss not finite. */
async function step(run: TrainingRun, goesOn: boolean): Promise<StepMetrics> {
  const { instance, source } = run;
  const { batch: size } = mustTrain(instance.plan);
  const begun = performance.now();
  // What is due is done by now, unless a checkpoint was loaded, or a signal ended the wait for it.
  const late = await shrinkIfDue(instance, run.recompile, run.signal);
  if (run.signal?.aborted) throw run.signal.reason;
  const entry = entryOf(instance, "train", "be trained");
  const at = instance.step + 1;
  const batch = takeUpcoming(run) ?? batchOf(instance, source, size);
  const fed = checkedFor(instance, "train", "be trained", batch, run.fed);
  run.fed = fed;
  write(instance, entry, fed);
  // The loss, the distances and the norm come in the submission of the step.
  const running = runEntry(instance, "train", STEP);
  if (goesOn) prepare(run, at, size);
  const results = scalarsOf(await running);
  const { lastFinite } = instance;
  const loss = mustSingle("loss", results);
  if (!Number.isFinite(loss)) {
    const before = lastFinite === null ? "" : `, and was last finite at step ${lastFinite}`;
    throw await refused(instance, `the loss is ${loss} at step ${at}${before}`, fed);
  }
  instance.lastFinite = at;
  const norm = run.normEnds ? (single("norm", results) ?? 0) : 0;
  if (!Number.isFinite(norm)) {
    throw await refused(instance, `the norm of the gradients is ${norm} at step ${at}, and the loss is finite`, fed);
  }
  instance.step = at;
  const shrunk = (await shrinkIfDue(instance, run.recompile, run.signal)) ?? late;
  const ms = performance.now() - begun;
  const tokens = size * tokensOfExample(instance.plan);
  return {
    step: at,
    loss,
    terms: named("term", results),
    metrics: named("metric", results),
    ms,
    tokensPerSecond: (1000 * tokens) / ms,
    constraints: named("constraint", results),
    adapted: named("adapted", results),
    costs: named("cost", results),
    shrunk,
    ...(await measured(run, size)),
  };
}

/** The batch that was put together for the step that comes; null when it was for another. */
function takeUpcoming(run: TrainingRun): Batch | null {
  const { upcoming, instance } = run;
  run.upcoming = null;
  return upcoming?.step === instance.step ? upcoming.batch : null;
}

/**
 * Puts the next batch together while a step runs. A source that fails is asked again at its step, where its error
 * belongs.
 */
function prepare(run: TrainingRun, step: number, size: number): void {
  try {
    run.upcoming = { step, batch: run.source.batch(size, run.instance.seed, step) };
  } catch {
    run.upcoming = null;
  }
}

/** Gains, mixes and monitored claims of the model after the step, at every `monitor`th. */
async function measured(
  { instance, source, monitor, upcoming }: TrainingRun,
  size: number,
): Promise<Pick<StepMetrics, "monitors" | "claims">> {
  const { plan, entries, step: at } = instance;
  // With the last connection that mixes, a model that shrinks may lose what monitors measure.
  const entry = entries["monitor"];
  if (!entry || monitor === 0 || at % monitor !== 0) return { monitors: null, claims: null };
  const batch = upcoming?.step === at ? upcoming.batch : batchOf(instance, source, size);
  write(instance, entry, checkedFor(instance, "monitor", "measure", batch));
  const results = scalarsOf(await runEntry(instance, "monitor", MONITORED));
  const claimed = named("claim", results);
  return {
    monitors: named("monitor", results),
    claims: plan.claims.flatMap(({ text, bound }) => {
      const value = valueAt(claimed, text);
      return value === undefined ? [] : [{ text, value, holds: value <= bound }];
    }),
  };
}

/** The error of a step that was not made. Such a step has changed nothing, so its tensors can still be looked at. */
function refused(instance: ModelInstance, said: string, fed: Fed): Promise<NumericError> {
  const gradients = async (): Promise<Readonly<Record<string, Float32Array>>> => {
    write(instance, entryOf(instance, "gradients", "be differentiated"), fed);
    return named("gradient", await runEntry(instance, "gradients", GRADIENTS)) as Record<string, Float32Array>;
  };
  const none = "every tensor that it is computed from is finite, their sums are not";
  return notFinite(instance, instance.step + 1, (words) => `${said}: ${words ?? none}`, { gradients });
}
