/**
 * How a command ends while much is left to do: signals twice and to a comparison, and long evaluations.
 *
 * @module-tag slow
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { sandbox, rows, SPEC, TEXT } from "../helpers/command.js";
import { meanwhileIn, stepOfRun } from "./ended.js";
import { pattern } from "../helpers/pattern.js";

const { cwd, main, mhc } = sandbox();
const meanwhile = meanwhileIn(cwd, main);

const WASM = ["--device", "wasm", "--threads", "1"];

beforeAll(() => {
  writeFileSync(join(cwd, "small.mhc"), SPEC);
  writeFileSync(join(cwd, "text.txt"), TEXT);
  writeFileSync(join(cwd, "long.txt"), "the sea was calm, and the whale went down. all hands! ".repeat(50_000));
});

const stepOf = (run: string): number => stepOfRun(join(cwd, run));

describe("a signal", () => {
  it("a second time ends the process at once, and leaves no half of a file", async () => {
    // A step of so large a batch takes far longer than the time between the two signals.
    const args = ["train", "small.mhc", ...WASM, "--set", "train.batch=60000", "--data", "long.txt", "--out", "twice"];
    const { code } = await meanwhile(args, "parameters on wasm", (child) => {
      child.kill("SIGTERM");
      setTimeout(() => child.kill("SIGTERM"), 200);
    });
    expect([code, stepOf("twice"), readFileSync(join(cwd, "twice/metrics.jsonl"), "utf8")]).toEqual([143, 0, ""]);
    expect(readdirSync(join(cwd, "twice")).filter((file) => file.endsWith(".tmp"))).toEqual([]);
  });

  it("ends a comparison, which says how to go on", async () => {
    const args = ["compare", "small.mhc", "--seeds", "1", "--steps", "100000", ...WASM, "--out", "compared"];
    const { code, out } = await meanwhile(args, "step 1/", (child) => child.kill("SIGTERM"));
    expect(code).toBe(143);
    expect(out).toMatch(
      pattern(
        /stopped by SIGTERM after 0 of 1 runs; go on with: npx mhc compare /,
        /small\.mhc --seeds 1 --steps 100000 --device wasm --threads 1 --out compared\n$/,
      ),
    );
  });
});

describe("an evaluation", () => {
  it("takes a share while training and all at the end, or what is asked for, and says which", async () => {
    const args = ["train", "small.mhc", ...WASM, "--json", "--steps", "4", "--evaluate", "2", "--data", "long.txt"];
    const { out } = await mhc([...args, "--evaluate-on", "300", "--evaluate-end", "600", "--out", "shares"]);
    const all = 89_999;
    const lines = rows(out);
    const shares = lines.flatMap((line) => ("holdout" in line ? [line["holdout_share"]] : []));
    expect(shares).toEqual([Number((300 / all).toFixed(4)), Number((600 / all).toFixed(4))]);
  });

  it("has its checkpoint before the last one begins", async () => {
    const args = ["train", "small.mhc", ...WASM, "--steps", "3", "--data", "long.txt", "--out", "killed"];
    const { code } = await meanwhile(args, "evaluating on", (child) => child.kill("SIGKILL"));
    expect([code, stepOf("killed"), existsSync(join(cwd, "killed/run.json"))]).toEqual([null, 3, true]);
  });
});
