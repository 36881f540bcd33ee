/**
 * A device of an author's own, from its source in TypeScript to a training run: it is compiled against the public types
 * alone, in a folder where the package is installed, and taken by the command.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { UsageError } from "../../src/cli/outcome.js";
import { deviceNamed } from "../../src/cli/targets.js";
import { rows, sandbox, SPEC, TEXT } from "../helpers/command.js";

const { build, cwd, mhc } = sandbox();

/** The module of a device that is the author's, with something else about it. */
const other = (changes: string): string =>
  `import right from "./float32.js";\nexport default { ...right, ${changes} };\n`;

beforeAll(() => {
  mkdirSync(join(cwd, "node_modules"));
  symlinkSync(build, join(cwd, "node_modules/mhc-lang"));
  writeFileSync(join(cwd, "package.json"), JSON.stringify({ type: "module" }));
  writeFileSync(join(cwd, "text.txt"), TEXT);
  writeFileSync(join(cwd, "small.mhc"), SPEC);
  const root = fileURLToPath(new URL("../..", import.meta.url));
  for (const file of ["float32.ts", "tsconfig.json"])
    copyFileSync(join(root, "examples/own-device", file), join(cwd, file));
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  execFileSync(process.execPath, [tsc, "-p", ".", "--outDir", "."], { cwd, stdio: "pipe" });
  const wrong = `async print(kernels) {
    const code = await right.print(kernels);
    return { ...code, text: code.text.replaceAll("f(Math.exp(", "f(1.0001 * Math.exp(") };
  }`;
  writeFileSync(join(cwd, "wrong.js"), other(wrong));
  writeFileSync(join(cwd, "taken.js"), other(`name: "wasm"`));
  writeFileSync(join(cwd, "printer.js"), other("open: undefined"));
  writeFileSync(join(cwd, "nothing.js"), "export const device = 1;\n");
  writeFileSync(join(cwd, "broken.js"), "export default {;\n");
  writeFileSync(join(cwd, "absent.js"), other(`open: () => Promise.reject(new Error("no card in this machine"))`));
}, 120_000);

describe("mhc target-test", () => {
  it("passes the author's device, in a table", async () => {
    const { code, out, err } = await mhc(["target-test", "./float32.js", "--only", "digits,sublayer"]);
    expect([code, err]).toEqual([0, ""]);
    expect(out.replace(/\d\.\de-\d/g, "#")).toMatchInlineSnapshot(`
      "float32 (JavaScript in f32) beside javascript
                                                           differ by  allowed
        ok      sublayer     20 kernels                       #   #
        ok      digits       15 kernels                       #   #
        ok      digits       10 steps, their losses           #   #
        ok      digits       10 steps again, the same bits
      all 4 pass
      "
    `);
  });

  it("fails one whose exp is off, and names the kernel", async () => {
    const { code, out } = await mhc(["target-test", "./wrong.js", "--only", "digits"]);
    expect(code).toBe(1);
    expect(out).toMatch(/^ {2}FAILED {2}digits {7}\d+ kernels .*\n {10}kernel row\w* of train: word \d+ of /m);
    expect(out).toMatch(/^1 of 3 fail$/m);
  });

  it("--json: an object a row, and the verdict; a device of mhc by name", async () => {
    const { code, out } = await mhc(["target-test", "wasm", "--only", "digits", "--steps", "3", "--json"]);
    expect(code).toBe(0);
    const told = rows(out);
    expect(told.map(({ part }) => part)).toEqual(["kernels", "losses", "bits", undefined]);
    expect(told[1]).toMatchObject({ of: "digits", ok: true, count: 3, tolerance: 1e-3, first: null });
    expect(told[3]).toEqual({ device: "wasm", ok: true, passed: 3, failed: 0 });
  });

  it.each<[string, readonly string[], number, RegExp]>([
    [
      "a name that there is not",
      ["tpu"],
      2,
      /target-test tpu: there are native, wasm, webgpu, javascript; .*\.\/tpu\.js/,
    ],
    [
      "a page that there is not",
      ["wasm", "--only", "mnist"],
      2,
      /--only mnist: for wasm there are session, ops, sublayer, .*lean\n/,
    ],
    ["a device that is not here", ["./absent.js"], 3, /float32 cannot be opened: no card in this machine/],
  ])("tells of %s", async (_, args, exit, message) => {
    const { code, out, err } = await mhc(["target-test", ...args]);
    expect([code, out]).toEqual([exit, ""]);
    expect(err).toMatch(message);
  });
});

describe("a module that is no device", () => {
  it.each([
    ["there is no such file", "mine.js", /there is no file .*mine\.js/],
    ["it has no default export", "nothing.js", /its default export is nothing, and no target/],
    ["it cannot be loaded", "broken.js", /broken\.js cannot be loaded: /],
    ["it only prints", "printer.js", /it has no function `open`; a device is \{/],
    ["its name is taken", "taken.js", /its name is `wasm`, which is taken/],
  ])("is told: %s", async (_, file, message) => {
    const told = deviceNamed(join(cwd, file));
    await expect(told).rejects.toThrow(UsageError);
    await expect(told).rejects.toThrow(message);
  });
});

describe("--device with a module", () => {
  it("trains on it, and a sample of the run is one of that device", async () => {
    const train = ["train", "small.mhc", "--steps", "3", "--out", "run", "--json"];
    const own = await mhc([...train, "--device", "./float32.js"]);
    expect(own.code).toBe(0);
    expect(rows(own.out).at(-1)).toMatchObject({ done: true, device: "float32", steps: 3 });
    expect(JSON.parse(readFileSync(join(cwd, "run/run.json"), "utf8"))).toMatchObject({ device: "float32" });
    const wasm = await mhc([...train.with(5, "other"), "--device", "wasm"]);
    const [found, expected] = [own, wasm].map(({ out }) => rows(out).at(-1)!["loss"] as number) as [number, number];
    expect(Math.abs(found - expected) / expected).toBeLessThan(1e-5);
    const sample = await mhc(["sample", "run", "--tokens", "5", "--device", "./float32.js", "--json"]);
    expect(rows(sample.out)[0]).toMatchObject({ text: expect.stringMatching(/^.{5}$/) as string, step: 3 });
  });

  it("times its kernels, verifies and compiles for it", { tags: "slow" }, async () => {
    const bench = await mhc(["bench", "small.mhc", "--device", "./float32.js", "--steps", "1", "--json"]);
    expect(rows(bench.out)[0]).toMatchObject({ device: "float32", adapter: "JavaScript in f32" });
    const verify = await mhc(["verify", "small.mhc", "--device", "./float32.js", "--runs", "2"]);
    expect([verify.code, verify.out]).toEqual([0, expect.stringMatching(/^Small on float32 .*properties hold/s)]);
    const compiled = await mhc(["compile", "small.mhc", "--target", "./float32.js", "-o", "out", "--json"]);
    expect(rows(compiled.out)[0]).toMatchObject({ file: expect.stringMatching(/small\.float32\.js$/) as string });
  });

  it("lists the devices for a name that there is not, and calibrates none of one's own", async () => {
    const { code, err } = await mhc(["train", "small.mhc", "--device", "tpu"]);
    expect([code, err]).toEqual([
      2,
      expect.stringContaining("--device tpu: there are auto, native, wasm, webgpu, javascript; a device of your own"),
    ]);
    const calibrate = await mhc(["devices", "--calibrate", "--device", "./float32.js"]);
    expect([calibrate.code, calibrate.err]).toEqual([2, expect.stringContaining("profiles are of the devices")]);
  });
});
