/** Sizes and strides of a product's loops, as lists. */
import type { Axis } from "../../fusion/contraction.js";

/** The extents of loops. */
export const sizesOf = (axes: readonly Axis[]): number[] => axes.map(({ size }) => size);

/** The strides of loops in an operand, in words. */
export const stridesOf = (axes: readonly Axis[], operand: "a" | "b"): number[] => axes.map((axis) => axis[operand]);
