/**
 * A tensor on a set, seen as points: its axes are brought into the order [...each, …point], and those of a vector
 * become one. A parameter on a set is trained through the set's map: what is stored, and what the optimizer moves, are
 * free coordinates, and the value is their image. Under a Riemannian optimizer it is a point itself, and moves on the
 * manifold.
 */
import type { Builder } from "../../graph/builder.js";
import type { Node } from "../../graph/node.js";
import { sizeOf } from "../../graph/record.js";
import { known, numberOf } from "../../graph/sizes.js";
import { mustAt } from "../../../runtime/lookup.js";
import type { SetInstance } from "../../manifolds/registry.js";
import { rankOf, type Setting } from "../../manifolds/set.js";

/** A tensor seen as points of a set. */
export interface Points {
  readonly set: SetInstance["set"];
  readonly setting: Setting;
  /** The positions of the tensor's axes that count points. */
  readonly each: readonly number[];
  /** Of the points: [...each, …point]. */
  readonly shape: readonly number[];
  /** The tensor as points. */
  readonly of: (b: Builder, tensor: Node) => Node;
  /** Points as the tensor. */
  readonly tensor: (b: Builder, points: Node) => Node;
  /** The tensors of free coordinates, by name; "" for the only one. */
  readonly pieces: readonly PointPiece[];
  /** Whether the free coordinates have the shape of the tensor, as those of a point are the point's. */
  readonly alike: boolean;
  /** The value, for stored free coordinates. */
  readonly map: (b: Builder, pieces: readonly Node[]) => Node;
}

/** One tensor of free coordinates, as it is stored. */
export interface PointPiece {
  readonly name: string;
  readonly shape: readonly number[];
  /** Names of its axes, for people. */
  readonly axes: readonly string[];
}

/** A tensor on a set, and which of its axes are what there. */
export interface PointAxes {
  readonly shape: readonly number[];
  /** Names of the axes. */
  readonly axes: readonly string[];
  /** The positions of the axes that count points. */
  readonly each: readonly number[];
  /** Of a matrix, the positions of those that are its rows together, while all others are its columns. */
  readonly rows?: readonly number[] | null;
}

/** The values at some indices of a list. */
const pick = <T>(list: readonly T[], indices: readonly number[]): T[] => indices.map((index) => mustAt(list, index));

/** A tensor as points. Throws where the set has no free coordinates of that size, which elaboration refuses. */
export function pointsOf({ set, options }: SetInstance, setting: Setting, tensor: PointAxes): Points {
  const { shape, axes, each } = tensor;
  const rank = rankOf(set.point);
  const { order, many, point } = layoutOf(rank, tensor);
  const moved = pick(shape, order);
  const whole = [...many, ...point];
  const of = (b: Builder, node: Node): Node => b.reshape(b.transpose(node, order), whole);
  const back = (b: Builder, points: Node): Node =>
    b.transpose(
      b.reshape(points, moved),
      shape.map((_, axis) => order.indexOf(axis)),
    );
  const free = set.free(point.map(known), options);
  if ("error" in free) throw new Error(`model: ${set.name} ${free.error}`);
  const sized = free.map((piece) => ({ name: piece.name, sizes: piece.shape.map(numberOf) }));
  const [first] = sized;
  // A matrix of several axes is stored with all of them.
  const alike =
    first !== undefined &&
    sized.length === 1 &&
    first.sizes.length === point.length &&
    first.sizes.every((size, i) => size === point[i]);
  const pieces = sized.map(({ name, sizes }): PointPiece => {
    if (alike) return { name: "", shape, axes };
    const names = sizes.map((_, axis) => (sizes.length === 1 ? name : `${name}${axis}`));
    return {
      name: sized.length === 1 ? "" : name,
      shape: [...many, ...sizes],
      axes: [...pick(axes, each), ...names],
    };
  });
  return {
    set,
    setting,
    each,
    shape: whole,
    of,
    tensor: back,
    pieces,
    alike,
    map: (b, nodes) => back(b, set.map(b, alike ? [of(b, mustAt(nodes, 0))] : nodes, whole, setting)),
  };
}

/**
 * The tensor's axes in the order [...each, …point], the sizes of those that count points, and the sizes of a point of
 * this rank. Of a set of single numbers every axis counts points.
 */
function layoutOf(
  rank: number,
  { shape, each, rows = null }: PointAxes,
): { readonly order: readonly number[]; readonly many: readonly number[]; readonly point: readonly number[] } {
  const positions = shape.map((_, axis) => axis);
  if (rank === 0) return { order: positions, many: shape, point: [] };
  const others = positions.filter((axis) => !each.includes(axis));
  const sides = rows ? [rows, others.filter((axis) => !rows.includes(axis))] : others.map((axis) => [axis]);
  const order = [...each, ...sides.flat()];
  const many = pick(shape, each);
  const point = rank === 1 ? [sizeOf(pick(shape, sides.flat()))] : sides.map((side) => sizeOf(pick(shape, side)));
  return { order, many, point };
}
