/**
 * The `train` section: settings with their meaning, their limits and their defaults, in one table, so that an unknown
 * or senseless one is an error at its place. `--set train.steps=50` goes through the same table.
 */
import type { Arg, Call, Clause, Every, Expr, Path, Section } from "../../../grammar/ast.js";
import type { Span } from "../../diagnostics/span.js";
import { parseBytes, units } from "../../../grammar/units.js";
import type { Diagnostic } from "../../diagnostics/diagnostic.js";
import { nearest } from "../../diagnostics/suggest.js";
import { diagnostic } from "../../diagnostics/table.js";
import type { OptimizerSettings, RateSettings, RecomputeSettings, TrainSettings } from "../typed.js";
import { valueAt } from "../../../runtime/records.js";

const SETTINGS = ["batch", "steps", "seed", "optimizer", "clip", "precision", "recompute"] as const;

interface Limits {
  readonly integer?: boolean;
  readonly from: number;
  readonly to: number;
}

const positive: Limits = { from: Number.MIN_VALUE, to: Number.MAX_VALUE };
const count: Limits = { integer: true, from: 1, to: 1e9 };
const LIMITS: Readonly<Record<string, Limits>> = {
  batch: { integer: true, from: 1, to: 1e6 },
  steps: count,
  seed: { integer: true, from: 0, to: 4294967295 },
  clip: positive,
  rate: positive,
  from: positive,
  to: { from: 0, to: Number.MAX_VALUE },
  warmup: { integer: true, from: 0, to: 1e9 },
  beta: { from: 0, to: 1 - 1e-9 },
  epsilon: positive,
  decay: { from: 0, to: 1e6 },
  momentum: { from: 0, to: 1 - 1e-9 },
  every: count,
};

/** Reads numbers out of expressions; the caller knows the dims. */
export interface Reader {
  readonly number: (e: Expr) => number | null;
  readonly report: (d: Diagnostic) => void;
}

/** Settings from outside, by name: those of the section, and those of its optimizer. */
export type Overrides = ReadonlyMap<string, Expr | Every>;

export function readTrain(section: Section, overrides: Overrides, reader: Reader): TrainSettings | null {
  const strange = new Set<string>();
  const found = new Map<string, Expr>();
  let recompute: Expr | Every | null = null;
  let memory: Bound | null = null;
  for (const clause of section.clauses) {
    if (clause.kind === "bound") {
      const name = clause.left.kind === "path" ? calleeOf(clause.left) : "this";
      if (name !== "memory") unknown(reader, name, clause.left.span, ["memory"], "bound of `train`");
      else if (memory) reader.report(diagnostic("MHC202", clause.left.span, "`memory` is bounded twice"));
      else memory = clause;
      continue;
    }
    if (clause.kind !== "setting") {
      reader.report(diagnostic("MHC501", clause.span, "a setting has the form `name = value`"));
      continue;
    }
    const { name, value } = clause;
    if (name.name === "recompute") {
      if (recompute) reader.report(diagnostic("MHC202", name.span, "`recompute` is set twice"));
      else recompute = value;
    } else if (name.name === "memory") {
      reader.report(
        diagnostic("MHC501", clause.span, "`memory` is a bound, not a setting", { fix: "write `memory <= 2 GiB`" }),
      );
    } else if (value.kind === "every") {
      reader.report(diagnostic("MHC502", value.span, `\`every\` is for \`recompute\`, not for \`${name.name}\``));
    } else if (!(SETTINGS as readonly string[]).includes(name.name))
      strange.add(unknown(reader, name.name, name.span, SETTINGS, "setting of `train`"));
    else if (found.has(name.name)) reader.report(diagnostic("MHC202", name.span, `\`${name.name}\` is set twice`));
    else found.set(name.name, value);
  }
  for (const [name, value] of overrides) {
    if (name === "recompute") recompute = value;
    else if (value.kind === "every")
      reader.report(diagnostic("MHC502", value.span, `\`every\` is for \`recompute\`, not for \`${name}\``));
    else if (name === "memory") memory = boundBy(value);
    else if ((SETTINGS as readonly string[]).includes(name)) found.set(name, value);
  }
  for (const name of ["batch", "steps", "optimizer"]) {
    if (found.has(name)) continue;
    const example = name === "optimizer" ? "adamw(rate = 1e-3)" : name === "batch" ? "12" : "1000";
    // What stands there under another name has been said.
    if (!strange.has(name))
      reader.report(
        diagnostic("MHC503", section.name.span, `\`train\` does not say \`${name}\``, {
          fix: `add \`${name} = ${example}\``,
        }),
      );
    return null;
  }
  const setting = (name: string, otherwise: number | null): number | null => {
    const e = found.get(name);
    return e ? limited(reader, name, e) : otherwise;
  };
  const batch = setting("batch", null);
  const steps = setting("steps", null);
  const seed = setting("seed", 1337);
  const clip = setting("clip", null);
  const optimizer = readOptimizer(found.get("optimizer")!, overrides, reader);
  const again = readRecompute(recompute, reader);
  const half = readPrecision(found.get("precision") ?? null, reader);
  const budget = readMemory(memory, reader);
  if (batch === null || steps === null || seed === null || !optimizer) return null;
  return { batch, steps, seed, clip, optimizer, recompute: again, memory: budget, half };
}

