/**
 * The tensor graph's nodes: what every room between the model and the kernels talks about. A node is an immutable
 * record in one discriminated union, made only by the builder (`builder.ts`), which hash-conses: two nodes with the
 * same op, attributes, inputs, site and epoch are one object. Shapes are positional and fully static (symbolic dims end
 * in `src/model`); the implicit batch axis is an ordinary leading axis here. Broadcasting is never implicit:
 * elementwise ops take operands of one shape, and `broadcast` says where each axis goes.
 *
 * Conventions: tensors are row-major over `shape`; `[]` is a scalar; dtype `f32` is evaluated in f64 by the evaluator
 * and in f32 by kernels; `u32` is exact everywhere; `bool` never leaves a kernel.
 */
import type { Span } from "../diagnostics/span.js";

/** What a value is: f32, an exact unsigned word of 32 bits, or a truth value. */
export type DType = "f32" | "u32" | "bool";
/** Sizes of the axes in order; `[]` is a scalar. All are positive integers. */
export type Shape = readonly number[];

/**
 * (offset + the sum of step * coordinate over `terms`) / divisor, where a term names an axis of the result. It is no
 * index where the division leaves a rest. Steps are not 0, a divisor is 1 at least.
 */
export interface AffineIndex {
  readonly offset: number;
  readonly terms: readonly (readonly [axis: number, step: number])[];
  readonly divisor: number;
}

/** Attributes of each op. The op table (`ops.ts`) has one record for every key here, checked by the type system. */
export interface Attributes {
  // Leaves. `parameter` and `state` persist between steps (`state` holds moments and the like); `input` is a batch
  // tensor or a scalar of the step.
  parameter: { readonly name: string };
  state: { readonly name: string };
  /** Fed by the host on every run: batch tensors, and the scalars "step" and "seed" (u32, shape []). */
  input: { readonly name: string };
  /** A scalar `[]`; broadcast it to use it elsewhere. */
  constant: { readonly value: number };
  /** A constant tensor with data (permutation matrices, …), at most a few thousand values. */
  literal: { readonly data: readonly number[] };
  /** u32: the index along `axis` of `shape`. */
  iota: { readonly axis: number };

  // Elementwise, one shape.
  neg: {};
  exp: {};
  log: {};
  sqrt: {};
  tanh: {};
  erf: {};
  abs: {};
  sin: {};
  cos: {};
  sigmoid: {};
  /** The largest whole number that is not above x. Its derivative is 0. */
  floor: {};
  /** The same values, through which no derivative goes: f32. */
  stop: {};
  add: {};
  sub: {};
  mul: {};
  div: {};
  min: {};
  max: {};
  /** x^y with x > 0, or y a constant integer. */
  pow: {};
  /** inputs: y, x. The angle of the point (x, y), from -pi to pi; 0 at the origin. */
  atan2: {};
  lt: {};
  le: {};
  eq: {};
  and: {};
  or: {};
  not: {};
  /** Whether a value is neither infinite nor NaN: a question about bits, which no compiler may answer beforehand. */
  finite: {};
  /** inputs: condition (bool), then, else. */
  select: {};
  /** u32 -> f32 by value; bool -> f32 as 0 or 1; f32 -> u32 truncating (domain [0, 2^32)). */
  cast: { readonly to: DType };
  /** Threefry-2x32-20; inputs k0, k1, c0, c1 (u32, one shape); output word 0 or 1. */
  threefry: { readonly word: 0 | 1 };

  // Layout.
  /**
   * Input axis i becomes axis `axes[i]` of `shape` (any order: it transposes too); the other axes of `shape` repeat.
   */
  broadcast: { readonly axes: readonly number[] };
  /** Same number of values, row-major order kept. */
  reshape: {};
  /**
   * f32 tensors, row-major, one after the other as one vector: each starts at the next multiple of 64, with zeros
   * between and at the end (`packing.ts`).
   */
  pack: {};
  /**
   * The values from `offset` of a vector, as the given shape. `offset` and the vector's size are multiples of 64, as in
   * a pack.
   */
  slice: { readonly offset: number };
  /**
   * Each element is read at an index for every axis of the operand, which is affine in the axes of `shape`; 0 where one
   * of them is no index of its axis. Axes of `shape` that no index names repeat.
   */
  affine: { readonly at: readonly AffineIndex[] };

