/** The record of affine reads: shifted, strided and constant indices (`../affine.ts`). */
import { mustAt } from "../../../runtime/lookup.js";
import { adjointOf } from "../affine.js";
import type { AffineIndex, NodeWith } from "../node.js";
import { allocate, sizeOf, stridesOf, walk, type OpRecord, type Sample, type Value } from "../record.js";

const draw = (shape: readonly number[]): Sample => ({ shape, dtype: "f32", low: -2, high: 2 });
const at = (offset: number, terms: readonly (readonly [number, number])[] = [], divisor = 1): AffineIndex => ({
  offset,
  terms,
  divisor,
});

function evaluateRead(node: NodeWith<"affine">, x: Value): Value {
  const from = node.inputs[0].shape;
  const strides = stridesOf(from);
  const out = allocate(node.dtype, sizeOf(node.shape));
  const coords = new Array<number>(node.shape.length).fill(0);
  const outer = stridesOf(node.shape);
  walk(node.shape, outer, (i) => {
    for (const [axis, stride] of outer.entries()) coords[axis] = Math.floor(i / stride) % mustAt(node.shape, axis);
    let offset = 0;
    for (const [axis, index] of node.attrs.at.entries()) {
      const exact = index.terms.reduce((sum, [term, step]) => sum + step * mustAt(coords, term), index.offset);
      const place = exact / index.divisor;
      if (!Number.isInteger(place) || place < 0 || place >= mustAt(from, axis)) return;
      offset += place * mustAt(strides, axis);
    }
    out[i] = x[offset]!;
  });
  return out;
}

/** Records of reads at affine indices. */
export const affineReads = {
  affine: {
    infer: ([x], { at: indices }, { shape }) => {
      if (!x || !shape) return "takes one operand and a shape";
      if (indices.length !== x.shape.length) return "needs an index for each axis of the operand";
      if (indices.some(({ divisor }) => divisor < 1)) return "divides by 1 at least";
      const terms = indices.flatMap((index) => index.terms);
      if (terms.some(([axis, step]) => axis >= shape.length || step === 0)) return "names axes of the result, by steps";
      return { shape, dtype: x.dtype };
    },
    evaluate: (node, [x]) => evaluateRead(node, x),
    vjp: (b, node, g) => [adjointOf(b, node, g)],
    flops: () => 0,
    cases: [
      // x[t - 1, w]
      { attrs: { at: [at(-1, [[0, 1]]), at(0, [[1, 1]])] }, inputs: [draw([5, 4])], declared: { shape: [5, 4] } },
      // x[t + k - 1, w]
      {
        attrs: {
          at: [
            at(-1, [
              [0, 1],
              [1, 1],
            ]),
            at(0, [[2, 1]]),
          ],
        },
        inputs: [draw([6, 16])],
        declared: { shape: [6, 3, 16] },
      },
      // x[2 * i + a, 2 * j + c], whole and with a rest
      {
        attrs: {
          at: [
            at(0, [
              [0, 2],
              [2, 1],
            ]),
            at(-1, [
              [1, 2],
              [3, 1],
            ]),
          ],
        },
        inputs: [draw([6, 7])],
        declared: { shape: [3, 4, 2, 3] },
      },
      // The adjoint of a stride: every second place is none.
      { attrs: { at: [at(1, [[0, 1]], 2)] }, inputs: [draw([4])], declared: { shape: [9] } },
      // x[t, 3]
      { attrs: { at: [at(0, [[0, 1]]), at(3)] }, inputs: [draw([5, 4])], declared: { shape: [5] } },
      // x[t, t], and x[t - u] of two axes
      { attrs: { at: [at(0, [[0, 1]]), at(0, [[0, 1]])] }, inputs: [draw([4, 4])], declared: { shape: [4] } },
      {
        attrs: {
          at: [
            at(0, [
              [0, 1],
              [1, -1],
            ]),
          ],
        },
        inputs: [draw([5])],
        declared: { shape: [5, 5] },
      },
      // Backwards along the last axis, with the axes exchanged.
      { attrs: { at: [at(6, [[1, -1]]), at(2, [[0, 1]])] }, inputs: [draw([7, 9])], declared: { shape: [9, 7] } },
      // Indices that share an axis: x[2 * t + k, t + 1]
      {
        attrs: {
          at: [
            at(0, [
              [0, 2],
              [1, 1],
            ]),
            at(1, [[0, 1]]),
          ],
        },
        inputs: [draw([6, 4])],
        declared: { shape: [3, 2] },
      },
      {
        attrs: { at: [at(-1, [[0, 1]]), at(0, [[1, 1]])] },
        inputs: [{ shape: [5, 8], dtype: "bool", low: 0, high: 1 }],
        declared: { shape: [5, 8] },
      },
      {
        attrs: { at: [at(-1, [[0, 1]])] },
        inputs: [{ shape: [5], dtype: "u32", low: 0, high: 0xffffffff }],
        declared: { shape: [5] },
      },
    ],
  } satisfies OpRecord<"affine">,
};
