/** What a habit (`habits.ts`) sees of a syntax error, what it tells, and the ways of looking that they share. */
import type { IToken, TokenType } from "chevrotain";
import { nearest } from "../src/diagnostics/suggest.js";
import * as t from "./lexer.js";

/** A slip as it is told: from one token to another. */
export interface Told {
  readonly message?: string;
  readonly fix: string;
  readonly place?: readonly [IToken, IToken];
  /** The word that the first one of the item was meant to be. */
  readonly meant?: t.Keyword;
}

/** What a row sees. */
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
  readonly from: number;
  readonly at: number;
  readonly text: string;
}

export type Row = (seen: Seen) => Told | null;

export const COMPARISONS: ReadonlySet<TokenType> = new Set([
  t.Less,
  t.LessEqual,
  t.Greater,
  t.GreaterEqual,
  t.EqualEqual,
  t.NotEqual,
]);
export const OPERATORS: ReadonlySet<TokenType> = new Set([t.Plus, t.Minus, t.Star, t.Slash, t.Caret]);
export const CLOSES: ReadonlySet<TokenType> = new Set([t.RightParen, t.RightBracket]);
export const ENDS: ReadonlySet<TokenType> = new Set([
  t.Name,
  t.NumberToken,
  t.StringToken,
  t.RightParen,
  t.RightBracket,
]);
export const BEGINS: ReadonlySet<TokenType> = new Set([t.Name, t.NumberToken, t.StringToken]);
export const isKeyword = (token: IToken): boolean => (t.keywords as readonly string[]).includes(token.image);
export const sameLine = (a: IToken | undefined, b: IToken): boolean => a !== undefined && a.endLine === b.startLine;

/** The token that opens what this one closes. */
export function opening(tokens: readonly IToken[], close: number): number {
  let depth = 0;
  for (let i = close; i >= 0; i--) {
    const { tokenType } = tokens[i]!;
    if (tokenType === t.RightParen || tokenType === t.RightBracket) depth++;
    if ((tokenType === t.LeftParen || tokenType === t.LeftBracket) && --depth === 0) return i;
  }
  return 0;
}

export function closing(tokens: readonly IToken[], open: number): number {
  let depth = 0;
  for (let i = open; i < tokens.length; i++) {
    const { tokenType } = tokens[i]!;
    if (tokenType === t.LeftParen || tokenType === t.LeftBracket) depth++;
    if ((tokenType === t.RightParen || tokenType === t.RightBracket) && --depth === 0) return i;
  }
  return open;
}

export const wordNear = (image: string): t.Keyword | null =>
  t.keywords.find((word) => word === (nearest(image, t.keywords) ?? image.toLowerCase())) ?? null;

export const cut = (text: string, from: IToken, to: IToken): string => text.slice(from.startOffset, to.endOffset! + 1);
