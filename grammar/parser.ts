/**
 * The grammar, by chevrotain, building the syntax tree as it goes. Recovery is on, so that several errors are reported at once;
 * after an error the tree is only partial, and callers use it no further than its diagnostics.
 */
import { EmbeddedActionsParser, EOF, type IToken, type TokenType } from "chevrotain";
import type {
  AdaptClause, Apply, Arg, BinaryOp, Block, Call, Clause, DataDecl, DimDecl, Expr, Formal, Ident, InputDecl, Let, LossDecl,
  ManifoldDecl, Model, ModelItem, NumberLiteral, OutputDecl, ParamDecl, Path, Repeat, Section, Span, StreamDecl, StringLiteral, Use,
} from "./ast.js";
import * as t from "./lexer.js";
import { messages } from "./messages.js";

const word = t.word;
type Located = { readonly span: Span } | IToken | undefined | null;

export class MhcParser extends EmbeddedActionsParser {
  file = "";
  /** The doc comment that ends just above an offset. */
  docs: (start: number) => string | null = () => null;

  constructor() {
    super(t.tokens, { recoveryEnabled: true, maxLookahead: 3, errorMessageProvider: messages });
    this.performSelfAnalysis();
  }

  private span(from: Located, to: Located = from): Span {
    const start = !from ? 0 : "span" in from ? from.span.start : from.startOffset;
    const end = !to ? start : "span" in to ? to.span.end : (to.endOffset ?? to.startOffset) + 1;
    return { file: this.file, start, end: Math.max(start, end) };
  }

  private ident = this.RULE("ident", (): Ident => {
    const token = this.CONSUME(t.Name);
    return { name: token.image, span: this.span(token) };
  });

  private path = this.RULE("path", (): Path => {
    const parts: Ident[] = [];
    parts.push(this.SUBRULE(this.ident));
    this.MANY(() => {
      this.CONSUME(t.Dot);
      parts.push(this.SUBRULE2(this.ident));
    });
    return { kind: "path", parts, span: this.span(parts[0], parts[parts.length - 1]) };
  });

  private axes = this.RULE("axes", (): Ident[] => {
    const axes: Ident[] = [];
    this.CONSUME(t.LeftBracket);
    this.MANY_SEP({ SEP: t.Comma, DEF: () => axes.push(this.SUBRULE(this.ident)) });
    this.CONSUME(t.RightBracket);
    return axes;
  });

  private args = this.RULE("args", (): Arg[] => {
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
  private reference = this.RULE("reference", (): Expr => {
    const base = this.SUBRULE(this.path);
    let axes: Expr[] | null = null;
    let close: Located = base;
    this.OPTION(() => {
      axes = [];
      this.CONSUME(t.LeftBracket);
      this.MANY_SEP({ SEP: t.Comma, DEF: () => axes!.push(this.SUBRULE(this.expression)) });
      close = this.CONSUME(t.RightBracket);
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
      const names = axes === null ? null : (axes as Expr[]).flatMap((axis) => (axis?.kind === "path" ? axis.parts.slice(0, 1) : []));
      return { kind: "call", callee: base, axes: names, lists, as, span };
    });
  });

  private number = this.RULE("number", (): NumberLiteral => {
    const token = this.CONSUME(t.NumberToken);
    const percent = token.image.endsWith("%");
    const value = Number.parseFloat(token.image);
    return { kind: "number", value: percent ? value / 100 : value, percent, text: token.image, span: this.span(token) };
  });

  private string = this.RULE("string", (): StringLiteral => {
    const token = this.CONSUME(t.StringToken);
    const value = token.image.slice(1, -1).replace(/\\(.)/g, (_, c: string) => (c === "n" ? "\n" : c === "t" ? "\t" : c));
    return { kind: "string", value, span: this.span(token) };
  });

  private group = this.RULE("group", (): Expr => {
    const items: Expr[] = [];
    const open = this.CONSUME(t.LeftParen);
    this.AT_LEAST_ONE_SEP({ ERR_MSG: "an expression", SEP: t.Comma, DEF: () => items.push(this.SUBRULE(this.expression)) });
    const close = this.CONSUME(t.RightParen);
    const span = this.span(open, close);
    return items.length > 1 ? { kind: "tuple", items, span } : { kind: "group", inner: items[0]!, span };
  });

  private atom = this.RULE("atom", (): Expr =>
    this.OR({
      ERR_MSG: "an expression",
      DEF: [
        { ALT: (): Expr => this.SUBRULE(this.reference) },
        { ALT: (): Expr => this.SUBRULE(this.number) },
        { ALT: (): Expr => this.SUBRULE(this.string) },
        { ALT: (): Expr => this.SUBRULE(this.group) },
      ],
    }));

  private power = this.RULE("power", (): Expr => {
    const left = this.SUBRULE(this.atom);
    let right: Expr | null = null;
    this.OPTION(() => {
      this.CONSUME(t.Caret);
      right = this.SUBRULE(this.unary);
    });
    return right ? { kind: "binary", op: "^", left, right, span: this.span(left, right) } : left;
  });

  private unary = this.RULE("unary", (): Expr =>
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
    }));

