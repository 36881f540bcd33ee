/**
 * The loop of a training run, whoever asks for it: steps until the budget is spent, the hold-out loss now and then and
 * at the end. A checkpoint is written before the first step, so that a folder that cannot hold one is known then and
 * not after hours; after each evaluation; and when the last step is done, before the last evaluation, which may take
 * long and must lose nothing. A checkpoint replaces the one before it only when all its numbers are finite and, while
 * training, so was the hold-out loss; a run that a NaN ends says which was the last. Where lines go and what a
 * checkpoint is are the caller's; `mhc train` and `mhc compare` train by this one loop, so a run of a comparison is the
 * run that `train` would have made.
 */
import type { Source } from "../../runtime/data.js";
import { NumericError, type NumericReport } from "../../runtime/errors.js";
import type { ClaimMetrics, Evaluation, Model, ShrunkMetrics, StepMetrics } from "../../runtime/model.js";
import { mustTrain } from "../../runtime/plan.js";
import type { Recompile } from "../../runtime/choose.js";
import { EVALUATED, shareOf, watched } from "./evaluate.js";

/** A logged step. */
export interface StepLine {
  readonly step: number;
  readonly loss: number;
  readonly ms: number;
  readonly tokens_per_s: number;
  readonly constraints: Readonly<Record<string, number>>;
  readonly holdout?: number;
  /** The share of the held-out data that `holdout` is the mean over. */
  readonly holdout_share?: number;
  /** The named parts of the loss and the metrics, of the step's batch and on the held-out data. */
  readonly terms?: NamedNumbers;
  readonly metrics?: NamedNumbers;
  readonly holdout_terms?: NamedNumbers;
  readonly holdout_metrics?: NamedNumbers;
  /** Options of manifolds that are learned. */
  readonly adapted?: Readonly<Record<string, number>>;
  /** Gains and mixes, and monitored claims, at the steps at which they were measured. */
  readonly monitors?: Readonly<Record<string, number>>;
  readonly claims?: readonly ClaimMetrics[];
  /** While gates may close: what a step is expected to cost then, as shares of the dense model's. */
  readonly costs?: Readonly<Record<string, number>>;
  /** At the step after which the model was smaller. */
  readonly shrunk?: ShrunkMetrics;
}

/** Numbers by name. */
export type NamedNumbers = Readonly<Record<string, number>>;

/** How long a run is, and how often it is looked at. */
export interface Budget {
  /** Infinite when only time ends the run. */
  readonly steps: number;
  /** Of training itself: evaluations and checkpoints take none of it. */
  readonly seconds?: number | undefined;
  /** Steps between two looks at the monitors; the model's own choice when it does not say, 0 for never. */
  readonly monitor?: number | undefined;
  /** Steps between two evaluations on the held-out data (default 500); there is always one at the end. */
  readonly evaluate?: number | undefined;
  /** Held-out examples of an evaluation while training (default 1024), and of that at the end (default: all). */
  readonly evaluateOn?: number | undefined;
  readonly evaluateEnd?: number | undefined;
  /** Of a page that shrinks. */
  readonly recompile?: Recompile | undefined;
}

/** Who a run belongs to: where its lines and checkpoints go, and what ends it. */
export interface TrainingHost {
  /** Ends the run after the step or the batch of an evaluation that is under way. */
  readonly signal: AbortSignal;
  readonly step: (line: StepLine) => void;
  /** Writes a checkpoint, and says where it is. */
  readonly save: () => Promise<string>;
  /**
   * Before each batch of an evaluation: how many examples are done, of how many, and whether it is the one at the end.
   */
  readonly evaluating?: (progress: Evaluating) => void;
}

/** How far an evaluation is. */
export interface Evaluating {
  readonly done: number;
  readonly of: number;
  readonly last: boolean;
}

/** A run that ended in numbers that are not finite, as a line of JSON. */
export const failureLine = ({
  message,
  report: { step, lastFinite, tensors, checkpoint },
}: NumericError): FailureLine => ({ failure: message, step, last_finite: lastFinite, tensors, checkpoint });

/** See `failureLine`. */
export interface FailureLine {
  readonly failure: string;
  readonly step: number;
  readonly last_finite: number | null;
  readonly tensors: NumericError["report"]["tensors"];
  readonly checkpoint: NumericError["report"]["checkpoint"];
}

/** What came of a run. */
export interface TrainedRun {
  /** Of the last step. */
  readonly loss: number;
  /** Null when the run was ended before it could be evaluated. */
  readonly holdout: number | null;
  /** The named parts of the hold-out loss and the metrics; empty where it is null, or the page names none. */
  readonly terms: NamedNumbers;
  readonly metrics: NamedNumbers;
  /** The examples that it is the mean over. */
  readonly evaluated: number;
  readonly seconds: number;
}

