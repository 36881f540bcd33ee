/** The optimizations of the schedule by name, without the passes, so that a command line can be read without them. */

/** What the schedule can do without, in the order of its passes. */
export const SCHEDULE_OPTIMIZATIONS = [
  "fusion",
  "rematerialize",
  "regions",
  "onchip",
  "inplace",
  "packs",
  "sharing",
  "batching",
  "reuse",
] as const;

/** The name of an optimization of the schedule. */
export type ScheduleOptimization = (typeof SCHEDULE_OPTIMIZATIONS)[number];

/** Optimizations that are turned off. */
export type Without = ReadonlySet<ScheduleOptimization>;
