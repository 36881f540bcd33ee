/**
 * Text to tree. Never throws, whatever the text: lexical and syntactic errors become diagnostics. The parser stops
 * at the first error; the item that it stands in is then left out and the rest is read again, so that an error says
 * nothing of what follows from it and errors of several items are all reported. The parser object is made once, on
 * first use, since its self-analysis takes longer than parsing a page.
 */
import type { IRecognitionException, IToken, TokenType } from "chevrotain";
import { mustAt } from "../runtime/lookup.js";
import { diagnostic } from "../src/diagnostics/table.js";
import type { Diagnostic } from "../src/diagnostics/diagnostic.js";
import type { Every, Expr, File, ParameterTarget } from "./ast.js";
import type { Span } from "../src/diagnostics/span.js";
import { tooDeep } from "./depth.js";
import { explained, lacking } from "./hints.js";
import * as t from "./lexer.js";
import { MhcParser } from "./parser.js";
import { scan, type Comment } from "./scan.js";
import { COMPARISONS, OPERATORS } from "./seen.js";

export type { Comment } from "./scan.js";

/** A page as a tree, partial when there are diagnostics. */
export interface Parsed {
  readonly file: File;
  readonly diagnostics: readonly Diagnostic[];
  readonly comments: readonly Comment[];
}

let parser: MhcParser | null = null;

/** The parser, ready for a text. */
function parserFor(name: string, docs: MhcParser["docs"] = () => null): MhcParser {
  parser ??= new MhcParser();
  return Object.assign(parser, { file: name, docs });
}

/** Syntax errors that are told at once: more are seldom all true. */
const MOST = 8;

/** Parses one file. When there are diagnostics, `file` is partial. */
export function parse(text: string, name: string): Parsed {
  const { tokens, comments, diagnostics: scanned, slips } = scan(text, name);
  const deep = tooDeep(tokens, name);
  if (deep) return { file: { kind: "file", name, text, items: [] }, diagnostics: [...scanned, deep], comments };
  const diagnostics = [...scanned];
  const parser = parserFor(name, docsOf(text, comments));
  let remaining = tokens;
  let items: File["items"] = [];
  for (let turn = 0; turn < MOST; turn++) {
    items = run(parser, remaining, () => parser.fileRule()) ?? [];
    const [error] = parser.errors;
    if (!error) break;
    const at = positionOf(remaining, error.token);
    const item = itemAround(remaining, at, error.message);
    const { diagnostic: told, meant, last } = explained(text, name, { error, tokens: remaining, at, from: item.from });
    // An error that a slip of the same item caused is not reported a second time.
    const [start, end] = [
      remaining[item.from]?.startOffset ?? 0,
      Math.max(remaining[item.to - 1]?.endOffset ?? 0, told.span.end),
    ];
    if (!slips.some((slip) => slip >= start && slip <= end)) diagnostics.push(told);
    if (meant) remaining = remaining.with(item.from, t.readAs(mustAt(remaining, item.from), t.word[meant], meant));
    else if (item.whole && !last) remaining = withoutItem(remaining, item, error);
    else break;
  }
  diagnostics.push(
    ...parser.asides.map((aside) => diagnostic("MHC103", aside.span, aside.message, { fix: aside.fix })),
  );
  diagnostics.push(...parser.escapes.map((escape) => wrongEscape(text, escape)));
  for (const ident of parser.unstarted) {
    diagnostics.push(
      diagnostic("MHC104", ident.span, `the parameter \`${ident.name}\` has no start`, {
        fix: `say how it starts: \`param ${ident.name}[…] ~ normal(0.02)\``,
      }),
    );
  }
  diagnostics.sort((a, b) => a.span.start - b.span.start);
  return { file: { kind: "file", name, text, items }, diagnostics, comments };
}

/** A text that is no page, read by one rule; its value is null when it is wrong. */
interface ParsedPart<T> {
  readonly value: T | null;
  readonly diagnostics: readonly Diagnostic[];
}

/** What a setting takes, by itself: an expression, or `every 6`. `value` is null when it is wrong. */
export const parseSetting = (text: string, name: string): ParsedPart<Expr | Every> =>
  parsePart(text, name, (parser) => parser.settingValue());

/** What `freeze` takes, by itself: `embed, layers.0`. `value` is null when it is wrong. */
export const parseTargets = (text: string, name: string): ParsedPart<readonly ParameterTarget[]> =>
  parsePart(text, name, (parser) => parser.allTargets());

function parsePart<T>(text: string, name: string, rule: (parser: MhcParser) => T): ParsedPart<T> {
  const { tokens, diagnostics: scanned } = scan(text, name);
  const deep = tooDeep(tokens, name);
  if (scanned.length || deep) return { value: null, diagnostics: deep ? [...scanned, deep] : scanned };
  const parser = parserFor(name);
  const value = run(parser, tokens, () => rule(parser));
  const [error] = parser.errors;
  if (error) {
    const at = positionOf(tokens, error.token);
    return { value: null, diagnostics: [explained(text, name, { error, tokens, at, from: 0 }).diagnostic] };
  }
  const escapes = parser.escapes.map((escape) => wrongEscape(text, escape));
  return { value: escapes.length ? null : (value ?? null), diagnostics: escapes };
}

/** Where a token stands among others; their number when it is none of them, as the end of the file is. */
function positionOf(tokens: readonly IToken[], token: IToken): number {
  const at = tokens.indexOf(token);
  return at < 0 ? tokens.length : at;
}

