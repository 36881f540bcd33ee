/** Geodesic distances between points of a manifold, as graph. */
import type { LabelledTensor } from "../../graph/contraction.js";
import type { Node } from "../../graph/node.js";
import { norm } from "../../manifolds/algebra.js";
import { rankOf } from "../../manifolds/set.js";
import type { TypedOf } from "../typed.js";
import { settingOf } from "./settings.js";
import { labelsOf, onto, type PageLowering } from "./state.js";

/** Between x and y, which have the same labels. Throws where the set has no distance, which elaboration refuses. */
export function distanceOf(
  state: PageLowering,
  { manifold, point }: TypedOf<"distance">,
  x: LabelledTensor,
  y: LabelledTensor,
): LabelledTensor {
  const { b } = state;
  const { set } = manifold;
  if (set.kind !== "manifold" || !set.distance) throw new Error(`model: ${set.name} has no distance`);
  const pointLabels = labelsOf(state, point);
  const labels = x.labels.filter((label) => !pointLabels.includes(label));
  /** The points as vectors: [...labels, values]. */
  const vectors = (value: LabelledTensor): Node => {
    const node = onto(state, value, [...labels, ...pointLabels]);
    return b.reshape(node, [
      ...node.shape.slice(0, labels.length),
      node.shape.slice(labels.length).reduce((size, n) => size * n, 1),
    ]);
  };
  const setting = settingOf(state.parameters.settings, manifold);
  const distances = set.distance(b, vectors(x), vectors(y), setting);
  // Of a set of single numbers, the vector is a point of a product, whose distance is the root of the sum of squares.
  return { node: rankOf(set.point) === 0 ? norm(b, distances, 1) : distances, labels };
}
