/**
 * The folders of examples/ do what their README says: its commands are run there, with the package as it is built. What
 * they write is in folders that git ignores.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { checkSet, type ConvexSet } from "../src/manifolds/index.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const mhc = join(root, "dist/src/cli/main.js");
const tsc = join(root, "node_modules/typescript/bin/tsc");
const scratch = mkdtempSync(join(tmpdir(), "mhc-examples-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Runs a script of Node in the folder of an example; what it prints. */
const runIn =
  (example: string) =>
  (script: string, ...args: readonly string[]): string =>
    execFileSync(process.execPath, [script, ...args], { cwd: join(root, "examples", example), encoding: "utf8" });

describe("own-set", () => {
  const run = runIn("own-set");

  it("keeps the laws of the built-in sets", async () => {
    const file = pathToFileURL(join(root, "examples/own-set/zero_sum.js")).href;
    const { default: set } = (await import(/* @vite-ignore */ file)) as { readonly default: ConvexSet };
    expect(checkSet(set)).toEqual([]);
  });

  it("is used by a page that trains, and stays on its set", () => {
    expect(run(mhc, "check", "bigram.mhc")).toContain("bigram.mhc is right");
    const trained = run(mhc, "train", "bigram.mhc", "--device", "wasm", "--out", join(scratch, "run"), "--json");
    const steps = trained.split("\n").flatMap((row) => {
      const { loss, constraints } = (row ? JSON.parse(row) : {}) as Step;
      return loss === undefined || !constraints ? [] : [{ loss, off: Object.values(constraints)[0] ?? Number.NaN }];
    });
    expect(steps.length).toBeGreaterThan(1);
    expect(steps.at(-1)?.loss).toBeLessThan(2.2);
    expect(Math.max(...steps.map(({ off }) => off))).toBeLessThan(1e-3);
  });
});

describe("c-target", () => {
  it("prints kernels and a program", () => {
    const out = join(scratch, "c");
    const targets = "./kernels.js,./program.js";
    runIn("c-target")(mhc, "compile", "../../specs/sublayer.mhc", "--target", targets, "-o", out);
    expect(readFileSync(join(out, "sublayer.c"), "utf8")).toMatch(/^void k0\(const Pools \*pools/m);
    expect(readFileSync(join(out, "sublayer.main.c"), "utf8")).toContain("int main(");
  });

  // A bare machine may have no compiler of C.
  it.skipIf(spawnSync("cc", ["--version"]).status !== 0)("gives the numbers of JavaScript", () => {
    const said = runIn("c-target")("check.js", "../../specs/sublayer.mhc", join(scratch, "program"));
    expect(Number(/^160 numbers, the largest difference is (\S+)$/m.exec(said)?.[1])).toBeLessThan(2e-6);
  });
});

it("own-device is compiled, and passes the tests of devices", () => {
  const run = runIn("own-device");
  run(tsc, "-p", ".");
  const [verdict] = run(mhc, "target-test", "build/float32.js", "--only", "sublayer", "--json")
    .trim()
    .split("\n")
    .slice(-1);
  expect(JSON.parse(verdict ?? "")).toEqual({ device: "float32", ok: true, passed: 1, failed: 0 });
});

it("training-loop stops where the hold-out loss is least, and continues a text", () => {
  const run = runIn("training-loop");
  run(mhc, "compile", "little.mhc", "-o", "generated");
  run(tsc, "-p", ".");
  const said = run("build/main.js");
  expect(Number(/^the best was step \d+: (\S+) nats a character$/m.exec(said)?.[1])).toBeLessThan(2.3);
  expect(said).toMatch(/^And if /m);
});

/** What a line of `mhc train --json` says of a step. */
interface Step {
  readonly loss?: number;
  readonly constraints?: Readonly<Record<string, number>>;
}
