/**
 * Shrinking on the host's side: which gates a model begins with, which units are kept when the time comes, and how
 * tensors are cut to them. Compiling the smaller step is the business of whoever has a compiler; a trainer is handed a
 * function for it.
 */
import { DataError } from "./errors.js";
import {
  GAMMA,
  PINNED,
  ZETA,
  type Kept,
  type ParameterInfo,
  type Plan,
  type ShrinkInfo,
  type SlotInfo,
} from "./plan.js";
import { chunkOf, costShare, fewest } from "./prices.js";
import { recordOf, valueAt } from "./records.js";

/** The logit at which a gate is 0 without noise: sigmoid(a) (zeta - gamma) = -gamma. */
const SHUT = Math.log(-GAMMA / ZETA);

/**
 * Vectors of gates at the start: open in the slots and pinned shut between them; and the numbers of the units, which
 * their noise is drawn by.
 */
export function firstGates(
  { slots }: ShrinkInfo,
  words: number,
  start: number,
): { readonly logits: Float32Array; readonly units: Float32Array } {
  const logits = new Float32Array(words).fill(-PINNED);
  const units = new Float32Array(words);
  let first = 0;
  for (const { size, offset } of slots) {
    logits.fill(start, offset, offset + size);
    for (let i = 0; i < size; i++) units[offset + i] = first + i;
    first += size;
  }
  return { logits, units };
}

/**
 * The units to keep: those with the largest logits, as many as the budgets take (`targets`: shares by measure); without
 * a budget those that are not shut without noise. Of many units neighbours in rank go together, so that rows of vectors
 * are whole. `layers`: so many of them are opened before anything else, where a few thin ones fill a budget better than
 * what they would be left out for.
 */
export function decide(
  info: ShrinkInfo,
  logits: ArrayLike<number>,
  targets: ReadonlyMap<string, number>,
  layers = 0,
): Kept {
  interface Group {
    readonly slot: SlotInfo;
    readonly units: readonly number[];
    readonly rank: number;
  }
  const { slots, prices } = info;
  const ranked = new Map(
    slots.map((slot) => [
      slot.name,
      slot.kept.map((_, i) => i).sort((a, b) => logits[slot.offset + b]! - logits[slot.offset + a]! || a - b),
    ]),
  );
  const open = new Map<string, number[]>(
    slots.map((slot) => [slot.name, ranked.get(slot.name)!.slice(0, fewest(slot))]),
  );
  const groups = slots.flatMap((slot): Group[] => {
    const order = ranked.get(slot.name)!.slice(fewest(slot));
    const chunk = chunkOf(slot);
    return Array.from({ length: Math.ceil(order.length / chunk) }, (_, i) => {
      const units = order.slice(i * chunk, (i + 1) * chunk);
      return { slot, units, rank: units.reduce((sum, unit) => sum + logits[slot.offset + unit]!, 0) / units.length };
    });
  });
  const sizes = new Map(slots.map((slot) => [slot.name, slot.size]));
  const fits = (): boolean =>
    [...targets].every(
      ([measure, share]) =>
        costShare(prices, measure, (name) => (open.get(name)?.length ?? 0) / (sizes.get(name) ?? 1)) <= share,
    );
  const tryOpen = ({ slot, units }: Group): void => {
    const before = open.get(slot.name)!;
    open.set(slot.name, [...before, ...units]);
    if (!fits()) open.set(slot.name, before);
  };
  // What is inside of a layer waits until it is open: a layer is opened with the least that it can have, and filled.
  const waiting = new Map<string, Group[]>();
  const admit = (group: Group): void => {
    const { slot } = group;
    if (slot.layer !== null && open.get(slot.layer)!.length === 0)
      return void waiting.set(slot.layer, [...(waiting.get(slot.layer) ?? []), group]);
    tryOpen(group);
    if (slot.kind !== "layer" || open.get(slot.name)!.length === 0) return;
    const inner = waiting.get(slot.name) ?? [];
    waiting.delete(slot.name);
    inner.forEach(admit);
  };
  // An equal rank (at the ends, where logits stay) goes to what holds more: a layer, then its parts.
  const ordered = groups.sort(
    (a, b) => b.rank - a.rank || (a.slot.kind === b.slot.kind ? 0 : a.slot.kind === "layer" ? -1 : 1),
  );
  const first = ordered.filter(({ slot, rank }) => slot.kind === "layer" && rank > -PINNED / 2).slice(0, layers);
  first.forEach(tryOpen);
  for (const group of ordered) {
    if (first.includes(group)) continue;
    // What has been closed for good stays so.
    if (group.rank >= -PINNED / 2 && (targets.size || group.rank > SHUT)) admit(group);
  }
  const around = new Map(slots.map(({ name, layer }) => [name, layer]));
  const gone = (name: string | null): boolean =>
    name !== null && (open.get(name)!.length === 0 || gone(around.get(name)!));
  return recordOf(
    slots.flatMap(({ name, layer, kept }) =>
      gone(layer)
        ? []
        : [
            [
              name,
              open
                .get(name)!
                .map((i) => kept[i]!)
                .sort((a, b) => a - b),
            ],
          ],
    ),
  );
}

