/**
 * Reducers that are made of several reductions: the position of a largest value, the logarithm of a softmax, and
 * running sums. A running sum over n positions is made of blocks of about sqrt(n): inside of each every position is the
 * sum of those up to it, and the sums of whole blocks are summed in the same way, so that it costs about 2 n sqrt(n)
 * additions, and n^2 where n is a prime. Nothing is multiplied, so that what is not finite stays where it is.
 */
import { mustAt } from "../../../runtime/lookup.js";
import type { Builder } from "../../graph/builder.js";
import type { Node, Shape } from "../../graph/node.js";

/** Running sums of so many positions are made at once. */
const SHORT = 24;

const others = (shape: Shape, axis: number): number[] => shape.map((_, i) => i).filter((i) => i !== axis);

/** A tensor without an axis, repeated along it. */
const along = (b: Builder, x: Node, shape: Shape, axis: number): Node => b.broadcast(x, shape, others(shape, axis));

/**
 * The position of the first of the largest values along an axis (u32). Where no value is the largest, since one is not
 * a number, it is the last position: it can always be looked up.
 */
export function firstLargest(b: Builder, x: Node, axis: number): Node {
  const { shape } = x;
  const isLargest = b.eq(x, along(b, b.reduceMax(x, [axis]), shape, axis));
  const last = mustAt(shape, axis) - 1;
  const fromEnd = b.sub(b.fill(last, shape), b.cast(b.iota(shape, axis), "f32"));
  const most = b.reduceMax(b.select(isLargest, fromEnd, b.fill(0, shape)), [axis]);
  return b.cast(b.sub(b.fill(last, most.shape), most), "u32");
}

/** x less the logarithm of the sum of exponentials over these axes. The maximum makes no difference to the gradient. */
export function logSoftmax(b: Builder, x: Node, axes: readonly number[]): Node {
  const kept = x.shape.map((_, i) => i).filter((i) => !axes.includes(i));
  const over = (node: Node): Node => b.broadcast(node, x.shape, kept);
  const shifted = b.sub(x, over(b.stop(b.reduceMax(x, axes))));
  return b.sub(shifted, over(b.log(b.sum(b.exp(shifted), axes))));
}

/** Along an axis, the sum of those up to each position; with it, unless `own` says otherwise. */
export function runningSum(b: Builder, x: Node, axis: number, own = true): Node {
  const { shape } = x;
  const size = mustAt(shape, axis);
  const block = blockOf(size);
  if (block === size) return sumsUpTo(b, x, axis, own);
  const cut = [...shape.slice(0, axis), size / block, block, ...shape.slice(axis + 1)];
  const blocks = b.reshape(x, cut);
  const before = runningSum(b, b.sum(blocks, [axis + 1]), axis, false);
  const inside = sumsUpTo(b, blocks, axis + 1, own);
  return b.reshape(b.add(inside, along(b, before, cut, axis + 1)), shape);
}

/** The same as one sum over all positions for each, of which those behind it count nothing. */
function sumsUpTo(b: Builder, x: Node, axis: number, own: boolean): Node {
  const terms = axis + 1;
  const square = [...x.shape.slice(0, terms), ...x.shape.slice(axis)];
  const [position, term] = [b.iota(square, axis), b.iota(square, terms)];
  const values = b.broadcast(
    x,
    square,
    x.shape.map((_, i) => (i < axis ? i : i + 1)),
  );
  const counts = own ? b.le(term, position) : b.lt(term, position);
  return b.sum(b.select(counts, values, b.fill(0, square)), [terms]);
}

/** The length of blocks: the divisor of a size that is nearest to its root; the size itself where that is short. */
function blockOf(size: number): number {
  if (size <= SHORT) return size;
  let best = size;
  for (let d = 2; d < size; d++)
    if (size % d === 0 && Math.abs(Math.log(d * d) - Math.log(size)) < Math.abs(Math.log(best * best) - Math.log(size)))
      best = d;
  return best;
}
