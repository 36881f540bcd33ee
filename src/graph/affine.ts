/**
 * Affine indices: what `x[t - 1, w]`, `x[2 * i + a]` and `q[t, p, 0]` read. This file has their arithmetic: the range
 * of an index, whether one is a plain axis, and the adjoint of a read, which is a sum of reads again. For the adjoint
 * every index is solved for one axis of the result (t = p - k + 1 of p = t + k - 1), and what is left of the axes is
 * summed; so reads are closed under differentiation, and neither direction ever adds into memory.
 */
import { mustAt } from "../../runtime/lookup.js";
import type { Builder } from "./builder.js";
import type { AffineIndex, Node, NodeWith, Shape } from "./node.js";

/** The index that is one axis. */
export const axisIndex = (axis: number): AffineIndex => ({ offset: 0, terms: [[axis, 1]], divisor: 1 });

/** The index that is one number. */
export const constantIndex = (offset: number): AffineIndex => ({ offset, terms: [], divisor: 1 });

/** The axis that an index is; null for any other index. */
export function axisOfIndex({ offset, terms: [term, ...others], divisor }: AffineIndex): number | null {
  return term?.[1] === 1 && others.length === 0 && offset === 0 && divisor === 1 ? term[0] : null;
}

/** The least and the largest value of an index before its division, over all coordinates of `shape`. */
export function extentOf(
  { offset, terms }: AffineIndex,
  shape: Shape,
): { readonly least: number; readonly most: number } {
  let [least, most] = [offset, offset];
  for (const [axis, step] of terms) {
    const far = step * (mustAt(shape, axis) - 1);
    if (far < 0) least += far;
    else most += far;
  }
  return { least, most };
}

/** Whether an index lies in an axis of `size` at all coordinates of `shape`. */
export function isWithin(index: AffineIndex, size: number, shape: Shape): boolean {
  const { least, most } = extentOf(index, shape);
  return index.divisor === 1 && least >= 0 && most < size;
}

/** Whether a read finds an element at all coordinates of its result. */
export const isTotal = ({ attrs, shape, inputs: [x] }: NodeWith<"affine">): boolean =>
  attrs.at.every((index, axis) => isWithin(index, mustAt(x.shape, axis), shape));

/** For every axis of the operand the axis of the result that it is, where a read is a broadcast; else null. */
export function plainAxes(from: Shape, shape: Shape, at: readonly AffineIndex[]): readonly number[] | null {
  const axes: number[] = [];
  for (const [i, index] of at.entries()) {
    const axis = axisOfIndex(index);
    if (axis === null || axes.includes(axis) || shape[axis] !== from[i]) return null;
    axes.push(axis);
  }
  return axes;
}

/** A read that leaves every element where it lies: the operand's words with some axes cut into several. */
export interface CutAxes {
  /** The operand's axes after the cuts. */
  readonly shape: Shape;
  /** For each of them the axis of the result that it is. */
  readonly axes: readonly number[];
}

/**
 * The cuts that a read is, where each of its indices counts through an axis of the operand from its first element to
 * its last: `x[2 * p + a]` of p in n and a in 2 cuts an axis of 2n elements into [n, 2]. Null for any other read.
 */
export function cutsOf(from: Shape, shape: Shape, at: readonly AffineIndex[]): CutAxes | null {
  const axes: number[] = [];
  for (const [i, { offset, terms, divisor }] of at.entries()) {
    const counting = [...terms].sort(([, a], [, b]) => b - a);
    let extent = 1;
    for (const [axis, step] of [...counting].reverse()) {
      if (step !== extent || axes.includes(axis)) return null;
      extent *= mustAt(shape, axis);
    }
    if (offset !== 0 || divisor !== 1 || extent !== from[i]) return null;
    axes.push(...counting.map(([axis]) => axis));
  }
  return { shape: axes.map((axis) => mustAt(shape, axis)), axes };
}

