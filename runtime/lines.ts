/**
 * Texts of a line each, and pairs of texts, as tokens of a length that does not change.
 *
 * A line begins with a line feed and ends with one, which no line contains; what is left of its length is line feeds
 * too, where `present` is 0. So one token is beginning, end and padding, and a model that has learned to make a line
 * feed ends by itself. Pairs have three tokens that are no characters: padding, start and end.
 */
import { describe } from "./check.js";
import { vocabularyOf, type Source } from "./data.js";
import { DataError } from "./errors.js";
import { rowsSource } from "./rows.js";
import type { LinesInfo, SequencesInfo } from "./sources.js";

/** What a line begins and ends with. */
export const LINE_FEED = "\n";

/** Tokens of pairs that are no characters, in the order of the vocabulary. */
export const SPECIAL = ["<padding>", "<start>", "<end>"] as const;
/** See `SPECIAL`. */
export const PADDING = 0;
/** See `SPECIAL`. */
export const START = 1;
/** See `SPECIAL`. */
export const END = 2;

/** A line of a file. */
export interface TextLine {
  readonly text: string;
  /** `line 7 of names.txt` */
  readonly place: string;
}

/** The lines of a text that have something in them. `where`: what errors call the text. */
export function linesOf(text: string, where = "the text"): TextLine[] {
  if (typeof text !== "string") throw new DataError(`the lines are ${describe(text)}, and text is expected`);
  return text
    .split(/\r?\n/)
    .flatMap((line, i) => (line === "" ? [] : [{ text: line, place: `line ${i + 1} of ${where}` }]));
}

/** The vocabulary of lines: their characters and the line feed, sorted by code point. */
export const vocabularyOfLines = (lines: readonly TextLine[]): string[] =>
  vocabularyOf([LINE_FEED, ...lines.map(({ text }) => text)].join(""));

/** Numbers of characters; an error for one that is not in the vocabulary, which names its place. */
function encoder(vocabulary: readonly string[]): (text: string, place: string) => number[] {
  const index = new Map(vocabulary.map((character, i) => [character, i]));
  return (text, place) =>
    Array.from(text, (character) => {
      const token = index.get(character);
      if (token !== undefined) return token;
      throw new DataError(
        `${place} has the character ${JSON.stringify(character)}, which is not in the vocabulary of the data`,
        "use only characters of that data",
      );
    });
}

/** What a text of tokens may be long, in words. */
interface TokenLimit {
  readonly tokens: number;
  /** The option that says it. */
  readonly option: string;
  /** Tokens beside the characters. */
  readonly extra: number;
  readonly cut: boolean;
}

/** At most as many tokens as there is room for; an error that says what is too long where nothing is cut. */
function within(
  tokens: readonly number[],
  { tokens: room, option, extra, cut }: TokenLimit,
  place: string,
): readonly number[] {
  const most = room - extra;
  if (tokens.length <= most) return tokens;
  if (cut) return tokens.slice(0, most);
  const reserved = extra
    ? ` and its end, and \`${option} = ${room}\` has room for ${most}`
    : `, and \`${option}\` is ${room}`;
  throw new DataError(
    `${place} has ${tokens.length} characters${reserved}`,
    `write \`${option} = ${tokens.length + extra}\`, or \`longer = cut\``,
  );
}

/**
 * Batches of `NAME.token` and `NAME.next`, [batch, length], and of `NAME.present`, [batch, length]: 1 where `next` is a
 * character of the line or the line feed that ends it, 0 behind it. Throws DataError for a line that is too long and
 * for characters that are not in the vocabulary.
 */
