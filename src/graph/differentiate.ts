/**
 * Reverse-mode differentiation: walks back from the outputs, asking each op's row in the table for the cotangents of
 * its inputs. Only nodes between an output and a wanted leaf are visited.
 */
import { mustAt } from "../../runtime/lookup.js";
import type { Builder } from "./builder.js";
import type { Node } from "./node.js";
import { opTable } from "./ops.js";
import type { GraphTools, OpRecord } from "./record.js";
import { bodyOf, recur } from "./recurrence.js";
import { topological } from "./topology.js";

type AnyVjp = (b: Builder, node: Node, g: Node, tools: GraphTools) => readonly (Node | null)[];

/** What a record that holds a graph of its own differentiates it by; none is evaluated here. */
const tools: GraphTools = {
  parse: bodyOf,
  evaluate: () => {
    throw new Error("bug: a derivative evaluates nothing");
  },
  vjp: (b, outputs, cotangents, wrt, held) => vjp(b, outputs, cotangents, wrt, held),
  recur,
};

/**
 * Cotangents of `wrt` from those of `outputs`, each of its node's shape. What no output depends on gets zeros, and
 * nothing goes through nodes of `held`. Throws an Error that names an op without a derivative.
 */
export function vjp(
  b: Builder,
  outputs: readonly Node[],
  cotangents: readonly Node[],
  wrt: readonly Node[],
  held: ReadonlySet<Node> = new Set(),
): Node[] {
  const order = topological(outputs);
  const wanted = new Set(wrt);
  const active = new Set<Node>();
  for (const node of order)
    if (wanted.has(node) || (!held.has(node) && node.inputs.some((input) => active.has(input)))) active.add(node);
  const reached = new Map<Node, Node>();
  const add = (node: Node, cotangent: Node): void => {
    const before = reached.get(node);
    reached.set(node, before ? b.add(before, cotangent) : cotangent);
  };
  for (const [i, output] of outputs.entries()) add(output, mustAt(cotangents, i));
  for (const node of order.reverse()) {
    const cotangent = reached.get(node);
    if (!cotangent || !active.has(node) || node.inputs.length === 0) continue;
    if (held.has(node) || node.inputs.every((input) => !active.has(input))) continue;
    const record = opTable[node.op] as OpRecord<typeof node.op>;
    if (!record.vjp) throw new Error(`graph: ${node.op} has no derivative`);
    b.within({ ...node.origin, phase: "backward" }, () => {
      const back = (record.vjp as AnyVjp)(b, node, cotangent, tools);
      node.inputs.forEach((input, i) => {
        const part = back[i];
        if (part && active.has(input)) add(input, part);
      });
    });
  }
  return wrt.map((node) => reached.get(node) ?? b.fill(0, node.shape));
}

/** Gradients of a scalar by `wrt`, each of its node's shape, times `scale`. */
export const gradients = (b: Builder, loss: Node, wrt: readonly Node[], scale = b.constant(1)): Node[] =>
  vjp(b, [loss], [scale], wrt);
