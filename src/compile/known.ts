/** Sizes that must be known by the time a plan is made. */
import { valueOf } from "../graph/sizes.js";

/** The number that a size is. Throws where it depends on something that is not known. */
export function mustBeKnown(size: Parameters<typeof valueOf>[0]): number {
  const value = valueOf(size);
  if (value === null) throw new Error("bug: a plan is made of a size that is not known");
  return value;
}
