/**
 * The pages of the corpus: the example pages that come with mhc, so small that a step takes milliseconds in plain
 * JavaScript, with data that is made up.
 */
import { readFileSync, existsSync } from "node:fs";
import { sizeOf } from "../../../runtime/device.js";
import type { Batch, Source } from "../../../runtime/data.js";
import { DataError } from "../../../runtime/errors.js";
import { isOfTheRun, type Entry, type Plan } from "../../../runtime/plan.js";
import { recordOf } from "../../../runtime/records.js";
import type { Facts } from "../../compile/compile.js";
import { even } from "../fills.js";
import { rangeOf } from "../measure.js";

/** A page of the corpus, and how it is made small. */
export interface CorpusPage {
  readonly name: string;
  /** The example page that it is. */
  readonly spec: string;
  readonly set: Readonly<Record<string, string>>;
  /** Whether its products are of bf16: it is for targets that have them. */
  readonly bf16: boolean;
}

const TEXT = { context: "8", width: "16", heads: "2", "train.batch": "2" };

const page = (spec: string, set: Readonly<Record<string, string>>): CorpusPage => ({
  name: spec,
  spec,
  set,
  bf16: false,
});

/**
 * Sinkhorn's projection with its derivative, one sublayer alone, a classifier, points of a manifold, attention and tied
 * tables, routing of tokens, hyper-connections, gates; and products of bf16, for which there are rows enough.
 */
export const PAGES: readonly CorpusPage[] = [
  page("sublayer", {}),
  page("digits", { hidden: "16", "train.batch": "8" }),
  page("poincare", { "train.batch": "8" }),
  page("nanogpt", { ...TEXT, layers: "2" }),
  page("depths", { ...TEXT, pairs: "1", few: "3" }),
  page("moby-dick", { ...TEXT, layers: "2", lanes: "2" }),
  page("lean", { ...TEXT, layers: "2", lanes: "2" }),
  {
    name: "nanogpt-bf16",
    spec: "nanogpt",
    set: { context: "16", width: "48", heads: "2", "train.batch": "3", layers: "1" },
    bf16: true,
  },
];

/** What compiling needs to know of the data. */
export const facts: Facts = {
  corpus: { vocabulary: [..."abcdefghijklmnopqrstuvwxyz .,!"].sort() },
  images: { features: 784, classes: 10 },
  mammals: { names: Array.from({ length: 60 }, (_, i) => `noun.${String(i).padStart(2, "0")}`) },
};

/** The text of a page; it stands three folders up from here in the sources, four from the built file. */
export function pageText(name: string): string {
  const places = ["../../../", "../../../../"].map((up) => new URL(`${up}specs/${name}.mhc`, import.meta.url));
  const place = places.find((file) => existsSync(file));
  if (!place) throw new DataError(`the page ${name} of the package is not there`, "install mhc-lang again");
  return readFileSync(place, "utf8");
}

/** Values of an entry's inputs: indices below the smallest range of the page's data, and numbers within +-1. */
export function madeUp({ data }: Plan, { inputs }: Entry, seed: number): Batch {
  const range = Math.min(...data.map(rangeOf));
  return recordOf(
    Object.entries(inputs)
      .filter(([name, ref]) => !isOfTheRun(name, ref))
      .map(([name, ref], i) => {
        const draws = Array.from({ length: sizeOf(ref) }, (_, at) => even(97 * seed + i + 1, at));
        return [
          name,
          ref.dtype === "u32"
            ? Uint32Array.from(draws, (draw) => Math.floor(draw * range))
            : Float32Array.from(draws, (draw) => 2 * draw - 1),
        ];
      }),
  );
}

/** Batches of training steps, the same on every device. */
export const sourceFor = (plan: Plan, entry: Entry): Source => ({
  batch: (_size, seed, step) => madeUp(plan, entry, 1000 * seed + step),
  holdout: () => [],
  holdoutExamples: 0,
});
