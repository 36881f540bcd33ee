/**
 * Reads sources of data from files, each kind in its own way, with the facts that the compiler needs of them. A kind of
 * `DataInfo` is a record of `readers`, and a case of `sourceFrom`.
 */
import { describe, floatsOf } from "../check.js";
import { csvSource, tableFacts, type TableFacts } from "../columns.js";
import { parseCsv, type CsvTable } from "../csv.js";
import { examplesSource, tokensSource, tokenSource, type Labelled, type Source } from "../data.js";
import { DataError } from "../errors.js";
import { imagesSource } from "../images.js";
import {
  LINE_FEED,
  linesOf,
  linesSource,
  parseSequences,
  sequencesSource,
  vocabularyOfLines,
  vocabularyOfPairs,
  type SequencePair,
  type TextLine,
} from "../lines.js";
import { mustAt } from "../lookup.js";
import { namesOf, pairsSource, parsePairs, type Pair } from "../pairs.js";
import { mustValue, valueAt } from "../records.js";
import type { DataInfo } from "../sources.js";
import type { Tokenized } from "../tokens.js";
import { filesAt } from "./files.js";
import { isFolder, readFolder, readIdxImages, type ReadImages } from "./images.js";
import { readText, readTokens } from "./reading.js";
import { openTokenizer, type FileTokenizer, type OpenTokenizer } from "./tokenizer.js";

/** What was read at a location, with the facts that the compiler needs. */
export type Loaded =
  | {
      readonly kind: "characters";
      readonly tokens: Tokenized["tokens"];
      readonly facts: { readonly vocabulary: readonly string[] };
    }
  | {
      readonly kind: "tokens";
      readonly tokens: Uint32Array;
      readonly tokenizer: FileTokenizer;
      /** Where its file was. */
      readonly tokenizerPath: string;
      readonly facts: { readonly vocab: number };
    }
  | {
      readonly kind: "lines";
      readonly lines: readonly TextLine[];
      readonly facts: { readonly vocabulary: readonly string[] };
    }
  | {
      readonly kind: "sequences";
      readonly pairs: readonly SequencePair[];
      readonly facts: { readonly vocabulary: readonly string[] };
    }
  | {
      readonly kind: "examples";
      readonly classes: readonly Labelled[];
      readonly facts: { readonly features: number; readonly classes: number };
    }
  | { readonly kind: "csv"; readonly table: CsvTable; readonly facts: TableFacts }
  | { readonly kind: "images"; readonly images: ReadImages; readonly facts: { readonly labels: readonly string[] } }
  | { readonly kind: "pairs"; readonly pairs: readonly Pair[]; readonly facts: { readonly names: readonly string[] } };

/** A source of data as a page names it. */
export interface DataRequest {
  readonly name: string;
  readonly kind: Loaded["kind"];
  readonly location: string;
  /** The share that is held out. */
  readonly holdout: number;
  /** Sizes of its options, `features` and the like; null for one that is not known before the data is read. */
  readonly sizes: Readonly<Record<string, number | null>>;
  /** What its options say beside sizes: `target`, `scale`. */
  readonly settings: Readonly<Record<string, string>>;
}

/** What a reader is handed. */
interface SourceReading extends DataRequest {
  readonly files: readonly string[];
  /** The folder that locations are relative to. */
  readonly from: string;
  readonly open: OpenTokenizer;
}

/** Reads a data source. Relative locations are relative to `from`. `open` opens tokenizers. */
export async function readData(
  request: DataRequest,
  from: string,
  open: OpenTokenizer = openTokenizer,
): Promise<Loaded> {
  const files = await filesAt(request.location, from);
  return readers[request.kind]({ ...request, files, from, open });
}

/** The texts of files, each with its name. */
const textsOf = (files: readonly string[]): Promise<(readonly [where: string, text: string])[]> =>
  Promise.all(files.map(async (file) => [file, await readText(file)] as const));

