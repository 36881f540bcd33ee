/**
 * Evaluates a graph in f64, node by node, unfused: the definition that every fast path is tested against. Leaves are
 * bound by name; a value is freed when its last reader has run.
 */
import { vjp } from "./differentiate.js";
import type { Graph, Node } from "./node.js";
import { opTable } from "./ops.js";
import { bodyOf, recur } from "./recurrence.js";
import { allocate, sizeOf, type GraphTools, type OpRecord, type Value } from "./record.js";
import { mustGet } from "../../runtime/lookup.js";
import { topological } from "./topology.js";

/** Values of leaves by name, in row-major order. */
export type LeafValues = ReadonlyMap<string, ArrayLike<number>>;

/** What an evaluation gives, in f64. */
export interface Evaluated {
  /** Named results of the graph. */
  readonly outputs: ReadonlyMap<string, Value>;
  /** New values of parameters and states, by name. */
  readonly updates: ReadonlyMap<string, Value>;
}

/**
 * The values of a graph's outputs and updates. Throws an Error that names a leaf without a binding or with one of
 * another size, and an op that the table cannot evaluate.
 */
export function evaluate(graph: Graph, bindings: LeafValues): Evaluated {
  const results = [...graph.outputs.values(), ...graph.updates.values()];
  const order = topological(results);
  const readers = new Map<Node, number>();
  for (const node of order) for (const input of node.inputs) readers.set(input, (readers.get(input) ?? 0) + 1);
  for (const result of results) readers.set(result, Number.POSITIVE_INFINITY);
  const values = new Map<Node, Value>();
  for (const node of order) {
    values.set(node, node.inputs.length || !("name" in node.attrs) ? compute(node, values) : bound(node, bindings));
    for (const input of node.inputs) {
      const remaining = mustGet(readers, input) - 1;
      readers.set(input, remaining);
      if (remaining === 0) values.delete(input);
    }
  }
  return {
    outputs: new Map([...graph.outputs].map(([name, node]) => [name, mustGet(values, node)])),
    updates: new Map([...graph.updates].map(([leaf, node]) => [leafName(leaf), mustGet(values, node)])),
  };
}

const graphTools: GraphTools = {
  parse: bodyOf,
  evaluate: (graph, bindings) => evaluate(graph, bindings).outputs,
  vjp,
  recur,
};

/** The name of a parameter, a state or an input. Throws for any other node. */
export function leafName(node: Node): string {
  if (node.op === "parameter" || node.op === "state" || node.op === "input") return node.attrs.name;
  throw new Error(`graph: ${node.op} has no name`);
}

function compute(node: Node, values: ReadonlyMap<Node, Value>): Value {
  const record = opTable[node.op] as OpRecord<typeof node.op>;
  if (!record.evaluate) throw new Error(`graph: ${node.op} cannot be evaluated`);
  return (record.evaluate as (node: Node, inputs: readonly Value[], tools: GraphTools) => Value)(
    node,
    node.inputs.map((input) => mustGet(values, input)),
    graphTools,
  );
}

function bound(node: Node, bindings: LeafValues): Value {
  const name = leafName(node);
  const values = bindings.get(name);
  if (!values) throw new Error(`graph: ${name} is not bound`);
  const size = sizeOf(node.shape);
  if (values.length !== size) throw new Error(`graph: ${name} has ${values.length} values for ${size} places`);
  const value = allocate(node.dtype, size);
  value.set(values);
  return value;
}
