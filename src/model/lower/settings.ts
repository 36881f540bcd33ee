/**
 * How a set is meant where it is used, as nodes: its options, and what stands in place of one (`src/model/elaborate/adapt.ts`
 * reads it off the page). Learned, that is a parameter; scheduled, a function of the step; a radius that layers share
 * is a power of their budget; the weights of a mixture are a softmax. A rank is no number that moves but parts of a
 * member that close, and what pulls them.
 */
import type { Builder } from "../../graph/builder.js";
import type { Node } from "../../graph/node.js";
import { held, stepOf } from "../../graph/schedules.js";
import { valueOf } from "../../graph/sizes.js";
import { indicator, largest, over, scaled, total } from "../../manifolds/algebra.js";
import type { SetInstance } from "../../manifolds/registry.js";
import type { Adaptation, Setting } from "../../manifolds/set.js";
import type { TypedModel } from "../typed.js";
import { recordOf } from "../../../runtime/records.js";

/** A parameter in one layer: its name there, and which of the layers it is. */
export interface Place {
  readonly name: string;
  readonly layer: number;
}

/** Of the largest part of a member, what a part must be to be there at all. */
const CLOSED = 1e-3;

/** `raw` makes the parameter that is learned in place of an option. */
export function createSettings(model: TypedModel, b: Builder, raw: (name: string, shape: readonly number[]) => Node) {
  const adapted = new Map<string, Node>();
  /** What stands in place of an option, by its name. */
  const stand = new Map<string, Node>();
  const ranks = new Map<string, Node[]>();
  const pulls: Node[] = [];

  /**
   * Free coordinates of a member whose rank adapts, with the parts that are there still; what pulls the others is
   * noted, and how many there are.
   */
  function ranked({ set, adapt }: SetInstance, pieces: readonly Node[]): readonly Node[] {
    const rank = adapt.find((one) => one.kind === "rank");
    if (!rank || !set.parts) return pieces;
    const sizes = set.parts.sizes(b, pieces);
    const last = sizes.shape.length - 1;
    const needed = scaled(b, over(b, largest(b, sizes, 1), sizes.shape), CLOSED);
    const kept = b.lt(b.iota(sizes.shape, last), b.fill(rank.from, sizes.shape, "u32"));
    const gates = b.cast(b.or(kept, b.lt(needed, sizes)), "f32");
    const pulled = b.select(kept, b.fill(0, sizes.shape), set.parts.pull(b, pieces));
    const all = sizes.shape.map((_, axis) => axis);
    pulls.push(b.mul(b.sum(pulled, all), b.constant(rank.weight)));
    const counts = total(b, gates, 1);
    ranks.set(rank.name, [...(ranks.get(rank.name) ?? []), b.mean(counts, all.slice(0, -1))]);
    return set.parts.gated(b, pieces, gates);
  }

  /** How a set is meant: with its options, and what is learned or scheduled in their place. */
  function of({ set, options, adapt }: SetInstance, at: Place | null = null): Setting {
    const nodes = adapt.flatMap((one) =>
      one.kind === "rank"
        ? []
        : [
            [
              one.what,
              one.kind === "shared" ? radiusOf(one, at!, set.tolerance(options) ?? 0) : numberOf(one),
            ] as const,
          ],
    );
    return { options, adapted: recordOf(nodes) };
  }

  /** The budget, less what the tolerance of as many balls could add, to the power of the share of this layer. */
  function radiusOf(
    { name, budget, first, count }: Extract<Adaptation, { readonly kind: "shared" }>,
    { name: own, layer }: Place,
    rounding: number,
  ): Node {
    const size = valueOf(count)!;
    const shares = stand.get(name) ?? b.softmax(raw(name, [size]));
    stand.set(name, shares);
    const share = total(b, b.mul(shares, indicator(b, shares.shape, 0, valueOf(first)! + layer)), 1);
    adapted.set(`${own}.share`, share);
    return b.exp(b.mul(share, b.constant(Math.log(budget) - size * Math.log1p(rounding))));
  }

  function numberOf(adaptation: Exclude<Adaptation, { readonly kind: "rank" | "shared" }>): Node {
    const { name } = adaptation;
    const before = stand.get(name);
    if (before) return before;
    const made = adapting(adaptation);
    stand.set(name, made);
    if (adaptation.kind === "mixed")
      adaptation.parts.forEach((part, i) =>
        adapted.set(`${name}.${part}`, total(b, b.mul(made, indicator(b, made.shape, 0, i)), 1)),
      );
    else adapted.set(name, made);
    return made;
  }

  function adapting(adaptation: Parameters<typeof numberOf>[0]): Node {
    switch (adaptation.kind) {
      case "learned": {
        const { name, from, to } = adaptation;
        return b.add(b.constant(from), b.mul(b.sigmoid(raw(name, [])), b.constant(to - from)));
      }
      case "mixed":
        return b.softmax(raw(adaptation.name, [adaptation.parts.length]));
      case "scheduled":
        return held(b, { ...adaptation.schedule, steps: model.train!.steps }, stepOf(b));
      default:
        return adaptation satisfies never;
    }
  }

  /**
   * What adapts, by name: of ranks the mean over all that is on the manifold; and the sum of what pulls them, null when
   * nothing does.
   */
  function adaptations(): { readonly adapted: ReadonlyMap<string, Node>; readonly pull: Node | null } {
    const means = [...ranks].map(
      ([name, counts]) =>
        [
          name,
          b.mul(
            counts.reduce((x, y) => b.add(x, y)),
            b.constant(1 / counts.length),
          ),
        ] as const,
    );
    return {
      adapted: new Map([...adapted, ...means]),
      pull: pulls.length ? pulls.reduce((x, y) => b.add(x, y)) : null,
    };
  }

  return { of, ranked, adaptations };
}
