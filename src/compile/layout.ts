/**
 * Where parameters and states lie in the pool `state`: the same place on every device, in an order that suits the
 * update.
 */
import type { ParameterInfo, Plan, StateInfo } from "../../runtime/plan.js";
import type { StateRole } from "../../runtime/roles.js";
import type { Entries } from "../step/entries.js";
import { slotsOf } from "../graph/packing.js";

/** Parameters and states: listed in the order of the page, laid out in the pool `state` in the order of the update. */
export function stateOf({ lowered, states, order }: Entries): {
  parameters: ParameterInfo[];
  states: Plan["states"];
  layout: Map<string, number>;
  words: number;
} {
  const shapes = new Map([...lowered.parameters, ...states].map(({ name, shape }) => [name, shape]));
  const names = order ?? [...shapes.keys()];
  const { offsets, words } = slotsOf(names.map((name) => shapes.get(name)!));
  const layout = new Map(names.map((name, i) => [name, offsets[i]!]));
  return {
    parameters: lowered.parameters.map(({ name, shape, axes, start, doc, decay, points, cuts }) => ({
      name,
      shape,
      axes,
      start,
      doc,
      offset: layout.get(name)!,
      decay,
      ...(points ? { point: true as const } : {}),
      ...(cuts ? { cuts } : {}),
    })),
    states: states.map(({ role, ...state }) => ({
      ...state,
      offset: layout.get(state.name)!,
      ...cutsOf(role, state.shape, lowered.parameters),
    })),
    layout,
    words,
  };
}

/** A moment is cut as its parameter is: one of all values, or one for each point. */
function cutsOf(
  role: StateRole,
  shape: readonly number[],
  parameters: Entries["lowered"]["parameters"],
): Pick<StateInfo, "cuts"> {
  if (role.kind !== "moment") return {};
  const of = parameters.find(({ name }) => name === role.parameter);
  if (!of?.cuts) return {};
  if (shape.length === of.shape.length) return { cuts: of.cuts };
  const cuts = (of.points?.each ?? []).map((axis) => of.cuts![axis] ?? null);
  return cuts.some((cut) => cut) ? { cuts } : {};
}