/** Reads tokens by a rule, which leaves what is wrong in the parser's fields. */
function run<T>(parser: MhcParser, tokens: readonly IToken[], rule: () => T): T | undefined {
  parser.unstarted = [];
  parser.escapes = [];
  parser.asides = [];
  parser.inClause = false;
  parser.input = [...tokens];
  return rule();
}

const ITEMS: ReadonlySet<TokenType> = new Set([
  t.word.use,
  t.word.model,
  t.word.block,
  t.word.connection,
  t.word.dim,
  t.NumberWord,
  t.word.data,
  t.word.manifold,
  t.word.stream,
  t.word.input,
  t.word.output,
  t.word.repeat,
  t.word.if,
  t.word.else,
  t.word.loss,
  t.word.metric,
  t.word.param,
  t.word.return,
  t.word.constrain,
  t.word.cost,
  t.word.train,
  t.RightBrace,
]);
/** Items with a body: without their heads, what is in it would be errors of its own. */
const BODIES: ReadonlySet<TokenType> = new Set([
  t.word.model,
  t.word.block,
  t.word.connection,
  t.word.repeat,
  t.word.if,
  t.word.else,
  t.word.constrain,
  t.word.cost,
  t.word.train,
]);
/** Tokens behind which an item goes on in the next line. */
const OPEN: ReadonlySet<TokenType> = new Set([
  t.Comma,
  t.Equals,
  t.Tilde,
  ...OPERATORS,
  t.LeftParen,
  t.LeftBracket,
  ...COMPARISONS,
  t.Colon,
  t.Range,
  t.word.where,
  t.word.else,
  t.word.and,
  t.word.or,
  t.word.through,
  t.word.via,
  t.word.as,
  t.word.on,
  t.word.each,
  t.word.in,
]);

/** An item among tokens, as positions; not `whole` when it has a brace without the other, so it cannot be left out. */
interface ItemRange {
  readonly from: number;
  readonly to: number;
  readonly whole: boolean;
}

/** The item that a token is in. */
function itemAround(tokens: readonly IToken[], at: number, message: string): ItemRange {
  const begins = (i: number): boolean => {
    const [token, before] = [mustAt(tokens, i), tokens[i - 1]];
    if (before && before.endLine === token.startLine && before.tokenType !== t.LeftBrace) return false;
    return ITEMS.has(token.tokenType) || (token.tokenType === t.Name && !(before && OPEN.has(before.tokenType)));
  };
  // A token that is missing before the first word of an item is missing in the item before it.
  const before = at === tokens.length || (begins(at) && lacking(message));
  let from = Math.max(0, before ? at - 1 : at);
  while (from > 0 && !begins(from)) from--;
  let to = Math.max(before ? at : at + 1, from + 1);
  while (to < tokens.length && !begins(to)) to++;
  const item = tokens.slice(from, to);
  const depth = item.reduce(
    (sum, { tokenType }) => sum + Number(tokenType === t.LeftBrace) - Number(tokenType === t.RightBrace),
    0,
  );
  const braced =
    depth !== 0 ||
    item.some(({ tokenType }) => tokenType === t.RightBrace) ||
    BODIES.has(mustAt(tokens, from).tokenType);
  return { from, to, whole: at < tokens.length && !braced };
}

/** Tokens without an item that is wrong. */
const withoutItem = (tokens: readonly IToken[], { from, to }: ItemRange, error: IRecognitionException): IToken[] => [
  ...tokens.slice(0, from),
  ...stub(tokens.slice(from, to), error),
  ...tokens.slice(to),
];

/** What stands for an item that was left out: a block without its `return` would be an error of its own. */
function stub(item: readonly IToken[], { context }: IRecognitionException): readonly IToken[] {
  const [first] = item;
  return first?.tokenType === t.word.return && context.ruleStack.includes("block")
    ? [first, t.readAs(first, t.Name, "left_out")]
    : [];
}

function wrongEscape(text: string, { span, at }: { readonly span: Span; readonly at: number }): Diagnostic {
  const start = span.start + at;
  const escape = text.slice(start, start + 2);
  const path = text
    .slice(span.start, span.end)
    .replace(/\\(?!")/g, "/")
    .replace(/\/\/+/g, "/");
  return diagnostic("MHC107", { ...span, start, end: start + 2 }, `\`${escape}\` is not an escape of a string`, {
    fix: `a path has \`/\` on every system: \`${path}\`; a backslash that is meant is written \`\\\\\``,
  });
}

/** The `///` lines that end just above an offset (only whitespace between). */
function docsOf(text: string, comments: readonly Comment[]): (start: number) => string | null {
  const docs = comments.filter(
    (comment) =>
      comment.text.startsWith("///") &&
      /^[ \t\ufeff]*$/.test(text.slice(text.lastIndexOf("\n", comment.start) + 1, comment.start)),
  );
  return (start) => {
    const lines: string[] = [];
    let below = start;
    for (const comment of docs.toReversed()) {
      if (comment.end > below) continue;
      if (!/^\s*$/.test(text.slice(comment.end, below)) || text.slice(comment.end, below).split("\n").length > 2) break;
      lines.unshift(comment.text.slice(3).trim());
      below = comment.start;
    }
    return lines.length ? lines.join("\n") : null;
  };
}
