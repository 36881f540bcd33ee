/**
 * How a set is meant where it is used, as nodes: its options, and what stands in place of one
 * (`src/model/elaborate/adapt.ts` reads it off the page). Of an option that is learned that is a parameter; of a
 * scheduled one a function of the step; a radius that layers share is a power of their budget; the weights of a mixture
 * are a softmax. A rank is no number that moves: parts of a member close, and something pulls them towards it.
 */
import type { Builder } from "../../graph/builder.js";
import type { Node } from "../../graph/node.js";
import { held, stepOf } from "../../graph/schedules.js";
import { numberOf } from "../../graph/sizes.js";
import { indicator, largest, over, scaled, total } from "../../manifolds/algebra.js";
import type { SetInstance } from "../../manifolds/registry.js";
import type { Adaptation, Setting } from "../../manifolds/set.js";
import { recordOf } from "../../../runtime/records.js";

/** A parameter in one layer: its name there, and which of the layers it is. */
export interface LayerPlace {
  readonly name: string;
  readonly layer: number;
}

/** What stands in place of the options of a page's sets, as far as it has been asked for. */
export interface SettingsState {
  readonly b: Builder;
  /** The steps of the run; null for a page that is not trained. */
  readonly steps: number | null;
  /** The node of the parameter that is learned in place of an option. */
  readonly raw: (name: string, shape: readonly number[]) => Node;
  /** The numbers that are reported, by name: scalars. */
  readonly adapted: Map<string, Node>;
  /** What stands in place of an option, by its name: `Mixing.relax`. */
  readonly replacements: Map<string, Node>;
  /** Of each rank that adapts, the mean numbers of open parts, one for each use. */
  readonly rankCounts: Map<string, Node[]>;
  /** What training descends beside the loss, so that parts close: scalars. */
  readonly pulls: Node[];
}

type AdaptationOf<K extends Adaptation["kind"]> = Extract<Adaptation, { readonly kind: K }>;

/** Of the largest part of a member, what a part must be to be there at all. */
const CLOSED = 1e-3;

/** The state before any set has been met. */
export const settingsState = (b: Builder, steps: number | null, raw: SettingsState["raw"]): SettingsState => ({
  b,
  steps,
  raw,
  adapted: new Map(),
  replacements: new Map(),
  rankCounts: new Map(),
  pulls: [],
});

/**
 * Free coordinates of a member whose rank adapts, of which closed parts are taken out. How many are open is noted, and
 * so is what pulls those beyond the least rank. Of any other member they are what they were.
 */
export function withOpenParts(
  { b, rankCounts, pulls }: SettingsState,
  { set, adapt }: SetInstance,
  pieces: readonly Node[],
): readonly Node[] {
  const rank = adapt.find((adaptation) => adaptation.kind === "rank");
  if (!rank || !set.parts) return pieces;
  const sizes = set.parts.sizes(b, pieces);
  const last = sizes.shape.length - 1;
  const needed = scaled(b, over(b, largest(b, sizes, 1), sizes.shape), CLOSED);
  const always = b.lt(b.iota(sizes.shape, last), b.fill(rank.from, sizes.shape, "u32"));
  const gates = b.cast(b.or(always, b.lt(needed, sizes)), "f32");
  const pulled = b.select(always, b.fill(0, sizes.shape), set.parts.pull(b, pieces));
  const axes = sizes.shape.map((_, axis) => axis);
  pulls.push(b.mul(b.sum(pulled, axes), b.constant(rank.weight)));
  const counts = total(b, gates, 1);
  rankCounts.set(rank.name, [...(rankCounts.get(rank.name) ?? []), b.mean(counts, axes.slice(0, -1))]);
  return set.parts.gated(b, pieces, gates);
}

/**
 * How a set is meant: its options, and what is learned or scheduled in their place. `place`: the parameter that is on
 * the set; null for a map, of which no option is shared by layers.
 */
export function settingOf(
  state: SettingsState,
  { set, options, adapt }: SetInstance,
  place: LayerPlace | null = null,
): Setting {
  const replaced: (readonly [string, Node])[] = [];
  for (const adaptation of adapt) {
    switch (adaptation.kind) {
      case "rank":
        break;
      case "shared":
        if (!place) throw new Error(`bug: ${adaptation.name} is shared by layers, and asked for outside of one`);
        replaced.push([adaptation.what, radiusOf(state, adaptation, place, set.tolerance(options) ?? 0)]);
        break;
      default:
        replaced.push([adaptation.what, replacementOf(state, adaptation)]);
    }
  }
  return { options, adapted: recordOf(replaced) };
}

/**
 * The radius of one of the balls that layers share a budget with: the budget, less what the tolerance (`rounding`) of
 * all these balls could add, to the power of the share of this layer.
 */
function radiusOf(
  { b, raw, replacements, adapted }: SettingsState,
  { name, budget, first, count }: AdaptationOf<"shared">,
  place: LayerPlace,
  rounding: number,
): Node {
  const size = numberOf(count);
  const shares = replacements.get(name) ?? b.softmax(raw(name, [size]));
  replacements.set(name, shares);
  const share = total(b, b.mul(shares, indicator(b, shares.shape, 0, numberOf(first) + place.layer)), 1);
  adapted.set(`${place.name}.share`, share);
  return b.exp(b.mul(share, b.constant(Math.log(budget) - size * Math.log1p(rounding))));
}

/** What stands in place of an option, made once: a scalar, and of a mixture the vector of its weights. */
function replacementOf(state: SettingsState, adaptation: AdaptationOf<"learned" | "mixed" | "scheduled">): Node {
  const { b, replacements, adapted } = state;
  const { name } = adaptation;
  const before = replacements.get(name);
  if (before) return before;
  const replacement = makeReplacement(state, adaptation);
  replacements.set(name, replacement);
  if (adaptation.kind === "mixed") {
    for (const [i, part] of adaptation.parts.entries())
      adapted.set(`${name}.${part}`, total(b, b.mul(replacement, indicator(b, replacement.shape, 0, i)), 1));
  } else adapted.set(name, replacement);
  return replacement;
}

function makeReplacement(
  { b, raw, steps }: SettingsState,
  adaptation: AdaptationOf<"learned" | "mixed" | "scheduled">,
): Node {
  switch (adaptation.kind) {
    case "learned": {
      const { name, from, to } = adaptation;
      return b.add(b.constant(from), b.mul(b.sigmoid(raw(name, [])), b.constant(to - from)));
    }
    case "mixed":
      return b.softmax(raw(adaptation.name, [adaptation.parts.length]));
    case "scheduled": {
      if (steps === null) throw new Error(`bug: ${adaptation.name} is scheduled on a page that is not trained`);
      return held(b, { ...adaptation.schedule, steps }, stepOf(b));
    }
    default:
      return adaptation satisfies never;
  }
}

/** What a page's sets adapt. */
export interface Adapted {
  /** Scalars by name; of a rank, the mean over all that is on the manifold. */
  readonly adapted: ReadonlyMap<string, Node>;
  /** The sum of what pulls ranks down, a scalar; null when nothing does. */
  readonly pull: Node | null;
}

/** What adapts, after all of the page has been lowered. */
export function adaptedOf({ b, adapted, rankCounts, pulls }: SettingsState): Adapted {
  const sum = (scalars: readonly Node[]): Node => scalars.reduce((x, y) => b.add(x, y));
  const means = [...rankCounts].map(
    ([name, counts]) => [name, b.mul(sum(counts), b.constant(1 / counts.length))] as const,
  );
  return { adapted: new Map([...adapted, ...means]), pull: pulls.length ? sum(pulls) : null };
}
