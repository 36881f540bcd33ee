/**
 * The half of the grammar that expressions need, by chevrotain, building the syntax tree as it goes; `parser.ts` adds
 * declarations. Reading ends at the first error: how the rest of a page is read then is `parse.ts`'s affair.
 */
import { EmbeddedActionsParser, type IToken } from "chevrotain";
import type { Arg, BinarySign, Expr, Ident, NumberLiteral, Path, StringLiteral } from "./ast.js";
import type { Span } from "../src/diagnostics/span.js";
import * as t from "./lexer.js";
import { messages } from "./messages.js";
import { parseBytes } from "./units.js";

const word = t.word;
/** What has a place: a part of the tree or a token. */
type WithPlace = { readonly span: Span } | IToken | undefined | null;

/** Rules for expressions. Every rule is a field, as chevrotain wants it, and returns the tree of what it read. */
export class ExpressionParser extends EmbeddedActionsParser {
  /** The page's name, for spans. */
  file = "";
  /** The doc comment that ends just above an offset. */
  docs: (start: number) => string | null = () => null;

  constructor() {
    super([...t.tokens], { recoveryEnabled: false, maxLookahead: 3, errorMessageProvider: messages });
  }

  protected span(from: WithPlace, to: WithPlace = from): Span {
    const start = !from ? 0 : "span" in from ? from.span.start : from.startOffset;
    const end = !to ? start : "span" in to ? to.span.end : (to.endOffset ?? to.startOffset) + 1;
    return { file: this.file, start, end: Math.max(start, end) };
  }

  protected ident = this.RULE("ident", (): Ident => {
    const token = this.CONSUME(t.Name);
    return { name: token.image, span: this.span(token) };
  });

  protected path = this.RULE("path", (): Path => {
    const parts: [Ident, ...Ident[]] = [this.SUBRULE(this.ident)];
    this.MANY(() => {
      this.CONSUME(t.Dot);
      parts.push(this.SUBRULE2(this.ident));
    });
    return { kind: "path", parts, span: this.span(parts[0], parts.at(-1)) };
  });

  protected axes = this.RULE("axes", (): Ident[] => {
    const axes: Ident[] = [];
    this.CONSUME(t.LeftBracket);
    this.MANY_SEP({ SEP: t.Comma, DEF: () => axes.push(this.SUBRULE(this.ident)) });
    this.CONSUME(t.RightBracket);
    return axes;
  });

  protected args = this.RULE("args", (): Arg[] => {
    const args: Arg[] = [];
    this.CONSUME(t.LeftParen);
    this.MANY_SEP({
      SEP: t.Comma,
      DEF: () => {
        const name = this.OPTION({
          GATE: () => this.LA(2).tokenType === t.Equals,
          DEF: () => {
            const ident = this.SUBRULE(this.ident);
            this.CONSUME(t.Equals);
            return ident;
          },
        });
        const value = this.SUBRULE(this.expression);
        args.push({ name: name ?? null, value, span: this.span(name ?? value, value) });
      },
    });
    this.CONSUME(t.RightParen);
    return args;
  });

  /** A path, an indexed tensor, a call, or a reducer's call: `softmax[u](…)`. */
  protected reference = this.RULE("reference", (): Expr => {
    const base = this.SUBRULE(this.path);
    let close: WithPlace = base;
    const axes = this.OPTION((): Expr[] => {
      const indices: Expr[] = [];
      this.CONSUME(t.LeftBracket);
      this.MANY_SEP({ SEP: t.Comma, DEF: () => indices.push(this.SUBRULE(this.expression)) });
      close = this.CONSUME(t.RightBracket);
      return indices;
    });
    const lists: Arg[][] = [];
    this.MANY(() => {
      lists.push(this.SUBRULE(this.args));
      close = this.LA(0);
    });
    let as: Ident | null = null;
    this.OPTION2({
      GATE: () => lists.length > 0,
      DEF: () => {
        this.CONSUME(word.as);
        as = this.SUBRULE(this.ident);
        close = as;
      },
    });
    return this.ACTION((): Expr => {
      const span = this.span(base, close);
      if (lists.length === 0) return axes ? { kind: "index", base, axes, span } : base;
      const names = axes?.flatMap((axis) => (axis?.kind === "path" ? axis.parts.slice(0, 1) : [])) ?? null;
      return { kind: "call", callee: base, axes: names, lists, as, span };
    });
  });

  protected number = this.RULE("number", (): NumberLiteral => {
    const token = this.CONSUME(t.NumberToken);
    const image = plainNumber(token.image);
    const percent = image.endsWith("%");
    const size = parseBytes(image);
    const value = Number.parseFloat(image);
    const text = size?.text ?? image;
    return {
      kind: "number",
      value: size?.bytes ?? (percent ? value / 100 : value),
      percent,
      bytes: size !== null,
      text,
      span: this.span(token),
    };
  });

  protected string = this.RULE("string", (): StringLiteral => {
    const token = this.CONSUME(t.StringToken);
    const span = this.span(token);
    return this.ACTION((): StringLiteral => {
      const bad = unknownEscape(token.image);
      if (bad !== null) this.escapes.push({ span, at: bad });
      return { kind: "string", value: token.image.slice(1, -1).replace(/\\(.)/g, "$1"), span };
    });
  });
  /** Strings with an escape that there is not, and where in the string it stands: the caller reports them. */
  escapes: { readonly span: Span; readonly at: number }[] = [];

