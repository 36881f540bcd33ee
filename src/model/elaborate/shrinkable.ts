/**
 * What a page may shrink, found in its typed model. `shrink layers` is a gate for each layer of that `repeat`, `shrink
 * attention` one for each connection of that block in a `repeat`, and `shrink heads`, `shrink mlp.hidden` is a gate for
 * each unit of an axis. An axis goes by other names wherever a tensor is passed on, so axes that stand for the same
 * index are joined first; where all of them are inside one instance, its units are its own (in each layer), and when
 * they reach the page they are the page's (the lanes of a stream).
 *
 * An axis can be shrunk when a closed unit can be left out wherever the axis is used: where it is summed over, by a
 * product, `sum`, `mean` or `rms` (the divisor of a mean stays what it was), and where a doubly stochastic matrix mixes
 * it. What comes from the data, is looked up by position, or is compared or softened along the axis is refused, with
 * the place.
 */
import type { Span } from "../../diagnostics/span.js";
import { show, valueOf, type Size } from "../../graph/sizes.js";
import { rankOf } from "../../manifolds/set.js";
import { fail, unknownName, type Elaboration } from "./scope.js";
import type { Axis, Gate, Statement, TypedModel } from "../typed.js";
import { walk } from "../walk.js";

type Page = Pick<TypedModel, "statements" | "loss" | "outputs" | "parameters"> & {
  /** Dims of the page by name, with the sizes that axes get from them. */
  readonly dims: readonly { readonly name: string; readonly size: Size }[];
};

/** Axes that stand for the same index. */
interface AxisClass {
  readonly axes: Set<Axis>;
  /** Paths of the places where they stand. */
  readonly paths: Set<string>;
  /** Why no unit of it can be left out; null when each can. */
  barred: { readonly why: string; readonly span: Span } | null;
  /** Free coordinates of matrices over it. */
  readonly squares: Set<Axis>;
}

/** A target of `shrink` as written: `heads`, `mlp.hidden`, `layers`. */
export interface Target {
  readonly name: string;
  readonly span: Span;
}

/** The gates of a page. Each target must find something. */
export function gatesOf(state: Elaboration, page: Page, targets: readonly Target[]): readonly Gate[] {
  const classes = classesOf(page);
  const gates: Gate[] = [];
  for (const target of targets) {
    const found = [...layersIn(page.statements, target.name), ...axesCalled(state, page, classes, target)];
    if (!found.length) {
      const known = [
        ...new Set([
          ...repeatsIn(page.statements),
          ...connectionsIn(page.statements),
          ...page.dims.map(({ name }) => name),
          ...namesOf(page),
        ]),
      ];
      unknownName(
        state,
        "MHC501",
        target.span,
        `there is nothing called \`${target.name}\` to shrink: a \`repeat\`, a block in one, a dim, or an ` +
          "axis of a block",
        target.name,
        known,
      );
    }
    for (const gate of found) if (!gates.some(({ name }) => name === gate.name)) gates.push(gate);
  }
  return gates;
}

/** Layers of a `repeat` of this name, and connections in one of a block that is called so. */
export function layersIn(statements: readonly Statement[], name: string, prefix = ""): Gate[] {
  return statements.flatMap((statement): Gate[] => {
    if (statement.kind === "apply")
      return prefix !== "" && statement.path === prefix + name ? [{ kind: "layer", name: statement.path }] : [];
    if (statement.kind !== "repeat") return [];
    const path = `${prefix}${statement.name}.*`;
    return [
      ...(statement.name === name ? [{ kind: "layer", name: path } as const] : []),
      ...layersIn(statement.body, name, `${path}.`),
    ];
  });
}

const repeatsIn = (statements: readonly Statement[]): string[] =>
  statements.flatMap((statement) =>
    statement.kind === "repeat" ? [statement.name, ...repeatsIn(statement.body)] : [],
  );
const connectionsIn = (statements: readonly Statement[]): string[] =>
  statements.flatMap((statement) =>
    statement.kind !== "repeat"
      ? []
      : statement.body.flatMap((part) =>
          part.kind === "apply" ? [part.path.split(".").at(-1)!] : connectionsIn([part]),
        ),
  );

/** `mlp.hidden` and the like, for suggestions. */
const namesOf = ({ parameters }: Page): string[] =>
  parameters.flatMap(({ name, tensor }) => {
    const block = name.split(".").at(-2);
    return block === undefined || block === "*" ? [] : tensor.axes.map((axis) => `${block}.${axis.name}`);
  });

function axesCalled(state: Elaboration, page: Page, classes: readonly AxisClass[], { name, span }: Target): Gate[] {
  const parts = name.split(".");
  const own = parts.at(-1)!;
  const owner = parts.slice(0, -1).join(".");
  const dim = owner === "" ? page.dims.find((one) => one.name === own) : undefined;
  const called = (axis: Axis, found: AxisClass): boolean => {
    if (dim) return show(axis.size) === show(dim.size);
    return (
      axis.name === own &&
      [...found.paths].some((path) => owner === "" || `.${withoutStars(path)}`.endsWith(`.${owner}`))
    );
  };
  const taken = new Set<string>();
  return classes
    .filter((found) => [...found.axes].some((axis) => called(axis, found)))
    .map((found): Gate => {
      const [axis] = [...found.axes];
      if (found.barred)
        return fail(state, "MHC505", span, `\`${name}\` cannot be shrunk: ${found.barred.why}`, {
          notes: [{ message: "here", span: found.barred.span }],
        });
      const { size } = axis!;
      if (valueOf(size) === 1)
        return fail(state, "MHC505", span, `\`${name}\` is 1: nothing of it can be left out`, {
          fix: "take it out of `shrink`",
        });
      const path = commonPath([...found.paths]);
      // Two axes of one size in one block go by their own names there.
      const label =
        [own, ...[...found.axes].map((one) => one.name)].find((one) => !taken.has(`${path}.${one}`)) ??
        `${own}${taken.size}`;
      taken.add(`${path}.${label}`);
      return {
        kind: "axis",
        name: path === "" ? label : `${path}.${label}`,
        path,
        size,
        axes: found.axes,
        squares: found.squares,
      };
    });
}

