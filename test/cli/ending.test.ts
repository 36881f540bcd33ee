/**
 * How a command ends when it is asked to, or cannot go on: by a signal with what it has so far, by an error at once,
 * and for programs in words of JSON whatever is wrong.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { decode } from "../../runtime/checkpoint.js";
import { builtCommand, commandIn, rows, SPEC } from "../helpers/command.js";

const build = builtCommand();
const cwd = mkdtempSync(join(tmpdir(), "mhc ending "));
const WASM = ["--device", "wasm", "--threads", "1"];

beforeAll(() => {
  writeFileSync(join(cwd, "small.mhc"), SPEC);
  writeFileSync(join(cwd, "wrong.mhc"), SPEC.replace("total(x)", "totl(x)"));
  writeFileSync(join(cwd, "wild.mhc"), SPEC.replace("1e-2", "1e30"));
  writeFileSync(join(cwd, "text.txt"), "the sea was calm, and the whale went down. all hands! ".repeat(12));
  writeFileSync(join(cwd, "long.txt"), "the sea was calm, and the whale went down. all hands! ".repeat(50_000));
});
afterAll(() => rmSync(cwd, { recursive: true, force: true }));

const mhc = commandIn(build, cwd);

interface Ended {
  readonly code: number | null;
  readonly out: string;
}

/** Runs the command, and does something to it once its output has a part. */
function meanwhile(
  args: readonly string[],
  part: string,
  act: (child: ReturnType<typeof spawn>) => void,
): Promise<Ended> {
  const child = spawn(process.execPath, [join(build, "src/cli/main.js"), ...args], {
    cwd,
    stdio: ["ignore", "pipe", "ignore"],
    timeout: 50_000,
  });
  let out = "";
  let acted = false;
  child.stdout.on("data", (chunk: Buffer) => {
    out += chunk.toString();
    if (acted || !out.includes(part)) return;
    acted = true;
    act(child);
  });
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, out })));
}

const stepOf = (run: string): number =>
  Number(decode(readFileSync(join(cwd, run, "model.safetensors"))).metadata["step"]);

describe("a signal", () => {
  it.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const)("%s ends training after the step under way, with its checkpoint", async (signal, expected) => {
    const run = `by ${signal}`;
    const { code, out } = await meanwhile(
      ["train", "small.mhc", ...WASM, "--json", "--steps", "1000000", "--out", run],
      '"step":5',
      (child) => child.kill(signal),
    );
    expect(code).toBe(expected);
    const last = rows(out).at(-1)!;
    expect(last).toMatchObject({ done: false, run, stopped_by: signal, checkpoint: join(run, "model.safetensors") });
    expect([stepOf(run), rows(readFileSync(join(cwd, run, "metrics.jsonl"), "utf8")).length]).toEqual([
      last["steps"],
      last["steps"],
    ]);
  });

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
      /stopped by SIGTERM after 0 of 1 runs; go on with: npx mhc compare small\.mhc --seeds 1 --steps 100000 --device wasm --threads 1 --out compared\n$/,
    );
  });

  it("so does a reader that leaves", async () => {
    const { code } = await meanwhile(
      ["train", "small.mhc", ...WASM, "--json", "--steps", "1000000", "--out", "unread"],
      '"step":5',
      (child) => child.stdout!.destroy(),
    );
    expect(code).toBe(141);
    expect(stepOf("unread")).toBeGreaterThanOrEqual(5);
  });
});

describe("an error", () => {
  it("ends the command at once: nothing is drawn for a model that is refused", async () => {
    let refused = 0;
    const child = spawn(
      process.execPath,
      [join(build, "src/cli/main.js"), "train", "small.mhc", ...WASM, "--set", "width=16384"],
      { cwd, stdio: ["ignore", "ignore", "pipe"] },
    );
    child.stderr.on("data", () => (refused ||= performance.now()));
    const code = await new Promise((resolve) => child.on("close", resolve));
    // Drawing what was asked for takes minutes.
    expect([code, performance.now() - refused < 5000]).toEqual([3, true]);
  });

  it.each<[string, string[], number, Record<string, unknown>]>([
    [
      "of data",
      ["train", "small.mhc", "--data", "none.txt"],
      1,
      {
        error: "data",
        code: "DataError",
        message: expect.stringMatching(/^no file matches/),
        fix: expect.stringMatching(/^paths are relative/),
      },
    ],
    ["of a page that is not there", ["train", "none.mhc"], 2, { error: "usage", message: "there is no file none.mhc" }],
    [
      "of an option's value",
      ["train", "small.mhc", "--steps", "x"],
      2,
      { error: "usage", code: "UsageError", message: expect.stringMatching(/^option '--steps <n>' .*whole number/) },
    ],
    [
      "of an unknown option",
      ["check", "small.mhc", "--fast"],
      2,
      { error: "usage", message: "unknown option '--fast'" },
    ],
    [
      "of an unknown command",
      ["trian"],
      2,
      { error: "usage", message: expect.stringMatching(/^unknown command 'trian'/) },
    ],
    ["of a run", ["sample", "nowhere"], 1, { error: "data", message: expect.stringMatching(/is not a run/) }],
    [
      "of a command without anything to do",
      ["compile", "small.mhc"],
      2,
      { error: "usage", message: expect.stringMatching(/^say where to write/) },
    ],
    [
      "of a target",
      ["compile", "small.mhc", "-o", "out", "--target", "cobol"],
      2,
      { error: "usage", message: expect.stringMatching(/^--target cobol/) },
    ],
    [
      "of a place",
      ["compile", "small.mhc", "-o", "text.txt/below"],
      1,
      { error: "data", message: expect.stringMatching(/cannot be written/) },
    ],
    [
      "of a device",
      ["train", "small.mhc", "--device", "wasm", "--set", "width=16384"],
      3,
      { error: "device", code: "DeviceError" },
    ],
    ["of the page", ["train", "wrong.mhc"], 1, { code: "MHC201", severity: "error" }],
    [
      "of numbers",
      ["train", "wild.mhc", ...WASM, "--out", "wild"],
      1,
      { done: false, error: "numeric", code: "NumericError", fix: expect.any(String) },
    ],
  ])("%s is a line of JSON on stdout, and nothing elsewhere", async (_, args, expected, last) => {
    const { code, out, err } = await mhc([...args, "--json"]);
    expect([code, err]).toEqual([expected, ""]);
    const found = rows(out).at(-1)!;
    expect(found).toMatchObject(last);
    if ("error" in last) expect(found["exit_code"]).toBe(expected);
  });

  it("does not come from asking for help", async () => {
    const { code, out, err } = await mhc(["train", "--help", "--json"]);
    expect([code, err, out.startsWith("Usage: mhc train")]).toEqual([0, "", true]);
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
