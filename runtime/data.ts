/**
 * Data as batches. A text is a row of characters (code points); its vocabulary is sorted by code point; the last part is held out
 * and training never sees it. Training windows are drawn by Threefry from (seed, step), so a step's batch is the same on every
 * device and after a restart. Nothing here reads files: `runtime/node/files.ts` does. Pairs of names are in `pairs.ts`.
 */
import { DataError } from "./errors.js";
import type { DataInfo } from "./plan.js";
import { siteHash, threefry2x32 } from "./threefry.js";
import { recordOf } from "./records.js";

/** Batch tensors by name: "corpus.token" -> values of [batch, …]. */
export type Batch = Readonly<Record<string, Float32Array | Uint32Array>>;

export interface Source {
  /** The batch of a training step. */
  batch(size: number, seed: number, step: number): Batch;
  /** All examples of the held-out part, in batches of `size`; the last may hold fewer real examples than places. */
  holdout(size: number): Iterable<{ readonly batch: Batch; readonly count: number }>;
  readonly holdoutExamples: number;
}

/** Fields of a source, by its kind: what `corpus.token` is called in a page, and in a batch. */
const FIELDS: Readonly<Record<DataInfo["kind"], readonly string[]>> = {
  characters: ["token", "next"], examples: ["value", "label"], pairs: ["first", "second", "others"],
};

/** The names of the tensors that a source's batches have: `corpus.token`. */
export const fieldsOf = ({ name, kind }: Pick<DataInfo, "name" | "kind">): readonly string[] => FIELDS[kind].map((field) => `${name}.${field}`);

/** The characters of a text, each once, by code point. */
export function vocabularyOf(text: string): string[] {
  const seen = new Set<number>();
  for (const character of text) seen.add(character.codePointAt(0)!);
  return [...seen].sort((a, b) => a - b).map((code) => String.fromCodePoint(code));
}

/** Tokens of a text; a character outside the vocabulary is an error that names it. */
export function encodeText(text: string, vocabulary: readonly string[]): Uint32Array {
  const index = new Map(vocabulary.map((character, i) => [character, i]));
  const tokens: number[] = [];
  for (const character of text) {
    const token = index.get(character);
    if (token === undefined) {
      throw new DataError(`the character ${JSON.stringify(character)} (U+${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}) is not in the vocabulary of the training text`, "use only characters of that text");
    }
    tokens.push(token);
  }
  return Uint32Array.from(tokens);
}

export const decodeTokens = (tokens: Iterable<number>, vocabulary: readonly string[]): string => Array.from(tokens, (token) => vocabulary[token] ?? "\uFFFD").join("");

/** A number below `bound` for (seed, step, index), the same everywhere. */
export function drawBelow(bound: number, seed: number, step: number, index: number, site: number): number {
  const [a] = threefry2x32([seed >>> 0, site], [step >>> 0, index >>> 0]);
  return Math.floor((a / 4294967296) * bound);
}

export function textSource(info: Extract<DataInfo, { readonly kind: "characters" }>, text: string): Source {
  const { name, window, holdout } = info;
  const tokens = encodeText(text, info.vocabulary);
  const cut = Math.floor(tokens.length * (1 - holdout));
  const site = siteHash(`data:${name}`);
  const windows = Math.floor((tokens.length - cut - 1) / window);
  if (cut < window + 2) throw new DataError(`\`${name}\` has ${cut} characters to train on, and a window needs ${window + 1}`, "use more text, or a shorter window");
  if (windows < 1) throw new DataError(`the held-out part of \`${name}\` has ${tokens.length - cut} characters, and a window needs ${window + 1}`, "hold out more, or use more text");
  const make = (starts: readonly number[]): Batch => {
    const token = new Uint32Array(starts.length * window);
    const next = new Uint32Array(starts.length * window);
    starts.forEach((start, i) => {
      token.set(tokens.subarray(start, start + window), i * window);
      next.set(tokens.subarray(start + 1, start + 1 + window), i * window);
    });
    return recordOf([[`${name}.token`, token], [`${name}.next`, next]]);
  };
  return {
    holdoutExamples: windows,
    batch: (size, seed, step) => make(Array.from({ length: size }, (_, i) => drawBelow(cut - window, seed, step, i, site))),
    *holdout(size) {
      for (let first = 0; first < windows; first += size) {
        const count = Math.min(size, windows - first);
        // Places past the end repeat the first window; their losses are not counted.
        yield { batch: make(Array.from({ length: size }, (_, i) => cut + (i < count ? first + i : 0) * window)), count };
      }
    },
  };
}

/** Examples of one class: rows of `features` numbers. */
export interface Labelled {
  readonly values: Float32Array;
  readonly count: number;
}

export function examplesSource(info: Extract<DataInfo, { readonly kind: "examples" }>, classes: readonly Labelled[]): Source {
  const { name, features, holdout } = info;
  const site = siteHash(`data:${name}`);
  const places = classes.flatMap(({ count }, label) => Array.from({ length: count }, (_, row) => ({ label, row, held: row >= Math.floor(count * (1 - holdout)) })));
  const training = places.filter(({ held }) => !held);
  const held = places.filter((place) => place.held);
  if (training.length === 0 || held.length === 0) throw new DataError(`\`${name}\` has ${training.length} examples to train on and ${held.length} held out`, "use more data, or hold out another share");
  const make = (chosen: readonly { readonly label: number; readonly row: number }[]): Batch => {
    const value = new Float32Array(chosen.length * features);
    chosen.forEach(({ label, row }, i) => value.set(classes[label]!.values.subarray(row * features, (row + 1) * features), i * features));
    return recordOf<string, Float32Array | Uint32Array>([[`${name}.value`, value], [`${name}.label`, Uint32Array.from(chosen, ({ label }) => label)]]);
  };
  return {
    holdoutExamples: held.length,
    batch: (size, seed, step) => make(Array.from({ length: size }, (_, i) => training[drawBelow(training.length, seed, step, i, site)]!)),
    *holdout(size) {
      for (let first = 0; first < held.length; first += size) {
        const rows = held.slice(first, first + size);
        yield { batch: make(Array.from({ length: size }, (_, i) => rows[i] ?? held[0]!)), count: rows.length };
      }
    },
  };
}
