/**
 * A corpus of kernels: those of a step of the example pages, as text, so that the diff of a change shows what it does
 * to each. Digests (`digests.mjs`) say that something changed, on all pages and devices; this says what, on a few. To
 * keep it small, pages have one layer and two lanes, a file has what one entry runs, and a kernel that stands in an
 * earlier file is named alone.
 */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { beforeAll, expect, it } from "vitest";
import { compile, type Facts } from "../../src/compile/compile.js";
import type { DeviceName } from "../../runtime/device.js";
import { mustAt } from "../../runtime/lookup.js";
import { readSpec } from "../helpers/specs.js";

const folder = new URL("kernels/", import.meta.url);
const HOW = "`npm run corpus` writes test/corpus/kernels anew: read what `git diff` says of it before it is committed";

interface Page {
  readonly spec: string;
  readonly devices: readonly DeviceName[];
  readonly set: Readonly<Record<string, string>>;
}

const PAGES: readonly Page[] = [
  { spec: "moby-dick", devices: ["wasm", "webgpu"], set: { layers: "1", lanes: "2" } },
  { spec: "depths", devices: ["wasm", "webgpu"], set: { pairs: "1" } },
  { spec: "poincare", devices: ["wasm", "webgpu"], set: {} },
  { spec: "digits", devices: ["javascript"], set: {} },
  { spec: "sublayer", devices: ["webgpu", "wasm"], set: {} },
  { spec: "nanogpt", devices: ["webgpu"], set: { layers: "1", "train.precision": "f16" } },
  { spec: "lean", devices: ["wasm", "webgpu"], set: { layers: "1", lanes: "2" } },
];

const facts: Facts = {
  corpus: { vocabulary: Array.from({ length: 65 }, (_, i) => String.fromCharCode(40 + i)) },
  images: { features: 784, classes: 10 },
  mammals: { names: Array.from({ length: 60 }, (_, i) => `noun.${i}`) },
};

/** Kernels as text, in the order in which a page's step, or what it has in its place, runs them first. */
async function kernelsOf({ spec, set }: Page, device: DeviceName): Promise<readonly string[]> {
  const { plan, stages, diagnostics } = await compile(readSpec(spec), {
    file: `${spec}.mhc`,
    devices: [device],
    facts,
    set,
  });
  if (!plan || !stages) throw new Error(diagnostics.map(({ message }) => message).join("\n"));
  const texts = stages
    .kernels()
    .split(/^(?=kernel )/m)
    .slice(1)
    .map((text) => text.trimEnd());
  const { entries } = plan.devices[device]!;
  const step = entries["train"] ?? mustAt(Object.values(entries), 0);
  const order = new Set(step.dispatches.map(({ kernel }) => kernel));
  return [...order].map((kernel) => mustAt(texts, kernel));
}

/** What each file of the corpus should hold, by its name. */
const corpus = new Map<string, string>();

beforeAll(async () => {
  /** The file in which a kernel stands first, by its text without its name. */
  const home = new Map<string, string>();
  for (const page of PAGES)
    for (const device of page.devices) {
      const file = `${page.spec}.${device}.txt`;
      const settings = Object.entries(page.set).map(([name, value]) => `, ${name} = ${value}`);
      const parts = [`// ${page.spec} on ${device}${settings.join("")}: the kernels of a step`];
      for (const text of await kernelsOf(page, device)) {
        const end = text.indexOf("(");
        const body = text.slice(end);
        const first = home.get(body);
        parts.push(first ? `// ${text.slice(0, end)}: as in ${first}` : text);
        if (!first) home.set(body, file);
      }
      corpus.set(file, `${parts.join("\n\n")}\n`);
    }
  if (process.env["UPDATE_KERNELS"]) {
    for (const file of readdirSync(folder)) rmSync(new URL(file, folder));
    for (const [file, text] of corpus) writeFileSync(new URL(file, folder), text);
  }
});

it("has a file for each page and device", () => {
  expect(readdirSync(folder).sort(), HOW).toEqual([...corpus.keys()].sort());
});

it.each(PAGES.flatMap(({ spec, devices }) => devices.map((device) => `${spec}.${device}.txt`)))(
  "%s has the kernels that the compiler makes",
  (file) => {
    const kept = existsSync(new URL(file, folder)) ? readFileSync(new URL(file, folder), "utf8").split("\n") : [];
    const made = corpus.get(file)!.split("\n");
    // The first line that differs: of files of thousands of lines, a whole difference is git's to print.
    const at = made.findIndex((line, i) => line !== kept[i]);
    const different = at >= 0 || made.length !== kept.length;
    const line = at >= 0 ? at : made.length;
    const where = different ? { file, line: line + 1, is: made[line] ?? null, was: kept[line] ?? null } : null;
    expect(where, HOW).toBeNull();
  },
);
