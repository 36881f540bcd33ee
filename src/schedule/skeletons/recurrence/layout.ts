/**
 * How a recurrence is laid out on a device, whatever that is. Some axes are independent of each other (the batch, the
 * heads of a layer): a group takes some of their positions and walks the axis of the recurrence for them, place by
 * place. At a place it goes through stages: a stage is a value of the body that others read at more than one position
 * (the operand of a product), kept on the chip, or one of the tensors that recur. These are kept there for as many
 * places as they are read back.
 */
import { mustAt } from "../../../../runtime/lookup.js";
import type { Graph, Node, NodeWith } from "../../../graph/node.js";
import { operandLeaf, stateLeaf } from "../../../graph/ops/recurrence.js";
import { bodyOf } from "../../../graph/recurrence.js";
import { isReduction, sizeOf } from "../../../graph/record.js";
import { nodesOf } from "../../../graph/topology.js";
import { axisClasses, type AxisClasses } from "../../fusion/axes.js";
import { isView } from "../../fusion/views.js";

/** A tensor that recurs. */
export interface RecurringTensor {
  readonly leaf: Node;
  readonly value: Node;
  /** Places that are kept on the chip: those that are read back, and the one that is made. */
  readonly slots: number;
}

/** A recurrence as a kernel goes through it. */
export interface RecurrenceLayout {
  readonly body: Graph;
  readonly axis: number;
  readonly reversed: boolean;
  /** Places along the axis. */
  readonly places: number;
  readonly states: readonly RecurringTensor[];
  /** Operand leaves of the body, in the order of the operands. */
  readonly operands: readonly (Node | null)[];
  /** Values that are made one after the other at a place, each at all of its inner positions. */
  readonly stages: readonly Node[];
  /** Sizes of the independent axes that groups are cut along. */
  readonly groupSizes: readonly number[];
  /** For each axis of a node: the independent axis that it is, the axis of the recurrence, or an inner one. */
  readonly rolesOf: (node: Node) => readonly AxisRole[];
}

/** What an axis of a value in the body is. */
export type AxisRole = { readonly kind: "group"; readonly number: number } | { readonly kind: "along" | "inner" };

/** Reads the body of a recurrence. */
export function layOut({ attrs, inputs }: NodeWith<"recurrence">): RecurrenceLayout {
  const body = bodyOf(attrs.body);
  const nodes = nodesOf(body);
  const leafNamed = (name: string): Node | null =>
    nodes.find((node) => node.op === "input" && node.attrs.name === name) ?? null;
  const values = [...body.outputs.values()];
  const leaves = values.map((_, i) => leafNamed(stateLeaf(i)));
  const waiting = waitingIn(nodes, leaves);
  const classes = axisClasses(nodes);
  const along = new Set(values.map((value) => mustAt(classes(value), attrs.axis)));
  const isLeaf = (node: Node): boolean => leaves.includes(node);
  const groups = independentAxes(waiting, classes, values, { axis: attrs.axis, isLeaf });
  const rolesOf = (node: Node): AxisRole[] =>
    classes(node).map((of, axis): AxisRole => {
      const number = groups.findIndex(({ numbers }) => numbers.has(of));
      if (number >= 0) return { kind: "group", number };
      return { kind: (isLeaf(node) ? axis === attrs.axis : along.has(of)) ? "along" : "inner" };
    });
  const stages = stagesOf(waiting, values, isLeaf);
  return {
    body,
    axis: attrs.axis,
    reversed: attrs.reversed,
    places: mustAt(mustAt(values, 0).shape, attrs.axis),
    states: values.map((value, i) => {
      const leaf = leaves[i] ?? null;
      return { leaf: leaf ?? value, value, slots: 1 + (leaf ? furthest(nodes, leaf, attrs.axis) : 0) };
    }),
    operands: inputs.map((_, i) => leafNamed(operandLeaf(i))),
    stages,
    groupSizes: groups.map(({ size }) => size),
    rolesOf,
  };
}

/** What depends on the tensors that recur. */
function waitingIn(nodes: readonly Node[], leaves: readonly (Node | null)[]): Set<Node> {
  const waiting = new Set<Node>(leaves.flatMap((leaf) => leaf ?? []));
  for (const node of nodes) if (node.inputs.some((input) => waiting.has(input))) waiting.add(node);
  return waiting;
}

/** An axis that no value of the body is mixed along. */
interface IndependentAxis {
  readonly numbers: ReadonlySet<number>;
  readonly size: number;
}

/**
 * The axes of the first tensor that every value of the body has once. The last axis of the tensors is left to lanes and
 * invocations.
 */
function independentAxes(
  waiting: ReadonlySet<Node>,
  classes: AxisClasses,
  values: readonly Node[],
  { axis, isLeaf }: { readonly axis: number; readonly isLeaf: (node: Node) => boolean },
): IndependentAxis[] {
  const first = mustAt(values, 0);
  const along = new Set(values.map((value) => mustAt(classes(value), axis)));
  const lasts = new Set(values.map((value) => classes(value).at(-1)));
  return first.shape.flatMap((size, at): IndependentAxis[] => {
    const number = mustAt(classes(first), at);
    const isEverywhere = [...waiting, ...values].every(
      (node) => classes(node).filter((other, i) => other === number && !(isLeaf(node) && i === axis)).length === 1,
    );
    const isOpen = at !== axis && size > 1 && !along.has(number) && !lasts.has(number) && isEverywhere;
    return isOpen ? [{ numbers: new Set([number]), size }] : [];
  });
}

/** How many places back (or ahead) a tensor is read at most. */
function furthest(nodes: readonly Node[], leaf: Node, axis: number): number {
  let most = 1;
  for (const node of nodes)
    if (node.op === "affine" && node.inputs[0] === leaf)
      most = Math.max(most, Math.abs(mustAt(node.attrs.at, axis).offset));
  return most;
}

/** The values that are made at a place, in order: what is read at more than one position, and the tensors. */
function stagesOf(waiting: ReadonlySet<Node>, values: readonly Node[], isLeaf: (node: Node) => boolean): Node[] {
  const kept = new Set<Node>(values);
  const keep = (node: Node): void => {
    if (!waiting.has(node) || isLeaf(node)) return;
    if (isView(node)) keep(mustAt(node.inputs, 0));
    else kept.add(node);
  };
  /** Sums behind what is computed in place. */
  const keepSums = (node: Node): void => {
    if (!waiting.has(node) || isLeaf(node) || kept.has(node)) return;
    if (isSum(node)) kept.add(node);
    else node.inputs.forEach(keepSums);
  };
  for (const node of waiting) {
    if (node.op === "contract") node.inputs.forEach(keep);
    else if (isSum(node) || (node.op === "affine" && !isLeaf(node.inputs[0]))) node.inputs.forEach(keepSums);
    if (node.op === "affine" && !isLeaf(node.inputs[0])) node.inputs.forEach(keep);
  }
  return [...kept].sort((a, b) => a.id - b.id);
}

/** Whether a node walks over an axis of its operands. */
export const isSum = (node: Node): boolean => node.op === "contract" || isReduction(node);

/** The sizes of the inner axes of a value. */
export const innerSizes = ({ rolesOf }: RecurrenceLayout, node: Node): number[] =>
  node.shape.filter((_, axis) => mustAt(rolesOf(node), axis).kind === "inner");

/** Words of a value at one place, for one position of the independent axes. */
export const wordsOf = (layout: RecurrenceLayout, node: Node): number => sizeOf(innerSizes(layout, node));
