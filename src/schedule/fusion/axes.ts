/**
 * Which axes of a graph are the same axis. Elementwise ops, views, sums and products carry an index from an operand to
 * the result unchanged; joining the axes that they connect gives every axis of every node a class. What is computed for
 * one token from that token alone is then easy to see: every node on the way has exactly one axis of the tokens'
 * classes, and no reduction removes it (`isLocal` in regions.ts). Attention's scores have two such axes, so they are
 * not local.
 */
import { mustAt, mustGet } from "../../../runtime/lookup.js";
import type { Node, NodeWith, Op, Shape } from "../../graph/node.js";
import { axisOfIndex } from "../../graph/affine.js";
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
  // `find` runs for every axis of every operand, so its indices, all of which come from `parent`, are not checked.
  const find = (x: number): number => {
    let root = x;
    while (parent[root] !== root) root = parent[root]!;
    for (let at = x; at !== root;) {
      const next = parent[at]!;
      parent[at] = root;
      at = next;
    }
    return root;
  };
  for (const node of nodes) {
    const start = mustGet(first, node);
    for (const { input, from, to } of carried(node)) {
      const operand = mustAt(node.inputs, input);
      if (operand.shape[from] !== node.shape[to]) continue;
      parent[find(mustGet(first, operand) + from)] = find(start + to);
    }
  }
  const classesOf = new Map<Node, readonly number[]>();
  return (node) => {
    let classes = classesOf.get(node);
    if (!classes) {
      classes = node.shape.map((_, i) => find(mustGet(first, node) + i));
      classesOf.set(node, classes);
    }
    return classes;
  };
}

interface Edge {
  readonly input: number;
  /** An axis of that operand, and the axis of the result that has the same index. */
  readonly from: number;
  readonly to: number;
}

/** Ops whose every operand has the shape of the result, and is read where the result is written. */
const ELEMENT_BY_ELEMENT: ReadonlySet<Op> = new Set<Op>([
  ...(["neg", "exp", "log", "sqrt", "tanh", "erf", "abs", "floor", "sin", "cos", "sigmoid"] as const),
  ...(["add", "sub", "mul", "div", "min", "max", "pow", "atan2"] as const),
  ...(["lt", "le", "eq", "and", "or", "not", "finite", "select", "cast", "threefry"] as const),
]);

const axesOf = (shape: Shape): number[] => shape.map((_, axis) => axis);

/** Edges of an operand whose axes are, in their order, those axes of the result. */
const along = (input: number, axes: readonly number[]): Edge[] => axes.map((to, from) => ({ input, from, to }));

/** The axes that an op carries over. An op that is not listed carries none: that is always safe. */
function carried(node: Node): Edge[] {
  if (ELEMENT_BY_ELEMENT.has(node.op)) return node.inputs.flatMap((_, input) => along(input, axesOf(node.shape)));
  switch (node.op) {
    case "broadcast":
      return along(0, node.attrs.axes);
    case "affine":
      return node.attrs.at.flatMap((index, from) => {
        const to = axisOfIndex(index);
        return to === null ? [] : [{ input: 0, from, to }];
      });
    case "reshape":
      return unsplit(node.inputs[0].shape, node.shape);
    case "sum":
    case "reduce_max":
    case "reduce_prod": {
      const kept = axesOf(node.inputs[0].shape).filter((axis) => !node.attrs.axes.includes(axis));
      return kept.map((from, to) => ({ input: 0, from, to }));
    }
    case "contract":
      return throughProduct(node);
    // The index stands where the table's first axis was.
    case "gather":
      return along(1, axesOf(node.inputs[1].shape));
    // Inside a matrix every entry depends on every other.
    case "sinkhorn":
    case "sinkhorn_vjp":
      return node.inputs.flatMap((_, input) => along(input, axesOf(node.shape).slice(0, -2)));
    default:
      return [];
  }
}

function throughProduct(node: NodeWith<"contract">): Edge[] {
  const l = letters(node.attrs.spec);
  return [l.a, l.b].flatMap((term, input) =>
    [...term].flatMap((letter, from) => (l.out.includes(letter) ? [{ input, from, to: l.out.indexOf(letter) }] : [])),
  );
}

/** Axes that a reshape neither splits nor merges: as many values stand before them, and they are as long. */
function unsplit(from: Shape, to: Shape): Edge[] {
  const starts = (shape: Shape): Map<number, number> => {
    const axes = new Map<number, number>();
    let before = 1;
    shape.forEach((size, axis) => {
      if (size > 1) axes.set(before, axis);
      before *= size;
    });
    return axes;
  };
  const ends = starts(to);
  return [...starts(from)].flatMap(([before, axis]) => {
    const other = ends.get(before);
    return other !== undefined && to[other] === from[axis] ? [{ input: 0, from: axis, to: other }] : [];
  });
}
