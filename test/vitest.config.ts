/**
 * `npm test`: what each change needs, on every device, each kind of thing once. What takes long (families of kernels on
 * the software GPU, whole trainings, trainings through the command line) is in files `*.slow.test.ts`, which
 * `npm run test:all` runs (`slow.config.ts`).
 *
 * Tests run in forked processes, since the environment that finds SwiftShader must be set before a process starts.
 */
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { swiftShaderEnvironment } from "./helpers/swiftshader.js";

Object.assign(process.env, swiftShaderEnvironment());

export default defineConfig({
  // A user's file imports the package by its name; here that is the source.
  resolve: {
    alias: {
      "mhc-lang/manifolds": fileURLToPath(new URL("../src/manifolds/index.ts", import.meta.url)),
      "mhc-lang": fileURLToPath(new URL("../src/index.ts", import.meta.url)),
    },
  },
  test: {
    root: dirname(dirname(fileURLToPath(import.meta.url))),
    include: ["test/**/*.test.ts"],
    // The matrix of bundlers takes the network and minutes: `npm run test:bundlers`.
    exclude: ["test/**/*.slow.test.ts", "test/bundlers/matrix.test.ts"],
    globalSetup: "test/global.ts",
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
