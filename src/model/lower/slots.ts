/**
 * Gates while a model is lowered. A gate has a slot for each layer that it stands in: `layers.2.mlp.hidden`. What is
 * left of a slot's units, by the numbers that they had in the dense model, is `Kept`; the sizes of axes, and what is
 * lowered at all, follow from it. Slots of units that may still close have a value for each, from 0 (closed) to 1,
 * which multiplies what is summed over the axis.
 */
import type { Cut, Kept, SlotInfo } from "../../../runtime/plan.js";
import type { Node } from "../../graph/node.js";
import { valueOf } from "../../graph/sizes.js";
import { wholeSlots } from "../../graph/packing.js";
import { countsOf, everyLayer, inside, numbered, repeatsOf } from "../paths.js";
import type { Axis, Gate, TypedModel } from "../typed.js";
import { valueAt } from "../../../runtime/records.js";

export interface Gating {
  readonly kept: Kept;
  /** What multiplies the units of a slot; null when nothing can close any more. */
  readonly values: ReadonlyMap<string, Node> | null;
}

export const ungated: Gating = { kept: {}, values: null };

/** All slots that are left, those of a layer after it, and the size of the vector of their gates. */
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
    const size = gate.kind === "layer" ? 1 : valueOf(gate.size)!;
    const own = valueAt(kept, name) ?? Array.from({ length: size }, (_, i) => i);
    const around = layers
      .filter((one) => one !== gate && inside(gate.name, one.name))
      .map((one) => numbered(one.name, numbers));
    if (own.length === 0 || around.some((one) => gone.has(one))) gone.add(name);
    if (gone.has(name)) return;
    slots.push({ name, kind: gate.kind, size, kept: own, layer: around.at(-1) ?? null, offset: words });
    words += wholeSlots(own.length);
  };
  for (const gate of [...layers, ...gates.filter(({ kind }) => kind === "axis")]) {
    for (const numbers of everyLayer(repeatsOf(gate.name).map((repeat) => counts.get(repeat)!)))
      put(gate, numbered(gate.name, numbers), numbers);
  }
  return { slots, words };
}

/** What lowering asks about the layer that it is in; `here` puts that layer's numbers in place of stars. */
export function createShrinking(
  { cost }: Pick<TypedModel, "cost">,
  { kept, values }: Gating,
  here: (name: string) => string,
) {
  const byAxis = new Map<Axis, { readonly gate: Extract<Gate, { readonly kind: "axis" }>; readonly pairs: boolean }>();
  for (const gate of cost?.gates ?? []) {
    if (gate.kind !== "axis") continue;
    for (const axis of gate.axes) byAxis.set(axis, { gate, pairs: false });
    for (const axis of gate.squares) byAxis.set(axis, { gate, pairs: true });
  }
  const layers = (cost?.gates ?? []).flatMap(({ kind, name }) => (kind === "layer" ? [name] : []));

  return {
    /** What is left of an axis; null when it is whole. */
    left(axis: Axis): number | null {
      const found = byAxis.get(axis);
      const units = found && valueAt(kept, here(found.gate.name));
      return units ? units.length ** (found.pairs ? 2 : 1) : null;
    },
    /** The gates of an axis, [units]. */
    gatesOf(axis: Axis): Node | null {
      const found = byAxis.get(axis);
      return found && !found.pairs ? (values?.get(here(found.gate.name)) ?? null) : null;
    },
    /**
     * The gates of a connection by its path, its layer's and its own: none for one that cannot close; null for one that
     * is gone.
     */
    around(path: string): readonly Node[] | null {
      const names = layers.filter((layer) => inside(path, layer)).map(here);
      if (names.some((name) => valueAt(kept, name)?.length === 0)) return null;
      return names.flatMap((name) => values?.get(name) ?? []);
    },
    /** Whether what has this name is still there. */
    isThere: (name: string): boolean =>
      !layers.some((layer) => valueAt(kept, here(layer))?.length === 0 && inside(name, here(layer))),
    /** How the axes of a parameter are cut. */
    cutsOf: (axes: readonly Axis[]): readonly (Cut | null)[] =>
      axes.map((axis) => {
        const found = byAxis.get(axis);
        return found ? { slot: here(found.gate.name), pairs: found.pairs } : null;
      }),
  };
}
