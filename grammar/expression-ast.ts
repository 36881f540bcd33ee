/**
 * The syntax tree of expressions: names, numbers, indices, calls and what joins them. What they stand in is in
 * `ast.ts`. An expression tree is a small union, because meaning (which name is a dim, a block or a tensor) is decided
 * by `src/model`, never by the grammar.
 */
import type { Span } from "../src/diagnostics/span.js";

/** A name with the place where it stands. */
export interface Ident {
  readonly name: string;
  readonly span: Span;
}

/** A dotted path: `x`, `corpus.token`, `embed.table`, `M.free`. */
export interface Path {
  readonly kind: "path";
  readonly parts: readonly [Ident, ...Ident[]];
  readonly span: Span;
}

/**
 * `10%` has value 0.1 and percent true, `2 KiB` has value 2048 (NaN if there is no such unit) and bytes true. `text` is
 * the number as written, with one blank before a unit.
 */
export interface NumberLiteral {
  readonly kind: "number";
  readonly value: number;
  readonly percent: boolean;
  readonly bytes: boolean;
  readonly text: string;
  readonly span: Span;
}

/** `"./mine.mhc"`; `value` is the text between the quotes. */
export interface StringLiteral {
  readonly kind: "string";
  readonly value: string;
  readonly span: Span;
}

/** `(0.9, 0.99)`: two or more items. A parenthesised single expression is `group`. */
export interface Tuple {
  readonly kind: "tuple";
  readonly items: readonly Expr[];
  readonly span: Span;
}

/** `(a + b)`: one expression in parentheses. */
export interface Group {
  readonly kind: "group";
  readonly inner: Expr;
  readonly span: Span;
}

/** `base[a, b]`: the names of a tensor's axes, or index expressions as in `table[token[t], w]`. */
export interface Indexed {
  readonly kind: "index";
  readonly base: Path;
  readonly axes: readonly Expr[];
  readonly span: Span;
}

/** One argument of a call. */
export interface Arg {
  /** `hidden` in `hidden = 4 * width`; null for a positional argument. */
  readonly name: Ident | null;
  readonly value: Expr;
  readonly span: Span;
}

/** `callee[axes](list)(list) as name`; `axes` as in `softmax[u](…)`; most calls have one list. */
export interface Call {
  readonly kind: "call";
  readonly callee: Path;
  readonly axes: readonly Ident[] | null;
  readonly lists: readonly (readonly Arg[])[];
  readonly as: Ident | null;
  readonly span: Span;
}

/** The one sign before an operand. */
export type UnarySign = "-";
/** The signs and words between two operands. */
export type BinarySign = "+" | "-" | "*" | "/" | "%" | "^" | "<" | "<=" | ">" | ">=" | "==" | "!=" | "and" | "or";

/** `-x` */
export interface Unary {
  readonly kind: "unary";
  readonly op: UnarySign;
  readonly operand: Expr;
  readonly span: Span;
}

/** `a + b`, `t <= u` */
export interface Binary {
  readonly kind: "binary";
  readonly op: BinarySign;
  readonly left: Expr;
  readonly right: Expr;
  readonly span: Span;
}

/** `value where condition`: absent where the condition is false. Binds looser than all but `else`. */
export interface Where {
  readonly kind: "where";
  readonly value: Expr;
  readonly condition: Expr;
  readonly span: Span;
}

/**
 * `value else otherwise`: the second where the first is absent, which a `where` or an index outside of a tensor may
 * make it. Binds loosest of all.
 */
export interface Else {
  readonly kind: "else";
  readonly value: Expr;
  readonly otherwise: Expr;
  readonly span: Span;
}

/** An expression. The grammar does not know what its names stand for. */
export type Expr =
  | Path
  | NumberLiteral
  | StringLiteral
  | Tuple
  | Group
  | Indexed
  | Call
  | Unary
  | Binary
  | Where
  | Else;
