/**
 * How a command ends when it is asked to, or cannot go on: by a signal with what it has so far, by an error at once,
 * and for programs in words of JSON whatever is wrong.
 */
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { sandbox, rows, SPEC, TEXT } from "../helpers/command.js";
import { meanwhileIn, stepOfRun } from "./ended.js";

const { cwd, main, mhc } = sandbox();
const meanwhile = meanwhileIn(cwd, main);

const WASM = ["--device", "wasm", "--threads", "1"];

beforeAll(() => {
  writeFileSync(join(cwd, "small.mhc"), SPEC);
  writeFileSync(join(cwd, "wrong.mhc"), SPEC.replace("total(x)", "totl(x)"));
  writeFileSync(join(cwd, "wild.mhc"), SPEC.replace("1e-2", "1e30"));
  writeFileSync(join(cwd, "text.txt"), TEXT);
});

const stepOf = (run: string): number => stepOfRun(join(cwd, run));

describe("a signal", () => {
  const ENDS = "%s ends training after the step under way, with its checkpoint";
  const ends = async (signal: "SIGINT" | "SIGTERM" | "SIGHUP", expected: number): Promise<void> => {
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
  };
  it.each([["SIGTERM", 143]] as const)(ENDS, ends);
  it.each([
    ["SIGINT", 130],
    ["SIGHUP", 129],
  ] as const)(ENDS, { tags: "slow" }, ends);

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
    const child = spawn(process.execPath, [main, "train", "small.mhc", ...WASM, "--set", "width=16384"], {
      cwd,
      stdio: ["ignore", "ignore", "pipe"],
    });
    child.stderr.on("data", () => (refused ||= performance.now()));
    const code = await new Promise((resolve) => child.on("close", resolve));
    // Drawing what was asked for takes minutes.
    expect([code, performance.now() - refused < 5000]).toEqual([3, true]);
  });

  const failures: readonly [string, string[], number, Record<string, unknown>][] = [
    [
      "of data",
      ["train", "small.mhc", "--data", "none.txt", ...WASM],
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
    ["of the page", ["train", "wrong.mhc", ...WASM], 1, { code: "MHC201", severity: "error" }],
    [
      "of numbers",
      ["train", "wild.mhc", ...WASM, "--out", "wild"],
      1,
      { done: false, error: "numeric", code: "NumericError", fix: expect.any(String) },
    ],
  ];
  const failuresQuick = new Set(["of data", "of an unknown option", "of the page", "of numbers"]);
  const failuresHold = async (
    _: string,
    args: string[],
    expected: number,
    last: Record<string, unknown>,
  ): Promise<void> => {
    const { code, out, err } = await mhc([...args, "--json"]);
    expect([code, err]).toEqual([expected, ""]);
    const found = rows(out).at(-1)!;
    expect(found).toMatchObject(last);
    if ("error" in last) expect(found["exit_code"]).toBe(expected);
  };
  // Each starts the command: a few of them here, the others apart.
  it.each(failures.filter(([what]) => failuresQuick.has(what)))(
    "%s is a line of JSON on stdout, and nothing elsewhere",
    failuresHold,
  );
  it.each(failures.filter(([what]) => !failuresQuick.has(what)))(
    "%s is a line of JSON on stdout, and nothing elsewhere",
    { tags: "slow" },
    failuresHold,
  );

  it("does not come from asking for help", async () => {
    const { code, out, err } = await mhc(["train", "--help", "--json"]);
    expect([code, err, out.startsWith("Usage: mhc train")]).toEqual([0, "", true]);
  });
});
