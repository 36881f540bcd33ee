/**
 * The one layout of .mhc. The formatter prints the tree, and puts every comment back where it stood: on a line of its
 * own before the item it preceded, at the end of a line after the item it followed, or before the closing brace. What
 * stands on one line stays on one line (`dim a = 1, b = 2`, settings of a section); one blank line between items is
 * kept, more are not. Formatting twice changes nothing, and the tree after formatting is the tree before. Lines end as
 * they ended, with LF or CRLF, and a byte order mark stays: neither is layout, and a version control may ask for them.
 * Where lines end in both ways, all end as most of them did.
 */
import { mustAt } from "../runtime/lookup.js";
import type { Diagnostic } from "../src/diagnostics/diagnostic.js";
import type { Span } from "../src/diagnostics/span.js";
import type {
  AnyItem,
  Block,
  Braced,
  Clause,
  DimDecl,
  If,
  ModelDecl,
  NumberDecl,
  ParamDecl,
  Section,
  Use,
} from "./ast.js";
import { formatClause, formatManifold, formatTargets, type Spanned } from "./format-clauses.js";
import { axisNames, formatExpr, formatFormal } from "./format-expressions.js";
import { parse, type Comment } from "./parse.js";

/** A page in the one layout, or what keeps it from having one. */
export interface Formatted {
  /** null when there are syntax errors. */
  readonly text: string | null;
  /** How many lines ended with LF and with CRLF. */
  readonly ends: LineEnds;
  readonly diagnostics: readonly Diagnostic[];
}

/** How many lines of a text end in each way. */
export interface LineEnds {
  readonly lf: number;
  readonly crlf: number;
}

/** Formats a page. Never throws: syntax errors are its diagnostics. */
export function format(text: string, file: string): Formatted {
  const parsed = parse(text, file);
  const crlf = text.split("\r\n").length - 1;
  const ends = { crlf, lf: text.split("\n").length - 1 - crlf };
  if (parsed.diagnostics.length) return { text: null, ends, diagnostics: parsed.diagnostics };
  const layout: PageLayout = { text, comments: parsed.comments, lines: [], indent: 0, next: 0 };
  const entries = parsed.file.items.map((item): LineEntry => ({
    span: item.span,
    print: () => putTopLevel(layout, item),
  }));
  putEntries(layout, entries, 0, text.length);
  const printed = `${text.startsWith("\ufeff") ? "\ufeff" : ""}${finished(layout)}`;
  return { text: ends.crlf > ends.lf ? printed.replaceAll("\n", "\r\n") : printed, ends, diagnostics: [] };
}

/** The state of laying out one page. */
interface PageLayout {
  readonly text: string;
  /** Comments in order, and the number of those that are printed. */
  readonly comments: readonly Comment[];
  next: number;
  /** Lines printed so far; a comment may still be put behind the last. */
  readonly lines: string[];
  indent: number;
}

/** Something that starts on a line of its own. */
interface LineEntry {
  readonly span: Span;
  /** Prints it at the current indentation; its last line is left open for a trailing comment. */
  readonly print: () => void;
}

function put({ lines, indent }: PageLayout, line: string): void {
  lines.push(line === "" ? "" : "  ".repeat(indent) + line);
}

const hasBlankBetween = ({ text }: PageLayout, from: number, to: number): boolean =>
  (text.slice(from, to).match(/\n/g) ?? []).length >= 2;

const areOnOneLine = ({ text }: PageLayout, from: number, to: number): boolean => !text.slice(from, to).includes("\n");

/** The next comment, when it starts before an offset; it counts as printed then. */
function takeComment(layout: PageLayout, limit: number): Comment | null {
  const comment = layout.comments[layout.next];
  if (!comment || comment.start >= limit) return null;
  layout.next++;
  return comment;
}

/** Where a list of entries has come to: the end of what was printed last, in the page's text. */
interface Progress {
  end: number;
  isFirst: boolean;
}

/** A blank line before what starts at `from`, when the page has one there. */
function putGap(layout: PageLayout, progress: Progress, from: number): void {
  if (!progress.isFirst && hasBlankBetween(layout, progress.end, from)) put(layout, "");
  progress.isFirst = false;
}

/** Comments that start before an offset, each on a line of its own. */
function putComments(layout: PageLayout, progress: Progress, limit: number): void {
  for (let comment = takeComment(layout, limit); comment; comment = takeComment(layout, limit)) {
    putGap(layout, progress, comment.start);
    put(layout, comment.text);
    progress.end = comment.end;
  }
}

/** Prints entries with the comments around and inside them, up to offset `end`. */
function putEntries(layout: PageLayout, entries: readonly LineEntry[], start: number, end: number): void {
  const progress: Progress = { end: start, isFirst: true };
  for (const entry of entries) {
    putComments(layout, progress, entry.span.start);
    putGap(layout, progress, entry.span.start);
    entry.print();
    progress.end = entry.span.end;
    putTrailing(layout, progress, entry.span.end, end);
  }
  putComments(layout, progress, end);
}

