/**
 * The elementwise rows of the op table, and the leaves. Operands have one shape; where a derivative meets a kink (abs,
 * min, max) the side is chosen as common frameworks choose it: the derivative of abs at 0 is 0, ties of min and max go
 * half to each.
 */
import { threefry2x32 } from "../../../runtime/threefry.js";
import type { Builder } from "../builder.js";
import type { DType, Node, Op } from "../node.js";
import {
  allocate,
  sameShape,
  sizeOf,
  type Case,
  type Inferred,
  type OpRecord,
  type Sample,
  type Value,
} from "../record.js";
import { erf } from "../special.js";

const SHAPE = [2, 3];
const draw = (low: number, high: number, kinks: readonly number[] = []): Sample => ({
  shape: SHAPE,
  dtype: "f32",
  low,
  high,
  kinks,
});
const drawInteger = (low: number, high: number): Sample => ({ shape: SHAPE, dtype: "u32", low, high });

const like = (b: Builder, x: Node, value: number): Node => b.fill(value, x.shape);

function same(inputs: readonly Node[], count: number, dtypes: readonly DType[], result?: DType): Inferred | string {
  if (inputs.length !== count) return `takes ${count} operands`;
  const first = inputs[0]!;
  for (const input of inputs) {
    if (!sameShape(input.shape, first.shape)) return "operands must have one shape";
    if (input.dtype !== first.dtype) return "operands must have one dtype";
  }
  if (!dtypes.includes(first.dtype)) return `not defined for ${first.dtype}`;
  return { shape: first.shape, dtype: result ?? first.dtype };
}

const map = (size: number, dtype: DType, f: (i: number) => number): Value => {
  const out = allocate(dtype, size);
  for (let i = 0; i < size; i++) out[i] = f(i);
  return out;
};

type Empty = Record<never, never>;

function unary<K extends Op>(
  f: (x: number) => number,
  derivative: (b: Builder, x: Node, y: Node) => Node,
  sample: Sample,
  flops = 1,
): OpRecord<K> {
  return {
    infer: (inputs) => same(inputs, 1, ["f32"]),
    evaluate: (node, [x]) => map(sizeOf(node.shape), "f32", (i) => f(x![i]!)),
    vjp: (b, node, g) => [b.mul(g, derivative(b, node.inputs[0]!, node as unknown as Node))],
    flops: (node) => flops * sizeOf(node.shape),
    cases: [{ attrs: {} as Empty, inputs: [sample] } as unknown as Case<K>],
  };
}

function binary<K extends Op>(
  f: (x: number, y: number) => number,
  vjp: (b: Builder, g: Node, x: Node, y: Node, result: Node) => readonly [Node, Node],
  samples: readonly (readonly [Sample, Sample])[],
  dtypes: readonly DType[] = ["f32"],
): OpRecord<K> {
  return {
    infer: (inputs) => same(inputs, 2, dtypes),
    evaluate: (node, [x, y]) => map(sizeOf(node.shape), node.dtype, (i) => f(x![i]!, y![i]!)),
    vjp: (b, node, g) =>
      node.dtype === "f32" ? vjp(b, g, node.inputs[0]!, node.inputs[1]!, node as unknown as Node) : [null, null],
    flops: (node) => sizeOf(node.shape),
    cases: samples.map((inputs) => ({ attrs: {} as Empty, inputs }) as unknown as Case<K>),
  };
}

function condition<K extends Op>(
  f: (x: number, y: number) => boolean,
  dtypes: readonly DType[],
  samples: readonly (readonly Sample[])[],
): OpRecord<K> {
  return {
    infer: (inputs) => same(inputs, 2, dtypes, "bool"),
    evaluate: (node, [x, y]) => map(sizeOf(node.shape), "bool", (i) => (f(x![i]!, y![i]!) ? 1 : 0)),
    vjp: null,
    flops: (node) => sizeOf(node.shape),
    cases: samples.map((inputs) => ({ attrs: {} as Empty, inputs }) as unknown as Case<K>),
  };
}

