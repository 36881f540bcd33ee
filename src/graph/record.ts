/** The shape of one row of the op table. Everything that other rooms know about an op is here. */
import type { Attributes, DType, Node, NodeWith, Op, Shape } from "./node.js";
import type { Builder } from "./builder.js";

/** f32 is evaluated in f64; bool is 0 or 1. */
export type Value = Float64Array | Uint32Array | Uint8Array;

export interface Inferred {
  readonly shape: Shape;
  readonly dtype: DType;
}

/** What the caller says of a leaf or a layout op; other ops infer it. */
export interface Given {
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
  readonly kinks?: readonly number[];
}

export interface Case<K extends Op = Op> {
  readonly attrs: Attributes[K];
  readonly inputs: readonly Sample[];
  readonly given?: Given;
}

export interface OpRecord<K extends Op> {
  /** Shape and dtype of the result, or the reason why the inputs are wrong. */
  infer(inputs: readonly Node[], attrs: Attributes[K], given: Given): Inferred | string;
  /** null for leaves, which are bound by name. */
  readonly evaluate: ((node: NodeWith<K>, inputs: readonly Value[]) => Value) | null;
  /** Cotangents of the inputs (null: no dependence), or null for an op that is not differentiated. */
  readonly vjp: ((b: Builder, node: NodeWith<K>, cotangent: Node) => readonly (Node | null)[]) | null;
  /** Floating-point operations of one evaluation. */
  flops(node: NodeWith<K>): number;
  /** The definition of a composite in simpler ops. */
  readonly expand?: (b: Builder, node: NodeWith<K>) => Node;
  /** Domain, shapes and attributes that generated tests use; empty only for leaves. */
  readonly cases: readonly Case<K>[];
}

export type OpTable = { readonly [K in Op]: OpRecord<K> };

/** Whether the shape of a node is said where it is made: leaves and layout ops. */
export const saysShape = (node: Node): boolean =>
  node.inputs.length === 0 || node.op === "broadcast" || node.op === "reshape" || node.op === "slice";

export const sizeOf = (shape: Shape): number => shape.reduce((product, size) => product * size, 1);
export const sameShape = (a: Shape, b: Shape): boolean => a.length === b.length && a.every((size, i) => size === b[i]);

export function stridesOf(shape: Shape): number[] {
  const strides = new Array<number>(shape.length).fill(0);
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= shape[axis]!;
  }
  return strides;
}

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
