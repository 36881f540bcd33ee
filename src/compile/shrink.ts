/**
 * What a page with a `cost` section is compiled to: the profile that counts, what the dense model costs and what the
 * plan does, and, while units may still be switched off, their gates and prices. A budget that no choice of units can
 * meet is an error that says the least that can be had.
 */
import type { Span } from "../diagnostics/span.js";
import { printerOf } from "../../codegen/registry.js";
import type { KernelPrinter } from "../../codegen/target.js";
import type { Kept, Plan, ShrinkInfo } from "../../runtime/plan.js";
import { leastShare } from "../../runtime/prices.js";
import type { DeviceName } from "../../runtime/registry.js";
import { costsOf } from "../cost/cost.js";
import type { DeviceProfile } from "../cost/profile.js";
import { likestTo, profiles } from "../cost/profiles.js";
import type { KernelProfile } from "../kernel/profile.js";
import type { Diagnostic } from "../diagnostics/diagnostic.js";
import { nearest } from "../diagnostics/suggest.js";
import { diagnostic } from "../diagnostics/table.js";
import type { Shrinking } from "../step/hard-concrete.js";
import { gateSlots } from "../model/lower/slots.js";
import { MEASURES, type CostSettings, type TrainSettings, type TypedModel } from "../model/typed.js";
import { planModel } from "./pipeline.js";
import { measuresOf, pricesOf, type Counted } from "./prices.js";
import { mustValue, recordOf } from "../../runtime/records.js";
import { profileWith } from "./targets.js";

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

/** What a page that shrinks is compiled with. */
export interface ShrinkOptions {
  readonly devices?: readonly (DeviceName | KernelPrinter)[];
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
  { devices, profiles: own = [], shrunk }: ShrinkOptions,
): DeviceProfile | Diagnostic {
  const candidates = [...own, ...profiles];
  const name = shrunk?.profile ?? device?.name ?? likestTo(kindOf(devices?.[0])).name;
  const match = candidates.find((profile) => profile.name === name);
  if (match) return match;
  const names = candidates.map((profile) => profile.name);
  const guess = nearest(name, names);
  return diagnostic("MHC501", device?.span ?? span, `there is no device profile \`${name}\``, {
    fix: guess ? `did you mean \`${guess}\`?` : `there are ${names.join(", ")}`,
  });
}

/** Whose kernels a device runs; a CPU's where none is said. */
function kindOf(device: DeviceName | KernelPrinter | undefined): KernelProfile["kind"] {
  if (device === undefined) return "cpu";
  return (typeof device === "string" ? printerOf(device) : device).profile.kind;
}

/** A page that shrinks, and what its step is counted by. */
interface ShrinkingPage {
  readonly model: TypedModel;
  readonly cost: CostSettings;
  readonly train: TrainSettings;
  readonly profile: DeviceProfile;
  /** Plans the page with the units that are left, and counts its step. */
  readonly count: (kept: Kept) => Counted;
}

/** Null for a page that asks for no saving. */
export async function shrinking(model: TypedModel, options: ShrinkOptions): Promise<Shrinks | Diagnostic | null> {
  const { cost, train } = model;
  const { shrunk, place } = options;
  if (!cost?.gates.length || !train) {
    // A run that has shrunk is of a page that shrinks.
    return shrunk
      ? notOfThisPage(cost?.span ?? place, "what is left of a run is asked for, and this page shrinks nothing")
      : null;
  }
  const profile = profileOf(cost, options);
  if ("code" in profile) return profile;
  const page: ShrinkingPage = { model, cost, train, profile, count: counterOf(model, train, profile) };
  return shrunk ? (strayUnits(page, shrunk.kept) ?? settled(page, shrunk)) : closing(page);
}

const notOfThisPage = (span: Span, message: string): Diagnostic =>
  diagnostic("MHC505", span, message, { fix: "take the page that the run was of" });

/** What plans the training step of a page for a profile, and counts it there. */
function counterOf(model: TypedModel, train: TrainSettings, profile: DeviceProfile): ShrinkingPage["count"] {
  const kernels = profileWith(printerOf(profile.device).profile, profile.kernels ?? {});
  // Counted as it is trained, but for half precision on a profile whose kernels have none.
  const trained =
    train.precision?.word === "f16" && !kernels.half ? { ...model, train: { ...train, precision: null } } : model;
  return (kept) => {
    const { entries, fitted, schedule } = planModel(trained, {
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
}

/** Why what a run has kept is not of this page: a slot that it has not, or fewer units of. Null when it is. */
function strayUnits({ model, cost }: ShrinkingPage, kept: Kept): Diagnostic | null {
  const { slots } = gateSlots(model, {});
  const isOfPage = ([name, units]: readonly [string, readonly number[]]): boolean =>
    slots.some(
      (slot) => slot.name === name && units.every((unit) => Number.isInteger(unit) && unit >= 0 && unit < slot.size),
    );
  const stray = Object.entries(kept).find((entry) => !isOfPage(entry));
  if (!stray) return null;
  const [name] = stray;
  return notOfThisPage(
    cost.span,
    `what is left of the run is not of this page: it keeps units of \`${name}\`, which the page ` +
      `${slots.some((slot) => slot.name === name) ? "has fewer of" : "does not shrink"}`,
  );
}

/** A page of which units are left that may not close any more. */
function settled({ profile, count }: ShrinkingPage, { kept, dense: denseOfRun }: Shrunk): Shrinks {
  const dense = denseOfRun ?? measuresOf(count({}).costs.total);
  const costs = measuresOf(count(kept).costs.total);
  const share = recordOf(MEASURES.map((measure) => [measure, costs[measure] / mustValue(dense, measure)]));
  return { kept, gates: null, info: { kept, cost: { profile: profile.name, dense, share }, settled: true } };
}

/** A page whose units may still close; an error when a budget of it cannot be reached. */
function closing({ model, cost, train, profile, count }: ShrinkingPage): Shrinks | Diagnostic {
  const { slots, words } = gateSlots(model, {});
  const kept = recordOf(slots.map(({ name, kept: units }) => [name, units]));
  const { polynomial, dense } = pricesOf(model, count);
  const { weights, budgets, by } = cost;
  const until = Math.max(1, Math.round(train.steps * cost.within));
  const info: ShrinkInfo = {
    slots,
    prices: { names: polynomial.slots, terms: polynomial.terms, coefficients: polynomial.coefficients },
    budgets: budgets.map(({ measure, share }) => ({ measure, share })),
    decided: Math.max(1, Math.round(until * DECIDED)),
    until,
    by,
  };
  const unreachable = unreachableBudget(info, budgets);
  if (unreachable) return unreachable;
  // The budget has fallen before the gates are decided, so that they have settled by then.
  const objective = { weights, budgets, until: Math.max(1, Math.round(until * RAMP)) };
  const share = { flops: 1, bytes: 1, energy: 1, time: 1 };
  return {
    kept,
    gates: by === "magnitude" ? null : { slots, words, prices: polynomial, objective },
    info: { kept, cost: { profile: profile.name, dense, share }, shrinking: info },
  };
}

/** The first budget that no choice of units meets, with the least that can be had; null when all can be met. */
function unreachableBudget(info: ShrinkInfo, budgets: CostSettings["budgets"]): Diagnostic | null {
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
  return null;
}

/**
 * The part of the gates' time in which the budget falls, and that after which they are decided; in what is left of it
 * the smaller step is compiled.
 */
const RAMP = 0.6;
const DECIDED = 0.9;

const percent = (share: number, round = (x: number): number => x): string => `${round(share * 1000) / 10}%`;