/**
 * The units' ranks by magnitude, in the vector of gates: the root of the mean square of all parameters that go with a
 * unit (Li et al., Pruning filters for efficient convnets, ICLR 2017, with the mean in place of the sum, so that wide
 * and narrow ones compare), over the mean of that in the slots of its kind.
 */
export function magnitudes(
  { slots }: ShrinkInfo,
  parameters: readonly ParameterInfo[],
  values: (info: ParameterInfo) => Float32Array,
): Float64Array {
  const words = Math.max(...slots.map(({ offset, kept }) => offset + kept.length));
  const squares = new Float64Array(words);
  const counts = new Float64Array(words);
  const places = new Map(slots.map((slot) => [slot.name, slot]));
  for (const info of parameters) {
    const data = values(info);
    info.cuts?.forEach((cut, axis) => {
      const slot = cut && places.get(cut.slot);
      if (!slot || cut.pairs) return;
      const inner = info.shape.slice(axis + 1).reduce((product, size) => product * size, 1);
      data.forEach((x, i) => {
        const at = slot.offset + (Math.floor(i / inner) % slot.kept.length);
        squares[at]! += x * x;
        counts[at]!++;
      });
    });
  }
  const kindOf = ({ name }: SlotInfo): string => name.replace(/\.\d+(?=\.|$)/g, ".*");
  const ranks = squares.map((square, i) => (counts[i] ? Math.sqrt(square / counts[i]!) : 0));
  const means = new Map<string, { sum: number; count: number }>();
  for (const slot of slots) {
    const mean = means.get(kindOf(slot)) ?? { sum: 0, count: 0 };
    for (let i = 0; i < slot.kept.length; i++) mean.sum += ranks[slot.offset + i]!;
    mean.count += slot.kept.length;
    means.set(kindOf(slot), mean);
  }
  for (const slot of slots) {
    const { sum, count } = means.get(kindOf(slot))!;
    for (let i = 0; i < slot.kept.length; i++) ranks[slot.offset + i]! /= sum / count || 1;
  }
  return ranks;
}

/** Logits of gates that are all decided: those that are kept open, all others closed. */
export function pinned({ slots }: ShrinkInfo, kept: Kept, words: number): Float32Array {
  const logits = new Float32Array(words).fill(-PINNED);
  for (const { name, kept: units, offset } of slots) {
    const left = new Set(valueAt(kept, name) ?? []);
    units.forEach((unit, i) => {
      if (left.has(unit)) logits[offset + i] = PINNED;
    });
  }
  return logits;
}

/** Takes from a tensor of the plan before what is left of it in the plan after. */
export function cutTensor(
  data: Float32Array,
  before: Pick<ParameterInfo, "shape">,
  after: Pick<ParameterInfo, "shape" | "cuts">,
  units: { readonly before: Kept; readonly after: Kept },
): Float32Array {
  const cuts = after.cuts;
  if (!cuts) return data;
  const indices = after.shape.map((size, axis) => {
    const cut = cuts[axis];
    if (!cut) return Array.from({ length: size }, (_, i) => i);
    const had = valueAt(units.before, cut.slot)!;
    const own = valueAt(units.after, cut.slot)!.map((unit) => had.indexOf(unit));
    return cut.pairs ? own.flatMap((i) => own.map((j) => i * had.length + j)) : own;
  });
  const out = new Float32Array(after.shape.reduce((product, size) => product * size, 1));
  const strides = before.shape.map((_, axis) =>
    before.shape.slice(axis + 1).reduce((product, size) => product * size, 1),
  );
  let at = 0;
  const copy = (axis: number, from: number): void => {
    if (axis === indices.length) return void (out[at++] = data[from]!);
    for (const index of indices[axis]!) copy(axis + 1, from + index * strides[axis]!);
  };
  copy(0, 0);
  return out;
}

/** Compiles what is left of a page: the plan of the smaller step. */
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

/**
 * The plan of the units to keep. What a plan costs and what the prices said differ by a little; then the units are
 * chosen again by what they said wrong.
 */
