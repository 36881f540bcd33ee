/**
 * Hyperbolic space of curvature -c as the Poincaré ball, |x| < 1 / sqrt(c), with the metric lambda^2 of lambda = 2 / (1 - c |x|^2) (Nickel and Kiela,
 * NIPS 2017; Ganea, Bécigneul and Hofmann, Hyperbolic neural networks, NeurIPS 2018). The map is the exponential at the origin, tanh(sqrt(c) |v|) v /
 * (sqrt(c) |v|). At the border the metric is infinite and f32 ends: the members end where sqrt(c) |x| is 1 - MARGIN, and the projection scales to there, the
 * nearest member. Retraction is the exponential at x, the Möbius sum of x and the exponential at the origin of lambda v / 2; transport is along the
 * geodesic, a gyration times the ratio of the lambdas. Distances are 2 / sqrt(c) times the area sine of
 * sqrt(c) |x - y| / sqrt((1 - c |x|^2) (1 - c |y|^2)), which is the artanh(sqrt(c) |(-x) + y|) of the papers and keeps the digits of near points.
 */
import type { Builder } from "../graph/builder.js";
import type { Node } from "../graph/node.js";
import { areaSine, atLeast, atMost, dot, norm, over, scaled } from "./algebra.js";
import { quantity, type Manifold, type Setting } from "./set.js";

const MARGIN = 1e-5;

export const hyperbolic: Manifold = {
  kind: "manifold",
  name: "hyperbolic",
  summary: "points of the Poincaré ball of curvature -curvature: sqrt(curvature) |x| < 1",
  source: "Nickel and Kiela, NIPS 2017; Ganea, Bécigneul and Hofmann, NeurIPS 2018",
  point: "vector",
  options: { curvature: { kind: "real", default: 1, from: 1e-3, to: 1e3 } },
  free: (point) => [{ name: "free", shape: point }],
  start: () => ({ kind: "constant", value: 0 }),
  map: (b, [free], _, setting) => inside(b, expmap0(b, free!, setting), setting),
  project: inside,
  // Of sqrt(c) |x| over 1 - MARGIN.
  violation: (b, x, setting) => {
    const size = b.mul(b.sqrt(curvatures(b, x, setting)), norm(b, x, 1));
    return atLeast(b, b.sub(size, b.fill(1 - MARGIN, size.shape)), 0);
  },
  tolerance: () => 1e-6,
  closed: null,
  adapts: ["curvature"],
  cases: [{ shape: [2], extreme: 100 }, { shape: [7], options: { curvature: 0.5 }, extreme: 100 }],

  tangent: (_, __, v) => v,
  gradient: (b, x, g, setting) => {
    const rest = beside(b, x, setting);
    return b.mul(g, over(b, scaled(b, b.mul(rest, rest), 0.25), g.shape));
  },
  inner: (b, x, u, v, setting) => {
    const rest = beside(b, x, setting);
    return b.div(scaled(b, dot(b, u, v, 1), 4), b.mul(rest, rest));
  },
  retract: (b, x, v, setting) => {
    const ahead = expmap0(b, b.div(v, over(b, beside(b, x, setting), v.shape)), setting);
    return inside(b, moebius(b, x, ahead, setting), setting);
  },
  transport: (b, x, y, v, setting) => {
    const ratio = b.div(beside(b, y, setting), beside(b, x, setting));
    return b.mul(gyration(b, y, b.neg(x), v, setting), over(b, ratio, v.shape));
  },
  distance: (b, x, y, setting) => {
    const root = b.sqrt(curvatures(b, x, setting));
    const chord = b.div(b.mul(root, norm(b, b.sub(x, y), 1)), b.sqrt(b.mul(beside(b, x, setting), beside(b, y, setting))));
    return b.div(scaled(b, areaSine(b, chord), 2), root);
  },
};

const curvatures = (b: Builder, x: Node, setting: Setting): Node => over(b, quantity(b, setting, "curvature"), x.shape.slice(0, -1));

/** 1 - c |x|^2, which is 2 / lambda. */
function beside(b: Builder, x: Node, setting: Setting): Node {
  const square = b.mul(curvatures(b, x, setting), dot(b, x, x, 1));
  return b.sub(b.fill(1, square.shape), square);
}

function expmap0(b: Builder, v: Node, setting: Setting): Node {
  const size = b.mul(b.sqrt(curvatures(b, v, setting)), norm(b, v, 1));
  return b.mul(v, over(b, b.div(b.tanh(size), size), v.shape));
}

function inside(b: Builder, x: Node, setting: Setting): Node {
  const size = b.mul(b.sqrt(curvatures(b, x, setting)), norm(b, x, 1));
  return b.mul(x, over(b, atMost(b, b.div(b.fill(1 - MARGIN, size.shape), size), 1), x.shape));
}

/** Möbius addition of x and y: (1 + 2 c <x, y> + c |y|^2) x + (1 - c |x|^2) y, over 1 + 2 c <x, y> + c^2 |x|^2 |y|^2. */
function moebius(b: Builder, x: Node, y: Node, setting: Setting): Node {
  const c = curvatures(b, x, setting);
  const [xx, yy, xy] = [b.mul(c, dot(b, x, x, 1)), b.mul(c, dot(b, y, y, 1)), scaled(b, b.mul(c, dot(b, x, y, 1)), 2)];
  const one = b.fill(1, c.shape);
  const below = b.add(b.add(one, xy), b.mul(xx, yy));
  const weighted = (point: Node, weight: Node): Node => b.mul(point, over(b, b.div(weight, below), point.shape));
  return b.add(weighted(x, b.add(b.add(one, xy), yy)), weighted(y, b.sub(one, xx)));
}

/**
 * gyr[u, v] w, which is -(u + v) + (u + (v + w)) with Möbius addition, in the linear form of Ungar (Analytic hyperbolic geometry, 2005, section 3.5):
 * w + 2 (p u + q v) / d.
 */
function gyration(b: Builder, u: Node, v: Node, w: Node, setting: Setting): Node {
  const c = curvatures(b, u, setting);
  const by = (x: Node, y: Node): Node => b.mul(c, dot(b, x, y, 1));
  const [uu, vv, uv, uw, vw] = [by(u, u), by(v, v), by(u, v), by(u, w), by(v, w)];
  const p = b.add(b.sub(vw, b.mul(uw, vv)), scaled(b, b.mul(uv, vw), 2));
  const q = b.neg(b.add(b.mul(vw, uu), uw));
  const d = b.add(b.add(b.fill(1, c.shape), scaled(b, uv, 2)), b.mul(uu, vv));
  const part = (point: Node, weight: Node): Node => b.mul(point, over(b, b.div(scaled(b, weight, 2), d), point.shape));
  return b.add(w, b.add(part(u, p), part(v, q)));
}
