/** The rows of the op table that move, reduce and multiply: layout, reductions, contraction, gather and scatter. */
import { mustAt, mustGet } from "../../../runtime/lookup.js";
import type { Builder } from "../builder.js";
import type { Node, NodeWith, ReductionNode } from "../node.js";
import { SLOT, slotsOf, wholeSlots } from "../packing.js";
import { allocate, sizeOf, stridesOf, walk, type OpRecord, type Sample, type Value } from "../record.js";

const draw = (shape: readonly number[], low = -2, high = 2): Sample => ({ shape, dtype: "f32", low, high });

/** The axes of a reduction's operand that stay. */
const kept = (node: ReductionNode, axes: readonly number[]): number[] =>
  node.inputs[0].shape.map((_, axis) => axis).filter((axis) => !axes.includes(axis));

/** Strides of the result for walking the input of a reduction. */
function keptStrides(node: ReductionNode): number[] {
  const strides = stridesOf(node.shape);
  const axes = kept(node, node.attrs.axes);
  return node.inputs[0].shape.map((_, axis) => strides[axes.indexOf(axis)] ?? 0);
}

function inferReduction(inputs: readonly Node[], { axes }: { readonly axes: readonly number[] }) {
  const x = inputs[0];
  if (!x || inputs.length !== 1 || x.dtype !== "f32") return "takes one f32 operand";
  if (axes.some((axis, i) => axis >= x.shape.length || (i > 0 && mustAt(axes, i - 1) >= axis)))
    return "axes must ascend and exist";
  return { shape: x.shape.filter((_, axis) => !axes.includes(axis)), dtype: "f32" as const };
}

/** The letters of the two operands and of the result, one an axis. */
export interface Letters {
  readonly a: string;
  readonly b: string;
  readonly out: string;
}

function readLetters(spec: string): Letters | null {
  const [, a, b, out] = /^([a-zA-Z]*),([a-zA-Z]*)->([a-zA-Z]*)$/.exec(spec) ?? [];
  return a === undefined || b === undefined || out === undefined ? null : { a, b, out };
}

/** The letters of a contraction's spec: "mk,kn->mn". Throws an Error when it has another form. */
export function letters(spec: string): Letters {
  const read = readLetters(spec);
  if (!read) throw new Error(`graph: malformed spec ${spec}`);
  return read;
}

function inferContract(inputs: readonly Node[], spec: string) {
  const [x, y] = inputs;
  const l = readLetters(spec);
  if (!l) return `malformed spec ${spec}`;
  if (!x || !y || x.dtype !== "f32" || y.dtype !== "f32") return "takes two f32 operands";
  if (l.a.length !== x.shape.length || l.b.length !== y.shape.length) return `${spec} does not fit the ranks`;
  const sizes = new Map<string, number>();
  for (const [term, node] of [
    [l.a, x],
    [l.b, y],
  ] as const) {
    if (new Set(term).size !== term.length) return `${spec} repeats a letter`;
    for (const [i, letter] of [...term].entries()) {
      const size = mustAt(node.shape, i);
      const before = sizes.get(letter);
      if (before !== undefined && before !== size) return `${letter} is ${before} and ${size}`;
      sizes.set(letter, size);
    }
  }
  for (const letter of sizes.keys()) {
    if (!l.out.includes(letter) && !(l.a.includes(letter) && l.b.includes(letter)))
      return `${letter} stands in one operand only`;
  }
  if ([...l.out].some((letter) => !sizes.has(letter)) || new Set(l.out).size !== l.out.length)
    return `${spec} has a wrong result`;
  return { shape: [...l.out].map((letter) => mustGet(sizes, letter)), dtype: "f32" as const };
}

/**
 * Of a product over axes, for every entry the product of all others. The entries, as one axis, stand once as rows and
 * once as columns; a row takes its own entry out by 1. Nothing is divided by an entry, which may be 0.
 */
