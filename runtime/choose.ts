/**
 * Which units stay when a model shrinks, and the plan of what they make. Units are chosen by the logits of their gates
 * until the budgets are used, at the prices of the plan; what a smaller plan really costs is known when it is compiled,
 * which is the business of whoever has a compiler: a trainer is handed a function for it.
 */
import { DataError } from "./errors.js";
import { mustAt, mustGet } from "./lookup.js";
import { GAMMA, PINNED, ZETA, type CostInfo, type Kept, type Plan, type ShrinkInfo, type SlotInfo } from "./plan.js";
import { chunkOf, costShare, fewest } from "./prices.js";
import { mustValue, recordOf, valueAt } from "./records.js";

/** The logit at which a gate is 0 without noise: sigmoid(a) (zeta - gamma) = -gamma. */
const SHUT = Math.log(-GAMMA / ZETA);

/** Units of a slot that are opened together, by their places in it, and how much they are needed. */
interface UnitGroup {
  readonly slot: SlotInfo;
  readonly units: readonly number[];
  /** The mean of their logits. */
  readonly rank: number;
}

/** A choice of units while it is made: what is open is added to, group by group. */
interface UnitChoice {
  readonly prices: ShrinkInfo["prices"];
  /** Shares of the dense model's cost, by measure. */
  readonly targets: ReadonlyMap<string, number>;
  /** Units of the dense model, by slot. */
  readonly sizes: ReadonlyMap<string, number>;
  /** Places of the open units, by slot. */
  readonly open: Map<string, readonly number[]>;
  /** Groups inside of a layer that is not open yet, by the layer's slot. */
  readonly waiting: Map<string, UnitGroup[]>;
}

/**
 * The units to keep: those with the largest logits, as many as the budgets take (`targets`: shares by measure); without
 * a budget those that are not shut without noise. Of many units neighbours in rank go together, so that rows of vectors
 * are whole. `layers`: so many of them are opened before anything else, where a few thin ones fill a budget better than
 * what they would be left out for.
 */
export function decide(
  { slots, prices }: ShrinkInfo,
  logits: ArrayLike<number>,
  targets: ReadonlyMap<string, number>,
  layers = 0,
): Kept {
  const ranked = slots.map((slot) => ({ slot, order: rankedUnits(slot, logits) }));
  const choice: UnitChoice = {
    prices,
    targets,
    sizes: sizesOf(slots),
    open: new Map(ranked.map(({ slot, order }) => [slot.name, order.slice(0, fewest(slot))])),
    waiting: new Map(),
  };
  // An equal rank (at the ends, where logits stay) goes to what holds more: a layer, then its parts.
  const groups = ranked
    .flatMap(({ slot, order }) => groupsOf(slot, order.slice(fewest(slot)), logits))
    .sort((a, b) => b.rank - a.rank || (a.slot.kind === b.slot.kind ? 0 : a.slot.kind === "layer" ? -1 : 1));
  const first = groups.filter(({ slot, rank }) => slot.kind === "layer" && rank > -PINNED / 2).slice(0, layers);
  for (const group of first) tryOpen(choice, group);
  for (const group of groups) {
    if (first.includes(group)) continue;
    // What has been closed for good stays so.
    if (group.rank >= -PINNED / 2 && (targets.size || group.rank > SHUT)) admit(choice, group);
  }
  return keptOf(slots, choice.open);
}

/** Places of a slot's units, the most needed first. */
const rankedUnits = ({ kept, offset }: SlotInfo, logits: ArrayLike<number>): readonly number[] =>
  kept.map((_, i) => i).sort((a, b) => mustAt(logits, offset + b) - mustAt(logits, offset + a) || a - b);

/** Units in the order of their ranks, in groups of neighbours. */
function groupsOf(slot: SlotInfo, order: readonly number[], logits: ArrayLike<number>): readonly UnitGroup[] {
  const chunk = chunkOf(slot);
  return Array.from({ length: Math.ceil(order.length / chunk) }, (_, i) => {
    const units = order.slice(i * chunk, (i + 1) * chunk);
    const sum = units.reduce((total, unit) => total + mustAt(logits, slot.offset + unit), 0);
    return { slot, units, rank: sum / units.length };
  });
}

