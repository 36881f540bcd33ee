/**
 * The knobs of skeletons. A skeleton is a family of kernels that compute the same thing; which member is built is a
 * `Choice`, a few named numbers. The profile of a device may carry choices, made by `mhc tune` or forced by a test;
 * without one the skeleton's own default stands. A choice changes results by rounding only. Each family lists the
 * members that tuning tries.
 */
import type { Choice, KernelProfile } from "../../kernel/profile.js";
import { merged, valueAt } from "../../../runtime/records.js";

export type { Choice };

/** A kernel whose choice can be overridden. */
export interface Tuned {
  /** `skeleton/shape`. */
  readonly key: string;
  /** The member that was built. */
  readonly choice: Choice;
}

/**
 * The choice for one kernel: that of its shape, else that of its skeleton, else the default; missing knobs are the
 * default's.
 */
export function chosen<C extends Choice>(profile: KernelProfile, skeleton: string, shape: string, fallback: C): C {
  return merged<number>(
    fallback,
    valueAt(profile.choices, `${skeleton}/${shape}`) ?? valueAt(profile.choices, skeleton),
  ) as C;
}
