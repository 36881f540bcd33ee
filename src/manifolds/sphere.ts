/**
 * The sphere of vectors of norm `radius`, with the metric of the space around it. The map is x / |x| times the radius;
 * zero, which has no direction (nor has what is SHORT), goes to the first axis. Retraction is the same projection of
 * x + v, transport the projection onto the tangent space of the end: both of first order and cheap (Absil, Mahony and
 * Sepulchre, Optimization algorithms on matrix manifolds, 2008, sections 4.1 and 8.1). Distances are arcs: 2 r
 * atan(|x - y| / |x + y|), which keeps its digits where the arc cosine loses them.
 */
import type { Builder } from "../graph/builder.js";
import type { Node } from "../graph/node.js";
import { arctangent, atLeast, dot, indicator, norm, over, scaled, SHORT, TINY } from "./algebra.js";
import { onlyPiece, quantity, type Manifold, type Setting } from "./set.js";

/** Vectors of one length, as the registry has them. */
export const sphere: Manifold = {
  kind: "manifold",
  name: "sphere",
  summary: "vectors of one length: |x| = radius",
  source: "Absil, Mahony and Sepulchre, Optimization algorithms on matrix manifolds, 2008",
  point: "vector",
  options: { radius: { kind: "real", default: 1, from: 1e-3, to: 1e3 } },
  free: (point) => [{ name: "free", shape: point }],
  start: () => ({ kind: "first", value: 1 }),
  map: (b, pieces, _, setting) => normalized(b, onlyPiece(pieces), setting),
  project: normalized,
  // Relative to the radius: a long vector is as far off as a short one.
  violation: (b, x, setting) =>
    b.abs(b.sub(b.div(norm(b, x, 1), radii(b, x, setting)), b.fill(1, x.shape.slice(0, -1)))),
  tolerance: () => 1e-6,
  bound: (of, _, { radius }) => (of === "norm" ? (radius as number) : { none: "has no rows or columns" }),
  closed: null,
  adapts: () => ["radius"],
  cases: [
    { shape: [1], extreme: 1e6 },
    { shape: [7], extreme: 1e6 },
    { shape: [24], options: { radius: 3 }, extreme: 1e6 },
  ],

  tangent,
  gradient: tangent,
  inner: (b, _, u, v) => dot(b, u, v, 1),
  retract: (b, x, v, setting) => normalized(b, b.add(x, v), setting),
  transport: (b, _, y, v, setting) => tangent(b, y, v, setting),
  distance: (b, x, y, setting) => {
    const [chord, other] = [norm(b, b.sub(x, y), 1), norm(b, b.add(x, y), 1)];
    return scaled(b, b.mul(radii(b, x, setting), arctangent(b, b.div(chord, atLeast(b, other, TINY)))), 2);
  },
};

const radii = (b: Builder, x: Node, setting: Setting): Node =>
  over(b, quantity(b, setting, "radius"), x.shape.slice(0, -1));

function normalized(b: Builder, x: Node, setting: Setting): Node {
  const square = dot(b, x, x, 1);
  const nothing = b.le(square, b.fill(SHORT * SHORT, square.shape));
  const factor = b.div(radii(b, x, setting), b.sqrt(b.select(nothing, b.fill(1, square.shape), square)));
  const first = indicator(b, x.shape, x.shape.length - 1, 0);
  return b.mul(b.select(over(b, nothing, x.shape), first, x), over(b, factor, x.shape));
}

function tangent(b: Builder, x: Node, v: Node, setting: Setting): Node {
  const radius = radii(b, x, setting);
  const along = b.div(dot(b, x, v, 1), b.mul(radius, radius));
  return b.sub(v, b.mul(x, over(b, along, x.shape)));
}
