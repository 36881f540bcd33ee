/**
 * The axes of a page by what they stand for. An axis goes by other names wherever a tensor is passed on, so axes that
 * stand for the same index are joined into one class. A class knows the instances in which it stands, and whether a
 * unit of it can be left out. None can where its units come from the data, are looked up by position, or are compared
 * or softened along the axis.
 */
import type { Span } from "../../diagnostics/span.js";
import type { Size } from "../../graph/sizes.js";
import { rankOf } from "../../manifolds/set.js";
import { mustAt } from "../../../runtime/lookup.js";
import type { Axis, Reducer, Typed, TypedModel } from "../typed.js";
import { walk, type WalkedPage } from "../walk.js";

/** What of a page says which axes can be shrunk. */
export type ShrinkablePage = WalkedPage &
  Pick<TypedModel, "parameters"> & {
    /** Dims of the page by name, with the sizes that axes get from them. */
    readonly dims: readonly { readonly name: string; readonly size: Size }[];
  };

/** Axes that stand for the same index. */
export interface AxisClass {
  readonly axes: ReadonlySet<Axis>;
  /** Paths of the instances and layers in which they stand; "" for the page. */
  readonly paths: ReadonlySet<string>;
  /** Why no unit of it can be left out, and where; null when each can. */
  readonly barred: Bar | null;
  /** Axes that count free coordinates of matrices over it. */
  readonly squares: ReadonlySet<Axis>;
}

/** A reason why no unit of an axis can be left out. */
interface Bar {
  readonly why: string;
  readonly span: Span;
}

/** Axes that are joined while a page is walked, and what is said of them on the way. */
interface AxisNotes {
  /** The forest of the classes: an axis that is its own parent stands for all of its class. */
  readonly parents: Map<Axis, Axis>;
  readonly places: { readonly axis: Axis; readonly path: string }[];
  readonly bars: (Bar & { readonly axis: Axis })[];
  /** Matrices over the units of `axis`, with the axis of their free coordinates. */
  readonly squares: { readonly axis: Axis; readonly free: Axis; readonly span: Span }[];
}

/** The classes of all axes of a page, in the order in which they are met. */
export function classesOf(page: ShrinkablePage): readonly AxisClass[] {
  const notes: AxisNotes = { parents: new Map(), places: [], bars: [], squares: [] };
  walk(page, (e, path) => noteExpression(notes, e, path));
  for (const { name, axes, value } of page.outputs) bar(notes, axes, `the output \`${name}\` has it`, value.span);
  for (const { tensor, name, on } of page.parameters) {
    note(notes, tensor.axes, name.split(".").slice(0, -1).join("."));
    if (on)
      bar(
        notes,
        tensor.axes.filter((axis) => !on.each.includes(axis)),
        `points of \`${name}\`, which is on ${on.manifold.set.name}, lie along it`,
        on.span,
      );
  }
  return collected(notes);
}

/** The axis that stands for the class of one. */
function rootOf({ parents }: AxisNotes, axis: Axis): Axis {
  let at = axis;
  for (let up = parents.get(at); up && up !== at; up = parents.get(at)) at = up;
  return at;
}

/** Axes, in pairs by their positions, that stand for the same index. */
function join(notes: AxisNotes, a: readonly Axis[], b: readonly Axis[]): void {
  const { parents } = notes;
  for (const [i, axis] of a.entries()) {
    const other = mustAt(b, i);
    for (const member of [axis, other]) if (!parents.has(member)) parents.set(member, member);
    parents.set(rootOf(notes, axis), rootOf(notes, other));
  }
}

/** Axes that stand in an instance or a layer. */
function note(notes: AxisNotes, axes: readonly Axis[], path: string): void {
  for (const axis of axes) {
    join(notes, [axis], [axis]);
    notes.places.push({ axis, path });
  }
}

/** Axes of which no unit can be left out. */
function bar(notes: AxisNotes, axes: readonly Axis[], why: string, span: Span): void {
  for (const axis of axes) notes.bars.push({ axis, why, span });
}

