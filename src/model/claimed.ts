/** Claims of a page: what they bound, and what is known of them. */
import type { Axis, Parameter, Tensor } from "./typed.js";

/** What a claim is about. */
export type Quantity =
  /** How much the product of the mixes of a stream's connections can grow what passes through them. */
  | { readonly kind: "gain"; readonly stream: Tensor }
  /**
   * The largest singular value of a parameter, as a matrix of these rows and the other axes; of the layers of a
   * `repeat`, the largest.
   */
  | { readonly kind: "norm"; readonly parameter: Parameter; readonly rows: readonly Axis[] }
  | { readonly kind: "number"; readonly value: number }
  | { readonly kind: "product"; readonly factors: readonly Quantity[] }
  /** The product over the layers of a `repeat`. */
  | { readonly kind: "over"; readonly repeat: string; readonly quantity: Quantity };

/** `gain(x) <= 1.6 monitored` */
export interface Claim {
  /** As the page writes it, without `monitored`. */
  readonly text: string;
  readonly quantity: Quantity;
  readonly bound: number;
  /** Measured while training, and reported when it is broken. */
  readonly monitored: boolean;
  /** Why it holds, step by step; null when it does not follow and is only monitored. */
  readonly proof: readonly string[] | null;
}
