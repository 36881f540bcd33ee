/**
 * The grammar of declarations, which the bodies of models and blocks are made of: sizes, parameters, data, sets,
 * streams, inputs and outputs, definitions, uses of blocks. It stands between sections (`sections.ts`) and models and
 * blocks (`parser.ts`). Each rule returns the tree of what it read.
 */
import type {
  AdaptClause,
  Call,
  DataDecl,
  DimDecl,
  Expr,
  Ident,
  InputDecl,
  LossDecl,
  ManifoldDecl,
  MetricDecl,
  NumberDecl,
  OutputDecl,
  ParamDecl,
  Path,
  StreamDecl,
  TermDecl,
} from "./ast.js";
import type { Span } from "../src/diagnostics/span.js";
import * as t from "./lexer.js";
import { StatementParser } from "./statements.js";

const word = t.word;

/** Rules for declarations. Slips that the grammar allows are left in fields, which the caller reports. */
export class DeclarationParser extends StatementParser {
  protected dims = this.RULE("dims", (): DimDecl[] => {
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

  protected numbers = this.RULE("numbers", (): NumberDecl[] => {
    const first = this.CONSUME(t.NumberWord);
    const doc = this.ACTION(() => this.docs(first.startOffset));
    const numbers: NumberDecl[] = [];
    this.AT_LEAST_ONE_SEP({
      ERR_MSG: "a name",
      SEP: t.Comma,
      DEF: () => {
        const name = this.SUBRULE(this.ident);
        this.CONSUME(t.Equals);
        const value = this.SUBRULE(this.expression);
        numbers.push({
          kind: "number",
          name,
          value,
          doc: this.ACTION(() => this.docs(name.span.start) ?? doc),
          span: this.span(name, value),
        });
      },
    });
    this.ACTION(() => this.sameLine("number"));
    return numbers;
  });

  protected params = this.RULE("params", (): ParamDecl[] => {
    const first = this.CONSUME(word.param);
    const doc = this.ACTION(() => this.docs(first.startOffset));
    const params: ParamDecl[] = [];
    /** Those before a `~`, which share its start. */
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
          const member = this.OPTION2(() => this.SUBRULE(this.membership));
          const [each, on] = member ? [member.each, member.manifold] : [[], null];
          const frozen = this.OPTION3({ GATE: () => this.says("frozen"), DEF: () => this.CONSUME(t.Name) });
          for (const item of waiting) {
            params.push({
              kind: "param",
              ...item,
              start,
              each,
              on,
              frozen: frozen !== undefined,
              doc: this.ACTION(() => this.docs(item.name.span.start) ?? doc),
              span: this.span(item.name, frozen ?? on ?? start),
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
  /** Slips that the grammar allows and that are surely not meant: the caller reports them. */
  asides: { readonly span: Span; readonly message: string; readonly fix: string }[] = [];

  /** A definition behind a `dim` on its line is the next dim, without its comma. */
  private sameLine(list: "dim" | "number" | "param"): void {
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

  protected dataDecl = this.RULE("dataDecl", (): DataDecl => {
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

  protected manifoldDecl = this.RULE("manifoldDecl", (): ManifoldDecl => {
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
      span: this.span(first, adapt.at(-1) ?? value),
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

  protected streamDecl = this.RULE("streamDecl", (): StreamDecl => {
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

  protected inputDecl = this.RULE("inputDecl", (): InputDecl => {
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

  protected outputDecl = this.RULE("outputDecl", (): OutputDecl => {
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

  /** `loss = …`, or `loss balance = …`. */
  protected lossDecl = this.RULE("lossDecl", (): LossDecl | TermDecl => {
    const first = this.CONSUME(word.loss);
    const name = this.OPTION(() => this.SUBRULE(this.ident));
    this.CONSUME(t.Equals);
    const value = this.SUBRULE(this.expression);
    const doc = this.ACTION(() => this.docs(first.startOffset));
    const span = this.span(first, value);
    return name ? { kind: "term", name, value, doc, span } : { kind: "loss", value, doc, span };
  });

  /** A loss in a block, where it has a name. */
  protected blockLoss = this.RULE("blockLoss", (): TermDecl[] => {
    const loss = this.SUBRULE(this.lossDecl);
    return this.ACTION(() => {
      if (loss.kind === "term") return [loss];
      this.asides.push({
        span: loss.span,
        message: "a loss of a block has a name, by which the page weighs it",
        fix: "write `loss balance = …` here, and on the page `loss = … + 0.01 * balance`",
      });
      return [];
    });
  });

  protected metricDecl = this.RULE("metricDecl", (): MetricDecl => {
    const first = this.CONSUME(word.metric);
    const name = this.SUBRULE(this.ident);
    this.CONSUME(t.Equals);
    const value = this.SUBRULE(this.expression);
    return {
      kind: "metric",
      name,
      value,
      doc: this.ACTION(() => this.docs(first.startOffset)),
      span: this.span(first, value),
    };
  });
}
