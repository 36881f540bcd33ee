/**
 * What the outputs, inputs and states of a plan are. Their ids (`constraint:Mixing`, `m:layers.0.mlp.up`) are keys that
 * a plan, a printed graph and a checkpoint go by, and nothing takes one apart: whoever wants the distances of a step,
 * or the gradient of a parameter, asks for outputs of that kind, and finds the name in the role. The compiler makes
 * each id of its role (`src/step/roles.ts`), so that the two cannot disagree.
 */

import { recordOf } from "./records.js";

/** Kinds of outputs of which an entry has one for each name. */
export type NamedKind =
  /** Scalar; of a set or a parameter on one: the largest distance from it over all uses in the batch. */
  | "constraint"
  /** Scalar; of what adapts (`Mixing.relax`): its value before the step's update. */
  | "adapted"
  /** Scalar; of a measure (`energy`): what a step is expected to cost, as a share of the dense model's. */
  | "cost"
  /** Scalar, and [batch] where it is evaluated; of a named part of the loss, and of a metric. */
  | "term"
  | "metric"
  /** Scalar; of a claim, by its text: what it bounds, as measured. */
  | "claim"
  /** Scalar; of a set: the largest free coordinate of all uses, in absolute value (`src/step/reach.ts`). */
  | "free"
  /** Scalar; of a set: 1 when some entry of a point is not finite, else 0. */
  | "lost"
  /** In the parameter's shape; of a parameter: the gradient of the loss, or for the cotangents of the outputs. */
  | "gradient"
  /** In the input's shape; of an input of the page. */
  | "cotangent"
  /** [batch, context, vocabulary]; of the block or definition that makes the scores. */
  | "logits"
  /** [batch, …axes]; an output of the page. */
  | "output"
  /** [batch]; of a stream: sums of a row and of a column of its derivative (`src/step/gains.ts`). */
  | "rowSum"
  | "columnSum";

/** What the mixes of a stream are watched for (`src/step/monitors.ts`): scalars. */
export type MonitorRole = {
  readonly kind: "monitor";
  /** As metrics call it: `gain:x:forward`. */
  readonly name: string;
  readonly stream: string;
} & (
  | { readonly measure: "gain"; readonly direction: "forward" | "backward" }
  | { readonly measure: "columns" | "entropy" | "second" | "diversity" }
);

/** What an output of an entry is. */
export type OutputRole =
  /** Scalar: the mean over the batch, before the update. */
  | { readonly kind: "loss" }
  /** `[batch]`: the loss of each example. */
  | { readonly kind: "losses" }
  /** Scalar: the norm of all gradients, before clipping. */
  | { readonly kind: "norm" }
  | { readonly kind: NamedKind; readonly name: string }
  | MonitorRole;

/** What an input of an entry is, where the page does not name it. */
export type InputRole =
  /** [batch, …axes], of an output of the page. */
  | { readonly kind: "cotangent"; readonly name: string }
  /** Scalar: the gain of a stream, as it was measured. */
  | { readonly kind: "gain"; readonly stream: string }
  /** `[batch, connections]`: a one at the connection of a stream that is chosen for an example, zeros elsewhere. */
  | { readonly kind: "depth"; readonly stream: string }
  /** `[batch, size]`: the same for the place along an axis of the stream; 0 is the first behind the batch. */
  | { readonly kind: "place"; readonly stream: string; readonly axis: number };

/** What a state is: something that lives on from step to step beside the parameters. */
export type StateRole =
  /** A moment of the optimizer: of AdamW the first (`m`) and the second (`v`). */
  | { readonly kind: "moment"; readonly moment: Moment; readonly parameter: string }
  /** `[words]`: logits of all gates. */
  | { readonly kind: "gates" }
  /** `[words]`: the moments of these. */
  | { readonly kind: "gateMoment"; readonly moment: "m" | "v" }
  /** `[words]`: the numbers of the units in the dense model, which the noise of gates is drawn by. */
  | { readonly kind: "gateUnits" }
  /** Scalar: the multiplier of a budget, by what it measures. */
  | { readonly kind: "multiplier"; readonly measure: string }
  /** Scalars of loss scaling: the scale, good steps in a row, and steps so far that changed nothing. */
  | { readonly kind: "lossScale" | "goodSteps" | "skippedSteps" };

/** The moments of a parameter: `m` and `v` of AdamW, `momentum` of SGD and Muon. */
export const MOMENTS = ["m", "v", "momentum"] as const;
/** Which moment of a parameter. */
export type Moment = (typeof MOMENTS)[number];

/** The roles of one entry, by the ids of its inputs and outputs. */
export interface EntryRoles {
  /** Those that the page does not name. */
  readonly inputs: Readonly<Record<string, InputRole>>;
  /** All. */
  readonly outputs: Readonly<Record<string, OutputRole>>;
}

/** What the ids of a plan stand for. */
export interface PlanRoles {
  readonly entries: Readonly<Record<string, EntryRoles>>;
  /** By the names of the states. */
  readonly states: Readonly<Record<string, StateRole>>;
}

/** Something of an output, with what the output is: a result that was read, or a tensor's place. */
export type OfOutput<T> = readonly [role: OutputRole, value: T];

/** What there is of the outputs of a kind, by what they are of; of two of one name the last counts. */
export const named = <T>(kind: NamedKind | "monitor", outputs: readonly OfOutput<T>[]): Readonly<Record<string, T>> =>
  recordOf(
    outputs.flatMap(([role, value]) => (role.kind === kind && "name" in role ? [[role.name, value] as const] : [])),
  );

/** Kinds of outputs of which an entry has one at most. */
export type SingleKind = "loss" | "losses" | "norm";

/** What there is of the output of a kind of which an entry has one at most; undefined when it has none. */
export const single = <T>(kind: SingleKind, outputs: readonly OfOutput<T>[]): T | undefined =>
  outputs.find(([role]) => role.kind === kind)?.[1];

/** The same where the entry has one. Throws an Error that names the kind when it has not. */
export function mustSingle<T>(kind: SingleKind, outputs: readonly OfOutput<T>[]): T {
  const value = single(kind, outputs);
  if (value === undefined) throw new Error(`bug: none of ${outputs.length} outputs is of the kind ${kind}`);
  return value;
}

/** The name of the state of a kind; undefined when a plan has none. */
export const stateNameOf = (roles: Pick<PlanRoles, "states">, kind: StateRole["kind"]): string | undefined =>
  Object.entries(roles.states).find(([, role]) => role.kind === kind)?.[0];