export async function decided(
  { shrinking, cost }: Pick<Plan, "shrinking" | "cost">,
  logits: ArrayLike<number>,
  recompile: Recompile,
): Promise<Plan> {
  const { budgets, prices, slots } = shrinking!;
  const sizes = new Map(slots.map(({ name, size }) => [name, size]));
  let best: { readonly plan: Plan; readonly used: number; readonly kept: Kept } | null = null;
  const tried = new Set<string>();
  const aim = async (layers: number): Promise<void> => {
    let targets = new Map(budgets.map(({ measure, share }) => [measure, share]));
    for (let i = 0; i < TRIES; i++) {
      const kept = decide(shrinking!, logits, targets, layers);
      if (tried.has(JSON.stringify(kept))) return;
      tried.add(JSON.stringify(kept));
      const plan = await recompile({ kept, settled: true, dense: cost!.dense, profile: cost!.profile });
      // Of the budgets, the part that is used of the one that binds most.
      const used = Math.max(0, ...budgets.map(({ measure, share }) => valueAt(plan.cost!.share, measure)! / share));
      if (!best || (used <= 1 ? best.used > 1 || used > best.used : used < best.used)) best = { plan, used, kept };
      if (!budgets.length || (used >= NEAR && used <= 1)) return;
      const open = (name: string): number => (valueAt(kept, name)?.length ?? 0) / sizes.get(name)!;
      targets = new Map(
        budgets.map(({ measure, share }) => [
          measure,
          (MARGIN * share * costShare(prices, measure, open)) / valueAt(plan.cost!.share, measure)!,
        ]),
      );
    }
  };
  await aim(0);
  const { used, kept, plan } = best!;
  if (!budgets.length || (used >= ENOUGH && used <= 1)) return plan;
  await aim(slots.filter(({ name, kind }) => kind === "layer" && (valueAt(kept, name)?.length ?? 0) > 0).length + 1);
  const found = best!;
  if (found.used > BEYOND) {
    const words = budgets
      .map(
        ({ measure, share }) =>
          `${measure} ${percent(valueAt(found.plan.cost!.share, measure)!)} where ${percent(share)} are asked for`,
      )
      .join(", ");
    throw new DataError(
      `the budget cannot be met: the smallest plan that was found takes ${words}`,
      "let more be shrunk (layers above all), or ask for less",
    );
  }
  return found.plan;
}

const percent = (share: number): string => `${(100 * share).toFixed(1)}%`;

/** Gates that are being decided. */
export interface Closing {
  /**
   * What comes after, and the milliseconds that it took; without a compiler the plan as it is, with the units to keep.
   */
  readonly made: Promise<{ readonly plan: Plan; readonly ms: number }>;
}

export function deciding(plan: Plan, logits: ArrayLike<number>, recompile: Recompile | undefined): Closing {
  const { shrinking, cost } = plan;
  const masked = (): Plan => {
    const kept = decide(shrinking!, logits, new Map(shrinking!.budgets.map(({ measure, share }) => [measure, share])));
    const sizes = new Map(shrinking!.slots.map(({ name, size }) => [name, size]));
    const share = recordOf(
      Object.keys(cost!.share).map((measure) => [
        measure,
        costShare(shrinking!.prices, measure, (name) => (valueAt(kept, name)?.length ?? 0) / sizes.get(name)!),
      ]),
    );
    return { ...plan, kept, cost: { ...cost!, share } };
  };
  const begun = performance.now();
  const made = (recompile ? decided(plan, logits, recompile) : Promise.resolve(masked())).then((found) => ({
    plan: found,
    ms: performance.now() - begun,
  }));
  // Whoever waits for it is told when it failed; until then nobody does.
  made.catch(() => undefined);
  return { made };
}

type Tensor = Pick<ParameterInfo, "name" | "shape" | "offset" | "cuts">;

/**
 * All tensors of a plan, from those of the plan before it; what that has not is left as it is. `read` reads one of the
 * plan before.
 */
export async function resized(
  before: Plan,
  after: Plan,
  read: (info: Tensor) => Promise<Float32Array>,
): Promise<{ readonly info: Tensor; readonly data: Float32Array }[]> {
  const units = { before: before.kept ?? {}, after: after.kept ?? {} };
  const made: { info: Tensor; data: Float32Array }[] = [];
  const all = async (old: readonly Tensor[], now: readonly Tensor[]): Promise<void> => {
    const known = new Map(old.map((info) => [info.name, info]));
    for (const info of now) {
      const from = known.get(info.name);
      if (from) made.push({ info, data: cutTensor(await read(from), from, info, units) });
    }
  };
  await all(before.parameters, after.parameters);
  await all(before.states, after.states);
  return made;
}
