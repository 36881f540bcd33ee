/**
 * Shrinking on the host's side: which gates a model begins with, how much its units are needed, and how tensors are cut
 * to those that stay (`choose.ts` says which these are).
 */
import { mustAt, mustGet } from "./lookup.js";
import { PINNED, type Kept, type ParameterInfo, type Plan, type ShrinkInfo, type SlotInfo } from "./plan.js";
import { mustValue, valueAt } from "./records.js";

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
  const ranks = squares.map((square, i) => {
    const count = mustAt(counts, i);
    return count ? Math.sqrt(square / count) : 0;
  });
  const means = new Map<string, { sum: number; count: number }>();
  for (const slot of slots) {
    const mean = means.get(kindOf(slot)) ?? { sum: 0, count: 0 };
    for (let i = 0; i < slot.kept.length; i++) mean.sum += mustAt(ranks, slot.offset + i);
    mean.count += slot.kept.length;
    means.set(kindOf(slot), mean);
  }
  for (const slot of slots) {
    const { sum, count } = mustGet(means, kindOf(slot));
    for (let i = 0; i < slot.kept.length; i++) ranks[slot.offset + i]! /= sum / count || 1;
  }
  return ranks;
}

/** Logits of gates that are all decided: those that are kept open, all others closed. */
export function pinned({ slots }: ShrinkInfo, kept: Kept, words: number): Float32Array {
  const logits = new Float32Array(words).fill(-PINNED);
  for (const { name, kept: units, offset } of slots) {
    const open = new Set(valueAt(kept, name) ?? []);
    units.forEach((unit, i) => {
      if (open.has(unit)) logits[offset + i] = PINNED;
    });
  }
  return logits;
}

/** Cuts a tensor of the larger plan to the units that the smaller plan keeps. */
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
    const unitsBefore = mustValue(units.before, cut.slot);
    const places = mustValue(units.after, cut.slot).map((unit) => unitsBefore.indexOf(unit));
    return cut.pairs ? places.flatMap((i) => places.map((j) => i * unitsBefore.length + j)) : places;
  });
  const out = new Float32Array(after.shape.reduce((product, size) => product * size, 1));
  const strides = before.shape.map((_, axis) =>
    before.shape.slice(axis + 1).reduce((product, size) => product * size, 1),
  );
  let at = 0;
  const copy = (axis: number, from: number): void => {
    if (axis === indices.length) return void (out[at++] = data[from]!);
    const stride = mustAt(strides, axis);
    for (const index of mustAt(indices, axis)) copy(axis + 1, from + index * stride);
  };
  copy(0, 0);
  return out;
}

/** A parameter or a state, as it is cut. */
type CutTensor = Pick<ParameterInfo, "name" | "shape" | "offset" | "cuts">;

/**
 * All tensors of the smaller plan that the larger one has too, cut to the units that stay. `read` reads a tensor of
 * the larger plan.
 */
export async function resized(
  before: Plan,
  after: Plan,
  read: (info: CutTensor) => Promise<Float32Array>,
): Promise<{ readonly info: CutTensor; readonly data: Float32Array }[]> {
  const units = { before: before.kept ?? {}, after: after.kept ?? {} };
  const tensors: { info: CutTensor; data: Float32Array }[] = [];
  const cutAll = async (old: readonly CutTensor[], now: readonly CutTensor[]): Promise<void> => {
    const byName = new Map(old.map((info) => [info.name, info]));
    for (const info of now) {
      const from = byName.get(info.name);
      if (from) tensors.push({ info, data: cutTensor(await read(from), from, info, units) });
    }
  };
  await cutAll(before.parameters, after.parameters);
  await cutAll(before.states, after.states);
  return tensors;
}
