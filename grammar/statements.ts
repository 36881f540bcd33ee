/**
 * The grammar of what a model computes: definitions, streams that go through blocks, layers and branches. Each rule
 * returns the tree of what it read.
 */
import type { Apply, Braced, Call, Ident, If, Let, PageStatement, Path, Repeat } from "./ast.js";
import * as t from "./lexer.js";
import { SectionParser } from "./sections.js";

const word = t.word;

/** Rules for statements. */
export class StatementParser extends SectionParser {
  protected let = this.RULE("let", (): Let => {
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

  protected apply = this.RULE("apply", (): Apply => {
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

  /** What a model computes, in braces. */
  private statements: (idx?: number) => Braced<PageStatement> = this.RULE("statements", (): Braced<PageStatement> => {
    const open = this.CONSUME(t.LeftBrace);
    const items: PageStatement[] = [];
    this.MANY(() => {
      items.push(
        this.OR({
          ERR_MSG: "`x through …`, a definition, `repeat` or `if`",
          DEF: [
            {
              GATE: () => this.LA(2).tokenType === word.through,
              ALT: (): PageStatement => this.SUBRULE(this.apply),
            },
            { ALT: (): PageStatement => this.SUBRULE(this.let) },
            { ALT: (): PageStatement => this.SUBRULE(this.repeat) },
            { ALT: (): PageStatement => this.SUBRULE(this.choice) },
          ],
        }),
      );
    });
    const close = this.CONSUME(t.RightBrace);
    return { items, span: this.span(open, close) };
  });

  protected repeat: (idx?: number) => Repeat = this.RULE("repeat", (): Repeat => {
    const first = this.CONSUME(word.repeat);
    const count = this.SUBRULE(this.expression);
    const as = this.OPTION(() => {
      this.CONSUME(word.as);
      return this.SUBRULE(this.ident);
    });
    const shared = this.OPTION2({ GATE: () => this.says("shared"), DEF: () => this.CONSUME(t.Name) });
    const body = this.SUBRULE(this.statements);
    return {
      kind: "repeat",
      count,
      as: as ?? null,
      shared: shared !== undefined,
      body: this.ACTION(() => body.items),
      doc: this.ACTION(() => this.docs(first.startOffset)),
      span: this.span(first, body),
    };
  });

  protected choice: (idx?: number) => If<PageStatement> = this.RULE("choice", (): If<PageStatement> => {
    const first = this.CONSUME(word.if);
    const condition = this.SUBRULE(this.expression);
    const then = this.SUBRULE(this.statements);
    const otherwise = this.OPTION(() => {
      this.CONSUME(word.else);
      return this.OR([
        { ALT: (): Braced<PageStatement> | If<PageStatement> => this.SUBRULE(this.choice) },
        { ALT: (): Braced<PageStatement> | If<PageStatement> => this.SUBRULE2(this.statements) },
      ]);
    });
    return {
      kind: "if",
      condition,
      then,
      otherwise: otherwise ?? null,
      doc: this.ACTION(() => this.docs(first.startOffset)),
      span: this.span(first, otherwise ?? then),
    };
  });
}
