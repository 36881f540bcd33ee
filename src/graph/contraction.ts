/**
 * An n-ary Einstein product as a tree of two-operand ones. The order is the compiler's choice: the cheapest by
 * multiplications, found exhaustively for up to six factors and greedily above. A label of one factor only is summed
 * before that is multiplied; where nothing is summed a product is elementwise; scalars come last.
 */
import { mustAt, mustGet } from "../../runtime/lookup.js";
import type { Builder } from "./builder.js";
import type { Node } from "./node.js";

/** A tensor with a label for each axis. Labels are any strings; equal labels mean the same index. */
export interface LabelledTensor {
  readonly node: Node;
  readonly labels: readonly string[];
}

const EXHAUSTIVE = 6;

/** Notes the size of every label of a tensor. */
function noteSizes(sizes: Map<string, number>, { node, labels }: LabelledTensor): void {
  for (const [i, label] of labels.entries()) sizes.set(label, mustAt(node.shape, i));
}

/**
 * The product of `factors`, summed over every label that is not in `out`, with the axes of `out` in their order. Throws
 * an Error for a label of `out` that no factor has.
 */
export function contractAll(b: Builder, factors: readonly LabelledTensor[], out: readonly string[]): LabelledTensor {
  const sizes = new Map<string, number>();
  for (const factor of factors) noteSizes(sizes, factor);
  for (const label of out) if (!sizes.has(label)) throw new Error(`graph: no factor has the axis ${label}`);
  const scalars = factors.filter(({ labels }) => labels.length === 0);
  const tensors = factors.filter(({ labels }) => labels.length > 0);
  const tree =
    tensors.length > 0
      ? order(
          tensors.map(({ labels }) => new Set(labels)),
          new Set(out),
          sizes,
        )
      : null;
  let result: LabelledTensor | null = tree !== null ? build(b, tree, tensors, new Set(out)) : null;
  if (result) result = sumTo(b, result, new Set(out));
  for (const scalar of scalars) result = result ? multiply(b, result, scalar) : scalar;
  if (!result) throw new Error("graph: a product of nothing");
  return arrange(b, result, out);
}

/** Reorders the axes of a labelled tensor; every label of `out` must be there. */
export function arrange(b: Builder, x: LabelledTensor, out: readonly string[]): LabelledTensor {
  return {
    node: b.transpose(
      x.node,
      out.map((label) => x.labels.indexOf(label)),
    ),
    labels: out,
  };
}

/** Repeats a labelled tensor over the labels that it lacks. */
export function spread(
  b: Builder,
  x: LabelledTensor,
  out: readonly string[],
  sizes: ReadonlyMap<string, number>,
): Node {
  const shape = out.map((label) => {
    const axis = x.labels.indexOf(label);
    return axis >= 0 ? mustAt(x.node.shape, axis) : mustGet(sizes, label);
  });
  return b.broadcast(
    x.node,
    shape,
    x.labels.map((label) => out.indexOf(label)),
  );
}

/** A factor by its number, or the product of two trees. */
type Tree = number | readonly [Tree, Tree];

const union = (a: ReadonlySet<string>, b: ReadonlySet<string>): Set<string> => new Set([...a, ...b]);
const volume = (labels: Iterable<string>, sizes: ReadonlyMap<string, number>): number =>
  [...labels].reduce((product, label) => product * mustGet(sizes, label), 1);

/** Labels that survive when the factors of `mask` are multiplied: those of the result or of another factor. */
function surviving(mask: number, factors: readonly ReadonlySet<string>[], out: ReadonlySet<string>): Set<string> {
  const multiplied = new Set<string>();
  const needed = new Set(out);
  factors.forEach((labels, i) => labels.forEach((label) => (mask & (1 << i) ? multiplied : needed).add(label)));
  return new Set([...multiplied].filter((label) => needed.has(label)));
}

