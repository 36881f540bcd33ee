/**
 * What a budget saves, beside the other ways to the same energy:   npm run experiment:lean -- [--seeds 3] [--first
 *                                                                  1337] [--out runs/lean] [--data text.txt] [--report
 *                                                                  docs/experiments/lean.md]
 *
 * At 8 layers and width 192, on the text of the pages: the dense model; the page with a budget (specs/lean.mhc: gates,
 * compiled smaller on the way); what that ended with, trained from its start, seed by seed; a dense model of half the
 * layers; and the dense model pruned by magnitude half-way. Each run is one `mhc train` with a folder of its own; those
 * that are there already are taken. Afterwards steps are timed by `mhc bench`, in turns. Seconds are those of the
 * steps, the change of plans included, evaluations not. Writes a page with plots (OUT/report.html) and, between the
 * marks of the report, the table, with a picture beside it.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { outcomeOf, tabulate } from "../../dist/src/tools/outcomes.js";
import { gainMonitors } from "../../dist/src/tools/gains.js";
import { finishedLines, readRun } from "../../dist/src/tools/run.js";
import { lineChart, rowChart } from "../../dist/src/tools/plot.js";
import { LOSSES, page as reportPage, rowsOf, seriesOf } from "../../dist/src/tools/comparison-page.js";
import { medianOf, summarize } from "../../dist/src/tools/statistics.js";
import { compile } from "../../dist/src/compile/compile.js";
import { modelledStep } from "../../dist/src/tools/modelled.js";
import { picture } from "./picture.mjs";
import { table } from "./table.mjs";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const cli = join(root, "dist/src/cli/main.js");
const { values: flags } = parseArgs({
  options: {
    seeds: { type: "string", default: "3" },
    first: { type: "string", default: "1337" },
    out: { type: "string", default: "runs/lean" },
    data: { type: "string" },
    report: { type: "string" },
    set: { type: "string", multiple: true, default: ["layers=8", "width=192"] },
    evaluate: { type: "string", default: "250" },
    rounds: { type: "string", default: "3" },
    cost: { type: "string", multiple: true, default: [] },
    only: { type: "string", multiple: true },
  },
});
const seeds = Array.from({ length: Number(flags.seeds) }, (_, i) => Number(flags.first) + i);
const set = flags.set.flatMap((one) => ["--set", one]);
/** Settings of the pages that have a budget: --cost energy=30% */
const thrifty = [...set, ...flags.cost.flatMap((one) => ["--set", `cost.${one}`])];
const half = flags.set
  .map((one) => one.replace(/^layers=(\d+)$/, (_, n) => `layers=${n / 2}`))
  .flatMap((one) => ["--set", one]);
const data = flags.data ? ["--data", flags.data] : [];
const folderOf = (name, seed) => join(root, flags.out, `${name}-seed-${seed}`);

/** In the order in which a seed is run: the third needs the second. */
const CONTENDERS = [
  { name: "dense", spec: "specs/moby-dick.mhc", set },
  { name: "gates", spec: "specs/lean.mhc", set: thrifty },
  { name: "the same from scratch", spec: "specs/lean.mhc", set: thrifty, like: "gates" },
  { name: "half the layers", spec: "specs/moby-dick.mhc", set: half },
  { name: "magnitude", spec: "test/experiments/lean/pruned.mhc", set: thrifty },
].filter(({ name }) => !flags.only || flags.only.includes(name));

const run = (args) => {
  const { status, stdout } = spawnSync(process.execPath, [cli, ...args], {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
    maxBuffer: 1 << 28,
  });
  if (status !== 0) throw new Error(`mhc ${args.join(" ")} ended with ${status}`);
  return stdout;
};

