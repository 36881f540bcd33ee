/** What a habit (`habits.ts`) sees of a syntax error, what it tells, and the ways of looking that they share. */
import type { IToken, TokenType } from "chevrotain";
import { mustAt } from "../runtime/lookup.js";
import { nearest } from "../src/diagnostics/suggest.js";
import * as t from "./lexer.js";

/** A slip as it is told: from one token to another. */
export interface Told {
  /** Instead of the parser's own words. */
  readonly message?: string;
  readonly fix: string;
  /** Instead of the token that does not belong. */
  readonly place?: readonly [IToken, IToken];
  /** The word that the first one of the item was meant to be. */
  readonly meant?: t.Keyword;
}

/** What a row sees: a syntax error among the tokens of a page. */
export interface Seen {
  /** The token that does not belong, the one before it, and the first of the item. */
  readonly token: IToken;
  readonly before: IToken | undefined;
  readonly after: IToken | undefined;
  readonly first: IToken | undefined;
  /** The second of the item. */
  readonly second: IToken | undefined;
  /** What was expected, in words. */
  readonly expected: string;
  /** The innermost rule that was being read. */
  readonly rules: readonly string[];
  readonly tokens: readonly IToken[];
  /** The positions of the item's first token and of the one that does not belong. */
  readonly from: number;
  readonly at: number;
  /** The page. */
  readonly text: string;
}

/** A habit: what it tells of an error that it knows, null of others. */
export type HabitRow = (seen: Seen) => Told | null;

/** Signs of comparisons. */
export const COMPARISONS: ReadonlySet<TokenType> = new Set([
  t.Less,
  t.LessEqual,
  t.Greater,
  t.GreaterEqual,
  t.EqualEqual,
  t.NotEqual,
]);
/** Signs of arithmetic. */
export const OPERATORS: ReadonlySet<TokenType> = new Set([t.Plus, t.Minus, t.Star, t.Slash, t.Caret]);
/** Brackets that close, but for braces. */
export const CLOSES: ReadonlySet<TokenType> = new Set([t.RightParen, t.RightBracket]);
/** What an expression may end with. */
export const ENDS: ReadonlySet<TokenType> = new Set([
  t.Name,
  t.NumberToken,
  t.StringToken,
  t.RightParen,
  t.RightBracket,
]);
/** What an expression may begin with, but for signs and brackets. */
export const BEGINS: ReadonlySet<TokenType> = new Set([t.Name, t.NumberToken, t.StringToken]);
/** Whether a token is a word of the language. */
export const isKeyword = (token: IToken): boolean => (t.keywords as readonly string[]).includes(token.image);
/** Whether one token begins on the line that another ends on. */
export const sameLine = (a: IToken | undefined, b: IToken): boolean => a !== undefined && a.endLine === b.startLine;

/** The position of the token that opens what the one at `close` closes; 0 when there is none. */
export function opening(tokens: readonly IToken[], close: number): number {
  let depth = 0;
  for (let i = close; i >= 0; i--) {
    const { tokenType } = mustAt(tokens, i);
    if (tokenType === t.RightParen || tokenType === t.RightBracket) depth++;
    if ((tokenType === t.LeftParen || tokenType === t.LeftBracket) && --depth === 0) return i;
  }
  return 0;
}

/** The position of the token that closes what the one at `open` opens; itself when there is none. */
export function closing(tokens: readonly IToken[], open: number): number {
  let depth = 0;
  for (let i = open; i < tokens.length; i++) {
    const { tokenType } = mustAt(tokens, i);
    if (tokenType === t.LeftParen || tokenType === t.LeftBracket) depth++;
    if ((tokenType === t.RightParen || tokenType === t.RightBracket) && --depth === 0) return i;
  }
  return open;
}

/** The word of the language that a misspelt one is nearest to; null when none is near. */
export const wordNear = (image: string): t.Keyword | null =>
  t.keywords.find((word) => word === (nearest(image, t.keywords) ?? image.toLowerCase())) ?? null;

/** The text from one token to another. */
export const cut = (text: string, from: IToken, to: IToken): string => text.slice(from.startOffset, t.endOf(to));
