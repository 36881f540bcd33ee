/**
 * Matrices whose largest singular value is at most `radius`: maps that lengthen no vector more than that. The map
 * divides by max(1, s / radius), with s an upper bound of the norm by Gram iteration (`spectralBound`; power iteration
 * would give a lower one, and so certify nothing); with few `iterations` members keep a little inside. The projection
 * does the same with so many that members stay where they are. It scales the whole matrix, where the nearest member
 * would clip the singular values one by one: near, not nearest. Products of members are in the ball of the product of
 * the radii.
 */
import type { Builder } from "../graph/builder.js";
import type { Node } from "../graph/node.js";
import { atLeast, over, spectralBound } from "./algebra.js";
import { rowsAndColumns, onlyPiece, quantity, type ConvexSet, type Setting } from "./set.js";

/**
 * The bound is then above the norm by a factor of at most rank^(2^-19): less than the tolerance up to a rank of 180.
 */
const CERTAIN = 18;

/** Matrices of bounded spectral norm, as the registry has them. */
export const spectralBall: ConvexSet = {
  kind: "convex",
  name: "spectral_ball",
  summary: "matrices of a spectral norm of at most radius",
  source: "Delattre, Barthélemy, Araujo and Allauzen, ICML 2023",
  point: "matrix",
  options: {
    radius: { kind: "real", default: 1, from: 1e-3, to: 1e3 },
    iterations: { kind: "integer", default: 6, from: 1, to: 20 },
  },
  free: (point) => [{ name: "free", shape: point }],
  start: () => ({ kind: "normal", value: 0.02 }),
  map: (b, pieces, _, setting) => within(b, onlyPiece(pieces), setting, setting.options["iterations"] as number),
  project: (b, value, setting) => within(b, value, setting, CERTAIN),
  // The violation is how far the upper bound exceeds the radius, relative to it.
  violation: (b, x, setting) => {
    const ratio = ratios(b, x, setting, CERTAIN);
    return atLeast(b, b.sub(ratio, b.fill(1, ratio.shape)), 0);
  },
  tolerance: () => 1e-5,
  bound: (of, shape, { radius }) => {
    const [rows, columns] = rowsAndColumns(shape);
    return (radius as number) * { norm: 1, row: Math.sqrt(columns), column: Math.sqrt(rows) }[of];
  },
  closed: "radii",
  adapts: () => ["radius"],
  cases: [
    { shape: [1, 1], extreme: 1e3 },
    { shape: [4, 4], options: { radius: 0.5 }, extreme: 1e3 },
    { shape: [3, 6], options: { iterations: 3 }, extreme: 1e3 },
  ],
};

const ratios = (b: Builder, x: Node, setting: Setting, iterations: number): Node =>
  b.div(spectralBound(b, x, iterations), over(b, quantity(b, setting, "radius"), x.shape.slice(0, -2)));

const within = (b: Builder, x: Node, setting: Setting, iterations: number): Node =>
  b.div(x, over(b, atLeast(b, ratios(b, x, setting, iterations), 1), x.shape));
