/**
 * Recurrences as nodes. The definitions are lowered as they stand, with a leaf for every tensor that recurs; `recur`
 * makes the tensors of that, and what else was defined on the way is then read off the whole tensors.
 */
import { mustAt, mustGet } from "../../../runtime/lookup.js";
import type { LabelledTensor } from "../../graph/contraction.js";
import type { Node } from "../../graph/node.js";
import { recur, substitutedLeaves } from "../../graph/recurrence.js";
import type { Definition, Recurrence } from "../typed.js";
import { BATCH, labelHere, labelsOf, onto, shapeOf, type PageLowering } from "./state.js";

/** Gives the tensors of a recurrence their values; `define` gives one the value of its own definition. */
export function recurring(
  state: PageLowering,
  { axis, reversed, states }: Recurrence,
  definitions: readonly Definition[],
  define: (definition: Definition) => void,
): void {
  const { b, values, earlier } = state;
  const tensors = states.map((tensor) => {
    const labels = [BATCH, ...labelsOf(state, tensor.axes)];
    const name = `recurrence ${state.recurrences++}`;
    return { tensor, labels, leaf: b.input(name, shapeOf(state, labels), "f32") };
  });
  for (const { tensor, labels, leaf } of tensors) earlier.set(tensor, { node: leaf, labels });
  definitions.forEach(define);
  const at = (tensor: (typeof tensors)[number]): Node => onto(state, mustGet(values, tensor.tensor), tensor.labels);
  const along = mustAt(tensors, 0).labels.indexOf(labelHere(state, axis));
  const made = recur(
    b,
    tensors.map((tensor) => ({ leaf: tensor.leaf, value: at(tensor) })),
    along,
    reversed,
  );
  const whole = new Map(tensors.map(({ leaf }, i) => [leaf, mustAt(made, i)]));
  for (const { tensor } of definitions) {
    const { node, labels } = mustGet(values, tensor);
    values.set(tensor, { node: mustAt(substitutedLeaves(b, [node], whole), 0), labels });
  }
  for (const [i, { tensor, labels }] of tensors.entries()) {
    earlier.delete(tensor);
    values.set(tensor, { node: mustAt(made, i), labels } satisfies LabelledTensor);
  }
}