  // Reductions over `axes` (ascending), which disappear from the shape.
  sum: { readonly axes: readonly number[] };
  /** Largest value. Its gradient goes to all largest entries in equal parts. */
  reduce_max: { readonly axes: readonly number[] };
  /** Product. Its gradient is made of products of all other entries, so that it is right where an entry is 0. */
  reduce_prod: { readonly axes: readonly number[] };

  /**
   * Product of two tensors, as two-operand Einstein text: "bthd,buhd->bhtu". One letter an axis. A summed letter stands
   * in both operands; every letter of the result stands in an operand; no operand has a letter that is neither summed
   * nor in the result; no letter twice in one term.
   */
  contract: { readonly spec: string };

  /**
   * One of the tensors that a body defines by their own earlier places (`recurrence.ts`): `body` is the text of a graph
   * with the leaves e0, e1, … (the operands) and s0, s1, … (the tensors themselves), and their new values as outputs 0,
   * 1, …. Axis `axis` of each is walked in order, from its end where `reversed`. `flops` is that of all places.
   */
  recurrence: {
    readonly body: string;
    readonly axis: number;
    readonly reversed: boolean;
    readonly result: number;
    readonly flops: number;
  };

  /** inputs: table [v, ...rest] f32, index [...i] u32 -> [...i, ...rest]. */
  gather: {};
  /** inputs: index [...i] u32, values [...i, ...rest] -> [rows, ...rest]: sums of the values whose index is the row. */
  scatter_add: { readonly rows: number };

  // Composites: each has an expansion into the ops above, which is its definition.
  /** Along the last axis. */
  softmax: {};
  gelu: {};
  silu: {};
  softplus: {};
  /** inputs: logits [...i, v], target [...i] u32 -> [...i]: logsumexp(logits) - logits[target], in nats. */
  cross_entropy: {};
  /**
   * logits [..., n, n] -> doubly stochastic. `paper`: exp, then `iterations` times (columns to 1, then rows to 1), the
   * first pass in the log domain. `deepseek`: row softmax + eps, columns / (sum + eps), then iterations - 1 times
   * (rows, columns), each / (sum + eps). Rows are indexed by the second to last axis: "rows to 1" makes sums over the
   * LAST axis 1.
   */
  sinkhorn: { readonly iterations: number; readonly convention: "paper" | "deepseek"; readonly epsilon: number };
  /**
   * inputs: logits, cotangent of the result -> cotangent of the logits. Its expansion is the derivative of sinkhorn's
   * expansion.
   */
  sinkhorn_vjp: { readonly iterations: number; readonly convention: "paper" | "deepseek"; readonly epsilon: number };
  /**
   * inputs: queries [b, t, h, d], keys [b, u, h, d], values [b, u, h, e] -> [b, t, h, e]: softmax over u of scale * (q
   * . k), times the values; `causal`: over u <= t.
   */
  attention: { readonly scale: number; readonly causal: boolean };
  /** inputs: queries, keys -> [b, h, t]: the log of the sum of exponentials of a row of attention's scores. */
  attention_lse: { readonly scale: number; readonly causal: boolean };
  /**
   * inputs: queries, keys, values, attention's result, its lse, the cotangent of the result -> the cotangent of one of
   * the first three.
   */
  attention_vjp: { readonly scale: number; readonly causal: boolean; readonly wrt: "query" | "key" | "value" };
}

/** The name of an op. */
export type Op = keyof Attributes;

