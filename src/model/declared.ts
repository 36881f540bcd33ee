/** What a page declares and a typed model has as it is: starts of parameters and sources of data. */
import type { DataInfo } from "../../runtime/plan.js";
import type { Span } from "../diagnostics/span.js";
import type { Size } from "../graph/sizes.js";
import type { DeferredNumber } from "./deferred.js";

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

/** One index of tensors in one scope. Identity is what counts; the name is for people. */
export interface Axis {
  readonly name: string;
  readonly size: Size;
}

/** Something that is looked up by name and holds numbers. */
export interface Tensor {
  readonly name: string;
  readonly kind: "parameter" | "let" | "formal" | "stream" | "data" | "input" | "term";
  readonly axes: readonly Axis[];
  readonly dtype: "f32" | "u32";
  /** For u32: values are below this size. */
  readonly range: Size | null;
  readonly span: Span;
}