export function linesSource(info: LinesInfo, text: string | readonly TextLine[]): Source {
  const lines = typeof text === "string" ? linesOf(text) : text;
  const { name, length, cut, vocabulary } = info;
  const feed = vocabulary.indexOf(LINE_FEED);
  const encode = encoder(vocabulary);
  const token = new Uint32Array(lines.length * length).fill(feed);
  const next = new Uint32Array(lines.length * length).fill(feed);
  const present = new Float32Array(lines.length * length);
  for (const [row, { text: line, place }] of lines.entries()) {
    const encoded = within(encode(line, place), { tokens: length, option: "length", extra: 1, cut }, place);
    const at = row * length;
    token.set(encoded, at + 1);
    next.set(encoded, at);
    present.fill(1, at, at + encoded.length + 1);
  }
  if (lines.length === 0) throw new DataError(`there are no lines in \`${name}\``);
  const fields = [
    { name: "token", size: length, values: token },
    { name: "next", size: length, values: next },
    { name: "present", size: length, values: present },
  ];
  return rowsSource(info, lines.length, fields, "lines");
}

/** A source and the target that is to be made from it. */
export interface SequencePair {
  readonly source: string;
  readonly target: string;
  readonly place: string;
}

/** The pairs of a text: lines of a source and a target with a tab between them; empty lines are passed over. */
export function parseSequences(text: string, where = "the text"): SequencePair[] {
  return linesOf(text, where).map(({ text: line, place }) => {
    const [source, target, ...more] = line.split("\t");
    if (source === undefined || target === undefined || more.length > 0 || source === "") {
      const columns = line.split("\t").length;
      const what = columns === 2 ? "an empty source" : `${columns} column${columns === 1 ? "" : "s"}`;
      throw new DataError(`${place} has ${what}`, "a line is a source and a target with a tab between them");
    }
    return { source, target, place };
  });
}

/** The vocabulary of pairs: padding, start and end, then the characters of both sides, sorted by code point. */
export const vocabularyOfPairs = (pairs: readonly SequencePair[]): string[] => [
  ...SPECIAL,
  ...vocabularyOf(pairs.map(({ source, target }) => source + target).join("")),
];

/** The tokens of a source, padded, and where they are. Throws DataError as `sequencesSource` does. */
export function encodeSource(
  info: SequencesInfo,
  text: string,
  place = "the source",
): { readonly tokens: Uint32Array; readonly present: Float32Array } {
  const { source: room, cut, vocabulary } = info;
  const encoded = within(encoder(vocabulary)(text, place), { tokens: room, option: "source", extra: 0, cut }, place);
  const tokens = new Uint32Array(room).fill(PADDING);
  tokens.set(encoded);
  return { tokens, present: new Float32Array(room).fill(1, 0, encoded.length) };
}

/**
 * Batches of `NAME.source`, [batch, source], `NAME.target` (it begins with the start) and `NAME.next` (it ends with the
 * end), [batch, target], and of `NAME.source_present` and `NAME.present`: 1 where `source` and `next` have a token, 0
 * where they are padded. Throws DataError for a text that is too long and for characters that are not in the
 * vocabulary.
 */
export function sequencesSource(info: SequencesInfo, text: string | readonly SequencePair[]): Source {
  const pairs = typeof text === "string" ? parseSequences(text) : text;
  const { name, source: long, target: room, cut, vocabulary } = info;
  if (pairs.length === 0) throw new DataError(`there are no pairs in \`${name}\``);
  const encode = encoder(vocabulary);
  const source = new Uint32Array(pairs.length * long);
  const sourcePresent = new Float32Array(pairs.length * long);
  const target = new Uint32Array(pairs.length * room).fill(PADDING);
  const next = new Uint32Array(pairs.length * room).fill(PADDING);
  const present = new Float32Array(pairs.length * room);
  for (const [row, pair] of pairs.entries()) {
    const from = encodeSource(info, pair.source, `the source in ${pair.place}`);
    source.set(from.tokens, row * long);
    sourcePresent.set(from.present, row * long);
    const place = `the target in ${pair.place}`;
    const to = within(encode(pair.target, place), { tokens: room, option: "target", extra: 1, cut }, place);
    target.set([START, ...to], row * room);
    next.set([...to, END], row * room);
    present.fill(1, row * room, row * room + to.length + 1);
  }
  return rowsSource(
    info,
    pairs.length,
    [
      { name: "source", size: long, values: source },
      { name: "source_present", size: long, values: sourcePresent },
      { name: "target", size: room, values: target },
      { name: "next", size: room, values: next },
      { name: "present", size: room, values: present },
    ],
    "pairs",
  );
}