const withoutStars = (path: string): string => path.replace(/\.\*/g, "");

/** The longest path that all begin with. */
function commonPath(paths: readonly string[]): string {
  const parts = paths.map((path) => path.split("."));
  const [first = []] = parts;
  const end = first.findIndex((part, i) => parts.some((other) => other[i] !== part));
  return (end < 0 ? first : first.slice(0, end)).join(".");
}

function classesOf(page: Page): readonly AxisClass[] {
  const parents = new Map<Axis, Axis>();
  const root = (axis: Axis): Axis => {
    let at = axis;
    for (let up = parents.get(at); up && up !== at; up = parents.get(at)) at = up;
    return at;
  };
  const join = (a: readonly Axis[], b: readonly Axis[]): void =>
    a.forEach((axis, i) => {
      for (const one of [axis, b[i]!]) if (!parents.has(one)) parents.set(one, one);
      parents.set(root(axis), root(b[i]!));
    });
  const places: { readonly axis: Axis; readonly path: string }[] = [];
  const bars: { readonly axis: Axis; readonly why: string; readonly span: Span }[] = [];
  const squares: { readonly axis: Axis; readonly free: Axis; readonly span: Span }[] = [];
  const note = (axes: readonly Axis[], path: string): void =>
    axes.forEach((axis) => {
      join([axis], [axis]);
      places.push({ axis, path });
    });
  const bar = (axes: readonly Axis[], why: string, span: Span): void =>
    axes.forEach((axis) => bars.push({ axis, why, span }));

  walk(page, (e, path) => {
    switch (e.kind) {
      case "tensor":
        note(e.axes, path);
        join(e.tensor.axes, e.axes);
        if (e.tensor.kind === "data" || e.tensor.kind === "input")
          bar(e.axes, "it counts what comes from the data", e.span);
        if (e.tensor.kind === "stream") note(e.tensor.axes, "");
        return;
      case "relabel":
        note(e.axes, path);
        return join(e.from, e.axes);
      case "call":
        note(e.axes, path);
        note(e.instance.axes, e.instance.path);
        e.instance.formals.forEach((formal) => note(formal.axes, e.instance.path));
        return join(e.instance.axes, e.axes);
      case "gather":
        note(e.axes, path);
        join(e.table.axes.slice(1), e.axes);
        return bar([e.table.axes[0]!], "its units are looked up by number", e.span);
      case "position":
        note([e.axis], path);
        return bar([e.axis], "positions along it are compared", e.span);
      case "reduce":
        if (e.f === "max" || e.f === "softmax") return bar(e.axes, `\`${e.f}\` goes along it`, e.span);
        // Such a mean divides by what is there, not by what there was.
        return e.f === "mean" && e.a.kind === "where"
          ? bar(e.axes, "it is counted how many of its units a condition lets through", e.span)
          : undefined;
      case "distance":
        return bar(e.point, "it holds the coordinates of points", e.span);
      case "cross_entropy":
        return bar([e.classes], "it counts the classes of the loss", e.span);
      case "map": {
        note(e.axes, path);
        const point = e.axes.slice(e.axes.length - rankOf(e.manifold.set.point));
        const [free] = e.free;
        if (point.length !== 2 || !free || !e.manifold.set.units?.(e.manifold.options))
          return bar(
            point,
            `points of \`${e.name}\` (${e.manifold.set.name}) lie along it, and nothing is known of those ` +
              "with a unit less",
            e.span,
          );
        join([point[0]!], [point[1]!]);
        note(e.free, path);
        return void squares.push({ axis: point[0]!, free, span: e.span });
      }
      default:
        return;
    }
  });
  for (const { name, axes, value } of page.outputs) bar(axes, `the output \`${name}\` has it`, value.span);
  for (const { tensor, name, on } of page.parameters) {
    const path = name.split(".").slice(0, -1).join(".");
    note(tensor.axes, path);
    if (on)
      bar(
        tensor.axes.filter((axis) => !on.each.includes(axis)),
        `points of \`${name}\`, which is on ${on.manifold.set.name}, lie along it`,
        on.span,
      );
  }

  const classes = new Map<Axis, AxisClass>();
  const classOf = (axis: Axis): AxisClass => {
    const own = root(axis);
    const found = classes.get(own) ?? { axes: new Set(), paths: new Set(), barred: null, squares: new Set() };
    classes.set(own, found);
    return found;
  };
  for (const { axis, path } of places) {
    const found = classOf(axis);
    found.axes.add(axis);
    found.paths.add(path);
  }
  for (const { axis, why, span } of bars) if (parents.has(axis)) classOf(axis).barred ??= { why, span };
  for (const { axis, free } of squares) for (const one of classOf(free).axes) classOf(axis).squares.add(one);
  // Pairs of units are cut with the units, not by themselves.
  for (const { free, span } of squares)
    classOf(free).barred ??= { why: "it counts pairs of units of another axis, and is cut with that", span };
  return [...classes.values()];
}
