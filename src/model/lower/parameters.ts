/**
 * Parameters as nodes, each declared when it is first read: free ones as they are, those on a set through its map from
 * what is stored, or as points that move on a manifold themselves. What stands in place of an option of a set is made
 * in `settings.ts`.
 */
import type { Cut, Start } from "../../../runtime/plan.js";
import type { Builder } from "../../graph/builder.js";
import type { Node } from "../../graph/node.js";
import { sizeOf } from "../../graph/record.js";
import { trainedParameters } from "../liveness.js";
import { matricesOf, type Sides } from "./matrices.js";
import { pointsOf, type Points } from "./points.js";
import { normsIn } from "../quantities.js";
import { createSettings } from "./settings.js";
import type { Axis, Parameter, StartValue, TypedModel } from "../typed.js";

export interface LoweredParameter {
  readonly name: string;
  readonly axes: readonly string[];
  readonly shape: readonly number[];
  readonly start: Start;
  readonly doc: string | null;
  readonly node: Node;
  /** Whether weight decay would be of any sense: not for gates, gains and biases, nor for what a set holds. */
  readonly decay: boolean;
  /** Of a parameter that is a point of a manifold itself, and is moved on it. */
  readonly points: Points | null;
  /** Whether training moves it: not where no gradient reaches it. */
  readonly trained: boolean;
  /**
   * How it is a matrix of two columns and rows at least; null for what is none, for the head, and for what is on a set.
   */
  readonly matrix: Sides | null;
  /** How its axes are cut as the model shrinks; null when none is. */
  readonly cuts: readonly (Cut | null)[] | null;
}

/**
 * A use of a set: how far the points are from it, the points, and the free coordinates that they are the images of
 * (none where the points themselves are kept).
 */
export interface Use {
  readonly distances: Node;
  readonly points: Node;
  readonly free: readonly Node[];
}

/** `use` is told of each parameter on a set, once, under its name with stars for layers. */
export function createParameters(model: TypedModel, b: Builder, use: (name: string, use: Use) => void) {
  const declared = new Map<string, LoweredParameter>();
  /** Values of parameters on sets. */
  const members = new Map<string, Node>();
  const weights = new Map<string, Node>();
  const matrices = matricesOf(model);
  const moved = trainedParameters(model);
  const riemannian = model.train?.optimizer.riemannian ?? false;
  const settings = createSettings(model, b, raw);
  const normed = new Set(model.claims.flatMap(({ quantity }) => normsIn(quantity)));

  function matrixOf(parameter: Parameter, shape: readonly number[]): Sides | null {
    const sides = matrices.get(parameter);
    const size = (axes: readonly number[]): number => sizeOf(axes.map((axis) => shape[axis]!));
    return sides && Math.min(size(sides.rows), size(sides.columns)) > 1 ? sides : null;
  }

  function declare(
    name: string,
    parameter: Parameter,
    shape: readonly number[],
    axes: readonly string[],
    points: Points | null,
    cuts: readonly (Cut | null)[],
  ): Node {
    const { start, doc, on } = parameter;
    const node = b.parameter(name, shape);
    if (!declared.has(name))
      declared.set(name, {
        name,
        shape,
        node,
        axes,
        start: startOf(start),
        doc,
        decay: !on && shape.length >= 2,
        points,
        trained: moved.has(parameter),
        matrix: matrixOf(parameter, shape),
        cuts: cuts.some((cut) => cut) ? cuts : null,
      });
    return node;
  }

  /** The value of a parameter under the name that it has in one layer. */
  function value(
    parameter: Parameter,
    name: string,
    shape: readonly number[],
    cuts: readonly (Cut | null)[] = [],
  ): Node {
    const axes = parameter.tensor.axes.map((axis) => axis.name);
    const node = parameter.on
      ? member(parameter, name, shape, axes, cuts)
      : declare(name, parameter, shape, axes, null, cuts);
    if (normed.has(parameter)) weights.set(name, node);
    return node;
  }

  function member(
    parameter: Parameter,
    name: string,
    shape: readonly number[],
    axes: readonly string[],
    cuts: readonly (Cut | null)[],
  ): Node {
    const before = members.get(name);
    if (before) return before;
    const { manifold, each, rows } = parameter.on!;
    const places = (own: readonly Axis[]): number[] => own.map((axis) => parameter.tensor.axes.indexOf(axis));
    const points = pointsOf(
      manifold,
      settings.of(manifold, { name, layer: layerOf(parameter, name) }),
      shape,
      axes,
      places(each),
      rows ? places(rows) : null,
    );
    // What adapts would have no gradient: a point that moves by itself does not depend on it.
    const moves = riemannian && points.set.kind === "manifold" && points.alike && manifold.adapt.length === 0;
    const free = moves
      ? []
      : points.pieces.map((piece) =>
          declare(
            piece.name ? `${name}.${piece.name}` : name,
            parameter,
            piece.shape,
            piece.axes,
            null,
            points.alike ? cuts : places(each).map((axis) => cuts[axis] ?? null),
          ),
        );
    const node = moves
      ? declare(name, parameter, shape, axes, points, cuts)
      : points.map(b, settings.ranked(manifold, free));
    members.set(name, node);
    use(parameter.name, { distances: points.set.violation(b, points.of(b, node), points.setting), points: node, free });
    return node;
  }

  /** The parameter that is learned in place of an option. */
  function raw(name: string, shape: readonly number[]): Node {
    return value(
      model.parameters.find((parameter) => parameter.name === name)!,
      name,
      shape,
    );
  }

  return { declared, weights, adaptations: settings.adaptations, value, settingOf: settings.of };
}

/** The index that stands for the star of a parameter's name. */
function layerOf({ name: pattern }: Parameter, name: string): number {
  const at = pattern.split(".").indexOf("*");
  return at < 0 ? 0 : Number(name.split(".")[at]);
}

function startOf(start: StartValue): Start {
  const [first, second] = start.args.map((arg) => arg.value());
  switch (start.kind) {
    case "constant":
      return { kind: "constant", value: first! };
    case "normal":
      return { kind: "normal", deviation: first! };
    case "uniform":
      return { kind: "uniform", from: first!, to: second! };
    case "identity":
      return { kind: "identity", value: first! };
    case "first":
      return { kind: "first", value: first! };
    case "ramp":
      return { kind: "ramp", center: first!, spread: second! };
    default:
      return start.kind satisfies never;
  }
}