  private binary(left: Expr, op: IToken, right: Expr): Expr {
    return { kind: "binary", op: op.image as BinaryOp, left, right, span: this.span(left, right) };
  }

  private product = this.RULE("product", (): Expr => {
    let left = this.SUBRULE(this.unary);
    this.MANY(() => {
      const op = this.OR([{ ALT: () => this.CONSUME(t.Star) }, { ALT: () => this.CONSUME(t.Slash) }]);
      left = this.binary(left, op, this.SUBRULE2(this.unary));
    });
    return left;
  });

  private sum = this.RULE("sum", (): Expr => {
    let left = this.SUBRULE(this.product);
    this.MANY(() => {
      const op = this.OR([{ ALT: () => this.CONSUME(t.Plus) }, { ALT: () => this.CONSUME(t.Minus) }]);
      left = this.binary(left, op, this.SUBRULE2(this.product));
    });
    return left;
  });

  private comparison = this.RULE("comparison", (): Expr => {
    let left = this.SUBRULE(this.sum);
    this.OPTION({
      // In a section, `energy <= 50%` is a bound: its `<=` is not part of an expression.
      GATE: () => !this.inClause,
      DEF: () => {
        const op = this.OR([
          { ALT: () => this.CONSUME(t.LessEqual) }, { ALT: () => this.CONSUME(t.Less) },
          { ALT: () => this.CONSUME(t.GreaterEqual) }, { ALT: () => this.CONSUME(t.Greater) },
          { ALT: () => this.CONSUME(t.EqualEqual) }, { ALT: () => this.CONSUME(t.NotEqual) },
        ]);
        left = this.binary(left, op, this.SUBRULE2(this.sum));
      },
    });
    return left;
  });
  /** Whether a bound of a section is being read. Reset before every text: an error may leave it set. */
  inClause = false;

  private conjunction = this.RULE("conjunction", (): Expr => {
    let left = this.SUBRULE(this.comparison);
    this.MANY(() => {
      const op = this.CONSUME(word.and);
      left = this.binary(left, op, this.SUBRULE2(this.comparison));
    });
    return left;
  });

  private disjunction = this.RULE("disjunction", (): Expr => {
    let left = this.SUBRULE(this.conjunction);
    this.MANY(() => {
      const op = this.CONSUME(word.or);
      left = this.binary(left, op, this.SUBRULE2(this.conjunction));
    });
    return left;
  });

  private expression: (idx?: number) => Expr = this.RULE("expression", (): Expr => {
    const value = this.SUBRULE(this.disjunction);
    let condition: Expr | null = null;
    this.OPTION(() => {
      this.CONSUME(word.where);
      condition = this.SUBRULE2(this.disjunction);
    });
    return condition ? { kind: "where", value, condition, span: this.span(value, condition) } : value;
  });

  /** A block, connection or manifold by name, perhaps with arguments. */
  private application = this.RULE("application", (): Path | Call => {
    const callee = this.SUBRULE(this.path);
    const lists: Arg[][] = [];
    this.MANY(() => lists.push(this.SUBRULE(this.args)));
    return lists.length ? { kind: "call", callee, axes: null, lists, as: null, span: this.span(callee, this.LA(0)) } : callee;
  });

