/**
 * Settings by name: the limits of their numbers, what they are called elsewhere, and what is said of one that there is
 * not. Everything that reads settings goes through here: the `train` section, its optimizer, and schedules.
 */
import type { Arg, Every, Expr, Ident } from "../../../grammar/ast.js";
import type { Diagnostic } from "../../diagnostics/diagnostic.js";
import { nearest } from "../../diagnostics/suggest.js";
import { diagnostic } from "../../diagnostics/table.js";

/** The settings of `train`, beside its bound, `memory`. */
export const TRAIN_SETTINGS = ["batch", "steps", "seed", "optimizer", "clip", "precision", "recompute"] as const;

/** The limits of a number, both ends included. */
interface Limits {
  readonly integer?: boolean;
  readonly from: number;
  readonly to: number;
}

const positive: Limits = { from: Number.MIN_VALUE, to: Number.MAX_VALUE };
const count: Limits = { integer: true, from: 1, to: 1e9 };
const LIMITS = {
  batch: { integer: true, from: 1, to: 1e6 },
  steps: count,
  seed: { integer: true, from: 0, to: 4294967295 },
  clip: positive,
  rate: positive,
  from: positive,
  to: { from: 0, to: Number.MAX_VALUE },
  peak: positive,
  end: { from: 0, to: Number.MAX_VALUE },
  point: { from: 0, to: Number.MAX_VALUE },
  warmup: { integer: true, from: 0, to: 1e9 },
  beta: { from: 0, to: 1 - 1e-9 },
  epsilon: positive,
  decay: { from: 0, to: 1e6 },
  momentum: { from: 0, to: 1 - 1e-9 },
  every: count,
} as const satisfies Readonly<Record<string, Limits>>;

/** A setting that is a number. */
export type NumberSetting = keyof typeof LIMITS;

/** Reads numbers out of expressions; the caller knows the dims. */
export interface Reader {
  readonly number: (e: Expr) => number | null;
  readonly report: (d: Diagnostic) => void;
  /** The length of the run; null or nothing where it is not known yet. */
  readonly steps?: number | null;
}

/** Settings from outside, by name: those of the section, and those of its optimizer. */
export type Overrides = ReadonlyMap<string, Expr | Every>;

/** What settings are called elsewhere. */
const ELSEWHERE: ReadonlyMap<string, string> = new Map([
  ...["lr", "learning_rate", "learningRate", "step_size", "alpha", "max_lr"].map((name) => [name, "rate"] as const),
  ...["batch_size", "batchsize", "batchSize", "bs", "minibatch"].map((name) => [name, "batch"] as const),
  ...["epochs", "epoch", "iterations", "iters", "max_steps", "max_iters", "num_steps", "updates"].map(
    (name) => [name, "steps"] as const,
  ),
  ...["weight_decay", "weightDecay", "wd", "l2"].map((name) => [name, "decay"] as const),
  ...["eps"].map((name) => [name, "epsilon"] as const),
  ...["beta", "beta1", "beta2"].map((name) => [name, "betas"] as const),
  ...["warmup_steps", "warmup_iters"].map((name) => [name, "warmup"] as const),
  ...["grad_clip", "clip_norm", "gradient_clip", "max_grad_norm", "clip_grad"].map((name) => [name, "clip"] as const),
  ...["dtype", "amp", "half"].map((name) => [name, "precision"] as const),
  ...["checkpointing", "remat", "gradient_checkpointing"].map((name) => [name, "recompute"] as const),
  ...["optim", "optimiser", "opt"].map((name) => [name, "optimizer"] as const),
  ...["random_seed"].map((name) => [name, "seed"] as const),
  ...["start", "max"].map((name) => [name, "from"] as const),
  ...["end", "min"].map((name) => [name, "to"] as const),
]);

/**
 * Reports a name that is none of the settings. Returns the one that is likely meant, or the name itself. `what`: what a
 * setting is called in the message.
 */
export function unknownSetting(
  reader: Reader,
  { name, span }: Ident,
  settings: readonly string[],
  what: string,
): string {
  const elsewhere = ELSEWHERE.get(name);
  const meant = elsewhere !== undefined && settings.includes(elsewhere) ? elsewhere : null;
  const guess = meant ?? nearest(name, settings);
  const fix =
    meant === "steps" && name.startsWith("epoch")
      ? "write `steps`, which counts batches: an epoch has as many as make up the data"
      : meant
        ? `it is called \`${meant}\` here`
        : guess
          ? `did you mean \`${guess}\`?`
          : `there ${settings.length === 1 ? "is" : "are"} ${settings.map((setting) => `\`${setting}\``).join(", ")}`;
  reader.report(
    diagnostic("MHC501", span, `\`${name}\` is not ${/^[aeiou]/.test(what) ? "an" : "a"} ${what}`, { fix }),
  );
  return guess ?? name;
}

/** The number of a setting, within its limits; null when it is not, which is reported. */
export function numberWithin(reader: Reader, name: NumberSetting, e: Expr): number | null {
  const value = reader.number(e);
  if (value === null) return null;
  const limits: Limits = LIMITS[name];
  if (value >= limits.from && value <= limits.to && (!limits.integer || Number.isInteger(value))) return value;
  const what = name === "point" ? "the rate of a point" : `\`${name}\``;
  reader.report(diagnostic("MHC502", e.span, `${what} must be ${limitsInWords(limits, value)}, and is ${value}`));
  return null;
}

/** The limits that a value breaks. */
function limitsInWords({ from, to, integer }: Limits, value: number): string {
  const low = from === Number.MIN_VALUE ? "above 0" : `at least ${from}`;
  const high = to < 1 ? " and below 1" : value > to ? ` and at most ${to.toLocaleString("en")}` : "";
  return `${integer ? "a whole number " : ""}${low}${high}`;
}

/** What a call takes: its settings, and the first of them in the order of positional arguments. */
export interface CallSettings {
  readonly names: readonly string[];
  readonly order: readonly string[];
  /** What the call is called in messages. */
  readonly what: string;
}

/** Arguments by name; positional ones take the names in order; `?name` for one that was meant, and is reported. */
export function namedArguments(
  args: readonly Arg[],
  { names, order, what }: CallSettings,
  reader: Reader,
): Map<string, Expr> {
  const result = new Map<string, Expr>();
  for (const [i, arg] of args.entries()) {
    const name = arg.name?.name ?? order[i];
    if (name === undefined)
      reader.report(
        diagnostic(
          "MHC207",
          arg.span,
          `${what} takes ${order.length} positional argument${order.length === 1 ? "" : "s"}`,
        ),
      );
    else if (names.includes(name)) result.set(name, arg.value);
    else {
      const meant = unknownSetting(reader, { name, span: arg.name?.span ?? arg.span }, names, `setting of ${what}`);
      result.set(`?${meant}`, arg.value);
    }
  }
  return result;
}
