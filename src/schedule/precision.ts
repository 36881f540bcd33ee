/**
 * Half precision is a property of memory: where a page asks for it, activations and their cotangents lie in the pool `half` as f16, and kernels
 * widen what they load and round what they store, so that every product and sum is still one of f32 (mixed precision; Micikevicius et
 * al., ICLR 2018). An activation is a tensor with an axis of the tokens that is as large as what a block reads of the streams:
 * streams, operands and results of products, attention's operands and result. What is narrower stays in f32, and that is just what has to: means and
 * logs of sums, one number a token, and the coefficients of connections, n^2 + 2n. So do parameters, their gradients and all that the
 * host reads or writes.
 */
import type { Graph, Node } from "../graph/node.js";
import type { AxisClasses } from "./axes.js";
import { sizeOf } from "./views.js";

/** Whether a stored tensor of a graph is in half precision, when it is none that the host or the state needs in another pool. */
export function halves({ half }: Graph, nodes: readonly Node[], classes: AxisClasses): (node: Node) => boolean {
  if (half === undefined) return () => false;
  // Axes of indices are tokens; of other data, the first is the batch.
  const tokens = new Set(nodes.filter(({ op }) => op === "input").flatMap((node) => (node.dtype === "u32" ? classes(node) : classes(node).slice(0, 1))));
  return (node) => node.dtype === "f32" && sizeOf(node.shape) >= half && classes(node).some((axis) => tokens.has(axis));
}
