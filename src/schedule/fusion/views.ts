/**
 * Looks through views. `broadcast`, `reshape` and `slice` move no data, so a kernel reads the tensor behind them at
 * other places. This file answers one question: which stored tensor, and which stride for each axis, does a node read?
 * A reshape that would need a copy (its axes straddle the strides behind it) has no answer, and the partition stores it
 * instead.
 */
import { mustAt } from "../../../runtime/lookup.js";
import { isTotal } from "../../graph/affine.js";
import type { Graph, Node, NodeWith, Shape } from "../../graph/node.js";

/** Reads of a node are reads of `base` at sum(coordinate[i] * strides[i]), in words. */
export interface Access {
  readonly base: Node;
  readonly strides: readonly number[];
}

/** The strides of a dense tensor in row-major order, in elements. */
export function rowMajor(shape: Shape): number[] {
  const strides = new Array<number>(shape.length).fill(0);
  shape.reduceRight((stride, size, axis) => {
    strides[axis] = stride;
    return stride * size;
  }, 1);
  return strides;
}

/** Whether a node moves no data, if its reader can do without a copy. */
export const isView = (node: Node): boolean =>
  node.op === "broadcast" || node.op === "reshape" || node.op === "slice" || node.op === "affine";

/** The strides of `shape` over memory laid out as (`from`, `strides`), or null when that needs a copy. */
export function reshapeStrides(from: Shape, strides: readonly number[], shape: Shape): number[] | null {
  const source = from.map((size, i) => ({ size, stride: mustAt(strides, i) })).filter((axis) => axis.size !== 1);
  const result = new Array<number>(shape.length).fill(0);
  let at = 0;
  for (let i = 0; i < shape.length;) {
    if (shape[i] === 1) {
      i++;
      continue;
    }
    let wanted = mustAt(shape, i);
    let last = i;
    let got = source[at]?.size ?? 1;
    let end = at;
    while (wanted !== got) {
      if (wanted < got) {
        last++;
        wanted *= shape[last] ?? Number.NaN;
      } else {
        end++;
        got *= source[end]?.size ?? Number.NaN;
      }
      if (Number.isNaN(wanted) || Number.isNaN(got)) return null;
    }
    for (let j = at; j < end; j++) {
      const inner = mustAt(source, j + 1);
      if (mustAt(source, j).stride !== inner.stride * inner.size) return null;
    }
    let { stride } = mustAt(source, end);
    for (let j = last; j >= i; j--) {
      result[j] = stride;
      stride *= mustAt(shape, j);
    }
    at = end + 1;
    i = last + 1;
  }
  return result;
}

/**
 * The access of `node` through its views down to a node for which `isBase` holds; null when a view stands in the way
 * that cannot be expressed in strides.
 */
export function access(node: Node, isBase: (node: Node) => boolean): Access | null {
  if (isBase(node)) return { base: node, strides: rowMajor(node.shape) };
  if (node.op === "broadcast") {
    const inner = access(node.inputs[0], isBase);
    if (!inner) return null;
    const strides = new Array<number>(node.shape.length).fill(0);
    node.attrs.axes.forEach((axis, i) => {
      strides[axis] = node.inputs[0].shape[i] === 1 ? 0 : mustAt(inner.strides, i);
    });
    return { base: inner.base, strides };
  }
  if (node.op === "reshape") {
    const input = node.inputs[0];
    const inner = access(input, isBase);
    const strides = inner && reshapeStrides(input.shape, inner.strides, node.shape);
    return strides ? { base: inner.base, strides } : null;
  }
  if (node.op === "affine") {
    const inner = access(node.inputs[0], isBase);
    const strides = inner && affineStrides(node, inner.strides);
    return strides ? { base: inner.base, strides } : null;
  }
  return null;
}

/**
 * The strides of an affine read over memory of these strides; null where it is no sum of strides: where it begins
 * elsewhere than at the first word, leaves the operand, or divides.
 */
function affineStrides(node: NodeWith<"affine">, inner: readonly number[]): number[] | null {
  if (!isTotal(node) || node.attrs.at.some(({ offset }) => offset !== 0)) return null;
  const strides = new Array<number>(node.shape.length).fill(0);
  for (const [i, { terms }] of node.attrs.at.entries())
    for (const [axis, step] of terms) strides[axis] = mustAt(strides, axis) + step * mustAt(inner, i);
  return strides;
}

/** The tensor that has to be in memory for a read of it to go by strides: the node itself, unless it is such a read. */
export const behindStrides = (node: Node, stop: (node: Node) => boolean): Node =>
  node.op === "affine" && !stop(node) && affineStrides(node, rowMajor(node.inputs[0].shape))
    ? behindStrides(node.inputs[0], stop)
    : node;

/**
 * The words of `node` lie in those of `base`, from `offset` on, when `base` is in memory: what is behind a chain of
 * reshapes and slices.
 */
export function rangeOf(node: Node, stop: (node: Node) => boolean): { readonly base: Node; readonly offset: number } {
  if (stop(node) || (node.op !== "reshape" && node.op !== "slice")) return { base: node, offset: 0 };
  const { base, offset } = rangeOf(node.inputs[0], stop);
  return { base, offset: offset + (node.op === "slice" ? node.attrs.offset : 0) };
}

/** The node behind a chain of reshapes: the same words in the same order. */
export function behindReshapes(node: Node, stop: (node: Node) => boolean): Node {
  return node.op === "reshape" && !stop(node) ? behindReshapes(node.inputs[0], stop) : node;
}

/**
 * The stored tensors that outlive the kernels: those behind outputs, and those that new values are, or are ranges of.
 */
export const resultsOf = (graph: Graph, isBase: (node: Node) => boolean): Set<Node> =>
  new Set([
    ...[...graph.outputs.values()].map((node) => behindReshapes(node, isBase)),
    ...[...graph.updates.values()].map((node) => rangeOf(node, isBase).base),
  ]);

/** The node that a chain of views shows. */
export function behindViews(node: Node, stop: (node: Node) => boolean): Node {
  return isView(node) && !stop(node) ? behindViews(node.inputs[0], stop) : node;
}
