/**
 * Each command once, as a user has it: run as a process, judged by its exit code, what it prints where, and what it
 * leaves. More trainings are in training.slow.test.ts, what is wrong in usage.test.ts.
 */
import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { sandbox, rows, SPEC, TEXT } from "../helpers/command.js";

const { cwd, main, mhc } = sandbox();

beforeAll(() => {
  writeFileSync(join(cwd, "small.mhc"), SPEC);
  writeFileSync(join(cwd, "text.txt"), TEXT);
});

describe("commands", () => {
  it("check", async () => {
    expect(await mhc(["check", "small.mhc"])).toMatchObject({
      code: 0,
      err: "",
      out: expect.stringContaining("small.mhc is right: Small") as string,
    });
  });

  it("bench --kernels: whole steps, and kernels beside the ceilings of the machine", { tags: "slow" }, async () => {
    const { code, out, err } = await mhc([
      "bench",
      "small.mhc",
      "--device",
      "wasm",
      "--steps",
      "3",
      "--kernels",
      "--json",
    ]);
    expect([code, err]).toEqual([0, ""]);
    const [found] = rows(out);
    expect(found).toMatchObject({ device: "wasm", threads: expect.any(Number) as number, submits: 1 });
    for (const name of [
      "median_ms",
      "min_ms",
      "tokens_per_s",
      "gflops",
      "dispatches",
      "arena_bytes",
      "parameters",
      "compile_ms",
      "first_step_ms",
    ]) {
      expect(found![name], name).toBeGreaterThan(0);
    }
    const kernels = found!["kernels"] as {
      readonly whose: string;
      readonly count: number;
      readonly flops: number;
      readonly bytes: number;
      readonly share: number;
    }[];
    expect(kernels.reduce((sum, { count }) => sum + count, 0)).toBe(found!["dispatches"]);
    for (const { flops, bytes, share } of kernels)
      expect([flops >= 0, bytes > 0, share >= 0]).toEqual([true, true, true]);
    expect(kernels.some(({ whose }) => /^the optimizer: [\w ]+, update/.test(whose))).toBe(true);
  });

  it("bench: whole steps", async () => {
    const { out } = await mhc(["bench", "small.mhc", "--device", "wasm", "--steps", "2"]);
    expect(out).toMatch(/ms a step .*tokens\/s.*\n\d+ dispatches and 1 submission a step/);
  });

  it("fmt and fmt --check", async () => {
    const untidy = SPEC.replace("  dim context = 6, width", "dim   context=6,width");
    writeFileSync(join(cwd, "untidy.mhc"), untidy);
    const checked = await mhc(["fmt", "--check", "untidy.mhc"]);
    expect([checked.code, checked.out]).toEqual([1, "untidy.mhc is not formatted\n"]);
    expect(readFileSync(join(cwd, "untidy.mhc"), "utf8")).toBe(untidy);
    const asJson = await mhc(["fmt", "--check", "--json", "small.mhc", "untidy.mhc"]);
    expect([asJson.code, asJson.err.trim()]).toEqual([1, ""]);
    const place = 1 + untidy.split("\n").findIndex((line) => line.includes("dim   context"));
    expect(rows(asJson.out)).toEqual([
      {
        code: "MHC105",
        severity: "error",
        message: "this file is not formatted",
        file: "untidy.mhc",
        start: { line: place, column: 1 },
        end: { line: place, column: 1 + untidy.split("\n")[place - 1]!.length },
        notes: [],
        fix: "run `mhc fmt untidy.mhc`",
      },
    ]);
    // Only the end of the file differs.
    writeFileSync(join(cwd, "endless.mhc"), SPEC.trimEnd());
    expect(rows((await mhc(["fmt", "--check", "--json", "endless.mhc"])).out)).toEqual([
      expect.objectContaining({
        code: "MHC105",
        file: "endless.mhc",
        start: { line: SPEC.trimEnd().split("\n").length, column: 1 },
      }),
    ]);
    expect((await mhc(["fmt", "untidy.mhc"])).code).toBe(0);
    expect(readFileSync(join(cwd, "untidy.mhc"), "utf8")).toBe(SPEC);
    expect((await mhc(["fmt", "--check", "untidy.mhc"])).code).toBe(0);
  });

  it("compile --emit prints each stage, and a reader may leave early", async () => {
    const { code, out } = await mhc(["compile", "small.mhc", "--emit", "model,graph,kernels,plan"]);
    expect(code).toBe(0);
    for (const part of ["model Small", "embed.table", "kernel "]) expect(out).toContain(part);
    execFileSync(
      "sh",
      [
        "-c",
        '"$0" "$1" compile small.mhc --emit graph,kernels,plan 2>early.txt | head -c 1 >/dev/null',
        process.execPath,
        main,
      ],
      { cwd },
    );
    expect(readFileSync(join(cwd, "early.txt"), "utf8")).toBe("");
  });

  it("compile -o writes each target's files", async () => {
    const { code, out } = await mhc(["compile", "small.mhc", "-o", "out", "--json"]);
    expect(code).toBe(0);
    const files = readdirSync(join(cwd, "out")).sort();
    expect(files.length).toBe(rows(out).length);
    for (const ending of [".ts", ".wgsl", ".wat"])
      expect(
        files.some((file) => file.endsWith(ending)),
        ending,
      ).toBe(true);
  });

  it("train leaves a run that sample continues, in words", async () => {
    const { code, out, err } = await mhc([
      "train",
      "small.mhc",
      "--device",
      "wasm",
      "--threads",
      "2",
      "--out",
      "first",
      "--sample",
      "40",
    ]);
    expect([code, err]).toEqual([0, ""]);
    expect(out).toMatch(/Small: [\d,]+ parameters on wasm/);
    expect(out).toMatch(/step 20\/20 {2}loss \d+\.\d+ .*tokens\/s .*left .*Mixing off by/);
    expect(out).toMatch(/hold-out loss \d+\.\d{4} nats a character/);
    expect(out).toMatch(/the run is in first\ntry next: npx mhc sample first/);
    expect(readdirSync(join(cwd, "first")).sort()).toEqual([
      "metrics.jsonl",
      "model.safetensors",
      "run.json",
      "spec.mhc",
    ]);
    expect(readFileSync(join(cwd, "first/spec.mhc"), "utf8")).toBe(SPEC);
    const said = await mhc(["sample", "first", "--prompt", "the ", "--tokens", "12", "--device", "wasm"]);
    expect([said.code, said.out.startsWith("the "), said.out.trimEnd().length <= 16 && said.out.length === 17]).toEqual(
      [0, true, true],
    );
    // The run keeps its vocabulary: neither a changed text nor a missing one matters.
    const text = readFileSync(join(cwd, "text.txt"), "utf8");
    writeFileSync(join(cwd, "text.txt"), text.replaceAll("w", "W"));
    const same = await mhc(["sample", "first", "--prompt", "the ", "--tokens", "12", "--device", "wasm"]);
    writeFileSync(join(cwd, "text.txt"), text);
    expect(same.out).toBe(said.out);
    const unknown = await mhc(["sample", "first", "--prompt", "Ünder", "--device", "wasm"]);
    expect(unknown.err).toContain('"Ü"');
    expect(unknown.code).toBe(1);
  });

  it("train names a run folder by spec and time, each anew", { tags: "slow" }, async () => {
    const args = ["train", "small.mhc", "--steps", "1", "--device", "wasm", "--threads", "1"];
    const [first, second] = await Promise.all([mhc(args), mhc([...args, "--json"])]);
    expect([first.code, second.code]).toEqual([0, 0]);
    const folders = readdirSync(join(cwd, "runs"));
    for (const folder of folders) {
      expect(folder).toMatch(/^small-\d{4}-\d\d-\d\d-\d\d-\d\d-\d\d(-\d+)?$/);
      expect(readdirSync(join(cwd, "runs", folder)).sort()).toEqual([
        "metrics.jsonl",
        "model.safetensors",
        "run.json",
        "spec.mhc",
      ]);
    }
    expect(folders.length).toBe(2);
  });
});
