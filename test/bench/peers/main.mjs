/**
 * Our training step beside what a user would pick instead, side by side in one run, with as many threads on both sides:
 *
 *   PYTHON=…/bin/python npm run bench:peers [-- --rounds 5] [--settings nanogpt,wide] [--threads 1,2]
 *
 *   --rounds N       turns of each contender (5)
 *   --settings LIST  nanogpt, moby-dick, wide, wide-mhc (all)
 *   --threads LIST   numbers of threads (1,2)
 *   --only LIST      families of contenders: native, wasm, torch, torch-avx2, package, jax, jaxjs (all)
 *   --parts LIST     steps, products, first (all)
 *   --node24         our WebAssembly under Node 24 too, which npx downloads
 *   --before DIR     the build in another folder of the project too, as it was before a change
 *   --webgpu         ours and jax-js on WebGPU too
 *   --cache DIR      where what is compiled is kept for the next run (mhc-bench in the user's cache folder)
 *   --json FILE      the figures as JSON too
 *
 * Peers are timed where they are installed: PyTorch, hyper-connections and JAX as the Python that PYTHON names has them
 * (python3), jax-js in the folder that MHC_PEERS names (npm i @jax-js/jax webgpu). One that is not there is left out,
 * and the report says how to install it. Progress is written to stderr, the report, in Markdown, to stdout.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { contendersOf } from "./contenders.mjs";
import { firstSteps } from "./first.mjs";
import { limitsOf } from "./limits.mjs";
import { products } from "./products.mjs";
import { reportOf } from "./report.mjs";
import { SETTINGS } from "./settings.mjs";
import { inTurns } from "./turns.mjs";
import { pythonPeers, versionsOf } from "./versions.mjs";

const ownCache = () => join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "mhc-bench");
const { values: flags } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    settings: { type: "string", default: Object.keys(SETTINGS).join() },
    threads: { type: "string", default: "1,2" },
    only: { type: "string", default: "" },
    parts: { type: "string", default: "steps,products,first" },
    node24: { type: "boolean", default: false },
    before: { type: "string" },
    webgpu: { type: "boolean", default: false },
    cache: { type: "string", default: ownCache() },
    json: { type: "string" },
  },
});

const listOf = (text) => text.split(",").filter(Boolean);

/** The names of a list, each of which must be known. */
function known(list, names, option) {
  const wrong = list.find((name) => !names.includes(name));
  if (wrong === undefined) return list;
  console.error(`error: --${option} ${wrong}: it is one of ${names.join(", ")}`);
  process.exit(2);
}

const begun = performance.now();
const say = (text) => {
  const seconds = Math.round((performance.now() - begun) / 1000);
  console.error(`${`${Math.floor(seconds / 60)}:${`${seconds % 60}`.padStart(2, "0")}`.padStart(6)} ${text}`);
};

const rounds = Math.max(1, Number(flags.rounds) || 1);
const threads = listOf(flags.threads).map(Number);
const settings = known(listOf(flags.settings), Object.keys(SETTINGS), "settings");
const parts = known(listOf(flags.parts), ["steps", "products", "first"], "parts");
const python = process.env.PYTHON || "python3";
const peers = {
  threads,
  python,
  found: pythonPeers(python),
  jaxjs: process.env.MHC_PEERS && resolve(process.env.MHC_PEERS),
  only: listOf(flags.only),
  node24: flags.node24,
  webgpu: flags.webgpu,
  cache: resolve(flags.cache),
  before: flags.before && resolve(flags.before),
};
mkdirSync(peers.cache, { recursive: true });
const results = { versions: versionsOf(peers), rounds, threads, settings: {} };

/** Keeps what there is so far: a run is long, and may be broken off. */
const keep = () => {
  if (!flags.json) return;
  writeFileSync(flags.json, `${JSON.stringify({ ...results, limits: limitsOf(results) }, null, 2)}\n`);
};

for (const name of parts.includes("steps") ? settings : []) {
  const contenders = contendersOf(SETTINGS[name], peers);
  say(`${name}: ${contenders.length} contenders`);
  results.settings[name] = await inTurns(contenders, rounds, say);
  keep();
}
if (parts.includes("products")) results.products = await products(rounds, peers.cache, say);
if (parts.includes("first")) results.first = await firstSteps(rounds, peers, say);
keep();
console.log(reportOf(results));
say("done");
