/**
 * Kinds of sources of data, one record each: the options that a page may write, the tensors and sizes that they give,
 * and what the plan says of the source when its facts are known. A kind is one of `DataInfo` (`runtime/sources.ts`).
 */
import { mustAt } from "../../../runtime/lookup.js";
import { mustValue, valueAt } from "../../../runtime/records.js";
import type { DataInfo, Fact } from "../../../runtime/sources.js";
import { atom, known, multiply, resolve, type Polynomial, type Size } from "../../graph/sizes.js";
import type { Axis, DataSource, DeferredNumber } from "../typed.js";
import { fail } from "./scope.js";
import {
  checkFact,
  distinctAxes,
  field,
  optionalAxis,
  requiredAxis,
  settingsOf,
  textOption,
  wordOption,
  type SourceDraft,
  type SourceTensors,
} from "./source-draft.js";

type DataKind = DataSource["kind"];
type InfoOf<K extends DataKind> = Extract<DataInfo, { readonly kind: K }>;

/** A source whose sizes are numbers now. */
interface KnownSource {
  readonly source: DataSource;
  /** Its name, location and share, as every `DataInfo` has them. */
  readonly common: Pick<DataInfo, "name" | "location">;
  readonly fact: Fact | null;
  /** A size that the page states, by the name of its option. */
  readonly size: (option: string) => number;
}

/** A kind of source. */
interface SourceKind<K extends DataKind> {
  /** What it reads, for the reference. */
  readonly reads: string;
  readonly options: readonly string[];
  /** A location, for an error. */
  readonly place: string;
  /** What it gives. */
  readonly give: (source: SourceDraft) => SourceTensors;
  /** What the plan says of it. */
  readonly info: (known: KnownSource) => InfoOf<K>;
}

/** A size that only the data tells: `corpus.vocab`. */
const factSize = ({ item }: SourceDraft, name: string, value: number | null): Polynomial =>
  atom(`${item.name.name}.${name}`, value);

const vocabularyIn = (fact: Fact | null): readonly string[] => (fact && "vocabulary" in fact ? fact.vocabulary : []);

const characters: SourceKind<"characters"> = {
  reads: "text, a token a character",
  options: ["window", "holdout"],
  place: "data/*.txt",
  give(source) {
    const { facts } = source;
    const window = requiredAxis(source, "window");
    const vocab = factSize(source, "vocab", facts && "vocabulary" in facts ? facts.vocabulary.length : null);
    return {
      fields: new Map([field(source, "token", [window], vocab), field(source, "next", [window], vocab)]),
      stated: new Map([["window", window.size]]),
      sizes: new Map([["vocab", vocab]]),
    };
  },
  info: ({ source: { holdout }, common, fact, size }) => ({
    kind: "characters",
    ...common,
    window: size("window"),
    holdout,
    vocabulary: vocabularyIn(fact),
  }),
};

const tokens: SourceKind<"tokens"> = {
  reads: "text, by the tokens of a tokenizer.json",
  options: ["tokenizer", "window", "holdout"],
  place: "data/*.txt",
  give(source) {
    const { facts, state, item } = source;
    const tokenizer = textOption(source, "tokenizer", "tokenizer.json");
    if (tokenizer === null)
      fail(state, "MHC402", item.source.span, "`tokens` needs `tokenizer`", {
        fix: 'add `tokenizer = "tokenizer.json"`',
      });
    const window = requiredAxis(source, "window");
    const vocab = factSize(source, "vocab", facts && "vocab" in facts ? facts.vocab : null);
    return {
      fields: new Map([field(source, "token", [window], vocab), field(source, "next", [window], vocab)]),
      stated: new Map([["window", window.size]]),
      sizes: new Map([["vocab", vocab]]),
      settings: settingsOf(["tokenizer", tokenizer]),
    };
  },
  info: ({ source: { holdout, settings }, common, fact, size }) => ({
    kind: "tokens",
    ...common,
    window: size("window"),
    holdout,
    vocab: fact && "vocab" in fact ? fact.vocab : 0,
    tokenizer: mustValue(settings, "tokenizer"),
  }),
};

/** What to do with a text that is too long. */
const LONGER = ["cut"];

const lines: SourceKind<"lines"> = {
  reads: "one text a line",
  options: ["length", "longer", "holdout"],
  place: "names.txt",
  give(source) {
    const { facts } = source;
    const length = requiredAxis(source, "length");
    const vocab = factSize(source, "vocab", facts && "vocabulary" in facts ? facts.vocabulary.length : null);
    return {
      fields: new Map([
        field(source, "token", [length], vocab),
        field(source, "next", [length], vocab),
        field(source, "present", [length], null),
      ]),
      stated: new Map([["length", length.size]]),
      sizes: new Map([["vocab", vocab]]),
      settings: settingsOf(["longer", wordOption(source, "longer", LONGER)]),
    };
  },
  info: ({ source: { holdout, settings }, common, fact, size }) => ({
    kind: "lines",
    ...common,
    length: size("length"),
    cut: valueAt(settings, "longer") === "cut",
    holdout,
    vocabulary: vocabularyIn(fact),
  }),
};

