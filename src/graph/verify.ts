/**
 * The graph's verifier: what must hold of every graph, whatever pass made it. Shapes and dtypes are those that the op
 * table infers, inputs come before their readers, updates go to leaves that persist and keep their shape, and a name
 * stands for one leaf. Run after each pass in tests; an empty list means a sound graph.
 */
import type { Graph, Node } from "./node.js";
import { opTable } from "./ops.js";
import { sameShape, saysShape, type OpRecord } from "./record.js";
import { nodesOf } from "./topology.js";

/** What is wrong, in words; nothing when the graph is sound. */
export function verifyGraph(graph: Graph): readonly string[] {
  const wrong: string[] = [];
  const named = new Map<string, Node>();
  for (const node of nodesOf(graph)) {
    const at = `${graph.name}: %${node.id} ${node.op}`;
    const record = opTable[node.op] as OpRecord<typeof node.op>;
    const inferred = (
      record.infer as (inputs: readonly Node[], attrs: unknown, declared: unknown) => ReturnType<typeof record.infer>
    )(node.inputs, node.attrs, saysShape(node) ? { shape: node.shape, dtype: node.dtype } : {});
    if (typeof inferred === "string") wrong.push(`${at}: ${inferred}`);
    else if (inferred.dtype !== node.dtype || !sameShape(inferred.shape, node.shape)) {
      wrong.push(
        `${at}: is ${node.dtype}[${node.shape.join(",")}], and the table says ` +
          `${inferred.dtype}[${inferred.shape.join(",")}]`,
      );
    }
    if (node.shape.some((size) => !Number.isInteger(size) || size < 1))
      wrong.push(`${at}: has the shape [${node.shape.join(",")}]`);
    for (const input of node.inputs)
      if (input.id >= node.id) wrong.push(`${at}: reads %${input.id}, which comes later`);
    if (node.op === "parameter" || node.op === "state" || node.op === "input") {
      const before = named.get(node.attrs.name);
      if (before && before !== node) wrong.push(`${at}: the name ${node.attrs.name} stands for two leaves`);
      named.set(node.attrs.name, node);
    }
  }
  for (const [leaf, value] of graph.updates) {
    if (leaf.op !== "parameter" && leaf.op !== "state")
      wrong.push(`${graph.name}: updates %${leaf.id} ${leaf.op}, which does not persist`);
    if (leaf.dtype !== value.dtype || !sameShape(leaf.shape, value.shape)) {
      wrong.push(
        `${graph.name}: %${leaf.id} is ${leaf.dtype}[${leaf.shape.join(",")}], and its new value ` +
          `${value.dtype}[${value.shape.join(",")}]`,
      );
    }
  }
  return wrong;
}
