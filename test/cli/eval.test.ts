/**
 * mhc eval: a run and a page with a checkpoint, on what is held out and on what is trained on; and what lines, tables
 * and terminals say of named losses and metrics.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { rows, sandbox, SPEC, TEXT } from "../helpers/command.js";

const { cwd, mhc } = sandbox();

/** The small page with two named parts of its loss, one of them a block's, and two metrics. */
const NAMED = `${SPEC.replace(
  "  loss = cross_entropy(unembed(norm(total(x))), corpus.next)\n",
  `  scores = unembed(norm(total(x)))
  loss main = cross_entropy(steady(scores), corpus.next)
  loss = main + 0.01 * drift
  metric right = token_accuracy(scores, corpus.next)
  metric double = 2 * drift
`,
)}
block steady(z[t, v]) {
  loss drift = token_z_loss(z)
  return [t, v] = z[t, v]
}
`;

const train = ["--device", "javascript", "--steps", "6", "--evaluate", "3", "--json"];

beforeAll(async () => {
  writeFileSync(join(cwd, "small.mhc"), SPEC);
  writeFileSync(join(cwd, "named.mhc"), NAMED);
  writeFileSync(join(cwd, "text.txt"), TEXT);
  for (const name of ["small", "named"]) {
    const { code, err, out } = await mhc(["train", `${name}.mhc`, "--out", name, ...train]);
    expect([code, err, out === ""]).toEqual([0, "", false]);
  }
});

type Line = Readonly<Record<string, unknown>>;
const linesOf = (name: string): readonly Line[] => rows(readFileSync(join(cwd, name, "metrics.jsonl"), "utf8"));
const doneOf = (name: string): Line => linesOf(name).at(-1)!;

describe("a run says", () => {
  it("named losses and metrics at every step, and of what is held out at evaluations and at the end", () => {
    const lines = linesOf("named");
    const names = (line: Line): readonly string[] => Object.keys(line).filter((key) => /terms|metrics/.test(key));
    expect(lines.map(names)).toEqual([
      ["terms", "metrics"],
      ["terms", "metrics"],
      ["terms", "metrics", "holdout_terms", "holdout_metrics"],
      ["terms", "metrics"],
      ["terms", "metrics"],
      ["terms", "metrics"],
      ["holdout_terms", "holdout_metrics"],
    ]);
    for (const line of lines.slice(0, -1)) {
      const { drift, main } = line["terms"] as { readonly drift: number; readonly main: number };
      const { right, double } = line["metrics"] as { readonly right: number; readonly double: number };
      expect(line["loss"]).toBeCloseTo(main + 0.01 * drift, 5);
      expect(double).toBeCloseTo(2 * drift, 5);
      // Shares of 3 windows of 6 characters.
      expect(right * 18).toBeCloseTo(Math.round(right * 18), 4);
    }
  });

  it("nothing more where its page names nothing", () => {
    expect(linesOf("small").flatMap(Object.keys)).not.toContain("terms");
    expect(linesOf("small").flatMap(Object.keys)).not.toContain("holdout_metrics");
  });

  it("them on a terminal too", async () => {
    const { out } = await mhc(["train", "named.mhc", "--out", "told", ...train.slice(0, -1)]);
    expect(out).toMatch(
      /step 3\/6 {2}loss \S+ {2}drift \S+ {2}main \S+ {2}right \S+ {2}double \S+ {2}hold-out \S+, drift \S+, main/,
    );
    expect(out).toMatch(/\non the same: drift \S+, main \S+, right \S+, double \S+\n/);
  });
});