const sequences: SourceKind<"sequences"> = {
  reads: "two texts a line, with a tab between",
  options: ["source", "target", "longer", "holdout"],
  place: "pairs.tsv",
  give(draft) {
    const { facts } = draft;
    const source = requiredAxis(draft, "source");
    const target = requiredAxis(draft, "target");
    const vocab = factSize(draft, "vocab", facts && "vocabulary" in facts ? facts.vocabulary.length : null);
    return {
      fields: new Map([
        field(draft, "source", [source], vocab),
        field(draft, "source_present", [source], null),
        field(draft, "target", [target], vocab),
        field(draft, "next", [target], vocab),
        field(draft, "present", [target], null),
      ]),
      stated: new Map([
        ["source", source.size],
        ["target", target.size],
      ]),
      sizes: new Map([["vocab", vocab]]),
      settings: settingsOf(["longer", wordOption(draft, "longer", LONGER)]),
    };
  },
  info: ({ source: { holdout, settings }, common, fact, size }) => ({
    kind: "sequences",
    ...common,
    source: size("source"),
    target: size("target"),
    cut: valueAt(settings, "longer") === "cut",
    holdout,
    vocabulary: vocabularyIn(fact),
  }),
};

/** The axes of an example: `features`, or `height` and `width` where the page says these. */
function exampleAxes(source: SourceDraft): { readonly axes: readonly Axis[]; readonly features: Size } {
  const { state, item, options } = source;
  if (!options.has("height") && !options.has("width")) {
    const features = requiredAxis(source, "features");
    return { axes: [features], features: features.size };
  }
  const axes = distinctAxes(source, "height", "width");
  // Axes of options have sizes that are polynomials of the page's dims.
  const features = axes.map(({ size }) => resolve(size) as Polynomial).reduce(multiply, known(1));
  const stated = options.get("features");
  if (stated)
    fail(state, "MHC402", stated.span, "`features` is `height` times `width` here", {
      fix: `take \`features\` out of \`${item.name.name}\``,
    });
  return { axes, features };
}

const examples: SourceKind<"examples"> = {
  reads: "JSON files of numbers, one a class",
  options: ["features", "classes", "height", "width", "holdout"],
  place: "data/*.json",
  give(source) {
    const { facts } = source;
    const { axes, features } = exampleAxes(source);
    const classes = requiredAxis(source, "classes");
    if (facts && "features" in facts) {
      checkFact(source, features, facts.features, "numbers an example");
      checkFact(source, classes.size, facts.classes, "classes");
    }
    return {
      fields: new Map([field(source, "value", axes, null), field(source, "label", [], classes.size)]),
      stated: new Map([["features", features]]),
      sizes: new Map([["classes", classes.size]]),
    };
  },
  info: ({ source: { holdout }, common, size }) => ({
    kind: "examples",
    ...common,
    features: size("features"),
    holdout,
    classes: size("classes"),
  }),
};

const SEPARATORS = [",", ";", "|", "\t"];

const csv: SourceKind<"csv"> = {
  reads: "a table: numbers and categories by column",
  options: ["features", "target", "label", "classes", "categories", "scale", "missing", "separator", "holdout"],
  place: "table.csv",
  give(source) {
    const { facts, item } = source;
    const fact = facts && "columns" in facts ? facts : null;
    const features = factSize(source, "features", fact && widthOf(fact.columns));
    const target = textOption(source, "target", "price");
    const label = textOption(source, "label", "species");
    const classes = classesOfLabel(source, label, fact?.label?.classes.length ?? null);
    const number = (name: "mean" | "deviation"): [string, DeferredNumber] => [
      name,
      { text: `${item.name.name}.${name}`, value: () => fact?.target?.[name] ?? Number.NaN },
    ];
    return {
      fields: new Map([
        field(source, "value", [{ name: "features", size: features }], null),
        ...(target === null ? [] : [field(source, "target", [], null)]),
        ...(classes === null ? [] : [field(source, "label", [], classes)]),
      ]),
      stated: new Map(),
      sizes: new Map([["features", features], ...(classes === null ? [] : [["classes", classes] as const])]),
      numbers: new Map(target === null ? [] : [number("mean"), number("deviation")]),
      settings: settingsOf(
        ["features", textOption(source, "features", "area, rooms")],
        ["target", target],
        ["label", label],
        ["categories", textOption(source, "categories", "town")],
        ["scale", wordOption(source, "scale", ["standard"])],
        ["missing", wordOption(source, "missing", ["mean"])],
        ["separator", separatorOf(source)],
      ),
    };
  },
  info: ({ source: { holdout, settings }, common, fact }) => {
    const read = fact && "columns" in fact ? fact : { columns: [], target: null, label: null };
    return {
      kind: "csv",
      ...common,
      holdout,
      separator: valueAt(settings, "separator") ?? ",",
      columns: read.columns,
      target: read.target,
      label: read.label,
      standard: valueAt(settings, "scale") === "standard",
      fill: valueAt(settings, "missing") === "mean",
    };
  },
};