function leaf<K extends Op>(dtypes: readonly DType[]): OpRecord<K> {
  return {
    infer: (_, __, { shape, dtype }) => {
      if (!shape || !dtype) return "needs a shape and a dtype";
      return dtypes.includes(dtype) ? { shape, dtype } : `cannot be ${dtype}`;
    },
    evaluate: null,
    vjp: null,
    flops: () => 0,
    cases: [],
  };
}

/** d/dx of min and max: all of it where x wins, half at a tie. */
function winner(b: Builder, g: Node, wins: Node, loses: Node): Node {
  const half = b.mul(g, like(b, g, 0.5));
  const zero = like(b, g, 0);
  return b.select(wins, g, b.select(loses, zero, half));
}

const TRUTH: Sample = { shape: SHAPE, dtype: "bool", low: 0, high: 1 };
/** The same six values in any order: two such operands are equal at some places. */
const PERMUTED: Sample = { ...draw(-2, 2), distinct: true };
/** Operands far from each other, where min and max have no kink. */
const APART: readonly (readonly [Sample, Sample])[] = [
  [draw(-2, -0.1), draw(0.1, 2)],
  [draw(0.1, 2), draw(-2, -0.1)],
];

export const leaves = {
  parameter: leaf<"parameter">(["f32"]),
  state: leaf<"state">(["f32"]),
  input: leaf<"input">(["f32", "u32"]),
  constant: {
    // Neither the text form nor WGSL can write what is not finite, and f32 is what kernels compute in.
    infer: (_, { value }, { dtype }) =>
      Number.isFinite(Math.fround(value)) ? { shape: [], dtype: dtype ?? "f32" } : `${value} is not a finite f32`,
    evaluate: (node) => map(1, node.dtype, () => node.attrs.value),
    vjp: () => [],
    flops: () => 0,
    cases: [
      { attrs: { value: 2.5 }, inputs: [] },
      { attrs: { value: 7 }, inputs: [], given: { dtype: "u32" } },
    ],
  } satisfies OpRecord<"constant">,
  literal: {
    infer: (_, { data }, { shape }) =>
      !shape
        ? "needs a shape"
        : sizeOf(shape) !== data.length
          ? `has ${data.length} values for ${sizeOf(shape)} places`
          : { shape, dtype: "f32" },
    evaluate: (node) => Float64Array.from(node.attrs.data),
    vjp: () => [],
    flops: () => 0,
    cases: [{ attrs: { data: [1, 2, 3, 4, 5, 6] }, inputs: [], given: { shape: SHAPE } }],
  } satisfies OpRecord<"literal">,
  iota: {
    infer: (_, { axis }, { shape }) =>
      !shape || axis >= shape.length ? "needs a shape with that axis" : { shape, dtype: "u32" },
    evaluate: (node) => {
      const inner = sizeOf(node.shape.slice(node.attrs.axis + 1));
      const size = node.shape[node.attrs.axis]!;
      return map(sizeOf(node.shape), "u32", (i) => Math.floor(i / inner) % size);
    },
    vjp: () => [],
    flops: () => 0,
    cases: [
      { attrs: { axis: 1 }, inputs: [], given: { shape: SHAPE } },
      { attrs: { axis: 0 }, inputs: [], given: { shape: SHAPE } },
    ],
  } satisfies OpRecord<"iota">,
};

/** Operations of the form that does not overflow: |x|, -, exp, +, /, <, a product and a choice. */
const SIGMOID = 8;
const TWO_OVER_SQRT_PI = 2 / Math.sqrt(Math.PI);

