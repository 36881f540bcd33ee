/**
 * Gates while a model is lowered. A gate has a slot for each layer that it stands in: `layers.2.mlp.hidden`. `Kept`
 * says which of a slot's units are left, by the numbers that they had in the dense model; the sizes of axes, and what
 * is lowered at all, follow from it. Units that may still close have a value each, from 0 (closed) to 1, which
 * multiplies what is summed over the axis.
 */
import type { Cut, Kept, SlotInfo } from "../../../runtime/plan.js";
import type { Node } from "../../graph/node.js";
import { numberOf } from "../../graph/sizes.js";
import { wholeSlots } from "../../graph/packing.js";
import { countsOf, everyLayer, inside, numbered, repeatsOf } from "../paths.js";
import type { Axis, Gate, TypedModel } from "../typed.js";
import { mustGet } from "../../../runtime/lookup.js";
import { valueAt } from "../../../runtime/records.js";

/** What shrinking has left of a model, and the gates of what may still close. */
export interface Gating {
  /** The units that are left of each slot that has lost some, by their numbers in the dense model. */
  readonly kept: Kept;
  /** What multiplies the units of a slot; null when nothing can close any more. */
  readonly values: ReadonlyMap<string, Node> | null;
}

/** Of a model that does not shrink. */
export const ungated: Gating = { kept: {}, values: null };

/**
 * All slots that are left, those inside of a layer after its own, and the size of the vector of their gates: so many
 * `words` of one value.
 */
export function gateSlots(
  model: Pick<TypedModel, "cost" | "statements">,
  kept: Kept,
): { readonly slots: readonly SlotInfo[]; readonly words: number } {
  const gates = model.cost?.gates ?? [];
  const counts = countsOf(model.statements);
  // Outer layers first, so that what is inside of one that is gone is gone.
  const layers = gates
    .filter(({ kind }) => kind === "layer")
    .sort((a, b) => a.name.split(".").length - b.name.split(".").length);
  const gone = new Set<string>();
  const slots: SlotInfo[] = [];
  let words = 0;
  const put = (gate: Gate, name: string, numbers: readonly number[]): void => {
    const size = gate.kind === "layer" ? 1 : numberOf(gate.size);
    const units = valueAt(kept, name) ?? Array.from({ length: size }, (_, i) => i);
    const around = layers
      .filter((layer) => layer !== gate && inside(gate.name, layer.name))
      .map((layer) => numbered(layer.name, numbers));
    if (units.length === 0 || around.some((layer) => gone.has(layer))) gone.add(name);
    if (gone.has(name)) return;
    slots.push({ name, kind: gate.kind, size, kept: units, layer: around.at(-1) ?? null, offset: words });
    words += wholeSlots(units.length);
  };
  for (const gate of [...layers, ...gates.filter(({ kind }) => kind === "axis")]) {
    for (const numbers of everyLayer(repeatsOf(gate.name).map((repeat) => mustGet(counts, repeat))))
      put(gate, numbered(gate.name, numbers), numbers);
  }
  return { slots, words };
}

/** The gate of an axis; `pairs`: the axis counts pairs of the gate's units. */
interface GatedAxis {
  readonly gate: Extract<Gate, { readonly kind: "axis" }>;
  readonly pairs: boolean;
}

/** The gates of a page as lowering asks for them, in the layer that it is in. */
export interface GateState extends Gating {
  readonly byAxis: ReadonlyMap<Axis, GatedAxis>;
  /** Names of the gates of layers and of connections, with stars. */
  readonly layerGates: readonly string[];
  /** The number of the layer in each `repeat` around, the outermost first: they change as the page is walked. */
  readonly layers: readonly number[];
}

/** The gates of a page; `layers` are the numbers of the layers that lowering is in, at any time. */
export function gateState(
  { cost }: Pick<TypedModel, "cost">,
  { kept, values }: Gating,
  layers: readonly number[],
): GateState {
  const byAxis = new Map<Axis, GatedAxis>();
  for (const gate of cost?.gates ?? []) {
    if (gate.kind !== "axis") continue;
    for (const axis of gate.axes) byAxis.set(axis, { gate, pairs: false });
    for (const axis of gate.squares) byAxis.set(axis, { gate, pairs: true });
  }
  const layerGates = (cost?.gates ?? []).flatMap(({ kind, name }) => (kind === "layer" ? [name] : []));
  return { kept, values, byAxis, layerGates, layers };
}

/** The size that is left of an axis in this layer; null when the axis is whole. */
export function unitsLeft({ byAxis, kept, layers }: GateState, axis: Axis): number | null {
  const gated = byAxis.get(axis);
  const units = gated && valueAt(kept, numbered(gated.gate.name, layers));
  return units ? units.length ** (gated.pairs ? 2 : 1) : null;
}

/** The gates of an axis in this layer, [units]; null when none of its units can close. */
export function gatesOfAxis({ byAxis, values, layers }: GateState, axis: Axis): Node | null {
  const gated = byAxis.get(axis);
  return gated && !gated.pairs ? (values?.get(numbered(gated.gate.name, layers)) ?? null) : null;
}

/**
 * The gates of a connection by its path, its layer's and its own, as scalars: none for one that cannot close; null for
 * one that is gone.
 */
export function gatesAround({ layerGates, kept, values, layers }: GateState, path: string): readonly Node[] | null {
  const names = layerGates.filter((layer) => inside(path, layer)).map((name) => numbered(name, layers));
  if (names.some((name) => valueAt(kept, name)?.length === 0)) return null;
  return names.flatMap((name) => values?.get(name) ?? []);
}

/** Whether the layers and connections that a name stands inside of are still there. */
export function isThere({ layerGates, kept, layers }: GateState, name: string): boolean {
  return !layerGates.some((gate) => {
    const layer = numbered(gate, layers);
    return valueAt(kept, layer)?.length === 0 && inside(name, layer);
  });
}

/** How the axes of a parameter are cut in this layer, by position; null for an axis without a gate. */
export function cutsOf({ byAxis, layers }: GateState, axes: readonly Axis[]): readonly (Cut | null)[] {
  return axes.map((axis) => {
    const gated = byAxis.get(axis);
    return gated ? { slot: numbered(gated.gate.name, layers), pairs: gated.pairs } : null;
  });
}
