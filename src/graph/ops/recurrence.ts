/**
 * The record of recurrences (`../recurrence.ts`). The value is the fixed point of the body: begun with zeros, every
 * turn makes one more place right. The derivative is a recurrence in the other direction: the cotangent of a place is
 * that of its readers outside and what comes back from the next place, and with the cotangents of all places known,
 * those of the operands are those of the body at all places at once.
 */
import { mustAt } from "../../../runtime/lookup.js";
import type { Builder } from "../builder.js";
import type { Attributes, Graph, Node, NodeWith } from "../node.js";
import { allocate, saysShape, sizeOf, type GraphTools, type OpRecord, type Sample, type Value } from "../record.js";
import { topological } from "../topology.js";

/** The leaf of a body that stands for a tensor that recurs. */
export const stateLeaf = (i: number): string => `s${i}`;
/** The leaf of a body that stands for an operand. */
export const operandLeaf = (i: number): string => `e${i}`;

function evaluateRecurrence(
  { attrs: { body: text, axis, result } }: NodeWith<"recurrence">,
  inputs: readonly Value[],
  { parse, evaluate }: GraphTools,
): Value {
  const body = parse(text);
  const outputs = [...body.outputs.values()];
  const places = mustAt(mustAt(outputs, 0).shape, axis);
  let states: Value[] = outputs.map(({ shape }) => allocate("f32", sizeOf(shape)));
  const operands = inputs.map((value, i) => [operandLeaf(i), value] as const);
  for (let place = 0; place < places; place++) {
    const found = evaluate(body, new Map([...operands, ...states.map((value, i) => [stateLeaf(i), value] as const)]));
    states = outputs.map((_, i) => found.get(`${i}`) ?? allocate("f32", 0));
  }
  return mustAt(states, result);
}

/** The values of a body with these nodes for its leaves. */
function inBuilder(b: Builder, body: Graph, leaves: ReadonlyMap<string, Node>): Node[] {
  const moved = new Map<Node, Node>();
  const now = (node: Node): Node => moved.get(node) ?? node;
  for (const node of topological(body.outputs.values())) {
    const leaf = node.op === "input" ? leaves.get(node.attrs.name) : undefined;
    const said = saysShape(node) ? { shape: node.shape, dtype: node.dtype } : {};
    moved.set(node, leaf ?? b.make(node.op, node.inputs.map(now), node.attrs, said));
  }
  return Array.from(body.outputs.values(), now);
}

function cotangents(
  b: Builder,
  node: NodeWith<"recurrence">,
  g: Node,
  { parse, vjp, recur }: GraphTools,
): (Node | null)[] {
  const { attrs, inputs } = node;
  const body = parse(attrs.body);
  const states = Array.from(body.outputs.values(), ({ shape }, result) =>
    b.make("recurrence", inputs, { ...attrs, result }, { shape, dtype: "f32", epoch: node.epoch }),
  );
  const leaves = new Map([
    ...inputs.map((input, i) => [operandLeaf(i), input] as const),
    ...states.map((state, i) => [stateLeaf(i), state] as const),
  ]);
  // The body at all places at once, which reads what the places before have come to.
  const values = inBuilder(b, body, leaves);
  const held = new Set<Node>([...inputs, ...states]);
  const coming = states.map(({ shape }, i) => b.input(`cotangent ${node.id} ${i}`, shape, "f32"));
  const back = vjp(b, values, coming, states, held);
  const arriving = recur(
    b,
    coming.map((leaf, i) => ({ leaf, value: i === attrs.result ? b.add(g, mustAt(back, i)) : mustAt(back, i) })),
    attrs.axis,
    !attrs.reversed,
  );
  return [...vjp(b, values, arriving, inputs, held)];
}

const draw = (shape: readonly number[]): Sample => ({ shape, dtype: "f32", low: -1, high: 1 });
const once = (body: string, axis: number, reversed = false): Attributes["recurrence"] => ({
  body,
  axis,
  reversed,
  result: 0,
  flops: 1,
});
const before = (rank: number, axis: number, step: number): string =>
  JSON.stringify({
    at: Array.from({ length: rank }, (_, i) => ({ offset: i === axis ? step : 0, terms: [[i, 1]], divisor: 1 })),
  });

/** h[b, t, v] = tanh(x[b, t, v] + h[b, t - 1, u] * back[u, v]) */
const TANH = `graph body {
  %0: f32[2,5,3] = input {"name":"s0"}
  %1: f32[3,3] = input {"name":"e0"}
  %2: f32[2,5,3] = input {"name":"e1"}
  %3: f32[2,5,3] = affine %0 ${before(3, 1, -1)}
  %4: f32[2,5,3] = contract %3, %1 {"spec":"btu,uv->btv"}
  %5: f32[2,5,3] = add %2, %4
  %6: f32[2,5,3] = tanh %5
  output "0" = %6
}`;

/** From the end: c[t, w] = c[t + 1, w] / 2 + x[t, w] * h[t + 1, w], h[t, w] = tanh(c[t, w] + x[t, w]) */
const PAIR = `graph body {
  %0: f32[6,4] = input {"name":"s0"}
  %1: f32[6,4] = input {"name":"s1"}
  %2: f32[6,4] = input {"name":"e0"}
  %3: f32[] = constant {"value":0.5}
  %4: f32[6,4] = broadcast %3 {"axes":[]}
  %5: f32[6,4] = affine %0 ${before(2, 0, 1)}
  %6: f32[6,4] = affine %1 ${before(2, 0, 1)}
  %7: f32[6,4] = mul %5, %4
  %8: f32[6,4] = mul %2, %6
  %9: f32[6,4] = add %7, %8
  %10: f32[6,4] = add %9, %2
  %11: f32[6,4] = tanh %10
  output "0" = %9
  output "1" = %11
}`;

/** Two products of which one needs the other: h[t, v] = tanh(sigmoid(h[t - 1, u] * back[u, w]) * back[w, v]). */
const WIDE = `graph body {
  %0: f32[5,4,17] = input {"name":"s0"}
  %1: f32[17,17] = input {"name":"e0"}
  %2: f32[5,4,17] = affine %0 ${before(3, 1, -1)}
  %3: f32[5,4,17] = contract %2, %1 {"spec":"btu,uv->btv"}
  %4: f32[5,4,17] = sigmoid %3
  %5: f32[5,4,17] = contract %4, %1 {"spec":"btu,uv->btv"}
  %6: f32[5,4,17] = tanh %5
  output "0" = %6
}`;

/** The record of recurrences. */
export const recurrences = {
  recurrence: {
    infer: (inputs, { axis }, { shape }) => {
      if (!shape) return "is made by `recur`";
      if (inputs.some(({ dtype }) => dtype !== "f32")) return "takes f32 operands";
      return axis >= shape.length ? "walks an axis that it has" : { shape, dtype: "f32" };
    },
    evaluate: evaluateRecurrence,
    vjp: cotangents,
    flops: ({ attrs: { flops } }) => flops,
    cases: [
      { attrs: once(TANH, 1), inputs: [draw([3, 3]), draw([2, 5, 3])], declared: { shape: [2, 5, 3] } },
      { attrs: once(PAIR, 0, true), inputs: [draw([6, 4])], declared: { shape: [6, 4] } },
      { attrs: { ...once(PAIR, 0, true), result: 1 }, inputs: [draw([6, 4])], declared: { shape: [6, 4] } },
      { attrs: once(WIDE, 1), inputs: [draw([17, 17])], declared: { shape: [5, 4, 17] } },
    ],
  } satisfies OpRecord<"recurrence">,
};
