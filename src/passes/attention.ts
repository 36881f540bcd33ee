/**
 * Finds attention in the products and the softmax that a page writes it with, and makes it the op `attention`, whose
 * kernels keep no value for each pair of a query and a key. Runs before differentiation, so that the derivative is that
 * of the op. It looks for structure: a product of v with softmax(x) summed over the softened axis alone, where x is a
 * product of q and k summed over one axis, through transposes, scalar factors and at most the mask u <= t; and nothing
 * else reads the softmax. Names and orders of axes do not matter. A product that does not match stays as it is.
 *
 * While matching, every axis has a label: the letter of the outer product that it ends in. Axes of q, k and v that all
 * of them pass on to the result are a batch for the op: those before t in q its first axis, the others its heads. An
 * operand that lacks one of them (a key shared by all heads) is repeated, as a view.
 */
import { mustAt, mustGet } from "../../runtime/lookup.js";
import type { Builder } from "../graph/builder.js";
import type { LabelledTensor } from "../graph/contraction.js";
import { createBuilder } from "../graph/create-builder.js";
import { evaluate } from "../graph/evaluate.js";
import type { Graph, Node, NodeWith } from "../graph/node.js";
import { ABSENT } from "../graph/ops/attention.js";
import { letters, type Letters } from "../graph/ops/structure.js";
import { sameShape, sizeOf } from "../graph/record.js";
import { nodesOf, topological } from "../graph/topology.js";
import { remake, rewrite, type MapNode, type Rewritten } from "./rewrite.js";

/** A node of one op, and a label for each of its axes. */
interface LabelledOp<K extends Node["op"]> {
  readonly node: NodeWith<K>;
  readonly labels: readonly string[];
}

