/**
 * Kinds of data: what a plan says of a source, and what everyone who is not its reader needs to know of it: its
 * tensors, what their whole numbers stand for, and what people call its examples. A kind is a member of `DataInfo` and
 * a case of `described`; what a page may write of it is in `src/model/elaborate/source-kinds.ts`, what text and files
 * become batches by in `batches.ts` and `node/sources.ts`. The type checker names each of these places.
 */

interface CommonInfo {
  readonly name: string;
  readonly location: string;
  /** The share that training never sees. */
  readonly holdout: number;
}

/** Text, a token a character. */
export interface CharactersInfo extends CommonInfo {
  readonly kind: "characters";
  readonly window: number;
  /** Token i is the character vocabulary[i] (a code point as a string), sorted by code point. */
  readonly vocabulary: readonly string[];
}

/** Text by a tokenizer of its own. */
export interface TokensInfo extends CommonInfo {
  readonly kind: "tokens";
  readonly window: number;
  /** Tokens are below it. */
  readonly vocab: number;
  /** The location of the tokenizer's file. */
  readonly tokenizer: string;
}

/** A text an example, one a line. */
export interface LinesInfo extends CommonInfo {
  readonly kind: "lines";
  /** Tokens an example: the characters of a line and what ends it. */
  readonly length: number;
  /** Whether a line that is longer is cut; else it is an error. */
  readonly cut: boolean;
  /** As of characters; the line feed is what a line begins and ends with, and what it is padded with. */
  readonly vocabulary: readonly string[];
}

/** Pairs of texts, the second to be made from the first. */
export interface SequencesInfo extends CommonInfo {
  readonly kind: "sequences";
  /** Tokens of a source: its characters. */
  readonly source: number;
  /** Tokens of a target: its characters and what ends it. */
  readonly target: number;
  readonly cut: boolean;
  /** Padding, start and end, then the characters, sorted by code point. */
  readonly vocabulary: readonly string[];
}

/** One file a class, in order of name: {"data": [numbers]} or [numbers], `features` numbers an example. */
export interface ExamplesInfo extends CommonInfo {
  readonly kind: "examples";
  readonly features: number;
  readonly classes: number;
}

/** Rows of a table. */
export interface CsvInfo extends CommonInfo {
  readonly kind: "csv";
  /** What stands between two columns. */
  readonly separator: string;
  /** The columns that are features, in order. */
  readonly columns: readonly CsvColumn[];
  /** The column of numbers that is to be predicted, with its mean and deviation; null where there is none. */
  readonly target: { readonly name: string; readonly mean: number; readonly deviation: number } | null;
  /** The column of classes, and their names; null where there is none. */
  readonly label: { readonly name: string; readonly classes: readonly string[] } | null;
  /** Whether numbers are standardised: less their mean, by their deviation. */
  readonly standard: boolean;
  /** Whether a missing value is the mean of its column; else it is an error. */
  readonly fill: boolean;
}

/** A column of features. Means, deviations and shares are of the rows that are trained on. */
export type CsvColumn =
  | { readonly kind: "number"; readonly name: string; readonly mean: number; readonly deviation: number }
  | {
      /** As many numbers as values: 1 for the value that is there, 0 for the others. */
      readonly kind: "category";
      readonly name: string;
      readonly values: readonly string[];
      readonly shares: readonly number[];
    };

/** Images of one size, by class. */
export interface ImagesInfo extends CommonInfo {
  readonly kind: "images";
  readonly height: number;
  readonly width: number;
  /** 0: the page states none, and an image is [height, width]. */
  readonly channels: number;
  /** Names of the classes. */
  readonly classes: readonly string[];
}

/** Lines of two names with a tab between them. */
export interface PairsInfo extends CommonInfo {
  readonly kind: "pairs";
  /** Names drawn for each pair that its first is not paired with. */
  readonly negatives: number;
  /** 0: nothing is held out, and what is evaluated is every pair. */
  readonly holdout: number;
  /** Name i is names[i], sorted: row i of a parameter over `NAME.names`. */
  readonly names: readonly string[];
}

/** A source of batches. */
export type DataInfo =
  | CharactersInfo
  | TokensInfo
  | LinesInfo
  | SequencesInfo
  | ExamplesInfo
  | CsvInfo
  | ImagesInfo
  | PairsInfo;

/** What only the data can tell the compiler, by the kind of the source. */
export type Fact =
  /** Of characters, lines and sequences. */
  | Pick<CharactersInfo, "vocabulary">
  | Pick<TokensInfo, "vocab">
  | Pick<ExamplesInfo, "features" | "classes">
  | Pick<CsvInfo, "columns" | "target" | "label">
  /** Of images. */
  | { readonly labels: readonly string[] }
  | Pick<PairsInfo, "names">;

/** What a whole number indexes. */
export interface IndexRange {
  readonly size: number;
  /** `characters of the vocabulary` */
  readonly what: string;
}

/** A tensor of a source. `range`: what its values index; null when they are numbers. */
export interface FieldInfo {
  /** `corpus.token` */
  readonly name: string;
  readonly range: IndexRange | null;
}