  private dims = this.RULE("dims", (): DimDecl[] => {
    const first = this.CONSUME(word.dim);
    const doc = this.ACTION(() => this.docs(first.startOffset));
    const dims: DimDecl[] = [];
    this.AT_LEAST_ONE_SEP({
      ERR_MSG: "a name",
      SEP: t.Comma,
      DEF: () => {
        const name = this.SUBRULE(this.ident);
        this.CONSUME(t.Equals);
        const value = this.SUBRULE(this.expression);
        dims.push({ kind: "dim", name, value, doc: this.ACTION(() => this.docs(name.span.start) ?? doc), span: this.span(name, value) });
      },
    });
    return dims;
  });

  private params = this.RULE("params", (): ParamDecl[] => {
    const first = this.CONSUME(word.param);
    const doc = this.ACTION(() => this.docs(first.startOffset));
    const params: ParamDecl[] = [];
    let waiting: { name: Ident; axes: Ident[] }[] = [];
    this.AT_LEAST_ONE_SEP({
      ERR_MSG: "a name",
      SEP: t.Comma,
      DEF: () => {
        const name = this.SUBRULE(this.ident);
        const axes = this.SUBRULE(this.axes);
        waiting.push({ name, axes });
        this.OPTION(() => {
          this.CONSUME(t.Tilde);
          const start = this.SUBRULE(this.application);
          let on: Path | Call | null = null;
          this.OPTION2(() => {
            this.CONSUME(word.on);
            on = this.SUBRULE2(this.application);
          });
          for (const item of waiting) {
            params.push({ kind: "param", ...item, start, on, doc: this.ACTION(() => this.docs(item.name.span.start) ?? doc), span: this.span(item.name, on ?? start) });
          }
          waiting = [];
        });
      },
    });
    this.ACTION(() => {
      for (const item of waiting) this.unstarted.push(item.name);
    });
    return params;
  });
  /** Parameters without a `~`: the caller reports them. */
  unstarted: Ident[] = [];

  private let = this.RULE("let", (): Let => {
    const name = this.SUBRULE(this.ident);
    const axes = this.OPTION(() => this.SUBRULE(this.axes));
    this.CONSUME(t.Equals);
    const value = this.SUBRULE(this.expression);
    return { kind: "let", name, axes: axes ?? null, value, doc: this.ACTION(() => this.docs(name.span.start)), span: this.span(name, value) };
  });

  private apply = this.RULE("apply", (): Apply => {
    const stream = this.SUBRULE(this.ident);
    this.CONSUME(word.through);
    const block = this.SUBRULE(this.application);
    let via: Path | Call | null = null;
    this.OPTION(() => {
      this.CONSUME(word.via);
      via = this.SUBRULE2(this.application);
    });
    let as: Ident | null = null;
    this.OPTION2(() => {
      this.CONSUME(word.as);
      as = this.SUBRULE2(this.ident);
    });
    return { kind: "apply", stream, block, via, as, doc: this.ACTION(() => this.docs(stream.span.start)), span: this.span(stream, as ?? via ?? block) };
  });

  private repeat: (idx?: number) => Repeat = this.RULE("repeat", (): Repeat => {
    const first = this.CONSUME(word.repeat);
    const count = this.SUBRULE(this.expression);
    this.CONSUME(t.LeftBrace);
    const body: (Let | Apply | Repeat)[] = [];
    this.MANY(() => {
      body.push(this.OR({
        ERR_MSG: "`x through …`, a definition or `repeat`",
        DEF: [
          { GATE: () => this.LA(2).tokenType === word.through, ALT: (): Let | Apply | Repeat => this.SUBRULE(this.apply) },
          { ALT: (): Let | Apply | Repeat => this.SUBRULE(this.let) },
          { ALT: (): Let | Apply | Repeat => this.SUBRULE(this.repeat) },
        ],
      }));
    });
    const close = this.CONSUME(t.RightBrace);
    return { kind: "repeat", count, body, doc: this.ACTION(() => this.docs(first.startOffset)), span: this.span(first, close) };
  });