const sizesOf = (slots: readonly SlotInfo[]): ReadonlyMap<string, number> =>
  new Map(slots.map(({ name, size }) => [name, size]));

/** Opens a group where the budgets take it. */
function tryOpen({ prices, targets, sizes, open }: UnitChoice, { slot, units }: UnitGroup): void {
  const before = mustGet(open, slot.name);
  open.set(slot.name, [...before, ...units]);
  const shareOf = (name: string): number => (open.get(name)?.length ?? 0) / (sizes.get(name) ?? 1);
  const fits = [...targets].every(([measure, share]) => costShare(prices, measure, shareOf) <= share);
  if (!fits) open.set(slot.name, before);
}

/**
 * Opens a group in its turn. A group inside of a layer waits until the layer is open: a layer is opened with the least
 * that it can have, and filled.
 */
function admit(choice: UnitChoice, group: UnitGroup): void {
  const { open, waiting } = choice;
  const { name, kind, layer } = group.slot;
  if (layer !== null && mustGet(open, layer).length === 0)
    return void waiting.set(layer, [...(waiting.get(layer) ?? []), group]);
  tryOpen(choice, group);
  if (kind !== "layer" || mustGet(open, name).length === 0) return;
  const inner = waiting.get(name) ?? [];
  waiting.delete(name);
  for (const waited of inner) admit(choice, waited);
}

/** What is open, by the numbers that units have in the dense model; slots of layers that are gone are left out. */
function keptOf(slots: readonly SlotInfo[], open: ReadonlyMap<string, readonly number[]>): Kept {
  const around = new Map(slots.map(({ name, layer }) => [name, layer]));
  const isGone = (name: string | null): boolean =>
    name !== null && (mustGet(open, name).length === 0 || isGone(mustGet(around, name)));
  return recordOf(
    slots
      .filter(({ layer }) => !isGone(layer))
      .map(({ name, kept }) => [
        name,
        mustGet(open, name)
          .map((i) => mustAt(kept, i))
          .sort((a, b) => a - b),
      ]),
  );
}

/** Compiles a page without the units that are gone: the plan of the smaller step. */
export type Recompile = (shrunk: {
  readonly kept: Kept;
  readonly settled: true;
  readonly dense: Readonly<Record<string, number>>;
  readonly profile: string;
}) => Promise<Plan>;

/** A plan is near enough its budget from here on: a unit more may cost too much. */
const NEAR = 0.98;
/** Aimed at of what a plan may cost, once it is known how far prices and plans differ. */
const MARGIN = 0.997;
const TRIES = 5;
/** With less than this of a budget used, a thinner layer more is tried. */
const ENOUGH = 0.97;
/** With more than this of a budget used, it is not met. */
const BEYOND = 1.03;

/** A plan that was compiled for a choice of units. */
interface Attempt {
  readonly plan: Plan;
  /** How much of its tightest budget the plan uses: 1 is all of it. */
  readonly used: number;
  readonly kept: Kept;
}

/** What a plan that shrinks is decided by. */
interface Decision {
  readonly shrinking: ShrinkInfo;
  readonly cost: CostInfo;
  readonly logits: ArrayLike<number>;
  readonly recompile: Recompile;
  /** Choices that were compiled, as JSON. */
  readonly tried: Set<string>;
  /** The nearest to the budgets from below; where none is, from above. */
  best: Attempt | null;
}

/** What gates are decided for: a plan that shrinks, with its costs. Throws an Error where it is none. */
function mustShrink({ shrinking, cost }: Pick<Plan, "shrinking" | "cost">): Pick<Decision, "shrinking" | "cost"> {
  if (shrinking && cost) return { shrinking, cost };
  throw new Error("bug: a plan whose gates are to be decided has none, or no cost");
}

/** The part that each measure costs in a plan, of what a budget allows. */
const shareIn = ({ cost }: Plan, measure: string): number => mustValue(cost?.share ?? {}, measure);

/**
 * The plan of the units to keep. What a plan costs and what the prices said differ by a little; then the units are
 * chosen again by what they said wrong. Throws DataError when no plan that was found meets the budgets.
 */