/** Data whose examples are text. */
export type TextInfo = CharactersInfo | TokensInfo | LinesInfo | SequencesInfo;

/** Text that a model can go on with, token by token. */
export interface TextForm {
  readonly info: TextInfo;
  /** The tensor of the tokens that are gone on with, and how many of them an example has. */
  readonly field: string;
  readonly window: number;
}

/** What a source is to those who do not read it. */
export interface SourceDescription {
  readonly fields: readonly FieldInfo[];
  /** What a loss is a mean over: `a character`. */
  readonly unit: string;
  /** One example: `64 characters`. */
  readonly example: string;
  /** What is held out: `windows`. */
  readonly held: string;
  /** There when examples are text that can be continued. */
  readonly text: TextForm | null;
  /** What a text must be to be trained on; null when only a source of batches will do. */
  readonly written: string | null;
}

type FieldOf = readonly [name: string, range?: IndexRange | null];

const fieldInfos = (name: string, ...fields: readonly FieldOf[]): readonly FieldInfo[] =>
  fields.map(([field, range = null]) => ({ name: `${name}.${field}`, range }));

const NO_TEXT = { text: null, written: null };

/** A text that a window moves along. */
function ofWindows(info: CharactersInfo | TokensInfo, token: string, range: IndexRange): SourceDescription {
  const { name, window } = info;
  return {
    fields: fieldInfos(name, ["token", range], ["next", range]),
    unit: `a ${token}`,
    example: `${window} ${token}s`,
    held: "windows",
    text: { info, field: `${name}.token`, window },
    written: info.kind === "tokens" ? null : "a text",
  };
}

function ofLines(info: LinesInfo): SourceDescription {
  const { name, length: window, vocabulary } = info;
  const range = { size: vocabulary.length, what: CHARACTERS };
  return {
    fields: fieldInfos(name, ["token", range], ["next", range], ["present"]),
    unit: "a line",
    example: "1 line",
    held: "lines",
    text: { info, field: `${name}.token`, window },
    written: "lines of text",
  };
}

function ofSequences(info: SequencesInfo): SourceDescription {
  const { name, target: window, vocabulary } = info;
  const range = { size: vocabulary.length, what: "tokens of the vocabulary" };
  return {
    fields: fieldInfos(name, ["source", range], ["source_present"], ["target", range], ["next", range], ["present"]),
    unit: "a pair",
    example: "1 pair",
    held: "pairs",
    text: { info, field: `${name}.target`, window },
    written: "lines of a source and a target with a tab between them",
  };
}

function ofCsv({ name, target, label }: CsvInfo): SourceDescription {
  const targets: readonly FieldOf[] = target ? [["target"]] : [];
  const labels: readonly FieldOf[] = label ? [["label", { size: label.classes.length, what: "classes" }]] : [];
  return {
    fields: fieldInfos(name, ["value"], ...targets, ...labels),
    unit: "a row",
    example: "1 row",
    held: "rows",
    text: null,
    written: "the text of a CSV file",
  };
}

function ofPairs({ name, negatives, names }: PairsInfo): SourceDescription {
  const range = { size: names.length, what: "names" };
  return {
    fields: fieldInfos(name, ["first", range], ["second", range], ["others", range]),
    unit: "an example",
    example: `1 pair and ${negatives} negative${negatives === 1 ? "" : "s"}`,
    held: "pairs",
    text: null,
    written: "lines of two names with a tab between them",
  };
}

const CHARACTERS = "characters of the vocabulary";

/** The description of a source, by its kind. */
export function described(info: DataInfo): SourceDescription {
  const { name } = info;
  switch (info.kind) {
    case "characters":
      return ofWindows(info, "character", { size: info.vocabulary.length, what: CHARACTERS });
    case "tokens":
      return ofWindows(info, "token", { size: info.vocab, what: "tokens of the tokenizer" });
    case "lines":
      return ofLines(info);
    case "sequences":
      return ofSequences(info);
    case "examples":
      return {
        fields: fieldInfos(name, ["value"], ["label", { size: info.classes, what: "classes" }]),
        unit: "an example",
        example: "1 example",
        held: "examples",
        ...NO_TEXT,
      };
    case "csv":
      return ofCsv(info);
    case "images":
      return {
        fields: fieldInfos(name, ["value"], ["label", { size: info.classes.length, what: "classes" }]),
        unit: "an image",
        example: "1 image",
        held: "images",
        ...NO_TEXT,
      };
    case "pairs":
      return ofPairs(info);
    default:
      return info satisfies never;
  }
}

/** The names of the tensors that a source's batches have: `corpus.token`. */
export const fieldsOf = (info: DataInfo): readonly string[] => described(info).fields.map(({ name }) => name);

/** What a tensor of a plan's sources indexes; null when it holds numbers, or is of none of them. */
export const rangeOfField = (data: readonly DataInfo[], field: string): IndexRange | null =>
  data.flatMap((info) => described(info).fields).find(({ name }) => name === field)?.range ?? null;
