/**
 * The one layout of .mhc. The formatter prints the tree, and puts every comment back where it stood: on a line of its
 * own before the item it preceded, at the end of a line after the item it followed, or before the closing brace. What
 * one line said stays one line (`dim a = 1, b = 2`, settings of a section); one blank line between items is kept, more
 * are not. Formatting twice changes nothing, and the tree after formatting is the tree before. Lines end as they ended,
 * with LF or CRLF, and a byte order mark stays: neither is layout, and a version control may ask for them. Where lines
 * end in both ways, all end as most of them did.
 */
import type { Diagnostic } from "../src/diagnostics/diagnostic.js";
import type {
  AdaptClause,
  Arg,
  Block,
  Call,
  Clause,
  Expr,
  Formal,
  Ident,
  Model,
  ModelItem,
  Path,
  Repeat,
  Section,
  Use,
} from "./ast.js";
import type { Span } from "../src/diagnostics/span.js";
import { parse, type Comment } from "./parse.js";

export interface Formatted {
  /** null when there are syntax errors. */
  readonly text: string | null;
  /** How many lines ended with LF and with CRLF. */
  readonly ends: LineEnds;
  readonly diagnostics: readonly Diagnostic[];
}

export interface LineEnds {
  readonly lf: number;
  readonly crlf: number;
}

export function format(text: string, file: string): Formatted {
  const parsed = parse(text, file);
  const crlf = text.split("\r\n").length - 1;
  const ends = { crlf, lf: text.split("\n").length - 1 - crlf };
  if (parsed.diagnostics.length) return { text: null, ends, diagnostics: parsed.diagnostics };
  const printer = createPrinter(text, parsed.comments);
  printer.items(
    parsed.file.items.map((item) => ({ span: item.span, print: () => printer.topLevel(item) })),
    0,
    text.length,
  );
  const printed = `${text.startsWith("\ufeff") ? "\ufeff" : ""}${printer.finish()}`;
  return { text: ends.crlf > ends.lf ? printed.replaceAll("\n", "\r\n") : printed, ends, diagnostics: [] };
}

/** Something that starts on a line of its own. */
interface Entry {
  readonly span: Span;
  /** Prints it at the current indentation; its last line is left open for a trailing comment. */
  readonly print: () => void;
}

/** Declarations and clauses that share a line. */
interface Spanned {
  readonly span: Span;
}

