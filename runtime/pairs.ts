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
import type { PairsInfo } from "./sources.js";
import { mustAt } from "./lookup.js";
import { siteHash } from "./threefry.js";
import { recordOf } from "./records.js";

/** Two names that are related. */
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
      const what =
        columns.length === 2 ? "an empty column" : `${columns.length} column${columns.length === 1 ? "" : "s"}`;
      throw new DataError(
        `${place} has ${what}: ${JSON.stringify(line.length > 60 ? `${line.slice(0, 60)}…` : line)}`,
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
export function pairsSource(info: PairsInfo, pairs: readonly Pair[]): Source {
  const { name, negatives, holdout } = info;
  const numbered = numberedOf(info, pairs);
  const excluded = excludedOf(info, numbered);
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
  return {
    holdoutExamples: evaluated.length,
    batch(size, seed, step) {
      const drawn = Array.from({ length: size }, (_, i) =>
        mustAt(training, drawBelow(training.length, seed, step, i, sites.pair)),
      );
      return batchOf(info, excluded, drawn, (bound, i, k) =>
        drawBelow(bound, seed, step, i * negatives + k, sites.others),
      );
    },
    *holdout(size) {
      for (let first = 0; first < evaluated.length; first += size) {
        const rows = evaluated.slice(first, first + size);
        // Places past the end repeat the first pair; their losses are not counted.
        const chosen = Array.from({ length: size }, (_, i) => rows[i] ?? mustAt(evaluated, 0));
        const batch = batchOf(info, excluded, chosen, (bound, i, k) =>
          drawBelow(bound, FIXED, first + i, k, sites.evaluated),
        );
        yield { batch, count: rows.length };
      }
    },
  };
}

/**
 * The pairs by the numbers of their names. One that is listed twice counts once: its copy in training would tell what
 * is held out.
 */
function numberedOf({ name: data, names }: PairsInfo, pairs: readonly Pair[]): readonly Numbered[] {
  const index = new Map(names.map((name, i) => [name, i]));
  const numberOf = (name: string): number => {
    const number = index.get(name);
    if (number !== undefined) return number;
    throw new DataError(
      `${JSON.stringify(name)} is not among the ${names.length} names of \`${data}\``,
      "compile the spec again with this data",
    );
  };
  const numbered = new Map(
    pairs.map(([first, second]) => [`${first}\t${second}`, [numberOf(first), numberOf(second)] as Numbered]),
  );
  if (numbered.size === 0) throw new DataError(`there are no pairs in \`${data}\``);
  return [...numbered.values()];
}

/** What is not a negative of each name, in order: itself, and what stands second beside it. */
function excludedOf({ name: data, names, negatives }: PairsInfo, pairs: readonly Numbered[]): readonly Uint32Array[] {
  const related = names.map((_, i) => new Set([i]));
  for (const [first, second] of pairs) mustAt(related, first).add(second);
  const excluded = related.map((numbers) => Uint32Array.from(numbers).sort());
  for (const [first] of pairs) {
    const remaining = names.length - mustAt(excluded, first).length;
    if (remaining < negatives)
      throw new DataError(
        `${JSON.stringify(names[first])} has ${remaining} negatives among the ${names.length} names of ` +
          `\`${data}\`, and \`negatives\` asks for ${negatives}`,
        "ask for fewer negatives",
      );
  }
  return excluded;
}

/** A batch of some pairs. `draw`: a number below a bound, for negative k of an example. */
function batchOf(
  { name, names, negatives }: PairsInfo,
  excluded: readonly Uint32Array[],
  chosen: readonly Numbered[],
  draw: (bound: number, example: number, k: number) => number,
): Batch {
  const others = new Uint32Array(chosen.length * negatives);
  for (const [i, [first]] of chosen.entries())
    others.set(
      distinct(names.length, mustAt(excluded, first), negatives, (bound, k) => draw(bound, i, k)),
      i * negatives,
    );
  return recordOf([
    [`${name}.first`, Uint32Array.from(chosen, ([first]) => first)],
    [`${name}.second`, Uint32Array.from(chosen, ([, second]) => second)],
    [`${name}.others`, others],
  ]);
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
  const allowed = size - excluded.length;
  const places = new Set<number>();
  for (let k = 0; k < count; k++) {
    const last = allowed - count + k;
    const drawn = draw(last + 1, k);
    places.add(places.has(drawn) ? last : drawn);
  }
  // The number at a place among those that are allowed: every excluded one up to it moves it on.
  return [...places].map((place) => excluded.reduce((number, taken) => (taken <= number ? number + 1 : number), place));
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
  for (const pair of pairs) for (const name of pair) uses[name]!++;
  const order = pairs
    .map((pair, i) => ({ pair, i, at: drawBelow(4294967296, FIXED, 0, i, site) }))
    .sort((a, b) => a.at - b.at || a.i - b.i);
  const heldOut = new Set<number>();
  for (const { pair, i } of order) {
    if (heldOut.size === wanted) break;
    if (pair.some((name) => uses[name] === 1)) continue;
    for (const name of pair) uses[name]!--;
    heldOut.add(i);
  }
  return { training: pairs.filter((_, i) => !heldOut.has(i)), evaluated: pairs.filter((_, i) => heldOut.has(i)) };
}
