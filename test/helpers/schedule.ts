/** The schedule as tests make it: whatever a pass makes is verified. */
import type { Graph } from "../../src/graph/node.js";
import type { KernelProfile } from "../../src/kernel/profile.js";
import {
  schedule as unverified,
  type Scheduled,
  type ScheduleOptions,
  type StateLayout,
} from "../../src/schedule/plan.js";

export const schedule = (
  graphs: readonly Graph[],
  profile: KernelProfile,
  layout: StateLayout,
  stateWords: number,
  options: ScheduleOptions = {},
): Scheduled => unverified(graphs, profile, layout, stateWords, { verify: true, ...options });
