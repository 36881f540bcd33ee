/**
 * What the gain of a stream holds: the definition, shared by the reading that proves claims (`mixing.ts`) and by the
 * graph that measures them (`lower.ts`). The gain is that of the product of a stream's mixes, and a mix is what a
 * connection does to its stream when these are held, its coefficients:
 *
 * - what the block makes that the connection wraps (y = f(z)),
 * - what the map of a set makes,
 * - what any other block makes that leaves out the stream's features: a number a token, a lane or a pair of lanes
 *   (`gate`). Features are the last axis of what the wrapped block reads, or, where there is none, of the stream.
 *
 * Everything else that is made of the stream carries it, and so does a block that keeps the features: it is followed,
 * or differentiated.
 */
import { mustAt } from "../../runtime/lookup.js";
import { partsOf } from "./walk.js";
import type { Axis, Tensor, Typed, TypedOf } from "./typed.js";

/** The call that gives a stream its new value: the connection itself, which is not held. */
const outermost = (value: Typed): Typed => (value.kind === "relabel" ? outermost(value.a) : value);

/** Axes that are one index under several names, as a forest: the parent of an axis is one that it was joined to. */
type AxisForest = Map<Axis, Axis>;

function rootOf(forest: AxisForest, axis: Axis): Axis {
  const parent = forest.get(axis);
  return parent ? rootOf(forest, parent) : axis;
}

function join(forest: AxisForest, names: readonly Axis[], others: readonly Axis[]): void {
  for (const [i, axis] of names.entries()) {
    const [x, y] = [rootOf(forest, axis), rootOf(forest, mustAt(others, i))];
    if (x !== y) forest.set(x, y);
  }
}

/** What a connection calls, and which of its axes are one. */
interface HeldSearch {
  readonly forest: AxisForest;
  readonly calls: TypedOf<"call">[];
  readonly seen: Set<Typed>;
}

/** The calls in `value`, the new value of `stream`, and in the blocks that it calls, whose results are held. */
export function heldIn(value: Typed, stream: Tensor): ReadonlySet<Typed> {
  const search: HeldSearch = { forest: new Map(), calls: [], seen: new Set() };
  visit(search, value);
  const { forest, calls } = search;
  const axes = new Set(stream.axes.map((axis) => rootOf(forest, axis)));
  const reads = calls.find(({ instance }) => instance.wrapped)?.instance.formals[0]?.axes ?? [];
  const features = reads.findLast((axis) => axes.has(rootOf(forest, axis))) ?? stream.axes.at(-1);
  const root = features && rootOf(forest, features);
  const keeps = (call: TypedOf<"call">): boolean =>
    root !== undefined && call.axes.some((axis) => rootOf(forest, axis) === root);
  return new Set(calls.filter((call) => call !== outermost(value) && (call.instance.wrapped || !keeps(call))));
}

function visit(search: HeldSearch, e: Typed): void {
  const { forest, calls, seen } = search;
  if (seen.has(e)) return;
  seen.add(e);
  for (const part of partsOf(e)) visit(search, part);
  switch (e.kind) {
    case "tensor":
      return join(forest, e.tensor.axes, e.axes);
    case "gather":
      return join(forest, e.table.axes.slice(1), e.axes);
    case "relabel":
      return join(forest, e.from, e.axes);
    case "shifted":
      return e.at.forEach(({ offset, terms: [term, ...others] }, i) => {
        if (term && !others.length && offset.value() === 0 && term.step.value() === 1)
          join(forest, [mustAt(e.from, i)], [term.axis]);
      });
    case "call": {
      const { instance } = e;
      calls.push(e);
      join(forest, instance.axes, e.axes);
      if (instance.wrapped) return;
      for (const { value } of instance.body) visit(search, value);
      return visit(search, instance.result);
    }
    default:
  }
}
