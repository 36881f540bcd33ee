/**
 * Graphs as text, printed and parsed: `%5: f32[12,64,128] = mul %3, %4`. Nodes are numbered in the order of the text;
 * attributes are JSON after the operands. Passes are tested by the text before and the text after.
 */
import { mustGet } from "../../runtime/lookup.js";
import { createBuilder } from "./create-builder.js";
import type { Attributes, DType, Graph, Node, Op } from "./node.js";
import { opTable } from "./ops.js";
import { nodesOf } from "./topology.js";

/** The names that the text of a graph gives its nodes: `%0`, `%1`, … Throws for a node that is not in it. */
export function namesOf(graph: Graph): (node: Node) => string {
  const numbers = new Map(nodesOf(graph).map((node, i) => [node, i]));
  return (node) => `%${mustGet(numbers, node)}`;
}

/** One node as a line of the text: `%5: f32[12,64,128] = mul %3, %4`. */
export function printNode(node: Node, name: (node: Node) => string): string {
  const attrs = Object.keys(node.attrs).length ? ` ${JSON.stringify(node.attrs)}` : "";
  const tags = `${node.site ? ` @${node.site}` : ""}${node.epoch ? ` #${node.epoch}` : ""}`;
  const operands = node.inputs.length ? ` ${node.inputs.map(name).join(", ")}` : "";
  return `${name(node)}: ${node.dtype}[${node.shape.join(",")}] = ${node.op}${operands}${attrs}${tags}`;
}

/** A graph as text, which `parseGraph` reads. */
export function printGraph(graph: Graph): string {
  const name = namesOf(graph);
  const lines = nodesOf(graph).map((node) => `  ${printNode(node, name)}`);
  const outputs = [...graph.outputs].map(([key, node]) => `  output ${JSON.stringify(key)} = ${name(node)}`);
  const updates = [...graph.updates].map(([leaf, node]) => `  update ${name(leaf)} = ${name(node)}`);
  return [`graph ${graph.name} {`, ...lines, ...outputs, ...updates, "}"].join("\n");
}

/** Reads what `printGraph` writes. Throws on malformed text, with the line. */
export function parseGraph(text: string): Graph {
  const b = createBuilder();
  const nodes = new Map<string, Node>();
  const outputs = new Map<string, Node>();
  const updates = new Map<Node, Node>();
  let graphName = "";
  const find = (key: string): Node => nodes.get(key) ?? bad(key);
  let line = "";
  function bad(what: string): never {
    throw new Error(`graph: cannot read ${what} in: ${line}`);
  }
  for (line of text.split("\n").map((part) => part.trim())) {
    const head = /^graph (\S+) \{$/.exec(line);
    const output = /^output (".*") = (%\d+)$/.exec(line);
    const update = /^update (%\d+) = (%\d+)$/.exec(line);
    const node =
      /^(%\d+): (f32|u32|bool)\[([\d,]*)\] = (\w+)((?: %\d+,?)*)(?: (\{.*?\}))?(?: @(\S+))?(?: #(\d+))?$/.exec(line);
    if (head) graphName = head[1]!;
    else if (output) outputs.set(JSON.parse(output[1]!) as string, find(output[2]!));
    else if (update) updates.set(find(update[1]!), find(update[2]!));
    else if (node) {
      const [, key, dtype, dims, op, operands, attrs, site, epoch] = node;
      if (!Object.hasOwn(opTable, op!)) bad(`the op ${op}`);
      const inputs = operands!
        .split(",")
        .map((part) => part.trim())
        .filter(Boolean)
        .map(find);
      const shape = dims ? dims.split(",").map(Number) : [];
      nodes.set(
        key!,
        b.make(op as Op, inputs, (attrs ? JSON.parse(attrs) : {}) as Attributes[Op], {
          shape,
          dtype: dtype as DType,
          site: site ?? "",
          epoch: epoch ? Number(epoch) : 0,
        }),
      );
    } else if (line !== "}" && line !== "") bad("this line");
  }
  return { name: graphName, outputs, updates };
}
