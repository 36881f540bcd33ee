/**
 * The registry of manifolds: one record each, in a file of its own. The language, the monitors and the generated tests read only this:
 * a manifold that is added here is tested.
 */
import { birkhoff } from "./birkhoff.js";
import { identity } from "./identity.js";
import type { Manifold } from "./manifold.js";

export type { Manifold, ManifoldInstance, OptionKind, Options, OptionValue } from "./manifold.js";

export const manifolds: Readonly<Record<string, Manifold>> = { birkhoff, identity };