/** What one expression says of its axes. */
function noteExpression(notes: AxisNotes, e: Typed, path: string): void {
  switch (e.kind) {
    case "tensor":
      note(notes, e.axes, path);
      join(notes, e.tensor.axes, e.axes);
      if (e.tensor.kind === "data" || e.tensor.kind === "input")
        bar(notes, e.axes, "it counts what comes from the data", e.span);
      if (e.tensor.kind === "stream") note(notes, e.tensor.axes, "");
      return;
    case "relabel":
      note(notes, e.axes, path);
      return join(notes, e.from, e.axes);
    case "call":
      note(notes, e.axes, path);
      note(notes, e.instance.axes, e.instance.path);
      for (const formal of e.instance.formals) note(notes, formal.axes, e.instance.path);
      return join(notes, e.instance.axes, e.axes);
    case "gather":
      note(notes, e.axes, path);
      join(notes, e.table.axes.slice(1), e.axes);
      return bar(notes, e.table.axes.slice(0, 1), "its units are looked up by number", e.span);
    case "position":
      note(notes, [e.axis], path);
      return bar(notes, [e.axis], "positions along it are compared", e.span);
    case "shifted":
      note(notes, e.axes, path);
      return bar(notes, [...e.from, ...e.axes], "it is read at places that are computed", e.span);
    case "reduce":
      return noteReduction(notes, e);
    case "distance":
      return bar(notes, e.point, "it holds the coordinates of points", e.span);
    case "cross_entropy":
      return bar(notes, [e.classes], "it counts the classes of the loss", e.span);
    case "map":
      return noteMap(notes, e, path);
    default:
      return;
  }
}

/** Reducers for which a unit that is left out is not one that is 0. */
const BARRED: ReadonlySet<Reducer> = new Set<Reducer>([
  "max",
  "min",
  "prod",
  "argmax",
  "softmax",
  "log_softmax",
  "cumsum",
]);

function noteReduction(notes: AxisNotes, e: Extract<Typed, { readonly kind: "reduce" }>): void {
  if (BARRED.has(e.f)) bar(notes, e.axes, `\`${e.f}\` goes along it`, e.span);
  // Such a mean divides by the number of units that the condition lets through, which falls as units are left out.
  else if (e.f === "mean" && e.a.kind === "where")
    bar(notes, e.axes, "it is counted how many of its units a condition lets through", e.span);
}

/** A member of a set: units can be left out of a matrix over them where its set says how. */
function noteMap(notes: AxisNotes, e: Extract<Typed, { readonly kind: "map" }>, path: string): void {
  const { set, options } = e.manifold;
  note(notes, e.axes, path);
  const point = e.axes.slice(e.axes.length - rankOf(set.point));
  const [n, m] = point;
  const [free] = e.free;
  if (!n || !m || !free || !set.units?.(options))
    return bar(
      notes,
      point,
      `points of \`${e.name}\` (${set.name}) lie along it, and nothing is known of those with a unit less`,
      e.span,
    );
  join(notes, [n], [m]);
  note(notes, e.free, path);
  notes.squares.push({ axis: n, free, span: e.span });
}

/** The classes, with what was said of their axes. */
function collected(notes: AxisNotes): readonly AxisClass[] {
  interface Growing extends AxisClass {
    readonly axes: Set<Axis>;
    readonly paths: Set<string>;
    readonly squares: Set<Axis>;
    barred: Bar | null;
  }
  const classes = new Map<Axis, Growing>();
  const classOf = (axis: Axis): Growing => {
    const root = rootOf(notes, axis);
    const before = classes.get(root);
    if (before) return before;
    const added: Growing = { axes: new Set(), paths: new Set(), barred: null, squares: new Set() };
    classes.set(root, added);
    return added;
  };
  for (const { axis, path } of notes.places) {
    const { axes, paths } = classOf(axis);
    axes.add(axis);
    paths.add(path);
  }
  for (const { axis, why, span } of notes.bars) if (notes.parents.has(axis)) classOf(axis).barred ??= { why, span };
  for (const { axis, free } of notes.squares) {
    const { squares } = classOf(axis);
    for (const square of classOf(free).axes) squares.add(square);
  }
  // Pairs of units are left out with their units, not by themselves.
  for (const { free, span } of notes.squares)
    classOf(free).barred ??= { why: "it counts pairs of units of another axis, and is cut with that", span };
  return [...classes.values()];
}
