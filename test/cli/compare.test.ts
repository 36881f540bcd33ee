/** `mhc compare` as a process: what it prints and leaves, how it goes on, and what it refuses. */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Summary } from "../../src/tools/statistics.js";
import { builtCommand, commandIn, rows, SPEC } from "../helpers/command.js";
import { parseMarkup } from "../helpers/markup.js";

const build = builtCommand();
const cwd = mkdtempSync(join(tmpdir(), "mhc compare "));
const mhc = commandIn(build, cwd);

const DEVICE = ["--device", "wasm", "--threads", "1"];

beforeAll(() => {
  const text = "the sea was calm, and the whale went down. all hands! ".repeat(12);
  writeFileSync(join(cwd, "text.txt"), text);
  writeFileSync(join(cwd, "other.txt"), text.replaceAll("sea", "bay"));
  writeFileSync(join(cwd, "deep.mhc"), SPEC);
  writeFileSync(join(cwd, "free.mhc"), SPEC.replace(/ *manifold Mixing = .*\n\n?/, "").replace("mhc(Mixing)", "hc"));
  writeFileSync(join(cwd, "wild.mhc"), SPEC.replace("1e-2", "1e30"));
});
afterAll(() => rmSync(cwd, { recursive: true, force: true }));

interface Row {
  readonly spec: string;
  readonly parameters: number;
  readonly loss: Summary;
  readonly holdout: Summary;
  readonly gain: Summary | null;
  readonly seconds: Summary;
  readonly difference: Summary | null;
  readonly runs: readonly { readonly folder: string; readonly steps: number; readonly failure: string | null }[];
}

const resultOf = (
  out: string,
): { readonly specs: readonly Row[]; readonly seeds: readonly number[]; readonly notes: readonly string[] } => {
  const found = rows(out);
  expect(found).toHaveLength(1);
  return found[0] as ReturnType<typeof resultOf>;
};