type Bound = Extract<Clause, { readonly kind: "bound" }>;

/** A bound that stands in a flag: `--set train.memory="2 GiB"`. */
const boundBy = (right: Expr): Bound => ({
  kind: "bound",
  left: { kind: "path", parts: [{ name: "memory", span: right.span }], span: right.span },
  right,
  shared: false,
  monitored: false,
  span: right.span,
});

/** `f16`, `auto` or `f32`; where it says one of the first two, else null. */
function readPrecision(e: Expr | null, reader: Reader): TrainSettings["half"] {
  if (e === null) return null;
  const word = e.kind === "path" ? calleeOf(e) : "";
  if (word !== "f16" && word !== "f32" && word !== "auto") {
    reader.report(
      diagnostic("MHC502", e.span, `${word ? `\`${word}\`` : "this"} is not a precision`, {
        fix:
          "there are `f32`, `f16`: activations in half precision, sums and parameters in f32, and `auto`: f16 " +
          "where the device profile has it",
      }),
    );
  }
  return word === "f16" || word === "auto" ? { span: e.span, auto: word === "auto" } : null;
}

/** `auto`, `off` or `every 6`. */
function readRecompute(e: Expr | Every | null, reader: Reader): RecomputeSettings | null {
  if (e === null) return null;
  if (e.kind === "every") {
    const every = limited(reader, "every", e.count);
    return every === null ? null : { kind: "every", count: every };
  }
  const word = e.kind === "path" ? calleeOf(e) : "";
  if (word === "auto" || word === "off") return { kind: word };
  const fix =
    word === "every"
      ? "say how many connections a segment has: `recompute = every 6`"
      : "there are `auto`, `off` and `every 6`: segments of six connections";
  reader.report(
    diagnostic("MHC502", e.span, `${word ? `\`${word}\`` : "this"} does not say what to recompute`, { fix }),
  );
  return null;
}

/** `memory <= 2 GiB` */
function readMemory(clause: Bound | null, reader: Reader): TrainSettings["memory"] {
  if (!clause) return null;
  if (clause.shared) {
    reader.report(
      diagnostic("MHC502", clause.span, "`memory` is one budget, and nobody shares it", { fix: "take `shared` out" }),
    );
    return null;
  }
  if (clause.monitored) {
    reader.report(
      diagnostic("MHC502", clause.span, "`memory` is planned, so there is nothing to monitor", {
        fix: "take `monitored` out",
      }),
    );
    return null;
  }
  const size = parseBytes(clause.right.kind === "number" ? clause.right.text : "");
  if (size && size.bytes > 0) return { bytes: size.bytes, span: clause.span };
  const unit = size ? size.text.split(" ")[1]! : null;
  const guess = unit === null ? null : nearest(unit, units);
  const what =
    unit !== null && Number.isNaN(size!.bytes)
      ? `\`${unit}\` is not a unit of memory`
      : "`memory` is bounded by a size above 0";
  const fix = guess
    ? `did you mean \`${guess}\`?`
    : "write a number and its unit: `memory <= 2 GiB`, or MiB, KiB, GB, MB, kB";
  reader.report(diagnostic("MHC502", clause.right.span, what, { fix }));
  return null;
}

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

/** Reports a name that is none of the options; returns the one that is likely meant, or the name. */
function unknown(reader: Reader, name: string, span: Span, options: readonly string[], what: string): string {
  const elsewhere = ELSEWHERE.get(name);
  const meant = elsewhere !== undefined && options.includes(elsewhere) ? elsewhere : null;
  const guess = meant ?? nearest(name, options);
  const there = `there ${options.length === 1 ? "is" : "are"} ${options.map((option) => `\`${option}\``).join(", ")}`;
  const epochs = "write `steps`, which counts batches: an epoch has as many as make up the data";
  const fix =
    meant === "steps" && name.startsWith("epoch")
      ? epochs
      : meant
        ? `it is called \`${meant}\` here`
        : guess
          ? `did you mean \`${guess}\`?`
          : there;
  reader.report(
    diagnostic("MHC501", span, `\`${name}\` is not ${/^[aeiou]/.test(what) ? "an" : "a"} ${what}`, { fix }),
  );
  return guess ?? name;
}

