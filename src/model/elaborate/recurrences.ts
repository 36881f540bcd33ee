/**
 * Recurrences: `h[t, v] = tanh(x[t, v] + h[t - 1, u] * back[u, v])`. A definition may read other places of a tensor
 * that is being defined, or is defined further down in the same body; from the first that does to the last that is
 * awaited, the definitions belong together and are computed place by place. This file finds them and says what does not
 * go so: everything that is read of them is of the same place, but for the tensors that recur, of which it is an
 * earlier one (or always a later one).
 */
import type { AnyItem, Ident, Indexed, Let } from "../../../grammar/ast.js";
import { mustAt } from "../../../runtime/lookup.js";
import type { Span } from "../../diagnostics/span.js";
import { axesOf, type Axis, type Definition, type Tensor, type Typed, type TypedOf } from "../typed.js";
import { partsOf } from "../walk.js";
import { axisNamed } from "./axes.js";
import {
  definedTensor,
  fail,
  floatTensor,
  lookup,
  type Defining,
  type Elaboration,
  type OpenRecurrence,
  type Scope,
} from "./scope.js";

/** The scope and the definition of a name that is defined further down; null when there is none. */
function lookBelow(scope: Scope, name: string): { readonly owner: Scope; readonly item: Let } | null {
  if (lookup(scope, name)) return null;
  for (let at: Scope | null = scope; at; at = at.parent) {
    const item = at.defining.lets.get(name);
    if (item) return { owner: at, item };
  }
  return null;
}

/** The definition of a name that stands further down in the bodies around a place; null when there is none. */
export const definedBelow = (scope: Scope, name: string): Let | null => lookBelow(scope, name)?.item ?? null;

/** The definitions and declarations of a body by name, so that those further down are known. */
export function noteNames(body: Defining, items: readonly AnyItem[]): void {
  for (const item of items) {
    if (item.kind === "let" && !body.lets.has(item.name.name)) body.lets.set(item.name.name, item);
    const name = declaredBy(item);
    if (name && !body.declared.has(name.name)) body.declared.set(name.name, name);
  }
}

/** The name that means something from an item on; null where it is of another kind. */
function declaredBy(item: AnyItem): Ident | null {
  switch (item.kind) {
    case "dim":
    case "number":
    case "data":
    case "manifold":
    case "stream":
    case "input":
    case "param":
    case "let":
      return item.name;
    default:
      return null;
  }
}

/**
 * The tensor that a computed index reads other places of, if it is one of those that are being defined: the one whose
 * definition this is, one further down, or one before it in the same recurrence. Null for any other.
 */
export function recurringTensor(state: Elaboration, e: Indexed, scope: Scope): Tensor | null {
  const [{ name }, second] = e.base.parts;
  if (second) return null;
  const below = lookBelow(scope, name);
  if (!below) return memberNamed(scope, name);
  const { owner, item } = below;
  const open = (owner.defining.open ??= newRecurrence());
  const known = open.awaited.get(name);
  if (known) return known;
  if (!item.axes)
    return fail(state, "MHC233", e.span, `\`${name}\` is read before it is defined, and its axes are not known`, {
      notes: [{ message: "it is defined here", span: item.name.span }],
      fix: `name the axes on its left side: \`${name}[t, w] = …\``,
    });
  const tensor = floatTensor(
    "let",
    item.name,
    item.axes.map((ident) => axisNamed(state, ident, owner)),
  );
  open.awaited.set(name, tensor);
  open.recurrence.states.push(tensor);
  return tensor;
}

/** A tensor of the open recurrence that has been defined already: from now on it recurs. */
function memberNamed(scope: Scope, name: string): Tensor | null {
  for (let at: Scope | null = scope; at; at = at.parent) {
    const entity = at.names.get(name);
    if (!entity) continue;
    const { open } = at.defining;
    if (entity.kind !== "tensor" || !open?.members.some(({ tensor }) => tensor === entity.tensor)) return null;
    const { states } = open.recurrence;
    if (!states.includes(entity.tensor)) states.push(entity.tensor);
    return entity.tensor;
  }
  return null;
}

