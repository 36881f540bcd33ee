/**
 * The typed model: what a page means, before anything is unrolled. Names are resolved, every axis is an object with a
 * symbolic size, every sum that Einstein's rule implies is explicit, blocks are instances with their own parameters,
 * and `repeat` is kept. The emitters, planning and the editor read it; `lower.ts` turns it into a graph.
 */
import type { Span } from "../diagnostics/span.js";
import type { Size } from "../graph/sizes.js";
import type { SetInstance } from "../manifolds/registry.js";
import type { Axis, DataSource, StartValue, Tensor } from "./declared.js";
import type { Around, DeferredNumber, Dim, NamedNumber } from "./deferred.js";
import { KEEPING, type BinaryFunction, type RandomFunction, type Reducer, type UnaryFunction } from "./functions.js";
import type { Measure } from "./measures.js";
import type { TrainSettings } from "./train-settings.js";

export type { Axis, DataSource, StartValue, Tensor } from "./declared.js";
export type { DeferredNumber, Dim, LayerNumbers, NamedNumber } from "./deferred.js";
export { FLAT, KEEPING } from "./functions.js";
export type { BinaryFunction, RandomFunction, Reducer, UnaryFunction } from "./functions.js";
export { MEASURES, type Measure } from "./measures.js";
export type {
  AskedPrecision,
  OptimizerSettings,
  ParameterGroup,
  RateSettings,
  RecomputeSettings,
  TrainSettings,
} from "./train-settings.js";

/** A parameter on a set. */
export interface Membership {
  readonly manifold: SetInstance;
  /** Axes whose every index is a point; the others are a point's. */
  readonly each: readonly Axis[];
  /**
   * The axes that are the rows of a matrix, where its columns are all others; the two of a matrix when it does not say.
   */
  readonly rows?: readonly Axis[];
  readonly span: Span;
}

/** A parameter as a page or a block declares it; of one in a `repeat`, that of every layer. */
export interface Parameter {
  readonly tensor: Tensor;
  /** `layers.*.attention.wq`: a star for the index of each enclosing `repeat` whose layers do not share it. */
  readonly name: string;
  readonly start: StartValue;
  readonly on: Membership | null;
  /** Whether its declaration says `frozen`. */
  readonly frozen?: boolean;
  readonly doc: string | null;
  /** What it stands in, the outermost first, if the stars of its name do not say it: a branch, or shared layers. */
  readonly around?: readonly Around[];
}

/**
 * Definitions that read earlier places of each other, `h[t] = … h[t - 1] …`: they are computed together, place by place
 * along an axis. Its members follow each other, and share this record.
 */
export interface Recurrence {
  readonly axis: Axis;
  /** Whether what is read are later places, so that the last place comes first. */
  readonly reversed: boolean;
  /** The tensors of which other places are read. */
  readonly states: readonly Tensor[];
}

/** A definition in the body of a block. */
export interface Definition {
  readonly tensor: Tensor;
  readonly value: Typed;
  readonly recurrence?: Recurrence;
}

/** A block with its arguments bound: everything but the values of its tensors. */
export interface BlockInstance {
  readonly block: string;
  /** `layers.*.attention` */
  readonly path: string;
  /** Whether it is what a connection wraps: `attention` of `x through attention(heads) via mhc(Mixing)`. */
  readonly wrapped: boolean;
  readonly parameters: readonly Parameter[];
  readonly formals: readonly Tensor[];
  readonly body: readonly Definition[];
  /** Those of the body that are losses: `loss balance = …`. */
  readonly losses: readonly Tensor[];
  readonly result: Typed;
  readonly axes: readonly Axis[];
}

interface At {
  readonly span: Span;
}

/** An index of a shifted read: offset + the sum of step * the position along an axis. All are whole numbers. */
export interface AxisPlace {
  readonly offset: DeferredNumber;
  readonly terms: readonly { readonly axis: Axis; readonly step: DeferredNumber }[];
}

