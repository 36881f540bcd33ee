/**
 * Text to the tokens that the parser reads, to comments, and to what is wrong before any grammar: texts that are no
 * pages, characters that mean nothing, and slips (`slips.ts`), which are read as what they stand for. One kind of
 * slip is one error, at its first place; the others are a note.
 */
import { Lexer, type IToken } from "chevrotain";
import type { Diagnostic } from "../src/diagnostics/diagnostic.js";
import { diagnostic, type Code } from "../src/diagnostics/table.js";
import type { Span } from "../src/diagnostics/span.js";
import {
  between,
  Comma,
  isBelow,
  LeftBracket,
  LeftParen,
  Name,
  NumberWord,
  readAs,
  RightBrace,
  RightBracket,
  RightParen,
  tokens,
  word,
} from "./lexer.js";
import { codePoint, plainly, slipTokens, type Says } from "./slips.js";

/** A comment with its slashes, and where it stands. */
export interface Comment {
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

/** A text before any grammar. */
export interface Scanned {
  readonly tokens: readonly IToken[];
  readonly comments: readonly Comment[];
  readonly diagnostics: readonly Diagnostic[];
  /** Where slips were, as offsets: what the grammar says about the same item follows from them. */
  readonly slips: readonly number[];
}

/** Something wrong, of a kind of which one is reported. */
interface Wrong {
  readonly kind: string;
  readonly code: Code;
  readonly start: number;
  readonly end: number;
  readonly says: Omit<Says, "fix"> & { readonly fix: string | null };
}

const [space, comments] = between;
const lexer = new Lexer([space, comments, ...slipTokens.keys(), ...tokens], {
  ensureOptimizations: false,
  positionTracking: "full",
});

/** The tokens of a text, and what is wrong before any grammar. Never throws. */
export function scan(text: string, file: string): Scanned {
  const unreadable = notAPage(text, file);
  if (unreadable) return { tokens: [], comments: [], diagnostics: [unreadable], slips: [] };
  const { plain, exchanged } = plainly(text);
  const { tokens: read, errors, groups } = lexer.tokenize(plain);
  const wrong: Wrong[] = exchanged.map(({ start, end, says }) => ({
    kind: says.message.split(" is ")[1] ?? "",
    code: "MHC106",
    start,
    end,
    says,
  }));
  const kept: IToken[] = [];
  for (const token of read) {
    const slip = slipTokens.get(token.tokenType);
    if (!slip) {
      kept.push(token);
      continue;
    }
    const { image, startOffset: start } = token;
    // Comments of other languages go on over lines: their first is enough to see.
    const end = start + image.replace(/\n[^]*$/, "").trimEnd().length;
    wrong.push({ kind: slip.kind, code: slip.code ?? "MHC106", start, end, says: slip.says(image) });
    if (slip.as) kept.push(readAs(token, slip.as, slip.image?.(image)));
  }
  for (const { offset, length } of errors)
    wrong.push({
      kind: "character",
      code: "MHC101",
      start: offset,
      end: offset + length,
      says: nothing(text.slice(offset, offset + length)),
    });
  return {
    tokens: withoutTrailingCommas(withNumberWords(kept)),
    comments: (groups["comments"] ?? []).map(({ startOffset: start, image }) => ({
      text: image.trimEnd(),
      start,
      end: start + image.trimEnd().length,
    })),
    diagnostics: reports(text, file, wrong),
    slips: wrong.map(({ start }) => start),
  };
}

/** A text that is no page, whatever it says. */
function notAPage(text: string, file: string): Diagnostic | null {
  const zero = text.indexOf("\0");
  if (zero >= 0) {
    return diagnostic(
      "MHC108",
      { file, start: zero, end: zero + 1 },
      "this page has zero bytes in it, as UTF-16 has when it is read as UTF-8",
      { fix: "save it as UTF-8" },
    );
  }
  const alone = /\r(?!\n)/.exec(text);
  if (!alone) return null;
  const lines = (text.match(/\r(?!\n)/g) ?? []).length;
  const some = lines === 1 ? "a line of this page ends" : `${lines} lines of this page end`;
  const message = text.includes("\n")
    ? `${some} with a carriage return alone, and others with a line feed`
    : "the lines of this page end with a carriage return alone, as on the Macintosh before 2001";
  const place = { file, start: alone.index, end: alone.index + 1 };
  return diagnostic("MHC108", place, message, { fix: "save it with the line ends of Unix (LF) or Windows (CRLF)" });
}

/** What to write in place of some characters. */
const CHARACTERS: readonly (readonly [string, string])[] = [
  ["∑Σ", "write `sum[w](…)`"],
  ["√", "write `sqrt(…)`"],
  ["∈", "write `in`, or `on` for a set"],
  ["?", "a choice is made by a condition: `sum[u](x[u] where u <= t)`"],
];

/** A character that means nothing; those that cannot be seen go by their number. */
function nothing(image: string): Wrong["says"] {
  const shown = [...image]
    .map((character) => (/[\p{C}\p{Z}]/u.test(character) ? codePoint(character) : character))
    .join("");
  const invisible = shown !== image;
  if (image === "\ufffd") return { message: "a character here could not be read", fix: "save the page as UTF-8" };
  const fix = invisible
    ? "take it out: it is a character that cannot be seen"
    : (CHARACTERS.find(([characters]) => characters.includes(String.fromCodePoint(image.codePointAt(0) ?? 0)))?.[1] ??
      null);
  return { message: `\`${shown}\` means nothing here`, fix };
}

/** `number rate = 0.5`: the word of the language that is one only before a name. */
const withNumberWords = (list: readonly IToken[]): readonly IToken[] =>
  list.map((token, i) => {
    const after = list[i + 1];
    const isWord = token.tokenType === Name && token.image === "number" && after?.tokenType === Name;
    return isWord && !isBelow(after, token) ? readAs(token, NumberWord) : token;
  });

/** A comma behind the last of a list, which many write and which says nothing. */
function withoutTrailingCommas(list: readonly IToken[]): readonly IToken[] {
  const opens = new Set([LeftParen, LeftBracket, Comma]);
  const closes = new Set([RightParen, RightBracket, RightBrace]);
  const items = new Set([
    word.dim,
    NumberWord,
    word.data,
    word.manifold,
    word.stream,
    word.input,
    word.output,
    word.repeat,
    word.if,
    word.else,
    word.loss,
    word.metric,
    word.param,
    word.return,
    word.constrain,
    word.cost,
    word.train,
  ]);
  return list.filter((token, i) => {
    const [before, after] = [list[i - 1], list[i + 1]];
    if (token.tokenType !== Comma || !before || !after || opens.has(before.tokenType)) return true;
    return !closes.has(after.tokenType) && !(items.has(after.tokenType) && isBelow(after, token));
  });
}

/** One error a kind, at its first place. */
function reports(text: string, file: string, wrong: readonly Wrong[]): Diagnostic[] {
  const kinds = new Map<string, [Wrong, ...Wrong[]]>();
  for (const slip of [...wrong].sort((a, b) => a.start - b.start)) {
    const before = kinds.get(slip.kind);
    if (before) before.push(slip);
    else kinds.set(slip.kind, [slip]);
  }
  return [...kinds.values()].map(([first, ...others]) => {
    const { code, start, end, says } = first;
    const lines = [...new Set(others.map((other) => text.slice(0, other.start).split("\n").length))];
    const shown = `${lines.slice(0, 5).join(", ")}${lines.length > 5 ? ", …" : ""}`;
    const notes = lines.length
      ? [{ message: `the same in line${lines.length === 1 ? "" : "s"} ${shown}`, span: null }]
      : [];
    return diagnostic(code, spanOf(file, start, end), says.message, { notes, fix: says.fix });
  });
}

const spanOf = (file: string, start: number, end: number): Span => ({ file, start, end: Math.max(end, start + 1) });
