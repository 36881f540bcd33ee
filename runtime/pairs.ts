/**
 * Pairs of names as batches: what is related, and for each pair some names that its first is not related to (Nickel and
 * Kiela, NIPS 2017, section 3.1). A name's negatives are all names but itself and those that stand second beside it,
 * also in pairs that are held out. They are drawn without repetition and without a draw in vain, so that a step costs
 * the same for a name with many pairs as for one with few, and by Threefry, so that they are the same on every device
 * and after a restart.
 *
 * Without a share to hold out, what is evaluated is every pair: reconstruction. Of pairs that are held out both names
 * stand in others that training sees: a name that it never sees would have no place.
 */
import { describe } from "./check.js";
import { drawBelow, type Batch, type Source } from "./data.js";
import { DataError } from "./errors.js";
import type { DataInfo } from "./plan.js";
import { siteHash } from "./threefry.js";
import { recordOf } from "./records.js";

export type Pair = readonly [first: string, second: string];

/**
 * The pairs of a text: lines of two names with a tab between them; empty lines are skipped. `where` is what errors call
 * the text.
 */
export function parsePairs(text: string, where = "the text"): Pair[] {
  if (typeof text !== "string") throw new DataError(`the pairs are ${describe(text)}, and text is expected`);
  return text.split(/\r?\n/).flatMap((line, i): Pair[] => {
    if (line.trim() === "") return [];
    const columns = line.split("\t").map((column) => column.trim());
    const [first, second] = columns;
    const place = `line ${i + 1} of ${where}`;
    if (columns.length !== 2 || !first || !second) {
      const found =
        columns.length === 2 ? "an empty column" : `${columns.length} column${columns.length === 1 ? "" : "s"}`;
      throw new DataError(
        `${place} has ${found}: ${JSON.stringify(line.length > 60 ? `${line.slice(0, 60)}…` : line)}`,
        "a line is two names with a tab between them",
      );
    }
    if (first === second)
      throw new DataError(`${place} pairs ${JSON.stringify(first)} with itself`, "take the line out");
    return [[first, second]];
  });
}

/** The names of pairs, each once, sorted. */
export const namesOf = (pairs: readonly Pair[]): string[] => [...new Set(pairs.flat())].sort();

type Numbered = readonly [first: number, second: number];

/** The seed by which held-out pairs are chosen and their negatives drawn: the same in every run. */
const FIXED = 0;

/**
 * Batches of `NAME.first` and `NAME.second`, [batch], and `NAME.others`, [batch, negatives]: indices of `info.names`.
 * Throws DataError for a name that is not among them, for more negatives than a name has, and when nothing can be held
 * out although a share should be.
 */
