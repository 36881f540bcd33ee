/**
 * From a typed model to the plans of some devices: the entries of its step, where its state lies, which activations are
 * recomputed so that it fits, and a schedule for every device. What is compiled and what is only counted (the cost of a
 * page that shrinks) go the same way.
 */
import type { Diagnostic } from "../diagnostics/diagnostic.js";
import type { Graph } from "../graph/node.js";
import type { KernelProfile } from "../kernel/profile.js";
import type { TypedModel } from "../model/typed.js";
import { schedule, type Scheduled, type ScheduleOptions } from "../schedule/plan.js";
import { buildEntries, type Entries, type EntriesOptions } from "../step/entries.js";
import { fit, type Fitted, type Room } from "./fit.js";
import { stateOf, type StatePlan } from "./layout.js";

/** How a model is planned. */
export interface Planning {
  readonly entries: EntriesOptions;
  /** The devices' kernels: one schedule is made for each. */
  readonly profiles: readonly KernelProfile[];
  /** What the plan must fit into beside the page's own bound; null for no device in particular. */
  readonly room: Room | null;
  /** Whether activations may be recomputed so that the plan fits; else it need not. */
  readonly recompute?: boolean;
  /** How the schedules are made. */
  readonly schedule?: ScheduleOptions;
}

/** A model that is planned. */
export interface PlannedModel {
  readonly entries: Entries;
  readonly state: StatePlan;
  /** What fits, or why nothing does. */
  readonly fitted: Fitted | Diagnostic;
  /** Schedules of some graphs over that state, in the order of the profiles. */
  readonly schedule: (graphs: readonly Graph[]) => readonly Scheduled[];
}

/** Plans a model for some devices. */
export function planModel(model: TypedModel, planning: Planning): PlannedModel {
  const { entries: options, profiles, room, recompute = true, schedule: how } = planning;
  const entries = buildEntries(model, options);
  const state = stateOf(entries);
  const scheduleAll = (graphs: readonly Graph[]): readonly Scheduled[] =>
    profiles.map((profile) => schedule(graphs, profile, state.layout, state.words, how));
  const fitted = recompute ? fit(entries, model.train, room, scheduleAll) : fit(entries, null, null, scheduleAll);
  return { entries, state, fitted, schedule: scheduleAll };
}
