/**
 * What a trained model comes to on data: its loss, the named parts of it and the metrics of its page, on what is held
 * out or on what it is trained on. Of the training data there is no end, since a text has a window at every place: so
 * many examples are drawn as training draws them, by the seed of the run from its first step on.
 */
import type { Source } from "../../runtime/data.js";
import type { Evaluation, Model } from "../../runtime/model.js";
import { mustTrain } from "../../runtime/plan.js";
import { valueAt } from "../../runtime/records.js";
import type { CheckOptions } from "../compile/compile.js";
import type { Typed, TypedModel } from "../model/typed.js";
import { EVALUATED, shareOf, watched } from "./evaluate.js";

/** Which part of the data is evaluated on. */
export type DataPart = "train" | "holdout";

/** What is evaluated on. */
export interface EvaluationRequest {
  readonly on: DataPart;
  /** At most so many examples, but a batch at least; all that is held out, or 1024 of the training data, by default. */
  readonly limit?: number | undefined;
  /** Before each batch: how many examples are done, of how many. */
  readonly watch?: (done: number, of: number) => void;
}

/** Evaluates a model. Throws NumericError where the loss is not finite. */
export async function evaluateModel(
  model: Model,
  source: Source,
  { on, limit, watch }: EvaluationRequest,
): Promise<Evaluation> {
  const size = mustTrain(model.plan).batch;
  const part =
    on === "train"
      ? drawn(source, limit ?? EVALUATED, model.seed)
      : shareOf(source, limit ?? Number.POSITIVE_INFINITY, size);
  return model.measure(watched(part, (done) => watch?.(done, part.holdoutExamples)));
}

/** A source that holds out what training draws from another: `count` examples. */
const drawn = (source: Source, count: number, seed: number): Source => ({
  ...source,
  holdoutExamples: count,
  *holdout(size) {
    for (let step = 0; step * size < count; step++)
      yield { batch: source.batch(size, seed, step), count: Math.min(size, count - step * size) };
  },
});

/**
 * Which of the measured numbers is a mean cross entropy alone, so that it is in nats and its exponential is a
 * perplexity: the loss (""), or a named part of it; null when none is.
 */
export function crossEntropyIn({ loss, terms }: Pick<TypedModel, "loss" | "terms">): string | null {
  const isEntropy = (e: Typed): boolean => e.kind === "cross_entropy";
  if (loss && isEntropy(loss)) return "";
  const parts = terms.filter((term) => term.kind === "part" && isEntropy(term.value));
  const [part] = parts;
  return part && parts.length === 1 ? part.name : null;
}

/** Whether the loss of a page is a mean cross entropy alone, and so in nats. */
export async function isEntropy(text: string, options: CheckOptions): Promise<boolean> {
  const { check } = await import("../compile/compile.js");
  const { model } = check(text, options);
  return model !== null && crossEntropyIn(model) === "";
}

/** The perplexity of an evaluation of text; null where no measured number is a cross entropy alone. */
export function perplexityOf({ loss, terms }: Evaluation, entropy: string | null): number | null {
  const value = entropy === "" ? loss : entropy === null ? undefined : valueAt(terms, entropy);
  return value === undefined ? null : Math.exp(value);
}
