/**
 * How deep a page may nest. The parser and all that walks its tree call themselves once a level, so that ten thousand
 * parentheses would end in the host's stack instead of in a sentence. Levels are brackets of all kinds, and the
 * operators that stand in one row, since `a + b + c` is a tree of two levels. Pages of people have a tenth of this.
 */
import type { IToken, TokenType } from "chevrotain";
import type { Diagnostic } from "../src/diagnostics/diagnostic.js";
import { diagnostic } from "../src/diagnostics/table.js";
import * as t from "./lexer.js";

/** Brackets inside one another. */
export const MOST_BRACKETS = 64;
/** Operators in a row. */
export const MOST_OPERATORS = 256;

const opening: ReadonlySet<TokenType> = new Set([t.LeftBrace, t.LeftParen, t.LeftBracket]);
const closing: ReadonlySet<TokenType> = new Set([t.RightBrace, t.RightParen, t.RightBracket]);
const operators: ReadonlySet<TokenType> = new Set([
  t.Plus,
  t.Minus,
  t.Star,
  t.Slash,
  t.Caret,
  t.Less,
  t.LessEqual,
  t.Greater,
  t.GreaterEqual,
  t.EqualEqual,
  t.NotEqual,
  t.word.and,
  t.word.or,
  t.word.else,
]);
const separators: ReadonlySet<TokenType> = new Set([t.Comma, t.Equals, t.Tilde, t.word.return]);

/** The first place that is too deep; null when none is. */
export function tooDeep(tokens: readonly IToken[], file: string): Diagnostic | null {
  /** Operators so far in the rows around the one that is open, and in that. */
  const outer: number[] = [];
  let inRow = 0;
  for (const token of tokens) {
    const { tokenType } = token;
    const span = { file, start: token.startOffset, end: t.endOf(token) };
    if (opening.has(tokenType)) {
      outer.push(inRow);
      inRow = 0;
    } else if (closing.has(tokenType)) {
      inRow = outer.pop() ?? inRow;
      // A row of operators ends where braces close.
      if (tokenType === t.RightBrace) inRow = 0;
    } else if (separators.has(tokenType)) inRow = 0;
    else if (operators.has(tokenType)) inRow++;
    if (outer.length > MOST_BRACKETS)
      return diagnostic("MHC109", span, `more than ${MOST_BRACKETS} brackets are open here`, {
        fix: "name the inner parts: `h = …`",
      });
    if (inRow > MOST_OPERATORS)
      return diagnostic("MHC109", span, `more than ${MOST_OPERATORS} operators stand in one row here`, {
        fix: "name a part of it, `h = …`, or sum along an axis",
      });
  }
  return null;
}
