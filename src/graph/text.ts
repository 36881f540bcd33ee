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
/** A graph as text, its nodes numbered from 0. */
export function printGraph(graph: Graph): string {
  const name = namesOf(graph);
  const lines = nodesOf(graph).map((node) => `  ${printNode(node, name)}`);
  const outputs = [...graph.outputs].map(([key, node]) => `  output ${JSON.stringify(key)} = ${name(node)}`);
  const updates = [...graph.updates].map(([leaf, node]) => `  update ${name(leaf)} = ${name(node)}`);
  return [`graph ${graph.name} {`, ...lines, ...outputs, ...updates, "}"].join("\n");
}

/** What a line of the text is, by its form. */
const HEAD = /^graph (\S+) \{$/;
const OUTPUT = /^output (".*") = (%\d+)$/;
const UPDATE = /^update (%\d+) = (%\d+)$/;
const NODE = new RegExp(
  String.raw`^(%\d+): (f32|u32|bool)\[([\d,]*)\] = (\w+)` + // its name and type, its op
    String.raw`((?: %\d+,?)*)(?: (\{.*?\}))?(?: @(\S+))?(?: #(\d+))?$`, // operands, attributes, site and epoch
);

/** Reads what `printGraph` writes. Throws an Error with the line on malformed text. */
export function parseGraph(text: string): Graph {
  const b = createBuilder();
  const nodes = new Map<string, Node>();
  const outputs = new Map<string, Node>();
  const updates = new Map<Node, Node>();
  let graphName = "";
  for (const line of text.split("\n").map((part) => part.trim())) {
    const bad = (what: string): never => {
      throw new Error(`graph: cannot read ${what} in: ${line}`);
    };
    const nodeOf = (key: string): Node => nodes.get(key) ?? bad(key);
    const [, name] = HEAD.exec(line) ?? [];
    const [, output, result] = OUTPUT.exec(line) ?? [];
    const [, leaf, value] = UPDATE.exec(line) ?? [];
    const node = NODE.exec(line);
    if (name !== undefined) graphName = name;
    else if (output !== undefined && result !== undefined) outputs.set(JSON.parse(output) as string, nodeOf(result));
    else if (leaf !== undefined && value !== undefined) updates.set(nodeOf(leaf), nodeOf(value));
    else if (node) {
      const [, key = "", dtype, dims, op = "", operands = "", attrs, site = "", epoch] = node;
      if (!Object.hasOwn(opTable, op)) bad(`the op ${op}`);
      const inputs = operands
        .split(",")
        .map((part) => part.trim())
        .filter(Boolean)
        .map(nodeOf);
      const parsed = b.make(op as Op, inputs, (attrs ? JSON.parse(attrs) : {}) as Attributes[Op], {
        shape: dims ? dims.split(",").map(Number) : [],
        dtype: dtype as DType,
        site,
        epoch: epoch ? Number(epoch) : 0,
      });
      nodes.set(key, parsed);
    } else if (line !== "}" && line !== "") bad("this line");
  }
  return { name: graphName, outputs, updates };
}