interface Match {
  readonly q: LabelledTensor;
  readonly k: LabelledTensor;
  readonly v: LabelledTensor;
  /** The labels of the result. */
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

/** Whether only one node reads a node, and no result is it. */
type IsSingle = (node: Node) => boolean;

/** Rebuilds the graph in `b` with every attention that is found in it; as it is when attention is turned off. */
export function fuseAttention(graph: Graph, b: Builder = createBuilder(), isOn = true): Rewritten {
  const results = new Set([...graph.outputs.values(), ...graph.updates.values()]);
  const readers = new Map<Node, number>();
  for (const node of nodesOf(graph)) for (const input of node.inputs) readers.set(input, (readers.get(input) ?? 0) + 1);
  const isSingle: IsSingle = (node) => readers.get(node) === 1 && !results.has(node);
  return rewrite(graph, (node, now) => {
    const match = isOn && node.op === "contract" ? matchOf(node, isSingle) : null;
    return match ? b.within(node.origin, () => build(b, match, now)) : remake(b, node, node.inputs.map(now));
  });
}

/** The attention that a product is the last part of; null when it is none. */
function matchOf(node: NodeWith<"contract">, isSingle: IsSingle): Match | null {
  const { out } = lettersOf(node);
  const [x, y] = operandsOf(node);
  return fromWeights(x, y, [...out], isSingle) ?? fromWeights(y, x, [...out], isSingle);
}

function lettersOf({ attrs: { spec } }: NodeWith<"contract">): Letters {
  const parts = letters(spec);
  if (!parts) throw new Error(`bug: malformed spec ${spec}`);
  return parts;
}

/** The operands of a product, under its own letters. */
function operandsOf(node: NodeWith<"contract">): readonly [LabelledTensor, LabelledTensor] {
  const spec = lettersOf(node);
  return [
    { node: inputOf(node, 0), labels: [...spec.a] },
    { node: inputOf(node, 1), labels: [...spec.b] },
  ];
}

const inputOf = ({ inputs }: Node, index: number): Node => mustAt(inputs, index);

/** The labels of a broadcast's input, by those of the broadcast. */
const labelsBehind = ({ node, labels }: LabelledOp<"broadcast">): string[] =>
  node.attrs.axes.map((axis) => mustAt(labels, axis));

/** Looks through those transposes that are allowed. */
function behindTransposes(x: LabelledTensor, allowed: (node: Node) => boolean = () => true): LabelledTensor {
  const { node, labels } = x;
  if (node.op !== "broadcast") return x;
  const input = inputOf(node, 0);
  const isTranspose = input.shape.length === node.shape.length && sizeOf(input.shape) === sizeOf(node.shape);
  if (!isTranspose || !allowed(node)) return x;
  return behindTransposes({ node: input, labels: labelsBehind({ node, labels }) }, allowed);
}

/** The attention that is the product of these weights, which are a softmax, and v. */
function fromWeights(
  weights: LabelledTensor,
  v: LabelledTensor,
  out: readonly string[],
  isSingle: IsSingle,
): Match | null {
  const { node: softmax, labels } = behindTransposes(weights, isSingle);
  if (softmax.op !== "softmax" || !isSingle(softmax)) return null;
  const u = mustAt(labels, labels.length - 1);
  const [e, ...others] = v.labels.filter((label) => !labels.includes(label));
  if (e === undefined || others.length || !v.labels.includes(u)) return null;
  if (labels.some((label) => (label === u) === out.includes(label))) return null;

  const masked = unmasked({ node: inputOf(softmax, 0), labels }, u);
  if (!masked) return null;
  const { scores, scale, factors } = unscaled(masked.scores);
  const operands = scoreOperands(scores);
  if (!operands) return null;
  const [q, k] = operands[0].labels.includes(u) ? [operands[1], operands[0]] : operands;
  if (q.labels.includes(u) || !k.labels.includes(u)) return null;

  const rows = q.labels.filter((label) => label !== DEPTH && !k.labels.includes(label) && !v.labels.includes(label));
  const t = masked.t ?? longest(q, rows);
  if (t === null || !rows.includes(t)) return null;
  const batch = labels.filter((label) => label !== t && label !== u);
  const at = q.labels.indexOf(t);
  const lead = q.labels.slice(0, at).filter((label) => batch.includes(label));
  const late = q.labels.slice(at).filter((label) => batch.includes(label));
  const heads = [...late, ...batch.filter((label) => !lead.includes(label) && !late.includes(label))];
  return { q, k, v, out, lead, heads, t, u, d: DEPTH, e, scale, factors, causal: masked.t !== null };
}

/** Of some labels, that of the longest axis, and of as long ones the first; null when there is none. */
function longest({ node, labels }: LabelledTensor, among: readonly string[]): string | null {
  const size = (label: string): number => mustAt(node.shape, labels.indexOf(label));
  return among.reduce<string | null>((best, label) => (best === null || size(label) > size(best) ? label : best), null);
}

/**
 * Takes off the mask u <= t, where there is one: what it guards, and the label of t (null without a mask). Null when
 * there is another mask.
 */
function unmasked(x: LabelledTensor, u: string): { readonly scores: LabelledTensor; readonly t: string | null } | null {
  const scores = behindTransposes(x);
  const { node, labels } = scores;
  if (node.op !== "select") return { scores, t: null };
  const [condition, then, otherwise] = [inputOf(node, 0), inputOf(node, 1), inputOf(node, 2)];
  if (constantOf(otherwise) !== ABSENT) return null;
  const order = behindBroadcasts({ node: condition, labels });
  if (order.node.op !== "le") return null;
  const smaller = positionOf({ node: inputOf(order.node, 0), labels: order.labels });
  const larger = positionOf({ node: inputOf(order.node, 1), labels: order.labels });
  return smaller === u && larger !== null && larger !== u ? { scores: { node: then, labels }, t: larger } : null;
}

/** Looks through all that only moves and repeats. */
function behindBroadcasts(x: LabelledTensor): LabelledTensor {
  const { node, labels } = x;
  if (node.op !== "broadcast") return x;
  return behindBroadcasts({ node: inputOf(node, 0), labels: labelsBehind({ node, labels }) });
}

/** The label of the axis whose index a node is; null when it is no index. */
function positionOf(x: LabelledTensor): string | null {
  const { node, labels } = behindBroadcasts(x);
  if (node.op === "cast") return positionOf({ node: inputOf(node, 0), labels });
  return node.op === "iota" ? mustAt(labels, node.attrs.axis) : null;
}

/** Scores, and the scalars that they are multiplied by: `scale` is the product of the constants among them. */
interface Scaled {
  readonly scores: LabelledTensor;
  readonly scale: number;
  readonly factors: readonly Node[];
}

/** Takes off scalar factors and transposes. */
function unscaled(x: LabelledTensor): Scaled {
  const scores = behindTransposes(x);
  const { node, labels } = scores;
  const behind = (inner: Node, factor: number, scalars: readonly Node[] = []): Scaled => {
    const rest = unscaled({ node: inner, labels });
    return { scores: rest.scores, scale: rest.scale * factor, factors: [...rest.factors, ...scalars] };
  };
  if (node.op === "neg") return behind(inputOf(node, 0), -1);
  if (node.op === "mul" || node.op === "div") {
    const [a, c] = [inputOf(node, 0), inputOf(node, 1)];
    const [inner, factor] = scalarOf(c) ? [a, c] : [c, a];
    const constant = constantOf(factor);
    if (constant !== null && (node.op === "mul" || factor === c))
      return behind(inner, node.op === "mul" ? constant : 1 / constant);
    const scalar = scalarOf(factor);
    if (scalar && node.op === "mul") return behind(inner, 1, [scalar]);
  }
  return { scores, scale: 1, factors: [] };
}

/** The scalar that a node repeats; null when it is something else. */
function scalarOf(node: Node): Node | null {
  const [input] = node.op === "broadcast" ? node.inputs : [];
  return input?.shape.length === 0 ? input : null;
}

/** The value of a repeated scalar that depends on no leaf. */
function constantOf(node: Node): number | null {
  const scalar = scalarOf(node);
  if (!scalar || topological([scalar]).some((part) => part.inputs.length === 0 && part.op !== "constant")) return null;
  const { outputs } = evaluate(
    { name: "constant", outputs: new Map([["value", scalar]]), updates: new Map() },
    new Map(),
  );
  return mustAt(mustGet(outputs, "value"), 0);
}

/** The operands of the product of queries and keys, with outer labels; null when it sums more axes than one. */
function scoreOperands({ node, labels }: LabelledTensor): readonly [LabelledTensor, LabelledTensor] | null {
  if (node.op !== "contract") return null;
  const spec = lettersOf(node);
  if ([...spec.a].filter((letter) => !spec.out.includes(letter)).length !== 1) return null;
  const label = (letter: string): string => {
    const at = spec.out.indexOf(letter);
    return at < 0 ? DEPTH : mustAt(labels, at);
  };
  const [x, y] = operandsOf(node);
  return [
    { node: x.node, labels: x.labels.map(label) },
    { node: y.node, labels: y.labels.map(label) },
  ];
}

/** The op and the views around it. */
function build(b: Builder, match: Match, now: MapNode): Node {
  const { q, k, v, out, lead, heads, t, u, d, e, scale, factors, causal } = match;
  const sizes = new Map(
    [q, k, v].flatMap(({ node, labels }) => labels.map((label, i) => [label, mustAt(node.shape, i)] as const)),
  );
  const shapeOf = (labels: readonly string[]): number[] => labels.map((label) => mustGet(sizes, label));
  /** An operand as [batch, row, heads, last]. */
  const arranged = (x: LabelledTensor, row: string, last: string): Node => {
    const labels = [...lead, row, ...heads, last];
    const axes = x.labels.map((label) => labels.indexOf(label));
    const [batch, many] = [sizeOf(shapeOf(lead)), sizeOf(shapeOf(heads))];
    return b.reshape(b.broadcast(now(x.node), shapeOf(labels), axes), [
      batch,
      mustGet(sizes, row),
      many,
      mustGet(sizes, last),
    ]);
  };
  const plain = arranged(q, t, d);
  const queries = factors.reduce((x, factor) => b.mul(x, b.broadcast(now(factor), x.shape, [])), plain);
  const values = b.attention(queries, arranged(k, u, d), arranged(v, u, e), { scale, causal });
  const labels = [...lead, t, ...heads, e];
  const result = b.reshape(values, shapeOf(labels));
  const isInOrder = sameShape(shapeOf(labels), shapeOf(out)) && labels.every((label, i) => label === out[i]);
  return isInOrder
    ? result
    : b.transpose(
        result,
        out.map((label) => labels.indexOf(label)),
      );
}
