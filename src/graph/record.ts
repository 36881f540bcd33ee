/** The shape of one row of the op table. Everything that other rooms know about an op is here. */
import type { Attributes, DType, Graph, Node, NodeWith, Op, Operands, ReductionNode, Shape } from "./node.js";
import type { Builder } from "./builder.js";

/** The values of a tensor in row-major order, as the evaluator keeps them: f32 in f64, u32 as it is, bool as 0 or 1. */
export type Value = Float64Array | Uint32Array | Uint8Array;

/** What the op table infers of a node from its op, operands and attributes. */
export interface Inferred {
  readonly shape: Shape;
  readonly dtype: DType;
}

/** What the maker of a leaf or a layout op says of its result; other ops infer it. */
export interface Declared {
  readonly shape?: Shape | undefined;
  readonly dtype?: DType | undefined;
}

/** How a generated test draws one input: uniform in [low, high], at least `away` from each kink; integers for u32. */
export interface Sample {
  readonly shape: Shape;
  readonly dtype: DType;
  readonly low: number;
  readonly high: number;
  /** All values differ by at least 0.01 (for maxima). */
  readonly distinct?: boolean;
  /** Where the op has no derivative: no sample is near. */
  readonly kinks?: readonly number[];
}

/**
 * One use of an op that the generated tests make: its attributes, samples of its operands, the shape where it is said.
 */
export interface Case<Attrs = Attributes[Op]> {
  readonly attrs: Attrs;
  readonly inputs: readonly Sample[];
  readonly declared?: Declared;
}

/** What records need that hold a graph of their own; handed down, since imports do not run in circles. */
export interface GraphTools {
  /** The graph that a text prints. */
  readonly parse: (text: string) => Graph;
  /** The outputs of a graph in f64, by the values of its leaves. */
  readonly evaluate: (graph: Graph, bindings: ReadonlyMap<string, ArrayLike<number>>) => ReadonlyMap<string, Value>;
  /** `vjp` of `differentiate.ts`. */
  readonly vjp: (
    b: Builder,
    outputs: readonly Node[],
    cotangents: readonly Node[],
    wrt: readonly Node[],
    held: ReadonlySet<Node>,
  ) => readonly Node[];
  /** `recur` of `recurrence.ts`. */
  readonly recur: (b: Builder, states: readonly RecurringState[], axis: number, reversed: boolean) => readonly Node[];
}

/** A tensor that is defined by its own earlier places. */
export interface RecurringState {
  /** The leaf that stands for it in its own definition. */
  readonly leaf: Node;
  /** Its value, of the shape of the leaf. */
  readonly value: Node;
}

/**
 * All that the compiler knows about one op. An op is added by a key of `Attributes` in `node.ts` and a record of this
 * shape in the table; the generated tests of `test/graph/ops.test.ts` then compare its evaluation with its expansion
 * and its derivative with finite differences, on every case.
 */
export interface OpRecord<K extends Op> {
  /** Shape and dtype of the result, or the reason why the inputs are wrong (which becomes the message of an error). */
  infer(inputs: readonly Node[], attrs: Attributes[K], declared: Declared): Inferred | string;
  /** The values of the result from those of the operands, in f64; null for leaves, which are bound by name. */
  readonly evaluate: ((node: NodeWith<K>, inputs: Operands<K, Value>, tools: GraphTools) => Value) | null;
  /**
   * Cotangents of the operands, each of its operand's shape, from that of the result (null: the result does not depend
   * on the operand); null for an op that is not differentiated.
   */
  readonly vjp:
    | ((b: Builder, node: NodeWith<K>, cotangent: Node, tools: GraphTools) => readonly (Node | null)[])
    | null;
  /** Floating-point operations of one evaluation of the whole tensor. */
  flops(node: NodeWith<K>): number;
  /** The definition of a composite in simpler ops. */
  readonly expand?: (b: Builder, node: NodeWith<K>) => Node;
  /** Domain, shapes and attributes that generated tests use; empty only for leaves. */
  readonly cases: readonly Case<Attributes[K]>[];
}

/** One record for every op: a key that is missing does not compile. */
export type OpTable = { readonly [K in Op]: OpRecord<K> };

/** Whether the shape of a node is said where it is made: leaves and layout ops. */
export const saysShape = (node: Node): boolean =>
  node.inputs.length === 0 ||
  node.op === "broadcast" ||
  node.op === "reshape" ||
  node.op === "slice" ||
  node.op === "affine" ||
  node.op === "recurrence";

/** Whether a node combines the values along some axes of its operand. */
export const isReduction = (node: Node): node is ReductionNode =>
  node.op === "sum" || node.op === "reduce_max" || node.op === "reduce_prod";

/**
 * How many values a tensor of that shape has; 1 for a scalar. The one definition of the compiler: `graph` is the lowest
 * room that all others may import (the runtime stands alone and has its own, `runtime/device.ts`).
 */
export const sizeOf = (shape: Shape): number => shape.reduce((product, size) => product * size, 1);

/** Whether two shapes have the same axes in the same order. */
export const sameShape = (a: Shape, b: Shape): boolean => a.length === b.length && a.every((size, i) => size === b[i]);

/** Row-major strides, in values: how far the next index along each axis lies. */
export function stridesOf(shape: Shape): number[] {
  let stride = 1;
  return shape.reduceRight<number[]>((strides, size) => {
    strides.unshift(stride);
    stride *= size;
    return strides;
  }, []);
}

/** Zeros of a dtype. */
export function allocate(dtype: DType, size: number): Value {
  return dtype === "f32" ? new Float64Array(size) : dtype === "u32" ? new Uint32Array(size) : new Uint8Array(size);
}

/**
 * Calls `visit(i, offset)` for every element i of `shape` in row-major order, with the offset under other strides.
 */
export function walk(shape: Shape, strides: readonly number[], visit: (i: number, offset: number) => void): void {
  const rank = shape.length;
  const total = sizeOf(shape);
  const index = new Array<number>(rank).fill(0);
  let offset = 0;
  for (let i = 0; i < total; i++) {
    visit(i, offset);
    for (let axis = rank - 1; axis >= 0; axis--) {
      offset += strides[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      offset -= strides[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
}