/** A comment inside what was printed on one line goes behind it, as does one that ends its line. */
function putTrailing(layout: PageLayout, progress: Progress, entryEnd: number, end: number): void {
  for (let comment = layout.comments[layout.next]; comment; comment = layout.comments[layout.next]) {
    const isInside = comment.start < entryEnd;
    if (!isInside && !(areOnOneLine(layout, entryEnd, comment.start) && comment.start < end)) return;
    layout.next++;
    putBehind(layout, comment);
    progress.end = Math.max(progress.end, comment.end);
  }
}

/** A comment at the end of the last line; on a line of its own, when that has one already. */
function putBehind(layout: PageLayout, comment: Comment): void {
  const { lines } = layout;
  const last = lines.pop() ?? "";
  if (!last.includes("//")) lines.push(`${last} ${comment.text}`);
  else {
    lines.push(last);
    put(layout, comment.text);
  }
}

/** A head, and what stands in its braces. */
interface Body {
  readonly head: string;
  readonly span: Span;
  /** Where the head ends in the page's text. */
  readonly headEnd: number;
  readonly entries: readonly LineEntry[];
}

/** `head {` … `}` around entries; comments before the brace stay inside. */
function putBody(layout: PageLayout, { head, span, headEnd, entries }: Body): void {
  put(layout, `${head} {`);
  const open = layout.text.indexOf("{", headEnd) + 1;
  layout.indent++;
  // A comment on the line of the opening brace ends that line; a second one stands in the braces.
  const limit = entries[0]?.span.start ?? span.end;
  for (let comment = layout.comments[layout.next]; comment; comment = layout.comments[layout.next]) {
    if (comment.start >= limit || !areOnOneLine(layout, open, comment.start)) break;
    layout.next++;
    putBehind(layout, comment);
  }
  putEntries(layout, entries, open, span.end - 1);
  layout.indent--;
  put(layout, "}");
}

function putTopLevel(layout: PageLayout, item: Use | ModelDecl | Block): void {
  switch (item.kind) {
    case "use":
      return put(layout, `use ${formatExpr(item.path)}${taken(item)}`);
    case "model":
      return putBody(layout, {
        head: `model ${item.name.name}`,
        span: item.span,
        headEnd: item.name.span.end,
        entries: grouped(layout, item.items),
      });
    case "block":
    case "connection":
      return putBlock(layout, item);
    default:
      item satisfies never;
  }
}

const taken = ({ names }: Use): string => (names ? ` { ${names.map(({ name }) => name).join(", ")} }` : "");

function putBlock(layout: PageLayout, item: Block): void {
  const { text } = layout;
  const { result, name } = item;
  const hasTwoLists = /\)\s*\(/.test(text.slice(name.span.end, text.indexOf("{", name.span.end)));
  const lists = hasTwoLists ? [item.config, item.data] : [item.data];
  const formals = lists.map((list) => `(${list.map(formatFormal).join(", ")})`).join("");
  const axes = result.axes ? `${axisNames(result.axes)} = ` : "";
  const back: LineEntry = { span: result.span, print: () => put(layout, `return ${axes}${formatExpr(result.value)}`) };
  putBody(layout, {
    head: `${item.kind} ${name.name}${formals}`,
    span: item.span,
    headEnd: [...item.config, ...item.data].at(-1)?.span.end ?? name.span.end,
    entries: [...grouped(layout, item.items), back],
  });
}

/** Declarations of which one keyword may begin several. */
type ListedDecl = DimDecl | NumberDecl | ParamDecl;

const isListed = (item: AnyItem): item is ListedDecl =>
  item.kind === "dim" || item.kind === "number" || item.kind === "param";

/** Items as entries; dims, numbers and parameters that one keyword declared are one entry. */
function grouped(layout: PageLayout, list: readonly AnyItem[]): LineEntry[] {
  const entries: LineEntry[] = [];
  for (let i = 0; i < list.length;) {
    const item = mustAt(list, i++);
    if (!isListed(item)) {
      entries.push({ span: item.span, print: () => putItem(layout, item) });
      continue;
    }
    const group: ListedDecl[] = [item];
    for (let other = list[i]; other; other = list[i]) {
      if (!isListed(other) || other.kind !== item.kind) break;
      if (!isCommaBetween(layout, mustAt(group, group.length - 1), other)) break;
      group.push(other);
      i++;
    }
    const start = layout.text.lastIndexOf(item.kind, item.span.start);
    const declarations = group.map((part, at) => declared(part, group[at + 1])).join(", ");
    entries.push({
      span: { ...item.span, start, end: Math.max(...group.map((part) => part.span.end)) },
      print: () => put(layout, `${item.kind} ${declarations}`),
    });
  }
  return entries;
}

/** Whether only a comma (and comments) stands between two declarations. */
function isCommaBetween({ text }: PageLayout, a: Spanned, b: Spanned): boolean {
  if (a.span.end > b.span.start) return true;
  return /^\s*,\s*$/.test(text.slice(a.span.end, b.span.start).replace(/\/\/[^\n]*/g, ""));
}

