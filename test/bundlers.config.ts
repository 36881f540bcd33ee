/** The matrix of bundlers (`npm run test:bundlers`), one after the other: each takes all cores. */
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    root: dirname(dirname(fileURLToPath(import.meta.url))),
    include: ["test/bundlers/matrix.test.ts"],
    pool: "forks",
  },
});