function createPrinter(text: string, comments: readonly Comment[]) {
  const lines: string[] = [];
  let indent = 0;
  let next = 0;
  const push = (line: string): void => void lines.push(line === "" ? "" : "  ".repeat(indent) + line);
  const blankBetween = (from: number, to: number): boolean => (text.slice(from, to).match(/\n/g) ?? []).length >= 2;
  const sameLine = (from: number, to: number): boolean => !text.slice(from, to).includes("\n");

  /** Prints entries with the comments around and inside them, up to offset `end`. */
  function items(entries: readonly Entry[], start: number, end: number): void {
    let before = start;
    let first = true;
    const gap = (from: number): void => {
      if (!first && blankBetween(before, from)) push("");
      first = false;
    };
    const own = (limit: number): void => {
      for (; next < comments.length && comments[next]!.start < limit; next++) {
        const comment = comments[next]!;
        gap(comment.start);
        push(comment.text);
        before = comment.end;
      }
    };
    for (const entry of entries) {
      own(entry.span.start);
      gap(entry.span.start);
      entry.print();
      before = entry.span.end;
      // A comment inside what was printed on one line goes after it, as does one that ends its line.
      for (
        ;
        next < comments.length &&
        (comments[next]!.start < entry.span.end ||
          (sameLine(entry.span.end, comments[next]!.start) && comments[next]!.start < end));
        next++
      ) {
        const comment = comments[next]!;
        if (comment.start < entry.span.end || !lines[lines.length - 1]!.includes("//")) trail(comment);
        else push(comment.text);
        before = Math.max(before, comment.end);
      }
    }
    own(end);
  }

  function trail(comment: Comment): void {
    const last = lines[lines.length - 1]!;
    if (last.includes("//")) push(comment.text);
    else lines[lines.length - 1] = `${last} ${comment.text}`;
  }

  /** `head {` … `}` around entries; comments before the brace stay inside. */
  function braces(head: string, span: Span, headEnd: number, entries: readonly Entry[]): void {
    push(`${head} {`);
    const open = text.indexOf("{", headEnd) + 1;
    // A comment on the line of the opening brace ends that line.
    while (
      next < comments.length &&
      comments[next]!.start < (entries[0]?.span.start ?? span.end) &&
      sameLine(open, comments[next]!.start)
    )
      trail(comments[next++]!);
    indent++;
    items(entries, open, span.end - 1);
    indent--;
    push("}");
  }

  function topLevel(item: Use | Model | Block): void {
    switch (item.kind) {
      case "use":
        return push(`use ${expr(item.path)}`);
      case "model":
        return braces(`model ${item.name.name}`, item.span, item.name.span.end, grouped(item.items));
      case "block":
      case "connection":
        return block(item);
      default:
        item satisfies never;
    }
  }

  function block(item: Block): void {
    const two = /\)\s*\(/.test(text.slice(item.name.span.end, text.indexOf("{", item.name.span.end)));
    const lists = two ? [item.config, item.data] : [item.data];
    const head = `${item.kind} ${item.name.name}${lists.map((list) => `(${list.map(formal).join(", ")})`).join("")}`;
    const { result } = item;
    const back: Entry = {
      span: result.span,
      print: () => push(`return ${result.axes ? `${names(result.axes)} = ` : ""}${expr(result.value)}`),
    };
    const formals = [...item.config, ...item.data];
    braces(head, item.span, formals[formals.length - 1]?.span.end ?? item.name.span.end, [
      ...grouped(item.items),
      back,
    ]);
  }

  /** Items as entries; dims and parameters that one keyword declared are one entry. */
  function grouped(list: readonly ModelItem[]): Entry[] {
    const entries: Entry[] = [];
    for (let i = 0; i < list.length; i++) {
      const item = list[i]!;
      if (item.kind !== "dim" && item.kind !== "param") {
        entries.push({ span: item.span, print: () => single(item) });
        continue;
      }
      const group = [item];
      for (
        let other = list[i + 1];
        other && other.kind === item.kind && isComma(group[group.length - 1]!, other);
        other = list[i + 1]
      ) {
        group.push(other as typeof item);
        i++;
      }
      const start = text.lastIndexOf(item.kind, item.span.start);
      const span = { ...item.span, start, end: Math.max(...group.map((part) => part.span.end)) };
      entries.push({
        span,
        print: () => push(`${item.kind} ${group.map((part, at) => declared(part, group[at + 1])).join(", ")}`),
      });
    }
    return entries;
  }

  /** Whether only a comma (and comments) stands between two declarations. */
  function isComma(a: Spanned, b: Spanned): boolean {
    if (a.span.end > b.span.start) return true;
    return /^\s*,\s*$/.test(text.slice(a.span.end, b.span.start).replace(/\/\/[^\n]*/g, ""));
  }

  function declared(
    item: Extract<ModelItem, { kind: "dim" | "param" }>,
    following: Extract<ModelItem, { kind: "dim" | "param" }> | undefined,
  ): string {
    if (item.kind === "dim") return `${item.name.name} = ${expr(item.value)}`;
    // `wq[…], wk[…] ~ start`: the start stands once, after the last that shares it.
    const shared = following?.kind === "param" && following.start === item.start;
    return `${item.name.name}${names(item.axes)}${shared ? "" : ` ~ ${expr(item.start)}${item.on ? `${item.each.map(({ name }) => ` each ${name}`).join("")} on ${expr(item.on)}` : ""}`}`;
  }

  function single(item: Exclude<ModelItem, { kind: "dim" | "param" }>): void {
    switch (item.kind) {
      case "data":
        return push(`data ${item.name.name} = ${expr(item.source)}`);
      case "manifold": {
        const bare =
          item.value.lists[0]!.length === 0 && !text.slice(item.value.callee.span.end).trimStart().startsWith("(");
        return push(
          `manifold ${item.name.name} = ` +
            `${bare ? expr(item.value.callee) : expr(item.value)}${item.adapt.map(adapting).join("")}`,
        );
      }
      case "stream":
        return push(`stream ${item.name.name}${names(item.axes)} = ${expr(item.value)}`);
      case "input":
        return push(`input ${item.name.name}${names(item.axes)}`);
      case "output":
        return push(`output ${item.name.name}${names(item.axes)} = ${expr(item.value)}`);
      case "let":
        return push(`${item.name.name}${item.axes ? names(item.axes) : ""} = ${expr(item.value)}`);
      case "apply":
        return push(
          `${item.stream.name} through ` +
            `${expr(item.block)}${item.via ? ` via ${expr(item.via)}` : ""}${item.as ? ` as ${item.as.name}` : ""}`,
        );
      case "repeat":
        return repeat(item);
      case "loss":
        return push(`loss = ${expr(item.value)}`);
      case "section":
        return section(item);
      default:
        item satisfies never;
    }
  }

  function adapting(clause: AdaptClause): string {
    switch (clause.kind) {
      case "learned":
        return (
          ` adapt ${clause.what.name} in ${expr(clause.from)} .. ` +
          `${expr(clause.to)}${clause.weight ? ` weight ${expr(clause.weight)}` : ""}`
        );
      case "scheduled":
        return ` adapt ${clause.what.name} = ${expr(clause.value)}`;
      default:
        return clause satisfies never;
    }
  }

  function repeat(item: Repeat): void {
    braces(`repeat ${expr(item.count)}`, item.span, item.count.span.end, grouped(item.body));
  }

  function section(item: Section): void {
    const entries: Entry[] = [];
    for (let i = 0; i < item.clauses.length; i++) {
      const line = [item.clauses[i]!];
      while (i + 1 < item.clauses.length && sameLine(line[line.length - 1]!.span.end, item.clauses[i + 1]!.span.start))
        line.push(item.clauses[++i]!);
      entries.push({
        span: { ...line[0]!.span, end: line[line.length - 1]!.span.end },
        print: () => push(line.map(clause).join(", ")),
      });
    }
    braces(item.name.name, item.span, item.name.span.end, entries);
  }

  function clause(item: Clause): string {
    switch (item.kind) {
      case "setting":
        return `${item.name.name} = ${item.value.kind === "every" ? `every ${expr(item.value.count)}` : expr(item.value)}`;
      case "on":
        return `${expr(item.path)}${item.each.map((axis) => ` each ${axis.name}`).join("")} on ${expr(item.manifold)}`;
      case "bound":
        return (
          `${expr(item.left)} <= ` +
          `${expr(item.right)}${item.shared ? " shared" : ""}${item.monitored ? " monitored" : ""}`
        );
      case "words":
        return item.words
          .map(
            (word, i) =>
              `${i === 0 ? "" : text.slice(item.words[i - 1]!.span.end, word.span.start).includes(",") ? ", " : " "}${expr(word)}`,
          )
          .join("");
      default:
        return item satisfies never;
    }
  }

  const finish = (): string => {
    while (lines[lines.length - 1] === "") lines.pop();
    return lines.length ? `${lines.join("\n")}\n` : "";
  };
  return { items, topLevel, finish };
}

