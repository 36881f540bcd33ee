/**
 * Statements: definitions get their values, streams new ones, and the body of a `repeat` is run once a layer. Of every
 * connection of a stream it is written down what recompute and monitors need to know of it.
 */
import { mustGet } from "../../../runtime/lookup.js";
import { between, unit } from "../../graph/combine.js";
import type { LabelledTensor } from "../../graph/contraction.js";
import type { Node } from "../../graph/node.js";
import { numberOf } from "../../graph/sizes.js";
import { ofItsOwn, type Connection } from "../../graph/streams.js";
import { heldIn } from "../held.js";
import { isIdentity, laneOf, unwatched, type Applied } from "../mixing.js";
import type { BlockInstance, Recurrence, Statement } from "../typed.js";
import { instancesIn } from "../walk.js";
import { defineAll, valueFor, valueOfTensor } from "./expressions.js";
import { mixNode } from "./mixes.js";
import { inOrder } from "./recurrences.js";
import { gatesAround } from "./slots.js";
import { BATCH, inThisLayer, labelsOf, onto, together, type PageLowering, type WrappedBlocks } from "./state.js";

/** Lowers statements one after the other, in the layer that lowering is in. */
export const runAll = (state: PageLowering, statements: readonly Statement[]): void =>
  inOrder(statements.map(withRecurrence), (items) => {
    const [first] = items;
    if (first?.recurrence)
      defineAll(
        state,
        items.flatMap(({ statement }) => (statement.kind === "let" ? [statement] : [])),
      );
    else items.forEach(({ statement }) => run(state, statement));
  });

const withRecurrence = (statement: Statement): { readonly statement: Statement; readonly recurrence?: Recurrence } =>
  statement.kind === "let" && statement.recurrence ? { statement, recurrence: statement.recurrence } : { statement };

function run(state: PageLowering, statement: Statement): void {
  switch (statement.kind) {
    case "let":
      return defineAll(state, [statement]);
    case "apply":
      return change(state, statement, (instance) => instance.path === statement.path);
    case "update": {
      const called = instancesIn(statement.value);
      return change(state, statement, (instance) => called.has(instance));
    }
    case "repeat":
      return runLayers(state, statement);
    default:
      statement satisfies never;
  }
}

function runLayers(
  state: PageLowering,
  { name, count: size, body }: Extract<Statement, { readonly kind: "repeat" }>,
): void {
  const count = numberOf(size);
  state.repeats.set(name, count);
  const outer = state.repeatPath;
  state.repeatPath = `${outer}${outer && "."}${name}.*`;
  for (let layer = 0; layer < count; layer++) {
    state.layers.push(layer);
    if (gatesAround(state.gates, state.repeatPath)) runAll(state, body);
    state.layers.pop();
  }
  state.repeatPath = outer;
}

/** Runs a part once for every layer of these repeats, the outermost first. */
export function inEveryLayer(state: PageLowering, [repeat, ...inner]: readonly string[], part: () => void): void {
  if (repeat === undefined) return part();
  for (let layer = 0; layer < mustGet(state.repeats, repeat); layer++) {
    state.layers.push(layer);
    inEveryLayer(state, inner, part);
    state.layers.pop();
  }
}

/** Gives a stream its new value, and writes down what recompute and monitors need to know of the connection. */
function change(state: PageLowering, statement: Applied, holds: (instance: BlockInstance) => boolean): void {
  const { b, gains, values, chains } = state;
  const { stream, value, path } = statement;
  const gates = gatesAround(state.gates, path);
  if (gates === null) return;
  const gate = gates.length ? gates.reduce((x, y) => b.mul(x, y)) : null;
  const labels = [BATCH, ...labelsOf(state, stream.axes)];
  if (gains) {
    const node = ofItsOwn(b, onto(state, valueOfTensor(state, stream), labels), "stream");
    values.set(stream, { node, labels });
  }
  const before = valueOfTensor(state, stream);
  const wrapped: WrappedBlocks = { holds, uses: [] };
  state.wrapped = wrapped;
  state.holding = gains ? heldIn(value, stream) : null;
  const after = b.within({ block: inThisLayer(state, path), phase: "forward" }, (): LabelledTensor => {
    const whole = valueFor(state, stream, value);
    if (!gate) return whole;
    const [off, on] = together(state, before, whole);
    return { node: between(b, gate, off.node, on.node), labels: on.labels };
  });
  state.wrapped = null;
  state.holding = null;
  values.set(stream, after);
  const connection: Connection = {
    before: before.node,
    after: after.node,
    blocks: wrapped.uses,
    stream: stream.name,
    mix: mixOf(state, statement, gate),
  };
  chains.set(stream, [...(chains.get(stream) ?? []), connection]);
}

/** The mix of the connection that has just been lowered; `gate`: the scalar that closes it, null when nothing can. */
function mixOf(state: PageLowering, statement: Applied, gate: Node | null): Connection["mix"] {
  const { b, mixings } = state;
  const mixing = mustGet(mixings, statement);
  const ofStream = [...mixings].flatMap(([{ stream }, other]) => (stream === statement.stream ? [other] : []));
  if (mixing.kind === "unknown" || unwatched(ofStream) !== null) return { kind: "unknown" };
  if (isIdentity(mixing)) return { kind: "identity" };
  const lane = laneOf(ofStream);
  state.watching = true;
  const { node, outer } = mixNode(state, mixing, lane);
  state.watching = false;
  return { kind: "matrix", lane: lane ?? 0, outer, node: gate ? between(b, gate, unit(b, node.shape), node) : node };
}
