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
import type { Graph, Node, NodeWith } from "./node.js";
import { opTable } from "./ops.js";
import { operandLeaf, stateLeaf } from "./ops/recurrence.js";
import { letters } from "./ops/structure.js";
import { saysShape, type OpRecord, type RecurringState } from "./record.js";
import { parseGraph, printGraph } from "./text.js";
import { nodesOf, topological } from "./topology.js";

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
export function recur(b: Builder, given: readonly RecurringState[], axis: number, reversed: boolean): Node[] {
  const states = placeByPlace(b, given, axis);
  const waiting = waitingIn(states);
  const inner = createBuilder();
  const moved = new Map<Node, Node>(states.map(({ leaf }, i) => [leaf, inner.input(stateLeaf(i), leaf.shape, "f32")]));
  const operands: Node[] = [];
  const outside = (node: Node): Node => inner.input(operandLeaf(operands.push(node) - 1), node.shape, "f32");
  const product = (node: NodeWith<"contract">): Node => {
    const [x, y] = node.inputs;
    const { a, b: c, out } = letters(node.attrs.spec);
    const side = (operand: Node, term: string): { readonly node: Node; readonly term: string } => {
      const order = rowsFirst(term, out);
      if (waiting.has(operand) || order === term) return { node: move(operand), term };
      // Laid out so that neighbours of the result are neighbours in memory, once for all places.
      const turned = b.transpose(
        operand,
        [...order].map((letter) => term.indexOf(letter)),
      );
      return { node: moved.get(turned) ?? noted(turned, outside(turned)), term: order };
    };
    const [left, right] = [side(x, a), side(y, c)];
    return inner.contract(`${left.term},${right.term}->${out}`, left.node, right.node);
  };
  const noted = (node: Node, made: Node): Node => {
    moved.set(node, made);
    return made;
  };
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
    if (!isInside)
      return noted(node, node.dtype === "u32" ? inner.cast(move(b.cast(node, "f32")), "u32") : outside(node));
    return noted(node, node.op === "contract" ? product(node) : inBuilder(inner, node, node.inputs.map(move)));
  };
  const outputs = new Map(states.map(({ value }, i) => [`${i}`, move(value)]));
  const graph: Graph = { name: "body", outputs, updates: new Map() };
  const attrs = { body: printGraph(graph), axis, reversed, flops: flopsOf(graph) };
  return given.map(({ leaf }, result) =>
    b.make("recurrence", operands, { ...attrs, result }, { shape: leaf.shape, dtype: "f32" }),
  );
}

/**
 * The same tensors where only leaves are read at other places. A derivative reads what is computed of a tensor at its
 * own place from the next one: what is computed then recurs too, and the tensor is read where it is made.
 */
function placeByPlace(b: Builder, states: readonly RecurringState[], axis: number): readonly RecurringState[] {
  const valueOf = new Map(states.map(({ leaf, value }) => [leaf, value]));
  const waiting = waitingIn(states);
  /** What recurs too: its leaf, and what it is made of. */
  const added = new Map<Node, Node>();
  const moved = new Map<Node, Node>();
  const move = (node: Node): Node => {
    if (!waiting.has(node)) return node;
    const known = moved.get(node);
    if (known) return known;
    const made = remake(node);
    moved.set(node, made);
    return made;
  };
  const remake = (node: Node): Node => {
    const value = valueOf.get(node);
    if (value) return move(value);
    if (node.op !== "affine" || node.attrs.at[axis]?.offset === 0) return remade(b, node, node.inputs.map(move));
    const [operand] = node.inputs;
    if (valueOf.has(operand)) return node;
    const leaf = b.input(`recurring ${operand.id}`, operand.shape, "f32");
    added.set(leaf, operand);
    return remade(b, node, [leaf]);
  };
  const renewed = states.map(({ leaf, value }) => ({ leaf, value: move(value) }));
  const others: RecurringState[] = [];
  // Moving one may add others, which a map walks to as well.
  for (const [leaf, operand] of added) others.push({ leaf, value: move(operand) });
  return [...renewed, ...others];
}

/** What depends on the leaves of states. */
function waitingIn(states: readonly RecurringState[]): Set<Node> {
  const waiting = new Set(states.map(({ leaf }) => leaf));
  for (const node of topological(states.map(({ value }) => value)))
    if (node.inputs.some((input) => waiting.has(input))) waiting.add(node);
  return waiting;
}

/** The letters of a term with those that are summed first, and the others in the order of the result. */
const rowsFirst = (term: string, out: string): string =>
  [...[...term].filter((letter) => !out.includes(letter)), ...[...out].filter((letter) => term.includes(letter))].join(
    "",
  );

/** Whether a value is made of constants and positions alone. */
const isOfNothing = (node: Node): boolean =>
  node.op === "constant" || node.op === "iota" || (node.inputs.length > 0 && node.inputs.every(isOfNothing));

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
