/**
 * Reducers as nodes. What a condition leaves out is replaced by what makes no difference to the result; units that may
 * close are multiplied by their gates, and a mean divides by as many units as there were before any was gone.
 */
import { mustAt } from "../../../runtime/lookup.js";
import type { LabelledTensor } from "../../graph/contraction.js";
import type { Node } from "../../graph/node.js";
import { ABSENT } from "../../graph/ops/attention.js";
import { sizeOf } from "../../graph/record.js";
import { numberOf } from "../../graph/sizes.js";
import type { TypedOf } from "../typed.js";
import { firstLargest, logSoftmax, runningSum } from "./scans.js";
import { gatesOfAxis } from "./slots.js";
import { labelHere, labelsOf, onto, type PageLowering } from "./state.js";

/** Beside the mean of squares, so that the derivative of its root is finite at 0. */
const RMS_EPSILON = 1e-6;

/**
 * A value with the axes of a reducer taken out, or for a softmax with all of them. `present`: of the value's shape, the
 * places that the condition lets through; null where there is none.
 */
export function reduced(
  state: PageLowering,
  e: TypedOf<"reduce">,
  value: LabelledTensor,
  present: Node | null,
): LabelledTensor {
  const { b } = state;
  const gates = e.axes.flatMap((axis): LabelledTensor[] => {
    const node = gatesOfAxis(state.gates, axis);
    return node ? [{ node, labels: [labelHere(state, axis)] }] : [];
  });
  const axes = labelsOf(state, e.axes).map((label) => value.labels.indexOf(label));
  const labels = value.labels.filter((_, axis) => !axes.includes(axis));
  const gated = (x: Node): Node => gates.reduce((product, gate) => b.mul(product, onto(state, gate, value.labels)), x);
  const masked = (neutral: number): Node =>
    present ? b.select(present, value.node, b.fill(neutral, value.node.shape)) : value.node;
  const mean = (x: Node): Node => {
    const total = b.sum(gated(x), axes);
    const count = e.axes.reduce((product, axis) => product * numberOf(axis.size), 1);
    return b.mul(total, b.fill(1 / count, total.shape));
  };
  switch (e.f) {
    case "sum":
      return { node: b.sum(gated(masked(0)), axes), labels };
    case "max":
      return { node: b.reduceMax(masked(ABSENT), axes), labels };
    case "min":
      return { node: b.neg(b.reduceMax(b.neg(masked(-ABSENT)), axes)), labels };
    case "prod":
      return { node: b.reduceProd(masked(1), axes), labels };
    case "argmax":
      return { node: firstLargest(b, masked(ABSENT), mustAt(axes, 0)), labels };
    case "mean": {
      if (!present) return { node: mean(value.node), labels };
      return { node: b.div(b.sum(gated(masked(0)), axes), b.sum(b.cast(present, "f32"), axes)), labels };
    }
    case "rms": {
      const squares = mean(b.mul(value.node, value.node));
      return { node: b.sqrt(b.add(squares, b.fill(RMS_EPSILON, squares.shape))), labels };
    }
    case "softmax":
      return { node: softmaxOver(state, masked(ABSENT), axes), labels: value.labels };
    case "log_softmax":
      return { node: logSoftmax(b, masked(ABSENT), axes), labels: value.labels };
    case "cumsum":
      return { node: runningSum(b, gated(masked(0)), mustAt(axes, 0)), labels: value.labels };
    default:
      return e.f satisfies never;
  }
}

/** Softmax over these axes together. The table's softmax works along the last axis: they go last, as one. */
function softmaxOver({ b }: PageLowering, x: Node, axes: readonly number[]): Node {
  const kept = x.shape.map((_, axis) => axis).filter((axis) => !axes.includes(axis));
  const order = [...kept, ...axes];
  const size = (axis: number): number => mustAt(x.shape, axis);
  const moved = b.transpose(x, order);
  const flat = b.reshape(moved, [...kept.map(size), sizeOf(axes.map(size))]);
  const back = b.reshape(b.softmax(flat), moved.shape);
  return b.transpose(
    back,
    order.map((_, axis) => order.indexOf(axis)),
  );
}
