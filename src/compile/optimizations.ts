/**
 * What compiling can do without, by name: each optimization can be turned off (`--without`), and a plan without it
 * computes the same but for rounding. So a wrong number is found by turning them off (`mhc bisect`).
 */
import { SCHEDULE_OPTIMIZATIONS, type ScheduleOptimization, type Without } from "../schedule/optimizations.js";

/** The name of an optimization. */
export type Optimization = "attention" | "recompute" | "half" | "tuning" | ScheduleOptimization;

/** What each optimization does, in the order in which they come to work. */
export const OPTIMIZATIONS: Readonly<Record<Optimization, string>> = {
  attention: "attention is one kernel that keeps no scores in memory",
  recompute: "activations are computed again in the backward pass",
  half: "activations in memory, or operands of products, are 16-bit floats where the page asks for it",
  tuning: "kernels are those that were chosen for the device",
  fusion: "nodes of the graph are computed in one kernel with others",
  rematerialize: "what is cheap is computed by its readers and not kept",
  regions: "kernels that follow each other token by token are one",
  onchip: "what only a region reads never leaves the chip",
  inplace: "new values are stored over the old ones",
  packs: "operands of a pack are stored in their slots right away",
  sharing: "equal parts of a page share one kernel",
  batching: "kernels that do not wait for each other are one dispatch",
  reuse: "tensors that are not needed at the same time share memory",
};

/** Whether there is an optimization of that name. */
export const isOptimization = (name: string): name is Optimization => Object.hasOwn(OPTIMIZATIONS, name);

/** The names of all optimizations, in the order in which they come to work. */
export const optimizationNames: readonly Optimization[] = [
  "attention",
  "recompute",
  "half",
  "tuning",
  ...SCHEDULE_OPTIMIZATIONS,
];

/** Those of the schedule among some optimizations. */
export const ofSchedule = (without: readonly Optimization[]): Without =>
  new Set(SCHEDULE_OPTIMIZATIONS.filter((name) => without.includes(name)));
