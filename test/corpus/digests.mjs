/**
 * Digests of the plan and the code of every example page on every device: what a change to the compiler's own house
 * must leave as it is.
 *
 *   node test/corpus/digests.mjs             prints them for the compiler that is built here
 *   node test/corpus/digests.mjs --check     compares them with `digests.txt`, and names what differs
 *   node test/corpus/digests.mjs --quick     one of each page and each kind of plan; with --check too
 *   node test/corpus/digests.mjs FOLDER      those of the compiler that is built in FOLDER, or in its `dist`
 *
 * What `digests.txt` keeps is changed by whoever means to change plans or kernels, with
 * `npm run -s digests > test/corpus/digests.txt`. `graph` and `kernels` are the printed stages, `plan` is all that the
 * plan says of a device but its code (dispatches, offsets, pools, constants), and `code` what the device runs.
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const here = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const flags = new Set(process.argv.slice(2).filter((word) => word.startsWith("--")));
const root = resolve(process.argv.slice(2).find((word) => !word.startsWith("--")) ?? here);
const built = existsSync(join(root, "dist")) ? join(root, "dist") : root;
const load = (path) => import(pathToFileURL(join(built, path)).href);
const { compile } = await load("src/index.js");
const { emulated, families } = await load("src/schedule/families.js");

const vocabulary = [..."abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ .,;:!?'-\n()\"0123456789"].sort();
const facts = {
  corpus: { vocabulary },
  images: { features: 784, classes: 10 },
  mammals: { names: Array.from({ length: 60 }, (_, i) => `noun.${String(i).padStart(2, "0")}`) },
  task: { vocabulary: [..."abcdefghijklmnopqrstuvwxyz"] },
  houses: {
    columns: ["area", "rooms", "year", "town"].map((name) => ({ kind: "number", name, mean: 5, deviation: 2 })),
    target: { name: "price", mean: 400, deviation: 100 },
    label: { name: "soon", classes: ["no", "yes"] },
  },
};

/** What a page is compiled for: a name, and options of `compile` beside its text. */
const plain = [
  { name: "wasm", devices: ["wasm"] },
  { name: "webgpu", devices: ["webgpu"] },
  { name: "webgpu, software adapter", devices: ["webgpu"], choices: { webgpu: emulated } },
  { name: "javascript", devices: ["javascript"] },
  { name: "all that can be measured", devices: ["wasm", "webgpu"], monitors: "all" },
];

/** Ways of one page that the plain ones do not take. */
const particular = {
  nanogpt: [{ name: "half precision", devices: ["webgpu"], set: { "train.precision": "f16" } }],
  "deep-narrow": [{ name: "segments", devices: ["wasm", "webgpu"], set: { "train.recompute": "auto" } }],
  lean: [
    {
      name: "shrunk",
      devices: ["wasm", "webgpu"],
      shrunk: { kept: { "layers.1": [], "layers.0.mlp.hidden": [0, 3, 5, 8, 11] }, settled: true },
    },
  ],
  "moby-dick": [
    ...membersOf("cpu", "wasm"),
    ...membersOf("gpu", "webgpu"),
    {
      name: "truncated",
      devices: ["wasm", "webgpu"],
      edit: (text) =>
        text
          .replace("iterations = 20)", "iterations = 20, truncated)")
          .replace("gain(x) <= 1.001", "gain(x) <= 1.001 monitored"),
    },
  ],
};

/** Every member of every family, by itself. */
function membersOf(kind, device) {
  return Object.entries(families[kind]).flatMap(([skeleton, members]) =>
    members.map((member) => ({
      name: `${device}, ${skeleton} ${JSON.stringify(member)}`,
      devices: [device],
      choices: { [device]: { [skeleton]: member } },
    })),
  );
}

const digest = (value) =>
  createHash("sha256")
    .update(typeof value === "string" ? value : JSON.stringify(value))
    .digest("hex")
    .slice(0, 16);

const kept = new Map(
  readFileSync(join(here, "test/corpus/digests.txt"), "utf8")
    .trim()
    .split("\n")
    .map((line) => [line.slice(0, line.indexOf(": ")), line]),
);
const quick = new Set([
  "autoencoder (javascript)",
  "convnet (webgpu)",
  "deep-narrow (segments)",
  "depths (wasm)",
  "digits (javascript)",
  "gpt2 (wasm)",
  "gru (webgpu)",
  "hc (webgpu, software adapter)",
  "identity (javascript)",
  "lean (shrunk)",
  "lean (webgpu, software adapter)",
  "llama (webgpu)",
  "lora (wasm)",
  "mixture (webgpu)",
  "moby-dick (truncated)",
  "moby-dick (wasm)",
  "moby-dick (webgpu)",
  "nanogpt (half precision)",
  "poincare (all that can be measured)",
  "sublayer (javascript)",
  "tabular (wasm)",
  "translate (javascript)",
]);
let different = 0;

const pages = readdirSync(join(here, "specs")).filter((file) => file.endsWith(".mhc"));
for (const page of pages.sort()) {
  const stem = page.slice(0, -".mhc".length);
  const text = readFileSync(join(here, "specs", page), "utf8");
  for (const { name, edit, ...options } of [...plain, ...(particular[stem] ?? [])]) {
    const title = `${stem} (${name})`;
    if (flags.has("--quick") && !quick.has(title)) continue;
    const { plan, stages, diagnostics } = await compile(edit ? edit(text) : text, { file: page, facts, ...options });
    if (!plan) throw new Error(`${page}, ${name}: ${diagnostics.map(({ message }) => message).join("; ")}`);
    const { devices, ...common } = plan;
    // `roles` says what outputs are; it came later than the first digests.
    const { roles: _, ...shared } = common;
    const lines = [
      `common ${digest(shared)}`,
      `graph ${digest(stages.graph())}`,
      `kernels ${digest(stages.kernels())}`,
    ];
    for (const [device, { kernels, code, entries, pools, constants }] of Object.entries(devices)) {
      const tables = Object.entries(entries).map(([entry, { dispatches, inputs, outputs }]) => [
        entry,
        dispatches,
        inputs,
        outputs,
      ]);
      lines.push(`${device} plan ${digest([kernels, tables, pools, constants])} code ${digest(code)}`);
    }
    const line = `${title}: ${lines.join(", ")}`;
    if (!flags.has("--check")) console.log(line);
    else if (kept.get(title) !== line) {
      different++;
      console.log(`is   ${line}\nwas  ${kept.get(title) ?? "not there"}`);
    }
  }
}
if (flags.has("--check")) {
  console.log(
    different ? `${different} differ from test/corpus/digests.txt` : "all plans and kernels are what they were",
  );
  process.exitCode = different ? 1 : 0;
}
