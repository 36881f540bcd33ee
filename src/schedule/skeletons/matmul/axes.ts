/** Sizes and strides of a product's loops, as lists. */
import type { ProductAxis } from "../../fusion/contraction.js";

/** The extents of loops. */
export const sizesOf = (axes: readonly ProductAxis[]): number[] => axes.map(({ size }) => size);

/** The strides of loops in an operand, in words. */
export const stridesOf = (axes: readonly ProductAxis[], operand: "a" | "b"): number[] =>
  axes.map((axis) => axis[operand]);