/** An expression: a value for each index of its axes (`axesOf`), and for each example where it comes from the data. */
export type Typed =
  | (At & { readonly kind: "number"; readonly value: number })
  /** `bare`: the axis, where a page writes its name alone. */
  | (At & { readonly kind: "size"; readonly size: Size; readonly bare?: Axis })
  | (At & { readonly kind: "scalar"; readonly scalar: DeferredNumber })
  /** The position along an axis, from 0: `index(t)`, and in a condition `t`. */
  | (At & { readonly kind: "position"; readonly axis: Axis })
  | (At & { readonly kind: "tensor"; readonly tensor: Tensor; readonly axes: readonly Axis[] })
  /**
   * `x[t - 1, w]`: a tensor on its own axes `from`, read at a place along each of them; absent where a place lies
   * outside.
   */
  | (At & {
      readonly kind: "shifted";
      readonly a: Typed;
      readonly from: readonly Axis[];
      readonly at: readonly AxisPlace[];
      readonly axes: readonly Axis[];
      /** Whether it is an earlier place of a tensor in its own definition: before the first it is 0. */
      readonly recurs: boolean;
    })
  | (At & { readonly kind: "gather"; readonly table: Tensor; readonly index: Typed; readonly axes: readonly Axis[] })
  | (At & { readonly kind: "unary"; readonly f: UnaryFunction; readonly a: Typed })
  | (At & { readonly kind: "binary"; readonly f: BinaryFunction; readonly a: Typed; readonly b: Typed })
  /** `groups`: factors that stand in brackets together, until sums are explicit. */
  | (At & {
      readonly kind: "product";
      readonly factors: readonly Factor[];
      readonly summed: readonly Axis[];
      readonly groups?: readonly (readonly Factor[])[];
    })
  | (At & { readonly kind: "reduce"; readonly f: Reducer; readonly axes: readonly Axis[]; readonly a: Typed })
  | (At & { readonly kind: "where"; readonly a: Typed; readonly condition: Typed })
  /** `a where condition else otherwise`: the second too where the first is absent. */
  | (At & {
      readonly kind: "choice";
      readonly a: Typed;
      readonly condition: Typed | null;
      readonly otherwise: Typed;
    })
  /**
   * `amount`: the probability with which a number is 0, or the deviation of what is added. `site`: the name of this
   * use, with stars for layers; no two uses of a page have one name.
   */
  | (At & {
      readonly kind: "random";
      readonly f: RandomFunction;
      readonly a: Typed;
      readonly amount: DeferredNumber;
      readonly site: string;
    })
  | (At & {
      readonly kind: "call";
      readonly instance: BlockInstance;
      readonly args: readonly Typed[];
      readonly axes: readonly Axis[];
    })
  /** The map of a set: `a` has axes [...rest, ...free], or is null when there are no free coordinates. */
  | (At & {
      readonly kind: "map";
      readonly name: string;
      readonly manifold: SetInstance;
      readonly a: Typed | null;
      readonly free: readonly Axis[];
      readonly axes: readonly Axis[];
    })
  /**
   * Geodesic distances between points of a manifold whose axes are `point`; of a set of single numbers, of the vectors
   * that they make.
   */
  | (At & {
      readonly kind: "distance";
      readonly name: string;
      readonly manifold: SetInstance;
      readonly a: Typed;
      readonly b: Typed;
      readonly point: readonly Axis[];
    })
  /** -log softmax(logits)[target], as a mean over the target's axes but for those that are kept. */
  | (At & {
      readonly kind: "cross_entropy";
      readonly logits: Typed;
      readonly target: Typed;
      readonly classes: Axis;
      readonly kept: readonly Axis[];
    })
  /** The same values under other names, axis by axis. */
  | (At & {
      readonly kind: "relabel";
      readonly a: Typed;
      readonly from: readonly Axis[];
      readonly axes: readonly Axis[];
    });

/** The typed expressions of one kind: `TypedOf<"call">`. */
export type TypedOf<K extends Typed["kind"]> = Extract<Typed, { readonly kind: K }>;

/** A factor of a product. */
export interface Factor {
  readonly e: Typed;
  /** Whether the product is divided by it. */
  readonly inverse: boolean;
}

/** What a model does, in the order of the page. */
export type Statement =
  | ({ readonly kind: "let" } & Definition)
  /** The stream's value from here on, by a connection: `x through attention(heads) via mhc(Mixing)`. */
  | { readonly kind: "apply"; readonly stream: Tensor; readonly value: Typed; readonly path: string }
  /**
   * The stream's value from here on, as written: `x = x + mlp(64)(x)`. `path` is that of the `repeat` around it, "" for
   * the page.
   */
  | {
      readonly kind: "update";
      readonly stream: Tensor;
      readonly value: Typed;
      readonly path: string;
      readonly span: Span;
    }
  | {
      readonly kind: "repeat";
      /** What its part of paths is called: `layers` of `layers.*.attention`. */
      readonly name: string;
      readonly count: Size;
      /** Whether all layers use one set of parameters, whose paths have no star then: `layers.attention`. */
      readonly shared: boolean;
      /** What the number of a layer is called in its body; null when it has no name. */
      readonly as: string | null;
      readonly body: readonly Statement[];
      readonly span: Span;
    }
  /** One branch of these in each layer: the first where the condition is not 0. */
  | {
      readonly kind: "if";
      readonly condition: DeferredNumber;
      readonly then: readonly Statement[];
      readonly otherwise: readonly Statement[];
      readonly span: Span;
    };

/** A part of the loss that has a name: a number for each example. The loss and metrics read it as `tensor`. */
export type LossTerm = {
  readonly name: string;
  readonly tensor: Tensor;
  readonly doc: string | null;
  readonly span: Span;
} &
  /** `loss balance = …` of blocks: the sum over all uses of them, and over all layers of a `repeat`. */
  (
    | { readonly kind: "sum"; readonly uses: readonly Tensor[] }
    /** `loss main = …` of the page itself. */
    | { readonly kind: "part"; readonly value: Typed }
  );

/** `metric accuracy = …`: a number for each example, which is measured and never differentiated. */
export interface Metric {
  readonly name: string;
  readonly value: Typed;
  readonly doc: string | null;
  readonly span: Span;
}

