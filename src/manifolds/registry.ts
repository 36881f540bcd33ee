/**
 * The registry of sets: one record each, in a file of its own. The language, the monitors, the documentation and the generated tests read only
 * this: a set that is added here is tested.
 */
import { birkhoff } from "./birkhoff.js";
import { identity } from "./identity.js";
import type { ConstraintSet } from "./set.js";
import { sphere } from "./sphere.js";
import { stiefel } from "./stiefel.js";

export type { ConstraintSet, ConvexSet, Manifold, OptionKind, Options, OptionValue, SetInstance } from "./set.js";

export const sets: Readonly<Record<string, ConstraintSet>> = { birkhoff, identity, sphere, stiefel };