  protected group = this.RULE("group", (): Expr => {
    const items: Expr[] = [];
    const open = this.CONSUME(t.LeftParen);
    this.AT_LEAST_ONE_SEP({
      ERR_MSG: "an expression",
      SEP: t.Comma,
      DEF: () => items.push(this.SUBRULE(this.expression)),
    });
    const close = this.CONSUME(t.RightParen);
    const span = this.span(open, close);
    const [inner, second] = items;
    // There is one at least, but for when chevrotain records the rule.
    return inner && !second ? { kind: "group", inner, span } : { kind: "tuple", items, span };
  });

  protected atom = this.RULE("atom", (): Expr =>
    this.OR({
      ERR_MSG: "an expression",
      DEF: [
        { ALT: (): Expr => this.SUBRULE(this.reference) },
        { ALT: (): Expr => this.SUBRULE(this.number) },
        { ALT: (): Expr => this.SUBRULE(this.string) },
        { ALT: (): Expr => this.SUBRULE(this.group) },
      ],
    }),
  );

  protected power = this.RULE("power", (): Expr => {
    const left = this.SUBRULE(this.atom);
    let right: Expr | null = null;
    this.OPTION(() => {
      this.CONSUME(t.Caret);
      right = this.SUBRULE(this.unary);
    });
    return right ? { kind: "binary", op: "^", left, right, span: this.span(left, right) } : left;
  });

  protected unary = this.RULE("unary", (): Expr =>
    this.OR({
      ERR_MSG: "an expression",
      DEF: [
        {
          ALT: (): Expr => {
            const minus = this.CONSUME(t.Minus);
            const operand = this.SUBRULE(this.unary);
            return { kind: "unary", op: "-", operand, span: this.span(minus, operand) };
          },
        },
        { ALT: (): Expr => this.SUBRULE(this.power) },
      ],
    }),
  );

  protected binary(left: Expr, op: IToken, right: Expr): Expr {
    return { kind: "binary", op: op.image as BinarySign, left, right, span: this.span(left, right) };
  }

  protected product = this.RULE("product", (): Expr => {
    let left = this.SUBRULE(this.unary);
    this.MANY(() => {
      const op = this.OR([
        { ALT: () => this.CONSUME(t.Star) },
        { ALT: () => this.CONSUME(t.Slash) },
        { ALT: () => this.CONSUME(t.Percent) },
      ]);
      left = this.binary(left, op, this.SUBRULE2(this.unary));
    });
    return left;
  });

  protected sum = this.RULE("sum", (): Expr => {
    let left = this.SUBRULE(this.product);
    this.MANY(() => {
      const op = this.OR([{ ALT: () => this.CONSUME(t.Plus) }, { ALT: () => this.CONSUME(t.Minus) }]);
      left = this.binary(left, op, this.SUBRULE2(this.product));
    });
    return left;
  });

  protected comparison = this.RULE("comparison", (): Expr => {
    let left = this.SUBRULE(this.sum);
    this.OPTION({
      // In a section, `energy <= 50%` is a bound: its `<=` is not part of an expression.
      GATE: () => !this.inClause,
      DEF: () => {
        const op = this.OR([
          { ALT: () => this.CONSUME(t.LessEqual) },
          { ALT: () => this.CONSUME(t.Less) },
          { ALT: () => this.CONSUME(t.GreaterEqual) },
          { ALT: () => this.CONSUME(t.Greater) },
          { ALT: () => this.CONSUME(t.EqualEqual) },
          { ALT: () => this.CONSUME(t.NotEqual) },
        ]);
        left = this.binary(left, op, this.SUBRULE2(this.sum));
      },
    });
    return left;
  });
  /** Whether a bound of a section is being read. Reset before every text: an error may leave it set. */
  inClause = false;

  protected conjunction = this.RULE("conjunction", (): Expr => {
    let left = this.SUBRULE(this.comparison);
    this.MANY(() => {
      const op = this.CONSUME(word.and);
      left = this.binary(left, op, this.SUBRULE2(this.comparison));
    });
    return left;
  });

  protected disjunction = this.RULE("disjunction", (): Expr => {
    let left = this.SUBRULE(this.conjunction);
    this.MANY(() => {
      const op = this.CONSUME(word.or);
      left = this.binary(left, op, this.SUBRULE2(this.conjunction));
    });
    return left;
  });

  protected expression: (idx?: number) => Expr = this.RULE("expression", (): Expr => {
    const value = this.SUBRULE(this.disjunction);
    let condition: Expr | null = null;
    this.OPTION(() => {
      this.CONSUME(word.where);
      condition = this.SUBRULE2(this.disjunction);
    });
    const guarded: Expr = condition ? { kind: "where", value, condition, span: this.span(value, condition) } : value;
    let otherwise: Expr | null = null;
    this.OPTION2(() => {
      this.CONSUME(word.else);
      otherwise = this.SUBRULE(this.expression);
    });
    return otherwise ? { kind: "else", value: guarded, otherwise, span: this.span(guarded, otherwise) } : guarded;
  });
}

/** A number in the one form that the formatter writes: `.5` is `0.5`, `1.` is `1.0`, `1_000` is `1000`. */
const plainNumber = (image: string): string =>
  image
    .replaceAll("_", "")
    .replace(/[\u00a0\u202f]/g, " ")
    .replace(/^\./, "0.")
    .replace(/\.(?!\d)/, ".0");

/**
 * Where an escape stands that strings do not have, or null: `\"` and `\\` are all there are, since strings are paths.
 */
function unknownEscape(image: string): number | null {
  for (const { index, 0: escape } of image.matchAll(/\\./g)) if (!/["\\]/.test(escape.charAt(1))) return index;
  return null;
}
