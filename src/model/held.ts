/**
 * What the gain of a stream holds: the definition, shared by the reading that proves claims (`mixing.ts`) and by the
 * graph that measures them (`lower.ts`). The gain is that of the product of a stream's mixes, and a mix is what is left
 * of a connection when its coefficients are held:
 *
 * - what the block makes that the connection wraps (y = f(z)),
 * - what the map of a set makes,
 * - what any other block makes that leaves out the stream's features: a number a token, a lane or a pair of lanes
 *   (`gate`). Features are the last axis of what the wrapped block reads, or, where there is none, of the stream.
 *
 * Everything else that is made of the stream carries it, and so does a block that keeps the features: it is followed,
 * or differentiated.
 */
import { partsOf } from "./walk.js";
import type { Axis, Tensor, Typed } from "./typed.js";

type Call = Extract<Typed, { readonly kind: "call" }>;

/** The call that gives a stream its new value: the connection itself, which is not held. */
const outermost = (value: Typed): Typed => (value.kind === "relabel" ? outermost(value.a) : value);

/** The calls in `value`, the new value of `stream`, and in the blocks that it calls, whose results are held. */
export function heldIn(value: Typed, stream: Tensor): ReadonlySet<Typed> {
  const parents = new Map<Axis, Axis>();
  const root = (axis: Axis): Axis => {
    let at = axis;
    for (let up = parents.get(at); up; up = parents.get(at)) at = up;
    return at;
  };
  /** Axes that are one index under several names. */
  const join = (a: readonly Axis[], b: readonly Axis[]): void =>
    a.forEach((axis, i) => {
      const [x, y] = [root(axis), root(b[i]!)];
      if (x !== y) parents.set(x, y);
    });
  const calls: Call[] = [];
  const seen = new Set<Typed>();
  const visit = (e: Typed): void => {
    if (seen.has(e)) return;
    seen.add(e);
    partsOf(e).forEach(visit);
    switch (e.kind) {
      case "tensor":
        return join(e.tensor.axes, e.axes);
      case "gather":
        return join(e.table.axes.slice(1), e.axes);
      case "relabel":
        return join(e.from, e.axes);
      case "call": {
        calls.push(e);
        join(e.instance.axes, e.axes);
        if (e.instance.wrapped) return;
        e.instance.body.forEach((definition) => visit(definition.value));
        return visit(e.instance.result);
      }
      default:
    }
  };
  visit(value);
  const axes = new Set(stream.axes.map(root));
  const reads = calls.find(({ instance }) => instance.wrapped)?.instance.formals[0]?.axes ?? [];
  const features = reads.findLast((axis) => axes.has(root(axis))) ?? stream.axes.at(-1);
  const keeps = (call: Call): boolean =>
    features !== undefined && call.axes.some((axis) => root(axis) === root(features));
  return new Set(calls.filter((call) => call !== outermost(value) && (call.instance.wrapped || !keeps(call))));
}
