/**
 * Shifted reads as nodes. A read is one `affine`, which is 0 outside of its tensor; where that is not what the page
 * means (under a `max`, behind a function, before an `else`), a read of ones says where there is something.
 */
import { mustAt } from "../../../runtime/lookup.js";
import { axisIndex } from "../../graph/affine.js";
import type { LabelledTensor } from "../../graph/contraction.js";
import type { AffineIndex, Node } from "../../graph/node.js";
import { absentIn } from "../absence.js";
import type { Typed, TypedOf } from "../typed.js";
import { BATCH, labelsOf, onto, shapeOf, together, batchFirst, type PageLowering } from "./state.js";

/** A read of `value`, which is the tensor on its own axes. */
export function shiftedRead(state: PageLowering, e: TypedOf<"shifted">, value: LabelledTensor): LabelledTensor {
  const batched = value.labels.includes(BATCH);
  const labels = [...(batched ? [BATCH] : []), ...labelsOf(state, e.axes)];
  const at: AffineIndex[] = e.at.map(({ offset, terms }) => ({
    offset: offset.value(state.counters),
    terms: terms
      .map(({ axis, step }): [number, number] => [
        labels.indexOf(mustAt(labelsOf(state, [axis]), 0)),
        step.value(state.counters),
      ])
      .filter(([, step]) => step !== 0),
    divisor: 1,
  }));
  const all = batched ? [axisIndex(0), ...at] : at;
  return { node: state.b.affine(value.node, shapeOf(state, labels), all), labels };
}

/** Whether a value is 0 wherever it is absent: a read itself, with its sign changed or not. */
export const vanishes = (e: Typed): boolean =>
  e.kind === "shifted" || (e.kind === "unary" && e.f === "neg" && vanishes(e.a));

/**
 * Where all reads of a value find something, as truth values; null where they always do. `recurring`: with those of
 * tensors in their own definition, which otherwise find 0 before the first place.
 */
export function presenceOf(state: PageLowering, e: Typed, recurring = false): LabelledTensor | null {
  const { b } = state;
  const reads = absentIn(e, recurring).map((read): LabelledTensor => {
    const ones = { node: b.fill(1, shapeOf(state, labelsOf(state, read.from))), labels: labelsOf(state, read.from) };
    const { node, labels } = shiftedRead(state, read, ones);
    return { node: b.eq(node, b.fill(1, node.shape)), labels };
  });
  return reads.length ? both(state, reads) : null;
}

/** Where all of some conditions hold. */
export const both = (state: PageLowering, conditions: readonly LabelledTensor[]): LabelledTensor =>
  conditions.reduce((x, y) => {
    const [a, c] = together(state, x, y);
    return { node: state.b.and(a.node, c.node), labels: a.labels };
  });

/** The one value where a condition holds, else the other. */
export function chosen(
  state: PageLowering,
  condition: LabelledTensor,
  value: LabelledTensor,
  otherwise: LabelledTensor,
): LabelledTensor {
  const labels = batchFirst([...new Set([...value.labels, ...condition.labels, ...otherwise.labels])]);
  const here = (part: LabelledTensor): Node => onto(state, part, labels);
  return { node: state.b.select(here(condition), here(value), here(otherwise)), labels };
}
