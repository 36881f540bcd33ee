/**
 * What the compiler says instead of throwing. A diagnostic names one row of the table of codes, the place it is about
 * and, where they help, a second place and a fix. Rendering (code frames) and JSON live beside this file; the rest of
 * the compiler only makes these records.
 */
import type { Span } from "./span.js";

/** An error ends compiling, a warning does not. */
export type Severity = "error" | "warning";

/** A second place worth showing: "w is declared here". `span` null for a note without a place. */
export interface Note {
  readonly message: string;
  readonly span: Span | null;
}

/** One thing that is wrong with a page. */
export interface Diagnostic {
  /** A code of the table: `MHC203`. */
  readonly code: string;
  readonly severity: Severity;
  /** What is wrong, in the words of the page. */
  readonly message: string;
  /** The place that it is about. */
  readonly span: Span;
  readonly notes: readonly Note[];
  /**
   * Where what it is about is declared, when that is elsewhere than at its place: an `allow` there is one of it too.
   */
  readonly about?: readonly Span[];
  /** What to do about it, in one sentence; null when nothing better than the message is known. */
  readonly fix: string | null;
}
