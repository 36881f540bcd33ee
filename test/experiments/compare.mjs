/**
 * Long comparisons whose results are kept in docs/experiments/:   npm run experiment -- connections --data
 *                                                                 shakespeare.txt [--out FOLDER]
 *
 * Trains by `mhc compare`, which goes on where an earlier call was broken off when it is given the same --out, and puts
 * tables of what the runs' folders say between the marks of the page of that name. Steps are timed afterwards, by `mhc
 * bench`, spec by spec in turns, so that times are of one hour. What is around the tables is written by hand.
 */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { medianOf, summarize } from "../../dist/src/tools/statistics.js";
import { table } from "./table.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const root = dirname(dirname(here));

const EXPERIMENTS = {
  connections: {
    specs: ["residual", "hc", "identity", "mhc"].map((name) => `test/experiments/connections/${name}.mhc`),
    seeds: 5,
    at: [50, 100, 200, 400],
  },
  "deep-narrow": {
    specs: ["test/experiments/deep-narrow/hc.mhc", "test/experiments/deep-narrow/free.mhc", "specs/deep-narrow.mhc"],
    seeds: 3,
    steps: 400,
    at: [50, 100, 200, 400],
  },
};

const {
  values: flags,
  positionals: [name],
} = parseArgs({
  allowPositionals: true,
  options: {
    data: { type: "string" },
    out: { type: "string" },
    seeds: { type: "string" },
    threads: { type: "string" },
  },
});
const experiment = EXPERIMENTS[name];
if (!experiment) throw new Error(`name one of ${Object.keys(EXPERIMENTS).join(", ")}`);

const out = flags.out ?? join("runs", name);
const args = [
  "compare",
  ...experiment.specs,
  "--seeds",
  flags.seeds ?? `${experiment.seeds}`,
  "--device",
  "wasm",
  ...(experiment.steps ? ["--steps", `${experiment.steps}`] : []),
  ...(flags.threads ? ["--threads", flags.threads] : []),
  ...(flags.data ? ["--data", flags.data] : []),
  "--out",
  out,
];
const cli = join(root, "dist/src/cli/main.js");
const { status } = spawnSync(process.execPath, [cli, ...args], { cwd: root, stdio: "inherit" });
if (status !== 0) process.exit(status ?? 1);

const { specs, seeds } = JSON.parse(readFileSync(join(root, out, "comparison.json"), "utf8"));

/** Milliseconds of a step: the medians of three rounds over all specs. */
const times = experiment.specs.map(() => []);
for (let round = 0; round < 3; round++) {
  experiment.specs.forEach((spec, i) => {
    const { stdout } = spawnSync(
      process.execPath,
      [
        cli,
        "bench",
        spec,
        "--device",
        "wasm",
        "--steps",
        "15",
        "--json",
        ...(flags.data ? ["--data", flags.data] : []),
      ],
      { cwd: root, encoding: "utf8" },
    );
    times[i].push(JSON.parse(stdout.trim().split("\n").at(-1)).median_ms);
  });
}
const lines = (run) =>
  readFileSync(join(root, run.folder, "metrics.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
const figure = (value, digits) => (value >= 1000 ? value.toExponential(1) : value.toFixed(digits));
const said = (found, digits) => {
  if (!found) return "–";
  const mean = figure(found.mean, digits);
  if (found.deviation === null) return mean;
  const [low, high] = found.interval.map((end) => figure(end, digits));
  return `${mean} ± ${figure(found.deviation, digits)} [${low}, ${high}]`;
};
/** Seed by seed: gains are spread over decades, where a deviation says nothing. */
const each = (found) =>
  found
    ? found.values
        .map((value) =>
          value === null
            ? "–"
            : value >= 100
              ? Math.round(value).toLocaleString("en")
              : value.toFixed(value >= 10 ? 1 : 4),
        )
        .join(", ")
    : "–";

/** A monitor over the seeds: at a step, or its largest over the run. */
function monitored(runs, kind, step) {
  const values = runs.map((run) => {
    const seen = lines(run).flatMap((line) =>
      line.monitors?.[kind] !== undefined && (step === null || line.step === step) ? [line.monitors[kind]] : [],
    );
    return seen.length ? Math.max(...seen) : null;
  });
  return summarize(values);
}

const main = table(
  [
    "spec",
    "parameters",
    "hold-out loss",
    `less that of ${specs[0].spec}`,
    "ms a step",
    "gain forward, at the end",
    "gain backward, at the end",
  ],
  specs.map(({ spec, parameters, holdout, difference, runs }, i) => {
    const last = Math.max(...lines(runs[0]).flatMap((line) => (line.monitors ? [line.step] : [])));
    return [
      spec,
      parameters.toLocaleString("en"),
      said(holdout, 4),
      said(difference, 4),
      medianOf(times[i]).toFixed(0),
      each(monitored(runs, "gain:x:forward", last)),
      each(monitored(runs, "gain:x:backward", last)),
    ];
  }),
);
const mixing = specs.filter(({ runs }) => monitored(runs, "gain:x:forward", null));
const over = table(
  ["spec", "direction", ...experiment.at.map((step) => `step ${step}`), "largest"],
  mixing.flatMap(({ spec, runs }) =>
    ["forward", "backward"].map((direction) => [
      spec,
      direction,
      ...[...experiment.at, null].map((step) => each(monitored(runs, `gain:x:${direction}`, step))),
    ]),
  ),
);
const columns = table(
  ["spec", "largest abs(log column sum)", "entropy of a row (nats)", "second singular value", "diversity of lanes"],
  mixing.map(({ spec, runs }) => [
    spec,
    said(monitored(runs, "columns:x", null), 4),
    ...["entropy", "second", "diversity"].map((kind) => said(monitored(runs, `${kind}:x`, experiment.at.at(-1)), 3)),
  ]),
);

const page = join(root, "docs", "experiments", `${name}.md`);
const text = readFileSync(page, "utf8");
const tables =
  `Mean ± sample deviation [95% confidence interval, Student's t] over seeds ${seeds.join(", ")}; gains seed by ` +
  `seed.\n\n${main}\n\nGains while training:\n\n${over}\n\nWhat the mixes are like (column sums: the worst of ` +
  `the run; the others at the end):\n\n${columns}`;
writeFileSync(
  page,
  text.replace(/(<!-- tables -->)[\s\S]*(<!-- end -->)/, (_, before, after) => `${before}\n\n${tables}\n\n${after}`),
);
console.log(`\n${tables}\n\nwritten to ${page}`);
