/**
 * Where parameters and states lie in the pool `state`: the same place on every device, in an order that suits the
 * update.
 */
import { mustAt, mustGet } from "../../runtime/lookup.js";
import type { ParameterInfo, Plan, StateInfo } from "../../runtime/plan.js";
import { MOMENTS, type StateRole } from "../../runtime/roles.js";
import type { Entries } from "../step/entries.js";
import { stateId } from "../step/roles.js";
import { slotsOf } from "../graph/packing.js";

/** Parameters and states, and where they lie. */
export interface StatePlan {
  readonly parameters: readonly ParameterInfo[];
  readonly states: Plan["states"];
  /** Offsets in the pool `state`, in words, by name. */
  readonly layout: ReadonlyMap<string, number>;
  readonly words: number;
}

/** Parameters and states: listed in the order of the page, laid out in the pool `state` in the order of the update. */
export function stateOf({ lowered, states, order }: Entries): StatePlan {
  const shapes = new Map([...lowered.parameters, ...states].map(({ name, shape }) => [name, shape]));
  const names = order ?? [...shapes.keys()];
  const { offsets, words } = slotsOf(names.map((name) => mustGet(shapes, name)));
  const layout = new Map(names.map((name, i) => [name, mustAt(offsets, i)]));
  return {
    parameters: lowered.parameters.map(({ name, shape, axes, start, doc, decay, points, frozen, cuts }) => ({
      name,
      shape,
      axes,
      start,
      doc,
      offset: mustGet(layout, name),
      decay,
      ...(points ? { point: true as const } : {}),
      ...(frozen ? { frozen: momentNames(name) } : {}),
      ...(cuts ? { cuts } : {}),
    })),
    states: states.map(({ role, ...state }) => ({
      ...state,
      offset: mustGet(layout, state.name),
      ...cutsOf(role, state.shape, lowered.parameters),
    })),
    layout,
    words,
  };
}

/** The names of all moments that a parameter may have. */
const momentNames = (parameter: string): readonly string[] =>
  MOMENTS.map((moment) => stateId({ kind: "moment", moment, parameter }));

/** A moment is cut as its parameter is: one of all values, or one for each point. */
function cutsOf(
  role: StateRole,
  shape: readonly number[],
  parameters: Entries["lowered"]["parameters"],
): Pick<StateInfo, "cuts"> {
  if (role.kind !== "moment") return {};
  const of = parameters.find(({ name }) => name === role.parameter);
  if (!of?.cuts) return {};
  const { cuts, points } = of;
  if (shape.length === of.shape.length) return { cuts };
  const ofPoints = (points?.each ?? []).map((axis) => cuts[axis] ?? null);
  return ofPoints.some((cut) => cut) ? { cuts: ofPoints } : {};
}
