/**
 * Optimizers, each with its settings and their defaults: Adam with decoupled decay, stochastic descent with momentum,
 * and Muon for matrices with AdamW for the rest; those that begin with `r` move along manifolds (Bécigneul and Ganea,
 * ICLR 2019). `docs/optimizers.md` has the formulas.
 */
import type { Expr } from "../../../grammar/ast.js";
import { valueAt } from "../../../runtime/records.js";
import { diagnostic } from "../../diagnostics/table.js";
import type { OptimizerSettings } from "../typed.js";
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
  const names = SETTINGS_OF[optimizer.kind];
  const args = namedArguments(argumentsOf(e), { names, order: ["rate"], what: `\`${name}\`` }, reader);
  override(args, overrides, name, names, reader);
  const rate = args.get("rate");
  if (rate) return settingsOf(optimizer, rate, args, reader);
  if (!args.has("?rate"))
    reader.report(
      diagnostic("MHC503", e.span, `\`${name}\` needs a rate`, {
        fix: `write \`${name}(rate = 1e-3)\` or \`${name}(rate = cosine(1e-3, 1e-4, warmup = 100))\``,
      }),
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
    else
      reader.report(
        diagnostic("MHC501", value.span, `\`${optimizer}\` has no \`${setting}\``, {
          fix: `it has ${names.map((name) => `\`${name}\``).join(", ")}`,
        }),
      );
  }
}

function settingsOf(
  { kind, riemannian }: OptimizerName,
  rateExpr: Expr,
  args: ReadonlyMap<string, Expr>,
  reader: Reader,
): OptimizerSettings | null {
  const numberOf = (name: "decay" | "momentum" | "epsilon", otherwise: number): number | null => {
    const value = args.get(name);
    return value ? numberWithin(reader, name, value) : otherwise;
  };
  const rate = readSchedule(rateExpr, "rates", reader, (name, e) => numberWithin(reader, name, e));
  const decay = numberOf("decay", 0);
  if (kind === "sgd") {
    const momentum = numberOf("momentum", 0);
    return rate && decay !== null && momentum !== null ? { kind, riemannian, rate, momentum, decay } : null;
  }
  const epsilon = numberOf("epsilon", 1e-8);
  const betas = readBetas(args.get("betas"), kind === "muon" ? [0.9, 0.95] : [0.9, 0.999], reader);
  if (kind === "adamw")
    return rate && decay !== null && epsilon !== null && betas
      ? { kind, riemannian, rate, betas, epsilon, decay }
      : null;
  const momentum = numberOf("momentum", 0.95);
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
