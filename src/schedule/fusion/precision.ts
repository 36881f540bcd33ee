/**
 * Half precision is a property of memory: where a page asks for it, activations and their cotangents lie in the pool
 * `half` as f16, and kernels widen what they load and round what they store, so that every product and sum is still one
 * of f32 (mixed precision; Micikevicius et al., ICLR 2018). An activation is a tensor with an axis of the tokens that
 * is as large as what a block reads of the streams: streams, operands and results of products, attention's operands and
 * result. What is narrower stays in f32, and that is just what has to: means and logs of sums, one number a token, and
 * the coefficients of connections, n^2 + 2n. Should n^2 be as much as a block reads, Sinkhorn's operands and results
 * are known by their size. In f32 are also parameters, their gradients and all that the host reads or writes.
 */
import { sizeOf } from "../../graph/record.js";
import type { Graph, Node } from "../../graph/node.js";
import type { AxisClasses } from "./axes.js";

/**
 * Whether a stored tensor of a graph is in half precision, when it is none that the host or the state needs in another
 * pool.
 */
export function halves({ half }: Graph, nodes: readonly Node[], classes: AxisClasses): (node: Node) => boolean {
  if (half === undefined) return () => false;
  // Axes of indices are tokens; of other data, the first is the batch.
  const tokens = new Set(
    nodes
      .filter(({ op }) => op === "input")
      .flatMap((node) => (node.dtype === "u32" ? classes(node) : classes(node).slice(0, 1))),
  );
  const projected = new Set(
    nodes.filter(({ op }) => op === "sinkhorn" || op === "sinkhorn_vjp").map(({ shape }) => sizeOf(shape)),
  );
  const isWide = (size: number): boolean => size >= half && !projected.has(size);
  return (node) => node.dtype === "f32" && isWide(sizeOf(node.shape)) && classes(node).some((axis) => tokens.has(axis));
}
