/** The tables of docs/language.md, made from the registries, and the pages that its snippets stand for. */
import { readdirSync, readFileSync } from "node:fs";
import { contextualMeanings, keywordMeanings } from "../../grammar/words.js";
import { parse } from "../../grammar/parse.js";
import { sets } from "../../src/manifolds/registry.js";
import * as descriptions from "../../src/model/elaborate/descriptions.js";
import { STARTS } from "../../src/model/elaborate/numbers.js";
import { sourceKinds } from "../../src/model/elaborate/source-kinds.js";

const root = new URL("../../", import.meta.url);

/** The text of a file of the project. */
export const textOf = (path: string): string => readFileSync(new URL(path, root), "utf8");

type Row = readonly string[];

const table = (head: Row, rows: readonly Row[]): string =>
  [head, head.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");
const code = (text: string): string => `\`${text.replaceAll("|", "\\|")}\``;

const meanings = (words: Readonly<Record<string, string>>): string =>
  table(
    ["word", "meaning"],
    Object.entries(words).map(([word, meaning]) => [code(word), meaning]),
  );

const described = (what: string, records: Readonly<Record<string, descriptions.WordDescription>>): string =>
  table(
    [what, "example", "meaning"],
    Object.entries(records).map(([name, { form, does }]) => [code(name), code(form), does]),
  );

/** Everything up to the end of the first sentence; a dot within brackets or a number ends none. */
const firstSentence = (doc: string): string => /^.*?\.(?=\s+[A-Z]|$)/s.exec(doc.replace(/\s+/g, " "))?.[0] ?? doc;

/** The blocks and connections of a file of the library: name, header, and the first sentence of the doc comment. */
export function blocksOf(file: string): readonly { name: string; header: string; gives: string; doc: string }[] {
  const text = textOf(`specs/std/${file}`);
  return parse(text, file).file.items.flatMap((item) => {
    if (item.kind !== "block" && item.kind !== "connection") return [];
    const [header = ""] = text.slice(item.span.start).split(" {\n", 1);
    const gives = /^ {2}return (\[[^\]]*\])/m.exec(text.slice(item.span.start, item.span.end))?.[1] ?? "";
    return [{ name: item.name.name, header, gives, doc: firstSentence(item.doc ?? "") }];
  });
}

/** The files of the standard library. */
export const library: readonly string[] = readdirSync(new URL("specs/std/", root)).filter((name) =>
  name.endsWith(".mhc"),
);

const blockTable = (file: string): string =>
  table(
    [file === "connections.mhc" ? "connection" : "block", "gives", "what it is"],
    blocksOf(file).map(({ header, gives, doc }) => [code(header), code(gives), doc]),
  );

const optionsOf = (options: Readonly<Record<string, unknown>>): string =>
  Object.keys(options).map(code).join(", ") || "none";

/** Every table by its name between the markers. */
export const tables: Readonly<Record<string, () => string>> = {
  keywords: () => meanings(keywordMeanings),
  "contextual words": () => meanings(contextualMeanings),
  "functions of one number": () => described("function", descriptions.unaryFunctions),
  "functions of two numbers": () => described("function", descriptions.binaryFunctions),
  "functions along axes": () => described("function", descriptions.reducers),
  "other functions": () => described("function", descriptions.otherFunctions),
  starts: () => described("start", STARTS),
  sources: () =>
    table(
      ["source", "reads", "options"],
      Object.entries(sourceKinds).map(([name, { reads, options }]) => [
        code(name),
        reads,
        options.map(code).join(", "),
      ]),
    ),
  sets: () =>
    table(
      ["set", "points", "options"],
      Object.values(sets).map(({ name, summary, options }) => [code(name), summary, optionsOf(options)]),
    ),
  "settings of train": () => described("setting", descriptions.trainSettings),
  optimizers: () => described("optimizer", descriptions.optimizers),
  "settings of optimizers": () => described("setting", descriptions.optimizerSettings),
  schedules: () => described("rate", descriptions.schedules),
  ...Object.fromEntries(library.map((file) => [`std/${file}`, (): string => blockTable(file)])),
};

const REGION = /(<!-- table: (.+?) -->\n)[\s\S]*?(<!-- end of the table -->)/g;

/** The document with its tables as they are to be. Throws an Error for a table that there is not. */
export const withTables = (document: string, its: Readonly<Record<string, () => string>> = tables): string =>
  document.replace(REGION, (_, open: string, name: string, close: string) => {
    const make = its[name];
    if (!make) throw new Error(`there is no table ${name}`);
    return `${open}\n${make()}\n\n${close}`;
  });

/** The tables that a document has. */
export const tablesIn = (document: string): readonly string[] =>
  [...document.matchAll(REGION)].map(([, , name]) => name!);

/** The document without its tables. */
export const proseOf = (document: string): string => document.replace(REGION, "");

/** A snippet of a document. `code`: the code that it is to raise; null for a right one. */
export interface Snippet {
  readonly name: string;
  readonly text: string;
  readonly code: string | null;
}

/** The snippets of a document, by the line that they begin in. */
export const snippetsOf = (document: string): readonly Snippet[] =>
  [...document.matchAll(/^```mhc\n([\s\S]*?)^```/gm)].map(({ 1: text = "", index }) => ({
    name: `line ${document.slice(0, index).split("\n").length}`,
    text,
    code: /\/\/ (MHC\d{3})\b/.exec(text)?.[1] ?? null,
  }));

/** The page that a fragment of docs/language.md stands in: the first snippet of it with this name. */
const STANDING = /^```mhc\n(model Standing \{[\s\S]*?^\}\n)```/m;

/** The whole page of a snippet: itself, or the standing page with the snippet at its mark. */
export function pageOf(snippet: string, document: string): string {
  if (/^(?:model|use) /m.test(snippet)) return snippet;
  const at = snippet.search(/^(?:\/\/\/.*\n)*(?:block|connection) /m);
  const [items, blocks] = at < 0 ? [snippet, ""] : [snippet.slice(0, at), snippet.slice(at)];
  if (items.trim() === "") return blocks;
  const standing = STANDING.exec(document)?.[1];
  if (standing === undefined) throw new Error("the document has no standing page");
  const has = (item: string): boolean => new RegExp(`^${item}`, "m").test(items);
  const rest = standing
    .replace(/^ {2}loss = .*\n/m, has("loss =") ? "" : "$&")
    .replace(/^ {2}train .*\n/m, has("train \\{") ? "" : "$&");
  return `${rest.replace(/^ {2}\/\/ the snippet\n/m, () => items.replace(/^(?=.)/gm, "  "))}\n${blocks}`;
}
