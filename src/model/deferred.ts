/** Numbers of a page that are known when it is lowered, and not before. */

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

/** A `number` item. */
export interface NamedNumber {
  readonly name: string;
  readonly scalar: DeferredNumber;
  readonly doc: string | null;
}
