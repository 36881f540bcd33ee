/**
 * Settings from outside of a page (`--set train.rate=3e-3`): each is a text of its own, read by the page's grammar,
 * so that what can be written on the page can be set, and an error stands in the flag and not at a place of the
 * page that nobody wrote.
 */
import { valueAt } from "../../../runtime/records.js";
import type { Every, Expr, ParameterTarget } from "../../../grammar/ast.js";
import type { Span } from "../../diagnostics/span.js";
import { parseSetting, parseTargets } from "../../../grammar/parse.js";
import { fail, giveUp, type Elaboration } from "./scope.js";

/** Flags as they were given, by name: `train.rate` -> `3e-3`. */
export type FlagTexts = Readonly<Record<string, string>>;

const PREFIX = "--set ";

/** The text of a flag as diagnostics show it, by the name of its file; undefined for other files. */
export function flagText(flags: FlagTexts, file: string): string | undefined {
  const name = file.startsWith(PREFIX) ? file.slice(PREFIX.length) : null;
  const value = name === null ? undefined : valueAt(flags, name);
  return value === undefined ? undefined : `${name}=${value}`;
}

/** The place of a flag's name. */
export const nameOf = (name: string): Span => ({ file: `${PREFIX}${name}`, start: 0, end: name.length });

/** The place of a flag's value. */
export const valueOfFlag = (name: string, text: string): Span => {
  const start = name.length + 1;
  return { file: `${PREFIX}${name}`, start, end: start + Math.max(1, text.length) };
};

/** Parses what a flag says. Its value is null when that is wrong. */
const readFlag = (name: string, text: string): ReturnType<typeof parseSetting> =>
  parseSetting(padded(name, text), `${PREFIX}${name}`);

/** Blanks for the name, so that offsets are those of the flag's text. */
const padded = (name: string, text: string): string => `${" ".repeat(name.length + 1)}${text}`;

/** The targets that a flag lists, `embed, layers.0`; gives up when it lists none. */
export function flaggedTargets(state: Elaboration, name: string, text: string): readonly ParameterTarget[] {
  const { value, diagnostics } = parseTargets(padded(name, text), `${PREFIX}${name}`);
  diagnostics.forEach(state.report);
  return value ?? giveUp();
}

/** The value of a flag, as an expression; gives up when it is none. */
export function flagged(state: Elaboration, name: string, text: string): Expr {
  const { value, diagnostics } = readFlag(name, text);
  diagnostics.forEach(state.report);
  if (!value) return giveUp();
  return value.kind === "every" ? fail(state, "MHC502", value.span, "`every` is for `recompute`") : value;
}

/** The values of a section's flags, by the settings' own names; those that cannot be read are reported. */
export function flagsOf(state: Elaboration, section: string, flags: FlagTexts): ReadonlyMap<string, Expr | Every> {
  const values = Object.entries(flags).map(([name, text]) => {
    const { value, diagnostics } = readFlag(`${section}.${name}`, text);
    diagnostics.forEach(state.report);
    return [name, value] as const;
  });
  return new Map(values.flatMap(([name, value]) => (value ? [[name, value] as const] : [])));
}
