/**
 * Text to tree. Never throws, whatever the text: lexical and syntactic errors become diagnostics. The parser object is made
 * once, on first use, since its self-analysis takes longer than parsing a page.
 */
import type { IToken } from "chevrotain";
import { diagnostic } from "../src/diagnostics/table.js";
import type { Diagnostic } from "../src/diagnostics/diagnostic.js";
import { nearest } from "../src/diagnostics/suggest.js";
import type { File, Span } from "./ast.js";
import { keywords, lexer, Name } from "./lexer.js";
import { EOF, MhcParser } from "./parser.js";

export interface Comment {
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

export interface Parsed {
  readonly file: File;
  readonly diagnostics: readonly Diagnostic[];
  readonly comments: readonly Comment[];
}

let parser: MhcParser | null = null;

/** Parses one file. When there are diagnostics, `file` is partial. */
export function parse(text: string, name: string): Parsed {
  const { tokens, errors, groups } = lexer.tokenize(text);
  const comments = (groups["comments"] ?? []).map((token) => ({ text: token.image.trimEnd(), start: token.startOffset, end: token.startOffset + token.image.trimEnd().length }));
  const span = (start: number, length: number): Span => ({ file: name, start, end: start + Math.max(1, length) });
  const diagnostics: Diagnostic[] = errors.map(({ offset, length }) => {
    const image = text.slice(offset, offset + length);
    return image.startsWith('"')
      ? diagnostic("MHC102", span(offset, length), "this string does not end", { fix: "close it with `\"` on the same line; `\\\"` stands for a quote" })
      : diagnostic("MHC101", span(offset, length), `\`${image}\` means nothing here`);
  });

  parser ??= new MhcParser();
  parser.file = name;
  parser.docs = docsOf(text, comments);
  parser.unstarted = [];
  parser.inClause = false;
  parser.input = tokens;
  const items = readItems(parser);
  for (const error of parser.errors) {
    const token: IToken = error.token;
    const end = token.tokenType === EOF;
    const at = end ? Math.max(0, text.trimEnd().length - 1) : token.startOffset;
    diagnostics.push(diagnostic("MHC103", span(at, end ? 1 : token.image.length), error.message, { fix: suggest(token, error.message) }));
  }
  for (const ident of parser.unstarted) {
    diagnostics.push(diagnostic("MHC104", ident.span, `the parameter \`${ident.name}\` has no start`, { fix: `say how it starts: \`param ${ident.name}[…] ~ normal(0.02)\`` }));
  }
  return { file: { kind: "file", name, text, items: diagnostics.length ? items.filter(Boolean) : items }, diagnostics, comments };
}

/** After an error the parser goes on over holes in the tree; an action that falls into one ends the reading, with what was found so far. */
function readItems(of: MhcParser): File["items"] {
  try {
    return of.fileRule() ?? [];
  } catch (error) {
    if (of.errors.length === 0) throw error;
    return [];
  }
}

function suggest(token: IToken, message: string): string | null {
  if ((keywords as readonly string[]).includes(token.image) && /a name/.test(message)) return `\`${token.image}\` is a word of the language: choose another name`;
  if (token.tokenType !== Name) return null;
  const word = nearest(token.image, keywords);
  return word ? `did you mean \`${word}\`?` : null;
}

/** The `///` lines that end just above an offset (only whitespace between). */
function docsOf(text: string, comments: readonly Comment[]): (start: number) => string | null {
  const docs = comments.filter((comment) => comment.text.startsWith("///") && /^[ \t]*$/.test(text.slice(text.lastIndexOf("\n", comment.start) + 1, comment.start)));
  return (start) => {
    const lines: string[] = [];
    let below = start;
    for (let i = docs.length - 1; i >= 0; i--) {
      const comment = docs[i]!;
      if (comment.end > below) continue;
      if (!/^\s*$/.test(text.slice(comment.end, below)) || text.slice(comment.end, below).split("\n").length > 2) break;
      lines.unshift(comment.text.slice(3).trim());
      below = comment.start;
    }
    return lines.length ? lines.join("\n") : null;
  };
}
