/**
 * Hyperbolic space of curvature -c as the Poincaré ball, |x| < 1 / sqrt(c), with the metric lambda^2 of lambda = 2 /
 * (1 - c |x|^2) (Nickel and Kiela, NIPS 2017; Ganea, Bécigneul and Hofmann, Hyperbolic neural networks, NeurIPS 2018).
 * The map is the exponential at the origin, tanh(sqrt(c) |v|) v / (sqrt(c) |v|). At the border the metric is infinite
 * and f32 ends: the members end where sqrt(c) |x| is 1 - MARGIN, and the projection scales to there, the nearest
 * member. Retraction is the exponential at x, the Möbius sum of x and the exponential at the origin of lambda v / 2;
 * transport is along the geodesic, a gyration times the ratio of the lambdas. Distances are 2 / sqrt(c) times the area
 * sine of sqrt(c) |x - y| / sqrt((1 - c |x|^2) (1 - c |y|^2)), which is the artanh(sqrt(c) |(-x) + y|) of the papers
 * and keeps the digits of near points.
 */
import type { Builder } from "../graph/builder.js";
import type { Node } from "../graph/node.js";
import { areaSine, atLeast, atMost, dot, norm, over, scaled } from "./algebra.js";
import { onlyPiece, quantity, type Manifold, type Setting } from "./set.js";

const MARGIN = 1e-5;

/** The Poincaré ball, as the registry has it. */
export const hyperbolic: Manifold = {
  kind: "manifold",
  name: "hyperbolic",
  summary: "points of the Poincaré ball of curvature -curvature: sqrt(curvature) |x| < 1",
  source: "Nickel and Kiela, NIPS 2017; Ganea, Bécigneul and Hofmann, NeurIPS 2018",
  point: "vector",
  options: { curvature: { kind: "real", default: 1, from: 1e-3, to: 1e3 } },
  free: (point) => [{ name: "free", shape: point }],
  start: () => ({ kind: "constant", value: 0 }),
  map: (b, pieces, _, setting) => inside(b, expmap0(b, onlyPiece(pieces), setting), setting),
  project: inside,
  // The violation is how far sqrt(c) |x| exceeds 1 - MARGIN.
  violation: (b, x, setting) => {
    const size = b.mul(b.sqrt(curvatures(b, x, setting)), norm(b, x, 1));
    return atLeast(b, b.sub(size, b.fill(1 - MARGIN, size.shape)), 0);
  },
  tolerance: () => 1e-6,
  bound: (of, _, { curvature }) =>
    of === "norm" ? 1 / Math.sqrt(curvature as number) : { none: "has no rows or columns" },
  closed: null,
  adapts: () => ["curvature"],
  cases: [
    { shape: [2], extreme: 100 },
    { shape: [7], options: { curvature: 0.5 }, extreme: 100 },
  ],

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
    return b.mul(gyration(b, x, y, v, setting), over(b, ratio, v.shape));
  },
  distance: (b, x, y, setting) => {
    const root = b.sqrt(curvatures(b, x, setting));
    const chord = b.div(
      b.mul(root, norm(b, b.sub(x, y), 1)),
      b.sqrt(b.mul(beside(b, x, setting), beside(b, y, setting))),
    );
    return b.div(scaled(b, areaSine(b, chord), 2), root);
  },
};

const curvatures = (b: Builder, x: Node, setting: Setting): Node =>
  over(b, quantity(b, setting, "curvature"), x.shape.slice(0, -1));

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

/**
 * Möbius addition, ((1 + 2 c <x, y> + c |y|^2) x + (1 - c |x|^2) y) / (1 + 2 c <x, y> + c^2 |x|^2 |y|^2), with nothing
 * that cancels: where x is close to the border and y to -x, both coefficients and the denominator are small differences
 * of numbers near 1. With X and Y what `beside` is of x and y it is x + X (x + y - Y x) / (X Y + c |x + y|^2).
 */
function moebius(b: Builder, x: Node, y: Node, setting: Setting): Node {
  const [c, besideX, besideY] = [curvatures(b, x, setting), beside(b, x, setting), beside(b, y, setting)];
  const sum = b.add(x, y);
  const below = b.add(b.mul(besideX, besideY), b.mul(c, dot(b, sum, sum, 1)));
  const step = b.sub(sum, b.mul(x, over(b, besideY, x.shape)));
  return b.add(x, b.mul(step, over(b, b.div(besideX, below), x.shape)));
}

/**
 * gyr[y, -x] w: a turn in the plane of x and y (Ungar, Analytic hyperbolic geometry, 2005, section 3.5; in a disk of
 * complex numbers by twice the argument of 1 - y x*). With A w = x <d, w> - d <x, w>, d = y - x, it is w + 2 c (k A w +
 * c A A w) / (X Y + c |d|^2), and k = 1 - c <x, y> is (X + Y + c |d|^2) / 2: sums of positive numbers again.
 */
function gyration(b: Builder, x: Node, y: Node, w: Node, setting: Setting): Node {
  const [c, besideX, besideY] = [curvatures(b, x, setting), beside(b, x, setting), beside(b, y, setting)];
  const d = b.sub(y, x);
  const square = b.mul(c, dot(b, d, d, 1));
  const times = (point: Node, factor: Node): Node => b.mul(point, over(b, factor, point.shape));
  const turn = (v: Node): Node => b.sub(times(x, dot(b, d, v, 1)), times(d, dot(b, x, v, 1)));
  const once = turn(w);
  const k = scaled(b, b.add(b.add(besideX, besideY), square), 0.5);
  const factor = b.div(scaled(b, c, 2), b.add(b.mul(besideX, besideY), square));
  return b.add(w, times(b.add(times(once, k), times(turn(once), c)), factor));
}
