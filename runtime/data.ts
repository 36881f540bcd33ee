/**
 * Data as batches. A text is a row of characters (code points); its vocabulary is sorted by code point; the last part
 * is held out and training never sees it. Training windows are drawn by Threefry from (seed, step), so a step's batch
 * is the same on every device and after a restart. Nothing here reads files: `runtime/node/files.ts` does. Pairs of
 * names are in `pairs.ts`.
 */
import { describe, floatsOf, isObject, numbersOf, whole } from "./check.js";
import { DataError } from "./errors.js";
import type { CharactersInfo, ExamplesInfo, TokensInfo } from "./sources.js";
import { mustAt } from "./lookup.js";
import { siteHash, threefry2x32 } from "./threefry.js";
import { recordOf } from "./records.js";
import { roomFor, type Tokenized, type TokenArray } from "./tokens.js";

/** Batch tensors by name: "corpus.token" -> values of [batch, …]. */
export type Batch = Readonly<Record<string, Float32Array | Uint32Array>>;

/** Where batches come from. Names and shapes of their tensors are those of a plan's data. */
export interface Source {
  /** The batch of a training step: the same for the same seed and step. */
  batch(size: number, seed: number, step: number): Batch;
  /** All examples of the held-out part, in batches of `size`; the last may hold fewer real examples than places. */
  holdout(size: number): Iterable<{ readonly batch: Batch; readonly count: number }>;
  /** How many examples are held out. */
  readonly holdoutExamples: number;
}

/** The code point of a character; -1, which no text has, where there is none. */
const codeOf = (character: string): number => character.codePointAt(0) ?? -1;

/** The characters of a text, each once, by code point. */
export function vocabularyOf(text: string): string[] {
  const seen = new Set<number>();
  for (const character of text) seen.add(codeOf(character));
  return [...seen].sort((a, b) => a - b).map((code) => String.fromCodePoint(code));
}

/** TokenArray of a text; a character outside the vocabulary is an error that names it. */
export const encodeText = (text: string, vocabulary: readonly string[]): Uint32Array =>
  Uint32Array.from(tokensOf(text, vocabulary));

/** The same, in a byte each where the vocabulary fits in bytes. */
function tokensOf(text: string, vocabulary: readonly string[]): TokenArray {
  if (typeof text !== "string")
    throw new DataError(
      `the text is ${describe(text)}, and a string is expected`,
      "decode bytes with `new TextDecoder().decode(bytes)`",
    );
  const index = new Map(vocabulary.map((character, i) => [codeOf(character), i]));
  const tokens = roomFor(text.length, vocabulary.length);
  let count = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.codePointAt(at)!;
    // A character beyond the first plane takes two places of a string.
    if (code > 0xffff) at++;
    const token = index.get(code);
    if (token === undefined) throw unknownCharacter(String.fromCodePoint(code));
    tokens[count++] = token;
  }
  return tokens.subarray(0, count);
}

function unknownCharacter(character: string): DataError {
  const code = codeOf(character).toString(16).toUpperCase().padStart(4, "0");
  const what = `the character ${JSON.stringify(character)} (U+${code})`;
  return new DataError(`${what} is not in the vocabulary of the training text`, "use only characters of that text");
}

/** The text of tokens; U+FFFD for one that is not in the vocabulary. */
export const decodeTokens = (tokens: Iterable<number>, vocabulary: readonly string[]): string =>
  Array.from(tokens, (token) => vocabulary[token] ?? "\uFFFD").join("");

/** A number below `bound` for (seed, step, index), the same everywhere. */
export function drawBelow(bound: number, seed: number, step: number, index: number, site: number): number {
  const [a] = threefry2x32([seed >>> 0, site], [step >>> 0, index >>> 0]);
  return Math.floor((a / 4294967296) * bound);
}

/**
 * Batches of `NAME.token` and `NAME.next`, [batch, window], of a text. Throws DataError for a character that the
 * vocabulary does not have, and for a text too short.
 */
export const textSource = (info: CharactersInfo, text: string): Source =>
  windowsOf(info, tokensOf(text, info.vocabulary));

/** The same of a text that was tokenized by its own vocabulary. */
export function tokenSource(info: CharactersInfo, { tokens, vocabulary }: Tokenized): Source {
  const index = new Map(info.vocabulary.map((character, i) => [character, i]));
  const places = vocabulary.map((character) => {
    const place = index.get(character);
    if (place === undefined) throw unknownCharacter(character);
    return place;
  });
  if (places.every((place, i) => place === i)) return windowsOf(info, tokens);
  const moved = roomFor(tokens.length, info.vocabulary.length);
  for (let i = 0; i < tokens.length; i++) moved[i] = places[tokens[i]!]!;
  return windowsOf(info, moved);
}

/**
 * Batches of `NAME.token` and `NAME.next`, [batch, window], of a text that a tokenizer has made tokens. Throws
 * DataError for a token that the model does not have, and for a text too short.
 */
export function tokensSource(info: TokensInfo, tokens: ArrayLike<number>): Source {
  const encoded = Uint32Array.from(numbersOf("tokens", tokens));
  const wrong = encoded.findIndex((token) => token >= info.vocab);
  if (wrong >= 0)
    throw new DataError(
      `token ${wrong} of \`${info.name}\` is ${encoded[wrong]}, and the tokenizer of the model has ${info.vocab}`,
      "use the tokenizer that the model was compiled with",
    );
  return windowsOf(info, encoded, "tokens");
}