for (const seed of seeds) {
  for (const { name, spec, set: own, like } of CONTENDERS) {
    const folder = folderOf(name, seed);
    if (finishedLines(folder)) continue;
    rmSync(folder, { recursive: true, force: true });
    run([
      "train",
      spec,
      "--device",
      "wasm",
      "--seed",
      `${seed}`,
      "--evaluate",
      flags.evaluate,
      "--monitor",
      "0",
      "--out",
      folder,
      ...own,
      ...data,
      ...(like ? ["--like", folderOf(like, seed)] : []),
    ]);
    const { steps, holdout, seconds } = finishedLines(folder).at(-1);
    console.log(
      `${name}, seed ${seed}: hold-out loss ${holdout.toFixed(4)} after ${steps} steps, ${seconds.toFixed(0)} ` +
        "s with evaluations",
    );
  }
}

/** What each step takes at the start, modelled: from the page as it was compiled. */
async function contender({ name, spec, set: own, like }) {
  const { info, spec: text } = readRun(folderOf(name, seeds[0]));
  const settings = Object.fromEntries(own.filter((word) => word !== "--set").map((word) => word.split("=")));
  const { plan, accounts } = await compile(text, {
    file: spec,
    set: settings,
    facts: info.facts,
    devices: ["wasm"],
    ...(like ? { shrunk: info.shrunk } : {}),
  });
  return { name, text, plan, joules: modelledStep(plan, "wasm", accounts)?.joules ?? null };
}

const outcomes = new Map();
for (const one of CONTENDERS) {
  const compiled = await contender(one);
  const gains = gainMonitors(compiled.plan);
  outcomes.set(
    compiled,
    seeds.map((seed) => outcomeOf(seed, folderOf(one.name, seed), finishedLines(folderOf(one.name, seed)), gains)),
  );
}
const compared = tabulate(outcomes);

/** Milliseconds of a step at the end, timed in turns: medians of the rounds' medians, seed by seed. */
const times = new Map(CONTENDERS.map(({ name }) => [name, seeds.map(() => [])]));
for (let round = 0; round < Number(flags.rounds); round++) {
  seeds.forEach((seed, i) => {
    for (const { name, spec, set: own } of CONTENDERS) {
      const { info } = readRun(folderOf(name, seed));
      const what = info.shrunk ? ["--like", folderOf(name, seed)] : [];
      times.get(name)[i].push(
        JSON.parse(
          run(["bench", spec, "--device", "wasm", "--steps", "15", "--json", ...own, ...data, ...what])
            .trim()
            .split("\n")
            .at(-1),
        ).median_ms,
      );
    }
  });
}
const ms = new Map([...times].map(([name, rounds]) => [name, summarize(rounds.map(medianOf))]));

const [dense] = compared;
const total = (spec) => summarize(spec.runs.map(({ losses }) => losses.at(-1).seconds));
const said = (found, figure) =>
  found ? `${figure(found.mean)}${found.deviation === null ? "" : ` ± ${figure(found.deviation)}`}` : "–";
/** Seed by seed, as a part of the dense model's. */
const part = (own, whole) =>
  summarize(
    own.values.map((value, i) => (value === null || whole.values[i] === null ? null : value / whole.values[i])),
  );
const percent = (found) =>
  found
    ? said(found, (value) => `${(100 * value).toFixed(1)}%`) +
      (found.values.includes(null)
        ? ` (${found.values.filter((value) => value !== null).length} of ${found.values.length})`
        : "")
    : "never";
