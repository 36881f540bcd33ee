/** What people call the examples of a source of data and their losses, for all commands alike. */
import type { DataInfo } from "../../runtime/plan.js";
import { described } from "../../runtime/sources.js";

/**
 * The unit of a loss: of a mean cross entropy alone `nats a character`, which of lines and pairs is a mean over their
 * places too; of any other what it is of, `a line`.
 */
export function unitOf(info: DataInfo, isEntropy: boolean): string {
  const { unit } = described(info);
  if (!isEntropy) return unit;
  return `nats ${info.kind === "lines" || info.kind === "sequences" ? "a character" : unit}`;
}

/** What a step is counted in: tokens of a text, examples of other data. */
export const countedIn = (data: readonly DataInfo[]): "tokens" | "examples" =>
  data.some((info) => described(info).text) ? "tokens" : "examples";

/** One example of a batch: `64 characters`. */
export const exampleOf = (info: DataInfo): string => described(info).example;

/** What a loss is called, and what it is the mean of: `hold-out loss`, `64 of 1,000 held-out windows`. */
export interface EvaluationWords {
  readonly loss: string;
  readonly of: string;
}

/** What a loss over `count` of the `all` examples that are held out is called, and what it is the mean of. */
export function evaluationOf(info: DataInfo, count: number, all = count): EvaluationWords {
  const written = `${count === all ? "" : `${count.toLocaleString("en")} of `}${all.toLocaleString("en")}`;
  const { held } = described(info);
  // Pairs of which none are held out are evaluated all.
  if (info.holdout === 0) return { loss: "loss", of: `${count === all ? "all " : ""}${written} ${held}` };
  return { loss: "hold-out loss", of: `${written} held-out ${held}` };
}

/** Numbers by name, in four figures: `accuracy 0.9123, balance 1.034`. */
export const namedNumbers = (values: Readonly<Record<string, number>>, between = ", "): string =>
  Object.entries(values)
    .map(([name, value]) => `${name} ${value.toPrecision(4)}`)
    .join(between);

/** `43.3 mJ`, `1.20 J` */
export const joules = (value: number): string =>
  value < 1
    ? `${(1000 * value).toPrecision(3)} mJ`
    : value < 1000
      ? `${value.toPrecision(3)} J`
      : `${(value / 1000).toPrecision(3)} kJ`;