/** The tree of least work: over all trees for a few factors. */
function order(
  factors: readonly ReadonlySet<string>[],
  out: ReadonlySet<string>,
  sizes: ReadonlyMap<string, number>,
): Tree {
  if (factors.length > EXHAUSTIVE) return greedy(factors, out, sizes);
  const best = new Map<number, { cost: number; tree: Tree }>();
  factors.forEach((_, i) => best.set(1 << i, { cost: 0, tree: i }));
  const full = (1 << factors.length) - 1;
  for (let mask = 1; mask <= full; mask++) {
    if (best.has(mask)) continue;
    for (let left = (mask - 1) & mask; left > 0; left = (left - 1) & mask) {
      const right = mask ^ left;
      if (left > right) continue;
      const a = mustGet(best, left);
      const c = mustGet(best, right);
      const work = volume(union(surviving(left, factors, out), surviving(right, factors, out)), sizes);
      const cost = a.cost + c.cost + work;
      const before = best.get(mask);
      if (!before || cost < before.cost) best.set(mask, { cost, tree: [a.tree, c.tree] });
    }
  }
  return mustGet(best, full).tree;
}

function greedy(
  factors: readonly ReadonlySet<string>[],
  out: ReadonlySet<string>,
  sizes: ReadonlyMap<string, number>,
): Tree {
  let remaining = factors.map((labels, i) => ({ labels: new Set(labels), tree: i as Tree }));
  while (remaining.length > 1) {
    let best = { cost: Number.POSITIVE_INFINITY, i: 0, j: 1 };
    for (const [i, a] of remaining.entries()) {
      for (let j = i + 1; j < remaining.length; j++) {
        const cost = volume(union(a.labels, mustAt(remaining, j).labels), sizes);
        if (cost < best.cost) best = { cost, i, j };
      }
    }
    const { i, j } = best;
    const [a, c] = [mustAt(remaining, i), mustAt(remaining, j)];
    const others = remaining.filter((_, at) => at !== i && at !== j);
    const needed = others.reduce((labels, item) => union(labels, item.labels), new Set(out));
    const labels = new Set([...union(a.labels, c.labels)].filter((label) => needed.has(label)));
    remaining = [...others, { labels, tree: [a.tree, c.tree] }];
  }
  return mustAt(remaining, 0).tree;
}

function build(
  b: Builder,
  tree: Tree,
  factors: readonly LabelledTensor[],
  needed: ReadonlySet<string>,
): LabelledTensor {
  if (typeof tree === "number") return sumTo(b, mustAt(factors, tree), needed);
  const [left, right] = tree;
  const labelsOf = (part: Tree): Set<string> =>
    typeof part === "number" ? new Set(mustAt(factors, part).labels) : union(labelsOf(part[0]), labelsOf(part[1]));
  const a = build(b, left, factors, union(needed, labelsOf(right)));
  const c = build(b, right, factors, union(needed, labelsOf(left)));
  const labels = [...union(new Set(a.labels), new Set(c.labels))];
  const kept = labels.filter((label) => needed.has(label));
  if (kept.length === labels.length) return multiply(b, a, c);
  const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  const letter = (label: string): string => letters.charAt(labels.indexOf(label));
  const spec = `${a.labels.map(letter).join("")},${c.labels.map(letter).join("")}->${kept.map(letter).join("")}`;
  return { node: b.contract(spec, a.node, c.node), labels: kept };
}

/** Sums what is not needed. */
function sumTo(b: Builder, x: LabelledTensor, needed: ReadonlySet<string>): LabelledTensor {
  const axes = x.labels.flatMap((label, i) => (needed.has(label) ? [] : [i]));
  return axes.length ? { node: b.sum(x.node, axes), labels: x.labels.filter((label) => needed.has(label)) } : x;
}

/**
 * Elementwise product over all labels of both, in the order of the one that has more: a gain times a tensor lies as the
 * tensor does.
 */
export function multiply(b: Builder, x: LabelledTensor, y: LabelledTensor): LabelledTensor {
  const [most, least] = y.labels.length > x.labels.length ? [y, x] : [x, y];
  const labels = [...most.labels, ...least.labels.filter((label) => !most.labels.includes(label))];
  const sizes = new Map<string, number>();
  for (const part of [x, y]) noteSizes(sizes, part);
  return { node: b.mul(spread(b, x, labels, sizes), spread(b, y, labels, sizes)), labels };
}
