/**
 * What the command says of wrong usage, wrong pages and data, and devices that fail: exit codes, and messages that say
 * what to do.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { sandbox, rows, SPEC, TEXT } from "../helpers/command.js";

const { cwd, mhc } = sandbox();

beforeAll(() => {
  writeFileSync(join(cwd, "small.mhc"), SPEC);
  writeFileSync(join(cwd, "text.txt"), TEXT);
  writeFileSync(join(cwd, "wrong.mhc"), SPEC.replace("total(x)", "totl(x)"));
  writeFileSync(join(cwd, "tiny.txt"), "too short");
});

describe("wrong usage ends with 2, in a line or two, without a stack", () => {
  const usages: readonly [string, string[], RegExp][] = [
    ["no command", [], /Usage: mhc/],
    ["an unknown command", ["trian", "small.mhc"], /unknown command 'trian'/],
    ["an unknown option", ["check", "small.mhc", "--fast"], /unknown option '--fast'/],
    ["no spec", ["train"], /missing required argument 'spec'/],
    ["a spec that is not there", ["check", "none.mhc"], /there is no file none\.mhc/],
    ["a folder for a spec", ["check", "."], /\. is not a file/],
    ["an unknown device", ["train", "small.mhc", "--device", "tpu"], /--device/],
    ["steps that are no number", ["train", "small.mhc", "--steps", "many"], /whole number/],
    ["no threads", ["train", "small.mhc", "--threads", "0"], /at least 1/],
    ["a setting without a value", ["train", "small.mhc", "--set", "width"], /--set name=value/],
    ["an unknown stage", ["compile", "small.mhc", "--emit", "soup"], /--emit soup/],
    ["an unknown target", ["compile", "small.mhc", "-o", "out", "--target", "cobol"], /--target cobol/],
    [
      "an entry that the page does not have",
      ["compile", "small.mhc", "-o", "out", "--target", "c", "--entries", "train,fly"],
      /--entries fly: this page has no such entry/,
    ],
    [
      "some entries of a module",
      ["compile", "small.mhc", "-o", "out", "--entries", "train"],
      /--entries goes with --target c/,
    ],
    ["lanes of what has none", ["compile", "small.mhc", "-o", "out", "--lanes", "8"], /--lanes goes with --target c/],
    ["nothing to do", ["compile", "small.mhc"], /say where to write/],
    ["a negative temperature", ["sample", "run", "--temperature", "-1"], /at least 0|temperature/],
  ];
  const usagesQuick = new Set([
    "an unknown command",
    "no spec",
    "an unknown device",
    "an unknown stage",
    "nothing to do",
  ]);
  const usagesHold = async (_: string, args: string[], message: RegExp): Promise<void> => {
    const { code, err } = await mhc(args);
    expect(err).toMatch(message);
    expect(err).not.toMatch(/\n\s+at |bug of mhc/);
    expect(code).toBe(2);
  };
  // Each starts the command: a few of them here, the others apart.
  it.each(usages.filter(([what]) => usagesQuick.has(what)))("%s", usagesHold);
  it.each(usages.filter(([what]) => !usagesQuick.has(what)))("%s", { tags: "slow" }, usagesHold);
});

describe("a wrong spec or wrong data ends with 1 and says what to do", () => {
  const wrongs: readonly [string, string[], RegExp][] = [
    ["a misspelt name", ["check", "wrong.mhc"], /totl[\s\S]*total[\s\S]*1 error/],
    ["the same while training", ["train", "wrong.mhc"], /totl/],
    ["a setting of nothing", ["train", "small.mhc", "--set", "depth=3"], /depth/],
    ["data that is not there", ["train", "small.mhc", "--data", "none.txt"], /no file matches/],
    ["a package that is not there", ["train", "small.mhc", "--data", "npm:@no/such/x.txt"], /npm install @no\/such/],
    ["too little text", ["train", "small.mhc", "--data", "tiny.txt"], /tiny|characters/],
    ["a run that is none", ["sample", "."], /is not a run/],
    ["a place that cannot be written", ["compile", "small.mhc", "-o", "text.txt/below"], /cannot be written/],
    ["a run folder that is a file", ["train", "small.mhc", "--out", "text.txt"], /not a folder/],
  ];
  const wrongsQuick = new Set([
    "a misspelt name",
    "data that is not there",
    "too little text",
    "a run folder that is a file",
  ]);
  const wrongsHold = async (_: string, args: string[], message: RegExp): Promise<void> => {
    const { code, out, err } = await mhc([
      ...args,
      ...(args[0] === "train" ? ["--device", "wasm", "--threads", "2"] : []),
    ]);
    expect(err).toMatch(message);
    expect(err).not.toMatch(/\n\s+at |bug of mhc/);
    expect(out).toBe("");
    expect(code).toBe(1);
  };
  // Each starts the command: a few of them here, the others apart.
  it.each(wrongs.filter(([what]) => wrongsQuick.has(what)))("%s", wrongsHold);
  it.each(wrongs.filter(([what]) => !wrongsQuick.has(what)))("%s", { tags: "slow" }, wrongsHold);

  it("also on the GPU, which must not keep the process alive", async () => {
    const { code, err } = await mhc(["train", "wrong.mhc", "--device", "webgpu"]);
    expect(err).toMatch(/totl/);
    expect(code).toBe(1);
  });

  it("as JSON: a diagnostic a line, with its place", async () => {
    const { code, out } = await mhc(["check", "wrong.mhc", "--json"]);
    expect(code).toBe(1);
    const [diagnostic] = rows(out);
    expect(Object.keys(diagnostic!)).toEqual(
      expect.arrayContaining(["code", "severity", "message", "file", "start", "end", "notes", "fix"]),
    );
    expect(diagnostic).toMatchObject({
      severity: "error",
      file: "wrong.mhc",
      start: { line: 1 + SPEC.split("\n").findIndex((line) => line.includes("total(x)")) },
    });
  });
});

describe("a device that fails ends with 3", () => {
  it("when there is no Vulkan driver", async () => {
    const nothing = join(cwd, "no-driver.json");
    const { code, out, err } = await mhc(["train", "small.mhc", "--device", "webgpu"], {
      LD_LIBRARY_PATH: "",
      VK_DRIVER_FILES: nothing,
      VK_ICD_FILENAMES: nothing,
    });
    expect(err).toMatch(/WebGPU[\s\S]*wasm/);
    expect(err).not.toMatch(/bug of mhc/);
    expect(out).toBe("");
    expect(code).toBe(3);
  });
});