const newRecurrence = (): OpenRecurrence => ({
  recurrence: { axis: { name: "", size: { kind: "variable", name: "", bound: null } }, reversed: false, states: [] },
  members: [],
  awaited: new Map(),
});

/** The tensor of a definition: the one that was read before, or a new one. */
export const tensorOf = (
  body: Defining,
  item: Let,
  axes: readonly Axis[],
  kind: Pick<Tensor, "dtype" | "range">,
): Tensor => body.open?.awaited.get(item.name.name) ?? definedTensor(item.name, axes, kind);

/** A definition as it has been read; the last one that a recurrence waits for closes it. */
export function noteDefinition(state: Elaboration, body: Defining, tensor: Tensor, value: Typed): Definition {
  const { open } = body;
  if (!open) return { tensor, value };
  const definition: Definition = { tensor, value, recurrence: open.recurrence };
  open.members.push(definition);
  open.awaited.delete(tensor.name);
  if (open.awaited.size > 0) return definition;
  body.open = null;
  close(state, open);
  return definition;
}

/** Refuses what stands between the definitions of a recurrence and is none of them. */
export function refuseBetween(state: Elaboration, body: Defining, span: Span): void {
  const [name] = body.open?.awaited.keys() ?? [];
  if (name === undefined) return;
  body.open = null;
  fail(state, "MHC233", span, `this stands between the definitions of a recurrence, which waits for \`${name}\``, {
    fix: "put it before them or behind",
  });
}

/** Finds the axis of a recurrence, and checks that all of it goes along. */
function close(state: Elaboration, { recurrence, members }: OpenRecurrence): void {
  const reads = members.flatMap(({ value }) => readsIn(value)).filter(({ recurs }) => recurs);
  const shifts = reads.map((read) => shiftOf(state, read));
  const first = mustAt(shifts, 0);
  for (const shift of shifts) {
    if (shift.axis !== first.axis)
      fail(state, "MHC233", shift.span, `a recurrence goes along one axis, and this along \`${shift.axis.name}\``, {
        notes: [{ message: `here it goes along \`${first.axis.name}\``, span: first.span }],
        fix: `read what is beside along \`${shift.axis.name}\` of a tensor that is no part of the recurrence`,
      });
    if (shift.step < 0 !== first.step < 0)
      fail(state, "MHC233", shift.span, "a recurrence goes one way, and this reads the other", {
        notes: [{ message: `here it reads ${first.step < 0 ? "earlier" : "later"} places`, span: first.span }],
        fix: "define two tensors, one for each way, and add them",
      });
  }
  const waiting = new Map<Tensor, Axis>();
  for (const tensor of recurrence.states) {
    if (!tensor.axes.includes(first.axis))
      fail(
        state,
        "MHC233",
        tensor.span,
        `\`${tensor.name}\` recurs along \`${first.axis.name}\`, and has no such axis`,
      );
    waiting.set(tensor, first.axis);
  }
  for (const { tensor, value } of members) {
    if (!isWaiting(value, waiting)) continue;
    goesAlong(state, value, first.axis, waiting);
    waiting.set(tensor, first.axis);
  }
  recurrence.axis = first.axis;
  recurrence.reversed = first.step > 0;
}

/** The reads at computed indices in a value; those in the bodies of blocks are of other tensors. */
const readsIn = (e: Typed): readonly TypedOf<"shifted">[] => (e.kind === "shifted" ? [e] : partsOf(e).flatMap(readsIn));

/** Along which axis a read of a recurring tensor goes, and how far. */
function shiftOf(
  state: Elaboration,
  read: TypedOf<"shifted">,
): { readonly axis: Axis; readonly step: number; readonly span: Span } {
  const moved = read.at.flatMap(({ offset, terms: [term, ...others] }, i) => {
    const declared = mustAt(read.from, i);
    const step = offset.value();
    return term?.axis === declared && !others.length && term.step.value() === 1 && step !== 0
      ? [{ axis: declared, step, span: read.span }]
      : [];
  });
  const [shift, second] = moved;
  const others = read.at.filter((_, i) => read.from[i] !== shift?.axis);
  const mixes = others.some(({ terms }) => terms.some(({ axis }) => axis === shift?.axis));
  if (!shift || second || mixes)
    return fail(state, "MHC233", read.span, "a tensor in its own definition is read at an earlier place of one axis", {
      fix: "write the axis of its left side and a number, `h[t - 1, …]`, and the other axes by their names",
    });
  return shift;
}

