/**
 * `npm test` is what each change needs, on every device, each kind of thing once. What takes long (families of kernels
 * on the software GPU, whole trainings, trainings through the command line) has the tag `slow`, also all of a file that
 * says so in its first lines: `npm run test:all` runs that. Without a choice of tags (`npx vitest run --config
 * test/vitest.config.ts test/graph`) both are run.
 *
 * Tests run in forked processes, since the environment that finds SwiftShader must be set before a process starts.
 */
import { spawnSync } from "node:child_process";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";
import { CHEVROTAIN } from "./helpers/chevrotain.js";
import { swiftShaderEnvironment } from "./helpers/swiftshader.js";

Object.assign(process.env, swiftShaderEnvironment());
// Kernels in C are compiled as fast as a compiler can: with the flags of users, tests would take twice as long. Those
// are what test/e2e/specs.slow.test.ts and the kernels of test/codegen are compiled with, and all where CC is set.
if (spawnSync("cc", ["--version"]).status === 0) process.env["CC"] ??= "cc -O0";

const APART = [
  "test/cli/progress.test.ts",
  "test/cli/tuned.test.ts",
  "test/codegen/names.test.ts",
  "test/e2e/half.test.ts",
  "test/e2e/specs.slow.test.ts",
  "test/runtime/allocation.test.ts",
  "test/runtime/devices.test.ts",
  "test/runtime/heap.test.ts",
  "test/runtime/hosts.test.ts",
  "test/runtime/workers.test.ts",
  "test/schedule/skeletons/matmul.test.ts",
  "test/tools/gains.test.ts",
  "test/tools/verify.test.ts",
];
/** The matrix of bundlers takes the network and minutes: `npm run test:bundlers`. */
const MATRIX = "test/bundlers/matrix.test.ts";

/** Files that take minutes. They begin first, so that both workers have something to do to the end. */
const LONG = ["test/schedule/without.slow.test.ts", "test/corpus/digests.test.ts"];

class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isLong = ({ moduleId }: TestSpecification): boolean => LONG.some((path) => moduleId.endsWith(path));
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
  }
}

export default defineConfig({
  resolve: {
    alias: {
      // As one file, since each file of tests loads it anew (0.34 s as 640 modules, 0.06 s as one).
      chevrotain: CHEVROTAIN,
      // A user's file imports the package by its name; here that is the source.
      "mhc-lang/manifolds": fileURLToPath(new URL("../src/manifolds/index.ts", import.meta.url)),
      "mhc-lang/runtime": fileURLToPath(new URL("../runtime/index.ts", import.meta.url)),
      "mhc-lang": fileURLToPath(new URL("../src/index.ts", import.meta.url)),
    },
  },
  test: {
    root: dirname(dirname(fileURLToPath(import.meta.url))),
    // Files share a process, and what it has loaded and compiled: that saves a fifth of the time. Not with those that
    // replace modules or globals, set flags of the engine, or measure memory.
    projects: [
      {
        extends: true,
        test: { name: "shared", isolate: false, include: ["test/**/*.test.ts"], exclude: [...APART, MATRIX] },
      },
      { extends: true, test: { name: "apart", include: APART } },
    ],
    tags: [{ name: "slow", description: "left out by `npm test`, and run by `npm run test:all`", timeout: 300_000 }],
    globalSetup: "test/global.ts",
    sequence: { sequencer: LongFirst },
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