  private dataDecl = this.RULE("dataDecl", (): DataDecl => {
    const first = this.CONSUME(word.data);
    const name = this.SUBRULE(this.ident);
    this.CONSUME(t.Equals);
    const source = this.SUBRULE(this.calling);
    return { kind: "data", name, source, doc: this.ACTION(() => this.docs(first.startOffset)), span: this.span(first, source) };
  });

  /** A call: arguments are required. */
  private calling = this.RULE("calling", (): Call => {
    const callee = this.SUBRULE(this.path);
    const list = this.SUBRULE(this.args);
    return { kind: "call", callee, axes: null, lists: [list], as: null, span: this.span(callee, this.LA(0)) };
  });

  private manifoldDecl = this.RULE("manifoldDecl", (): ManifoldDecl => {
    const first = this.CONSUME(word.manifold);
    const name = this.SUBRULE(this.ident);
    this.CONSUME(t.Equals);
    const value = this.SUBRULE(this.application);
    let adapt: AdaptClause | null = null;
    this.OPTION(() => {
      const start = this.CONSUME(word.adapt);
      const what = this.SUBRULE2(this.ident);
      this.CONSUME(word.in);
      const from = this.SUBRULE(this.expression);
      this.CONSUME(t.Range);
      const to = this.SUBRULE2(this.expression);
      adapt = { what, from, to, span: this.span(start, to) };
    });
    const call: Call = this.ACTION(() => (value?.kind === "call" ? value : { kind: "call", callee: value as Path, axes: null, lists: [[]], as: null, span: this.span(value) }));
    return { kind: "manifold", name, value: call, adapt, doc: this.ACTION(() => this.docs(first.startOffset)), span: this.span(first, adapt ?? value) };
  });

  private streamDecl = this.RULE("streamDecl", (): StreamDecl => {
    const first = this.CONSUME(word.stream);
    const name = this.SUBRULE(this.ident);
    const axes = this.SUBRULE(this.axes);
    this.CONSUME(t.Equals);
    const value = this.SUBRULE(this.expression);
    return { kind: "stream", name, axes, value, doc: this.ACTION(() => this.docs(first.startOffset)), span: this.span(first, value) };
  });

  private inputDecl = this.RULE("inputDecl", (): InputDecl => {
    const first = this.CONSUME(word.input);
    const name = this.SUBRULE(this.ident);
    const axes = this.SUBRULE(this.axes);
    return { kind: "input", name, axes, doc: this.ACTION(() => this.docs(first.startOffset)), span: this.span(first, this.LA(0)) };
  });

  private outputDecl = this.RULE("outputDecl", (): OutputDecl => {
    const first = this.CONSUME(word.output);
    const name = this.SUBRULE(this.ident);
    const axes = this.SUBRULE(this.axes);
    this.CONSUME(t.Equals);
    const value = this.SUBRULE(this.expression);
    return { kind: "output", name, axes, value, doc: this.ACTION(() => this.docs(first.startOffset)), span: this.span(first, value) };
  });

  private lossDecl = this.RULE("lossDecl", (): LossDecl => {
    const first = this.CONSUME(word.loss);
    this.CONSUME(t.Equals);
    const value = this.SUBRULE(this.expression);
    return { kind: "loss", value, doc: this.ACTION(() => this.docs(first.startOffset)), span: this.span(first, value) };
  });

  /** What kind of clause begins here: looks past a dotted path, on the same line. */
  private clauseKind(): Clause["kind"] {
    let at = 1;
    if (this.LA(at).tokenType !== t.Name) return "bound";
    const line = this.LA(at).startLine;
    while (this.LA(at + 1).tokenType === t.Dot && this.LA(at + 2).tokenType === t.Name) at += 2;
    const next = this.LA(at + 1);
    if (next.tokenType === t.Equals) return "setting";
    if (next.tokenType === word.on || next.tokenType === word.each) return "on";
    const wordy = next.tokenType === t.Name || next.tokenType === t.NumberToken || next.tokenType === t.Comma;
    return wordy && next.startLine === line ? "words" : "bound";
  }

