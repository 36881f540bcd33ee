/**
 * The grammar of declarations: models, blocks and their items, on top of the grammars of expressions and of sections
 * (`expressions.ts`, `sections.ts`). Each rule returns the tree of what it read.
 */
import { EOF, type TokenType } from "chevrotain";
import type {
  AdaptClause,
  Apply,
  Block,
  Call,
  DataDecl,
  DimDecl,
  Expr,
  Formal,
  Ident,
  InputDecl,
  Let,
  LossDecl,
  ManifoldDecl,
  Model,
  ModelItem,
  OutputDecl,
  ParamDecl,
  Path,
  Repeat,
  StreamDecl,
  Use,
} from "./ast.js";
import type { Span } from "../src/diagnostics/span.js";
import * as t from "./lexer.js";
import { SectionParser } from "./sections.js";

const word = t.word;

export class MhcParser extends SectionParser {
  constructor() {
    super();
    this.performSelfAnalysis();
  }

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
        dims.push({
          kind: "dim",
          name,
          value,
          doc: this.ACTION(() => this.docs(name.span.start) ?? doc),
          span: this.span(name, value),
        });
      },
    });
    this.ACTION(() => this.sameLine("dim"));
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
          const found = this.OPTION2(() => this.SUBRULE(this.membership));
          const [each, on] = found ? [found.each, found.manifold] : [[], null];
          for (const item of waiting) {
            params.push({
              kind: "param",
              ...item,
              start,
              each,
              on,
              doc: this.ACTION(() => this.docs(item.name.span.start) ?? doc),
              span: this.span(item.name, on ?? start),
            });
          }
          waiting = [];
        });
      },
    });
    this.ACTION(() => {
      for (const item of waiting) this.unstarted.push(item.name);
      this.sameLine("param");
    });
    return params;
  });
  /** Parameters without a `~`: the caller reports them. */
  unstarted: Ident[] = [];
  /** What is right by the grammar, and surely not meant: the caller reports it. */
  asides: { readonly span: Span; readonly message: string; readonly fix: string }[] = [];

  /** A definition behind a `dim` on its line is the next dim, without its comma. */
  private sameLine(list: "dim" | "param"): void {
    const [last, next, after] = [this.LA(0), this.LA(1), this.LA(2)];
    if (
      next.tokenType !== t.Name ||
      next.startLine !== last.endLine ||
      (after.tokenType !== t.Equals && after.tokenType !== t.LeftBracket)
    )
      return;
    this.asides.push({
      span: this.span(next),
      message: `expected a comma or a new line after \`${last.image}\`, found \`${next.image}\``,
      fix: `write a comma for one more \`${list}\`, \`${last.image}, ${next.image} …\`, or begin a new line`,
    });
  }

  private let = this.RULE("let", (): Let => {
    const name = this.SUBRULE(this.ident);
    const axes = this.OPTION(() => this.SUBRULE(this.axes));
    this.CONSUME(t.Equals);
    const value = this.SUBRULE(this.expression);
    return {
      kind: "let",
      name,
      axes: axes ?? null,
      value,
      doc: this.ACTION(() => this.docs(name.span.start)),
      span: this.span(name, value),
    };
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
    return {
      kind: "apply",
      stream,
      block,
      via,
      as,
      doc: this.ACTION(() => this.docs(stream.span.start)),
      span: this.span(stream, as ?? via ?? block),
    };
  });

  private repeat: (idx?: number) => Repeat = this.RULE("repeat", (): Repeat => {
    const first = this.CONSUME(word.repeat);
    const count = this.SUBRULE(this.expression);
    this.CONSUME(t.LeftBrace);
    const body: (Let | Apply | Repeat)[] = [];
    this.MANY(() => {
      body.push(
        this.OR({
          ERR_MSG: "`x through …`, a definition or `repeat`",
          DEF: [
            {
              GATE: () => this.LA(2).tokenType === word.through,
              ALT: (): Let | Apply | Repeat => this.SUBRULE(this.apply),
            },
            { ALT: (): Let | Apply | Repeat => this.SUBRULE(this.let) },
            { ALT: (): Let | Apply | Repeat => this.SUBRULE(this.repeat) },
          ],
        }),
      );
    });
    const close = this.CONSUME(t.RightBrace);
    return {
      kind: "repeat",
      count,
      body,
      doc: this.ACTION(() => this.docs(first.startOffset)),
      span: this.span(first, close),
    };
  });

  private dataDecl = this.RULE("dataDecl", (): DataDecl => {
    const first = this.CONSUME(word.data);
    const name = this.SUBRULE(this.ident);
    this.CONSUME(t.Equals);
    const source = this.SUBRULE(this.calling);
    return {
      kind: "data",
      name,
      source,
      doc: this.ACTION(() => this.docs(first.startOffset)),
      span: this.span(first, source),
    };
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
    const adapt: AdaptClause[] = [];
    this.MANY(() => adapt.push(this.SUBRULE(this.adapting)));
    const call: Call = this.ACTION(() =>
      value?.kind === "call"
        ? value
        : { kind: "call", callee: value as Path, axes: null, lists: [[]], as: null, span: this.span(value) },
    );
    return {
      kind: "manifold",
      name,
      value: call,
      adapt,
      doc: this.ACTION(() => this.docs(first.startOffset)),
      span: this.span(first, adapt[adapt.length - 1] ?? value),
    };
  });

  private adapting = this.RULE("adapting", (): AdaptClause => {
    const first = this.CONSUME(word.adapt);
    const what = this.SUBRULE(this.ident);
    return this.OR({
      ERR_MSG: "`in` and two ends, or `=` and a schedule",
      DEF: [
        {
          ALT: (): AdaptClause => {
            this.CONSUME(word.in);
            const from = this.SUBRULE(this.expression);
            this.CONSUME(t.Range);
            const to = this.SUBRULE2(this.expression);
            let weight: Expr | null = null;
            this.OPTION({
              GATE: () => this.says("weight"),
              DEF: () => {
                this.CONSUME(t.Name);
                weight = this.SUBRULE4(this.expression);
              },
            });
            return { kind: "learned", what, from, to, weight, span: this.span(first, weight ?? to) };
          },
        },
        {
          ALT: (): AdaptClause => {
            this.CONSUME(t.Equals);
            const value = this.SUBRULE3(this.expression);
            return { kind: "scheduled", what, value, span: this.span(first, value) };
          },
        },
      ],
    });
  });

  private streamDecl = this.RULE("streamDecl", (): StreamDecl => {
    const first = this.CONSUME(word.stream);
    const name = this.SUBRULE(this.ident);
    const axes = this.SUBRULE(this.axes);
    this.CONSUME(t.Equals);
    const value = this.SUBRULE(this.expression);
    return {
      kind: "stream",
      name,
      axes,
      value,
      doc: this.ACTION(() => this.docs(first.startOffset)),
      span: this.span(first, value),
    };
  });

  private inputDecl = this.RULE("inputDecl", (): InputDecl => {
    const first = this.CONSUME(word.input);
    const name = this.SUBRULE(this.ident);
    const axes = this.SUBRULE(this.axes);
    return {
      kind: "input",
      name,
      axes,
      doc: this.ACTION(() => this.docs(first.startOffset)),
      span: this.span(first, this.LA(0)),
    };
  });

  private outputDecl = this.RULE("outputDecl", (): OutputDecl => {
    const first = this.CONSUME(word.output);
    const name = this.SUBRULE(this.ident);
    const axes = this.SUBRULE(this.axes);
    this.CONSUME(t.Equals);
    const value = this.SUBRULE(this.expression);
    return {
      kind: "output",
      name,
      axes,
      value,
      doc: this.ACTION(() => this.docs(first.startOffset)),
      span: this.span(first, value),
    };
  });

  private lossDecl = this.RULE("lossDecl", (): LossDecl => {
    const first = this.CONSUME(word.loss);
    this.CONSUME(t.Equals);
    const value = this.SUBRULE(this.expression);
    return { kind: "loss", value, doc: this.ACTION(() => this.docs(first.startOffset)), span: this.span(first, value) };
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
    return {
      kind: "model",
      name,
      items,
      doc: this.ACTION(() => this.docs(first.startOffset)),
      span: this.span(first, close),
    };
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
            { ALT: () => this.CONSUME(t.Name) },
            { ALT: () => this.CONSUME(word.manifold) },
            { ALT: () => this.CONSUME(word.block) },
            { ALT: () => this.CONSUME(word.dim) },
          ]);
        });
        const value = this.OPTION3(() => {
          this.CONSUME(t.Equals);
          return this.SUBRULE(this.expression);
        });
        formals.push({
          name,
          axes: axes ?? null,
          type: type ? { name: type.image, span: this.span(type) } : null,
          default: value ?? null,
          span: this.span(name, this.LA(0)),
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
      kind: head.image === "connection" ? "connection" : "block",
      name,
      config: lists.length > 1 ? lists[0]! : [],
      data: lists[lists.length - 1]!,
      items,
      result: { axes: axes ?? null, value, span: this.span(back, value) },
      doc: this.ACTION(() => this.docs(head.startOffset)),
      span: this.span(head, close),
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
      items.push(
        this.OR({
          ERR_MSG: "`model`, `block`, `connection` or `use`",
          DEF: [
            { ALT: (): Use | Model | Block => this.SUBRULE(this.use) },
            { ALT: (): Use | Model | Block => this.SUBRULE(this.model) },
            { ALT: (): Use | Model | Block => this.SUBRULE(this.block) },
          ],
        }),
      );
    });
    return items;
  });
}

export { EOF, type TokenType };
