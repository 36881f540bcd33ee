/**
 * The registry of manifolds: one record each, in a file of its own. A record says which options a manifold has, how many free
 * coordinates describe a point of it, how they start, the map from them onto the set, and how far a value is from the set. The
 * language, the monitors and the generated tests read only this.
 */
import type { Builder } from "../graph/builder.js";
import type { Node } from "../graph/node.js";
import type { Polynomial } from "../graph/sizes.js";
import { birkhoff } from "./birkhoff.js";
import { identity } from "./identity.js";

export type OptionValue = number | boolean | string;

export type OptionKind =
  | { readonly kind: "integer"; readonly default: number; readonly from: number; readonly to: number }
  | { readonly kind: "flag"; readonly default: boolean }
  | { readonly kind: "choice"; readonly default: string; readonly choices: readonly string[] };

export type Options = Readonly<Record<string, OptionValue>>;

export interface Manifold {
  readonly name: string;
  /** One sentence: the set. */
  readonly summary: string;
  readonly options: Readonly<Record<string, OptionKind>>;
  /** Free coordinates of an n x n value; a reason when there are none for this n. */
  readonly free: (n: Polynomial, options: Options) => Polynomial | { readonly error: string };
  /** How the free coordinates start, as the start of a parameter over the last axis. */
  readonly start: (options: Options) => { readonly kind: "identity" | "constant" | "first"; readonly value: number };
  /** [..., free] -> [..., n, n]; `shape` is the shape of the result. `free` is null when there are no free coordinates. */
  readonly map: (b: Builder, free: Node | null, shape: readonly number[], options: Options) => Node;
  /** Distance of [..., n, n] from the set: the largest violation, a scalar. */
  readonly violation: (b: Builder, value: Node) => Node;
  /** What the map keeps in f32, in the unit of `violation`; null when the map only approaches the set. */
  readonly tolerance: (options: Options) => number | null;
  /** Whether products of members are members. */
  readonly closedUnderProduct: boolean;
}

export interface ManifoldInstance {
  readonly manifold: Manifold;
  readonly options: Options;
}

export const manifolds: Readonly<Record<string, Manifold>> = { birkhoff, identity };
