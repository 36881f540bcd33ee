/**
 * What of a page is known when it is lowered, and not before: numbers that depend on facts or on the layer, and, with
 * them, which branch of an `if` a layer has.
 */
import type { Span } from "../diagnostics/span.js";
import type { Size } from "../graph/sizes.js";

/** The numbers of the layers that a place of a page is in, from 0: of each `repeat` around it, the outermost first. */
export type LayerNumbers = readonly number[];

/** A number that may depend on facts and on the layer: evaluated when the model is lowered. */
export interface DeferredNumber {
  readonly text: string;
  /** Its value in a layer; NaN where it depends on a fact, or on a layer, that is not given. */
  readonly value: (layers?: LayerNumbers) => number;
  /** The `repeat`s whose layer it depends on, by their depth: 0 is the outermost. None when it does not say. */
  readonly depths?: readonly number[];
}

/** A `dim` item. */
export interface Dim {
  readonly name: string;
  readonly size: Size;
  readonly doc: string | null;
  /** Where its value is said: on the page, or in a flag. */
  readonly place: Span;
}

/** A `number` item. */
export interface NamedNumber {
  readonly name: string;
  readonly scalar: DeferredNumber;
  readonly doc: string | null;
}

/** One branch of an `if`: the layers that have it are those in which the condition is not 0, if it is `taken`. */
export interface Branch {
  readonly kind: "branch";
  readonly condition: DeferredNumber;
  readonly taken: boolean;
}

/** What a part of a page stands in. */
export type Around =
  | { readonly kind: "repeat"; readonly name: string; readonly count: Size; readonly shared: boolean }
  | Branch;

/** Whether a branch is that of a layer. */
export const isTaken = ({ condition, taken }: Branch, layers: LayerNumbers): boolean => {
  const value = condition.value(layers);
  return (value !== 0 && !Number.isNaN(value)) === taken;
};

/** Whether something that stands in these is there in some layers only, or not at all. */
export const isConditional = (around: readonly Around[] | undefined): boolean =>
  around?.some(({ kind }) => kind === "branch") ?? false;
