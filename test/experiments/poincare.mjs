// npm run experiment:poincare [-- --seeds 3 --seconds 500 --width 2]: specs/poincare.mhc in the Poincaré ball and in
// Euclidean space, at 2 and 5 dimensions; how well the learned points tell what is a kind of what; the tables of
// docs/experiments/poincare.md. Needs the data (`npm run data:mammals`) and a build.
//
// Every space and dimension has the rate that gives the best MAP with the first seed, of three that span a factor of
// 15; the other seeds are trained at that rate. Data, batches, negatives, steps and start are the same for all.
// Finished runs are kept in runs/poincare/results.jsonl and not made again, so that what is broken off, or ends after
// so many seconds, goes on.
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { load, namesOf, NumericError, openDevice, pairsSource, parsePairs } from "../../dist/runtime/index.js";
import { compile } from "../../dist/src/compile/compile.js";
import { euclidean, poincare, reconstruction } from "./reconstruction.mjs";
import { summarize } from "../../dist/src/tools/statistics.js";
import { table } from "./table.mjs";

const here = (path) => new URL(`../../${path}`, import.meta.url);
const option = (name, otherwise) => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? otherwise : Number(process.argv[at + 1]);
};
const seeds = Array.from({ length: option("seeds", 3) }, (_, i) => i + 1);
const seconds = option("seconds", Number.POSITIVE_INFINITY);

/**
 * `power`: of distances in the loss. The published Euclidean baseline takes squares, which are steeper, and so has
 * lower rates.
 */
const ARMS = [
  { name: "Poincaré ball", space: "hyperbolic", power: 1, rates: [4, 15, 60] },
  { name: "Euclidean", space: "euclidean", power: 1, rates: [4, 15, 60] },
  { name: "Euclidean, squares", space: "euclidean", power: 2, rates: [1, 4, 15] },
].flatMap((arm) => [2, 5].map((width) => ({ ...arm, width })));

const page = readFileSync(here("specs/poincare.mhc"), "utf8");
const data = here("specs/data/mammals.tsv");
if (!existsSync(data)) {
  console.error("error: there is no specs/data/mammals.tsv\n  run `npm run data:mammals`");
  process.exit(1);
}
const pairs = parsePairs(readFileSync(data, "utf8"), "specs/data/mammals.tsv");
const names = namesOf(pairs);
const rows = new Map(names.map((name, i) => [name, i]));
const numbered = pairs.map((pair) => pair.map((name) => rows.get(name)));
const kept = here("runs/poincare/results.jsonl");
mkdirSync(here("runs/poincare/"), { recursive: true });
const results = existsSync(kept)
  ? readFileSync(kept, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line))
  : [];

const textOf = (rate) => page.replace(/rate = linear\(\S+, /, `rate = linear(${rate}, `);
/** Runs of one key are the same run. */
const keyOf = ({ space, power, width }, rate, seed) =>
  JSON.stringify({ text: textOf(rate), space, power, width, seed, pairs: pairs.length });
const found = (arm, rate, seed) => results.find(({ key }) => key === keyOf(arm, rate, seed));

// A step has work for one thread; two of these commands may run at once, one for each width.
const device = await openDevice("wasm", { threads: 1 });
const begun = performance.now();

async function run(arm, rate, seed) {
  const before = found(arm, rate, seed);
  if (before) return before;
  if (performance.now() - begun > 1000 * seconds) {
    console.log("the time is up; run it again to go on");
    process.exit(0);
  }
  const { plan, diagnostics } = await compile(textOf(rate), {
    file: "poincare.mhc",
    devices: ["wasm"],
    facts: { mammals: { names } },
    set: { Space: arm.space, width: `${arm.width}`, power: `${arm.power}` },
  });
  if (!plan) throw new Error(diagnostics.map(({ message }) => message).join("\n"));
  const model = await load(plan, { device, seed });
  const source = pairsSource(plan.data[0], pairs);
  const started = performance.now();
  const about = { key: keyOf(arm, rate, seed), name: arm.name, width: arm.width, rate, seed };
  let result;
  try {
    for await (const _ of model.train(source));
    const took = (performance.now() - started) / 1000;
    const values = await model.parameters().point.get();
    const points = names.map((_, i) => [...values.subarray(i * arm.width, (i + 1) * arm.width)]);
    result = {
      ...about,
      seconds: took,
      loss: await model.holdout(source),
      ...reconstruction(points, numbered, arm.space === "hyperbolic" ? poincare : euclidean),
    };
  } catch (error) {
    // A rate that is too high is a result.
    if (!(error instanceof NumericError)) throw error;
    result = { ...about, seconds: 0, loss: null, rank: names.length, map: 0 };
  }
  await model.close();
  results.push(result);
  appendFileSync(kept, `${JSON.stringify(result)}\n`);
  console.log(
    `${arm.name}, ${arm.width} dimensions, rate ${rate}, seed ${seed}: ` +
      `${result.loss === null ? "diverged" : "trained"}, mean rank ${result.rank.toFixed(2)}, MAP ` +
      `${result.map.toFixed(3)} (${result.seconds.toFixed(0)} s)`,
  );
  return result;
}

/** The runs of the first seed, by rate, and those of all seeds at the best of them. */
const tuned = [];
for (const arm of ARMS.filter(({ width }) => width === option("width", width))) {
  const tried = [];
  for (const rate of arm.rates) tried.push(await run(arm, rate, seeds[0]));
  const best = tried.reduce((a, b) => (b.map > a.map ? b : a));
  const runs = [];
  for (const seed of seeds) runs.push(await run(arm, best.rate, seed));
  tuned.push({ arm, tried, best, runs });
}
await device.close();
if (tuned.length < ARMS.length) process.exit(0);

/** Mean and sample deviation over the seeds. */
const words = (list, digits) => {
  const { mean, deviation } = summarize(list);
  return `${mean.toFixed(digits)} ± ${(deviation ?? 0).toFixed(digits)}`;
};
const figures = table(
  ["space", "dimensions", "mean rank", "MAP", "loss, nats a pair", "best rate", "MAP at the rates tried, seed 1"],
  tuned.map(({ arm, tried, best, runs }) => {
    const of = (what, digits) =>
      words(
        runs.map((result) => result[what]),
        digits,
      );
    return [
      arm.name,
      arm.width,
      of("rank", 2),
      of("map", 3),
      of("loss", 3),
      best.rate,
      tried.map(({ rate, map, loss }) => `${rate}: ${loss === null ? "diverged" : map.toFixed(3)}`).join(", "),
    ];
  }),
);
const all = tuned.flatMap(({ runs }) => runs).map((result) => result.seconds);
console.log(`\n${figures}\n\na run takes ${Math.min(...all).toFixed(0)} to ${Math.max(...all).toFixed(0)} s`);
const file = here("docs/experiments/poincare.md");
writeFileSync(
  file,
  readFileSync(file, "utf8").replace(
    /(<!-- figures -->\n)[^]*?(\n<!-- end -->)/,
    (_, head, tail) => `${head}${figures}${tail}`,
  ),
);