export function pairsSource(info: Extract<DataInfo, { readonly kind: "pairs" }>, pairs: readonly Pair[]): Source {
  const { name, negatives, holdout } = info;
  const index = new Map(info.names.map((own, i) => [own, i]));
  const numberOf = (own: string): number => {
    const found = index.get(own);
    if (found === undefined)
      throw new DataError(
        `${JSON.stringify(own)} is not among the ${info.names.length} names of \`${name}\``,
        "compile the spec again with this data",
      );
    return found;
  };
  // A pair that is listed twice counts once: its copy in training would tell what is held out.
  const numbered = [
    ...new Map(
      pairs.map(([first, second]) => [`${first}\t${second}`, [numberOf(first), numberOf(second)] as Numbered]),
    ).values(),
  ];
  if (numbered.length === 0) throw new DataError(`there are no pairs in \`${name}\``);

  /** What is not a negative of each name, in order: itself, and what it is paired with. */
  const related = info.names.map((_, i) => new Set([i]));
  for (const [first, second] of numbered) related[first]!.add(second);
  const excluded = related.map((set) => Uint32Array.from(set).sort());
  for (const [first] of numbered) {
    const left = info.names.length - excluded[first]!.length;
    if (left < negatives)
      throw new DataError(
        `${JSON.stringify(info.names[first])} has ${left} negatives among the ${info.names.length} names of ` +
          `\`${name}\`, and \`negatives\` asks for ${negatives}`,
        "ask for fewer negatives",
      );
  }
  const { training, evaluated } =
    holdout === 0
      ? { training: numbered, evaluated: numbered }
      : split(numbered, info.names.length, holdout, siteHash(`data:${name}:held`));
  if (evaluated.length === 0)
    throw new DataError(
      `no pair of \`${name}\` can be held out: each has a name that stands in no other`,
      "write `holdout = 0%`, or use more pairs",
    );

  const sites = {
    pair: siteHash(`data:${name}`),
    others: siteHash(`data:${name}:others`),
    evaluated: siteHash(`data:${name}:evaluated`),
  };
  const make = (chosen: readonly Numbered[], draw: (bound: number, example: number, k: number) => number): Batch => {
    const others = new Uint32Array(chosen.length * negatives);
    chosen.forEach(([first], i) =>
      others.set(
        distinct(info.names.length, excluded[first]!, negatives, (bound, k) => draw(bound, i, k)),
        i * negatives,
      ),
    );
    return recordOf([
      [`${name}.first`, Uint32Array.from(chosen, ([first]) => first)],
      [`${name}.second`, Uint32Array.from(chosen, ([, second]) => second)],
      [`${name}.others`, others],
    ]);
  };
  return {
    holdoutExamples: evaluated.length,
    batch: (size, seed, step) =>
      make(
        Array.from({ length: size }, (_, i) => training[drawBelow(training.length, seed, step, i, sites.pair)]!),
        (bound, i, k) => drawBelow(bound, seed, step, i * negatives + k, sites.others),
      ),
    *holdout(size) {
      for (let first = 0; first < evaluated.length; first += size) {
        const rows = evaluated.slice(first, first + size);
        // Places past the end repeat the first pair; their losses are not counted.
        const chosen = Array.from({ length: size }, (_, i) => rows[i] ?? evaluated[0]!);
        yield {
          batch: make(chosen, (bound, i, k) => drawBelow(bound, FIXED, first + i, k, sites.evaluated)),
          count: rows.length,
        };
      }
    },
  };
}

/**
 * `count` different numbers below `size`, none of them of `excluded`, which is sorted (Floyd's sample; Bentley,
 * Programming pearls, CACM 1987).
 */
function distinct(
  size: number,
  excluded: Uint32Array,
  count: number,
  draw: (bound: number, k: number) => number,
): number[] {
  const left = size - excluded.length;
  const places = new Set<number>();
  for (let k = 0; k < count; k++) {
    const last = left - count + k;
    const drawn = draw(last + 1, k);
    places.add(places.has(drawn) ? last : drawn);
  }
  // The number at a place among those that are left: every excluded one up to it moves it on.
  return [...places].map((place) => excluded.reduce((number, own) => (own <= number ? number + 1 : number), place));
}

/** Pairs held out in the order of a draw, while both names keep a pair to train on. */
function split(
  pairs: readonly Numbered[],
  names: number,
  share: number,
  site: number,
): { readonly training: readonly Numbered[]; readonly evaluated: readonly Numbered[] } {
  const wanted = Math.max(1, Math.floor(pairs.length * share));
  const uses = new Uint32Array(names);
  for (const pair of pairs) for (const own of pair) uses[own]!++;
  const order = pairs
    .map((_, i) => ({ i, at: drawBelow(4294967296, FIXED, 0, i, site) }))
    .sort((a, b) => a.at - b.at || a.i - b.i);
  const out = new Set<number>();
  for (const { i } of order) {
    if (out.size === wanted) break;
    const pair = pairs[i]!;
    if (pair.some((own) => uses[own] === 1)) continue;
    for (const own of pair) uses[own]!--;
    out.add(i);
  }
  return { training: pairs.filter((_, i) => !out.has(i)), evaluated: pairs.filter((_, i) => out.has(i)) };
}