/** Whether a value depends on tensors that are computed place by place. */
const isWaiting = (e: Typed, waiting: ReadonlyMap<Tensor, Axis>): boolean =>
  (e.kind === "tensor" && waiting.has(e.tensor)) || partsOf(e).some((part) => isWaiting(part, waiting));

/** Checks that a value needs of the waiting tensors its own place along `along`, or earlier ones that recur. */
function goesAlong(state: Elaboration, e: Typed, along: Axis, waiting: ReadonlyMap<Tensor, Axis>): void {
  if (!isWaiting(e, waiting)) return;
  const refuse = (why: string): never =>
    fail(state, "MHC233", e.span, `${why}, and a recurrence is computed place by place along \`${along.name}\``, {
      fix: "what needs all places is computed behind the recurrence",
    });
  switch (e.kind) {
    case "tensor": {
      const declared = waiting.get(e.tensor);
      const at = declared ? e.tensor.axes.indexOf(declared) : -1;
      return at >= 0 && e.axes[at] !== along ? refuse(`all places of \`${e.tensor.name}\` are read here`) : undefined;
    }
    case "shifted":
      return e.recurs ? undefined : refuse("other places of what waits for the recurrence are read here");
    case "reduce":
      if (e.axes.includes(along)) refuse(`\`${e.f}\` goes along that axis`);
      return goesAlong(state, e.a, along, waiting);
    case "product":
      if (e.summed.includes(along)) refuse("this is summed over that axis");
      return e.factors.forEach((factor) => goesAlong(state, factor.e, along, waiting));
    case "call":
      return callGoesAlong(state, e, along, waiting);
    case "map":
    case "distance":
    case "cross_entropy":
      return refuse("sets, distances and losses take no values that wait for a recurrence");
    case "relabel": {
      const at = e.axes.indexOf(along);
      return at < 0 ? refuse("that axis is gone here") : goesAlong(state, e.a, mustAt(e.from, at), waiting);
    }
    default:
      return partsOf(e).forEach((part) => goesAlong(state, part, along, waiting));
  }
}

/** The same of a block: its formals wait along the axes that stand for `along` there. */
function callGoesAlong(
  state: Elaboration,
  { instance, args, axes, span }: TypedOf<"call">,
  along: Axis,
  waiting: ReadonlyMap<Tensor, Axis>,
): void {
  const inside = new Map(waiting);
  let own: Axis | null = null;
  for (const [i, arg] of args.entries()) {
    if (!isWaiting(arg, waiting)) continue;
    // An argument has the axes of its formal; under its own names it is behind them.
    const [inner, names] = arg.kind === "relabel" ? [arg.a, arg.from] : [arg, axesOf(arg)];
    goesAlong(state, inner, along, waiting);
    const formal = mustAt(instance.formals, i);
    const at = names.indexOf(along);
    const axis = at < 0 ? undefined : formal.axes[at];
    if (!axis || (own && own !== axis))
      fail(state, "MHC233", span, `\`${instance.block}\` is not given its tensors place by place`);
    own = axis ?? null;
    if (axis) inside.set(formal, axis);
  }
  if (!own) return;
  for (const { tensor, value, recurrence } of instance.body) {
    if (!isWaiting(value, inside)) continue;
    if (recurrence) fail(state, "MHC233", span, `\`${instance.block}\` is a recurrence itself, inside of another`);
    goesAlong(state, value, own, inside);
    if (tensor.axes.includes(own)) inside.set(tensor, own);
  }
  if (!isWaiting(instance.result, inside)) return;
  goesAlong(state, instance.result, own, inside);
  if (axes[instance.axes.indexOf(own)] !== along)
    fail(state, "MHC233", span, `what \`${instance.block}\` gives is not of the same place`);
}