describe("a comparison", () => {
  it("has each spec's runs as train makes them, their statistics as JSON, and a report", async () => {
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

  it("goes on where it was: finished runs are taken, an unfinished one is trained anew, and more seeds are added", async () => {
    const args = ["compare", "deep.mhc", "free.mhc", "--seeds", "1", "--steps", "4", ...DEVICE, "--out", "again"];
    const first = await mhc(args);
    expect([first.code, first.err]).toEqual([0, ""]);
    expect(first.out).toMatch(/deep, seed 5 \(1 of 2\): step 4\/4 {2}loss/);
    expect(first.out).toMatch(/hold-out loss +\d\.\d{4}[\s\S]*the report is again.report\.html\n$/);
    const before = statSync(join(cwd, "again/deep-seed-5/metrics.jsonl")).mtimeMs;
    const metrics = readFileSync(join(cwd, "again/free-seed-5/metrics.jsonl"), "utf8");
    writeFileSync(join(cwd, "again/free-seed-5/metrics.jsonl"), metrics.slice(0, -20));
    const second = await mhc([
      "compare",
      "deep.mhc",
      "free.mhc",
      "--seeds",
      "2",
      "--steps",
      "4",
      ...DEVICE,
      "--out",
      "again",
    ]);
    expect([second.code, second.err]).toEqual([0, ""]);
    expect(second.out.match(/taken from .*/g)).toEqual([`taken from ${join("again", "deep-seed-5")}`]);
    expect(second.out).toMatch(/deep, seed 5 \(1 of 4\): hold-out loss \d\.\d{4} after 4 steps/);
    expect(statSync(join(cwd, "again/deep-seed-5/metrics.jsonl")).mtimeMs).toBe(before);
    const losses = (text: string): unknown[] => rows(text).map(({ loss }) => loss);
    expect(losses(readFileSync(join(cwd, "again/free-seed-5/metrics.jsonl"), "utf8"))).toEqual(losses(metrics));
    // Under other conditions it is another run.
    const other = await mhc([
      "compare",
      "deep.mhc",
      "free.mhc",
      "--seeds",
      "2",
      "--steps",
      "5",
      ...DEVICE,
      "--out",
      "again",
    ]);
    expect(other.err).toMatch(
      /deep-seed-5 holds a run under other conditions \(steps: 4, now 5\)\nfix: give another --out/,
    );
    expect(other.code).toBe(1);
    writeFileSync(join(cwd, "used.mhc"), SPEC.replace("rate = 1e-2", "rate = 2e-2"));
    const edited = await mhc(["compare", "used.mhc", "--seeds", "1", "--steps", "4", ...DEVICE, "--out", "edited"]);
    writeFileSync(join(cwd, "used.mhc"), SPEC.replace("rate = 1e-2", "rate = 3e-2"));
    expect([
      edited.code,
      (await mhc(["compare", "used.mhc", "--seeds", "1", "--steps", "4", ...DEVICE, "--out", "edited"])).err,
    ]).toEqual([0, expect.stringMatching(/other conditions \(spec: \w+, now \w+\)/)]);
  });

  it("that is interrupted says how to go on, and keeps whole runs", async () => {
    const args = [
      "compare",
      "deep.mhc",
      "deep.mhc@train.steps=1000000",
      "--unequal",
      "--seeds",
      "1",
      ...DEVICE,
      "--out",
      "stopped",
    ];
    const child = spawn(process.execPath, [join(build, "src/cli/main.js"), ...args], {
      cwd,
      stdio: ["ignore", "pipe", "ignore"],
      timeout: 30_000,
    });
    let out = "";
    let asked = false;
    child.stdout.on("data", (part: Buffer) => {
      out += part.toString();
      if (!asked && out.includes("(2 of 2): step 1/1000000")) asked = child.kill("SIGINT");
    });
    expect(await new Promise((resolve) => child.on("close", resolve))).toBe(130);
    expect(out).toMatch(
      /stopped by SIGINT after 1 of 2 runs; go on with: npx mhc compare deep\.mhc deep\.mhc@train\.steps=1000000 --seeds 1 --unequal --device wasm --threads 1 --out stopped\n$/,
    );
    expect(existsSync(join(cwd, "stopped/report.html"))).toBe(false);
    expect((await mhc(["compare", "deep.mhc", "--seeds", "1", ...DEVICE, "--out", "stopped"])).out).toContain(
      "taken from",
    );
  });

  it("of variants of one page, by settings in their names", async () => {
    const { code, out, err } = await mhc([
      "compare",
      "deep.mhc",
      "deep.mhc@width=12,lanes=3",
      "--seeds",
      "1",
      "--seed",
      "9",
      "--steps",
      "2",
      "--json",
      ...DEVICE,
      "--out",
      "variants",
    ]);
    expect([code, err]).toEqual([0, ""]);
    const { specs, seeds } = resultOf(out);
    expect([seeds, specs.map(({ spec }) => spec)]).toEqual([[9], ["deep", "deep@width=12,lanes=3"]]);
    expect(specs[1]!.parameters).toBeGreaterThan(specs[0]!.parameters);
    // One seed says nothing of how sure it is.
    expect([
      specs[0]!.holdout.deviation,
      specs[0]!.holdout.interval,
      specs[0]!.gain === null || specs[0]!.gain.values.length === 1,
    ]).toEqual([null, null, true]);
  });

  it("of a page of pairs in two spaces says that nothing is held out, and refuses other negatives", async () => {
    const felines = fileURLToPath(new URL("../fixtures/wordnet/felines.tsv", import.meta.url));
    writeFileSync(join(cwd, "ball.mhc"), readFileSync(new URL("../../specs/poincare.mhc", import.meta.url), "utf8"));
    const common = ["--data", felines, "--seeds", "1", "--steps", "20", ...DEVICE];
    const { code, out } = await mhc(["compare", "ball.mhc", "ball.mhc@Space=euclidean", ...common, "--out", "spaces"]);
    expect(code).toBe(0);
    expect(out).toContain("nothing is held out: the hold-out loss is that over all 169 pairs\n");
    const info = JSON.parse(readFileSync(join(cwd, "spaces/ball@Space=euclidean-seed-1/run.json"), "utf8")) as {
      readonly set: unknown;
      readonly facts: { readonly mammals: { readonly names: readonly string[] } };
    };
    expect([info.set, info.facts.mammals.names.length]).toEqual([{ Space: "euclidean" }, 60]);
    const alone = await mhc(["train", "ball.mhc", "--data", felines, "--steps", "20", ...DEVICE, "--out", "ball"]);
    expect(alone.out).toMatch(/Poincare: 300 parameters on wasm .*, 20 steps of 50 x 1 pair and 10 negatives\n/);
    expect(alone.out).toMatch(/; loss \d\.\d{4} nats an example \(all 169 pairs\)\n/);
    const refused = await mhc(["compare", "ball.mhc", "ball.mhc@negatives=5", ...common]);
    expect([refused.code, refused.err]).toEqual([
      1,
      expect.stringContaining("negatives a pair: 10 in ball, 5 in ball@negatives=5"),
    ]);
  });

  it("with a budget of time trains as long, not as many steps", async () => {
    const { code, out } = await mhc([
      "compare",
      "deep.mhc",
      "deep.mhc@train.batch=6",
      "--seeds",
      "1",
      "--seconds",
      "0.3",
      "--json",
      ...DEVICE,
      "--out",
      "timed",
    ]);
    expect(code).toBe(0);
    for (const { runs } of resultOf(out).specs) {
      const times = rows(readFileSync(join(cwd, runs[0]!.folder, "metrics.jsonl"), "utf8")).flatMap(({ ms }) =>
        typeof ms === "number" ? [ms] : [],
      );
      const spent = times.reduce((sum, ms) => sum + ms, 0);
      expect(runs[0]!.steps).toBe(times.length);
      // The step under way when the time is up is the last.
      expect([spent >= 300, spent - times.at(-1)! < 300]).toEqual([true, true]);
    }
    expect(parseMarkup(readFileSync(join(cwd, "timed/report.html"), "utf8")).text).toContain("0.3 s of training a run");
  });

  it("keeps the others when a run diverges, and says which did", async () => {
    const { code, out, err } = await mhc([
      "compare",
      "deep.mhc",
      "wild.mhc",
      "--seeds",
      "1",
      "--steps",
      "6",
      ...DEVICE,
      "--out",
      "diverged",
    ]);
    expect([code, err]).toEqual([0, ""]);
    expect(out).toMatch(/wild, seed 5 \(2 of 2\): the loss is (NaN|-?Infinity) at step \d/);
    expect(out).toMatch(/1 of 1[\s\S]*0 of 1/);
    const again = await mhc([
      "compare",
      "deep.mhc",
      "wild.mhc",
      "--seeds",
      "1",
      "--steps",
      "6",
      "--json",
      ...DEVICE,
      "--out",
      "diverged",
    ]);
    expect(resultOf(again.out).specs[1]).toMatchObject({
      holdout: null,
      loss: null,
      runs: [{ failure: expect.stringMatching(/^the loss is/) as string }],
    });
  });
});

describe("what is refused", () => {
  it.each<[string, string[], number, RegExp]>([
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
      /cannot be compared as they are\n {2}deep and elsewhere have other data: text\.txt and other\.txt\nfix: .*--unequal/,
    ],
    [
      "another share held out, and another name of the data",
      ["deep.mhc", "renamed.mhc"],
      1,
      /names of the data, which draw other batches: corpus in deep, words in renamed\n {2}shares held out: 0\.2 in deep, 0\.3 in renamed/,
    ],
    [
      "another batch",
      ["deep.mhc", "deep.mhc@train.batch=6"],
      1,
      /characters a step: 18 in deep, 36 in deep@train\.batch=6/,
    ],
    ["other steps", ["deep.mhc", "deep.mhc@train.steps=30"], 1, /steps: 20 in deep, 30 in deep@train\.steps=30/],
    ["a file for a folder", ["deep.mhc", "--out", "text.txt"], 1, /text\.txt is not a folder/],
  ])("%s", async (_, args, expected, message) => {
    writeFileSync(join(cwd, "elsewhere.mhc"), SPEC.replace("text.txt", "other.txt"));
    writeFileSync(join(cwd, "renamed.mhc"), SPEC.replaceAll("corpus", "words").replace("20%", "30%"));
    const { code, err } = await mhc(["compare", ...args, ...DEVICE]);
    expect(err).toMatch(message);
    expect(err).not.toMatch(/\n\s+at |bug of mhc/);
    expect(code).toBe(expected);
    expect(existsSync(join(cwd, "runs"))).toBe(false);
  });

  it("is allowed when asked for, and noted", async () => {
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
