/**
 * `mhc compare` at length: how it goes on, variants and pages of pairs, budgets of time, and runs that diverge.
 *
 * @module-tag slow
 */
import { spawn } from "node:child_process";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { sandbox, rows, SPEC, TEXT } from "../helpers/command.js";
import { resultOf } from "./comparison.js";
import { parseMarkup } from "../helpers/markup.js";
import { pattern } from "../helpers/pattern.js";

const { cwd, main, mhc } = sandbox();

const DEVICE = ["--device", "wasm", "--threads", "1"];

beforeAll(() => {
  writeFileSync(join(cwd, "text.txt"), TEXT);
  writeFileSync(join(cwd, "other.txt"), TEXT.replaceAll("sea", "bay"));
  writeFileSync(join(cwd, "deep.mhc"), SPEC);
  writeFileSync(join(cwd, "free.mhc"), SPEC.replace(/ *manifold Mixing = .*\n\n?/, "").replace("mhc(Mixing)", "hc"));
  writeFileSync(join(cwd, "wild.mhc"), SPEC.replace("1e-2", "1e30"));
});

describe("a comparison", () => {
  it("goes on where it was: finished runs are taken, unfinished ones trained anew, and seeds are added", async () => {
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
    const child = spawn(process.execPath, [main, ...args], {
      cwd,
      stdio: ["ignore", "pipe", "ignore"],
      timeout: 120_000,
    });
    let out = "";
    let asked = false;
    child.stdout.on("data", (part: Buffer) => {
      out += part.toString();
      if (!asked && out.includes("(2 of 2): step 1/1000000")) asked = child.kill("SIGINT");
    });
    expect(await new Promise((resolve) => child.on("close", resolve))).toBe(130);
    expect(out).toMatch(
      pattern(
        /stopped by SIGINT after 1 of 2 runs; go on with: npx mhc compare /,
        /deep\.mhc deep\.mhc@train\.steps=1000000 --seeds 1 --unequal /,
        /--device wasm --threads 1 --out stopped\n$/,
      ),
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
    expect(alone.out).toMatch(/; loss \d\.\d{4} an example \(all 169 pairs\)\n/);
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
