/**
 * Appends what a training step takes now to docs/benchmarks.jsonl, so that a slow change can be found later:
 *
 *   npm run bench:record [-- --device wasm] [--rounds 3] [specs/moby-dick.mhc …]
 *
 * A line is one page on one device: the median and the least time of a step and the time to compile, of the round whose
 * median was the least, with the date, the commit, Node, the processor and the load of the machine when it began.
 * Lines are comparable where node, cpu and threads agree and the load was low.
 */
import { execFileSync } from "node:child_process";
import { appendFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const RESULTS = join(root, "docs/benchmarks.jsonl");
const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: { device: { type: "string", default: "wasm" }, rounds: { type: "string", default: "3" } },
});
const pages = positionals.length ? positionals : ["specs/moby-dick.mhc", "specs/digits.mhc"];

const run = (command, ...args) => execFileSync(command, args, { cwd: root, encoding: "utf8" }).trim();
const rounded = (ms) => Number(ms.toPrecision(4));

/** What `mhc bench` measured of a page in one round. */
const bench = (page) =>
  JSON.parse(run(process.execPath, "dist/src/cli/main.js", "bench", page, "--device", flags.device, "--json"));

const commit = run("git", "rev-parse", "--short", "HEAD");
const changed = run("git", "status", "--porcelain", "--untracked-files=no") !== "";
for (const page of pages) {
  const load = rounded(loadavg()[0]);
  const rounds = Array.from({ length: Number(flags.rounds) }, () => bench(page));
  const best = rounds.reduce((least, round) => (round.median_ms < least.median_ms ? round : least));
  const line = {
    date: new Date().toISOString().slice(0, 10),
    commit: changed ? `${commit}+` : commit,
    node: process.versions.node,
    cpu: cpus()[0]?.model ?? "unknown",
    load,
    page,
    device: best.device,
    threads: best.threads,
    median_ms: rounded(best.median_ms),
    min_ms: rounded(best.min_ms),
    compile_ms: rounded(best.compile_ms),
  };
  appendFileSync(RESULTS, `${JSON.stringify(line)}\n`);
  console.log(JSON.stringify(line));
}