const names = (axes: readonly Ident[]): string => `[${axes.map(({ name }) => name).join(", ")}]`;
const dotted = (path: Path): string => path.parts.map(({ name }) => name).join(".");

function formal({ name, axes, type, default: value }: Formal): string {
  return `${name.name}${axes ? names(axes) : ""}${type ? `: ${type.name}` : ""}${value ? ` = ${expr(value)}` : ""}`;
}

const arg = ({ name, value }: Arg): string => `${name ? `${name.name} = ` : ""}${expr(value)}`;

function call(e: Call): string {
  return `${dotted(e.callee)}${e.axes ? names(e.axes) : ""}${e.lists.map((list) => `(${list.map(arg).join(", ")})`).join("")}${e.as ? ` as ${e.as.name}` : ""}`;
}

function expr(e: Expr): string {
  switch (e.kind) {
    case "path":
      return dotted(e);
    case "number":
      return e.text;
    case "string":
      return `"${e.value.replace(/[\\"]/g, "\\$&")}"`;
    case "tuple":
      return `(${e.items.map(expr).join(", ")})`;
    case "group":
      return `(${expr(e.inner)})`;
    case "index":
      return `${dotted(e.base)}[${e.axes.map(expr).join(", ")}]`;
    case "call":
      return call(e);
    case "unary":
      return `${e.op}${expr(e.operand)}`;
    case "binary":
      return e.op === "^" ? `${expr(e.left)} ^ ${expr(e.right)}` : `${expr(e.left)} ${e.op} ${expr(e.right)}`;
    case "where":
      return `${expr(e.value)} where ${expr(e.condition)}`;
    default:
      return e satisfies never;
  }
}
