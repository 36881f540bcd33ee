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
import { isTaken, type Around } from "../deferred.js";
import { pathOfRepeat } from "../paths.js";
import type { RepeatStatement } from "../statements.js";
import { recurrenceOf, runsOf } from "../runs.js";
import type { BlockInstance, Statement } from "../typed.js";
import { instancesIn } from "../walk.js";
import { defineAll, valueFor, valueOfTensor } from "./expressions.js";
import { mixNode } from "./mixes.js";
import { gatesAround } from "./slots.js";
import { BATCH, inThisLayer, labelsOf, onto, together, type PageLowering, type WrappedBlocks } from "./state.js";

/** Lowers statements one after the other, in the layer that lowering is in. */
export function runAll(state: PageLowering, statements: readonly Statement[]): void {
  for (const group of runsOf(statements))
    if (group.some(recurrenceOf))
      defineAll(
        state,
        group.flatMap((part) => (part.kind === "let" ? [part] : [])),
      );
    else group.forEach((statement) => run(state, statement));
}

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
    case "if": {
      const { condition, then, otherwise } = statement;
      const isThen = isTaken({ kind: "branch", condition, taken: true }, state.counters);
      return runAll(state, isThen ? then : otherwise);
    }
    default:
      statement satisfies never;
  }
}

function runLayers(state: PageLowering, statement: RepeatStatement): void {
  const { name, count: size, shared, body } = statement;
  const count = numberOf(size);
  state.repeats.set(name, count);
  const outer = state.repeatPath;
  state.repeatPath = pathOfRepeat(outer, statement);
  for (let layer = 0; layer < count; layer++)
    inLayer(state, layer, shared, () => {
      if (gatesAround(state.gates, state.repeatPath)) runAll(state, body);
    });
  state.repeatPath = outer;
}

/** Runs a part in a layer of a `repeat`. */
function inLayer(state: PageLowering, layer: number, shared: boolean, part: () => void): void {
  state.counters.push(layer);
  if (!shared) state.layers.push(layer);
  part();
  if (!shared) state.layers.pop();
  state.counters.pop();
}

/**
 * Runs a part once for every layer of these, the outermost first: of `repeat`s by their names, or of all that it stands
 * in, where only layers count that have its branches.
 */
export function inEveryLayer(
  state: PageLowering,
  [outermost, ...inner]: readonly (Around | string)[],
  part: () => void,
): void {
  if (outermost === undefined) return part();
  if (typeof outermost !== "string" && outermost.kind === "branch") {
    if (isTaken(outermost, state.counters)) inEveryLayer(state, inner, part);
    return;
  }
  const [name, shared] = typeof outermost === "string" ? [outermost, false] : [outermost.name, outermost.shared];
  // A `repeat` in a branch that no layer has was not met.
  const count = state.repeats.get(name) ?? 0;
  for (let layer = 0; layer < count; layer++) inLayer(state, layer, shared, () => inEveryLayer(state, inner, part));
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
  const connects = statement.kind === "apply";
  state.connecting = connects;
  const after = b.within({ block: inThisLayer(state, path), phase: "forward", connects }, (): LabelledTensor => {
    const whole = valueFor(state, stream, value);
    if (!gate) return whole;
    const [off, on] = together(state, before, whole);
    return { node: between(b, gate, off.node, on.node), labels: on.labels };
  });
  state.wrapped = null;
  state.connecting = false;
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