export async function decided(
  plan: Pick<Plan, "shrinking" | "cost">,
  logits: ArrayLike<number>,
  recompile: Recompile,
): Promise<Plan> {
  const decision: Decision = { ...mustShrink(plan), logits, recompile, tried: new Set(), best: null };
  const { budgets, slots } = decision.shrinking;
  const near = await aim(decision, 0);
  if (!budgets.length || (near.used >= ENOUGH && near.used <= 1)) return near.plan;
  const layers = slots.filter(({ name, kind }) => kind === "layer" && (valueAt(near.kept, name)?.length ?? 0) > 0);
  const nearest = await aim(decision, layers.length + 1);
  if (nearest.used <= BEYOND) return nearest.plan;
  const words = budgets.map(
    ({ measure, share }) =>
      `${measure} ${percent(shareIn(nearest.plan, measure))} where ${percent(share)} are asked for`,
  );
  throw new DataError(
    `the budget cannot be met: the smallest plan that was found takes ${words.join(", ")}`,
    "let more be shrunk (layers above all), or ask for less",
  );
}

/** Compiles choices of units, each nearer to the budgets, with `layers` opened first; gives the best so far. */
async function aim(decision: Decision, layers: number): Promise<Attempt> {
  const { shrinking, cost, logits, recompile, tried } = decision;
  const { budgets, prices, slots } = shrinking;
  const sizes = sizesOf(slots);
  let targets = new Map(budgets.map(({ measure, share }) => [measure, share]));
  for (let i = 0; i < TRIES; i++) {
    const kept = decide(shrinking, logits, targets, layers);
    const text = JSON.stringify(kept);
    if (decision.best && tried.has(text)) break;
    tried.add(text);
    const plan = await recompile({ kept, settled: true, dense: cost.dense, profile: cost.profile });
    const used = Math.max(0, ...budgets.map(({ measure, share }) => shareIn(plan, measure) / share));
    if (isBetter(used, decision.best)) decision.best = { plan, used, kept };
    if (!budgets.length || (used >= NEAR && used <= 1)) break;
    const open = (name: string): number => (valueAt(kept, name)?.length ?? 0) / mustGet(sizes, name);
    targets = new Map(
      budgets.map(({ measure, share }) => [
        measure,
        (MARGIN * share * costShare(prices, measure, open)) / shareIn(plan, measure),
      ]),
    );
  }
  if (!decision.best) throw new Error("bug: no choice of units was compiled");
  return decision.best;
}

/** Whether a plan that uses so much of the budgets is nearer to them than the best so far. */
const isBetter = (used: number, best: Attempt | null): boolean =>
  !best || (used <= 1 ? best.used > 1 || used > best.used : used < best.used);

const percent = (share: number): string => `${(100 * share).toFixed(1)}%`;

/** Gates that are being decided. */
export interface Closing {
  /**
   * The plan that comes next, and the milliseconds that it took; without a compiler the plan as it is, with the units
   * to keep.
   */
  readonly next: Promise<{ readonly plan: Plan; readonly ms: number }>;
}

/** Begins to decide gates by their logits, in the background where the compiler works there. */
export function deciding(plan: Plan, logits: ArrayLike<number>, recompile: Recompile | undefined): Closing {
  const begun = performance.now();
  const next = (recompile ? decided(plan, logits, recompile) : Promise.resolve(masked(plan, logits))).then(
    (smaller) => ({ plan: smaller, ms: performance.now() - begun }),
  );
  // Whoever waits for it is told when it failed; until then nobody does.
  next.catch(() => undefined);
  return { next };
}

/** The plan as it is, with the units to keep and what they would cost. */
function masked(plan: Plan, logits: ArrayLike<number>): Plan {
  const { shrinking, cost } = mustShrink(plan);
  const { budgets, slots, prices } = shrinking;
  const kept = decide(shrinking, logits, new Map(budgets.map(({ measure, share }) => [measure, share])));
  const sizes = sizesOf(slots);
  const shareOf = (name: string): number => (valueAt(kept, name)?.length ?? 0) / mustGet(sizes, name);
  const share = recordOf(Object.keys(cost.share).map((measure) => [measure, costShare(prices, measure, shareOf)]));
  return { ...plan, kept, cost: { ...cost, share } };
}
