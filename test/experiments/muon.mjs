/**
 * Muon beside AdamW on specs/nanogpt.mhc:   npm run experiment:muon -- --data text.txt [--seeds 3] [--steps 2000]
 *                                           [--out docs/experiments/muon.md]
 *
 * For every seed AdamW (the page as it is) and Muon train in turn, from the same initial values and on the same
 * batches, and every 100 steps the loss on held-out text is measured, on every fourth batch of it: the time that takes
 * does not count. What is told is after how many steps, and how many seconds of training, each is where AdamW ended, as
 * the page has it and with the best of the rates that were tried (--adamw RATE…). Between two measurements the loss is
 * taken for a straight line. With --runs FILE finished runs are kept in that file, and taken from it: what was broken
 * off goes on.
 *
 * npm run experiment:muon -- --data text.txt --rates adamw (or muon) [--rate 1e-3]… --steps 400 only compares rates,
 * with one seed.
 */
import { cpus } from "node:os";
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { readData, sourceFrom } from "../../dist/runtime/node/files.js";
import { load, openDevice } from "../../dist/runtime/index.js";
import { check, compile } from "../../dist/src/compile/compile.js";
import { summarize } from "../../dist/src/tools/statistics.js";
import { table } from "./table.mjs";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const SPEC = "specs/nanogpt.mhc";
/** Steps between two measurements, and one of how many batches of held-out text is taken for them. */
const EVERY = 100;
const SHARE = 4;
const RATES = { adamw: [5e-4, 1e-3, 2e-3, 4e-3, 8e-3], muon: [1e-3, 2e-3, 4e-3, 8e-3, 16e-3, 32e-3] };

const { values: flags } = parseArgs({
  options: {
    data: { type: "string" },
    seeds: { type: "string", default: "3" },
    steps: { type: "string", default: "2000" },
    muon: { type: "string", default: "16e-3" },
    adamw: { type: "string", multiple: true, default: [] },
    rates: { type: "string" },
    rate: { type: "string", multiple: true },
    device: { type: "string", default: "wasm" },
    threads: { type: "string" },
    runs: { type: "string" },
    out: { type: "string" },
    text: { type: "string", default: "the text" },
  },
});
if (!flags.data || (flags.rates && !RATES[flags.rates])) {
  console.error(
    "usage: npm run experiment:muon -- --data text.txt [--text NAME] [--seeds 3] [--steps 2000] [--muon RATE] " +
      "[--adamw RATE]… [--rates adamw|muon] [--rate RATE]… [--device wasm] [--threads N] [--runs FILE] [--out FILE]",
  );
  process.exit(2);
}
const steps = Number(flags.steps);
const page = readFileSync(join(root, SPEC), "utf8");

/**
 * The page's optimizer, and what stands in its place. A rate falls to a tenth of itself by a cosine, as on the page.
 */
const asIs = /adamw\(.*\)$/m.exec(page)[0];
const falling = (rate) => `rate = cosine(${rate}, ${Number((rate / 10).toPrecision(6))}, warmup = 100)`;
const optimizers = {
  adamw: (rate) => `adamw(${falling(rate)}, betas = (0.9, 0.99), decay = 0.1)`,
  muon: (rate) => `muon(${falling(rate)}, betas = (0.9, 0.99), decay = 0.1)`,
};

const device = await openDevice(flags.device, {
  threads: flags.threads === undefined ? undefined : Number(flags.threads),
});

async function planOf(optimizer) {
  const text = page.replace(asIs, optimizer);
  const options = { file: SPEC, set: { "train.steps": `${steps}` } };
  const { model } = check(text, options);
  const [{ name, kind }] = model.data;
  const loaded = await readData({ name, kind, location: resolve(flags.data), features: null }, root);
  const { plan, diagnostics } = await compile(text, {
    ...options,
    facts: { [name]: loaded.facts },
    devices: [device.name],
  });
  if (!plan) throw new Error(diagnostics.map(({ message }) => message).join("\n"));
  return { plan, source: sourceFrom(plan.data[0], loaded) };
}

/** Hold-out losses of one run by step, and the seconds of training until then. */
async function run({ plan, source }, seed) {
  const model = await load(plan, { device, seed });
  const part = {
    ...source,
    *holdout(size) {
      let i = 0;
      for (const batch of source.holdout(size)) if (i++ % SHARE === 0) yield batch;
    },
  };
  const seen = [{ step: 0, seconds: 0, loss: await model.holdout(part) }];
  let seconds = 0;
  for await (const { step, ms } of model.train(source, { steps })) {
    seconds += ms / 1000;
    if (step % EVERY === 0 || step === steps) seen.push({ step, seconds, loss: await model.holdout(part) });
  }
  const whole = await model.holdout(source);
  await model.close();
  return { seen, whole };
}

/** A run that the file has, or a new one, which the file has then. */
async function taken({ name, optimizer, made }, seed) {
  const key = JSON.stringify({ name, optimizer, seed, steps });
  const kept =
    flags.runs && existsSync(flags.runs)
      ? readFileSync(flags.runs, "utf8")
          .trim()
          .split("\n")
          .map((line) => JSON.parse(line))
      : [];
  const found = kept.find((one) => one.key === key);
  if (found) return found;
  const { seen, whole } = await run(made, seed);
  if (flags.runs) appendFileSync(flags.runs, `${JSON.stringify({ key, seen, whole })}\n`);
  return { seen, whole };
}

/** Where the losses first come down to `mark`: steps and seconds; null when they do not. */
function reached(seen, mark) {
  const at = seen.findIndex(({ loss }) => loss <= mark);
  if (at <= 0) return null;
  const [before, after] = [seen[at - 1], seen[at]];
  const share = (before.loss - mark) / (before.loss - after.loss);
  return {
    steps: before.step + share * (after.step - before.step),
    seconds: before.seconds + share * (after.seconds - before.seconds),
  };
}

