/**
 * What to say of a syntax error: the parser tells what it expected and what it found; here that is looked at as a
 * person would, who knows what is often meant (`habits.ts`). Where no habit is known, the parser's words stand.
 */
import { EOF, type IRecognitionException, type IToken } from "chevrotain";
import type { Diagnostic } from "../src/diagnostics/diagnostic.js";
import { diagnostic } from "../src/diagnostics/table.js";
import { FOREIGN } from "./foreign.js";
import { ROWS } from "./habits.js";
import { endOf, isBelow, type Keyword } from "./lexer.js";
import type { Seen, Told } from "./seen.js";

/** A syntax error among the tokens of a page. */
export interface SyntaxError {
  readonly error: IRecognitionException;
  readonly tokens: readonly IToken[];
  /** Where the error is among them; their number at the end of the file. */
  readonly at: number;
  /** The position of the first token of the item that it is in. */
  readonly from: number;
}

const expectedOf = (message: string): string => /^expected (.*?)(?: after `.*`)?, found /s.exec(message)?.[1] ?? "";

/** Whether something is missing where the last item ends, rather than something there that does not belong. */
export const lacking = (message: string): boolean =>
  /^`(?:[\])=}{[(~]|\.\.)`$|^an expression$|^a name$/.test(expectedOf(message));

/** A syntax error as it is told, and how reading goes on. */
interface Explained {
  readonly diagnostic: Diagnostic;
  /** The word of the language that the first of its item was to be. */
  readonly meant: Keyword | null;
  /** Whether what comes after it is not worth reading. */
  readonly last: boolean;
}

/** A syntax error in the user's words. */
export function explained(text: string, file: string, { error, tokens, at, from }: SyntaxError): Explained {
  const token = tokens[at] ?? error.token;
  const before = tokens[at - 1];
  const expected = expectedOf(error.message);
  const seen: Seen = {
    token,
    before,
    after: tokens[at + 1],
    first: tokens[from],
    second: tokens[from + 1],
    expected,
    rules: error.context.ruleStack,
    tokens,
    from,
    at,
    text,
  };
  let told: Told | null = null;
  for (const row of ROWS) if ((told = row(seen))) break;
  const end = token.tokenType === EOF;
  // A token that is missing at the end of a line is reported there, and not where the next line begins.
  const later = before && (end || isBelow(token, before)) && !told?.place && lacking(error.message);
  const [first, last] = told?.place ?? [token, token];
  const start = later ? endOf(before) : end ? (before?.endOffset ?? text.length) : first.startOffset;
  const stop = later ? start + 1 : end ? start + 1 : endOf(last);
  const place = { file, start, end: Math.max(stop, start + 1) };
  return {
    diagnostic: diagnostic("MHC103", place, told?.message ?? error.message, { fix: told?.fix ?? null }),
    meant: told?.meant ?? null,
    // A word that heads a body of another language: what follows is of that language too.
    last: error.context.ruleStack.length <= 1 && FOREIGN.has(seen.first?.image ?? ""),
  };
}