  private clause = this.RULE("clause", (): Clause =>
    this.OR({
      ERR_MSG: "a clause",
      DEF: [
        {
          GATE: () => this.clauseKind() === "setting",
          ALT: (): Clause => {
            const name = this.SUBRULE(this.ident);
            this.CONSUME(t.Equals);
            const value = this.SUBRULE(this.expression);
            return { kind: "setting", name, value, span: this.span(name, value) };
          },
        },
        {
          GATE: () => this.clauseKind() === "on",
          ALT: (): Clause => {
            const path = this.SUBRULE(this.path);
            const each: Ident[] = [];
            this.MANY(() => {
              this.CONSUME(word.each);
              each.push(this.SUBRULE2(this.ident));
            });
            this.CONSUME(word.on);
            const manifold = this.SUBRULE(this.application);
            return { kind: "on", path, each, manifold, span: this.span(path, manifold) };
          },
        },
        {
          GATE: () => this.clauseKind() === "words",
          ALT: (): Clause => {
            const words: (Path | NumberLiteral)[] = [];
            const first = this.SUBRULE2(this.path);
            words.push(first);
            this.AT_LEAST_ONE({
              ERR_MSG: "a word",
              GATE: () => this.LA(1).startLine === this.LA(0).startLine,
              DEF: () => {
                this.OPTION(() => this.CONSUME(t.Comma));
                words.push(this.OR2([{ ALT: (): Path | NumberLiteral => this.SUBRULE3(this.path) }, { ALT: (): Path | NumberLiteral => this.SUBRULE(this.number) }]));
              },
            });
            return { kind: "words", words, span: this.span(first, this.LA(0)) };
          },
        },
        {
          ALT: (): Clause => {
            this.ACTION(() => (this.inClause = true));
            const left = this.SUBRULE2(this.expression);
            this.ACTION(() => (this.inClause = false));
            this.CONSUME(t.LessEqual);
            const right = this.SUBRULE3(this.expression);
            const monitored = this.OPTION2(() => this.CONSUME(word.monitored));
            return { kind: "bound", left, right, monitored: monitored !== undefined, span: this.span(left, monitored ?? right) };
          },
        },
      ],
    }));

  private section = this.RULE("section", (): Section => {
    const head = this.OR([
      { ALT: () => this.CONSUME(word.constrain) }, { ALT: () => this.CONSUME(word.cost) }, { ALT: () => this.CONSUME(word.train) },
    ]);
    this.CONSUME(t.LeftBrace);
    const clauses: Clause[] = [];
    this.MANY(() => {
      clauses.push(this.SUBRULE(this.clause));
      this.OPTION(() => this.CONSUME(t.Comma));
    });
    const close = this.CONSUME(t.RightBrace);
    return { kind: "section", name: { name: head.image, span: this.span(head) }, clauses, doc: this.ACTION(() => this.docs(head.startOffset)), span: this.span(head, close) };
  });

  private model = this.RULE("model", (): Model => {
    const first = this.CONSUME(word.model);
    const name = this.SUBRULE(this.ident);
    this.CONSUME(t.LeftBrace);
    const items: ModelItem[] = [];
    this.MANY(() => {
      const next = this.OR({
        ERR_MSG: "an item of a model (`dim`, `data`, `manifold`, `stream`, `repeat`, `loss`, `train`, …)",
        DEF: [
          { ALT: (): ModelItem[] => this.SUBRULE(this.dims) },
          { ALT: (): ModelItem[] => this.SUBRULE(this.params) },
          { ALT: (): ModelItem[] => [this.SUBRULE(this.dataDecl)] },
          { ALT: (): ModelItem[] => [this.SUBRULE(this.manifoldDecl)] },
          { ALT: (): ModelItem[] => [this.SUBRULE(this.streamDecl)] },
          { ALT: (): ModelItem[] => [this.SUBRULE(this.inputDecl)] },
          { ALT: (): ModelItem[] => [this.SUBRULE(this.outputDecl)] },
          { ALT: (): ModelItem[] => [this.SUBRULE(this.lossDecl)] },
          { ALT: (): ModelItem[] => [this.SUBRULE(this.repeat)] },
          { ALT: (): ModelItem[] => [this.SUBRULE(this.section)] },
          { GATE: () => this.LA(2).tokenType === word.through, ALT: (): ModelItem[] => [this.SUBRULE(this.apply)] },
          { ALT: (): ModelItem[] => [this.SUBRULE(this.let)] },
        ],
      });
      this.ACTION(() => items.push(...(next ?? [])));
    });
    const close = this.CONSUME(t.RightBrace);
    return { kind: "model", name, items, doc: this.ACTION(() => this.docs(first.startOffset)), span: this.span(first, close) };
  });

