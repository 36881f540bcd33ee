/**
 * As many random pages, and pages with mistakes, as one likes, and what is wrong with how they are compiled:
 *
 *   npm run fuzz -- --programs 500 --mutations 200000 --seed 3
 *   npm run fuzz -- --programs 500 --seed 3 --shrink    makes a page that fails small, which takes minutes
 *
 * `--programs` are asked of every property and device, `--mutations` of the compiler's front. What fails is printed as
 * the page that it is, with its seed, and the exit status is 1. Without numbers it does what `npm test` does.
 */
import { spawnSync } from "node:child_process";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: {
    programs: { type: "string" },
    mutations: { type: "string" },
    seed: { type: "string" },
    shrink: { type: "boolean" },
  },
});
const { programs, mutations, seed, shrink } = values;
const set = {
  FUZZ_PROGRAMS: programs,
  FUZZ_MUTATIONS: mutations,
  FUZZ_SEED: seed,
  FUZZ_SHRINK: shrink ? "1" : undefined,
};
const files = ["programs", "layout", "mutations"].filter(
  (name) => (programs === undefined && mutations === undefined) || (name === "mutations" ? mutations : programs),
);
const { status } = spawnSync(
  "npx",
  ["vitest", "run", "--config", "test/vitest.config.ts", ...files.map((name) => `test/properties/${name}.test.ts`)],
  {
    cwd: dirname(dirname(fileURLToPath(import.meta.url))),
    stdio: "inherit",
    env: { ...process.env, ...Object.fromEntries(Object.entries(set).filter(([, value]) => value !== undefined)) },
  },
);
process.exitCode = status ?? 1;
