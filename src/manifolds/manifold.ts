/**
 * What a manifold is to the rest of the compiler: a record that says which options it has, how many free coordinates describe a point
 * of it, how they start, the map from them onto the set, and how far a value is from the set.
 */
import type { Builder } from "../graph/builder.js";
import type { Node } from "../graph/node.js";
import type { Polynomial } from "../graph/sizes.js";

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
  /** Distances from the set of the matrices [..., n, n], one each: [...]. */
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
