/**
 * Parameters as nodes, each declared when it is first read: free ones as they are, those on a set through its map from
 * what is stored, or as points that move on a manifold themselves. What stands in place of an option of a set is made
 * in `settings.ts`.
 */
import type { Cut, Start } from "../../../runtime/plan.js";
import { mustAt } from "../../../runtime/lookup.js";
import type { Builder } from "../../graph/builder.js";
import type { Node } from "../../graph/node.js";
import { sizeOf } from "../../graph/record.js";
import { isFrozen } from "../frozen.js";
import { trainedParameters } from "../liveness.js";
import { matricesOf, type Sides } from "./matrices.js";
import { pointsOf, type Points } from "./points.js";
import { normsIn } from "../quantities.js";
import { settingOf, settingsState, withOpenParts, type SettingsState } from "./settings.js";
import type { Axis, LayerNumbers, Membership, Parameter, StartValue, TypedModel } from "../typed.js";

/** A stored parameter, of one layer where it is in a `repeat`. */
export interface LoweredParameter {
  /** `layers.2.mlp.up`; of several free coordinates of one member, with the name of each behind it. */
  readonly name: string;
  /** Names of its axes, for people. */
  readonly axes: readonly string[];
  readonly shape: readonly number[];
  readonly start: Start;
  readonly doc: string | null;
  readonly node: Node;
  /**
   * Whether weight decay is for it: not for gates, gains and biases unless its group says a decay, nor for what a set
   * holds.
   */
  readonly decay: boolean;
  /** Of a parameter that is a point of a manifold itself, and is moved on it. */
  readonly points: Points | null;
  /** Whether training moves it: not where no gradient reaches it, nor where it is frozen. */
  readonly trained: boolean;
  /** Whether the page says that it stays as it starts. */
  readonly frozen: boolean;
  /** The group of the page that it is in, by its number; null for none. */
  readonly group: number | null;
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
export interface SetUse {
  readonly distances: Node;
  readonly points: Node;
  readonly free: readonly Node[];
}

/** The parameters that lowering has met so far, and what it asks of the page to make them. */
export interface ParameterState {
  readonly b: Builder;
  readonly model: TypedModel;
  readonly matrices: ReadonlyMap<Parameter, Sides>;
  /** The parameters that training moves. */
  readonly trained: ReadonlySet<Parameter>;
  /** Those whose norms are claimed. */
  readonly normed: ReadonlySet<Parameter>;
  /** Whether the optimizer moves points on their manifold. */
  readonly riemannian: boolean;
  readonly settings: SettingsState;
  /** Is told of each parameter on a set, once, under its name with stars for layers. */
  readonly noteUse: (name: string, use: SetUse) => void;
  /** What is stored, by name. */
  readonly declared: Map<string, LoweredParameter>;
  /** Values of parameters on sets, by name. */
  readonly members: Map<string, Node>;
  /** Values of the parameters whose norms are claimed, by name. */
  readonly weights: Map<string, Node>;
}

/** A parameter as it is in one layer. */
export interface ParameterHere {
  readonly parameter: Parameter;
  /** With numbers of layers. */
  readonly name: string;
  readonly shape: readonly number[];
  /** How its axes are cut, by position. */
  readonly cuts: readonly (Cut | null)[];
  /** The layer that it is in. */
  readonly layers: LayerNumbers;
}

/** The state before any parameter has been read. */
export function parameterState(model: TypedModel, b: Builder, noteUse: ParameterState["noteUse"]): ParameterState {
  const state: ParameterState = {
    b,
    model,
    matrices: matricesOf(model),
    trained: trainedParameters(model),
    normed: new Set(model.claims.flatMap(({ quantity }) => normsIn(quantity))),
    riemannian: model.train?.optimizer.riemannian ?? false,
    settings: settingsState(b, model.train?.steps ?? null, (name, shape) => rawParameter(state, name, shape)),
    noteUse,
    declared: new Map(),
    members: new Map(),
    weights: new Map(),
  };
  return state;
}

/** The value of a parameter in one layer, in its shape. */
export function valueOf(state: ParameterState, here: ParameterHere): Node {
  const { parameter, name } = here;
  const node = parameter.on
    ? memberOf(state, here, parameter.on)
    : declare(state, here, { axes: axisNames(parameter), points: null });
  if (state.normed.has(parameter)) state.weights.set(name, node);
  return node;
}

/** The parameter that is learned in place of an option. */
function rawParameter(state: ParameterState, name: string, shape: readonly number[]): Node {
  const parameter = state.model.parameters.find((declared) => declared.name === name);
  if (!parameter) throw new Error(`bug: no parameter stands for ${name}`);
  return valueOf(state, { parameter, name, shape, cuts: [], layers: [] });
}

const axisNames = ({ tensor }: Parameter): string[] => tensor.axes.map((axis) => axis.name);

/** A leaf of the graph, which is stored under that name. `of`: its parameter's name, where it is a piece of one. */
function declare(
  { b, model: { train }, declared, trained, matrices }: ParameterState,
  { parameter, name, shape, cuts, layers }: ParameterHere,
  { axes, points, of = name }: Pick<LoweredParameter, "axes" | "points"> & { readonly of?: string },
): Node {
  const { start, doc, on } = parameter;
  const node = b.parameter(name, shape);
  if (!declared.has(name)) {
    const frozen = isFrozen(train, parameter, of);
    const group = train?.groups.findIndex(({ members }) => members.has(of)) ?? -1;
    declared.set(name, {
      name,
      shape,
      node,
      axes,
      start: startOf(start, layers),
      doc,
      decay: !on && (shape.length >= 2 || train?.groups[group]?.decaysAll === true),
      points,
      trained: trained.has(parameter) && !frozen,
      frozen,
      group: group < 0 ? null : group,
      matrix: matrixOf(matrices.get(parameter), shape),
      cuts: cuts.some((cut) => cut) ? cuts : null,
    });
  }
  return node;
}

/** A matrix with one row or one column is none. */
function matrixOf(sides: Sides | undefined, shape: readonly number[]): Sides | null {
  const size = (axes: readonly number[]): number => sizeOf(axes.map((axis) => mustAt(shape, axis)));
  return sides && Math.min(size(sides.rows), size(sides.columns)) > 1 ? sides : null;
}

/** The value of a parameter on a set, which is made once. */
function memberOf(state: ParameterState, here: ParameterHere, on: Membership): Node {
  const { b, members, settings, noteUse, riemannian } = state;
  const { parameter, name, shape, cuts } = here;
  const before = members.get(name);
  if (before) return before;
  const { manifold, each, rows } = on;
  const positions = (axes: readonly Axis[]): number[] => axes.map((axis) => parameter.tensor.axes.indexOf(axis));
  const axes = axisNames(parameter);
  const points = pointsOf(manifold, settingOf(settings, manifold, { name, layer: layerOf(parameter, name) }), {
    shape,
    axes,
    each: positions(each),
    rows: rows ? positions(rows) : null,
  });
  // What adapts would have no gradient: a point that moves by itself does not depend on it.
  const moves = riemannian && points.set.kind === "manifold" && points.alike && manifold.adapt.length === 0;
  const pieceCuts = points.alike ? cuts : positions(each).map((axis) => cuts[axis] ?? null);
  const free = moves
    ? []
    : points.pieces.map((piece) =>
        declare(
          state,
          { ...here, name: piece.name ? `${name}.${piece.name}` : name, shape: piece.shape, cuts: pieceCuts },
          { axes: piece.axes, points: null, of: name },
        ),
      );
  const node = moves ? declare(state, here, { axes, points }) : points.map(b, withOpenParts(settings, manifold, free));
  members.set(name, node);
  const distances = points.set.violation(b, points.of(b, node), points.setting);
  noteUse(parameter.name, { distances, points: node, free });
  return node;
}

/** The index that stands for the star of a parameter's name. */
function layerOf({ name: pattern }: Parameter, name: string): number {
  const at = pattern.split(".").indexOf("*");
  return at < 0 ? 0 : Number(name.split(".")[at]);
}

/** How a parameter starts, with the numbers that its page gives. */
function startOf(start: StartValue, layers: LayerNumbers): Start {
  const numbers = start.args.map((arg) => arg.value(layers));
  const number = (index: number): number => mustAt(numbers, index);
  switch (start.kind) {
    case "constant":
      return { kind: "constant", value: number(0) };
    case "normal":
      return { kind: "normal", deviation: number(0) };
    case "uniform":
      return { kind: "uniform", from: number(0), to: number(1) };
    case "identity":
      return { kind: "identity", value: number(0) };
    case "first":
      return { kind: "first", value: number(0) };
    case "ramp":
      return { kind: "ramp", center: number(0), spread: number(1) };
    default:
      return start.kind satisfies never;
  }
}
