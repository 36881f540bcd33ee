/**
 * A tensor on a set, seen as points: its axes are brought into the order [...each, …point], and those of a vector
 * become one. A parameter on a set is trained through the set's map: what is stored, and what the optimizer moves, are
 * free coordinates, and the value is their image. Under a Riemannian optimizer it is a point itself, and moves on the
 * manifold.
 */
import type { Builder } from "../../graph/builder.js";
import type { Node } from "../../graph/node.js";
import { sizeOf } from "../../graph/record.js";
import { known, valueOf } from "../../graph/sizes.js";
import type { SetInstance } from "../../manifolds/registry.js";
import { rankOf, type Setting } from "../../manifolds/set.js";

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
  readonly pieces: readonly {
    readonly name: string;
    readonly shape: readonly number[];
    readonly axes: readonly string[];
  }[];
  /** Whether the free coordinates have the shape of the tensor, as those of a point are the point's. */
  readonly alike: boolean;
  /** The value, for stored free coordinates. */
  readonly map: (b: Builder, pieces: readonly Node[]) => Node;
}

/**
 * `each`: the positions of the axes that count points; `rows`: of a matrix, those that are its rows together, while all
 * others are its columns.
 */
export function pointsOf(
  { set, options }: SetInstance,
  setting: Setting,
  shape: readonly number[],
  axes: readonly string[],
  each: readonly number[],
  rows: readonly number[] | null = null,
): Points {
  const rank = rankOf(set.point);
  const others = shape.map((_, axis) => axis).filter((axis) => !each.includes(axis));
  const sides = rows ? [rows, others.filter((axis) => !rows.includes(axis))] : others.map((axis) => [axis]);
  const rest = sides.flat();
  const order = rank === 0 ? shape.map((_, axis) => axis) : [...each, ...rest];
  const many = rank === 0 ? shape : each.map((axis) => shape[axis]!);
  const point =
    rank === 0
      ? []
      : rank === 1
        ? [sizeOf(rest.map((axis) => shape[axis]!))]
        : sides.map((side) => sizeOf(side.map((axis) => shape[axis]!)));
  const moved = order.map((axis) => shape[axis]!);
  const whole = [...many, ...point];
  const of = (b: Builder, tensor: Node): Node => b.reshape(b.transpose(tensor, order), whole);
  const back = (b: Builder, points: Node): Node =>
    b.transpose(
      b.reshape(points, moved),
      shape.map((_, axis) => order.indexOf(axis)),
    );
  const free = set.free(point.map(known), options);
  if ("error" in free) throw new Error(`model: ${set.name} ${free.error}`);
  const sizes = free.map((piece) => piece.shape.map((size) => valueOf(size)!));
  // A matrix of several axes is stored with all of them.
  const alike =
    free.length === 1 && sizes[0]!.length === point.length && sizes[0]!.every((size, i) => size === point[i]);
  const pieces = free.map(({ name }, i) => {
    if (alike) return { name: "", shape, axes };
    const own = sizes[i]!.map((_, axis) => (sizes[i]!.length === 1 ? name : `${name}${axis}`));
    return {
      name: free.length === 1 ? "" : name,
      shape: [...many, ...sizes[i]!],
      axes: [...each.map((axis) => axes[axis]!), ...own],
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
    map: (b, nodes) => back(b, set.map(b, alike ? [of(b, nodes[0]!)] : nodes, whole, setting)),
  };
}
