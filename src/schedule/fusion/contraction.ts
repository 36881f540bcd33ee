/**
 * Reads a two-operand contraction as a matrix product with an outer grid. The letters of "bthd,buhd->bhtu" fall into
 * four classes (batch, m, n, k) by the operands they stand in; neighbouring letters whose strides allow it are merged;
 * the n axis that the kernel vectorises is the last axis of the result, so operands are exchanged when that axis
 * belongs to the first. What is left of batch, m and n is the outer grid. Both matmul skeletons start from this record.
 */
import { mustAt } from "../../../runtime/lookup.js";
import type { Node, NodeWith, Shape } from "../../graph/node.js";
import { letters } from "../../graph/ops/structure.js";
import { sizeOf } from "../../graph/record.js";
import { access, rowMajor, type Access } from "./views.js";

/** One loop: its extent, its stride in each tensor (words), and which axes of the result it walks. */
export interface ProductAxis {
  readonly size: number;
  readonly a: number;
  readonly b: number;
  /** Axes of the result (a run of neighbours) that this loop stands for; empty for k. */
  readonly out: readonly number[];
}

/** A contraction as a matrix product [m, k] x [k, n] for every place of an outer grid, over operands in memory. */
export interface Product {
  readonly a: Access;
  readonly b: Access;
  readonly outer: readonly ProductAxis[];
  readonly m: ProductAxis;
  readonly n: ProductAxis;
  readonly k: readonly ProductAxis[];
}

const NONE: ProductAxis = { size: 1, a: 0, b: 0, out: [] };

/**
 * Reads a contraction as a matrix product. Throws where an operand is not in memory (`isBase`), since the partition
 * stores what a product reads.
 */
export function readProduct(node: NodeWith<"contract">, isBase: (node: Node) => boolean): Product {
  const spec = letters(node.attrs.spec);
  const last = lastLetter(spec.out, node.shape);
  const exchanged = last !== undefined && spec.a.includes(last) && !spec.b.includes(last);
  const [first, second] = exchanged ? [node.inputs[1], node.inputs[0]] : [node.inputs[0], node.inputs[1]];
  const [lettersA, lettersB] = exchanged ? [spec.b, spec.a] : [spec.a, spec.b];
  const a = access(first, isBase);
  const b = access(second, isBase);
  if (!a || !b) throw new Error(`schedule: an operand of ${node.attrs.spec} is not in memory`);

  const outStrides = rowMajor(node.shape);
  const axisOf = (letter: string): ProductAxis & { readonly outStride: number } => {
    const inA = lettersA.indexOf(letter);
    const inB = lettersB.indexOf(letter);
    const out = spec.out.indexOf(letter);
    const size = inA >= 0 ? mustAt(first.shape, inA) : mustAt(second.shape, inB);
    return {
      size,
      a: inA >= 0 ? mustAt(a.strides, inA) : 0,
      b: inB >= 0 ? mustAt(b.strides, inB) : 0,
      out: out >= 0 ? [out] : [],
      outStride: out >= 0 ? mustAt(outStrides, out) : 0,
    };
  };
  const classed = (among: string, inA: boolean, inB: boolean): ProductAxis[] =>
    merge([...among].filter((l) => lettersA.includes(l) === inA && lettersB.includes(l) === inB).map(axisOf));

  const batch = classed(spec.out, true, true);
  const rows = classed(spec.out, true, false);
  const columns = classed(spec.out, false, true);
  const summed = classed([...lettersA].filter((l) => !spec.out.includes(l)).join(""), true, true);
  const n = columns.pop() ?? NONE;
  // The longest m axis is blocked; the others join the grid.
  const longest = rows.reduce((best, axis, i) => (axis.size > (rows[best]?.size ?? 0) ? i : best), 0);
  const m = rows[longest] ?? NONE;
  const others = rows.filter((_, i) => i !== longest);
  return { a, b, outer: [...batch, ...others, ...columns], m, n, k: summed };
}

/**
 * The letter along which the result is contiguous: the last that is longer than 1. Letters of size 1 move nothing,
 * wherever they stand.
 */
export function lastLetter(out: string, shape: Shape): string | undefined {
  return [...out].findLast((_, axis) => mustAt(shape, axis) > 1) ?? out[out.length - 1];
}

/**
 * Merges neighbours (x, y) with x = size(y) * y in every tensor. Axes of size 1 vanish: their coordinate is 0, and
 * their stride, which means nothing, must not become that of a neighbour.
 */
function merge(axes: readonly (ProductAxis & { readonly outStride: number })[]): ProductAxis[] {
  const merged: (ProductAxis & { readonly outStride: number })[] = [];
  for (const axis of axes.filter(({ size }) => size > 1)) {
    const before = merged[merged.length - 1];
    const follows =
      before &&
      before.a === axis.a * axis.size &&
      before.b === axis.b * axis.size &&
      before.outStride === axis.outStride * axis.size;
    if (!follows) merged.push(axis);
    else
      merged[merged.length - 1] = {
        size: before.size * axis.size,
        a: axis.a,
        b: axis.b,
        outStride: axis.outStride,
        out: [...before.out, ...axis.out],
      };
  }
  return merged;
}

/** How many terms each element of the result sums. */
export const extentOfK = (product: Product): number => product.k.reduce((total, axis) => total * axis.size, 1);

/** The key of a product for `choices`: outer x m x n x k, and how its operands lie. */
export function shapeOf({ outer, m, n, k: summed }: Product): string {
  const total = (axes: readonly ProductAxis[]): number => sizeOf(axes.map(({ size }) => size));
  const layout = `${m.a === 1 ? "t" : "n"}${n.b === 1 ? "n" : "t"}`;
  return `${total(outer)}x${m.size}x${n.size}x${total(summed)}${layout}`;
}
