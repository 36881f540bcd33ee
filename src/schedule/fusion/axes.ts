/**
 * Which axes of a graph are the same axis. Elementwise ops, views, sums and products carry an index from an operand to
 * the result unchanged; joining the axes that they connect gives every axis of every node a class. What is computed for
 * one token from that token alone is then easy to see: every node on the way has exactly one axis of the tokens'
 * classes, and no reduction removes it (`isLocal` in regions.ts). Attention's scores have two such axes, so they are
 * not local.
 */
import type { Node, NodeWith, Shape } from "../../graph/node.js";
import { letters } from "../../graph/ops/structure.js";

/** The class of each axis of a node; equal numbers are the same axis. */
export type AxisClasses = (node: Node) => readonly number[];

/** The classes of the axes of some nodes. Axes that an op carries over unchanged are one class. */
export function axisClasses(nodes: readonly Node[]): AxisClasses {
  const first = new Map<Node, number>();
  const parent: number[] = [];
  for (const node of nodes) {
    first.set(node, parent.length);
    for (let i = 0; i < node.shape.length; i++) parent.push(parent.length);
  }
  const find = (x: number): number => {
    let root = x;
    while (parent[root] !== root) root = parent[root]!;
    while (parent[x] !== root) [x, parent[x]] = [parent[x]!, root];
    return root;
  };
  for (const node of nodes) {
    for (const { input, from, to } of carried(node)) {
      if (node.inputs[input]!.shape[from] !== node.shape[to]) continue;
      parent[find(first.get(node.inputs[input]!)! + from)] = find(first.get(node)! + to);
    }
  }
  const known = new Map<Node, readonly number[]>();
  return (node) => {
    const found = known.get(node) ?? node.shape.map((_, i) => find(first.get(node)! + i));
    known.set(node, found);
    return found;
  };
}

interface Edge {
  readonly input: number;
  /** An axis of that operand, and the axis of the result that has the same index. */
  readonly from: number;
  readonly to: number;
}

/** The axes that an op carries over. An op that is not listed carries none: that is always safe. */
function carried(node: Node): Edge[] {
  const along = (input: number, axes: readonly number[]): Edge[] => axes.map((to, from) => ({ input, from, to }));
  switch (node.op) {
    case "neg":
    case "exp":
    case "log":
    case "sqrt":
    case "tanh":
    case "erf":
    case "abs":
    case "sin":
    case "cos":
    case "sigmoid":
    case "add":
    case "sub":
    case "mul":
    case "div":
    case "min":
    case "max":
    case "pow":
    case "lt":
    case "le":
    case "eq":
    case "and":
    case "or":
    case "not":
    case "finite":
    case "select":
    case "cast":
    case "threefry":
      return node.inputs.flatMap((_, input) =>
        along(
          input,
          node.shape.map((__, axis) => axis),
        ),
      );
    case "broadcast":
      return along(0, node.attrs.axes);
    case "reshape":
      return unsplit(node.inputs[0].shape, node.shape);
    case "sum":
    case "reduce_max": {
      const kept = node.inputs[0].shape.map((_, axis) => axis).filter((axis) => !node.attrs.axes.includes(axis));
      return kept.map((from, to) => ({ input: 0, from, to }));
    }
    case "contract":
      return throughProduct(node);
    // The index stands where the table's first axis was.
    case "gather":
      return along(
        1,
        node.inputs[1].shape.map((_, axis) => axis),
      );
    // Inside a matrix every entry depends on every other.
    case "sinkhorn":
    case "sinkhorn_vjp":
      return node.inputs.flatMap((_, input) =>
        along(
          input,
          node.shape.slice(0, -2).map((__, axis) => axis),
        ),
      );
    default:
      return [];
  }
}

function throughProduct(node: NodeWith<"contract">): Edge[] {
  const l = letters(node.attrs.spec)!;
  return [l.a, l.b].flatMap((term, input) =>
    [...term].flatMap((letter, from) => (l.out.includes(letter) ? [{ input, from, to: l.out.indexOf(letter) }] : [])),
  );
}

/** Axes that a reshape neither splits nor merges: as many values stand before them, and they are as long. */
function unsplit(from: Shape, to: Shape): Edge[] {
  const starts = (shape: Shape): Map<number, number> => {
    const found = new Map<number, number>();
    let before = 1;
    shape.forEach((size, axis) => {
      if (size > 1) found.set(before, axis);
      before *= size;
    });
    return found;
  };
  const ends = starts(to);
  return [...starts(from)].flatMap(([before, axis]) => {
    const other = ends.get(before);
    return other !== undefined && to[other] === from[axis] ? [{ input: 0, from: axis, to: other }] : [];
  });
}