/** Ops without operands: leaves, and what is made of attributes alone. */
export type Leaf = "parameter" | "state" | "input" | "constant" | "literal" | "iota";
/** Elementwise ops of two operands of one shape. */
export type ElementwisePair =
  | "add"
  | "sub"
  | "mul"
  | "div"
  | "min"
  | "max"
  | "pow"
  | "atan2"
  | "lt"
  | "le"
  | "eq"
  | "and"
  | "or";
/** Ops of two operands. */
export type PairOp =
  | ElementwisePair
  | "contract"
  | "gather"
  | "scatter_add"
  | "cross_entropy"
  | "sinkhorn_vjp"
  | "attention_lse";
/** Ops of three operands. */
export type TripleOp = "select" | "attention";

/**
 * The operands of an op, or one value for each. The op table's `infer` refuses other numbers of operands, so a rule
 * that has found an op may read its operands without asking whether they are there.
 */
export type Operands<K extends Op, T> = K extends Leaf | "pack" | "recurrence"
  ? readonly T[]
  : K extends PairOp
    ? readonly [T, T, ...T[]]
    : K extends TripleOp
      ? readonly [T, T, T, ...T[]]
      : K extends "threefry"
        ? readonly [T, T, T, T, ...T[]]
        : K extends "attention_vjp"
          ? readonly [T, T, T, T, T, T, ...T[]]
          : readonly [T, ...T[]];

/** A node of the op K: an immutable record that only a builder makes. */
export interface NodeOf<K extends Op> {
  readonly op: K;
  readonly attrs: Attributes[K];
  readonly inputs: Operands<K, Node>;
  readonly shape: Shape;
  readonly dtype: DType;
  /** Rises in order of creation; inputs have smaller ids. Only unique within one builder. */
  readonly id: number;
  /** Which use of a random op this is ("layers.2.mlp.dropout"); "" elsewhere. Part of the key. */
  readonly site: string;
  /** 0, or the number of the recompute segment that cloned it. Part of the key. */
  readonly epoch: number;
  /** Not part of the key. */
  readonly origin: Origin;
}

/** The part of a training step that a node belongs to. */
export type Phase = "forward" | "backward" | "update";

/**
 * The block that a node belongs to, for accounts of cost and for what is kept in f32: the block's instance by its path
 * ("layers.2.mlp"; "" for the page itself). Equal nodes are one, and whoever needs it first has made it.
 */
export interface Origin {
  readonly block: string;
  readonly phase: Phase;
  /** Whether a connection makes it, and not the block that it wraps: coefficients, mixes and what they are made of. */
  readonly connects?: boolean;
  /** The expression of the page that it computes, or is the derivative of; what a pass makes for itself has none. */
  readonly at?: Span;
}

/** A node of any op. */
export type Node = { readonly [K in Op]: NodeOf<K> }[Op];
/** A node of the op K, as `node.op === K` narrows it; of a union of ops any of them. */
export type NodeWith<K extends Op> = Extract<Node, { readonly op: K }>;
/** A node that combines the values along some axes of its operand. */
export type ReductionNode = NodeWith<"sum" | "reduce_max" | "reduce_prod">;

/**
 * One compiled entry: named results, and the new values of parameters and states (an entry without updates changes
 * nothing).
 */
export interface Graph {
  readonly name: string;
  /** Named results in order: "loss", "gradient:layers.0.attention.wq", "constraint:Mixing", … */
  readonly outputs: ReadonlyMap<string, Node>;
  /** Leaf (op `parameter` or `state`) -> its value after the step. All reads see the old values. */
  readonly updates: ReadonlyMap<Node, Node>;
  /**
   * Activations of the residual streams (`streams.ts`), for the plan's account of memory. They change nothing, and the
   * text leaves them out.
   */
  readonly streams?: ReadonlySet<Node>;
  /**
   * Activations of at least so many values are kept in half precision (`src/schedule/fusion/precision.ts`); without
   * it all are kept in f32.
   */
  readonly half?: number;
}
