/** What a page declares and a typed model has as it is: numbers, starts of parameters, sources of data, dims. */
import type { DataInfo } from "../../runtime/plan.js";
import type { Span } from "../diagnostics/span.js";
import type { Size } from "../graph/sizes.js";

/** A number that may depend on facts: evaluated when the model is lowered. */
export interface DeferredNumber {
  readonly text: string;
  readonly value: () => number;
}

/** How a parameter starts: `normal(0.02)`. */
export interface StartValue {
  readonly kind: "constant" | "normal" | "uniform" | "identity" | "first" | "ramp";
  readonly args: readonly DeferredNumber[];
}

/** A `data` item. */
export interface DataSource {
  readonly name: string;
  readonly kind: DataInfo["kind"];
  readonly location: string;
  readonly holdout: number;
  /** Sizes that its options say: the window of a text, the height of images. */
  readonly stated: ReadonlyMap<string, Size>;
  /** Sizes that a page may name: `corpus.vocab`. */
  readonly sizes: ReadonlyMap<string, Size>;
  /** Numbers that a page may name, which only the data tells: `table.deviation`. */
  readonly numbers: ReadonlyMap<string, DeferredNumber>;
  /** What its options say beside sizes: `target`, `scale`. */
  readonly settings: Readonly<Record<string, string>>;
  readonly doc: string | null;
  readonly span: Span;
}

/** A `dim` item. */
export interface Dim {
  readonly name: string;
  readonly size: Size;
  readonly doc: string | null;
}