/** How many numbers the features of a row are. */
const widthOf = (columns: Extract<Fact, { readonly columns: unknown }>["columns"]): number =>
  columns.reduce((sum, column) => sum + (column.kind === "number" ? 1 : column.values.length), 0);

/** How many classes the label has: as the page says, and as the data has; null without a label. */
function classesOfLabel(source: SourceDraft, label: string | null, count: number | null): Size | null {
  const { state, options } = source;
  const stated = optionalAxis(source, "classes");
  const e = options.get("classes");
  if (label === null && e)
    fail(state, "MHC402", e.span, "`classes` are those of a `label`, and there is none", {
      fix: 'name the column of classes: `label = "species"`',
    });
  if (label === null) return null;
  if (!stated) return factSize(source, "classes", count);
  if (count !== null) checkFact(source, stated.size, count, `classes in the column ${JSON.stringify(label)}`);
  return stated.size;
}

function separatorOf(source: SourceDraft): string | null {
  const text = textOption(source, "separator", ";");
  const e = source.options.get("separator");
  if (text === null || !e || SEPARATORS.includes(text)) return text;
  return fail(
    source.state,
    "MHC402",
    e.span,
    `\`separator\` is one of , ; | and a tab, and is ${JSON.stringify(text)}`,
  );
}

const images: SourceKind<"images"> = {
  reads: "images by class: IDX files or folders of PNG files",
  options: ["height", "width", "channels", "classes", "labels", "holdout"],
  place: "train-images-idx3-ubyte.gz",
  give(source) {
    const { facts } = source;
    const options = ["height", "width", ...(source.options.has("channels") ? ["channels"] : [])];
    const axes = distinctAxes(source, ...options);
    const count = facts && "labels" in facts ? facts.labels.length : null;
    const stated = optionalAxis(source, "classes");
    const classes = stated?.size ?? factSize(source, "classes", count);
    if (stated && count !== null) checkFact(source, stated.size, count, "classes");
    return {
      fields: new Map([field(source, "value", axes, null), field(source, "label", [], classes)]),
      stated: new Map<string, Size>([
        ...axes.map(({ size }, i) => [mustAt(options, i), size] as const),
        ...(stated ? [["classes", stated.size] as const] : []),
      ]),
      sizes: new Map([["classes", classes]]),
      settings: settingsOf(["labels", textOption(source, "labels", "train-labels-idx1-ubyte")]),
    };
  },
  info: ({ source: { holdout, stated }, common, fact, size }) => ({
    kind: "images",
    ...common,
    holdout,
    height: size("height"),
    width: size("width"),
    channels: stated.has("channels") ? size("channels") : 0,
    classes: fact && "labels" in fact ? fact.labels : Array.from({ length: size("classes") }, (_, i) => `${i}`),
  }),
};

const pairs: SourceKind<"pairs"> = {
  reads: "pairs of names, with a tab between",
  options: ["negatives", "holdout"],
  place: "data/*.tsv",
  give(source) {
    const { facts } = source;
    const negatives = requiredAxis(source, "negatives");
    const names = factSize(source, "names", facts && "names" in facts ? facts.names.length : null);
    return {
      fields: new Map([
        field(source, "first", [], names),
        field(source, "second", [], names),
        field(source, "others", [negatives], names),
      ]),
      stated: new Map([["negatives", negatives.size]]),
      sizes: new Map([["names", names]]),
    };
  },
  info: ({ source: { holdout }, common, fact, size }) => ({
    kind: "pairs",
    ...common,
    negatives: size("negatives"),
    holdout,
    names: fact && "names" in fact ? fact.names : [],
  }),
};

/** All kinds, by their word on a page. */
export const sourceKinds: { readonly [K in DataKind]: SourceKind<K> } = {
  characters,
  tokens,
  lines,
  sequences,
  examples,
  csv,
  images,
  pairs,
};

/** Whether a word is a kind of source. */
export const isSource = (kind: string): kind is DataKind => Object.hasOwn(sourceKinds, kind);

/** What the plan says of a source. `known`: the number of a size. */
export function infoOf(source: DataSource, fact: Fact | null, valueOf: (size: Size) => number): DataInfo {
  const { name, location, stated, sizes } = source;
  const size = (option: string): number => {
    const of = stated.get(option) ?? sizes.get(option);
    if (!of) throw new Error(`bug: a source of the kind ${source.kind} has no size ${option}`);
    return valueOf(of);
  };
  return sourceKinds[source.kind].info({ source, common: { name, location }, fact, size });
}
