/**
 * Diagnostics for people and for programs: a code frame with the lines underlined, and the JSON of the command line's
 * contract. `sources` gives the text of a file by name; a place in a file that is not at hand is named without its
 * lines.
 */
import type { Span } from "./span.js";
import { underlined } from "./columns.js";
import type { Diagnostic } from "./diagnostic.js";

/** The text of a file by its name; undefined when it is not at hand. */
export type Sources = (file: string) => string | undefined;

/** A place in a text as editors count it. */
export interface Position {
  /** From 1. */
  readonly line: number;
  readonly column: number;
}

/** Line and column of an offset; a byte order mark is no column. */
export function positionOf(text: string, offset: number): Position {
  const before = text.slice(0, offset);
  const line = before.split("\n").length;
  const start = before.lastIndexOf("\n") + 1;
  return { line, column: Math.max(1, offset - (start === 0 && text.startsWith(MARK) ? 1 : start) + 1) };
}
const MARK = "\ufeff";

/** A diagnostic for people, over several lines; with `color` in the colors of terminals. */
export function render(
  diagnostic: Diagnostic,
  sources: Sources,
  { color = false }: { readonly color?: boolean } = {},
): string {
  const paint = (code: string, text: string): string => (color ? `\u001b[${code}m${text}\u001b[0m` : text);
  const tone = diagnostic.severity === "error" ? "31;1" : "33;1";
  const out = [
    `${paint(tone, `${diagnostic.severity} ${diagnostic.code}`)}${paint("1", `: ${diagnostic.message}`)}`,
    ...frame(diagnostic.span, sources, (text) => paint(tone, text)),
  ];
  for (const note of diagnostic.notes) {
    out.push(`${paint("36", "note")}: ${note.message}`);
    if (note.span) out.push(...frame(note.span, sources, (text) => paint("36", text)));
  }
  if (diagnostic.fix) out.push(`${paint("32", "fix")}: ${diagnostic.fix}`);
  return out.join("\n");
}

/** The line that a place is in, underlined there. */
function frame(span: Span, sources: Sources, paint: (text: string) => string): string[] {
  const text = sources(span.file);
  if (text === undefined) return [`  --> ${span.file}`];
  const { line, column } = positionOf(text, span.start);
  const source = (text.split("\n")[line - 1] ?? "").replace(/\r$/, "").replace(line === 1 ? MARK : "", "");
  const gutter = `${line}`.length;
  const shown = underlined(
    source,
    column - 1,
    Math.min(column - 1 + (span.end - span.start), Math.max(column, source.length)),
  );
  return [
    `${" ".repeat(gutter)}--> ${span.file}:${line}:${column}`,
    `${line} | ${shown.line}`,
    `${" ".repeat(gutter)} | ${shown.under}${paint(shown.marks)}`,
  ];
}

/** The keys that scripts may rely on: code, severity, message, file, start, end, notes, fix. */
export function toJson(diagnostic: Diagnostic, sources: Sources): Readonly<Record<string, unknown>> {
  const place = (span: Span): { file: string; start: Position | null; end: Position | null } => {
    const text = sources(span.file);
    return {
      file: span.file,
      start: text === undefined ? null : positionOf(text, span.start),
      end: text === undefined ? null : positionOf(text, span.end),
    };
  };
  const { code, severity, message, span, notes, fix } = diagnostic;
  return {
    code,
    severity,
    message,
    ...place(span),
    notes: notes.map((note) => ({ message: note.message, ...(note.span ? place(note.span) : {}) })),
    fix,
  };
}