/** An index without terms of step 0, each axis once, in lowest terms. */
function tidied(offset: number, terms: readonly (readonly [number, number])[], divisor: number): AffineIndex {
  const steps = new Map<number, number>();
  for (const [axis, step] of terms) steps.set(axis, (steps.get(axis) ?? 0) + step);
  const left = [...steps].filter(([, step]) => step !== 0).sort(([a], [b]) => a - b);
  const sign = divisor < 0 ? -1 : 1;
  const common = [offset, ...left.map(([, step]) => step)].reduce((a, b) => gcd(a, b), Math.abs(divisor)) * sign;
  return {
    offset: offset / common,
    terms: left.map(([axis, step]) => [axis, step / common]),
    divisor: divisor / common,
  };
}

const gcd = (a: number, b: number): number => (b === 0 ? Math.abs(a) : gcd(b, a % b));

/** An index in which each axis of `solved` stands for an index of its own. */
export function substituted(index: AffineIndex, solved: ReadonlyMap<number, AffineIndex>): AffineIndex {
  let { offset, divisor } = index;
  let terms: (readonly [number, number])[] = [];
  for (const [axis, step] of index.terms) {
    const by = solved.get(axis);
    if (!by) {
      terms.push([axis, step * (divisor / index.divisor)]);
      continue;
    }
    // What there is already is brought to the divisor of what comes in.
    offset = offset * by.divisor + step * (divisor / index.divisor) * by.offset;
    const factor = step * (divisor / index.divisor);
    terms = [
      ...terms.map(([other, s]): [number, number] => [other, s * by.divisor]),
      ...by.terms.map(([other, s]): [number, number] => [other, s * factor]),
    ];
    divisor *= by.divisor;
  }
  return tidied(offset, terms, divisor);
}

/**
 * The cotangent of a read's operand from that of its result: for every place of the operand, the sum of the cotangents
 * of all places that read it.
 */
export function adjointOf(b: Builder, node: NodeWith<"affine">, g: Node): Node {
  const from = node.inputs[0].shape;
  const rank = from.length;
  // Axes of the result go by the numbers behind those of the operand while they are solved for.
  const shifted = node.attrs.at.map(({ offset, terms, divisor }): AffineIndex => ({
    offset,
    terms: terms.map(([axis, step]) => [rank + axis, step]),
    divisor,
  }));
  const solved = new Map<number, AffineIndex>();
  /** What must be 0 where the operand's place is read at all. */
  const conditions: AffineIndex[] = [];
  for (const [place, raw] of shifted.entries()) {
    const index = substituted(raw, solved);
    // divisor * place = offset + terms, as `terms - divisor * place + offset = 0`.
    const equation = tidied(index.offset, [...index.terms, [place, -index.divisor]], 1);
    const open = equation.terms.filter(([axis]) => axis >= rank);
    if (open.length === 0) {
      conditions.push(tidied(index.offset, [...index.terms, [place, -index.divisor]], index.divisor));
      continue;
    }
    // The longest axis is solved for, so that the shortest are left to be summed.
    const [axis, step] = open.reduce((best, term) =>
      mustAt(node.shape, term[0] - rank) > mustAt(node.shape, best[0] - rank) ? term : best,
    );
    const rest = equation.terms.filter(([other]) => other !== axis).map(([other, s]): [number, number] => [other, -s]);
    const by = tidied(-equation.offset, rest, step);
    for (const [other, index] of solved) solved.set(other, substituted(index, new Map([[axis, by]])));
    solved.set(axis, by);
  }
  const free = node.shape.map((_, axis) => axis).filter((axis) => !solved.has(rank + axis));
  const numbers = new Map(free.map((axis, i) => [rank + axis, axisIndex(rank + i)]));
  const shape = [...from, ...free.map((axis) => mustAt(node.shape, axis))];
  const at = [
    ...node.shape.map((_, axis) => substituted(solved.get(rank + axis) ?? axisIndex(rank + axis), numbers)),
    ...conditions.map((condition) => substituted(condition, numbers)),
  ];
  // A condition is an axis of size 1 that is read at it: there is something at 0 alone.
  const widened = b.reshape(g, [...node.shape, ...conditions.map(() => 1)]);
  const read = b.affine(widened, shape, at);
  return b.sum(
    read,
    free.map((_, i) => rank + i),
  );
}
