/** The plan as the runtime reads it: what a model and its schedules say, in one record. */
import type { DevicePlan, MeasuredInfo, Plan } from "../../runtime/plan.js";
import { recordOf, valueAt } from "../../runtime/records.js";
import { reachOf } from "../manifolds/set.js";
import type { Facts } from "../model/elaborate/elaborate.js";
import { infoOf } from "../model/elaborate/source-kinds.js";
import type { TypedModel } from "../model/typed.js";
import { rolesOf } from "../step/roles.js";
import { mustBeKnown } from "./known.js";
import type { PlannedModel } from "./pipeline.js";
import type { Shrinks } from "./shrink.js";

/** What a plan is made of. */
export interface PlanParts {
  /** The text of the page. */
  readonly text: string;
  readonly model: TypedModel;
  readonly facts: Facts;
  readonly planned: PlannedModel;
  readonly shrinks: Shrinks | null;
  readonly devices: ReadonlyMap<string, DevicePlan>;
}

/** The record of a plan. */
export function planOf({ text, model, facts, planned: { entries, state }, shrinks, devices }: PlanParts): Plan {
  return {
    format: 1,
    name: model.name,
    doc: model.doc,
    dims: recordOf(model.dims.map(({ name, size }) => [name, mustBeKnown(size)])),
    dimDocs: recordOf(model.dims.flatMap(({ name, doc }) => (doc ? [[name, doc]] : []))),
    data: model.data.map((source) => infoOf(source, valueAt(facts, source.name) ?? null, mustBeKnown)),
    spec: text,
    parameters: state.parameters,
    states: state.states,
    train: model.train && { batch: model.train.batch, steps: model.train.steps, seed: model.train.seed },
    ...measuredOf(model),
    inputs: recordOf(model.inputs.map(({ name, axes }) => [name, shaped(axes)])),
    outputs: recordOf(model.outputs.map(({ name, axes }) => [name, shaped(axes)])),
    constraints: constraintsOf(model, entries.lowered.constraints),
    claims: model.claims.map(({ text: claim, bound, monitored, proof }) => ({ text: claim, bound, monitored, proof })),
    ...(shrinks ? shrinks.info : {}),
    roles: rolesOf(entries),
    devices: recordOf(devices),
  };
}

/** What is watched: manifolds of the page that make values, and parameters on a set. */
const constraintsOf = (
  { manifolds, parameters }: TypedModel,
  watched: ReadonlyMap<string, unknown>,
): Plan["constraints"] => {
  const members = parameters.flatMap(({ name, on }) => (on ? [{ name, manifold: on.manifold }] : []));
  return [...manifolds, ...members]
    .filter(({ name }) => watched.has(name))
    .map(({ name, manifold: { set, options } }) => ({
      name,
      manifold: set.name,
      tolerance: set.tolerance(options),
      reach: reachOf(set),
    }));
};

/** What is measured beside the loss; a page that names nothing says nothing. */
function measuredOf({ loss, terms, metrics }: TypedModel): Pick<Plan, "terms" | "metrics"> {
  const infoOf = ({ name, doc }: MeasuredInfo): MeasuredInfo => ({ name, doc });
  return {
    ...(loss && terms.length ? { terms: terms.map(infoOf) } : {}),
    ...(loss && metrics.length ? { metrics: metrics.map(infoOf) } : {}),
  };
}

const shaped = (axes: TypedModel["inputs"][number]["axes"]): { shape: readonly number[]; axes: readonly string[] } => ({
  shape: axes.map((axis) => mustBeKnown(axis.size)),
  axes: axes.map((axis) => axis.name),
});