  private formals = this.RULE("formals", (): Formal[] => {
    const formals: Formal[] = [];
    this.CONSUME(t.LeftParen);
    this.MANY_SEP({
      SEP: t.Comma,
      DEF: () => {
        const name = this.SUBRULE(this.ident);
        const axes = this.OPTION(() => this.SUBRULE(this.axes));
        const type = this.OPTION2(() => {
          this.CONSUME(t.Colon);
          return this.OR([
            { ALT: () => this.CONSUME(t.Name) }, { ALT: () => this.CONSUME(word.manifold) }, { ALT: () => this.CONSUME(word.block) }, { ALT: () => this.CONSUME(word.dim) },
          ]);
        });
        const value = this.OPTION3(() => {
          this.CONSUME(t.Equals);
          return this.SUBRULE(this.expression);
        });
        formals.push({
          name, axes: axes ?? null, type: type ? { name: type.image, span: this.span(type) } : null, default: value ?? null, span: this.span(name, this.LA(0)),
        });
      },
    });
    this.CONSUME(t.RightParen);
    return formals;
  });

  private block = this.RULE("block", (): Block => {
    const head = this.OR([{ ALT: () => this.CONSUME(word.block) }, { ALT: () => this.CONSUME(word.connection) }]);
    const name = this.SUBRULE(this.ident);
    const lists: Formal[][] = [];
    lists.push(this.SUBRULE(this.formals));
    this.OPTION(() => lists.push(this.SUBRULE2(this.formals)));
    this.CONSUME(t.LeftBrace);
    const items: (DimDecl | ParamDecl | Let)[] = [];
    this.MANY(() => {
      const next = this.OR2({
        ERR_MSG: "`dim`, `param`, a definition or `return`",
        DEF: [
          { ALT: (): (DimDecl | ParamDecl | Let)[] => this.SUBRULE(this.dims) },
          { ALT: (): (DimDecl | ParamDecl | Let)[] => this.SUBRULE(this.params) },
          { ALT: (): (DimDecl | ParamDecl | Let)[] => [this.SUBRULE(this.let)] },
        ],
      });
      this.ACTION(() => items.push(...(next ?? [])));
    });
    const back = this.CONSUME(word.return);
    const axes = this.OPTION2(() => {
      const found = this.SUBRULE(this.axes);
      this.CONSUME(t.Equals);
      return found;
    });
    const value = this.SUBRULE(this.expression);
    const close = this.CONSUME(t.RightBrace);
    return {
      kind: head.image === "connection" ? "connection" : "block", name,
      config: lists.length > 1 ? lists[0]! : [], data: lists[lists.length - 1]!, items,
      result: { axes: axes ?? null, value, span: this.span(back, value) },
      doc: this.ACTION(() => this.docs(head.startOffset)), span: this.span(head, close),
    };
  });

  private use = this.RULE("use", (): Use => {
    const first = this.CONSUME(word.use);
    const path = this.SUBRULE(this.string);
    return { kind: "use", path, span: this.span(first, path) };
  });

  fileRule = this.RULE("fileRule", (): (Use | Model | Block)[] => {
    const items: (Use | Model | Block)[] = [];
    this.MANY(() => {
      items.push(this.OR({
        ERR_MSG: "`model`, `block`, `connection` or `use`",
        DEF: [
          { ALT: (): Use | Model | Block => this.SUBRULE(this.use) },
          { ALT: (): Use | Model | Block => this.SUBRULE(this.model) },
          { ALT: (): Use | Model | Block => this.SUBRULE(this.block) },
        ],
      }));
    });
    return items;
  });
}

export { EOF, type TokenType };
