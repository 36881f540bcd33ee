/**
 * Parameters as nodes, each declared when it is first read: free ones as they are, those on a set through its map from what is stored, or as points
 * that move on a manifold themselves; and what stands in place of an option of a set: learned, then it is a parameter like any other, or a function of the step.
 */
import type { Start } from "../../runtime/plan.js";
import type { Builder } from "../graph/builder.js";
import type { Node } from "../graph/node.js";
import { held, stepOf } from "../graph/schedules.js";
import { valueOf } from "../graph/sizes.js";
import { indicator, largest, over, scaled, total } from "../manifolds/algebra.js";
import type { SetInstance } from "../manifolds/registry.js";
import type { Adaptation, Setting } from "../manifolds/set.js";
import { pointsOf, type Points } from "./points.js";
import { normsIn } from "./quantities.js";
import type { Axis, Parameter, StartValue, TypedModel } from "./typed.js";

export interface LoweredParameter {
  readonly name: string;
  readonly axes: readonly string[];
  readonly shape: readonly number[];
  readonly start: Start;
  readonly doc: string | null;
  readonly node: Node;
  /** Whether weight decay would be of any sense: not for gates, gains and biases, nor for what a set holds. */
  readonly decay: boolean;
  /** Of a parameter that is a point of a manifold itself, and is moved on it. */
  readonly points: Points | null;
}

/** A parameter in one layer: its name there, and which of the layers it is. */
interface Place {
  readonly name: string;
  readonly layer: number;
}

/** The index that stands for the star of a parameter's name. */
function layerOf({ name: pattern }: Parameter, name: string): number {
  const at = pattern.split(".").indexOf("*");
  return at < 0 ? 0 : Number(name.split(".")[at]);
}

/** Of the largest part of a member, what a part must be to be there at all. */
const CLOSED = 1e-3;

/** `violate` is told, once a parameter, how far points are from the set that it is on, under its name with stars for layers. */
export function createParameters(model: TypedModel, b: Builder, violate: (name: string, distances: Node) => void) {
  const declared = new Map<string, LoweredParameter>();
  /** Values of parameters on sets. */
  const members = new Map<string, Node>();
  const weights = new Map<string, Node>();
  const adapted = new Map<string, Node>();
  /** What stands in place of an option, by its name. */
  const stand = new Map<string, Node>();
  const ranks = new Map<string, Node[]>();
  const pulls: Node[] = [];
  const riemannian = model.train?.optimizer.riemannian ?? false;
  const normed = new Set(model.claims.flatMap(({ quantity, monitored }) => (monitored ? normsIn(quantity) : [])));

  function declare(name: string, { start, doc, on }: Parameter, shape: readonly number[], axes: readonly string[], points: Points | null): Node {
    const node = b.parameter(name, shape);
    if (!declared.has(name)) declared.set(name, { name, shape, node, axes, start: startOf(start), doc, decay: !on && shape.length >= 2, points });
    return node;
  }

  /** The value of a parameter under the name that it has in one layer. */
  function value(parameter: Parameter, name: string, shape: readonly number[]): Node {
    const axes = parameter.tensor.axes.map((axis) => axis.name);
    const node = parameter.on ? member(parameter, name, shape, axes) : declare(name, parameter, shape, axes, null);
    if (normed.has(parameter)) weights.set(name, node);
    return node;
  }

  function member(parameter: Parameter, name: string, shape: readonly number[], axes: readonly string[]): Node {
    const before = members.get(name);
    if (before) return before;
    const { manifold, each, rows } = parameter.on!;
    const places = (own: readonly Axis[]): number[] => own.map((axis) => parameter.tensor.axes.indexOf(axis));
    const points = pointsOf(manifold, settingOf(manifold, { name, layer: layerOf(parameter, name) }), shape, axes, places(each), rows ? places(rows) : null);
    // What adapts would have no gradient: a point that moves by itself does not depend on it.
    const moves = riemannian && points.set.kind === "manifold" && points.alike && manifold.adapt.length === 0;
    const pieces = moves ? [] : points.pieces.map((piece) => declare(piece.name ? `${name}.${piece.name}` : name, parameter, piece.shape, piece.axes, null));
    const node = moves ? declare(name, parameter, shape, axes, points) : points.map(b, ranked(manifold, pieces));
    members.set(name, node);
    violate(parameter.name, points.set.violation(b, points.of(b, node), points.setting));
    return node;
  }

  /** Free coordinates of a member whose rank adapts, with the parts that are there still; what pulls the others is noted, and how many there are. */
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
  function settingOf({ set, options, adapt }: SetInstance, at: Place | null = null): Setting {
    const nodes = adapt.flatMap((one) => (one.kind === "rank" ? [] : [[one.what, one.kind === "shared" ? radiusOf(one, at!, set.tolerance(options) ?? 0) : numberOf(one)] as const]));
    return { options, adapted: Object.fromEntries(nodes) };
  }

  /** The budget, less what the tolerance of as many balls could add, to the power of the share of this layer. */
  function radiusOf({ name, budget, first, count }: Extract<Adaptation, { readonly kind: "shared" }>, { name: own, layer }: Place, rounding: number): Node {
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
    if (adaptation.kind === "mixed") adaptation.parts.forEach((part, i) => adapted.set(`${name}.${part}`, total(b, b.mul(made, indicator(b, made.shape, 0, i)), 1)));
    else adapted.set(name, made);
    return made;
  }

  function adapting(adaptation: Parameters<typeof numberOf>[0]): Node {
    switch (adaptation.kind) {
      case "learned": {
        const { name, from, to } = adaptation;
        return b.add(b.constant(from), b.mul(b.sigmoid(raw(name, [])), b.constant(to - from)));
      }
      case "mixed": return b.softmax(raw(adaptation.name, [adaptation.parts.length]));
      case "scheduled": return held(b, { ...adaptation.schedule, steps: model.train!.steps }, stepOf(b));
      default: return adaptation satisfies never;
    }
  }

  /** The parameter that is learned in place of an option. */
  function raw(name: string, shape: readonly number[]): Node {
    return value(model.parameters.find((parameter) => parameter.name === name)!, name, shape);
  }

  /** What adapts, by name: of ranks the mean over all that is on the manifold; and the sum of what pulls them, null when nothing does. */
  function adaptations(): { readonly adapted: ReadonlyMap<string, Node>; readonly pull: Node | null } {
    const means = [...ranks].map(([name, counts]) => [name, b.mul(counts.reduce((x, y) => b.add(x, y)), b.constant(1 / counts.length))] as const);
    return { adapted: new Map([...adapted, ...means]), pull: pulls.length ? pulls.reduce((x, y) => b.add(x, y)) : null };
  }

  return { declared, weights, adaptations, value, settingOf };
}

function startOf(start: StartValue): Start {
  const [first, second] = start.args.map((arg) => arg.value());
  switch (start.kind) {
    case "constant": return { kind: "constant", value: first! };
    case "normal": return { kind: "normal", deviation: first! };
    case "uniform": return { kind: "uniform", from: first!, to: second! };
    case "identity": return { kind: "identity", value: first! };
    case "first": return { kind: "first", value: first! };
    case "ramp": return { kind: "ramp", center: first!, spread: second! };
    default: return start.kind satisfies never;
  }
}