export const elementwise = {
  neg: unary<"neg">(
    (x) => -x,
    (b, x) => like(b, x, -1),
    draw(-2, 2),
  ),
  exp: unary<"exp">(Math.exp, (_, __, y) => y, draw(-3, 3)),
  log: unary<"log">(Math.log, (b, x) => b.div(like(b, x, 1), x), draw(0.1, 5)),
  sqrt: unary<"sqrt">(Math.sqrt, (b, x, y) => b.div(like(b, x, 0.5), y), draw(0.1, 5)),
  tanh: unary<"tanh">(Math.tanh, (b, x, y) => b.sub(like(b, x, 1), b.mul(y, y)), draw(-3, 3)),
  erf: unary<"erf">(erf, (b, x) => b.mul(like(b, x, TWO_OVER_SQRT_PI), b.exp(b.neg(b.mul(x, x)))), draw(-3, 3)),
  abs: unary<"abs">(
    Math.abs,
    (b, x) => {
      const zero = like(b, x, 0);
      return b.select(b.lt(x, zero), like(b, x, -1), b.select(b.lt(zero, x), like(b, x, 1), zero));
    },
    draw(-2, 2, [0]),
  ),
  sin: unary<"sin">(Math.sin, (b, x) => b.cos(x), draw(-6, 6)),
  cos: unary<"cos">(Math.cos, (b, x) => b.neg(b.sin(x)), draw(-6, 6)),
  sigmoid: unary<"sigmoid">(
    (x) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x))),
    (b, x, y) => b.mul(y, b.sub(like(b, x, 1), y)),
    draw(-5, 5),
    SIGMOID,
  ),
  add: binary<"add">(
    (x, y) => x + y,
    (_, g) => [g, g],
    [
      [draw(-2, 2), draw(-2, 2)],
      [drawInteger(0, 0xffffffff), drawInteger(0, 0xffffffff)],
    ],
    ["f32", "u32"],
  ),
  sub: binary<"sub">(
    (x, y) => x - y,
    (b, g) => [g, b.neg(g)],
    [
      [draw(-2, 2), draw(-2, 2)],
      [drawInteger(0, 0xffffffff), drawInteger(0, 0xffffffff)],
    ],
    ["f32", "u32"],
  ),
  mul: {
    ...binary<"mul">(
      (x, y) => x * y,
      (b, g, x, y) => [b.mul(g, y), b.mul(g, x)],
      [
        [draw(-2, 2), draw(-2, 2)],
        [drawInteger(0, 0xffffffff), drawInteger(0, 0xffffffff)],
      ],
      ["f32", "u32"],
    ),
    evaluate: (node, [x, y]) =>
      map(sizeOf(node.shape), node.dtype, (i) => (node.dtype === "u32" ? Math.imul(x![i]!, y![i]!) : x![i]! * y![i]!)),
  } satisfies OpRecord<"mul">,
  div: binary<"div">(
    (x, y) => x / y,
    (b, g, _, y, result) => [b.div(g, y), b.neg(b.mul(g, b.div(result, y)))],
    [[draw(-2, 2), draw(0.5, 2)]],
  ),
  min: binary<"min">(
    Math.min,
    (b, g, x, y) => [winner(b, g, b.lt(x, y), b.lt(y, x)), winner(b, g, b.lt(y, x), b.lt(x, y))],
    [...APART, [drawInteger(0, 0xffffffff), drawInteger(0, 0xffffffff)]],
    ["f32", "u32"],
  ),
  max: binary<"max">(
    Math.max,
    (b, g, x, y) => [winner(b, g, b.lt(y, x), b.lt(x, y)), winner(b, g, b.lt(x, y), b.lt(y, x))],
    [...APART, [drawInteger(0, 0xffffffff), drawInteger(0, 0xffffffff)]],
    ["f32", "u32"],
  ),
  pow: binary<"pow">(
    (x, y) => x ** y,
    (b, g, x, y, result) => [b.mul(g, b.mul(y, b.pow(x, b.sub(y, like(b, y, 1))))), b.mul(g, b.mul(result, b.log(x)))],
    [[draw(0.5, 2), draw(-2, 3)]],
  ),
  lt: condition<"lt">(
    (x, y) => x < y,
    ["f32", "u32"],
    [
      [draw(-2, 2), draw(-2, 2)],
      [drawInteger(0, 3), drawInteger(0, 3)],
    ],
  ),
  le: condition<"le">(
    (x, y) => x <= y,
    ["f32", "u32"],
    [
      [PERMUTED, PERMUTED],
      [drawInteger(0, 3), drawInteger(0, 3)],
    ],
  ),
  eq: condition<"eq">(
    (x, y) => x === y,
    ["f32", "u32"],
    [
      [PERMUTED, PERMUTED],
      [drawInteger(0, 2), drawInteger(0, 2)],
    ],
  ),
  and: condition<"and">((x, y) => x !== 0 && y !== 0, ["bool"], [[TRUTH, TRUTH]]),
  or: condition<"or">((x, y) => x !== 0 || y !== 0, ["bool"], [[TRUTH, TRUTH]]),
  not: {
    infer: (inputs) => same(inputs, 1, ["bool"]),
    evaluate: (node, [x]) => map(sizeOf(node.shape), "bool", (i) => (x![i] ? 0 : 1)),
    vjp: null,
    flops: (node) => sizeOf(node.shape),
    cases: [{ attrs: {}, inputs: [TRUTH] }],
  } satisfies OpRecord<"not">,
  finite: {
    infer: (inputs) => same(inputs, 1, ["f32"], "bool"),
    evaluate: (node, [x]) => map(sizeOf(node.shape), "bool", (i) => (Number.isFinite(x![i]!) ? 1 : 0)),
    vjp: null,
    // A mask and a comparison.
    flops: (node) => 2 * sizeOf(node.shape),
    cases: [{ attrs: {}, inputs: [draw(-2, 2)] }],
  } satisfies OpRecord<"finite">,
  select: {
    infer: (inputs) => {
      const [test, then, otherwise] = inputs;
      if (!test || !then || !otherwise || inputs.length !== 3) return "takes a condition and two values";
      if (test.dtype !== "bool") return "the condition must be bool";
      if (!sameShape(test.shape, then.shape)) return "operands must have one shape";
      return same([then, otherwise], 2, ["f32", "u32"]);
    },
    evaluate: (node, [test, then, otherwise]) =>
      map(sizeOf(node.shape), node.dtype, (i) => (test![i] ? then![i]! : otherwise![i]!)),
    vjp: (b, node, g) => {
      const zero = like(b, g, 0);
      return [null, b.select(node.inputs[0]!, g, zero), b.select(node.inputs[0]!, zero, g)];
    },
    flops: (node) => sizeOf(node.shape),
    cases: [
      { attrs: {}, inputs: [TRUTH, draw(-2, 2), draw(-2, 2)] },
      { attrs: {}, inputs: [TRUTH, drawInteger(0, 0xffffffff), drawInteger(0, 0xffffffff)] },
    ],
  } satisfies OpRecord<"select">,
  cast: {
    infer: (inputs, { to }) => {
      const from = inputs[0]?.dtype;
      const allowed = (to === "f32" && from !== "f32") || (to === "u32" && from !== "u32");
      return inputs.length === 1 && allowed ? { shape: inputs[0]!.shape, dtype: to } : `cannot turn ${from} into ${to}`;
    },
    evaluate: (node, [x]) => map(sizeOf(node.shape), node.dtype, (i) => Math.trunc(x![i]!)),
    vjp: () => [null],
    flops: (node) => sizeOf(node.shape),
    cases: [
      { attrs: { to: "f32" }, inputs: [drawInteger(0, 1000)] },
      { attrs: { to: "f32" }, inputs: [TRUTH] },
      { attrs: { to: "u32" }, inputs: [{ ...draw(0.1, 90), kinks: [] }] },
      { attrs: { to: "u32" }, inputs: [TRUTH] },
    ],
  } satisfies OpRecord<"cast">,
  threefry: {
    infer: (inputs) => same(inputs, 4, ["u32"]),
    evaluate: (node, [k0, k1, c0, c1]) =>
      map(sizeOf(node.shape), "u32", (i) => threefry2x32([k0![i]!, k1![i]!], [c0![i]!, c1![i]!])[node.attrs.word]),
    vjp: null,
    flops: (node) => 80 * sizeOf(node.shape),
    cases: ([0, 1] as const).map((word) => ({
      attrs: { word },
      inputs: [
        drawInteger(0, 0xffffffff),
        drawInteger(0, 0xffffffff),
        drawInteger(0, 0xffffffff),
        drawInteger(0, 0xffffffff),
      ],
    })),
  } satisfies OpRecord<"threefry">,
};
