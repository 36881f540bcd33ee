/**
 * Optimizers, each with its settings and their defaults: Adam with decoupled decay, stochastic descent with momentum,
 * and Muon for matrices with AdamW for the rest; those that begin with `r` move along manifolds (Bécigneul and Ganea,
 * ICLR 2019). `docs/optimizers.md` has the formulas.
 */
import type { Expr } from "../../../grammar/ast.js";
import { mustValue, valueAt } from "../../../runtime/records.js";
import type { Diagnostic } from "../../diagnostics/diagnostic.js";
import { diagnostic } from "../../diagnostics/table.js";
import { scaledSchedule } from "../../graph/schedules.js";
import type { OptimizerSettings, RateSettings } from "../typed.js";
import { readSchedule } from "./schedules.js";
import {
  namedArguments,
  numberWithin,
  unknownSetting,
  TRAIN_SETTINGS,
  type Overrides,
  type Reader,
} from "./setting-table.js";
import { argumentsOf, calleeOf, dotted } from "./syntax.js";

interface OptimizerName {
  readonly kind: OptimizerSettings["kind"];
  readonly riemannian: boolean;
}

const OPTIMIZERS: Readonly<Record<string, OptimizerName>> = {
  adamw: { kind: "adamw", riemannian: false },
  sgd: { kind: "sgd", riemannian: false },
  muon: { kind: "muon", riemannian: false },
  radam: { kind: "adamw", riemannian: true },
  rsgd: { kind: "sgd", riemannian: true },
};

const SETTINGS_OF: Readonly<Record<OptimizerSettings["kind"], readonly string[]>> = {
  adamw: ["rate", "betas", "epsilon", "decay"],
  sgd: ["rate", "momentum", "decay"],
  muon: ["rate", "momentum", "nesterov", "betas", "epsilon", "decay"],
};

/** The settings of all optimizers. */
export const OPTIMIZER_SETTINGS: readonly string[] = Object.values(SETTINGS_OF).flat();

/** The optimizer of a page, with what flags say in place of its own settings; null when it is wrong. */
export function readOptimizer(e: Expr, overrides: Overrides, reader: Reader): OptimizerSettings | null {
  const called = readCall(e, reader);
  if (!called) return null;
  const { optimizer, name, args } = called;
  override(args, overrides, name, SETTINGS_OF[optimizer.kind], reader);
  const rate = args.get("rate");
  if (rate) return settingsOf(optimizer, readRate(rate, reader), args, DEFAULTS[optimizer.kind], reader);
  if (!args.has("?rate"))
    reader.report(
      diagnostic("MHC503", e.span, `\`${name}\` needs a rate`, {
        fix: `write \`${name}(rate = 1e-3)\` or \`${name}(rate = cosine(1e-3, 1e-4, warmup = 100))\``,
      }),
    );
  return null;
}

/** An optimizer by its name, and its arguments as written. */
interface CalledOptimizer {
  readonly optimizer: OptimizerName;
  readonly name: string;
  readonly args: Map<string, Expr>;
}

function readCall(e: Expr, reader: Reader): CalledOptimizer | null {
  if (e.kind !== "call" && e.kind !== "path") {
    reader.report(
      diagnostic("MHC502", e.span, "an optimizer is `adamw(…)`, `sgd(…)`, `muon(…)`, `radam(…)` or `rsgd(…)`"),
    );
    return null;
  }
  const name = dotted(calleeOf(e));
  const optimizer = valueAt(OPTIMIZERS, name);
  if (!optimizer) {
    unknownSetting(reader, { name, span: e.span }, Object.keys(OPTIMIZERS), "optimizer");
    return null;
  }
  const settings = { names: SETTINGS_OF[optimizer.kind], order: ["rate"], what: `\`${name}\`` };
  return { optimizer, name, args: namedArguments(argumentsOf(e), settings, reader) };
}

/**
 * The optimizer of a group by its settings: that of the page with these in place of its own, or, where `optimizer` is
 * one of them, another, which has the rate and the decay of the page when it does not say. A rate in percent is that
 * part of the page's at every step. `decaysAll`: whether the group says a decay. Null when something is wrong.
 */
export function readGroupOptimizer(
  written: ReadonlyMap<string, Expr>,
  page: OptimizerSettings,
  reader: Reader,
): { readonly optimizer: OptimizerSettings; readonly decaysAll: boolean } | null {
  const e = written.get("optimizer");
  const called = e ? readCall(e, reader) : null;
  if (e && !called) return null;
  if (e && called && called.optimizer.riemannian !== page.riemannian) {
    const [along, others] = ["`radam` or `rsgd`", "`adamw`, `sgd` or `muon`"];
    const what = page.riemannian
      ? "the optimizer of this page moves points along their manifolds, and that of a group does too"
      : "the optimizer of this page does not move points along manifolds, and that of a group does not either";
    reader.report(diagnostic("MHC502", e.span, what, { fix: `write ${page.riemannian ? along : others}` }));
    return null;
  }
  const { kind, riemannian } = called?.optimizer ?? page;
  const args = new Map(called?.args);
  const optimizer = called?.name ?? nameOf(page);
  for (const [name, value] of written) if (name !== "optimizer") setInGroup(args, name, value, optimizer, reader);
  const rate = args.get("rate");
  const read = settingsOf(
    { kind, riemannian },
    rate ? rateOfGroup(rate, page.rate, reader) : page.rate,
    args,
    { ...DEFAULTS[kind], decay: page.decay, ...(kind === page.kind ? page : {}) },
    reader,
  );
  return read && { optimizer: read, decaysAll: args.has("decay") };
}

