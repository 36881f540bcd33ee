/**
 * docs/language.md and docs/tutorial.md: their snippets compile, or raise the code that they show, and the tables of
 * the reference are those of the registries. UPDATE_DOCS=1 (`npm run docs:language`) writes the tables, and
 * docs/errors.md, anew; the prose is by hand, and mentions every word, function, start, source, set and setting.
 */
import { existsSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { contextualMeanings } from "../grammar/words.js";
import { keywords } from "../grammar/lexer.js";
import { check, type PageHost } from "../src/compile/compile.js";
import { explanations } from "../src/diagnostics/explanations/index.js";
import { sets } from "../src/manifolds/registry.js";
import { BUILTINS } from "../src/model/elaborate/builtins.js";
import * as descriptions from "../src/model/elaborate/descriptions.js";
import { STARTS } from "../src/model/elaborate/numbers.js";
import { OPTIMIZER_SETTINGS } from "../src/model/elaborate/optimizers.js";
import { TRAIN_SETTINGS } from "../src/model/elaborate/setting-table.js";
import { sourceKinds } from "../src/model/elaborate/source-kinds.js";
import { MEASURES } from "../src/model/measures.js";
import { errorsPage } from "./helpers/errors.js";
import {
  blocksOf,
  library,
  pageOf,
  proseOf,
  snippetsOf,
  tables,
  tablesIn,
  textOf,
  withTables,
} from "./helpers/reference.js";

const LANGUAGE = "docs/language.md";
const TUTORIAL = "docs/tutorial.md";
const ERRORS = "docs/errors.md";
const fileOf = (path: string): URL => new URL(`../${path}`, import.meta.url);

if (process.env["UPDATE_DOCS"]) {
  writeFileSync(fileOf(LANGUAGE), withTables(textOf(LANGUAGE)));
  writeFileSync(fileOf(ERRORS), errorsPage());
}

const language = textOf(LANGUAGE);

/** The set of the tutorial's last page. */
const own = (await import(fileOf("examples/own-set/zero_sum.js").href)) as { readonly default: unknown };
const host: PageHost = {
  read: () => null,
  load: (path) => (path.endsWith("zero_sum.js") ? { value: own.default } : null),
};

const errorsOf = (page: string): readonly string[] =>
  check(page, { file: "page.mhc", host })
    .diagnostics.filter(({ severity }) => severity === "error")
    .map(({ code, message, span }) => `${code} ${page.slice(span.start, span.end)}: ${message}`);

describe.each([LANGUAGE, TUTORIAL])("the snippets of %s", (path) => {
  const document = textOf(path);
  it.each(snippetsOf(document).map((snippet) => [snippet.name, snippet] as const))("%s", (_, { text, code }) => {
    const errors = errorsOf(pageOf(text, document));
    if (code === null) expect(errors).toEqual([]);
    else expect([...new Set(errors.map((error) => error.slice(0, code.length)))]).toEqual([code]);
  });
});

describe("the tables of the reference", () => {
  it("are all there, each once", () => expect([...tablesIn(language)].sort()).toEqual(Object.keys(tables).sort()));

  it("have rows", () =>
    expect(Object.keys(tables).filter((name) => tables[name]!().split("\n").length < 3)).toEqual([]));

  it("are up to date: npm run docs:language", () => expect(withTables(language)).toBe(language));

  it("have every setting, optimizer and start", () => {
    expect(Object.keys(descriptions.optimizerSettings).sort()).toEqual([...new Set(OPTIMIZER_SETTINGS)].sort());
  });

  const functions = [
    descriptions.unaryFunctions,
    descriptions.binaryFunctions,
    descriptions.reducers,
    descriptions.otherFunctions,
  ].flatMap((records) => Object.values(records as Readonly<Record<string, descriptions.WordDescription>>));
  it.each(functions.map(({ form }) => form))("have an example that compiles: %s", (form) => {
    const item = form.startsWith("one_hot")
      ? `dim v = corpus.vocab\nq[t, v] = ${form}`
      : `${form.startsWith("cross_entropy") ? "loss" : "q"} = ${form}`;
    expect(errorsOf(pageOf(`${item}\n`, language))).toEqual([]);
  });

  it.each(Object.values(STARTS).map(({ form }) => form))("have a start that compiles: %s", (form) => {
    expect(errorsOf(pageOf(`param p[t, w] ~ ${form}\n`, language))).toEqual([]);
  });

  const settings = [
    ...Object.values(descriptions.trainSettings).map(({ form }) => form),
    ...Object.values(descriptions.optimizers).map(({ form }) => `optimizer = ${form}`),
    ...Object.values(descriptions.schedules).map(({ form }) => `optimizer = adamw(rate = ${form})`),
  ];
  it.each(settings)("have a setting that compiles: %s", (setting) => {
    const others = ["batch = 4", "steps = 100", "optimizer = adamw(rate = 1e-3)"].filter(
      (other) => other.split(" ")[0] !== setting.split(" ")[0],
    );
    expect(errorsOf(pageOf(`train {\n${[setting, ...others].join("\n")}\n}\n`, language))).toEqual([]);
  });
});

describe("the prose of the reference", () => {
  const prose = proseOf(language);
  /** What stands in code, in a line or in a snippet. */
  const inCode = [...prose.matchAll(/^```[\s\S]*?^```|`[^`\n]+`/gm)].join("\n");

  it.each<readonly [string, readonly string[]]>([
    ["word", [...keywords, ...Object.keys(contextualMeanings)]],
    ["function", BUILTINS],
    ["start", Object.keys(STARTS)],
    ["source", Object.keys(sourceKinds)],
    ["set", Object.keys(sets)],
    ["setting", [...TRAIN_SETTINGS, ...OPTIMIZER_SETTINGS, "memory", ...MEASURES]],
    ["optimizer", Object.keys(descriptions.optimizers)],
    ["block of the library", library.flatMap(blocksOf).map(({ name }) => name)],
  ])("mentions every %s", (_, names) => {
    const where = _ === "block of the library" ? language : inCode;
    expect(names.filter((name) => !new RegExp(`(?<![\\w.])${name}(?!\\w)`).test(where))).toEqual([]);
  });
});

/** The anchors of a page's headings, as GitHub makes them. */
const anchorsOf = (path: string): readonly string[] =>
  [...textOf(path).matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replace(/[^\w\s-]/g, "")
      .replace(/\s/g, "-"),
  );

it("explanations point to headings that are there", () => {
  const broken = Object.entries(explanations).filter(([, { read }]) => {
    const [path = "", anchor] = read.split("#");
    return !existsSync(fileOf(path)) || (anchor !== undefined && !anchorsOf(path).includes(anchor));
  });
  expect(broken.map(([code, { read }]) => `${code}: ${read}`)).toEqual([]);
});

it("links of the reference and the tutorial lead somewhere", () => {
  for (const path of [LANGUAGE, TUTORIAL, ERRORS])
    for (const [, target = ""] of proseOf(textOf(path))
      .replace(/^```[\s\S]*?^```|`[^`\n]*`/gm, "")
      .matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target)) continue;
      const [file = "", anchor] = target.split("#");
      const to = file === "" ? path : `docs/${file}`;
      expect(existsSync(fileOf(to)), `${path}: ${target}`).toBe(true);
      if (anchor !== undefined) expect(anchorsOf(to), `${path}: ${target}`).toContain(anchor);
    }
});

it("docs/errors.md is that of the table: npm run docs:language", () => expect(textOf(ERRORS)).toBe(errorsPage()));