/** A page that has no errors, as it is meant. */
export interface TypedModel {
  readonly name: string;
  readonly doc: string | null;
  readonly dims: readonly Dim[];
  readonly numbers: readonly NamedNumber[];
  readonly data: readonly DataSource[];
  readonly inputs: readonly Tensor[];
  readonly parameters: readonly Parameter[];
  readonly statements: readonly Statement[];
  readonly outputs: readonly { readonly name: string; readonly axes: readonly Axis[]; readonly value: Typed }[];
  readonly loss: Typed | null;
  /** The named parts of the loss: those of blocks, in the order in which they are met, then those of the page. */
  readonly terms: readonly LossTerm[];
  readonly metrics: readonly Metric[];
  readonly manifolds: readonly { readonly name: string; readonly manifold: SetInstance }[];
  readonly claims: readonly Claim[];
  readonly cost: CostSettings | null;
  readonly train: TrainSettings | null;
}

/** What may be switched off while training, and then compiled away. Names have stars for layers. */
export type Gate =
  /**
   * One layer of a `repeat` (`layers.*`), or the connection and the block of one `x through …` in it
   * (`layers.*.attention`): closed, the streams pass by.
   */
  | { readonly kind: "layer"; readonly name: string }
  /**
   * The units of an axis, in the instance or layer `path` ("": of the whole page). `axes` are all that are this axis
   * under one name or another; `squares` are those that count pairs of its units: the free coordinates of a matrix over
   * it.
   */
  | {
      readonly kind: "axis";
      readonly name: string;
      readonly path: string;
      readonly size: Size;
      readonly axes: ReadonlySet<Axis>;
      readonly squares: ReadonlySet<Axis>;
    };

/** The `cost` section. Shares are of the dense model: the page with nothing switched off. */
export interface CostSettings {
  /** The profile that counts; null when the page does not say. */
  readonly device: { readonly name: string; readonly span: Span } | null;
  /** What a share of the dense model's cost is worth, in units of the loss. */
  readonly weights: readonly { readonly measure: Measure; readonly weight: number }[];
  readonly budgets: readonly { readonly measure: Measure; readonly share: number; readonly span: Span }[];
  readonly gates: readonly Gate[];
  /** What says which units are needed least: gates that are learned, or how large the parameters of a unit are. */
  readonly by: "gates" | "magnitude";
  /** The part of the steps in which the gates close. */
  readonly within: number;
  readonly span: Span;
}

/** What a claim is about. */
export type Quantity =
  /** How much the product of the mixes of a stream's connections can grow what passes through them. */
  | { readonly kind: "gain"; readonly stream: Tensor }
  /**
   * The largest singular value of a parameter, as a matrix of these rows and the other axes; of the layers of a
   * `repeat`, the largest.
   */
  | { readonly kind: "norm"; readonly parameter: Parameter; readonly rows: readonly Axis[] }
  | { readonly kind: "number"; readonly value: number }
  | { readonly kind: "product"; readonly factors: readonly Quantity[] }
  /** The product over the layers of a `repeat`. */
  | { readonly kind: "over"; readonly repeat: string; readonly quantity: Quantity };

/** `gain(x) <= 1.6 monitored` */
export interface Claim {
  /** As the page writes it, without `monitored`. */
  readonly text: string;
  readonly quantity: Quantity;
  readonly bound: number;
  /** Measured while training, and reported when it is broken. */
  readonly monitored: boolean;
  /** Why it holds, step by step; null when it does not follow and is only monitored. */
  readonly proof: readonly string[] | null;
}

/** The axes that a typed expression carries, in order of first appearance. */
export function axesOf(e: Typed): readonly Axis[] {
  switch (e.kind) {
    case "number":
    case "size":
    case "scalar":
      return [];
    case "cross_entropy":
      return e.kept;
    case "position":
      return [e.axis];
    case "tensor":
    case "call":
    case "map":
    case "relabel":
    case "shifted":
      return e.axes;
    case "gather":
      return union(axesOf(e.index), e.axes);
    case "unary":
    case "random":
      return axesOf(e.a);
    case "binary":
      return union(axesOf(e.a), axesOf(e.b));
    case "product":
      return e.factors
        .reduce<readonly Axis[]>((axes, factor) => union(axes, axesOf(factor.e)), [])
        .filter((axis) => !e.summed.includes(axis));
    case "distance":
      return union(axesOf(e.a), axesOf(e.b)).filter((axis) => !e.point.includes(axis));
    case "reduce":
      return KEEPING.has(e.f) ? axesOf(e.a) : axesOf(e.a).filter((axis) => !e.axes.includes(axis));
    case "where":
      return union(axesOf(e.a), axesOf(e.condition));
    case "choice":
      return union(union(axesOf(e.a), e.condition ? axesOf(e.condition) : []), axesOf(e.otherwise));
    default:
      return e satisfies never;
  }
}

/** The axes of both, those of the first before those that the second alone has. */
export const union = (a: readonly Axis[], b: readonly Axis[]): readonly Axis[] => [
  ...a,
  ...b.filter((axis) => !a.includes(axis)),
];
