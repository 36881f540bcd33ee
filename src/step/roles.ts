/**
 * Outputs, inputs and states of entries with what they are. An id is made of a role here and nowhere else, and nothing
 * takes it apart again: a plan says the roles of its ids (`runtime/roles.ts`).
 */
import type { StateInfo } from "../../runtime/plan.js";
import { recordOf } from "../../runtime/records.js";
import type { EntryRoles, InputRole, OutputRole, PlanRoles, StateRole } from "../../runtime/roles.js";
import type { Builder } from "../graph/builder.js";
import type { Graph, Node } from "../graph/node.js";

/** An output of an entry. */
export interface Output<R extends OutputRole = OutputRole> {
  /** The name that the graph has it under. */
  readonly id: string;
  readonly role: R;
  readonly node: Node;
}

/** A state that has no place yet. */
export interface UnplacedState extends Omit<StateInfo, "offset"> {
  readonly role: StateRole;
}

/** An output of a role, under the id that goes with it. */
export const output = <R extends OutputRole>(role: R, node: Node, id: string = outputId(role)): Output<R> => ({
  id,
  role,
  node,
});

/** A state of a role; `start`: what all its values are at first, 0 when it is not given. */
export const stateOfRole = (role: StateRole, shape: readonly number[], start?: number): UnplacedState => ({
  name: stateId(role),
  shape,
  ...(start === undefined ? {} : { start }),
  role,
});

/** The node of a state. */
export const stateNode = (b: Builder, role: StateRole, shape: readonly number[]): Node => b.state(stateId(role), shape);

/** The nodes of outputs by their ids, as a graph has them. */
export const nodesOf = (outputs: readonly Output[]): ReadonlyMap<string, Node> =>
  new Map(outputs.map(({ id, node }) => [id, node]));

/** The graph of an entry, with what its outputs and inputs are. */
export interface EntryGraph extends Graph {
  readonly roles: EntryRoles;
}

const NO_UPDATES: Graph["updates"] = new Map();

/** The graph of an entry. `inputs`: the roles of those that the page does not name. */
export const entryGraph = (
  name: string,
  outputs: readonly Output[],
  {
    updates = NO_UPDATES,
    inputs = [],
  }: { readonly updates?: Graph["updates"]; readonly inputs?: readonly InputRole[] } = {},
): EntryGraph => ({
  name,
  outputs: nodesOf(outputs),
  updates,
  roles: {
    inputs: recordOf(inputs.map((role) => [inputId(role), role])),
    outputs: recordOf(outputs.map(({ id, role }) => [id, role])),
  },
});

/** What the ids of a plan stand for. */
export const rolesOf = ({
  graphs,
  states,
}: {
  readonly graphs: readonly EntryGraph[];
  readonly states: readonly UnplacedState[];
}): PlanRoles => ({
  entries: recordOf(graphs.map(({ name, roles }) => [name, roles])),
  states: recordOf(states.map(({ name, role }) => [name, role])),
});

/** The id of an output. */
export function outputId(role: OutputRole): string {
  switch (role.kind) {
    case "loss":
    case "losses":
    case "norm":
      return role.kind;
    case "output":
      return role.name;
    case "rowSum":
      return `gain:${role.name}:rows`;
    case "columnSum":
      return `gain:${role.name}:columns`;
    case "constraint":
    case "adapted":
    case "cost":
    case "monitor":
    case "term":
    case "metric":
    case "claim":
    case "free":
    case "lost":
    case "gradient":
    case "cotangent":
    case "logits":
      return `${role.kind}:${role.name}`;
    default:
      return role satisfies never;
  }
}

/** The id of an input that the page does not name. */
export function inputId(role: InputRole): string {
  switch (role.kind) {
    case "cotangent":
      return `cotangent:${role.name}`;
    case "gain":
      return `gain:${role.stream}`;
    case "depth":
      return `gain:${role.stream}:depth`;
    case "place":
      return `gain:${role.stream}:place:${role.axis}`;
    default:
      return role satisfies never;
  }
}

/** The name of a state. */
export function stateId(role: StateRole): string {
  switch (role.kind) {
    case "moment":
      return `${role.moment}:${role.parameter}`;
    case "gates":
      return "gates";
    case "gateMoment":
      return `${role.moment}:gates`;
    case "gateUnits":
      return "gates:unit";
    case "multiplier":
      return `multiplier:${role.measure}`;
    case "lossScale":
      return "scale:loss";
    case "goodSteps":
      return "scale:good steps";
    case "skippedSteps":
      return "scale:skipped steps";
    default:
      return role satisfies never;
  }
}
