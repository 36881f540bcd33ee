/**
 * Evaluates a graph in f64, node by node, unfused: the definition that every fast path is tested against. Leaves are
 * bound by name; a value is freed when its last reader has run.
 */
import type { Graph, Node } from "./node.js";
import { opTable } from "./ops.js";
import { allocate, sizeOf, type OpRecord, type Value } from "./record.js";
import { topological } from "./topology.js";

export type Bindings = ReadonlyMap<string, ArrayLike<number>>;

export interface Evaluated {
  readonly outputs: ReadonlyMap<string, Value>;
  /** New values of parameters and states, by name. */
  readonly updates: ReadonlyMap<string, Value>;
}

export function evaluate(graph: Graph, bindings: Bindings): Evaluated {
  const results = [...graph.outputs.values(), ...graph.updates.values()];
  const order = topological(results);
  const readers = new Map<Node, number>();
  for (const node of order) for (const input of node.inputs) readers.set(input, (readers.get(input) ?? 0) + 1);
  for (const result of results) readers.set(result, Number.POSITIVE_INFINITY);
  const values = new Map<Node, Value>();
  for (const node of order) {
    values.set(node, node.inputs.length || !("name" in node.attrs) ? compute(node, values) : bound(node, bindings));
    for (const input of node.inputs) {
      const left = readers.get(input)! - 1;
      readers.set(input, left);
      if (left === 0) values.delete(input);
    }
  }
  return {
    outputs: new Map([...graph.outputs].map(([name, node]) => [name, values.get(node)!])),
    updates: new Map([...graph.updates].map(([leaf, node]) => [leafName(leaf), values.get(node)!])),
  };
}

export function leafName(node: Node): string {
  if (node.op === "parameter" || node.op === "state" || node.op === "input") return node.attrs.name;
  throw new Error(`graph: ${node.op} has no name`);
}

function compute(node: Node, values: ReadonlyMap<Node, Value>): Value {
  const record = opTable[node.op] as OpRecord<typeof node.op>;
  if (!record.evaluate) throw new Error(`graph: ${node.op} cannot be evaluated`);
  return (record.evaluate as (node: Node, inputs: readonly Value[]) => Value)(
    node,
    node.inputs.map((input) => values.get(input)!),
  );
}

function bound(node: Node, bindings: Bindings): Value {
  const name = leafName(node);
  const given = bindings.get(name);
  if (!given) throw new Error(`graph: ${name} is not bound`);
  const size = sizeOf(node.shape);
  if (given.length !== size) throw new Error(`graph: ${name} has ${given.length} values for ${size} places`);
  const value = allocate(node.dtype, size);
  value.set(given);
  return value;
}
