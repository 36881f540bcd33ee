/**
 * Recurrences: tensors that are defined by their own earlier places, `h[t] = tanh(x[t] + h[t - 1] * back)`. Such a
 * definition is written down as if all places were computed at once, with a leaf for the tensor that it reads; that
 * graph, whose leaf is read at earlier places alone, is the body of a `recurrence`. What of it does not depend on the
 * leaf stays outside and is computed for all places together, so that the body holds what must wait and nothing else.
 *
 * The body is kept as text: it is an attribute, which has to be plain, to be compared, and to be printed.
 */
import { mustAt, mustGet } from "../../runtime/lookup.js";
import type { Builder } from "./builder.js";
import { createBuilder } from "./create-builder.js";
import type { Graph, Node } from "./node.js";
import { opTable } from "./ops.js";
import { saysShape, type OpRecord, type RecurringState } from "./record.js";
import { parseGraph, printGraph } from "./text.js";
import { nodesOf, topological } from "./topology.js";

/** The leaf of a body that stands for an operand, and the one that stands for a tensor that recurs. */
export const operandLeaf = (i: number): string => `e${i}`;
/** The leaf of a body that stands for a tensor that recurs. */
export const stateLeaf = (i: number): string => `s${i}`;

const bodies = new Map<string, Graph>();
/** Bodies that are kept; a page has a few. */
const MOST_BODIES = 256;

/** The graph of a body. It is parsed once as long as it is in use. */
export function bodyOf(text: string): Graph {
  const body = bodies.get(text) ?? parseGraph(text);
  bodies.delete(text);
  bodies.set(text, body);
  const [oldest] = bodies.keys();
  if (bodies.size > MOST_BODIES && oldest !== undefined) bodies.delete(oldest);
  return body;
}

const flopsOf = (graph: Graph): number =>
  nodesOf(graph).reduce((sum, node) => {
    const record = opTable[node.op] as OpRecord<typeof node.op>;
    return sum + record.flops(node as never);
  }, 0);

/** A node of one builder in another, with other inputs. */
const inBuilder = (b: Builder, node: Node, inputs: readonly Node[]): Node =>
  b.make(node.op, inputs, node.attrs, saysShape(node) ? { shape: node.shape, dtype: node.dtype } : {});

/**
 * The tensors that recur: a node for each state, whose value reads the state's leaf at earlier places along `axis`
 * (later ones where `reversed`). All states have that axis, and as many places along it.
 */
export function recur(b: Builder, states: readonly RecurringState[], axis: number, reversed: boolean): Node[] {
  const leaves = new Set(states.map(({ leaf }) => leaf));
  const order = topological(states.map(({ value }) => value));
  const waiting = new Set<Node>();
  for (const node of order) if (leaves.has(node) || node.inputs.some((input) => waiting.has(input))) waiting.add(node);
  const inner = createBuilder();
  const moved = new Map<Node, Node>(states.map(({ leaf }, i) => [leaf, inner.input(stateLeaf(i), leaf.shape, "f32")]));
  const operands: Node[] = [];
  const move = (node: Node): Node => {
    const known = moved.get(node);
    if (known) return known;
    // Conditions never leave a kernel, and whole numbers come in as floats.
    const isInside =
      waiting.has(node) ||
      isOfNothing(node) ||
      node.dtype === "bool" ||
      node.op === "broadcast" ||
      node.op === "reshape";
    const made = isInside
      ? inBuilder(inner, node, node.inputs.map(move))
      : node.dtype === "u32"
        ? inner.cast(move(b.cast(node, "f32")), "u32")
        : inner.input(operandLeaf(operands.push(node) - 1), node.shape, "f32");
    moved.set(node, made);
    return made;
  };
  const outputs = new Map(states.map(({ value }, i) => [`${i}`, move(value)]));
  const graph: Graph = { name: "body", outputs, updates: new Map() };
  const attrs = { body: printGraph(graph), axis, reversed, flops: flopsOf(graph) };
  return states.map(({ leaf }, result) =>
    b.make("recurrence", operands, { ...attrs, result }, { shape: leaf.shape, dtype: "f32" }),
  );
}

/** Whether a value is made of constants and positions alone. */
const isOfNothing = (node: Node): boolean =>
  node.op === "constant" || node.op === "iota" || (node.inputs.length > 0 && node.inputs.every(isOfNothing));

/** The outputs of a body in another builder, in order, where its leaves are these nodes, by name. */
export function inlined(b: Builder, body: Graph, leaves: ReadonlyMap<string, Node>): Node[] {
  const moved = new Map<Node, Node>();
  for (const node of nodesOf(body)) {
    const made =
      node.op === "input"
        ? mustGet(leaves, node.attrs.name)
        : inBuilder(
            b,
            node,
            node.inputs.map((input) => mustGet(moved, input)),
          );
    moved.set(node, made);
  }
  return Array.from(body.outputs, ([, node]) => mustGet(moved, node));
}

/** What depends on these leaves, with other nodes in their place. */
export function substitutedLeaves(b: Builder, roots: readonly Node[], leaves: ReadonlyMap<Node, Node>): Node[] {
  const moved = new Map<Node, Node>(leaves);
  for (const node of topological(roots)) {
    if (moved.has(node)) continue;
    const inputs = node.inputs.map((input) => mustGet(moved, input));
    const isSame = inputs.every((input, i) => input === mustAt(node.inputs, i));
    moved.set(node, isSame ? node : b.within(node.origin, () => remade(b, node, inputs)));
  }
  return roots.map((root) => mustGet(moved, root));
}

const remade = (b: Builder, node: Node, inputs: readonly Node[]): Node =>
  b.make(node.op, inputs, node.attrs, {
    ...(saysShape(node) ? { shape: node.shape, dtype: node.dtype } : {}),
    site: node.site,
    epoch: node.epoch,
    origin: node.origin,
  });