/** What a run ended with; one from scratch is, seed by seed, what the run that it is like ended with. */
const ended = new Map(
  CONTENDERS.map(({ name, like }) => [
    name,
    compared.find(({ spec }) => spec === like) ?? compared.find(({ spec }) => spec === name),
  ]),
);
const rows = compared.map((spec) => [
  spec.spec,
  said(
    ended.get(spec.spec).left ?? summarize(spec.runs.map(() => spec.parameters)),
    (value) => `${(value / 1e6).toFixed(2)} M`,
  ),
  said(ended.get(spec.spec).joules, (value) => value.toFixed(3)),
  percent(part(ended.get(spec.spec).joules, dense.joules)),
  said(ms.get(spec.spec), (value) => value.toFixed(0)),
  percent(part(ms.get(spec.spec), ms.get("dense"))),
  said(spec.holdout, (value) => value.toFixed(4)),
  percent(part(spec.holdout, dense.holdout)),
  said(total(spec), (value) => value.toFixed(0)),
  percent(part(total(spec), total(dense))),
  spec === dense ? "–" : percent(spec.reached && part(spec.reached, total(dense))),
]);
const head = [
  "model",
  "parameters at the end",
  "J a step, modelled",
  "of dense",
  "ms a step at the end",
  "of dense",
  "hold-out loss",
  "of dense",
  "seconds",
  "of dense",
  "to the dense model's loss",
];
const text =
  `${table(head, rows)}\n\n${seeds.length} seeds (${seeds.join(", ")}), mean ± sample deviation; parts of the dense ` +
  `model are taken seed by seed. Measured: ${cpus()[0].model}, Node ${process.versions.node}, ` +
  `${new Date().toISOString().slice(0, 10)}, WebAssembly SIMD, 2 threads.`;
console.log(text);
const command = `npm run experiment:lean -- ${process.argv.slice(2).join(" ")}`.trim();
writeFileSync(
  join(root, flags.out, "report.html"),
  reportPage(
    { specs: compared, seeds, budget: {}, device: "wasm", adapter: "WebAssembly SIMD", notes: [] },
    {
      command,
      version: JSON.parse(readFileSync(join(root, "package.json"), "utf8")).version,
      time: new Date().toISOString().slice(0, 16).replace("T", " "),
      unit: "nats a character",
    },
  ),
);
if (flags.report && existsSync(flags.report)) {
  const before = readFileSync(flags.report, "utf8");
  const marks = ["<!-- table -->", "<!-- end -->"];
  if (!marks.every((mark) => before.includes(mark)))
    throw new Error(`${flags.report} has no marks ${marks.join(" and ")}`);
  writeFileSync(
    flags.report,
    before.replace(/<!-- table -->[^]*<!-- end -->/, () => `${marks[0]}\n\n${text}\n\n${marks[1]}`),
  );
  // Means only, where losses are close together: five contenders with all of their seeds would hide each other.
  const series = seriesOf(compared, LOSSES, true).map((one) => ({ ...one, lines: [] }));
  const figure = (value) => value.toFixed(3);
  writeFileSync(
    flags.report.replace(/\.md$/, ".svg"),
    picture(
      "Losses over time, losses at the end, and what a step takes then",
      compared.map(({ spec }) => spec),
      [
        {
          title: "Loss over the seconds of training, mean of the seeds; dots: hold-out losses",
          svg: lineChart({
            id: "time",
            label: "loss over seconds",
            x: "seconds of training",
            y: "nats a character",
            series,
            ceiling: 2.4,
          }),
        },
        {
          title: "Hold-out loss at the end: seeds, mean, 95% confidence interval",
          svg: rowChart({
            label: "hold-out loss",
            x: "nats a character",
            rows: rowsOf(compared, {
              of: ({ holdout }) => holdout,
              whisker: "interval",
              figure,
              unit: "nats a character",
            }),
            kind: "dots",
          }),
        },
        {
          title: "A step at the end, timed in turns: mean, one deviation",
          svg: rowChart({
            label: "milliseconds a step",
            x: "milliseconds",
            rows: rowsOf(compared, { of: ({ spec }) => ms.get(spec), whisker: "deviation", figure, unit: "ms" }),
            kind: "bars",
          }),
        },
        {
          title: "Energy of a step at the end, modelled: mean, one deviation",
          svg: rowChart({
            label: "joules a step",
            x: "joules",
            rows: rowsOf(compared, {
              of: ({ spec }) => ended.get(spec).joules,
              whisker: "deviation",
              figure,
              unit: "J",
            }),
            kind: "bars",
          }),
        },
      ],
    ),
  );
}
