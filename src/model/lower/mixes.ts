/**
 * Mixes as nodes, to be watched while training: what a connection does to one axis of its stream, as a matrix for every
 * value of the axes that its coefficients depend on. Of a sum of parts it is the sum of their matrices; a part that
 * leaves the axis as it is has its coefficients on the diagonal.
 */
import { mustAt } from "../../../runtime/lookup.js";
import { contractAll, type LabelledTensor } from "../../graph/contraction.js";
import type { Node } from "../../graph/node.js";
import { rankOf } from "../../manifolds/set.js";
import type { Coefficient, LinearMixing, MixPart } from "../mixing.js";
import { axesOf, type Axis, type Typed, type TypedOf } from "../typed.js";
import { evaluate } from "./expressions.js";
import { gatesOfAxis } from "./slots.js";
import { BATCH, labelHere, labelOf, labelsOf, onto, shapeOf, sizeOfLabel, type PageLowering } from "./state.js";

/** A mix as a node. */
export interface MixNode {
  /** [batch, …outer, lanes, lanes] */
  readonly node: Node;
  /** The places of the outer axes among the stream's, in order. */
  readonly outer: readonly number[];
}

/** The axis that a mix mixes: its place in the stream, and the names of the mix's rows and columns. */
interface LaneAxes {
  readonly lane: number;
  readonly row: Axis;
  readonly column: Axis;
}

/**
 * The matrix by which a connection mixes the axis in the place `lane` of its stream; null: it mixes none, and each
 * matrix is one number. Made while the values of the connection's names are there.
 */
export function mixNode(state: PageLowering, { stream, parts }: LinearMixing, lane: number | null): MixNode {
  const { b } = state;
  const row = lane === null ? undefined : stream.axes[lane];
  const lanes = lane === null || !row ? null : { lane, row, column: { name: row.name, size: row.size } };
  if (lanes) alias(state, lanes.column, lanes.row);
  const depends = (axis: Axis): boolean =>
    parts.some(({ factors }) => factors.some(({ names }) => [...names.values()].includes(axis)));
  const outer = stream.axes.flatMap((axis, place) => (place !== lane && depends(axis) ? [{ axis, place }] : []));
  const axes = [...outer.map(({ axis }) => axis), ...(lanes ? [lanes.row, lanes.column] : [])];
  const labels = [BATCH, ...labelsOf(state, axes)];
  const shape = shapeOf(state, labels);
  const nodes = parts.map((part) => partNode(state, part, lanes, labels));
  const node = nodes.reduce((x, y) => b.add(x, y), b.fill(0, shape));
  return { node: lanes ? node : b.reshape(node, [...shape, 1, 1]), outer: outer.map(({ place }) => place) };
}

/** Gives an axis the size that another has here. */
function alias(state: PageLowering, axis: Axis, of: Axis): void {
  const label = labelOf(state, axis);
  state.sizes.set(label, sizeOfLabel(state, labelHere(state, of)));
}

/** The matrix of one part, on `labels`. */
function partNode(state: PageLowering, part: MixPart, lanes: LaneAxes | null, labels: readonly string[]): Node {
  const { b } = state;
  const read = lanes && mustAt(part.read, lanes.lane);
  const mixes = lanes !== null && read !== lanes.row;
  for (const { axis, of } of part.summed) alias(state, axis, of);
  const here = (axis: Axis): Axis => (mixes && axis === read ? lanes.column : axis);
  const factors = part.factors.map((factor) => factorNode(state, factor, here));
  const isHeld = read !== null && part.factors.some((factor) => isOfMap(state, factor, read));
  for (const { axis, of } of part.summed) {
    const gates = axis === read && isHeld ? null : gatesOfAxis(state.gates, of);
    const label = labelHere(state, here(axis));
    if (gates) factors.push({ node: gates, labels: [label] });
    // What no factor has is counted.
    else if (here(axis) === axis && !factors.some((factor) => factor.labels.includes(label)))
      factors.push({ node: b.constant(sizeOfLabel(state, label)), labels: [] });
  }
  if (lanes && !mixes) {
    const diagonal = labelsOf(state, [lanes.row, lanes.column]);
    const shape = shapeOf(state, diagonal);
    factors.push({ node: b.cast(b.eq(b.iota(shape, 0), b.iota(shape, 1)), "f32"), labels: diagonal });
  }
  if (factors.length === 0) return b.fill(1, shapeOf(state, labels));
  const present = new Set(factors.flatMap((factor) => factor.labels));
  const product = contractAll(
    b,
    factors,
    labels.filter((label) => present.has(label)),
  );
  return onto(state, product, labels);
}

/** Whether a coefficient is the image of a map, with this axis among those of a point. */
function isOfMap(state: PageLowering, { e, names }: Coefficient, axis: Axis): boolean {
  const map = mapOf(state, e);
  if (!map) return false;
  return axesOf(e)
    .slice(-rankOf(map.manifold.set.point))
    .some((pointAxis) => names.get(pointAxis) === axis);
}

/** The map that a value is the image of. */
function mapOf({ maps }: PageLowering, e: Typed): TypedOf<"map"> | null {
  if (e.kind === "map") return e;
  return e.kind === "tensor" ? (maps.get(e.tensor) ?? null) : null;
}

/** A coefficient under the names that its axes have in the mix. */
function factorNode(
  state: PageLowering,
  { e, names, inverse }: Coefficient,
  here: (axis: Axis) => Axis,
): LabelledTensor {
  const { b } = state;
  const value = e.kind === "where" ? evaluate(state, e.condition) : evaluate(state, e);
  const node = e.kind === "where" ? b.cast(value.node, "f32") : value.node;
  const renames = new Map(
    axesOf(e).map((axis) => [labelHere(state, axis), labelHere(state, here(names.get(axis) ?? axis))] as const),
  );
  const labels = value.labels.map((label) => (label === BATCH ? BATCH : (renames.get(label) ?? label)));
  return { node: inverse ? b.div(b.fill(1, node.shape), node) : node, labels };
}
