/**
 * Fields of data that a page does not use are not fed: whatever it reads of a source's fields, it trains, is held out,
 * evaluated and differentiated.
 */
import { describe, expect, it } from "vitest";
import { csvSource } from "../../runtime/columns.js";
import { examplesSource, textSource, tokensSource, type Source } from "../../runtime/data.js";
import { imagesSource } from "../../runtime/images.js";
import { load } from "../../runtime/index.js";
import { linesSource, sequencesSource } from "../../runtime/lines.js";
import { pairsSource } from "../../runtime/pairs.js";
import type { DataInfo } from "../../runtime/plan.js";
import { fieldsOf } from "../../runtime/sources.js";
import type { Facts } from "../../src/compile/compile.js";
import { planOf } from "../helpers/specs.js";

const sea = "a sad sea, a bad sea ".repeat(8);
const kinds = [
  ["dog", "canine"],
  ["wolf", "canine"],
  ["cat", "feline"],
  ["lynx", "feline"],
] as const;

interface Case {
  readonly kind: DataInfo["kind"];
  readonly declaration: string;
  /** What of a field is added to the loss, by its name. */
  readonly terms: Readonly<Record<string, string>>;
  readonly facts: Facts[string];
}

const cases: readonly Case[] = [
  {
    kind: "characters",
    declaration: 'characters("t.txt", window = n)',
    facts: { vocabulary: [...new Set(sea)].sort() },
    terms: { token: "mean[n](table[own.token[n]] ^ 2)", next: "mean[n](table[own.next[n]] ^ 2)" },
  },
  {
    kind: "examples",
    declaration: 'examples("d/*.json", features = n, classes = n)',
    facts: { features: 2, classes: 2 },
    terms: { value: "mean[n]((scale[n] - own.value[n]) ^ 2)", label: "table[own.label] ^ 2" },
  },
  {
    kind: "pairs",
    declaration: 'pairs("k.tsv", negatives = n)',
    facts: { names: [...new Set(kinds.flat())].sort() },
    terms: {
      first: "table[own.first] ^ 2",
      second: "table[own.second] ^ 2",
      others: "mean[n](table[own.others[n]] ^ 2)",
    },
  },
  {
    kind: "tokens",
    declaration: 'tokens("t.txt", tokenizer = "tokenizer.json", window = n)',
    facts: { vocab: 5 },
    terms: { token: "mean[n](table[own.token[n]] ^ 2)", next: "mean[n](table[own.next[n]] ^ 2)" },
  },
  {
    kind: "lines",
    declaration: 'lines("n.txt", length = n)',
    facts: { vocabulary: ["\n", "a", "b"] },
    terms: {
      token: "mean[n](table[own.token[n]] ^ 2)",
      next: "mean[n](table[own.next[n]] ^ 2)",
      present: "mean[n](scale[n] ^ 2 * own.present[n])",
    },
  },
  {
    kind: "sequences",
    declaration: 'sequences("p.tsv", source = n, target = n)',
    facts: { vocabulary: ["<padding>", "<start>", "<end>", "a", "b"] },
    terms: {
      source: "mean[n](table[own.source[n]] ^ 2)",
      source_present: "mean[n](scale[n] ^ 2 * own.source_present[n])",
      target: "mean[n](table[own.target[n]] ^ 2)",
      next: "mean[n](table[own.next[n]] ^ 2)",
      present: "mean[n](scale[n] ^ 2 * own.present[n])",
    },
  },
  {
    kind: "csv",
    declaration: 'csv("t.csv", target = "y", label = "k")',
    facts: {
      columns: ["a", "b"].map((name) => ({ kind: "number", name, mean: 0, deviation: 1 })),
      target: { name: "y", mean: 0, deviation: 1 },
      label: { name: "k", classes: ["no", "yes"] },
    },
    terms: {
      value: "mean[n]((scale[n] - own.value[n]) ^ 2)",
      target: "(mean[n](scale) - own.target) ^ 2",
      label: "table[own.label] ^ 2",
    },
  },
  {
    kind: "images",
    declaration: 'images("d", height = n, width = n2)',
    facts: { labels: ["cat", "dog"] },
    terms: { value: "mean[n, n2]((scale[n] - own.value[n, n2]) ^ 2)", label: "table[own.label] ^ 2" },
  },
];

const RANGES = {
  characters: "vocab",
  tokens: "vocab",
  lines: "vocab",
  sequences: "vocab",
  examples: "classes",
  csv: "classes",
  images: "classes",
  pairs: "names",
} as const;

const pageOf = ({ kind, declaration, terms }: Case, fields: readonly string[]): string => `model Unfed {
  dim n = 2, n2 = 2
  data own = ${declaration}
  dim range = own.${RANGES[kind]}
  param scale[n] ~ ones
  param table[range] ~ normal(1)
  loss = ${["mean[n](scale ^ 2)", ...fields.map((field) => terms[field]!)].join(" + ")}
  train { batch = 2, steps = 2, optimizer = adamw(rate = 1e-2) }
}
`;

function sourceOf(info: DataInfo): Source {
  switch (info.kind) {
    case "characters":
      return textSource(info, sea);
    case "examples":
      return examplesSource(
        info,
        [0, 1].map((label) => ({ values: Float32Array.from({ length: 20 }, (_, i) => i + label), count: 10 })),
      );
    case "pairs":
      return pairsSource(info, kinds);
    case "tokens":
      return tokensSource(
        info,
        Array.from({ length: 40 }, (_, i) => i % 5),
      );
    case "lines":
      return linesSource(info, "a\nb\n".repeat(4));
    case "sequences":
      return sequencesSource(info, "ab\tb\nb\ta\n".repeat(4));
    case "csv":
      return csvSource(info, "a,b,y,k\n1,2,3,no\n4,5,6,yes\n7,8,9,no\n");
    case "images":
      return imagesSource(info, {
        pixels: Uint8Array.from({ length: 40 }, (_, i) => 6 * i),
        labels: Array.from({ length: 10 }, (_, i) => i % 2),
      });
    default:
      return info satisfies never;
  }
}

const subsets = (list: readonly string[]): string[][] =>
  list.reduce<string[][]>((all, item) => [...all, ...all.map((some) => [...some, item])], [[]]);

describe.each(cases)("of $kind", (own) => {
  it.each(subsets(Object.keys(own.terms)).map((fields) => [fields.join(" and ") || "nothing", fields] as const))(
    "%s",
    async (_, fields) => {
      const plan = await planOf(pageOf(own, fields), ["javascript"], { facts: { own: own.facts } });
      const source = sourceOf(plan.data[0]!);
      const batch = source.batch(2, 1, 0);
      expect(Object.keys(batch)).toEqual(fieldsOf(plan.data[0]!));
      expect(
        Object.keys(plan.devices["javascript"]!.entries["train"]!.inputs)
          .filter((name) => name.includes("."))
          .sort(),
      ).toEqual(fields.map((field) => `own.${field}`).sort());
      const model = await load(plan, { device: "javascript" });
      for await (const { loss } of model.train(source)) expect(Number.isFinite(loss)).toBe(true);
      expect(model.step).toBe(2);
      for (const loss of [
        await model.holdout(source),
        (await model.evaluate(batch)).loss,
        (await model.gradients(batch)).loss,
      ])
        expect(loss).toBeGreaterThan(0);
      await expect(model.evaluate({ ...batch, "own.other": Float32Array.of(1) })).rejects.toThrow(
        "there is no input `own.other`",
      );
      await model.close();
    },
  );
});