/** What an optimizer is called on a page. */
const nameOf = ({ kind, riemannian }: OptimizerName): string =>
  Object.entries(OPTIMIZERS).find(([, other]) => other.kind === kind && other.riemannian === riemannian)?.[0] ?? kind;

/** Puts a setting of a group among the arguments of its optimizer, which may not say it too. */
function setInGroup(args: Map<string, Expr>, name: string, value: Expr, optimizer: string, reader: Reader): void {
  const names = SETTINGS_OF[mustValue(OPTIMIZERS, optimizer).kind];
  if (args.has(name)) reader.report(diagnostic("MHC202", value.span, `\`${name}\` is set twice`));
  else if (names.includes(name)) args.set(name, value);
  else if (OPTIMIZER_SETTINGS.includes(name)) reader.report(lacks(optimizer, names, name, value));
}

/** An optimizer without a setting. `names`: those that it has. */
const lacks = (optimizer: string, names: readonly string[], setting: string, { span }: Expr): Diagnostic =>
  diagnostic("MHC501", span, `\`${optimizer}\` has no \`${setting}\``, {
    fix: `it has ${names.map((name) => `\`${name}\``).join(", ")}`,
  });

/** A rate of a group: in percent, a part of the page's. */
function rateOfGroup(e: Expr, page: RateSettings, reader: Reader): RateSettings | null {
  if (e.kind !== "number" || !e.percent) return readRate(e, reader);
  if (e.value > 0) return scaledSchedule(page, e.value);
  reader.report(
    diagnostic("MHC502", e.span, "a rate of 0% changes nothing", { fix: "freeze the parameters: `freeze …`" }),
  );
  return null;
}

/** Puts the flags that are no settings of `train` in place of the arguments. `names`: what the optimizer takes. */
function override(
  args: Map<string, Expr>,
  overrides: Overrides,
  optimizer: string,
  names: readonly string[],
  reader: Reader,
): void {
  const ofTrain: readonly string[] = [...TRAIN_SETTINGS, "memory"];
  for (const [setting, value] of overrides) {
    if (ofTrain.includes(setting) || value.kind === "every") continue;
    if (names.includes(setting)) args.set(setting, value);
    else reader.report(lacks(optimizer, names, setting, value));
  }
}

/** What an optimizer is where nothing is said. */
interface Defaults {
  readonly decay: number;
  readonly momentum: number;
  readonly nesterov: boolean;
  readonly betas: readonly [number, number];
  readonly epsilon: number;
}

const DEFAULTS: Readonly<Record<OptimizerSettings["kind"], Defaults>> = {
  adamw: { decay: 0, momentum: 0, nesterov: false, betas: [0.9, 0.999], epsilon: 1e-8 },
  sgd: { decay: 0, momentum: 0, nesterov: false, betas: [0.9, 0.999], epsilon: 1e-8 },
  muon: { decay: 0, momentum: 0.95, nesterov: true, betas: [0.9, 0.95], epsilon: 1e-8 },
};

/** The settings of an optimizer, with `defaults` where `args` do not say; null when one is wrong. */
function settingsOf(
  { kind, riemannian }: OptimizerName,
  rate: RateSettings | null,
  args: ReadonlyMap<string, Expr>,
  defaults: Defaults,
  reader: Reader,
): OptimizerSettings | null {
  const numberOf = (name: "decay" | "momentum" | "epsilon"): number | null => {
    const value = args.get(name);
    return value ? numberWithin(reader, name, value) : defaults[name];
  };
  const decay = numberOf("decay");
  if (kind === "sgd") {
    const momentum = numberOf("momentum");
    return rate && decay !== null && momentum !== null ? { kind, riemannian, rate, momentum, decay } : null;
  }
  const epsilon = numberOf("epsilon");
  const betas = readBetas(args.get("betas"), defaults.betas, reader);
  if (kind === "adamw")
    return rate && decay !== null && epsilon !== null && betas
      ? { kind, riemannian, rate, betas, epsilon, decay }
      : null;
  const momentum = numberOf("momentum");
  const nesterov = readTruth("nesterov", args.get("nesterov"), defaults.nesterov, reader);
  return rate && decay !== null && epsilon !== null && betas && momentum !== null && nesterov !== null
    ? { kind, riemannian, rate, momentum, nesterov, betas, epsilon, decay }
    : null;
}

const readRate = (e: Expr, reader: Reader): RateSettings | null =>
  readSchedule(e, "rates", reader, (name, end) => numberWithin(reader, name, end));

function readBetas(
  e: Expr | undefined,
  otherwise: readonly [number, number],
  reader: Reader,
): readonly [number, number] | null {
  if (!e) return otherwise;
  const [first, second, ...more] = e.kind === "tuple" ? e.items : [];
  if (!first || !second || more.length) {
    reader.report(diagnostic("MHC502", e.span, "`betas` are two numbers: `betas = (0.9, 0.99)`"));
    return null;
  }
  const [beta1, beta2] = [numberWithin(reader, "beta", first), numberWithin(reader, "beta", second)];
  return beta1 === null || beta2 === null ? null : [beta1, beta2];
}

function readTruth(name: string, e: Expr | undefined, otherwise: boolean, reader: Reader): boolean | null {
  if (!e) return otherwise;
  const word = e.kind === "path" ? dotted(e) : "";
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
