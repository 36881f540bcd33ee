/**
 * The grammar of targets: what clauses of `train` and the item `allow` list. `freeze embed, layers.0, "*.bias"` names
 * parameters by paths, by patterns in quotes or by kinds, and `allow MHC220, MHC221` names codes. It stands between
 * expressions and sections (`sections.ts`).
 */
import type { TokenType } from "chevrotain";
import type { Allow, Ident, ParameterTarget, Path, StringLiteral } from "./ast.js";
import { ExpressionParser } from "./expressions.js";
import * as t from "./lexer.js";

/** What stands behind a target on its line. */
const ENDS: ReadonlySet<TokenType> = new Set([t.Comma, t.LeftBrace, t.RightBrace]);

/** What a target is called in messages. */
const TARGET = "a path, or a pattern in quotes";

/** Rules for lists of targets. */
export class TargetParser extends ExpressionParser {
  /** How far a dotted path reaches that begins at a token: `layers.0` is a name and the number `.0`. */
  private pathEnd(at: number): number {
    let end = at;
    for (;;) {
      const [next, after] = [this.LA(end + 1), this.LA(end + 2)];
      if (next.tokenType === t.NumberToken && isLayer(next.image)) end += 1;
      else if (next.tokenType === t.Dot && after.tokenType === t.Name) end += 2;
      else return end;
    }
  }

  /** Whether a target begins at a token, and not the next clause: `freeze embed, steps = 100`. */
  private isTarget(at: number): boolean {
    const first = this.LA(at);
    // A number is no target: that is said where it is read.
    if (first.tokenType === t.StringToken || first.tokenType === t.NumberToken) return true;
    if (first.tokenType !== t.Name) return false;
    const end = this.pathEnd(at);
    const [last, next] = [this.LA(end), this.LA(end + 1)];
    if (next.tokenType === t.Equals || next.tokenType === t.LessEqual) return false;
    return ENDS.has(next.tokenType) || next.startLine !== last.endLine;
  }

  /** Whether a list of targets stands behind this word, on its line: `group "a.*" {`, and not `group = 3`. */
  protected begins(word: string): boolean {
    const [first, next] = [this.LA(1), this.LA(2)];
    return (
      first.tokenType === t.Name &&
      first.image === word &&
      (next.tokenType === t.StringToken || next.tokenType === t.Name) &&
      next.startLine === first.startLine
    );
  }

  /** A path whose parts may be numbers of layers: `layers.0.attention`. */
  private targetPath = this.RULE("targetPath", (): Path => {
    const parts: [Ident, ...Ident[]] = [this.SUBRULE(this.ident)];
    this.MANY({
      GATE: () => this.LA(1).tokenType === t.Dot || isLayer(this.LA(1).image),
      DEF: () =>
        this.OR([
          {
            ALT: () => {
              this.CONSUME(t.Dot);
              parts.push(this.SUBRULE2(this.ident));
            },
          },
          {
            ALT: () => {
              const number = this.CONSUME(t.NumberToken);
              parts.push({ name: number.image.slice(1), span: this.span(number) });
            },
          },
        ]),
    });
    return { kind: "path", parts, span: this.span(parts[0], parts.at(-1)) };
  });

  private target = this.RULE("target", (): ParameterTarget =>
    this.OR({
      ERR_MSG: TARGET,
      DEF: [
        { ALT: (): Path | StringLiteral => this.SUBRULE(this.string) },
        { ALT: (): Path | StringLiteral => this.SUBRULE(this.targetPath) },
      ],
    }),
  );

  private targetList = this.RULE("targetList", (): ParameterTarget[] => {
    const targets: ParameterTarget[] = [];
    this.AT_LEAST_ONE_SEP({ ERR_MSG: TARGET, SEP: t.Comma, DEF: () => targets.push(this.SUBRULE(this.target)) });
    return targets;
  });

  /** Targets between commas, perhaps in parentheses, and nothing behind them: a setting from outside of the page. */
  allTargets = this.RULE("allTargets", (): ParameterTarget[] =>
    this.OR({
      ERR_MSG: TARGET,
      DEF: [
        {
          ALT: (): ParameterTarget[] => {
            this.CONSUME(t.LeftParen);
            const targets = this.SUBRULE(this.targetList);
            this.CONSUME(t.RightParen);
            return targets;
          },
        },
        { ALT: (): ParameterTarget[] => this.SUBRULE2(this.targetList) },
      ],
    }),
  );

  /** Targets between commas, up to the next clause. */
  protected targets = this.RULE("targets", (): ParameterTarget[] => {
    const targets = [this.SUBRULE(this.target)];
    this.MANY({
      GATE: () => this.isTarget(2),
      DEF: () => {
        this.CONSUME(t.Comma);
        targets.push(this.SUBRULE2(this.target));
      },
    });
    return targets;
  });

  /** `allow MHC220, MHC221` */
  protected allow = this.RULE("allow", (): Allow => {
    const first = this.CONSUME(t.Name);
    const codes = [this.SUBRULE(this.ident)];
    this.MANY(() => {
      this.CONSUME(t.Comma);
      codes.push(this.SUBRULE2(this.ident));
    });
    return { kind: "allow", codes, span: this.span(first, codes.at(-1)) };
  });
}

/** Whether a number is the index of a layer behind a name, as the lexer has it: `.0` of `layers.0`. */
const isLayer = (image: string): boolean => /^\.\d+$/.test(image);
