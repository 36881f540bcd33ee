/**
 * Trainings through the command line: what a run has whatever becomes of it, what goes into it, and what is tuned for
 * it.
 *
 * @module-tag slow
 */
import { spawn } from "node:child_process";
import {
  copyFileSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { decode } from "../../runtime/checkpoint.js";
import { sandbox, rows, SPEC, TEXT } from "../helpers/command.js";
import { pattern } from "../helpers/pattern.js";

const { cwd, build, main, mhc } = sandbox();

beforeAll(() => {
  writeFileSync(join(cwd, "small.mhc"), SPEC);
  writeFileSync(join(cwd, "text.txt"), TEXT);
});

describe("a wrong spec or wrong data ends with 1 and says what to do", () => {
  it("so does a loss that is no number, with the tensor by name and the good checkpoint, also as JSON", async () => {
    writeFileSync(join(cwd, "wild.mhc"), SPEC.replace("1e-2", "1e30"));
    const args = ["train", "wild.mhc", "--device", "wasm", "--threads", "1"];
    const { code, err } = await mhc([...args, "--out", "wild"]);
    expect(err).toMatch(
      pattern(
        /^error: the loss is (NaN|-?Infinity) at step \d+, and was last finite at step \d+: /,
        /.*; the last good checkpoint, of step 0, is wild.model\.safetensors/,
        /\n(first not finite: .*\n)?fix: lower the rate/,
      ),
    );
    expect(code).toBe(1);
    expect(readdirSync(join(cwd, "wild")).sort()).toEqual([
      "metrics.jsonl",
      "model.safetensors",
      "run.json",
      "spec.mhc",
    ]);
    const asJson = await mhc([...args, "--out", "wild as JSON", "--json"]);
    const last = rows(asJson.out).at(-1)!;
    expect(asJson.code).toBe(1);
    expect(last).toMatchObject({
      done: false,
      run: "wild as JSON",
      device: "wasm",
      failure: expect.stringMatching(/^the loss is/) as string,
      checkpoint: { step: 0, path: join("wild as JSON", "model.safetensors") },
    });
    expect([last["last_finite"], last["steps"]]).toEqual([(last["step"] as number) - 1, (last["step"] as number) - 1]);
    for (const tensor of last["tensors"] as readonly unknown[])
      expect(tensor).toEqual({
        kind: expect.stringMatching(/^(parameter|state|gradient)$/) as string,
        name: expect.any(String) as string,
        count: expect.any(Number) as number,
        size: expect.any(Number) as number,
      });
    expect(rows(readFileSync(join(cwd, "wild as JSON/metrics.jsonl"), "utf8")).at(-1)).toEqual(last);
    expect((await mhc(["sample", "wild", "--tokens", "3", "--device", "wasm"])).code).toBe(0);
  });

  it("a loss that is no number later on leaves the last checkpoint, and says where", async () => {
    // The decay is more than twice what would be stable: weights grow by 5% a step, and overflow between the checkpoint
    // of step 500 and the end.
    writeFileSync(
      join(cwd, "late.mhc"),
      SPEC.replace("rate = 1e-2", "rate = 1e-2, decay = 205").replace("steps = 20", "steps = 3000"),
    );
    const { code, err } = await mhc(["train", "late.mhc", "--device", "wasm", "--threads", "1", "--out", "late"]);
    expect(err).toMatch(
      pattern(
        /^error: the loss is (NaN|-?Infinity) at step \d+, and was last finite at step \d+: /,
        /.*; the last good checkpoint, of step 500, is late.model\.safetensors/,
        /\n(first not finite: .*\n)?fix: /,
      ),
    );
    expect(code).toBe(1);
    const { tensors, metadata } = decode(readFileSync(join(cwd, "late/model.safetensors")));
    expect(metadata["step"]).toBe("500");
    for (const [name, { data }] of tensors) expect(data.every(Number.isFinite), name).toBe(true);
    expect((await mhc(["sample", "late", "--tokens", "3", "--device", "wasm", "--json"])).out).toMatch(
      /"step":500}\n$/,
    );
  });

  it("so does a run that was changed or cut off", async () => {
    expect((await mhc(["train", "small.mhc", "--device", "wasm", "--steps", "1", "--out", "torn"])).code).toBe(0);
    const info = readFileSync(join(cwd, "torn/run.json"), "utf8");
    for (const wrong of [
      "{",
      "{}",
      "null",
      info.replace('"format": 1', '"format": 2'),
      info.replace('"facts": {', '"facts": 3, "more": {'),
      info.replace('"file": "', '"other": "'),
    ]) {
      writeFileSync(join(cwd, "torn/run.json"), wrong);
      const { code, err } = await mhc(["sample", "torn", "--device", "wasm"]);
      expect(err, wrong).toMatch(/^error: .*torn.*(cannot be read|does not describe a run)/);
      expect([code, /bug of mhc/.test(err)], wrong).toEqual([1, false]);
    }
    writeFileSync(join(cwd, "torn/run.json"), info);
    writeFileSync(
      join(cwd, "torn/model.safetensors"),
      readFileSync(join(cwd, "torn/model.safetensors")).subarray(0, 200),
    );
    const cut = await mhc(["sample", "torn", "--device", "wasm"]);
    expect(cut.err).toMatch(/torn.model\.safetensors: this is not a whole safetensors file/);
    expect(cut.code).toBe(1);
  });
});

