/**
 * Finds attention in the products and the softmax that a page writes it with, and makes it the op `attention`, whose
 * kernels keep no value for each pair of a query and a key. Runs before differentiation, so that the derivative is that
 * of the op. What is looked for is structure: a product of v with softmax(x) summed over the softened axis alone, where
 * x is a product of q and k summed over one axis, through transposes, scalar factors and at most the mask u <= t; and
 * nothing else reads the softmax. Names and orders of axes do not matter. What does not match stays as it is.
 *
 * While matching, every axis has a label: the letter of the outer product that it ends in. Axes of q, k and v that all
 * of them pass on to the result are a batch for the op: those before t in q its first axis, the others its heads. An
 * operand that lacks one of them (a key shared by all heads) is repeated, as a view.
 */
import { type Builder } from "../graph/builder.js";
import { createBuilder } from "../graph/create-builder.js";
import { evaluate } from "../graph/evaluate.js";
import type { Graph, Node, NodeWith } from "../graph/node.js";
import { ABSENT } from "../graph/ops/attention.js";
import { letters } from "../graph/ops/structure.js";
import { sameShape, sizeOf } from "../graph/record.js";
import { nodesOf, topological } from "../graph/topology.js";
import { remake } from "./rewrite.js";

/** A node, and a label for each of its axes. */
interface Labelled {
  readonly node: Node;
  readonly labels: readonly string[];
}

interface Match {
  readonly q: Labelled;
  readonly k: Labelled;
  readonly v: Labelled;
  readonly out: readonly string[];
  /** Batch axes before t, and after it. */
  readonly lead: readonly string[];
  readonly heads: readonly string[];
  /** Axes of the queries, of the keys, of their product's sum, and of a value. */
  readonly t: string;
  readonly u: string;
  readonly d: string;
  readonly e: string;
  readonly scale: number;
  /** Scalars that are no constants. */
  readonly factors: readonly Node[];
  readonly causal: boolean;
}

/** The axis summed in q . k, which has no letter in the outer product. */
const DEPTH = "depth";

/** Rebuilds the graph in `b` with every attention that is found in it. */
export function fuseAttention(graph: Graph, b: Builder = createBuilder()): Graph {
  const nodes = nodesOf(graph);
  const results = new Set([...graph.outputs.values(), ...graph.updates.values()]);
  const readers = new Map<Node, number>();
  for (const node of nodes) for (const input of node.inputs) readers.set(input, (readers.get(input) ?? 0) + 1);
  const single = (node: Node): boolean => readers.get(node) === 1 && !results.has(node);
  const done = new Map<Node, Node>();
  const now = (node: Node): Node => done.get(node)!;
  for (const node of nodes) {
    const match = node.op === "contract" ? find(node, single) : null;
    done.set(node, match ? b.within(node.origin, () => build(b, match, now)) : remake(b, node, node.inputs.map(now)));
  }
  return {
    name: graph.name,
    outputs: new Map([...graph.outputs].map(([name, node]) => [name, now(node)])),
    updates: new Map([...graph.updates].map(([leaf, node]) => [now(leaf), now(node)])),
  };
}

function find(node: NodeWith<"contract">, single: (node: Node) => boolean): Match | null {
  const spec = letters(node.attrs.spec)!;
  const operands = node.inputs.map((input, i) => ({ node: input, labels: [...(i === 0 ? spec.a : spec.b)] }));
  return (
    fromWeights(operands[0]!, operands[1]!, [...spec.out], single) ??
    fromWeights(operands[1]!, operands[0]!, [...spec.out], single)
  );
}

/** Looks through transposes. */
function behindTransposes({ node, labels }: Labelled, allowed: (node: Node) => boolean = () => true): Labelled {
  if (
    node.op !== "broadcast" ||
    node.inputs[0]!.shape.length !== node.shape.length ||
    sizeOf(node.inputs[0]!.shape) !== sizeOf(node.shape) ||
    !allowed(node)
  )
    return { node, labels };
  return behindTransposes({ node: node.inputs[0]!, labels: node.attrs.axes.map((axis) => labels[axis]!) }, allowed);
}

