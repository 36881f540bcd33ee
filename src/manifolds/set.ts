/**
 * What a set of values is to the rest of the compiler: a record that says what a point of it is, which free coordinates
 * describe one, the map from them onto the set, a projection of any value, and how far a value is from it. There are
 * three kinds. A `ConvexSet` has no more than that, nor has a `Variety`, which is neither convex nor smooth everywhere.
 * A `Manifold` (the names are those of geoopt and Pymanopt) is smooth, and has what Riemannian optimizers need: tangent
 * vectors, retraction and transport, and the distance where it has a closed form. All of it is graph, so that it is
 * compiled, differentiated and planned like everything else; tests and documentation are generated from the records.
 *
 * A value is [..., …point]: its last axes are a point, those before it are many of them.
 */
import type { Builder } from "../graph/builder.js";
import type { Node } from "../graph/node.js";
import { endsOfSchedule, type Changing } from "../graph/schedules.js";
import type { Polynomial } from "../graph/sizes.js";
import { mustAt } from "../../runtime/lookup.js";
import { valueAt } from "../../runtime/records.js";

/** The value of an option: a number, a flag, or one of its choices. */
export type OptionValue = number | boolean | string;

/** What an option of a set may be. Numbers are within `from` .. `to`, both included. */
export type OptionKind =
  | { readonly kind: "integer"; readonly default: number; readonly from: number; readonly to: number }
  | { readonly kind: "real"; readonly default: number; readonly from: number; readonly to: number }
  /**
   * `opposite`: the word for false, as the name is the word for true: `birkhoff(truncated)` is `birkhoff(exact =
   * false)`.
   */
  | { readonly kind: "flag"; readonly default: boolean; readonly opposite?: string }
  | { readonly kind: "choice"; readonly default: string; readonly choices: readonly string[] };

/** Options by name, all of a set's. */
export type Options = Readonly<Record<string, OptionValue>>;

/** How a set is meant where it is used: its options, and scalars that take the place of some (`adapt`). */
export interface Setting {
  readonly options: Options;
  readonly adapted: Readonly<Record<string, Node>>;
}

/** The setting in which nothing is adapted. */
export const fixed = (options: Options): Setting => ({ options, adapted: {} });

/** A number of the setting as a scalar node. */
export const quantity = (b: Builder, { options, adapted }: Setting, name: string): Node =>
  valueAt(adapted, name) ?? b.constant(valueAt(options, name) as number);

/** The one tensor of free coordinates of a set that has one piece. Throws an Error when it is given none. */
export const onlyPiece = (free: readonly Node[]): Node => mustAt(free, 0);

/** The two sizes of a matrix by its shape. Throws an Error when there are none. */
export const rowsAndColumns = <T>(shape: readonly T[]): readonly [T, T] => [mustAt(shape, 0), mustAt(shape, 1)];

/** What a point is: a number, a vector, a matrix, or a square matrix. */
export type PointKind = "entry" | "vector" | "matrix" | "square";

/** How many axes a point has. */
export const rankOf = (point: PointKind): 0 | 1 | 2 => (point === "entry" ? 0 : point === "vector" ? 1 : 2);

/**
 * Free coordinates within +- this are mapped onto the set, whatever its options: the generated tests hold every case to
 * it.
 */
export const reachOf = ({ cases }: ConstraintSet): number => Math.min(...cases.map(({ extreme }) => extreme));

/**
 * One tensor of free coordinates. A set with several can be kept by parameters only, not by values computed for a
 * token.
 */
export interface Piece {
  readonly name: string;
  readonly shape: readonly Polynomial[];
}

/**
 * Where products of members lie: in the set; in the set where the matrices are square; or in a set whose radius is the
 * product of the radii.
 */
export type Closure = "product" | "square" | "radii";

/** Members that are sums of parts, as the free coordinates make them. */
export interface Parts {
  /** The norms of the parts: [..., parts]. */
  readonly sizes: (b: Builder, free: readonly Node[]) => Node;
  /** A number for each part that grows with the part and is 0 without it: [..., parts]. */
  readonly pull: (b: Builder, free: readonly Node[]) => Node;
  /** The coordinates with every part multiplied by a gate: [..., parts]. */
  readonly gated: (b: Builder, free: readonly Node[], gates: Node) => readonly Node[];
}

/**
 * What every set says of itself. A set is added as a record in a file of its own and a line in the registry
 * (`registry.ts`); the laws (`laws.ts`) and the generated tests then hold it to what its fields say.
 */
