/** What people call the examples of a source of data and their losses, for all commands alike. */
import type { DataInfo } from "../../runtime/plan.js";

/** Of losses. */
export const unitOf = ({ kind }: DataInfo): string => (kind === "characters" ? "nats a character" : "nats an example");

/** One example of a batch: `64 characters`. */
export function exampleOf(info: DataInfo): string {
  switch (info.kind) {
    case "characters":
      return `${info.window} characters`;
    case "examples":
      return "1 example";
    case "pairs":
      return `1 pair and ${info.negatives} negative${info.negatives === 1 ? "" : "s"}`;
    default:
      return info satisfies never;
  }
}

/** What a loss is called, and what it is the mean of: `hold-out loss`, `64 of 1,000 held-out windows`. */
export interface EvaluationWords {
  readonly loss: string;
  readonly of: string;
}

/** What a loss over `count` of the `all` examples that are held out is called, and what it is the mean of. */
export function evaluationOf(info: DataInfo, count: number, all = count): EvaluationWords {
  const written = `${count === all ? "" : `${count.toLocaleString("en")} of `}${all.toLocaleString("en")}`;
  switch (info.kind) {
    case "characters":
      return { loss: "hold-out loss", of: `${written} held-out windows` };
    case "examples":
      return { loss: "hold-out loss", of: `${written} held-out examples` };
    case "pairs":
      return info.holdout > 0
        ? { loss: "hold-out loss", of: `${written} held-out pairs` }
        : { loss: "loss", of: `${count === all ? "all " : ""}${written} pairs` };
    default:
      return info satisfies never;
  }
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