function others(b: Builder, node: NodeWith<"reduce_prod">): Node {
  const x = node.inputs[0];
  const { axes } = node.attrs;
  const outer = kept(node, axes);
  const order = [...outer, ...axes];
  const moved = b.transpose(x, order);
  const count = sizeOf(axes.map((axis) => mustAt(x.shape, axis)));
  const rows = b.reshape(moved, [...node.shape, count]);
  const [row, column] = [node.shape.length, node.shape.length + 1];
  const square = [...node.shape, count, count];
  const entries = b.broadcast(
    rows,
    square,
    rows.shape.map((_, axis) => (axis === row ? column : axis)),
  );
  const isOwn = b.eq(b.iota(square, row), b.iota(square, column));
  const product = b.reduceProd(b.select(isOwn, b.fill(1, square), entries), [column]);
  return b.transpose(
    b.reshape(product, moved.shape),
    order.map((_, axis) => order.indexOf(axis)),
  );
}

/** Records of layout ops, reductions, contractions, gather and scatter. */
export const structure = {
  broadcast: {
    infer: (inputs, { axes }, { shape }) => {
      const x = inputs[0];
      if (!x || !shape) return "takes one operand and a shape";
      if (axes.length !== x.shape.length || new Set(axes).size !== axes.length)
        return "needs one axis of the result for each of the operand";
      if (axes.some((axis, i) => shape[axis] !== x.shape[i]))
        return `[${x.shape.join(",")}] does not fit [${shape.join(",")}] at [${axes.join(",")}]`;
      return { shape, dtype: x.dtype };
    },
    evaluate: (node, [x]) => {
      const out = allocate(node.dtype, sizeOf(node.shape));
      const inner = stridesOf(node.inputs[0].shape);
      const strides = node.shape.map((_, axis) => inner[node.attrs.axes.indexOf(axis)] ?? 0);
      walk(node.shape, strides, (i, offset) => (out[i] = x[offset]!));
      return out;
    },
    vjp: (b, node, g) => {
      const { axes } = node.attrs;
      const repeated = node.shape.map((_, axis) => axis).filter((axis) => !axes.includes(axis));
      const summed = b.sum(g, repeated);
      const ordered = [...axes].sort((p, q) => p - q);
      return [
        b.transpose(
          summed,
          axes.map((axis) => ordered.indexOf(axis)),
        ),
      ];
    },
    flops: () => 0,
    cases: [
      { attrs: { axes: [2, 0] }, inputs: [draw([2, 3])], declared: { shape: [3, 4, 2] } },
      { attrs: { axes: [] }, inputs: [draw([])], declared: { shape: [2, 2] } },
      { attrs: { axes: [1, 0] }, inputs: [draw([2, 3])], declared: { shape: [3, 2] } },
      {
        attrs: { axes: [2, 0] },
        inputs: [{ shape: [5, 3], dtype: "u32", low: 0, high: 0xffffffff }],
        declared: { shape: [3, 4, 5] },
      },
      {
        attrs: { axes: [2, 0] },
        inputs: [{ shape: [5, 3], dtype: "bool", low: 0, high: 1 }],
        declared: { shape: [3, 4, 5] },
      },
    ],
  } satisfies OpRecord<"broadcast">,
  reshape: {
    infer: (inputs, _, { shape }) =>
      !inputs[0] || !shape
        ? "takes one operand and a shape"
        : sizeOf(shape) !== sizeOf(inputs[0].shape)
          ? "must keep the number of values"
          : { shape, dtype: inputs[0].dtype },
    evaluate: (_, [x]) => x,
    vjp: (b, node, g) => [b.reshape(g, node.inputs[0].shape)],
    flops: () => 0,
    cases: [
      { attrs: {}, inputs: [draw([2, 6])], declared: { shape: [3, 4] } },
      { attrs: {}, inputs: [draw([2, 4])], declared: { shape: [2, 2, 2] } },
      { attrs: {}, inputs: [{ shape: [3, 10], dtype: "u32", low: 0, high: 0xffffffff }], declared: { shape: [5, 6] } },
      { attrs: {}, inputs: [{ shape: [3, 10], dtype: "bool", low: 0, high: 1 }], declared: { shape: [5, 6] } },
    ],
  } satisfies OpRecord<"reshape">,
  pack: {
    infer: (inputs) => {
      if (inputs.length === 0 || inputs.some(({ dtype }) => dtype !== "f32")) return "takes f32 operands";
      return { shape: [slotsOf(inputs.map(({ shape }) => shape)).words], dtype: "f32" };
    },
    evaluate: (node, inputs) => {
      const out = new Float64Array(sizeOf(node.shape));
      const { offsets } = slotsOf(node.inputs.map(({ shape }) => shape));
      inputs.forEach((input, i) => out.set(input, offsets[i]));
      return out;
    },
    vjp: (b, node, g) => {
      const { offsets } = slotsOf(node.inputs.map(({ shape }) => shape));
      return node.inputs.map(({ shape }, i) => b.slice(g, mustAt(offsets, i), shape));
    },
    flops: () => 0,
    cases: [
      { attrs: {}, inputs: [draw([3]), draw([64]), draw([5, 13])] },
      { attrs: {}, inputs: [draw([])] },
      { attrs: {}, inputs: [draw([2, 64]), draw([130])] },
    ],
  } satisfies OpRecord<"pack">,
  slice: {
    infer: ([x], { offset }, { shape }) => {
      const size = x?.shape[0];
      if (!x || !shape || x.dtype !== "f32" || size === undefined || x.shape.length !== 1)
        return "takes one f32 vector and a shape";
      if (offset % SLOT !== 0 || size % SLOT !== 0)
        return `the offset and the vector's size must be multiples of ${SLOT}`;
      return offset < 0 || offset + sizeOf(shape) > size ? "must lie in the vector" : { shape, dtype: "f32" };
    },
    evaluate: (node, [x]) => Float64Array.from(x.subarray(node.attrs.offset, node.attrs.offset + sizeOf(node.shape))),
    vjp: (b, node, g) => {
      // A pack of g, between zeros.
      const { offset } = node.attrs;
      const after = sizeOf(node.inputs[0].shape) - offset - wholeSlots(sizeOf(node.shape));
      const zeros = (size: number): Node[] => (size > 0 ? [b.fill(0, [size])] : []);
      return [b.pack([...zeros(offset), g, ...zeros(after)])];
    },
    flops: () => 0,
    cases: [
      { attrs: { offset: 64 }, inputs: [draw([192])], declared: { shape: [5, 13] } },
      { attrs: { offset: 0 }, inputs: [draw([64])], declared: { shape: [7] } },
      { attrs: { offset: 64 }, inputs: [draw([128])], declared: { shape: [] } },
      { attrs: { offset: 128 }, inputs: [draw([256])], declared: { shape: [8, 16] } },
    ],
  } satisfies OpRecord<"slice">,
  sum: {
    infer: inferReduction,
    evaluate: (node, [x]) => {
      const out = new Float64Array(sizeOf(node.shape));
      walk(node.inputs[0].shape, keptStrides(node), (i, offset) => (out[offset]! += x[i]!));
      return out;
    },
    vjp: (b, node, g) => [b.broadcast(g, node.inputs[0].shape, kept(node, node.attrs.axes))],
    flops: (node) => sizeOf(node.inputs[0].shape),
    cases: [[0], [1], [2], [0, 2], [0, 1, 2]].map((axes) => ({ attrs: { axes }, inputs: [draw([2, 3, 13])] })),
  } satisfies OpRecord<"sum">,
  reduce_max: {
    infer: inferReduction,
    evaluate: (node, [x]) => {
      const out = new Float64Array(sizeOf(node.shape)).fill(Number.NEGATIVE_INFINITY);
      walk(node.inputs[0].shape, keptStrides(node), (i, offset) => (out[offset] = Math.max(out[offset]!, x[i]!)));
      return out;
    },
    vjp: (b, node, g) => {
      const x = node.inputs[0];
      const axes = kept(node, node.attrs.axes);
      const largest = b.broadcast(node, x.shape, axes);
      const hit = b.cast(b.eq(x, largest), "f32");
      const count = b.sum(hit, node.attrs.axes);
      return [b.mul(hit, b.broadcast(b.div(g, count), x.shape, axes))];
    },
    flops: (node) => sizeOf(node.inputs[0].shape),
    cases: [[0], [1], [0, 1]].map((axes) => ({ attrs: { axes }, inputs: [{ ...draw([3, 5]), distinct: true }] })),
  } satisfies OpRecord<"reduce_max">,
  reduce_prod: {
    infer: inferReduction,
    evaluate: (node, [x]) => {
      const out = new Float64Array(sizeOf(node.shape)).fill(1);
      walk(node.inputs[0].shape, keptStrides(node), (i, offset) => (out[offset]! *= x[i]!));
      return out;
    },
    vjp: (b, node, g) => [b.mul(b.broadcast(g, node.inputs[0].shape, kept(node, node.attrs.axes)), others(b, node))],
    flops: (node) => sizeOf(node.inputs[0].shape),
    cases: [[0], [1], [0, 2], [0, 1, 2]].map((axes) => ({ attrs: { axes }, inputs: [draw([2, 3, 5])] })),
  } satisfies OpRecord<"reduce_prod">,
  contract: {
    infer: (inputs, { spec }) => inferContract(inputs, spec),
    evaluate: (node, [x, y]) => evaluateContract(node, x, y),
    vjp: (b, node, g) => {
      const l = letters(node.attrs.spec);
      const [x, y] = node.inputs;
      // The cotangent of an operand: that of the result, contracted with the other operand.
      return [b.contract(`${l.out},${l.b}->${l.a}`, g, y), b.contract(`${l.out},${l.a}->${l.b}`, g, x)];
    },
    flops: (node) => {
      const l = letters(node.attrs.spec);
      const summed = [...l.a]
        .filter((letter) => !l.out.includes(letter))
        .map((letter) => mustAt(node.inputs[0].shape, l.a.indexOf(letter)));
      return 2 * sizeOf(node.shape) * sizeOf(summed);
    },
    cases: [
      { attrs: { spec: "mk,kn->mn" }, inputs: [draw([5, 3]), draw([3, 9])] },
      { attrs: { spec: "km,kn->mn" }, inputs: [draw([3, 5]), draw([3, 6])] },
      { attrs: { spec: "mk,nk->mn" }, inputs: [draw([12, 7]), draw([13, 7])] },
      { attrs: { spec: "bthd,buhd->bhtu" }, inputs: [draw([2, 5, 2, 3]), draw([2, 4, 2, 3])] },
      { attrs: { spec: "bhtu,buhd->bthd" }, inputs: [draw([2, 2, 5, 4]), draw([2, 4, 2, 8])] },
      { attrs: { spec: "btnm,bmtw->bntw" }, inputs: [draw([2, 3, 4, 4]), draw([2, 4, 3, 8])] },
      { attrs: { spec: "bntw,nwk->btk" }, inputs: [draw([2, 4, 3, 8]), draw([4, 8, 6])] },
      { attrs: { spec: "bntw,bmtw->btnm" }, inputs: [draw([2, 3, 2, 8]), draw([2, 3, 2, 8])] },
      { attrs: { spec: "k,k->" }, inputs: [draw([7]), draw([7])] },
      { attrs: { spec: "ak,k->a" }, inputs: [draw([6, 7]), draw([7])] },
      { attrs: { spec: "ka,kb->ba" }, inputs: [draw([9, 6]), draw([9, 11])] },
    ],
  } satisfies OpRecord<"contract">,
  gather: {
    infer: (inputs) => {
      const [table, index] = inputs;
      if (!table || !index || table.dtype !== "f32" || index.dtype !== "u32" || table.shape.length === 0)
        return "takes a table and u32 indices";
      return { shape: [...index.shape, ...table.shape.slice(1)], dtype: "f32" };
    },
    evaluate: (node, [table, index]) => {
      const width = sizeOf(node.inputs[0].shape.slice(1));
      const out = new Float64Array(sizeOf(node.shape));
      index.forEach((row: number, i: number) => {
        for (let j = 0; j < width; j++) out[i * width + j] = table[row * width + j]!;
      });
      return out;
    },
    vjp: (b, node, g) => [b.scatterAdd(node.inputs[1], g, mustAt(node.inputs[0].shape, 0)), null],
    flops: () => 0,
    cases: [{ attrs: {}, inputs: [draw([4, 6]), { shape: [2, 5], dtype: "u32", low: 0, high: 3 }] }],
  } satisfies OpRecord<"gather">,
  scatter_add: {
    infer: (inputs, { rows }) => {
      const [index, values] = inputs;
      if (!index || !values || index.dtype !== "u32" || values.dtype !== "f32")
        return "takes u32 indices and f32 values";
      if (index.shape.some((size, i) => values.shape[i] !== size))
        return "values must start with the shape of the indices";
      return { shape: [rows, ...values.shape.slice(index.shape.length)], dtype: "f32" };
    },
    evaluate: (node, [index, values]) => {
      const width = sizeOf(node.shape.slice(1));
      const out = new Float64Array(sizeOf(node.shape));
      index.forEach((row: number, i: number) => {
        for (let j = 0; j < width; j++) out[row * width + j]! += values[i * width + j]!;
      });
      return out;
    },
    vjp: (b, node, g) => [null, b.gather(g, node.inputs[0])],
    flops: (node) => sizeOf(node.inputs[1].shape),
    expand: (b, node) => {
      // One row of the result is the sum of the values whose index is that row.
      const [index, values] = node.inputs;
      const shape = [node.attrs.rows, ...values.shape];
      const rank = index.shape.length;
      const row = b.iota(shape, 0);
      const hit = b.eq(
        row,
        b.broadcast(
          index,
          shape,
          index.shape.map((_, i) => i + 1),
        ),
      );
      const spread = b.broadcast(
        values,
        shape,
        values.shape.map((_, i) => i + 1),
      );
      return b.sum(b.select(hit, spread, b.fill(0, shape)), index.shape.map((_, i) => i + 1).slice(0, rank));
    },
    cases: [{ attrs: { rows: 4 }, inputs: [{ shape: [2, 5], dtype: "u32", low: 0, high: 3 }, draw([2, 5, 6])] }],
  } satisfies OpRecord<"scatter_add">,
};

