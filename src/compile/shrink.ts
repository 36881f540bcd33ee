/**
 * What a page with a `cost` section is compiled to: the profile that counts, what the dense model costs and what the
 * plan does, and, while units may still be switched off, their gates and prices. A budget that no choice of units can
 * meet is an error that says the least that can be had.
 */
import type { Span } from "../diagnostics/span.js";
import { printers } from "../../codegen/registry.js";
import type { KernelPrinter } from "../../codegen/target.js";
import type { Kept, Plan, ShrinkInfo } from "../../runtime/plan.js";
import { leastShare } from "../../runtime/prices.js";
import { costsOf } from "../cost/cost.js";
import type { DeviceProfile } from "../cost/profile.js";
import { profiles } from "../cost/profiles.js";
import type { Diagnostic } from "../diagnostics/diagnostic.js";
import { nearest } from "../diagnostics/suggest.js";
import { diagnostic } from "../diagnostics/table.js";
import type { Shrinking } from "../step/hard-concrete.js";
import { gateSlots } from "../model/lower/slots.js";
import { MEASURES, type CostSettings, type Measure, type TypedModel } from "../model/typed.js";
import { planModel } from "./pipeline.js";
import { measuresOf, pricesOf, type Counted } from "./prices.js";
import { recordOf } from "../../runtime/records.js";

/** How far a page has shrunk. */
export interface Shrunk {
  /** Units by slot, as a plan's `kept` has them. */
  readonly kept: Kept;
  /** Nothing more may close: the step has no gates. */
  readonly settled: true;
  /**
   * The cost of the dense model, and on which profile, when it is known, as a plan's `cost` has it: counting it takes a
   * plan.
   */
  readonly dense?: Readonly<Record<string, number>>;
  readonly profile?: string;
}

interface Options {
  readonly devices?: readonly ("wasm" | "webgpu" | "javascript" | KernelPrinter)[];
  readonly profiles?: readonly DeviceProfile[];
  readonly shrunk?: Shrunk;
  /** Where errors stand that are of no place of the page. */
  readonly place: Span;
}

/**
 * What a page with a `cost` section is compiled to: the units that are left, what training asks of gates that may still
 * close (null when none may), and what the plan says of it.
 */
export interface Shrinks {
  readonly kept: Kept;
  readonly gates: Shrinking | null;
  readonly info: Pick<Plan, "kept" | "cost" | "shrinking" | "settled">;
}

/** The profile that a page's cost is counted on; without `device` that of the first device it is compiled for. */
export function profileOf(
  { device, span }: CostSettings,
  { devices, profiles: own = [], shrunk }: Options,
): DeviceProfile | Diagnostic {
  const all = [...own, ...profiles];
  const name = shrunk?.profile ?? device?.name ?? (devices?.[0] === "webgpu" ? "laptop" : "cpu");
  const found = all.find((profile) => profile.name === name);
  if (found) return found;
  const names = all.map((profile) => profile.name);
  const guess = nearest(name, names);
  return diagnostic("MHC501", device?.span ?? span, `there is no device profile \`${name}\``, {
    fix: guess ? `did you mean \`${guess}\`?` : `there are ${names.join(", ")}`,
  });
}

/** Null for a page that asks for no saving. */
export async function shrinking(model: TypedModel, options: Options): Promise<Shrinks | Diagnostic | null> {
  const { cost, train } = model;
  if (!cost?.gates.length || !train) {
    // What is left of a run is of a page that shrinks.
    return options.shrunk
      ? diagnostic(
          "MHC505",
          cost?.span ?? options.place,
          "what is left of a run is asked for, and this page shrinks nothing",
          { fix: "take the page that the run was of" },
        )
      : null;
  }
  const profile = profileOf(cost, options);
  if ("code" in profile) return profile;
  const { profile: target } = printers[profile.device];
  const kernels = profile.kernels ? { ...target, choices: profile.kernels } : target;
  // Counted as it is trained, but for half precision on a profile whose kernels have none.
  const counted = train.half && !kernels.half ? { ...model, train: { ...train, half: null } } : model;
  const count = (kept: Kept): Counted => {
    const { entries, fitted, schedule } = planModel(counted, {
      entries: { monitors: false, stepOnly: true, kept },
      profiles: [kernels],
      room: null,
    });
    // What does not fit is said of the plan itself.
    const [scheduled] = "code" in fitted ? schedule(entries.graphs) : fitted.scheduled;
    return {
      costs: costsOf(scheduled?.accounts("train") ?? [], profile),
      parameters: entries.lowered.parameters,
    };
  };
  const { shrunk } = options;
  const all = gateSlots(model, {}).slots;
  const stray = Object.entries(shrunk?.kept ?? {}).find(
    ([name, units]) =>
      !all.some(
        (slot) => slot.name === name && units.every((unit) => Number.isInteger(unit) && unit >= 0 && unit < slot.size),
      ),
  );
  if (stray)
    return diagnostic(
      "MHC505",
      cost.span,
      `what is left of the run is not of this page: it keeps units of \`${stray[0]}\`, which the page ` +
        `${all.some(({ name }) => name === stray[0]) ? "has fewer of" : "does not shrink"}`,
      { fix: "take the page that the run was of" },
    );
  const { slots, words } = gateSlots(model, shrunk?.kept ?? {});
  const kept = shrunk?.kept ?? recordOf(slots.map(({ name, kept: units }) => [name, units]));
  const shareOf = (counted: Counted, dense: Readonly<Record<string, number>>): Record<Measure, number> => {
    const own = measuresOf(counted.costs.total);
    return recordOf(MEASURES.map((measure) => [measure, own[measure] / dense[measure]!]));
  };
  if (shrunk) {
    const whole = shrunk.dense ?? measuresOf(count({}).costs.total);
    return {
      kept,
      gates: null,
      info: { kept, cost: { profile: profile.name, dense: whole, share: shareOf(count(kept), whole) }, settled: true },
    };
  }
  const { polynomial, dense: whole } = pricesOf(model, count);
  const share = { flops: 1, bytes: 1, energy: 1, time: 1 };
  const { weights, budgets, within } = cost;
  const until = Math.max(1, Math.round(train.steps * within));
  const info: ShrinkInfo = {
    slots,
    prices: { names: polynomial.slots, terms: polynomial.terms, coefficients: polynomial.coefficients },
    budgets: budgets.map(({ measure, share: most }) => ({ measure, share: most })),
    decided: Math.max(1, Math.round(until * DECIDED)),
    until,
    by: cost.by,
  };
  for (const { measure, share: most, span } of budgets) {
    const least = leastShare(info, measure);
    if (least > most)
      return diagnostic(
        "MHC504",
        span,
        `${percent(most)} of the dense model's ${measure} cannot be reached: with all that may be switched ` +
          `off, ${percent(least, Math.ceil)} are left`,
        { fix: "let more be shrunk (layers above all), or ask for less" },
      );
  }
  // The budget has fallen before the gates are decided, so that they have settled by then.
  const objective = { weights, budgets, until: Math.max(1, Math.round(until * RAMP)) };
  return {
    kept,
    gates: cost.by === "magnitude" ? null : { slots, words, prices: polynomial, objective },
    info: { kept, cost: { profile: profile.name, dense: whole, share }, shrinking: info },
  };
}

/**
 * The part of the gates' time in which the budget falls, and that after which they are decided; in what is left of it
 * the smaller step is compiled.
 */
const RAMP = 0.6;
const DECIDED = 0.9;

const percent = (share: number, round = (x: number): number => x): string => `${round(share * 1000) / 10}%`;
