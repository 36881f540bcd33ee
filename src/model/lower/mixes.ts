/**
 * Mixes as nodes, to be watched while training: what a connection does to one axis of its stream, as a matrix for every
 * value of the axes that its coefficients depend on. Of a sum of parts it is the sum of their matrices; a part that
 * leaves the axis as it is has its coefficients on the diagonal.
 */
import type { Builder } from "../../graph/builder.js";
import { contractAll, type Labelled } from "../../graph/contraction.js";
import type { Node } from "../../graph/node.js";
import { rankOf } from "../../manifolds/set.js";
import type { Coefficient, Linear, Part } from "../mixing.js";
import { axesOf, type Axis, type Typed } from "../typed.js";

/** What lowering lends: its labels and values, while the connection's are there. */
export interface Lent {
  readonly b: Builder;
  readonly batch: string;
  readonly labelsOf: (axes: readonly Axis[]) => readonly string[];
  /** Gives an axis the label and the size of its own that another has. */
  readonly alias: (axis: Axis, of: Axis) => void;
  readonly sizeOf: (label: string) => number;
  readonly evaluate: (e: Typed) => Labelled;
  /** Repeats and reorders to exactly these labels. */
  readonly onto: (value: Labelled, labels: readonly string[]) => Node;
  /** The gates of the units of an axis, [units], where some may close. */
  readonly gatesOf: (axis: Axis) => Node | null;
  /** The map that a value is the image of. */
  readonly mapOf: (e: Typed) => Extract<Typed, { readonly kind: "map" }> | null;
}

export interface Mix {
  /** [batch, …outer, lanes, lanes] */
  readonly node: Node;
  /** The places of the outer axes among the stream's, in order. */
  readonly outer: readonly number[];
}

/** The names of a mix's rows and columns. */
interface Sides {
  readonly lane: number;
  readonly row: Axis;
  readonly column: Axis;
}

/**
 * The matrix by which a connection mixes the axis in the place `lane` of its stream; null: it mixes none, and each
 * matrix is one number.
 */
export function mixNode(lent: Lent, { stream, parts }: Linear, lane: number | null): Mix {
  const { b, batch, labelsOf } = lent;
  const row = lane === null ? null : stream.axes[lane]!;
  const sides = lane === null || !row ? null : { lane, row, column: { name: row.name, size: row.size } };
  if (sides) lent.alias(sides.column, sides.row);
  const depends = (axis: Axis): boolean =>
    parts.some(({ factors }) => factors.some(({ names }) => [...names.values()].includes(axis)));
  const outer = stream.axes.flatMap((axis, i) => (i !== lane && depends(axis) ? [i] : []));
  const labels = [
    batch,
    ...labelsOf([...outer.map((i) => stream.axes[i]!), ...(sides ? [sides.row, sides.column] : [])]),
  ];
  const shape = labels.map(lent.sizeOf);
  const nodes = parts.map((part) => partNode(lent, part, sides, labels));
  const node = nodes.reduce((x, y) => b.add(x, y), b.fill(0, shape));
  return { node: sides ? node : b.reshape(node, [...shape, 1, 1]), outer };
}

function partNode(lent: Lent, part: Part, sides: Sides | null, labels: readonly string[]): Node {
  const { b, labelsOf } = lent;
  const read = sides && part.read[sides.lane]!;
  const mixes = sides !== null && read !== sides.row;
  for (const { axis, of } of part.summed) lent.alias(axis, of);
  const here = (axis: Axis): Axis => (mixes && axis === read ? sides.column : axis);
  const factors = part.factors.map((factor) => factorNode(lent, factor, here));
  const isHeld = part.factors.some(({ e, names }) => {
    const map = lent.mapOf(e);
    return (
      map !== null &&
      axesOf(e)
        .slice(-rankOf(map.manifold.set.point))
        .some((axis) => names.get(axis) === read)
    );
  });
  for (const { axis, of } of part.summed) {
    const gates = axis === read && isHeld ? null : lent.gatesOf(of);
    const own = labelsOf([here(axis)]);
    if (gates) factors.push({ node: gates, labels: own });
    // What no factor has is counted.
    else if (here(axis) === axis && !factors.some((factor) => factor.labels.includes(own[0]!)))
      factors.push({ node: b.constant(lent.sizeOf(own[0]!)), labels: [] });
  }
  if (sides && !mixes) {
    const lanes = labelsOf([sides.row, sides.column]);
    const shape = lanes.map(lent.sizeOf);
    factors.push({ node: b.cast(b.eq(b.iota(shape, 0), b.iota(shape, 1)), "f32"), labels: lanes });
  }
  if (factors.length === 0) return b.fill(1, labels.map(lent.sizeOf));
  const there = new Set(factors.flatMap((factor) => factor.labels));
  return lent.onto(
    contractAll(
      b,
      factors,
      labels.filter((label) => there.has(label)),
    ),
    labels,
  );
}

function factorNode(
  { b, labelsOf, evaluate, batch }: Lent,
  { e, names, inverse }: Coefficient,
  here: (axis: Axis) => Axis,
): Labelled {
  const value = e.kind === "where" ? evaluate(e.condition) : evaluate(e);
  const node = e.kind === "where" ? b.cast(value.node, "f32") : value.node;
  const labels = new Map(
    axesOf(e).flatMap((axis) => [[labelsOf([axis])[0]!, labelsOf([here(names.get(axis) ?? axis)])[0]!] as const]),
  );
  const own = value.labels.map((label) => (label === batch ? batch : (labels.get(label) ?? label)));
  return { node: inverse ? b.div(b.fill(1, node.shape), node) : node, labels: own };
}