describe("eval", () => {
  it("of a run is what the run ended with, of text with its perplexity", async () => {
    const { code, out, err } = await mhc(["eval", "small", "--device", "javascript", "--json"]);
    expect([code, err]).toEqual([0, ""]);
    const [found] = rows(out);
    const { holdout } = doneOf("small") as { readonly holdout: number };
    expect(found).toMatchObject({
      page: "Small",
      step: 6,
      on: "holdout",
      share: 1,
      unit: "nats a character",
      terms: {},
      metrics: {},
    });
    expect(found!["loss"]).toBe(holdout);
    expect(found!["perplexity"]).toBeCloseTo(Math.exp(holdout), 10);
  });

  it("tells named losses and metrics; the perplexity is that of the part that is a cross entropy", async () => {
    const { out } = await mhc(["eval", "named", "--device", "javascript", "--json"]);
    const [found] = rows(out);
    const { holdout, holdout_terms: terms, holdout_metrics: metrics } = doneOf("named");
    expect(found).toMatchObject({ loss: holdout, terms, metrics, perplexity_of: "main" });
    expect(found).not.toHaveProperty("unit");
    expect(found!["perplexity"]).toBeCloseTo(Math.exp((terms as { readonly main: number }).main), 10);
  });

  it("of a page with a checkpoint is the same, in words", async () => {
    const { code, out, err } = await mhc([
      "eval",
      "named.mhc",
      "--checkpoint",
      join("named", "model.safetensors"),
      "--device",
      "javascript",
    ]);
    expect([code, err]).toEqual([0, ""]);
    const {
      holdout,
      holdout_terms: terms,
      holdout_metrics: metrics,
    } = doneOf("named") as Record<string, Record<string, number>>;
    const lines = [...Object.entries(terms!), ...Object.entries(metrics!)].map(
      ([name, value]) => `${name} ${value.toPrecision(4)}`,
    );
    expect(out).toBe(
      [
        "Small at step 6 on javascript",
        `hold-out loss ${Number(holdout).toFixed(4)} (21 held-out windows)`,
        `perplexity ${Math.exp(terms!["main"]!).toPrecision(4)} (of main)`,
        ...lines,
        "",
      ].join("\n"),
    );
  });

  it("takes a share of what is held out, and examples as training draws them", { tags: "slow" }, async () => {
    const some = rows((await mhc(["eval", "small", "--limit", "7", "--device", "javascript", "--json"])).out)[0]!;
    expect([some["examples"], some["share"]]).toEqual([6, Number((6 / 21).toFixed(4))]);
    const drawn = rows(
      (await mhc(["eval", "small", "--on", "train", "--limit", "7", "--device", "javascript", "--json"])).out,
    )[0]!;
    expect(drawn).toMatchObject({ on: "train", examples: 7 });
    expect(drawn).not.toHaveProperty("share");
    expect(drawn["loss"]).not.toBe(some["loss"]);
  });

  it("says what is missing", { tags: "slow" }, async () => {
    const told = async (...args: readonly string[]): Promise<readonly unknown[]> => {
      const { code, err } = await mhc(["eval", ...args, "--device", "javascript"]);
      return [code, err.split("\n")[0]];
    };
    expect(await told("small.mhc")).toEqual([
      2,
      "error: small.mhc is a page: say whose parameters are evaluated, --checkpoint FILE",
    ]);
    expect(await told("none")).toEqual([2, "error: there is no run and no file none"]);
    expect(await told("small", "--set", "width=16")).toEqual([
      2,
      "error: a run is evaluated with its settings: leave out --set, or name a page",
    ]);
    expect(await told("small", "--on", "both")).toEqual([
      2,
      "error: option '--on <part>' argument 'both' is invalid. it is holdout or train.",
    ]);
    const [code, err] = await told("named.mhc", "--set", "width=16", "--checkpoint", "named/model.safetensors");
    expect([code, err]).toEqual([1, expect.stringMatching(/^error: .*`embed.table` is \[\d+, 8\] in the checkpoint/)]);
    const [missing] = await told("small.mhc", "--checkpoint", "none.safetensors");
    expect(missing).toBe(1);
  });

  it("of other text keeps the vocabulary that it was trained with", { tags: "slow" }, async () => {
    writeFileSync(join(cwd, "other.txt"), "the whale was calm. ".repeat(40));
    const { code, out } = await mhc(["eval", "small", "--data", "other.txt", "--device", "javascript", "--json"]);
    expect(code).toBe(0);
    expect(rows(out)[0]!["loss"]).not.toBe(doneOf("small")["holdout"]);
    writeFileSync(join(cwd, "foreign.txt"), "what is X? ".repeat(40));
    const foreign = await mhc(["eval", "small", "--data", "foreign.txt", "--device", "javascript"]);
    expect(foreign.code).toBe(1);
    expect(foreign.err).toContain("is not in the vocabulary of the training text");
  });
});

it("compare has a column for each, of what is held out", { tags: "slow" }, async () => {
  const { code, out } = await mhc([
    "compare",
    "named.mhc",
    "small.mhc",
    "--seeds",
    "2",
    "--steps",
    "3",
    "--device",
    "javascript",
    "--out",
    "compared",
  ]);
  expect(code).toBe(0);
  for (const name of ["drift", "main", "right", "double"]) expect(out).toContain(`hold-out ${name}`);
  const json = JSON.parse(readFileSync(join(cwd, "compared", "comparison.json"), "utf8")) as {
    readonly specs: readonly { readonly measured?: Readonly<Record<string, { readonly mean: number }>> }[];
  };
  expect(Object.keys(json.specs[0]!.measured!)).toEqual(["drift", "main", "right", "double"]);
  expect(json.specs[1]!.measured).toBeUndefined();
  const ended = ["5", "6"].map((seed) => {
    const lines = rows(readFileSync(join(cwd, "compared", `named-seed-${seed}`, "metrics.jsonl"), "utf8"));
    return (lines.at(-1)!["holdout_metrics"] as { readonly right: number }).right;
  });
  expect(json.specs[0]!.measured!["right"]!.mean).toBeCloseTo((ended[0]! + ended[1]!) / 2, 10);
});