function evaluateContract(node: NodeWith<"contract">, x: Value, y: Value): Float64Array {
  const l = letters(node.attrs.spec);
  const [nx, ny] = node.inputs;
  const sx = stridesOf(nx.shape);
  const sy = stridesOf(ny.shape);
  const stride = (term: string, strides: readonly number[], letter: string): number =>
    strides[term.indexOf(letter)] ?? 0;
  const summed = [...l.a].filter((letter) => !l.out.includes(letter));
  const sizes = summed.map((letter) => mustAt(nx.shape, l.a.indexOf(letter)));
  const total = sizeOf(sizes);
  const kx = new Int32Array(total);
  const ky = new Int32Array(total);
  walk(
    sizes,
    summed.map((letter) => stride(l.a, sx, letter)),
    (i, offset) => (kx[i] = offset),
  );
  walk(
    sizes,
    summed.map((letter) => stride(l.b, sy, letter)),
    (i, offset) => (ky[i] = offset),
  );
  const out = new Float64Array(sizeOf(node.shape));
  const bases = new Int32Array(out.length);
  walk(
    node.shape,
    [...l.out].map((letter) => stride(l.b, sy, letter)),
    (i, offset) => (bases[i] = offset),
  );
  walk(
    node.shape,
    [...l.out].map((letter) => stride(l.a, sx, letter)),
    (i, base) => {
      const other = bases[i]!;
      let acc = 0;
      for (let k = 0; k < total; k++) acc += x[base + kx[k]!]! * y[other + ky[k]!]!;
      out[i] = acc;
    },
  );
  return out;
}