const seedOf = (i) => 1337 + i;
const number = (value, digits) =>
  value === null
    ? "never"
    : value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const spread = (values, digits) => {
  const known = values.filter((value) => value !== null).length;
  if (known < values.length) return known === 0 ? "never" : `${known} of ${values.length} runs`;
  const { mean, deviation } = summarize(values);
  return deviation === null ? number(mean, digits) : `${number(mean, digits)} ± ${number(deviation, digits)}`;
};

if (flags.rates) {
  const rows = [];
  for (const rate of flags.rate?.map(Number) ?? RATES[flags.rates]) {
    const { seen, whole } = await run(await planOf(optimizers[flags.rates](rate)), seedOf(0));
    rows.push([
      flags.rates,
      rate,
      ...[0.5, 1].map((share) => number(seen.find(({ step }) => step >= share * steps).loss, 3)),
      number(whole, 4),
    ]);
    console.log(rows.at(-1).join("  "));
  }
  const head = ["optimizer", "rate", `hold-out loss after ${steps / 2} steps`, `after ${steps}`, "on all of it"];
  console.log(`\n${table(head, rows)}`);
  await device.close();
  process.exit(0);
}

const contestants = [
  { name: "AdamW, as the page has it", optimizer: asIs, mark: true },
  ...flags.adamw.map((rate) => ({
    name: `AdamW, rate ${rate}`,
    optimizer: optimizers.adamw(Number(rate)),
    mark: true,
  })),
  { name: `Muon, rate ${flags.muon}`, optimizer: optimizers.muon(Number(flags.muon)), mark: false },
].map((one) => ({ ...one, runs: [] }));
for (const one of contestants) one.made = await planOf(one.optimizer);
for (let i = 0; i < Number(flags.seeds); i++) {
  for (const one of contestants) {
    one.runs.push(await taken(one, seedOf(i)));
    const { seen, whole } = one.runs.at(-1);
    const there = reached(seen, contestants[0].runs[i].seen.at(-1).loss);
    console.error(
      `seed ${seedOf(i)}, ${one.name}: ${seen.at(-1).seconds.toFixed(1)} s, hold-out ` +
        `${seen.at(-1).loss.toFixed(4)} (all: ${whole.toFixed(4)}), at the mark after ` +
        `${there ? `${there.steps.toFixed(0)} steps, ${there.seconds.toFixed(1)} s` : "no step"}`,
    );
  }
}
await device.close();

/** Where every run of a contestant was when its loss was that at which the marked one ended, seed by seed. */
const marks = contestants.filter(({ mark }) => mark);
const reachedEnds = ({ runs }, mark) => runs.map(({ seen }, i) => reached(seen, mark.runs[i].seen.at(-1).loss));
const summary = contestants.map((one) => [
  one.name,
  spread(
    one.runs.map(({ whole }) => whole),
    4,
  ),
  ...marks.flatMap((mark) =>
    ["steps", "seconds"].map((what) =>
      spread(
        reachedEnds(one, mark).map((at) => at && at[what]),
        what === "steps" ? 0 : 1,
      ),
    ),
  ),
  spread(
    one.runs.map(({ seen }) => (1000 * seen.at(-1).seconds) / steps),
    1,
  ),
]);
const toMarks = marks.flatMap(({ name }) => [`steps to where "${name}" ended`, "seconds"]);
const bySeed = contestants.flatMap((one) =>
  one.runs.map(({ seen, whole }, i) => [
    seedOf(i),
    one.name,
    number(whole, 4),
    ...marks
      .map((mark) => reachedEnds(one, mark)[i])
      .flatMap((at) => [number(at && at.steps, 0), number(at && at.seconds, 1)]),
    number(seen.at(-1).seconds, 1),
  ]),
);
const curve = contestants[0].runs[0].seen.map(({ step }, k) => [
  step,
  ...contestants.map(({ runs }) =>
    spread(
      runs.map(({ seen }) => seen[k].loss),
      3,
    ),
  ),
]);
const command = `npm run experiment:muon -- ${process.argv
  .slice(2)
  .map((word, i, all) => (all[i - 1] === "--data" ? "text.txt" : /\s/.test(word) ? JSON.stringify(word) : word))
  .join(" ")}`;
const host = `Node ${process.versions.node}, ${cpus().length} cores (${cpus()[0].model.trim()})`;
const what = `${flags.seeds} seeds, ${steps} steps of 12 x 64 characters of ${flags.text}`;
const report = `## Measured

${what}; ${device.name} (${device.adapter}), ${host}.
Mean ± deviation of the sample. Marks are the hold-out losses at which AdamW ended with the same seed.

    ${command}

${table(["optimizer", "hold-out loss at the end, nats a character", ...toMarks, "ms a step"], summary)}

By seed:

${table(["seed", "optimizer", "hold-out loss at the end", ...toMarks, "seconds in all"], bySeed)}

On the way (a quarter of the held-out text):

${table(["step", ...contestants.map(({ name }) => name)], curve)}

${contestants.map(({ name, optimizer }) => `- ${name}: \`${optimizer}\``).join("\n")}
`;
if (flags.out) {
  // What stands before the figures is written by hand, and stays.
  let before = "";
  try {
    before = readFileSync(flags.out, "utf8").split("## Measured")[0];
  } catch {
    mkdirSync(dirname(resolve(flags.out)), { recursive: true });
  }
  writeFileSync(flags.out, `${before}${report}`);
}
console.log(report);
