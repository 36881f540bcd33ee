/**
 * Every code of the table is one that a user can meet: a wrong page of test/fixtures/wrong has it, or a test by the
 * name given here.
 */
import { readdirSync, readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { check, compile } from "../../src/compile/compile.js";
import { table } from "../../src/diagnostics/table.js";

/** Codes that no check of a page alone gives, and the files of tests that reach them. */
const ELSEWHERE: ReadonlyMap<string, string> = new Map([
  ["MHC105", "cli/commands.test.ts"],
  ["MHC220", "model/unused.test.ts"],
  ["MHC221", "model/unused.test.ts"],
  ["MHC222", "model/unused.test.ts"],
  ["MHC225", "compile/allowed.test.ts"],
  ["MHC306", "model/adapt-pages.test.ts"],
  ["MHC403", "diagnostics/codes.test.ts"],
  ["MHC504", "e2e/recompute.test.ts"],
  ["MHC506", "model/groups.test.ts"],
  ["MHC601", "grammar/train.test.ts"],
  ["MHC602", "e2e/bf16.test.ts"],
]);

const folder = new URL("../fixtures/wrong/", import.meta.url);
const shown = new Set(
  readdirSync(folder)
    .filter((name) => name.endsWith(".txt"))
    .flatMap((name) => readFileSync(new URL(name, folder), "utf8").match(/^(?:error|warning) MHC\d{3}/gm) ?? [])
    .map((line) => line.slice(-"MHC000".length)),
);

it("every code is reached", () => {
  expect(Object.keys(table).filter((code) => !shown.has(code) && !ELSEWHERE.has(code))).toEqual([]);
  expect([...ELSEWHERE.keys()].filter((code) => !(code in table) || shown.has(code))).toEqual([]);
  for (const [code, file] of ELSEWHERE)
    expect(readFileSync(new URL(`../${file}`, import.meta.url), "utf8"), file).toContain(code);
});

const page = `model Points {
  dim features = 3, classes = 2
  data points = examples("p.json", features = features, classes = classes)
  param m[features, classes] ~ zeros
  scores[classes] = points.value[features] * m[features, classes]
  loss = cross_entropy(scores, points.label)
  train { batch = 1, steps = 1, optimizer = sgd(rate = 0.1) }
}
`;

it("data of other sizes than the page's is an error, and so are facts that are not there", async () => {
  const { diagnostics } = check(page, { file: "p.mhc", facts: { points: { features: 4, classes: 2 } } });
  expect(diagnostics.map(({ code, message }) => `${code} ${message}`)).toEqual([
    "MHC403 the data has 4 numbers an example, and the spec says 3",
  ]);
  const letters = `model Letters {
  dim context = 3, width = 2
  data corpus = characters("p.txt", window = context)
  x[context, width] = embed(corpus.token)
  loss = cross_entropy(unembed(x), corpus.next)
  train { batch = 1, steps = 1, optimizer = sgd(rate = 0.1) }
}
`;
  const { diagnostics: unread } = await compile(letters, { file: "p.mhc", devices: ["javascript"] });
  expect(unread.map(({ code, message }) => `${code} ${message}`)).toEqual([
    "MHC403 the facts of `corpus` are not known: its data has not been read",
  ]);
});
