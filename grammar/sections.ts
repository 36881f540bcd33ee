/**
 * The grammar of sections (`constrain`, `cost`, `train`) and of what their clauses share with declarations: blocks and
 * manifolds by name, and the sets that parameters are on. It stands between expressions and declarations (`parser.ts`).
 */
import type { Arg, Call, Clause, Every, Expr, Ident, NumberLiteral, Path, Section, NamedSetting } from "./ast.js";
import * as t from "./lexer.js";
import { TargetParser } from "./targets.js";

const word = t.word;

/** Rules for sections. */
export class SectionParser extends TargetParser {
  /** A block, connection or manifold by name, perhaps with arguments. */
  protected application = this.RULE("application", (): Path | Call => {
    const callee = this.SUBRULE(this.path);
    const lists: Arg[][] = [];
    this.MANY(() => lists.push(this.SUBRULE(this.args)));
    return lists.length
      ? { kind: "call", callee, axes: null, lists, as: null, span: this.span(callee, this.LA(0)) }
      : callee;
  });

  /** `each hidden on sphere`, of a parameter where it is declared or of a path. */
  protected membership = this.RULE("membership", (): { each: Ident[]; manifold: Path | Call } => {
    const each: Ident[] = [];
    this.MANY(() => {
      this.CONSUME(word.each);
      each.push(this.SUBRULE(this.ident));
    });
    this.CONSUME(word.on);
    return { each, manifold: this.SUBRULE(this.application) };
  });

  /** Whether the next word on this line is a name that means something here only. */
  protected says(name: string): boolean {
    const next = this.LA(1);
    return next.tokenType === t.Name && next.image === name && next.startLine === this.LA(0).endLine;
  }

  /** What kind of clause begins here: looks past a dotted path, on the same line. */
  private clauseKind(): Clause["kind"] {
    if (this.begins("freeze")) return "freeze";
    if (this.begins("group")) return "group";
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

  /** `every` is a name like any other, unless a count follows on its line. */
  private isEvery(): boolean {
    const [first, next] = [this.LA(1), this.LA(2)];
    const counted = next.tokenType === t.NumberToken || next.tokenType === t.Name;
    return first.tokenType === t.Name && first.image === "every" && counted && next.startLine === first.startLine;
  }

  private every = this.RULE("every", (): Every => {
    const first = this.CONSUME(t.Name);
    const count = this.SUBRULE(this.expression);
    return { kind: "every", count, span: this.span(first, count) };
  });

  /** What a setting takes; also of one from outside of the page. */
  settingValue = this.RULE("settingValue", (): Expr | Every =>
    this.OR({
      ERR_MSG: "an expression",
      DEF: [
        { GATE: () => this.isEvery(), ALT: (): Expr | Every => this.SUBRULE(this.every) },
        { ALT: (): Expr | Every => this.SUBRULE(this.expression) },
      ],
    }),
  );

  private setting = this.RULE("setting", (): NamedSetting => {
    const name = this.SUBRULE(this.ident);
    this.CONSUME(t.Equals);
    const value = this.SUBRULE(this.settingValue);
    return { kind: "setting", name, value, span: this.span(name, value) };
  });

  private freezing = this.RULE("freezing", (): Clause => {
    const first = this.CONSUME(t.Name);
    const targets = this.SUBRULE(this.targets);
    return { kind: "freeze", targets, span: this.span(first, this.LA(0)) };
  });

  private grouping = this.RULE("grouping", (): Clause => {
    const first = this.CONSUME(t.Name);
    const targets = this.SUBRULE(this.targets);
    this.CONSUME(t.LeftBrace);
    const settings: NamedSetting[] = [];
    this.MANY(() => {
      settings.push(this.SUBRULE(this.setting));
      this.OPTION(() => this.CONSUME(t.Comma));
    });
    const close = this.CONSUME(t.RightBrace);
    return { kind: "group", targets, settings, span: this.span(first, close) };
  });

  /** Long, since a rule is one expression: each kind of clause is an alternative of it. */
  private clause = this.RULE("clause", (): Clause =>
    this.OR({
      ERR_MSG: "a clause",
      DEF: [
        {
          GATE: () => this.clauseKind() === "setting",
          ALT: (): Clause => this.SUBRULE(this.setting),
        },
        {
          GATE: () => this.clauseKind() === "freeze",
          ALT: (): Clause => this.SUBRULE(this.freezing),
        },
        {
          GATE: () => this.clauseKind() === "group",
          ALT: (): Clause => this.SUBRULE(this.grouping),
        },
        {
          GATE: () => this.clauseKind() === "on",
          ALT: (): Clause => {
            const path = this.SUBRULE(this.path);
            const member = this.SUBRULE(this.membership);
            return { kind: "on", path, ...member, span: this.span(path, member?.manifold) };
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
                words.push(
                  this.OR2([
                    { ALT: (): Path | NumberLiteral => this.SUBRULE3(this.path) },
                    { ALT: (): Path | NumberLiteral => this.SUBRULE(this.number) },
                  ]),
                );
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
            const shared = this.OPTION3({ GATE: () => this.says("shared"), DEF: () => this.CONSUME(t.Name) });
            const monitored = this.OPTION2(() => this.CONSUME(word.monitored));
            return {
              kind: "bound",
              left,
              right,
              shared: shared !== undefined,
              monitored: monitored !== undefined,
              span: this.span(left, monitored ?? shared ?? right),
            };
          },
        },
      ],
    }),
  );

  protected section = this.RULE("section", (): Section => {
    const head = this.OR([
      { ALT: () => this.CONSUME(word.constrain) },
      { ALT: () => this.CONSUME(word.cost) },
      { ALT: () => this.CONSUME(word.train) },
    ]);
    this.CONSUME(t.LeftBrace);
    const clauses: Clause[] = [];
    this.MANY(() => {
      clauses.push(this.SUBRULE(this.clause));
      this.OPTION(() => this.CONSUME(t.Comma));
    });
    const close = this.CONSUME(t.RightBrace);
    return {
      kind: "section",
      name: { name: head.image, span: this.span(head) },
      clauses,
      doc: this.ACTION(() => this.docs(head.startOffset)),
      span: this.span(head, close),
    };
  });
}
