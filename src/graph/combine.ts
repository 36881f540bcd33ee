/** Small graphs that more than one part of the compiler makes. */
import type { Builder } from "./builder.js";
import type { Node } from "./node.js";

/** From `off` at a gate of 0 to `on` at 1. */
export function between(b: Builder, gate: Node, off: Node, on: Node): Node {
  const over = (scalar: Node): Node => b.broadcast(scalar, on.shape, []);
  return b.add(b.mul(over(gate), on), b.mul(over(b.sub(b.constant(1), gate)), off));
}

/** Matrices with 1 on the diagonal. */
export function unit(b: Builder, shape: readonly number[]): Node {
  return b.cast(b.eq(b.iota(shape, shape.length - 2), b.iota(shape, shape.length - 1)), "f32");
}

/**
 * The largest of all values. Tensors of one shape are compared place by place first, so that each comparison joins the
 * kernel that makes the next tensor.
 */
export function largestOf(b: Builder, tensors: readonly Node[]): Node {
  const byShape = new Map<string, Node>();
  for (const tensor of tensors) {
    const shape = tensor.shape.join("x");
    const before = byShape.get(shape);
    byShape.set(shape, before ? b.max(before, tensor) : tensor);
  }
  return [...byShape.values()]
    .map((x) =>
      x.shape.length
        ? b.reduceMax(
            x,
            x.shape.map((_, axis) => axis),
          )
        : x,
    )
    .reduce((x, y) => b.max(x, y));
}
