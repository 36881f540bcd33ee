/**
 * The tokens of .mhc. Keywords are reserved words; everything else that looks like a word is a name. Newlines are
 * whitespace: no item begins with an operator or a bracket, so an expression ends where the next item's first word
 * stands.
 */
import { createToken, Lexer, type IToken, type TokenType } from "chevrotain";
import { unitPattern } from "./units.js";
import { recordOf } from "../runtime/records.js";

/** A name: letters a to z, digits and `_`, no digit first. */
export const Name = createToken({ name: "Name", label: "a name", pattern: /[A-Za-z_][A-Za-z0-9_]*/ });

/** Words of the language, which no name may be. */
export const keywords = [
  "use",
  "model",
  "block",
  "connection",
  "dim",
  "data",
  "manifold",
  "stream",
  "input",
  "output",
  "repeat",
  "if",
  "else",
  "loss",
  "metric",
  "param",
  "return",
  "through",
  "via",
  "as",
  "on",
  "each",
  "where",
  "adapt",
  "in",
  "monitored",
  "constrain",
  "cost",
  "train",
  "and",
  "or",
] as const;
/** A word of the language. */
export type Keyword = (typeof keywords)[number];

const keyword = (word: Keyword): TokenType =>
  createToken({
    name: `Keyword${word.charAt(0).toUpperCase()}${word.slice(1)}`,
    label: `\`${word}\``,
    pattern: new RegExp(word),
    longer_alt: Name,
  });

/** The token of each word of the language. */
export const word = recordOf(keywords.map((name) => [name, keyword(name)]));

/**
 * `number`, where it begins an item: before a name on its line, where no name may stand. Anywhere else it is a name, so
 * it is found among the tokens (`scan.ts`).
 */
export const NumberWord = createToken({ name: "NumberWord", label: "`number`", pattern: Lexer.NA });

const symbol = (name: string, text: string): TokenType =>
  createToken({ name, label: `\`${text}\``, pattern: new RegExp(text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")) });

/** `..` */
export const Range = symbol("Range", "..");
/** `.` */
export const Dot = symbol("Dot", ".");
/** `,` */
export const Comma = symbol("Comma", ",");
/** `:` */
export const Colon = symbol("Colon", ":");
/** `~` */
export const Tilde = symbol("Tilde", "~");
/** `{` */
export const LeftBrace = symbol("LeftBrace", "{");
/** `}` */
export const RightBrace = symbol("RightBrace", "}");
/** `(` */
export const LeftParen = symbol("LeftParen", "(");
/** `)` */
export const RightParen = symbol("RightParen", ")");
/** `[` */
export const LeftBracket = symbol("LeftBracket", "[");
/** `]` */
export const RightBracket = symbol("RightBracket", "]");
/** `<=` */
export const LessEqual = symbol("LessEqual", "<=");
/** `>=` */
export const GreaterEqual = symbol("GreaterEqual", ">=");
/** `==` */
export const EqualEqual = symbol("EqualEqual", "==");
/** `!=` */
export const NotEqual = symbol("NotEqual", "!=");
/** `<` */
export const Less = symbol("Less", "<");
/** `>` */
export const Greater = symbol("Greater", ">");
/** `=` */
export const Equals = symbol("Equals", "=");
/** `+` */
export const Plus = symbol("Plus", "+");
/** `-` */
export const Minus = symbol("Minus", "-");
/** `*` */
export const Star = symbol("Star", "*");
/** `/` */
export const Slash = symbol("Slash", "/");
/** `%` before an operand on its line: what is left of a division. Right behind a number it is a part of that. */
export const Percent = createToken({ name: "Percent", label: "`%`", pattern: /%(?=[ \t]*[\w(.])/ });
/** `^` */
export const Caret = symbol("Caret", "^");
const DIGITS = "\\d+(?:_\\d+)*";
const DECIMAL = `(?:${DIGITS}(?:\\.(?:${DIGITS}|(?=[eE][+-]?\\d)|(?![.\\w])))?|\\.${DIGITS})(?:[eE][+-]?\\d+)?`;
/**
 * A number, with `%` or a unit of memory behind it. Digits may be parted by `_`, and either side of the point may be
 * empty; the formatter writes the one form.
 */
export const numberPattern = `${DECIMAL}(?:%|[ \\t\u00a0\u202f]*(?:${unitPattern})\\b)?`;
/** A number. */
export const NumberToken = createToken({ name: "Number", label: "a number", pattern: new RegExp(numberPattern) });
/** A string on one line. An escape is checked where the text is read: an unknown one is an error of its own. */
export const StringToken = createToken({ name: "String", label: "a string", pattern: /"(?:[^"\\\n]|\\[^\n])*"/ });

/** A comment, which ends with its line. */
export const Comment = createToken({ name: "Comment", pattern: /\/\/[^\n]*/, group: "comments" });
const Space = createToken({ name: "Space", pattern: /\s+/, group: Lexer.SKIPPED, line_breaks: true });

/** The tokens of the language, without slips (`slips.ts`). */
export const tokens: readonly TokenType[] = [
  NumberToken,
  StringToken,
  Range,
  Dot,
  Comma,
  Colon,
  Tilde,
  LeftBrace,
  RightBrace,
  LeftParen,
  RightParen,
  LeftBracket,
  RightBracket,
  LessEqual,
  GreaterEqual,
  EqualEqual,
  NotEqual,
  Less,
  Greater,
  Equals,
  Plus,
  Minus,
  Star,
  Slash,
  Percent,
  Caret,
  ...keywords.map((name) => word[name]),
  NumberWord,
  Name,
];

/** What stands between tokens: blanks, and comments. */
export const between: readonly [TokenType, TokenType] = [Space, Comment];

/** The offset behind a token. */
export const endOf = ({ startOffset, endOffset }: IToken): number => (endOffset ?? startOffset) + 1;

/** Whether a token begins below the line that another ends on. */
export const isBelow = (token: IToken, other: IToken): boolean => (token.startLine ?? 0) > (other.endLine ?? 0);

/** A token read as one of another type, and with another text if there is one. */
export const readAs = (token: IToken, tokenType: TokenType, image = token.image): IToken => ({
  ...token,
  image,
  tokenType,
  tokenTypeIdx: tokenType.tokenTypeIdx ?? token.tokenTypeIdx,
});
