/** `mhc compare` as a process: what it prints and leaves, and what it refuses. */
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { sandbox, rows, SPEC, TEXT } from "../helpers/command.js";
import { resultOf } from "./comparison.js";
import { parseMarkup } from "../helpers/markup.js";
import { pattern } from "../helpers/pattern.js";

const { cwd, mhc } = sandbox();

const DEVICE = ["--device", "wasm", "--threads", "1"];

beforeAll(() => {
  writeFileSync(join(cwd, "text.txt"), TEXT);
  writeFileSync(join(cwd, "other.txt"), TEXT.replaceAll("sea", "bay"));
  writeFileSync(join(cwd, "deep.mhc"), SPEC);
  writeFileSync(join(cwd, "free.mhc"), SPEC.replace(/ *manifold Mixing = .*\n\n?/, "").replace("mhc(Mixing)", "hc"));
  writeFileSync(join(cwd, "wild.mhc"), SPEC.replace("1e-2", "1e30"));
});

describe("a comparison", () => {
  it("has each spec's runs as train makes them, their statistics as JSON, and a report", { tags: "slow" }, async () => {
    const { code, out, err } = await mhc([
      "compare",
      "deep.mhc",
      "free.mhc",
      "--seeds",
      "2",
      "--steps",
      "8",
      "--json",
      ...DEVICE,
      "--out",
      "two",
    ]);
    expect([code, err]).toEqual([0, ""]);
    const { specs, seeds, notes } = resultOf(out);
    expect([seeds, notes, specs.map(({ spec }) => spec)]).toEqual([[5, 6], [], ["deep", "free"]]);
    expect(readdirSync(join(cwd, "two")).sort()).toEqual([
      "comparison.json",
      "deep-seed-5",
      "deep-seed-6",
      "free-seed-5",
      "free-seed-6",
      "report.html",
    ]);
    for (const { spec, loss, holdout, seconds, runs } of specs) {
      for (const [at, seed] of seeds.entries()) {
        const alone = await mhc([
          "train",
          `${spec}.mhc`,
          "--seed",
          `${seed}`,
          "--steps",
          "8",
          "--json",
          ...DEVICE,
          "--out",
          `alone-${spec}-${seed}`,
        ]);
        const last = rows(alone.out).at(-1)!;
        expect([loss.values[at], holdout.values[at]]).toEqual([last["loss"], last["holdout"]]);
        expect(readdirSync(join(cwd, runs[at]!.folder)).sort()).toEqual([
          "metrics.jsonl",
          "model.safetensors",
          "run.json",
          "spec.mhc",
        ]);
        expect(rows(readFileSync(join(cwd, runs[at]!.folder, "metrics.jsonl"), "utf8"))).toHaveLength(9);
      }
      const [a, b] = holdout.values as readonly [number, number];
      expect(holdout.mean).toBeCloseTo((a + b) / 2, 12);
      expect(holdout.deviation).toBeCloseTo(Math.abs(a - b) / Math.SQRT2, 12);
      expect(holdout.interval![1] - holdout.mean).toBeCloseTo((12.7062 * Math.abs(a - b)) / 2, 4);
      expect(seconds.mean).toBeGreaterThan(0);
    }
    expect(specs[0]!.difference).toBeNull();
    expect(specs[1]!.difference!.values[1]).toBeCloseTo(
      specs[1]!.holdout.values[1]! - specs[0]!.holdout.values[1]!,
      12,
    );
    // A run of a comparison can be sampled from like any other.
    expect((await mhc(["sample", "two/free-seed-6", "--tokens", "3", "--device", "wasm"])).code).toBe(0);
    const page = parseMarkup(readFileSync(join(cwd, "two/report.html"), "utf8"));
    for (const part of [
      "deep · free",
      "npx mhc compare deep.mhc free.mhc --seeds 2 --steps 8 --device wasm --threads 1 --out two",
      "8 steps a run",
      "x through attention(heads) via hc",
      specs[1]!.holdout.mean.toFixed(4),
    ])
      expect(page.text).toContain(part);
  });
});

describe("what is refused", () => {
  const refusals: readonly [string, string[], number, RegExp][] = [
    ["no spec", [], 2, /missing required argument 'specs'/],
    ["a file that is not there", ["deep.mhc", "none.mhc"], 2, /there is no file none\.mhc/],
    ["no seeds", ["deep.mhc", "--seeds", "0"], 2, /at least 1/],
    [
      "a spec twice",
      ["deep.mhc", "deep.mhc"],
      2,
      /deep\.mhc is given twice; settings tell two of one page apart: deep\.mhc@name=value/,
    ],
    ["a variant without a value", ["deep.mhc@width"], 2, /deep\.mhc@width: write deep\.mhc@name=value,name=value/],
    ["a variant with a setting of nothing", ["deep.mhc@depth=3"], 1, /depth/],
    [
      "other data",
      ["deep.mhc", "elsewhere.mhc"],
      1,
      pattern(
        /cannot be compared as they are\n {2}deep and elsewhere have other data: /,
        /text\.txt and other\.txt\nfix: .*--unequal/,
      ),
    ],
    [
      "another share held out, and another name of the data",
      ["deep.mhc", "renamed.mhc"],
      1,
      pattern(
        /names of the data, which draw other batches: corpus in deep, words in renamed/,
        /\n {2}shares held out: 0\.2 in deep, 0\.3 in renamed/,
      ),
    ],
    [
      "another batch",
      ["deep.mhc", "deep.mhc@train.batch=6"],
      1,
      /characters a step: 18 in deep, 36 in deep@train\.batch=6/,
    ],
    ["other steps", ["deep.mhc", "deep.mhc@train.steps=30"], 1, /steps: 20 in deep, 30 in deep@train\.steps=30/],
    ["a file for a folder", ["deep.mhc", "--out", "text.txt"], 1, /text\.txt is not a folder/],
  ];
  const refusalsQuick = new Set(["no spec", "a variant without a value", "other data"]);
  const refusalsHold = async (_: string, args: string[], expected: number, message: RegExp): Promise<void> => {
    writeFileSync(join(cwd, "elsewhere.mhc"), SPEC.replace("text.txt", "other.txt"));
    writeFileSync(join(cwd, "renamed.mhc"), SPEC.replaceAll("corpus", "words").replace("20%", "30%"));
    const { code, err } = await mhc(["compare", ...args, ...DEVICE]);
    expect(err).toMatch(message);
    expect(err).not.toMatch(/\n\s+at |bug of mhc/);
    expect(code).toBe(expected);
    expect(existsSync(join(cwd, "runs"))).toBe(false);
  };
  // Each starts the command: a few of them here, the others apart.
  it.each(refusals.filter(([what]) => refusalsQuick.has(what)))("%s", refusalsHold);
  it.each(refusals.filter(([what]) => !refusalsQuick.has(what)))("%s", { tags: "slow" }, refusalsHold);

  it("is allowed when asked for, and noted", { tags: "slow" }, async () => {
    const { code, out } = await mhc([
      "compare",
      "deep.mhc",
      "elsewhere.mhc",
      "--seeds",
      "1",
      "--steps",
      "2",
      "--unequal",
      "--json",
      ...DEVICE,
      "--out",
      "unequal",
    ]);
    expect([code, resultOf(out).notes]).toEqual([0, ["deep and elsewhere have other data: text.txt and other.txt"]]);
    expect(parseMarkup(readFileSync(join(cwd, "unequal/report.html"), "utf8")).text).toContain(
      "Not the same: deep and elsewhere have other data",
    );
  });
});
