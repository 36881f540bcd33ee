/**
 * What makes the nodes of a graph, as an interface: the op table, the passes and the manifolds name it, and
 * `create-builder.ts` implements it. Shapes are positional; a method that is given operands of other shapes or dtypes
 * than the op table allows throws, since that is a bug of the compiler or of a user's own set and not of a page.
 */
import type { Span } from "../diagnostics/span.js";
import type { AffineIndex, Attributes, DType, Node, Op, Origin, Shape } from "./node.js";

/** What the maker of a node may say of it beside its op, inputs and attributes. */
export interface MakeOptions {
  /** The shape of a leaf or a layout op; that of all others is inferred. */
  readonly shape?: Shape;
  readonly dtype?: DType;
  /** Nodes of different sites are never one node: two parameters that are drawn alike, two uses that are kept apart. */
  readonly site?: string;
  /** The clone that the node belongs to: 0 is the original, and recompute makes the others. */
  readonly epoch?: number;
  readonly origin?: Origin;
}

/** An elementwise op of one operand: x and the result have one shape. */
export type UnaryMaker = (x: Node) => Node;
/** An elementwise op of two operands: x, y and the result have one shape. */
export type BinaryMaker = (x: Node, y: Node) => Node;

/**
 * Makes the nodes of one graph. Equal nodes are one object (hash-consing), so a caller may make a subexpression again
 * wherever it needs it. Every method throws an Error when the op table refuses its operands.
 */
export interface Builder {
  /** A node of any op. Throws when the op table refuses the inputs. */
  make<K extends Op>(op: K, inputs: readonly Node[], attrs: Attributes[K], options?: MakeOptions): Node;
  /**
   * Nodes that `part` makes belong to a clone: without this, the expansion of a clone could be one node with that of
   * its original.
   */
  inEpoch<T>(number: number, part: () => T): T;
  /** Nodes that `part` makes have that origin. */
  within<T>(whose: Origin, part: () => T): T;
  /** Nodes that `part` makes compute the expression at that place of the page; block and phase stay as they are. */
  at<T>(span: Span, part: () => T): T;

  /** A leaf of f32 that is trained, and persists between steps. */
  parameter(name: string, shape: Shape): Node;
  /** A leaf of f32 that persists between steps: moments of an optimizer and the like. */
  state(name: string, shape: Shape): Node;
  /** What the host feeds on every run. */
  input(name: string, shape: Shape, dtype: DType): Node;
  /** A scalar `[]`. */
  constant(value: number, dtype?: DType): Node;
  /** f32 values in row-major order. */
  literal(shape: Shape, data: readonly number[]): Node;
  /** u32: the index along `axis` of `shape`. */
  iota(shape: Shape, axis: number): Node;
  /** One number everywhere. */
  fill(value: number, shape: Shape, dtype?: DType): Node;

  readonly neg: UnaryMaker;
  readonly exp: UnaryMaker;
  readonly log: UnaryMaker;
  readonly sqrt: UnaryMaker;
  readonly tanh: UnaryMaker;
  readonly erf: UnaryMaker;
  readonly abs: UnaryMaker;
  readonly sin: UnaryMaker;
  readonly cos: UnaryMaker;
  readonly sigmoid: UnaryMaker;
  readonly floor: UnaryMaker;
  /** The same values, through which no derivative goes. */
  readonly stop: UnaryMaker;
  readonly not: UnaryMaker;
  /** bool: whether each value is neither infinite nor NaN. */
  readonly finite: UnaryMaker;
  readonly gelu: UnaryMaker;
  readonly silu: UnaryMaker;
  readonly softplus: UnaryMaker;
  /** Over the last axis. */
  readonly softmax: UnaryMaker;

  readonly add: BinaryMaker;
  readonly mul: BinaryMaker;
  readonly sub: BinaryMaker;
  readonly div: BinaryMaker;
  readonly min: BinaryMaker;
  readonly max: BinaryMaker;
  /** x^y with x > 0, or y a constant integer. */
  readonly pow: BinaryMaker;
  /** The angle of the point (x, y), of operands y and x: from -pi to pi. */
  readonly atan2: BinaryMaker;
  /** Comparisons give bool. */
  readonly lt: BinaryMaker;
  readonly le: BinaryMaker;
  readonly eq: BinaryMaker;
  readonly and: BinaryMaker;
  readonly or: BinaryMaker;
  /** Logits [..., n] and classes [...] (u32): the negative log-likelihood of each, [...]. */
  readonly crossEntropy: BinaryMaker;
  /** Rows of a table [rows, …rest] by an index [...] (u32): [..., …rest]. */
  readonly gather: BinaryMaker;
  /** A condition (bool) and two operands of one shape. */
  select(condition: Node, then: Node, otherwise: Node): Node;
  /** x in another dtype: u32 to f32 by value, bool as 0 or 1, f32 to u32 truncating. */
  cast(x: Node, to: DType): Node;
  /** Threefry-2x32-20 of keys and counters (u32, one shape): output word 0 or 1. */
  threefry(word: 0 | 1, k0: Node, k1: Node, c0: Node, c1: Node): Node;

  /** Axis i of x becomes axis `axes[i]` of `shape`; the other axes of `shape` repeat. */
  broadcast(x: Node, shape: Shape, axes: readonly number[]): Node;
  /** Axis i of the result is axis `order[i]` of x. */
  transpose(x: Node, order: readonly number[]): Node;
  /** The same values in row-major order as another shape of as many values. */
  reshape(x: Node, shape: Shape): Node;
  /** f32 tensors as one vector, each at a multiple of 64 values (`packing.ts`). */
  pack(inputs: readonly Node[]): Node;
  /** The values from `offset` (a multiple of 64) of a vector, as `shape`. */
  slice(x: Node, offset: number, shape: Shape): Node;
  /** x read at an index for each of its axes, affine in those of `shape`; 0 outside of x (see `Attributes`). */
  affine(x: Node, shape: Shape, at: readonly AffineIndex[]): Node;

  /** Reductions leave `axes` out of the shape. */
  sum(x: Node, axes: readonly number[]): Node;
  /** The mean over `axes`, in f32; of no axes it is x itself. */
  mean(x: Node, axes: readonly number[]): Node;
  /** The largest value along `axes`. */
  reduceMax(x: Node, axes: readonly number[]): Node;
  /** The product along `axes`. */
  reduceProd(x: Node, axes: readonly number[]): Node;
  /** A product of two tensors, as einsum writes it: `bij,bjk->bik`. */
  contract(spec: string, x: Node, y: Node): Node;
  /** The adjoint of a gather: values [..., …rest] added into [rows, …rest] by an index [...] (u32). */
  scatterAdd(index: Node, values: Node, rows: number): Node;

  /** Queries [b, t, h, d], keys [b, u, h, d] and values [b, u, h, e]: [b, t, h, e] (see `Attributes` in `node.ts`). */
  attention(q: Node, k: Node, v: Node, attrs: Attributes["attention"]): Node;
  /** Logits [..., n, n] to matrices [..., n, n] that are doubly stochastic. */
  sinkhorn(logits: Node, attrs: Attributes["sinkhorn"]): Node;
  /** The cotangent of the logits of a `sinkhorn` from that of its result: [..., n, n] each. */
  sinkhornVjp(logits: Node, cotangent: Node, attrs: Attributes["sinkhorn_vjp"]): Node;
}