/** One declaration of a list, without its keyword. */
function declared(item: ListedDecl, following: ListedDecl | undefined): string {
  if (item.kind !== "param") return `${item.name.name} = ${formatExpr(item.value)}`;
  const declaration = `${item.name.name}${axisNames(item.axes)}`;
  // `wq[…], wk[…] ~ start`: the start stands once, after the last that shares it.
  if (following?.kind === "param" && following.start === item.start) return declaration;
  const each = item.each.map(({ name }) => ` each ${name}`).join("");
  const set = item.on ? `${each} on ${formatExpr(item.on)}` : "";
  return `${declaration} ~ ${formatExpr(item.start)}${set}${item.frozen ? " frozen" : ""}`;
}

function putItem(layout: PageLayout, item: Exclude<AnyItem, ListedDecl>): void {
  switch (item.kind) {
    case "data":
      return put(layout, `data ${item.name.name} = ${formatExpr(item.source)}`);
    case "manifold":
      return put(layout, formatManifold(layout.text, item));
    case "stream":
      return put(layout, `stream ${item.name.name}${axisNames(item.axes)} = ${formatExpr(item.value)}`);
    case "input":
      return put(layout, `input ${item.name.name}${axisNames(item.axes)}`);
    case "output":
      return put(layout, `output ${item.name.name}${axisNames(item.axes)} = ${formatExpr(item.value)}`);
    case "let":
      return put(layout, `${item.name.name}${item.axes ? axisNames(item.axes) : ""} = ${formatExpr(item.value)}`);
    case "apply": {
      const via = item.via ? ` via ${formatExpr(item.via)}` : "";
      const as = item.as ? ` as ${item.as.name}` : "";
      return put(layout, `${item.stream.name} through ${formatExpr(item.block)}${via}${as}`);
    }
    case "repeat":
      return putBody(layout, {
        head: `repeat ${formatExpr(item.count)}${item.as ? ` as ${item.as.name}` : ""}${item.shared ? " shared" : ""}`,
        span: item.span,
        headEnd: (item.as ?? item.count).span.end,
        entries: grouped(layout, item.body),
      });
    case "if":
      return putChoice(layout, item, "");
    case "loss":
      return put(layout, `loss = ${formatExpr(item.value)}`);
    case "term":
      return put(layout, `loss ${item.name.name} = ${formatExpr(item.value)}`);
    case "metric":
      return put(layout, `metric ${item.name.name} = ${formatExpr(item.value)}`);
    case "section":
      return putSection(layout, item);
    case "allow":
      return put(layout, `allow ${item.codes.map(({ name }) => name).join(", ")}`);
    default:
      item satisfies never;
  }
}

/** An `if` with all that follows it. `lead`: what its first line begins with. */
function putChoice(layout: PageLayout, item: If<AnyItem>, lead: string): void {
  const { condition, then, otherwise } = item;
  const body = ({ items, span }: Braced<AnyItem>, head: string, headEnd: number): void =>
    putBody(layout, { head, span, headEnd, entries: grouped(layout, items) });
  body(then, `${lead}if ${formatExpr(condition)}`, condition.span.end);
  if (!otherwise) return;
  // The brace that was put last is followed by `else` on its line.
  layout.lines.pop();
  if ("kind" in otherwise) putChoice(layout, otherwise, "} else ");
  else body(otherwise, "} else", then.span.end);
}

function putSection(layout: PageLayout, { name, span, clauses }: Section): void {
  putBody(layout, { head: name.name, span, headEnd: name.span.end, entries: clauseEntries(layout, clauses) });
}

/** Clauses that stand on one line of the page stay on one; a group has a line of its own. */
function clauseEntries(layout: PageLayout, clauses: readonly Clause[]): readonly LineEntry[] {
  const lines: [Clause, ...Clause[]][] = [];
  for (const clause of clauses) {
    const line = lines.at(-1);
    const last = line?.at(-1);
    const isAlone = clause.kind === "group" || last?.kind === "group";
    if (line && last && !isAlone && areOnOneLine(layout, last.span.end, clause.span.start)) line.push(clause);
    else lines.push([clause]);
  }
  return lines.map((line): LineEntry => ({
    span: { ...line[0].span, end: mustAt(line, line.length - 1).span.end },
    print: () => putClauses(layout, line),
  }));
}

/** A line of clauses. A group that stands on several lines of the page stands on several. */
function putClauses(layout: PageLayout, line: readonly [Clause, ...Clause[]]): void {
  const [group] = line;
  if (group.kind !== "group" || areOnOneLine(layout, group.span.start, group.span.end))
    return put(layout, line.map((clause) => formatClause(layout.text, clause)).join(", "));
  putBody(layout, {
    head: `group ${formatTargets(group.targets)}`,
    span: group.span,
    headEnd: mustAt(group.targets, group.targets.length - 1).span.end,
    entries: clauseEntries(layout, group.settings),
  });
}

function finished({ lines }: PageLayout): string {
  while (lines.at(-1) === "") lines.pop();
  return lines.length ? `${lines.join("\n")}\n` : "";
}