/** Batches of windows of a text that is tokens already. `unit`: what they are called. */
export function windowsOf(
  { name, window, holdout }: Pick<CharactersInfo, "name" | "window" | "holdout">,
  tokens: TokenArray,
  unit = "characters",
): Source {
  const cut = Math.floor(tokens.length * (1 - holdout));
  const site = siteHash(`data:${name}`);
  const windows = Math.floor((tokens.length - cut - 1) / window);
  if (cut < window + 2)
    throw new DataError(
      `\`${name}\` has ${cut} ${unit} to train on, and a window needs ${window + 1}`,
      "use more text, or a shorter window",
    );
  if (windows < 1)
    throw new DataError(
      `the held-out part of \`${name}\` has ${tokens.length - cut} ${unit}, and a window needs ${window + 1}`,
      "hold out more, or use more text",
    );
  const make = (starts: readonly number[]): Batch => {
    const token = new Uint32Array(starts.length * window);
    const next = new Uint32Array(starts.length * window);
    starts.forEach((start, i) => {
      token.set(tokens.subarray(start, start + window), i * window);
      next.set(tokens.subarray(start + 1, start + 1 + window), i * window);
    });
    return recordOf([
      [`${name}.token`, token],
      [`${name}.next`, next],
    ]);
  };
  return {
    holdoutExamples: windows,
    batch: (size, seed, step) =>
      make(Array.from({ length: size }, (_, i) => drawBelow(cut - window, seed, step, i, site))),
    *holdout(size) {
      for (let first = 0; first < windows; first += size) {
        const count = Math.min(size, windows - first);
        // Places past the end repeat the first window; their losses are not counted.
        yield {
          batch: make(Array.from({ length: size }, (_, i) => cut + (i < count ? first + i : 0) * window)),
          count,
        };
      }
    },
  };
}

/** Examples of one class: rows of `features` numbers. */
export interface Labelled {
  readonly values: Float32Array;
  readonly count: number;
}

/**
 * Throws DataError for what cannot be the examples of a page: another number of classes, ragged rows, numbers that are
 * not finite.
 */
function checkExamples({ name, features, classes: wanted }: ExamplesInfo, classes: readonly Partial<Labelled>[]): void {
  if (!Array.isArray(classes))
    throw new DataError(`the classes of \`${name}\` are ${describe(classes)}, and a list is expected`);
  if (classes.length !== wanted)
    throw new DataError(`\`${name}\` has ${classes.length} classes, and the model was compiled for ${wanted}`);
  for (const [label, rows] of classes.entries()) {
    const whose = `\`${name}\`, class ${label}`;
    if (!isObject(rows as unknown))
      throw new DataError(`${whose} is ${describe(rows)}, and \`values\` and their \`count\` are expected`);
    const numbers = floatsOf(whose, numbersOf(whose, rows.values));
    const count = whole("count", rows.count) ?? 0;
    if (count * features !== numbers.length) {
      throw new DataError(
        `${whose} has ${numbers.length} numbers, and ${count} examples of ${features} take ${count * features}`,
      );
    }
    const at = numbers.findIndex((value) => !Number.isFinite(value));
    if (at >= 0) throw new DataError(`${whose} has ${numbers[at]} at place ${at}`, "look at the data");
  }
}

/**
 * Batches of `NAME.value`, [batch, features], and `NAME.label`, [batch], of examples by their classes. Throws DataError
 * for classes that are not those of the page, and when there is nothing to train on or nothing held out.
 */
export function examplesSource(info: ExamplesInfo, classes: readonly Labelled[]): Source {
  const { name, features, holdout } = info;
  checkExamples(info, classes);
  const site = siteHash(`data:${name}`);
  const places = classes.flatMap(({ count }, label) =>
    Array.from({ length: count }, (_, row) => ({ label, row, held: row >= Math.floor(count * (1 - holdout)) })),
  );
  const training = places.filter(({ held }) => !held);
  const held = places.filter((place) => place.held);
  if (training.length === 0 || held.length === 0)
    throw new DataError(
      `\`${name}\` has ${training.length} examples to train on and ${held.length} held out`,
      "use more data, or hold out another share",
    );
  const make = (chosen: readonly { readonly label: number; readonly row: number }[]): Batch => {
    const value = new Float32Array(chosen.length * features);
    for (const [i, { label, row }] of chosen.entries()) {
      const { values } = mustAt(classes, label);
      value.set(values.subarray(row * features, (row + 1) * features), i * features);
    }
    return recordOf<string, Float32Array | Uint32Array>([
      [`${name}.value`, value],
      [`${name}.label`, Uint32Array.from(chosen, ({ label }) => label)],
    ]);
  };
  return {
    holdoutExamples: held.length,
    batch: (size, seed, step) =>
      make(Array.from({ length: size }, (_, i) => mustAt(training, drawBelow(training.length, seed, step, i, site)))),
    *holdout(size) {
      for (let first = 0; first < held.length; first += size) {
        const rows = held.slice(first, first + size);
        yield { batch: make(Array.from({ length: size }, (_, i) => rows[i] ?? mustAt(held, 0))), count: rows.length };
      }
    },
  };
}
