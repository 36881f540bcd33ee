/**
 * The named parts of the loss, and the metrics, as nodes: a number for each example. A block's loss is noted wherever
 * an instance is lowered, once for each layer, and summed here. Where a layer may be switched off, its losses are
 * multiplied by its gates, as what it adds to the stream is: a layer that is gone adds nothing to either.
 */
import type { LabelledTensor } from "../../graph/contraction.js";
import type { Node } from "../../graph/node.js";
import type { Tensor, Typed, TypedModel } from "../typed.js";
import { callsLosses, partsOf } from "../walk.js";
import { evaluate } from "./expressions.js";
import { BATCH, onto, together, type PageLowering } from "./state.js";

/** The named parts of the loss by name: [batch]. From here on the loss and metrics can read them. */
export function termsOf(state: PageLowering, { terms, loss, outputs }: TypedModel): ReadonlyMap<string, Node> {
  const parts = terms.flatMap((term) => (term.kind === "part" ? [term.value] : []));
  // Blocks that are used beside statements have losses too. What they are given reads no loss.
  for (const e of [...parts, ...(loss ? [loss] : []), ...outputs.map(({ value }) => value)]) lowerLosses(state, e);
  const nodes = new Map<string, Node>();
  for (const term of terms) {
    const value = term.kind === "part" ? evaluate(state, term.value) : sumOf(state, term.uses);
    state.values.set(term.tensor, value);
    nodes.set(term.name, onto(state, value, [BATCH]));
  }
  return nodes;
}

/** The metrics by name: [batch]. What they score is measured, and nothing that can be sampled. */
export function metricsOf(state: PageLowering, { metrics }: TypedModel): ReadonlyMap<string, Node> {
  const heads = state.heads.length;
  const nodes = new Map(metrics.map(({ name, value }) => [name, onto(state, evaluate(state, value), [BATCH])]));
  state.heads.length = heads;
  return nodes;
}

/** Lowers the outermost calls that have losses in them. */
function lowerLosses(state: PageLowering, e: Typed): void {
  if (!callsLosses(e)) return;
  if (e.kind === "call") evaluate(state, e);
  else for (const part of partsOf(e)) lowerLosses(state, part);
}

/** The sum of losses over all that has been lowered. */
function sumOf(state: PageLowering, losses: readonly Tensor[]): LabelledTensor {
  const { b } = state;
  const values = losses.flatMap((loss) => [...(state.losses.get(loss)?.values() ?? [])]);
  const [first = { node: b.constant(0), labels: [] }, ...others] = values;
  return others.reduce((sum, value) => {
    const [x, y] = together(state, sum, value);
    return { node: b.add(x.node, y.node), labels: x.labels };
  }, first);
}