function fromWeights(
  weights: Labelled,
  v: Labelled,
  out: readonly string[],
  single: (node: Node) => boolean,
): Match | null {
  const p = behindTransposes(weights, single);
  if (p.node.op !== "softmax" || !single(p.node)) return null;
  const u = p.labels[p.labels.length - 1]!;
  const own = v.labels.filter((label) => !p.labels.includes(label));
  if (own.length !== 1 || !v.labels.includes(u) || p.labels.some((label) => (label === u) === out.includes(label)))
    return null;

  let x = behindTransposes({ node: p.node.inputs[0]!, labels: p.labels });
  const masked = x.node.op === "select" ? unmasked(x as Labelled & { readonly node: NodeWith<"select"> }, u) : null;
  if (x.node.op === "select") {
    if (!masked) return null;
    x = behindTransposes(masked.scores);
  }
  const { scores, scale, factors } = unscaled(x);
  if (scores.node.op !== "contract") return null;
  const operands = operandsOf(scores as Labelled & { readonly node: NodeWith<"contract"> });
  if (!operands) return null;
  const [q, k] = operands[0].labels.includes(u) ? [operands[1], operands[0]] : operands;
  if (q.labels.includes(u) || !k.labels.includes(u)) return null;

  const rows = q.labels.filter((label) => label !== DEPTH && !k.labels.includes(label) && !v.labels.includes(label));
  const size = (label: string): number => q.node.shape[q.labels.indexOf(label)]!;
  const t = masked
    ? masked.t
    : rows.reduce<string | undefined>(
        (best, label) => (best === undefined || size(label) > size(best) ? label : best),
        undefined,
      );
  if (t === undefined || !rows.includes(t)) return null;
  const batch = p.labels.filter((label) => label !== t && label !== u);
  const lead = q.labels.slice(0, q.labels.indexOf(t)).filter((label) => batch.includes(label));
  const late = q.labels.slice(q.labels.indexOf(t)).filter((label) => batch.includes(label));
  const heads = [...late, ...batch.filter((label) => !lead.includes(label) && !late.includes(label))];
  return { q, k, v, out, lead, heads, t, u, d: DEPTH, e: own[0]!, scale, factors, causal: masked !== null };
}

/** Takes off the mask u <= t: what it guards, and the label of t. */
function unmasked(
  { node, labels }: Labelled & { readonly node: NodeWith<"select"> },
  u: string,
): { readonly scores: Labelled; readonly t: string } | null {
  const [condition, then, otherwise] = node.inputs as [Node, Node, Node];
  if (constantOf(otherwise) !== ABSENT) return null;
  const order = behindBroadcasts({ node: condition, labels });
  if (order.node.op !== "le") return null;
  const [left, right] = order.node.inputs.map((input) => positionOf({ node: input, labels: order.labels })) as [
    string | null,
    string | null,
  ];
  return left === u && right !== null && right !== u ? { scores: { node: then, labels }, t: right } : null;
}

/** Looks through all that only moves and repeats. */
function behindBroadcasts(x: Labelled): Labelled {
  if (x.node.op !== "broadcast") return x;
  const { axes } = x.node.attrs;
  return behindBroadcasts({ node: x.node.inputs[0]!, labels: axes.map((axis) => x.labels[axis]!) });
}

/** The axis whose index a node is. */
function positionOf(x: Labelled): string | null {
  const { node, labels } = behindBroadcasts(x);
  if (node.op === "cast") return positionOf({ node: node.inputs[0]!, labels });
  return node.op === "iota" ? labels[node.attrs.axis]! : null;
}