const EVALUATE = 500;

/** Ends an evaluation that is no longer wanted. */
class Interrupted extends Error {}

/** Of all that is held out, the share of so many examples, for people and programs that look at it: four decimals. */
export const shareIn = (source: Source, examples: number): number =>
  examples === source.holdoutExamples ? 1 : Number((examples / source.holdoutExamples).toFixed(4));

const isEmpty = (values: NamedNumbers): boolean => Object.keys(values).length === 0;

/** What was measured on the held-out data, as lines have it. */
export const holdoutFields = ({
  terms,
  metrics,
}: Pick<Evaluation, "terms" | "metrics">): Pick<StepLine, "holdout_terms" | "holdout_metrics"> => ({
  ...(isEmpty(terms) ? {} : { holdout_terms: terms }),
  ...(isEmpty(metrics) ? {} : { holdout_metrics: metrics }),
});

/** Fields that a line has at some steps only, or for some models. */
const measured = ({
  terms,
  metrics,
  adapted,
  monitors,
  claims,
  costs,
  shrunk,
}: StepMetrics): Pick<StepLine, "terms" | "metrics" | "adapted" | "monitors" | "claims" | "costs" | "shrunk"> => ({
  ...(isEmpty(terms) ? {} : { terms }),
  ...(isEmpty(metrics) ? {} : { metrics }),
  ...(Object.keys(costs).length ? { costs } : {}),
  ...(shrunk ? { shrunk } : {}),
  ...(Object.keys(adapted).length ? { adapted } : {}),
  ...(monitors && Object.keys(monitors).length ? { monitors } : {}),
  ...(claims?.length ? { claims } : {}),
});

/** Trains. A NumericError says which checkpoint is the last good one. */
export async function trainModel(
  model: Model,
  source: Source,
  budget: Budget,
  host: TrainingHost,
): Promise<TrainedRun> {
  const saved: { last: NumericReport["checkpoint"] } = { last: null };
  const save = async (): Promise<string> => {
    const path = await host.save();
    saved.last = { step: model.step, path };
    return path;
  };
  try {
    await save();
    return await loop(model, source, budget, { ...host, save });
  } catch (error) {
    if (!(error instanceof NumericError)) throw error;
    const checkpoint = saved.last;
    throw new NumericError(
      checkpoint
        ? `${error.message}; the last good checkpoint, of step ${checkpoint.step}, is ${checkpoint.path}`
        : error.message,
      error.fix,
      { ...error.report, checkpoint },
    );
  }
}

async function loop(
  model: Model,
  source: Source,
  budget: Budget,
  { signal, step, save, evaluating }: TrainingHost,
): Promise<TrainedRun> {
  const { steps, seconds = Number.POSITIVE_INFINITY, monitor, recompile, evaluate: every = EVALUATE } = budget;
  const size = mustTrain(model.plan).batch;
  const whileTraining = shareOf(source, budget.evaluateOn ?? EVALUATED, size);
  const atTheEnd = shareOf(source, budget.evaluateEnd ?? Number.POSITIVE_INFINITY, size);
  // Evaluation may take longer than many steps; it heeds the signal too. Null when it was broken off.
  const evaluate = async (on: Source, last: boolean): Promise<Evaluation | null> => {
    try {
      return await model.measure(
        watched(on, (done) => {
          if (signal.aborted) throw new Interrupted();
          evaluating?.({ done, of: on.holdoutExamples, last });
        }),
      );
    } catch (error) {
      if (error instanceof Interrupted) return null;
      throw error;
    }
  };
  const begun = performance.now();
  let loss = Number.NaN;
  let spent = 0;
  for await (const metrics of model.train(source, { steps, monitor, recompile })) {
    loss = metrics.loss;
    spent += metrics.ms / 1000;
    const last = metrics.step >= steps || spent >= seconds;
    const holdout = metrics.step % every === 0 && !last ? await evaluate(whileTraining, false) : null;
    step({
      step: metrics.step,
      loss,
      ms: metrics.ms,
      tokens_per_s: metrics.tokensPerSecond,
      constraints: metrics.constraints,
      ...measured(metrics),
      ...(holdout && {
        holdout: holdout.loss,
        holdout_share: shareIn(source, whileTraining.holdoutExamples),
        ...holdoutFields(holdout),
      }),
    });
    if (holdout) await save();
    if (last || signal.aborted) break;
  }
  const took = (performance.now() - begun) / 1000;
  await save();
  const last = signal.aborted ? null : await evaluate(atTheEnd, true);
  const { loss: holdout = null, terms = {}, metrics = {} } = last ?? {};
  return { loss, holdout, terms, metrics, evaluated: atTheEnd.holdoutExamples, seconds: took };
}