function within(reader: Reader, name: string, value: number, span: Span): number | null {
  const limits = valueAt(LIMITS, name)!;
  if (Number.isNaN(value) || value < limits.from || value > limits.to || (limits.integer && !Number.isInteger(value))) {
    const low = limits.from === Number.MIN_VALUE ? "above 0" : `at least ${limits.from}`;
    const high =
      limits.to < 1 ? " and below 1" : value > limits.to ? ` and at most ${limits.to.toLocaleString("en")}` : "";
    reader.report(
      diagnostic(
        "MHC502",
        span,
        `\`${name}\` must be ${limits.integer ? "a whole number " : ""}${low}${high}, and is ${value}`,
      ),
    );
    return null;
  }
  return value;
}

function limited(reader: Reader, name: string, e: Expr): number | null {
  const value = reader.number(e);
  return value === null ? null : within(reader, name, value, e.span);
}

/** Arguments by name; positional ones take the names in order; `?name` for one that was meant, and is reported. */
function named(
  args: readonly Arg[],
  order: readonly string[],
  names: readonly string[],
  what: string,
  reader: Reader,
): Map<string, Expr> {
  const result = new Map<string, Expr>();
  args.forEach((arg, i) => {
    const name = arg.name?.name ?? order[i];
    if (name === undefined)
      reader.report(
        diagnostic(
          "MHC207",
          arg.span,
          `${what} takes ${order.length} positional argument${order.length === 1 ? "" : "s"}`,
        ),
      );
    else if (!names.includes(name))
      result.set(`?${unknown(reader, name, arg.name?.span ?? arg.span, names, `setting of ${what}`)}`, arg.value);
    else result.set(name, arg.value);
  });
  return result;
}

const calleeOf = (e: Path | Call): string =>
  (e.kind === "path" ? e : e.callee).parts.map((part) => part.name).join(".");

/**
 * Adam with decoupled decay, stochastic descent with momentum, and Muon for matrices with AdamW for the rest; `r`: on
 * manifolds (Bécigneul and Ganea, ICLR 2019). `docs/optimizers.md` has the formulas.
 */
const OPTIMIZERS: Readonly<Record<string, { readonly kind: OptimizerSettings["kind"]; readonly riemannian: boolean }>> =
  {
    adamw: { kind: "adamw", riemannian: false },
    sgd: { kind: "sgd", riemannian: false },
    muon: { kind: "muon", riemannian: false },
    radam: { kind: "adamw", riemannian: true },
    rsgd: { kind: "sgd", riemannian: true },
  };

const OPTIMIZER_SETTINGS: Readonly<Record<OptimizerSettings["kind"], readonly string[]>> = {
  adamw: ["rate", "betas", "epsilon", "decay"],
  sgd: ["rate", "momentum", "decay"],
  muon: ["rate", "momentum", "nesterov", "betas", "epsilon", "decay"],
};

/** What `--set train.…` takes: the settings of the section, and those of any optimizer. */
export const OVERRIDES: readonly string[] = [
  ...new Set([...SETTINGS, "memory", ...Object.values(OPTIMIZER_SETTINGS).flat()]),
];