const readers: { readonly [K in Loaded["kind"]]: (reading: SourceReading) => Promise<Extract<Loaded, { kind: K }>> } = {
  async characters({ name, location, files }) {
    const { tokens, vocabulary } = await readTokens(files);
    if (tokens.length === 0) throw new DataError(`the text of \`${name}\` is empty`, `look at ${location}`);
    return { kind: "characters", tokens, facts: { vocabulary } };
  },
  async tokens({ settings, files, from, open }) {
    const tokenizerPath = mustAt(await filesAt(mustValue(settings, "tokenizer"), from), 0);
    const tokenizer = await open(tokenizerPath);
    const texts = await textsOf(files);
    const feed = Uint32Array.from(tokenizer.encode(LINE_FEED));
    const parts = texts.flatMap(([, text], i) => [
      ...(i === 0 ? [] : [feed]),
      Uint32Array.from(tokenizer.encode(text)),
    ]);
    return { kind: "tokens", tokens: joined(parts), tokenizer, tokenizerPath, facts: { vocab: tokenizer.size } };
  },
  async lines({ name, location, files }) {
    const lines = (await textsOf(files)).flatMap(([where, text]) => linesOf(text, where));
    if (lines.length === 0) throw new DataError(`there are no lines in \`${name}\``, `look at ${location}`);
    return { kind: "lines", lines, facts: { vocabulary: vocabularyOfLines(lines) } };
  },
  async sequences({ name, location, files }) {
    const pairs = (await textsOf(files)).flatMap(([where, text]) => parseSequences(text, where));
    if (pairs.length === 0) throw new DataError(`there are no pairs in \`${name}\``, `look at ${location}`);
    return { kind: "sequences", pairs, facts: { vocabulary: vocabularyOfPairs(pairs) } };
  },
  async examples({ name, sizes, files }) {
    const features = valueAt(sizes, "features") ?? null;
    if (features === null) throw new DataError(`the number of features of \`${name}\` is not known`);
    const classes = await Promise.all(files.map((file) => readExamples(file, features)));
    return { kind: "examples", classes, facts: { features, classes: classes.length } };
  },
  async csv({ name, holdout, settings, files }) {
    const table = parseCsv(await textsOf(files), valueAt(settings, "separator"));
    const features = valueAt(settings, "features");
    const facts = tableFacts(table, {
      name,
      holdout,
      features: features === undefined ? null : columnList(features),
      target: valueAt(settings, "target") ?? null,
      label: valueAt(settings, "label") ?? null,
      categories: columnList(valueAt(settings, "categories") ?? ""),
      fill: valueAt(settings, "missing") === "mean",
    });
    return { kind: "csv", table, facts };
  },
  async images({ name, sizes, settings, files, from }) {
    const [height, width] = [sizeOf(name, sizes, "height"), sizeOf(name, sizes, "width")];
    const channels = Object.hasOwn(sizes, "channels") ? sizeOf(name, sizes, "channels") : 0;
    const request = { name, height, width, channels, classes: valueAt(sizes, "classes") ?? null };
    const [file = "", ...more] = files;
    if (more.length)
      throw new DataError(
        `the location of \`${name}\` has ${files.length} files`,
        "name one IDX file, or a folder with a folder of PNG files a class",
      );
    const labels = valueAt(settings, "labels");
    if (isFolder(file)) {
      if (labels !== undefined)
        throw new DataError(`\`${name}\` is a folder, whose folders are the classes`, "leave `labels` out");
      const images = await readFolder(file, request);
      return { kind: "images", images, facts: { labels: images.classes } };
    }
    const [own = null] = labels === undefined ? [] : await filesAt(labels, from);
    const images = await readIdxImages(file, own, request);
    return { kind: "images", images, facts: { labels: images.classes } };
  },
  async pairs({ name, location, files }) {
    const pairs = (await textsOf(files)).flatMap(([where, text]) => parsePairs(text, where));
    if (pairs.length === 0) throw new DataError(`there are no pairs in \`${name}\``, `look at ${location}`);
    return { kind: "pairs", pairs, facts: { names: namesOf(pairs) } };
  },
};