describe("commands", () => {
  it("tune keeps choices that later commands use; a stale or broken cache is ignored, and said so", async () => {
    const args = ["train", "small.mhc", "--device", "wasm", "--steps", "5", "--json"];
    const losses = (out: string): number[] =>
      rows(out)
        .filter((row) => row["step"] !== undefined)
        .map((row) => row["loss"] as number);
    const before = await mhc([...args, "--out", "untuned"]);
    const tuned = await mhc(["tune", "small.mhc", "--device", "wasm", "--json"]);
    expect([tuned.code, tuned.err]).toEqual([0, ""]);
    for (const row of rows(tuned.out))
      expect(row).toMatchObject({
        kernel: expect.stringMatching(/^\w+\/\d/) as string,
        count: expect.any(Number) as number,
        ms: expect.any(Number) as number,
      });
    const cache = JSON.parse(readFileSync(join(cwd, "tune.json"), "utf8")) as {
      version: string;
      adapters: Record<string, Record<string, unknown>>;
    };
    const [adapter] = Object.keys(cache.adapters);
    // Choices of our own: with these, tasks end in the middle of every product.
    cache.adapters[adapter!] = { matmul: { rows: 4, columns: 8, height: 4, unroll: 1 } };
    writeFileSync(join(cwd, "tune.json"), JSON.stringify(cache));
    const after = await mhc([...args, "--out", "tuned"]);
    expect([after.code, after.err]).toEqual([0, ""]);
    losses(after.out).forEach((loss, i) => expect(Math.abs(loss / losses(before.out)[i]! - 1)).toBeLessThan(1e-5));
    const wrong: readonly [string, RegExp][] = [
      ["{", /cannot be read and is ignored/],
      ["[]", /is not one and is ignored/],
      [JSON.stringify({ ...cache, version: "0.0.1" }), /written by mhc 0\.0\.1 and is ignored/],
      [
        JSON.stringify({ ...cache, adapters: { [adapter!]: { matmul: { rows: 4, colums: 8 } } } }),
        /choices for .* that no kernel has/,
      ],
    ];
    for (const [i, [text, message]] of wrong.entries()) {
      writeFileSync(join(cwd, "tune.json"), text);
      const { code, err, out } = await mhc([...args, "--out", `stale${i}`]);
      expect(err).toMatch(message);
      expect(err.trim().split("\n")).toHaveLength(1);
      expect([code, losses(out)]).toEqual([0, losses(before.out)]);
    }
    rmSync(join(cwd, "tune.json"));
  });

  it("a set of one's own is a file beside the page, in every command, and a run keeps it", async () => {
    // As if installed: the file imports the package by its name.
    mkdirSync(join(cwd, "node_modules"));
    symlinkSync(build, join(cwd, "node_modules/mhc-lang"));
    mkdirSync(join(cwd, "pages"));
    const file = join(cwd, "pages/unit_diagonal.js");
    copyFileSync(new URL("../fixtures/sets/unit_diagonal.js", import.meta.url), file);
    writeFileSync(
      join(cwd, "pages/own.mhc"),
      'use "./unit_diagonal.js"\n\n' +
        SPEC.replace("birkhoff(iterations = 20)", "unit_diagonal").replace("text.txt", "../text.txt"),
    );
    expect(await mhc(["check", "pages/own.mhc"])).toMatchObject({
      code: 0,
      err: "",
      out: expect.stringContaining("own.mhc is right") as string,
    });
    const trained = await mhc([
      "train",
      "pages/own.mhc",
      "--device",
      "wasm",
      "--steps",
      "3",
      "--out",
      "own run",
      "--json",
    ]);
    expect([trained.code, trained.err]).toEqual([0, ""]);
    for (const line of rows(trained.out).slice(0, -1))
      expect((line["constraints"] as Record<string, number>)["Mixing"]).toBeLessThanOrEqual(1e-5);
    expect((await mhc(["sample", "own run", "--tokens", "3", "--device", "wasm"])).code).toBe(0);
    expect((await mhc(["compile", "pages/own.mhc", "-o", "own"])).code).toBe(0);
    // Formatting does not run what is not a page.
    writeFileSync(join(cwd, "pages/loud.js"), 'throw new Error("loaded");\n');
    writeFileSync(
      join(cwd, "pages/loud.mhc"),
      readFileSync(join(cwd, "pages/own.mhc"), "utf8").replace("unit_diagonal.js", "loud.js"),
    );
    expect((await mhc(["fmt", "--check", "pages/loud.mhc"])).code).toBe(0);
    expect(await mhc(["check", "pages/loud.mhc"])).toMatchObject({
      code: 1,
      err: expect.stringMatching(
        /^error MHC217: `\.\/loud\.js` cannot be loaded: loaded\n --> pages\/loud\.mhc:1:5\n/,
      ) as string,
    });
    writeFileSync(file, readFileSync(file, "utf8").replace("  tangent,\n", ""));
    expect((await mhc(["check", "pages/own.mhc"])).err).toMatch(
      pattern(
        /^error MHC307: `\.\/unit_diagonal\.js`: `unit_diagonal` has no `tangent`: /,
        /a function \(b, x, v, setting\) => node\n --> pages\/own\.mhc:1:5/,
      ),
    );
    renameSync(file, join(cwd, "pages/elsewhere.js"));
    expect((await mhc(["check", "pages/own.mhc"])).err).toMatch(/MHC217: `\.\/unit_diagonal\.js` cannot be read/);
    const gone = await mhc(["sample", "own run", "--tokens", "3", "--device", "wasm"]);
    expect([gone.code, gone.err]).toEqual([0, ""]);
  });

  it("train suggests commands that work as they are", async () => {
    writeFileSync(join(cwd, "my text.txt"), `Call me Ishmael. ${readFileSync(join(cwd, "text.txt"), "utf8")}`);
    const { out } = await mhc([
      "train",
      "small.mhc",
      "--device",
      "wasm",
      "--steps",
      "1",
      "--data",
      "my text.txt",
      "--out",
      "my run",
    ]);
    expect(out).toContain("npx mhc sample 'my run' --prompt 'Call me ' --device wasm\n");
    expect(out).toContain("npx mhc train small.mhc --data 'my text.txt' --device wasm --set train.batch=6\n");
    // Its own text has no capital C: no such prompt.
    const plain = await mhc(["train", "small.mhc", "--device", "wasm", "--steps", "1", "--out", "plain"]);
    expect(plain.out).toContain("try next: npx mhc sample plain --device wasm\n");
    expect((await mhc(["sample", "plain", "--tokens", "2", "--device", "wasm"])).code).toBe(0);
  });

  it("train keeps an old run, and ends with a checkpoint when it is interrupted", async () => {
    const first = await mhc(["train", "small.mhc", "--device", "wasm", "--steps", "2", "--out", "kept"]);
    expect(first.code).toBe(0);
    const before = readFileSync(join(cwd, "kept/metrics.jsonl"), "utf8");
    const second = await mhc(["train", "small.mhc", "--device", "wasm", "--steps", "2", "--out", "kept"]);
    expect([second.code, second.err]).toEqual([1, expect.stringContaining("holds a run already")]);
    expect(readFileSync(join(cwd, "kept/metrics.jsonl"), "utf8")).toBe(before);

    const child = spawn(
      process.execPath,
      [main, "train", "small.mhc", "--device", "wasm", "--json", "--steps", "1000000", "--out", "stopped"],
      { cwd, stdio: ["ignore", "pipe", "ignore"], timeout: 120_000 },
    );
    let out = "";
    let asked = false;
    child.stdout.on("data", (part: Buffer) => {
      out += part.toString();
      if (!asked && out.includes('"step":5')) asked = child.kill("SIGINT");
    });
    const code = await new Promise((resolve) => child.on("close", resolve));
    expect(code).toBe(130);
    const last = rows(out).at(-1)!;
    expect(last).toMatchObject({ done: false, run: "stopped" });
    const { metadata } = decode(readFileSync(join(cwd, "stopped/model.safetensors")));
    expect(metadata["step"]).toBe(`${String(last["steps"])}`);
    expect((await mhc(["sample", "stopped", "--tokens", "5", "--device", "wasm"])).code).toBe(0);
  });

  it("train heeds Ctrl-C while it evaluates, and keeps what was trained", async () => {
    // So much is held out that evaluation takes far longer than this test waits.
    writeFileSync(join(cwd, "long.txt"), "the sea was calm, and the whale went down. all hands! ".repeat(100_000));
    const child = spawn(
      process.execPath,
      [
        main,
        "train",
        "small.mhc",
        "--device",
        "javascript",
        "--steps",
        "3",
        "--data",
        "long.txt",
        "--out",
        "evaluated",
      ],
      { cwd, stdio: ["ignore", "pipe", "pipe"], timeout: 120_000 },
    );
    let out = "";
    let asked = false;
    child.stdout.on("data", (part: Buffer) => {
      out += part.toString();
      if (!asked && out.includes("evaluating on 179,999 held-out windows")) asked = child.kill("SIGINT");
    });
    const code = await new Promise((resolve) => child.on("close", resolve));
    expect([code, asked]).toEqual([130, true]);
    expect(out).toMatch(
      pattern(
        /\nstopped by SIGINT after step 3; the checkpoint is in evaluated\n/,
        /try it: npx mhc sample evaluated --device javascript\n/,
        /to go on in a program: load evaluated.model\.safetensors .*\n$/,
      ),
    );
    expect(decode(readFileSync(join(cwd, "evaluated/model.safetensors"))).metadata["step"]).toBe("3");
  });

  it("train --json prints a line a step and a last one; settings and threads change what they should", async () => {
    const run = async (out: string, ...more: string[]): Promise<Record<string, unknown>[]> => {
      const {
        code,
        out: text,
        err,
      } = await mhc(["train", "small.mhc", "--json", "--device", "wasm", "--steps", "4", "--out", out, ...more]);
      expect([code, err]).toEqual([0, ""]);
      return rows(text);
    };
    const lines = await run("second", "--threads", "1");
    expect(lines.length).toBe(5);
    lines.slice(0, 4).forEach((line, i) =>
      expect(line).toEqual({
        step: i + 1,
        loss: expect.any(Number) as number,
        ms: expect.any(Number) as number,
        tokens_per_s: expect.any(Number) as number,
        constraints: { Mixing: expect.any(Number) as number },
      }),
    );
    expect(lines[4]).toEqual({
      done: true,
      run: "second",
      steps: 4,
      seconds: expect.any(Number) as number,
      loss: lines[3]!["loss"],
      holdout: expect.any(Number) as number,
      holdout_share: 1,
      device: "wasm",
      joules: expect.any(Number) as number,
      energy_by: "modelled: profile cpu, steps alone",
    });
    expect(
      readFileSync(join(cwd, "second/metrics.jsonl"), "utf8")
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as unknown),
    ).toEqual(lines);
    const losses = (found: Record<string, unknown>[]): unknown[] => found.map(({ loss }) => loss);
    expect(losses(await run("third", "--threads", "2"))).toEqual(losses(lines));
    expect(losses(await run("fourth", "--seed", "6"))).not.toEqual(losses(lines));
    await run("fifth", "--set", "width=12");
    expect(decode(readFileSync(join(cwd, "fifth/model.safetensors"))).tensors.get("embed.table")!.shape[1]).toBe(12);
    expect(decode(readFileSync(join(cwd, "second/model.safetensors"))).metadata["step"]).toBe("4");
    // A run remembers its settings.
    expect((await mhc(["sample", "fifth", "--tokens", "3", "--device", "wasm", "--json"])).code).toBe(0);
  });

  it("train on WebGPU ends, and agrees with WebAssembly", async () => {
    const args = ["train", "small.mhc", "--json", "--steps", "3", "--device"];
    const [gpu, wasm] = [await mhc([...args, "webgpu", "--out", "gpu"]), await mhc([...args, "wasm", "--out", "cpu"])];
    expect([gpu.code, gpu.err]).toEqual([0, ""]);
    rows(wasm.out).forEach((line, i) =>
      expect(Math.abs((rows(gpu.out)[i]!["loss"] as number) / (line["loss"] as number) - 1)).toBeLessThan(1e-4),
    );
  });
});