export interface SetRecord {
  /** As a page writes it. */
  readonly name: string;
  /** One sentence: the set. */
  readonly summary: string;
  /** Where the formulas are from. */
  readonly source: string;
  /** What a point is; the shape of one has so many axes. */
  readonly point: PointKind;
  /** The options that a page may give, {} for none. */
  readonly options: Readonly<Record<string, OptionKind>>;
  /**
   * The options that mean nothing beside the others as they are; none when it is not there. To write one of them is an
   * error.
   */
  readonly idle?: (options: Options) => readonly string[];
  /** Free coordinates of a point of this shape; a reason when there are none for it, as the end of a sentence. */
  readonly free: (point: readonly Polynomial[], options: Options) => readonly Piece[] | { readonly error: string };
  /**
   * For sets of square matrices over the units of an axis, such as the lanes of a stream: how free coordinates [..., n,
   * n] become those of a member that keeps closed units to themselves, for gates [n] from 0 (closed) to 1. Among the
   * open units it is the member that they alone would have. Null where these options have no such member.
   */
  readonly units?: (options: Options) => ((b: Builder, free: Node, gates: Node) => Node) | null;
  /** How the free coordinates start when the page takes `M.start`, over the last axis. */
  readonly start: (options: Options) => {
    readonly kind: "identity" | "constant" | "first" | "normal";
    readonly value: number;
  };
  /** Free coordinates, [..., …piece] each, -> a member [..., …point]; `shape` is that of the result. */
  readonly map: (b: Builder, free: readonly Node[], shape: readonly number[], setting: Setting) => Node;
  /**
   * Any value -> a member near it. Members stay where they are, within the tolerance. Not always the nearest member:
   * the file says.
   */
  readonly project: (b: Builder, value: Node, setting: Setting) => Node;
  /** Distances of the points [..., …point] from the set, in the largest norm unless the file says otherwise: [...]. */
  readonly violation: (b: Builder, value: Node, setting: Setting) => Node;
  /** The largest violation that map and project leave in f32; null when the map only approaches the set. */
  readonly tolerance: (options: Options) => number | null;
  /**
   * A bound that holds for every member of this shape: the largest sum of absolute values of a `row` or a `column`, or
   * the largest singular value, `norm` (of a vector, its length); or why nothing is, as the end of a sentence. Rounding
   * is not counted: `tolerance` says it.
   */
  readonly bound: (of: Bounded, shape: readonly number[], options: Options) => number | { readonly none: string };
  /** Why the bounds hold, where the name does not say: what follows "is on S" in a proof. */
  readonly because?: string;
  /** Where products of members lie; null when nothing is known of them. */
  readonly closed: Closure | null;
  /** The parts of a set whose members are sums of parts, which `adapt rank` needs. */
  readonly parts?: Parts;
  /**
   * Options of real numbers that `adapt` may learn or schedule, and `rank` of a set with parts; some have a meaning
   * only beside certain others.
   */
  readonly adapts: (options: Options) => readonly string[];
  /** Shapes and settings that the generated tests use beyond the defaults, all choices and all flags. */
  readonly cases: readonly SetCase[];
}

/** Quantities of matrices that claims are about. */
export type Bounded = "row" | "column" | "norm";

/** A shape, and a setting, that the generated tests use. */
export interface SetCase {
  /** The shape of a point. */
  readonly shape: readonly number[];
  /** Options beside the defaults; without them, every choice and flag is tried. */
  readonly options?: Options;
  /** Free coordinates within +- this must be mapped onto the set. */
  readonly extreme: number;
}

/** A set with every mixture of its members. */
export interface ConvexSet extends SetRecord {
  readonly kind: "convex";
}

/**
 * Closed, and the zeros of polynomials: mixtures of members are not members, and there are points without a tangent
 * space.
 */
export interface Variety extends SetRecord {
  readonly kind: "variety";
}

/** A smooth set. x, y: points [..., …point]; v, u, g: vectors of the ambient space, of x's shape. */
export interface Manifold extends SetRecord {
  readonly kind: "manifold";
  /** The nearest tangent vector at x. */
  readonly tangent: (b: Builder, x: Node, v: Node, setting: Setting) => Node;
  /** The Riemannian gradient at x of a function whose Euclidean gradient is g. */
  readonly gradient: (b: Builder, x: Node, g: Node, setting: Setting) => Node;
  /** Inner products of tangent vectors u and v at x, one a point: [...]. */
  readonly inner: (b: Builder, x: Node, u: Node, v: Node, setting: Setting) => Node;
  /** The point that is reached from x along the tangent vector v: a retraction, so right to first order at least. */
  readonly retract: (b: Builder, x: Node, v: Node, setting: Setting) => Node;
  /** The tangent vector v at x, carried to y. */
  readonly transport: (b: Builder, x: Node, y: Node, v: Node, setting: Setting) => Node;
  /** Geodesic distances, [...], where they have a closed form. */
  readonly distance: ((b: Builder, x: Node, y: Node, setting: Setting) => Node) | null;
}

/** A set of any kind, by its `kind`. */
export type ConstraintSet = ConvexSet | Variety | Manifold;

/**
 * An option that changes while training: `what` is the option, `name` what it is called in the metrics, one for all
 * that is on the set.
 */
export type Adaptation = { readonly what: string; readonly name: string } &
  /** The parameter of that name says where it is: `from + (to - from) sigmoid(parameter)`. */
  (
    | { readonly kind: "learned"; readonly from: number; readonly to: number }
    | { readonly kind: "scheduled"; readonly schedule: Changing }
    /**
     * `budget` to the power of a share: shares `first`, … of the `count` that are the softmax of the parameter of that
     * name, one for each layer that a member is in.
     */
    | { readonly kind: "shared"; readonly budget: number; readonly first: Polynomial; readonly count: Polynomial }
    /** The weights of a mixture, as a vector: the softmax of the parameter of that name. */
    | { readonly kind: "mixed"; readonly parts: readonly string[] }
    /**
     * How many parts there are: `weight` times what pulls them is added to what training descends, except for the first
     * `from`.
     */
    | { readonly kind: "rank"; readonly from: number; readonly to: number; readonly weight: number }
  );

/** The numbers that an option stays between; null where bounds hold whatever it is. */
export function endsOf(adaptation: Adaptation): readonly [number, number] | null {
  switch (adaptation.kind) {
    case "mixed":
    case "rank":
      return null;
    case "shared":
      return [Math.min(1, adaptation.budget), Math.max(1, adaptation.budget)];
    case "learned":
      return [adaptation.from, adaptation.to];
    case "scheduled":
      return endsOfSchedule(adaptation.schedule);
    default:
      return adaptation satisfies never;
  }
}

/** A set with its options, as a page declares it. */
export interface SetInstance {
  readonly set: ConstraintSet;
  readonly options: Options;
  readonly adapt: readonly Adaptation[];
}