/** Takes off scalar factors and transposes. */
function unscaled(x: Labelled): {
  readonly scores: Labelled;
  readonly scale: number;
  readonly factors: readonly Node[];
} {
  const at = behindTransposes(x);
  const { node, labels } = at;
  const step = (inner: Node, factor: number, more: readonly Node[] = []) => {
    const rest = unscaled({ node: inner, labels });
    return { scores: rest.scores, scale: rest.scale * factor, factors: [...rest.factors, ...more] };
  };
  if (node.op === "neg") return step(node.inputs[0]!, -1);
  if (node.op === "mul" || node.op === "div") {
    const [a, c] = node.inputs as [Node, Node];
    const [inner, factor] = scalarOf(c) ? [a, c] : [c, a];
    const constant = constantOf(factor);
    if (constant !== null && (node.op === "mul" || factor === c))
      return step(inner, node.op === "mul" ? constant : 1 / constant);
    const scalar = scalarOf(factor);
    if (scalar && node.op === "mul") return step(inner, 1, [scalar]);
  }
  return { scores: at, scale: 1, factors: [] };
}

const scalarOf = (node: Node): Node | null =>
  node.op === "broadcast" && node.inputs[0]!.shape.length === 0 ? node.inputs[0]! : null;

/** The value of a repeated scalar that depends on no leaf. */
function constantOf(node: Node): number | null {
  const scalar = scalarOf(node);
  if (!scalar || topological([scalar]).some((part) => part.inputs.length === 0 && part.op !== "constant")) return null;
  return evaluate(
    { name: "constant", outputs: new Map([["value", scalar]]), updates: new Map() },
    new Map(),
  ).outputs.get("value")![0]!;
}

/** The operands of the product of queries and keys, with outer labels. */
function operandsOf({
  node,
  labels,
}: Labelled & { readonly node: NodeWith<"contract"> }): readonly [Labelled, Labelled] | null {
  const spec = letters(node.attrs.spec)!;
  if ([...spec.a].filter((letter) => !spec.out.includes(letter)).length !== 1) return null;
  const label = (letter: string): string => (spec.out.includes(letter) ? labels[spec.out.indexOf(letter)]! : DEPTH);
  return [
    { node: node.inputs[0]!, labels: [...spec.a].map(label) },
    { node: node.inputs[1]!, labels: [...spec.b].map(label) },
  ];
}

/** The op and the views around it. */
function build(b: Builder, match: Match, now: (node: Node) => Node): Node {
  const { q, k, v, lead, heads, t, u, d, e, scale, factors, causal } = match;
  const sizes = new Map(
    [q, k, v].flatMap(({ node, labels }) => labels.map((label, i) => [label, node.shape[i]!] as const)),
  );
  const shape = (labels: readonly string[]): number[] => labels.map((label) => sizes.get(label)!);
  const four = (row: string, last: string): number[] => [
    sizeOf(shape(lead)),
    sizes.get(row)!,
    sizeOf(shape(heads)),
    sizes.get(last)!,
  ];
  /** An operand as [batch, row, heads, last]. */
  const arranged = (x: Labelled, row: string, last: string): Node => {
    const all = [...lead, row, ...heads, last];
    return b.reshape(
      b.broadcast(
        now(x.node),
        shape(all),
        x.labels.map((label) => all.indexOf(label)),
      ),
      four(row, last),
    );
  };
  const plain = arranged(q, t, d);
  const queries = factors.reduce((x, factor) => b.mul(x, b.broadcast(now(factor), x.shape, [])), plain);
  const made = b.attention(queries, arranged(k, u, d), arranged(v, u, e), { scale, causal });
  const all = [...lead, t, ...heads, e];
  const result = b.reshape(made, shape(all));
  return sameShape(shape(all), shape(match.out)) && all.every((label, i) => label === match.out[i])
    ? result
    : b.transpose(
        result,
        match.out.map((label) => all.indexOf(label)),
      );
}
