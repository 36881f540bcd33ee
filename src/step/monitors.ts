/**
 * What is watched while a model trains, as graph: of every stream whose connections mix lanes, how much the product of
 * the mixes can grow what passes through (arXiv 2512.24880, section 3: the composite mapping), and what the mixes are
 * like. All numbers are over the tokens of a batch.
 *
 * - `gain:x:forward`: over every depth l, the largest row sum of |M_l … M_1|; `gain:x:backward`: the largest column sum
 *   of |M_L … M_l|. Of doubly stochastic mixes both are 1.
 * - `columns:x`: the largest |log of a column sum| of a mix: the error that Sinkhorn's projection leaves.
 * - `entropy:x`: the mean entropy of a row, in nats: 0 for a permutation, log n when lanes are averaged.
 * - `second:x`: the mean norm of a mix on differences between lanes; of doubly stochastic ones, the second singular
 *   value.
 * - `diversity:x`: the share of the last stream that is not common to its lanes, in squares.
 */
import { mustAt, mustGet } from "../../runtime/lookup.js";
import type { Builder } from "../graph/builder.js";
import type { Node } from "../graph/node.js";
import type { Chain } from "../graph/streams.js";
import type { MonitorRole } from "../../runtime/roles.js";
import { atLeast, over, product, scaled, spectralBound } from "../manifolds/algebra.js";
import { output, type Output } from "./roles.js";

/** Gram iterations: the bound is then above the norm by a factor of at most n^(2^-13). */
const SHARP = 12;

/** An output of the entry `monitor` that tells how a stream is mixed. */
export type Monitored = Output<MonitorRole>;

/** Scalars of every stream whose connections mix lanes. */
export const monitors = (b: Builder, chains: readonly Chain[]): readonly Monitored[] =>
  chains.flatMap((chain) => monitorsOf(b, chain));

function monitorsOf(b: Builder, chain: Chain): readonly Monitored[] {
  const last = chain.at(-1);
  if (!last || chain.some(({ mix }) => mix.kind === "unknown")) return [];
  const { stream } = last;
  const mixes = chain.flatMap(({ mix }) => (mix.kind === "matrix" ? [mix] : []));
  const lane = mixes.at(-1)?.lane;
  if (lane === undefined) return [];
  const matrices = aligned(b, mixes);
  const grown = (direction: "forward" | "backward", node: Node): Monitored =>
    output({ kind: "monitor", name: `gain:${stream}:${direction}`, stream, measure: "gain", direction }, node);
  const like = (measure: Exclude<MonitorRole["measure"], "gain">, node: Node): Monitored =>
    output({ kind: "monitor", name: `${measure}:${stream}`, stream, measure }, node);
  const each = (measure: (mix: Node) => Node): readonly Node[] => matrices.map(measure);
  const forward = gain(b, matrices, -1, (before, mix) => product(b, mix, before));
  const backward = gain(b, matrices.toReversed(), -2, (after, mix) => product(b, after, mix));
  return [
    grown("forward", forward),
    grown("backward", backward),
    like(
      "columns",
      most(
        b,
        each((mix) => columnError(b, mix)),
      ),
    ),
    like(
      "entropy",
      mean(
        b,
        each((mix) => entropy(b, mix)),
      ),
    ),
    like(
      "second",
      mean(
        b,
        each((mix) => spectralBound(b, b.sub(mix, average(b, mix)), SHARP)),
      ),
    ),
    like("diversity", diversity(b, last.after, lane + 1)),
  ];
}

/**
 * Mixes with a matrix for every value of the same axes: one that does not depend on the token is that of every token.
 */
function aligned(
  b: Builder,
  mixes: readonly { readonly node: Node; readonly outer: readonly number[] }[],
): readonly Node[] {
  const sizes = new Map(
    mixes.flatMap(({ node, outer }) => outer.map((place, i) => [place, mustAt(node.shape, i + 1)] as const)),
  );
  const places = [...sizes.keys()].sort((x, y) => x - y);
  return mixes.map(({ node, outer }) => {
    const lanes = node.shape.slice(-2);
    const shape = [mustAt(node.shape, 0), ...places.map((place) => mustGet(sizes, place)), ...lanes];
    const axes = outer.map((place) => places.indexOf(place) + 1);
    return b.broadcast(node, shape, [0, ...axes, shape.length - 2, shape.length - 1]);
  });
}

/** The largest sum of absolute values along an axis (counted from the end) of all partial products. */
function gain(b: Builder, mixes: readonly Node[], axis: -1 | -2, join: (composite: Node, mix: Node) => Node): Node {
  let composite: Node | null = null;
  const sums: Node[] = [];
  for (const mix of mixes) {
    composite = composite ? join(composite, mix) : mix;
    sums.push(largestIn(b, b.sum(b.abs(composite), [composite.shape.length + axis])));
  }
  return most(b, sums);
}

/** The mean over the columns: what a mix does to what all lanes share, M 1 1^T / n. */
function average(b: Builder, mix: Node): Node {
  const rank = mix.shape.length;
  const n = mustAt(mix.shape, rank - 1);
  const rows = scaled(b, b.sum(mix, [rank - 1]), 1 / n);
  return over(b, rows, mix.shape);
}

/** The largest |log of a column sum|. */
const columnError = (b: Builder, mix: Node): Node =>
  largestIn(b, b.abs(b.log(positive(b, b.abs(b.sum(mix, [mix.shape.length - 2]))))));

/** The entropies of the rows, in nats. */
function entropy(b: Builder, mix: Node): Node {
  const last = mix.shape.length - 1;
  const size = b.abs(mix);
  const p = b.div(size, over(b, positive(b, b.sum(size, [last])), mix.shape));
  return b.neg(b.sum(b.mul(p, b.log(positive(b, p))), [last]));
}

/** The share of a stream that is not common to its lanes, in squares: a scalar. */
function diversity(b: Builder, x: Node, lane: number): Node {
  const n = mustAt(x.shape, lane);
  const others = x.shape.map((_, axis) => axis).filter((axis) => axis !== lane);
  const common = scaled(b, b.sum(x, [lane]), 1 / n);
  const off = b.sub(x, b.broadcast(common, x.shape, others));
  const axes = x.shape.map((_, axis) => axis);
  return b.div(b.sum(b.mul(off, off), axes), positive(b, b.sum(b.mul(x, x), axes)));
}

/** Kept from where a logarithm or a quotient ends. */
const positive = (b: Builder, x: Node): Node => atLeast(b, x, 1e-30);
/** The largest value of a tensor: a scalar. */
const largestIn = (b: Builder, x: Node): Node =>
  b.reduceMax(
    x,
    x.shape.map((_, axis) => axis),
  );
/** The largest of scalars. */
export const most = (b: Builder, scalars: readonly Node[]): Node => scalars.reduce((x, y) => b.max(x, y));
/** The mean of the means of some tensors: a scalar. */
function mean(b: Builder, tensors: readonly Node[]): Node {
  const means = tensors.map((x) =>
    b.mean(
      x,
      x.shape.map((_, axis) => axis),
    ),
  );
  return b.mul(
    means.reduce((x, y) => b.add(x, y)),
    b.constant(1 / means.length),
  );
}
