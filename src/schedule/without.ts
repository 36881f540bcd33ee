/**
 * The passes with some optimizations turned off, so that a wrong number can be traced to the one that makes it
 * (`mhc bisect`). Each is a choice of what is computed where and when; none changes what is computed but for rounding.
 */
import { partitionUnfused } from "./fusion/partition.js";
import { arrangeAlone, type Arrangement } from "./fusion/regions.js";
import type { KernelBatch, Due } from "./memory/batch.js";
import type { Without } from "./optimizations.js";
import type { Passes } from "./passes.js";

/** All that a region stores goes through memory. */
const nothingOnChip = (arrangement: Arrangement): Arrangement => ({
  ...arrangement,
  regions: arrangement.regions.map((region) => ({ ...region, onChip: new Set() })),
});

/** Every kernel is a dispatch. */
const oneByOne = (dues: readonly Due[]): KernelBatch[] =>
  dues.map((due) => ({ bound: due.bound, copies: [due.bound.places], members: [due] }));

/**
 * Passes that leave out what is turned off. Whether kernels are shared (`sharing`) is a property of the table that they
 * are put into, and no pass.
 */
export const passesWithout = (passes: Passes, without: Without): Passes => ({
  ...passes,
  ...(without.has("fusion") ? { partition: partitionUnfused } : {}),
  ...(without.has("rematerialize") ? { rematerialize: (_, parts) => parts } : {}),
  ...(without.has("regions") ? { arrange: arrangeAlone } : {}),
  ...(without.has("onchip") ? { fitOnChip: nothingOnChip } : {}),
  place: (entry) => passes.place({ ...entry, inPlace: !without.has("inplace"), packs: !without.has("packs") }),
  ...(without.has("batching") ? { batch: oneByOne } : {}),
  ...(without.has("reuse") ? { offsets: (entry) => passes.offsets({ ...entry, reuse: false }) } : {}),
});