/** Names of columns between commas. */
const columnList = (text: string): string[] =>
  text
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");

function sizeOf(name: string, sizes: DataRequest["sizes"], option: string): number {
  const size = valueAt(sizes, option) ?? null;
  if (size !== null) return size;
  throw new DataError(`\`${option}\` of \`${name}\` is not known before its data is read`);
}

function joined(parts: readonly Uint32Array[]): Uint32Array {
  const all = new Uint32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

async function readExamples(file: string, features: number): Promise<Labelled> {
  const text = await readText(file);
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new DataError(
      `${file} is not JSON`,
      "a class is a file with a list of numbers, or an object with such a list as `data`",
    );
  }
  const list = Array.isArray(parsed) ? parsed : (parsed as { data?: unknown } | null)?.data;
  if (!Array.isArray(list))
    throw new DataError(
      `${file} does not hold a list of numbers`,
      "a class is such a list, or an object with one as `data`",
    );
  const wrong = list.findIndex((value) => typeof value !== "number");
  if (wrong >= 0) {
    const what = `place ${wrong} has ${describe(list[wrong])}`;
    throw new DataError(
      `${file} does not hold a list of numbers: ${what}`,
      "write the examples one after the other, in one list",
    );
  }
  const values = floatsOf(file, list as number[]);
  const beyond = values.findIndex((value) => !Number.isFinite(value));
  if (beyond >= 0)
    throw new DataError(`${file} holds a number that is not finite, at place ${beyond}`, "look at the data");
  const count = values.length / features;
  if (Number.isInteger(count) && count > 0) return { values, count };
  const fix = `write ${features} numbers an example, or change \`features\``;
  throw new DataError(`${file} has ${values.length} numbers, and an example takes ${features}`, fix);
}

/** Batches of what was read. Throws DataError where that is of another kind. */
export function sourceFrom(info: DataInfo, loaded: Loaded): Source {
  if (info.kind === "characters" && loaded.kind === "characters")
    return tokenSource(info, { tokens: loaded.tokens, vocabulary: loaded.facts.vocabulary });
  if (info.kind === "tokens" && loaded.kind === "tokens") return tokensSource(info, loaded.tokens);
  if (info.kind === "lines" && loaded.kind === "lines") return linesSource(info, loaded.lines);
  if (info.kind === "sequences" && loaded.kind === "sequences") return sequencesSource(info, loaded.pairs);
  if (info.kind === "examples" && loaded.kind === "examples") return examplesSource(info, loaded.classes);
  if (info.kind === "csv" && loaded.kind === "csv") return csvSource(info, loaded.table);
  if (info.kind === "images" && loaded.kind === "images") return imagesSource(info, loaded.images);
  if (info.kind === "pairs" && loaded.kind === "pairs") return pairsSource(info, loaded.pairs);
  throw new DataError(`\`${info.name}\` is not data of the kind ${info.kind}`);
}

/** What was read as parts that a digest is made of. */
export function partsOf(loaded: Loaded): readonly (string | Uint8Array | Uint16Array | Uint32Array)[] {
  switch (loaded.kind) {
    case "characters":
      return [loaded.facts.vocabulary.join(""), loaded.tokens];
    case "tokens":
      return [loaded.tokens];
    case "lines":
      return loaded.lines.map(({ text }) => text);
    case "sequences":
      return loaded.pairs.flatMap(({ source, target }) => [source, target]);
    case "examples":
      return loaded.classes.map(({ values }) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    case "csv":
      return [...loaded.table.header, ...loaded.table.rows.flatMap(({ cells }) => cells)];
    case "images":
      return [loaded.images.pixels, Uint32Array.from(loaded.images.labels)];
    case "pairs":
      return loaded.pairs.flat();
    default:
      return loaded satisfies never;
  }
}
