/** Geodesic distances between points of a manifold, as graph. */
import type { Builder } from "../../graph/builder.js";
import type { Labelled } from "../../graph/contraction.js";
import type { Node } from "../../graph/node.js";
import { norm } from "../../manifolds/algebra.js";
import { rankOf, type Setting } from "../../manifolds/set.js";
import type { Typed } from "../typed.js";

/** Brings a value onto labels, and says how the set is meant. */
interface Lent {
  readonly onto: (value: Labelled, labels: readonly string[]) => Node;
  readonly setting: Setting;
}

/** Between x and y, which have the same labels; those of `point` are the points' own. */
export function distanceOf(
  b: Builder,
  { manifold }: Extract<Typed, { readonly kind: "distance" }>,
  [x, y]: readonly [Labelled, Labelled],
  point: readonly string[],
  { onto, setting }: Lent,
): Labelled {
  const { set } = manifold;
  if (set.kind !== "manifold" || !set.distance) throw new Error(`model: ${set.name} has no distance`);
  const labels = x.labels.filter((own) => !point.includes(own));
  const [u, v] = [x, y].map((value) => {
    const node = onto(value, [...labels, ...point]);
    return b.reshape(node, [
      ...node.shape.slice(0, labels.length),
      node.shape.slice(labels.length).reduce((size, n) => size * n, 1),
    ]);
  }) as [Node, Node];
  const found = set.distance(b, u, v, setting);
  // Of a set of single numbers, the vector is a point of a product, whose distance is the root of the sum of squares.
  return { node: rankOf(set.point) === 0 ? norm(b, found, 1) : found, labels };
}
