/**
 * The grammar of files: models and blocks on top of the grammars of expressions, sections and declarations
 * (`expressions.ts`, `sections.ts`, `declarations.ts`). Each rule returns the tree of what it read.
 */
import type { Block, BlockItem, Braced, Formal, Ident, If, ModelDecl, ModelItem, Use } from "./ast.js";
import { DeclarationParser } from "./declarations.js";
import * as t from "./lexer.js";

const word = t.word;

/** The parser: `input` is given tokens, and `fileRule` or `settingValue` is called then. */
export class MhcParser extends DeclarationParser {
  constructor() {
    super();
    this.performSelfAnalysis();
  }

  private model = this.RULE("model", (): ModelDecl => {
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
          { ALT: (): ModelItem[] => this.SUBRULE(this.numbers) },
          { ALT: (): ModelItem[] => [this.SUBRULE(this.dataDecl)] },
          { ALT: (): ModelItem[] => [this.SUBRULE(this.manifoldDecl)] },
          { ALT: (): ModelItem[] => [this.SUBRULE(this.streamDecl)] },
          { ALT: (): ModelItem[] => [this.SUBRULE(this.inputDecl)] },
          { ALT: (): ModelItem[] => [this.SUBRULE(this.outputDecl)] },
          { ALT: (): ModelItem[] => [this.SUBRULE(this.lossDecl)] },
          { ALT: (): ModelItem[] => [this.SUBRULE(this.metricDecl)] },
          { ALT: (): ModelItem[] => [this.SUBRULE(this.repeat)] },
          { ALT: (): ModelItem[] => [this.SUBRULE(this.choice)] },
          { ALT: (): ModelItem[] => [this.SUBRULE(this.section)] },
          { GATE: () => this.begins("allow"), ALT: (): ModelItem[] => [this.SUBRULE(this.allow)] },
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

  private blockItems: (idx?: number) => BlockItem[] = this.RULE("blockItems", (): BlockItem[] => {
    const items: BlockItem[] = [];
    this.MANY(() => {
      const next = this.OR({
        ERR_MSG: "`dim`, `param`, a definition, `loss` or `return`",
        // One token decides, and the gate of `allow`: what is neither is a definition that went wrong, and told so.
        MAX_LOOKAHEAD: 1,
        IGNORE_AMBIGUITIES: true,
        DEF: [
          { ALT: (): BlockItem[] => this.SUBRULE(this.dims) },
          { ALT: (): BlockItem[] => this.SUBRULE(this.params) },
          { ALT: (): BlockItem[] => this.SUBRULE(this.numbers) },
          { ALT: (): BlockItem[] => this.SUBRULE(this.blockLoss) },
          { ALT: (): BlockItem[] => [this.SUBRULE(this.blockChoice)] },
          { GATE: () => this.begins("allow"), ALT: (): BlockItem[] => [this.SUBRULE(this.allow)] },
          { ALT: (): BlockItem[] => [this.SUBRULE(this.let)] },
        ],
      });
      this.ACTION(() => items.push(...(next ?? [])));
    });
    return items;
  });

  private bracedItems: (idx?: number) => Braced<BlockItem> = this.RULE("bracedItems", (): Braced<BlockItem> => {
    const open = this.CONSUME(t.LeftBrace);
    const items = this.SUBRULE(this.blockItems);
    const close = this.CONSUME(t.RightBrace);
    return { items, span: this.span(open, close) };
  });

  private blockChoice: (idx?: number) => If<BlockItem> = this.RULE("blockChoice", (): If<BlockItem> => {
    const first = this.CONSUME(word.if);
    const condition = this.SUBRULE(this.expression);
    const then = this.SUBRULE(this.bracedItems);
    const otherwise = this.OPTION(() => {
      this.CONSUME(word.else);
      return this.OR([
        { ALT: (): Braced<BlockItem> | If<BlockItem> => this.SUBRULE(this.blockChoice) },
        { ALT: (): Braced<BlockItem> | If<BlockItem> => this.SUBRULE2(this.bracedItems) },
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

  private block = this.RULE("block", (): Block => {
    const head = this.OR([{ ALT: () => this.CONSUME(word.block) }, { ALT: () => this.CONSUME(word.connection) }]);
    const name = this.SUBRULE(this.ident);
    const formals = this.SUBRULE(this.formals);
    const others = this.OPTION(() => this.SUBRULE2(this.formals));
    this.CONSUME(t.LeftBrace);
    const items = this.SUBRULE(this.blockItems);
    const back = this.CONSUME(word.return);
    const axes = this.OPTION2(() => {
      const names = this.SUBRULE(this.axes);
      this.CONSUME(t.Equals);
      return names;
    });
    const value = this.SUBRULE(this.expression);
    const close = this.CONSUME(t.RightBrace);
    return {
      kind: head.image === "connection" ? "connection" : "block",
      name,
      config: others ? formals : [],
      data: others ?? formals,
      items,
      result: { axes: axes ?? null, value, span: this.span(back, value) },
      doc: this.ACTION(() => this.docs(head.startOffset)),
      span: this.span(head, close),
    };
  });

  private use = this.RULE("use", (): Use => {
    const first = this.CONSUME(word.use);
    const path = this.SUBRULE(this.string);
    const names = this.OPTION(() => {
      const taken: Ident[] = [];
      this.CONSUME(t.LeftBrace);
      this.AT_LEAST_ONE_SEP({ ERR_MSG: "a name", SEP: t.Comma, DEF: () => taken.push(this.SUBRULE(this.ident)) });
      this.CONSUME(t.RightBrace);
      return taken;
    });
    return { kind: "use", path, names: names ?? null, span: this.span(first, this.LA(0)) };
  });

  /** A whole page. */
  fileRule = this.RULE("fileRule", (): (Use | ModelDecl | Block)[] => {
    const items: (Use | ModelDecl | Block)[] = [];
    this.MANY(() => {
      items.push(
        this.OR({
          ERR_MSG: "`model`, `block`, `connection` or `use`",
          DEF: [
            { ALT: (): Use | ModelDecl | Block => this.SUBRULE(this.use) },
            { ALT: (): Use | ModelDecl | Block => this.SUBRULE(this.model) },
            { ALT: (): Use | ModelDecl | Block => this.SUBRULE(this.block) },
          ],
        }),
      );
    });
    return items;
  });
}
