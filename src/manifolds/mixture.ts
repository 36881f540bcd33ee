/**
 * Mixtures of convex sets: sum over the parts of w_i S_i, with S_i a member of part i and w on the simplex, one w for
 * all that is on the mixture. A mixture promises what holds for every convex combination of its parts, and that needs a
 * set of the registry that they all lie in, their *hull*: birkhoff holds circulant matrices and the identity,
 * stochastic holds these too. So a mixture is on its hull, and its sums and norms are at most the largest of its
 * parts'. The record is made for a page, not kept in the registry.
 *
 * Free coordinates are those of the parts one after the other, each counted from where its part starts (`start` of its
 * record), so that zeros are the start of the mixture although its parts start in different ways.
 */
import type { Builder } from "../graph/builder.js";
import type { Node } from "../graph/node.js";
import { sizeOf } from "../graph/record.js";
import { add, known, multiply, numberOf, type Polynomial } from "../graph/sizes.js";
import { columnsOf, indicator, total } from "./algebra.js";
import { birkhoff } from "./birkhoff.js";
import {
  fixed,
  onlyPiece,
  type ConstraintSet,
  type ConvexSet,
  type Options,
  type Piece,
  type SetInstance,
  type Setting,
} from "./set.js";
import { stochastic } from "./stochastic.js";
import { merged, recordOf } from "../../runtime/records.js";

/** A set that is mixed, with its options. */
export interface MixturePart {
  /** What the page calls it. */
  readonly name: string;
  readonly instance: SetInstance;
}

/** A set of the registry, and the sets that lie in it. */
interface Hull {
  readonly hull: ConvexSet;
  readonly holds: readonly string[];
}

const NARROW_HULL: Hull = { hull: birkhoff, holds: ["birkhoff", "circulant", "identity"] };
const WIDEST_HULL: Hull = { hull: stochastic, holds: [...NARROW_HULL.holds, "stochastic"] };

/** How far f32 rounds the sums of a mixture: as far as those of birkhoff's members, whatever its parts are. */
const ROUNDING = 1e-5;

/** Sets that a mixture can be of. */
export const mixable: readonly string[] = WIDEST_HULL.holds;

/**
 * The set of the mixtures of sets that are all `mixable`. What adapts of part i goes by the names `i.relax`, …; the
 * weights by `weights`.
 */
export function mixtureOf(parts: readonly MixturePart[]): ConvexSet {
  const isNarrow = parts.every(({ instance }) => NARROW_HULL.holds.includes(instance.set.name));
  const { hull } = isNarrow ? NARROW_HULL : WIDEST_HULL;
  const inHull = fixed(recordOf(Object.entries(hull.options).map(([name, option]) => [name, option.default])));
  const instances = parts.map(({ instance }) => instance);
  const tolerances = instances.map(({ set, options }) => set.tolerance(options));
  const tolerance = tolerances.every((value) => value !== null) ? Math.max(ROUNDING, ...tolerances) : null;
  return {
    kind: "convex",
    name: `mixture(${parts.map(({ name }) => name).join(", ")})`,
    summary: `convex combinations of members of ${parts.map(({ name }) => name).join(", ")}`,
    source: hull.source,
    point: instances.some(({ set }) => set.point === "square") ? "square" : "matrix",
    options: {},
    free: (point) => joined(instances, point),
    start: () => ({ kind: "constant", value: 0 }),
    map: (b, free, shape, setting) => mixed(b, instances, free, shape, setting),
    // The projection is that onto the hull: the nearest mixture would be a program of its own.
    project: (b, value) => hull.project(b, value, inHull),
    violation: (b, value) => hull.violation(b, value, inHull),
    tolerance: () => tolerance,
    bound: (of, shape, options) => {
      const bounds = instances.map(({ set, options: declared }, i) => {
        const bound = set.bound(of, shape, merged(declared, belonging(options, i)));
        return typeof bound === "number" ? bound : { none: `has the part ${set.name}, which ${bound.none}` };
      });
      return bounds.find((bound) => typeof bound !== "number") ?? Math.max(...(bounds as number[]));
    },
    because: ", a convex combination whose sums are at most the largest of its parts'",
    closed: null,
    adapts: () => [],
    // The cases are those that the maps of the parts take.
    cases: instances.flatMap(({ set }) => set.cases),
  };
}

/** The entries of part i of a record whose keys are `i.name`, by `name`. */
const belonging = <T>(all: Readonly<Record<string, T>>, i: number): Readonly<Record<string, T>> =>
  recordOf(
    Object.entries(all).flatMap(([name, value]) =>
      name.startsWith(`${i}.`) ? [[name.slice(`${i}.`.length), value]] : [],
    ),
  );

/** The coordinates of all parts as one vector. */
function joined(
  instances: readonly SetInstance[],
  point: readonly Polynomial[],
): readonly Piece[] | { readonly error: string } {
  let size = known(0);
  for (const { set, options } of instances) {
    const pieces = set.free(point, options);
    if ("error" in pieces) return { error: `has the part ${set.name}, which ${pieces.error}` };
    for (const piece of pieces) size = add(size, piece.shape.reduce(multiply, known(1)));
  }
  return size.value === 0 ? [] : [{ name: "free", shape: [size] }];
}

function mixed(
  b: Builder,
  instances: readonly SetInstance[],
  free: readonly Node[],
  shape: readonly number[],
  { adapted }: Setting,
): Node {
  const many = shape.slice(0, -2);
  const weights = adapted["weights"] ?? b.fill(1 / instances.length, [instances.length]);
  let at = 0;
  return instances
    .map(({ set, options }, i): Node => {
      const pieces = set.free(shape.slice(-2).map(known), options) as readonly Piece[];
      const coordinates = pieces.map((piece) => {
        const sizes = piece.shape.map(numberOf);
        const count = sizeOf(sizes);
        const taken = taking(b, onlyPiece(free), at, count);
        at += count;
        const start = b.broadcast(b.literal([count], startOf(set, options, sizes)), taken.shape, [many.length]);
        return b.reshape(b.add(taken, start), [...many, ...sizes]);
      });
      const member = set.map(b, coordinates, shape, { options, adapted: belonging(adapted, i) });
      const weight = total(b, b.mul(weights, indicator(b, weights.shape, 0, i)), 1);
      return b.mul(member, b.broadcast(weight, shape, []));
    })
    .reduce((x, y) => b.add(x, y));
}

/** Entries at .. at + count of vectors. */
function taking(b: Builder, x: Node, at: number, count: number): Node {
  const size = columnsOf(x);
  if (count === size) return x;
  const letters = "abcdefghijkl".slice(0, x.shape.length - 1);
  const picked = Array.from({ length: size * count }, (_, place) =>
    Math.floor(place / count) === at + (place % count) ? 1 : 0,
  );
  return b.contract(`${letters}p,pq->${letters}q`, x, b.literal([size, count], picked));
}

/** Where the coordinates of a part start. */
function startOf(set: ConstraintSet, options: Options, sizes: readonly number[]): number[] {
  const { kind, value } = set.start(options);
  const last = sizes.at(-1) ?? 1;
  return Array.from({ length: sizeOf(sizes) }, (_, i) => {
    switch (kind) {
      case "constant":
        return value;
      case "first":
        return i % last === 0 ? value : 0;
      case "identity":
        return Math.floor(i / last) === i % last ? value : 0;
      // Drawn around zero.
      case "normal":
        return 0;
      default:
        return kind satisfies never;
    }
  });
}