function readOptimizer(e: Expr, overrides: Overrides, reader: Reader): OptimizerSettings | null {
  if (e.kind !== "call" && e.kind !== "path") {
    reader.report(
      diagnostic("MHC502", e.span, "an optimizer is `adamw(…)`, `sgd(…)`, `muon(…)`, `radam(…)` or `rsgd(…)`"),
    );
    return null;
  }
  const name = calleeOf(e);
  const found = valueAt(OPTIMIZERS, name) ?? null;
  if (!found) {
    unknown(reader, name, e.span, Object.keys(OPTIMIZERS), "optimizer");
    return null;
  }
  const { kind, riemannian } = found;
  const args = named(
    e.kind === "call" ? e.lists.flat() : [],
    ["rate"],
    OPTIMIZER_SETTINGS[kind],
    `\`${name}\``,
    reader,
  );
  for (const [setting, value] of overrides) {
    if ((SETTINGS as readonly string[]).includes(setting) || setting === "memory" || value.kind === "every") continue;
    if (OPTIMIZER_SETTINGS[kind].includes(setting)) args.set(setting, value);
    else
      reader.report(
        diagnostic("MHC501", value.span, `\`${name}\` has no \`${setting}\``, {
          fix: `it has ${OPTIMIZER_SETTINGS[kind].map((one) => `\`${one}\``).join(", ")}`,
        }),
      );
  }
  const rateExpr = args.get("rate");
  if (!rateExpr) {
    if (args.has("?rate")) return null;
    reader.report(
      diagnostic("MHC503", e.span, `\`${name}\` needs a rate`, {
        fix: `write \`${name}(rate = 1e-3)\` or \`${name}(rate = cosine(1e-3, 1e-4, warmup = 100))\``,
      }),
    );
    return null;
  }
  const rate = readSchedule(rateExpr, "rates", reader, (end, e) => limited(reader, end, e));
  const get = (name: string, otherwise: number): number | null => {
    const value = args.get(name);
    return value ? limited(reader, name, value) : otherwise;
  };
  const decay = get("decay", 0);
  if (kind === "sgd") {
    const momentum = get("momentum", 0);
    return rate && decay !== null && momentum !== null ? { kind, riemannian, rate, momentum, decay } : null;
  }
  const epsilon = get("epsilon", 1e-8);
  const betas = readBetas(args.get("betas"), kind === "muon" ? [0.9, 0.95] : [0.9, 0.999], reader);
  if (kind === "adamw")
    return rate && decay !== null && epsilon !== null && betas
      ? { kind, riemannian, rate, betas, epsilon, decay }
      : null;
  const momentum = get("momentum", 0.95);
  const nesterov = readTruth("nesterov", args.get("nesterov"), true, reader);
  return rate && decay !== null && epsilon !== null && betas && momentum !== null && nesterov !== null
    ? { kind, riemannian, rate, momentum, nesterov, betas, epsilon, decay }
    : null;
}

function readBetas(
  e: Expr | undefined,
  otherwise: readonly [number, number],
  reader: Reader,
): readonly [number, number] | null {
  if (!e) return otherwise;
  if (e.kind !== "tuple" || e.items.length !== 2) {
    reader.report(diagnostic("MHC502", e.span, "`betas` are two numbers: `betas = (0.9, 0.99)`"));
    return null;
  }
  const [first, second] = e.items.map((item) => limited(reader, "beta", item)) as [number | null, number | null];
  return first === null || second === null ? null : [first, second];
}

function readTruth(name: string, e: Expr | undefined, otherwise: boolean, reader: Reader): boolean | null {
  if (!e) return otherwise;
  const word = e.kind === "path" ? calleeOf(e) : "";
  if (word === "true" || word === "false") return word === "true";
  const meant =
    /^(?:true|yes|on)$/i.test(word) || (e.kind === "number" && e.value === 1)
      ? "true"
      : /^(?:false|no|off)$/i.test(word) || (e.kind === "number" && e.value === 0)
        ? "false"
        : null;
  reader.report(
    diagnostic("MHC502", e.span, `\`${name}\` is \`true\` or \`false\``, { fix: meant ? `write \`${meant}\`` : null }),
  );
  return null;
}

/**
 * A number, or one that goes from one to another over the run: `cosine(1e-3, 1e-4, warmup = 100)`. `end` reads a number
 * that it may be; `what` it is, in the plural.
 */
export function readSchedule(
  e: Expr,
  what: string,
  reader: Reader,
  end: (name: "rate" | "from" | "to", e: Expr) => number | null,
): RateSettings | null {
  const falling = e.kind === "call" ? calleeOf(e) : null;
  if (e.kind !== "call" || (falling !== "cosine" && falling !== "linear")) {
    if (e.kind === "call") {
      if (falling === "constant") {
        reader.report(
          diagnostic("MHC501", e.span, `\`constant\` is not a schedule of ${what}: a number by itself stays`, {
            fix: "write the number: `rate = 1e-3`",
          }),
        );
        return null;
      }
      unknown(reader, falling!, e.callee.span, ["cosine", "linear"], `schedule of ${what}`);
      return null;
    }
    const value = end("rate", e);
    return value === null ? null : { kind: "constant", value };
  }
  const args = named(e.lists.flat(), ["from", "to"], ["from", "to", "warmup"], `\`${falling}\``, reader);
  for (const name of ["from", "to"]) {
    if (!args.has(name)) {
      reader.report(
        diagnostic("MHC503", e.span, `\`${falling}\` needs \`${name}\``, {
          fix: `write \`${falling}(1e-3, 1e-4, warmup = 100)\``,
        }),
      );
      return null;
    }
  }
  const from = end("from", args.get("from")!);
  const to = end("to", args.get("to")!);
  const warmup = args.has("warmup") ? limited(reader, "warmup", args.get("warmup")!) : 0;
  return from === null || to === null || warmup === null ? null : { kind: falling, from, to, warmup };
}
