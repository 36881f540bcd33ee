/**
 * The elementwise rows of the op table, and the leaves. Operands have one shape; where a derivative meets a kink (abs,
 * min, max) the side is chosen as common frameworks choose it: the derivative of abs at 0 is 0, ties of min and max go
 * half to each.
 */
import { mustAt } from "../../../runtime/lookup.js";
import { threefry2x32 } from "../../../runtime/threefry.js";
import type { Builder } from "../builder.js";
import type { DType, ElementwisePair, Node } from "../node.js";
import { allocate, sameShape, sizeOf, type Inferred, type OpRecord, type Sample, type Value } from "../record.js";
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
  const [first] = inputs;
  if (!first) return "takes operands";
  for (const input of inputs) {
    if (!sameShape(input.shape, first.shape)) return "operands must have one shape";
    if (input.dtype !== first.dtype) return "operands must have one dtype";
  }
  if (!dtypes.includes(first.dtype)) return `not defined for ${first.dtype}`;
  return { shape: first.shape, dtype: result ?? first.dtype };
}

/** A tensor of that dtype with f(i) at every place i. */
function fromIndex(size: number, dtype: DType, f: (i: number) => number): Value {
  const out = allocate(dtype, size);
  for (let i = 0; i < size; i++) out[i] = f(i);
  return out;
}

/** A tensor of that dtype with f of the values of x, place by place. */
const map = (dtype: DType, x: Value, f: (x: number) => number): Value => fromIndex(x.length, dtype, (i) => f(x[i]!));

/** The same of two operands. */
const map2 = (dtype: DType, x: Value, y: Value, f: (x: number, y: number) => number): Value =>
  fromIndex(x.length, dtype, (i) => f(x[i]!, y[i]!));

/** Functions of one real number, f32 to f32. */
type RealFunction = "neg" | "exp" | "log" | "sqrt" | "tanh" | "erf" | "abs" | "sin" | "cos" | "sigmoid";
/** Functions of one real number that no derivative goes through. */
type Flat = "floor" | "stop";
/** Ops of two numbers that give a number, and that give a truth value. */
type Condition = "lt" | "le" | "eq" | "and" | "or";
type Arithmetic = Exclude<ElementwisePair, Condition>;

/** `derivative`: of y = f(x) by x, as graph, from x and y. */
function unary(
  f: (x: number) => number,
  derivative: (b: Builder, x: Node, y: Node) => Node,
  sample: Sample,
  flops = 1,
) {
  return {
    infer: (inputs) => same(inputs, 1, ["f32"]),
    evaluate: (_, [x]) => map("f32", x, f),
    vjp: (b, node, g) => [b.mul(g, derivative(b, node.inputs[0], node))],
    flops: (node) => flops * sizeOf(node.shape),
    cases: [{ attrs: {}, inputs: [sample] }],
  } satisfies OpRecord<RealFunction>;
}

/** A function of one real number that no derivative goes through. */
function flat(f: (x: number) => number, flops: number, sample: Sample) {
  return {
    infer: (inputs) => same(inputs, 1, ["f32"]),
    evaluate: (_, [x]) => map("f32", x, f),
    vjp: () => [null],
    flops: (node) => flops * sizeOf(node.shape),
    cases: [{ attrs: {}, inputs: [sample] }],
  } satisfies OpRecord<Flat>;
}

/** `vjp`: the cotangents of x and y as graph, from that of the result. */
function binary(
  f: (x: number, y: number) => number,
  vjp: (b: Builder, g: Node, x: Node, y: Node, result: Node) => readonly [Node, Node],
  samples: readonly (readonly [Sample, Sample])[],
  dtypes: readonly DType[] = ["f32"],
) {
  return {
    infer: (inputs) => same(inputs, 2, dtypes),
    evaluate: (node, [x, y]) => map2(node.dtype, x, y, f),
    vjp: (b, node, g) => (node.dtype === "f32" ? vjp(b, g, node.inputs[0], node.inputs[1], node) : [null, null]),
    flops: (node) => sizeOf(node.shape),
    cases: samples.map((inputs) => ({ attrs: {}, inputs })),
  } satisfies OpRecord<Arithmetic>;
}

function condition(
  f: (x: number, y: number) => boolean,
  dtypes: readonly DType[],
  samples: readonly (readonly Sample[])[],
) {
  return {
    infer: (inputs) => same(inputs, 2, dtypes, "bool"),
    evaluate: (_, [x, y]) => map2("bool", x, y, (p, q) => (f(p, q) ? 1 : 0)),
    vjp: null,
    flops: (node) => sizeOf(node.shape),
    cases: samples.map((inputs) => ({ attrs: {}, inputs })),
  } satisfies OpRecord<Condition>;
}

/** What is bound by name: its maker says shape and dtype. */
function leaf(dtypes: readonly DType[]) {
  return {
    infer: (_, __, { shape, dtype }) => {
      if (!shape || !dtype) return "needs a shape and a dtype";
      return dtypes.includes(dtype) ? { shape, dtype } : `cannot be ${dtype}`;
    },
    evaluate: null,
    vjp: null,
    flops: () => 0,
    cases: [],
  } satisfies OpRecord<"parameter" | "state" | "input">;
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

/** Records of the ops without operands. */
export const leaves = {
  parameter: leaf(["f32"]),
  state: leaf(["f32"]),
  input: leaf(["f32", "u32"]),
  constant: {
    // Neither the text form nor WGSL can write what is not finite, and f32 is what kernels compute in.
    infer: (_, { value }, { dtype }) =>
      Number.isFinite(Math.fround(value)) ? { shape: [], dtype: dtype ?? "f32" } : `${value} is not a finite f32`,
    evaluate: (node) => fromIndex(1, node.dtype, () => node.attrs.value),
    vjp: () => [],
    flops: () => 0,
    cases: [
      { attrs: { value: 2.5 }, inputs: [] },
      { attrs: { value: 7 }, inputs: [], declared: { dtype: "u32" } },
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
    cases: [{ attrs: { data: [1, 2, 3, 4, 5, 6] }, inputs: [], declared: { shape: SHAPE } }],
  } satisfies OpRecord<"literal">,
  iota: {
    infer: (_, { axis }, { shape }) =>
      !shape || axis >= shape.length ? "needs a shape with that axis" : { shape, dtype: "u32" },
    evaluate: (node) => {
      const inner = sizeOf(node.shape.slice(node.attrs.axis + 1));
      const size = mustAt(node.shape, node.attrs.axis);
      return fromIndex(sizeOf(node.shape), "u32", (i) => Math.floor(i / inner) % size);
    },
    vjp: () => [],
    flops: () => 0,
    cases: [
      { attrs: { axis: 1 }, inputs: [], declared: { shape: SHAPE } },
      { attrs: { axis: 0 }, inputs: [], declared: { shape: SHAPE } },
    ],
  } satisfies OpRecord<"iota">,
};

/** Operations of the form that does not overflow: |x|, -, exp, +, /, <, a product and a choice. */
const SIGMOID = 8;
const TWO_OVER_SQRT_PI = 2 / Math.sqrt(Math.PI);
/** Operations of the angle: a quotient, a polynomial of 8 coefficients, and choices. */
const ATAN2 = 24;

/** d/dy is x / (x^2 + y^2) and d/dx is -y / (x^2 + y^2); at the origin, where there is no derivative, both are 0. */
function angleVjp(b: Builder, g: Node, y: Node, x: Node): readonly [Node, Node] {
  const square = b.add(b.mul(x, x), b.mul(y, y));
  const scaled = b.div(g, b.select(b.eq(square, like(b, g, 0)), like(b, g, 1), square));
  return [b.mul(scaled, x), b.neg(b.mul(scaled, y))];
}

/** Records of the ops that work place by place on operands of one shape. */
export const elementwise = {
  neg: unary(
    (x) => -x,
    (b, x) => like(b, x, -1),
    draw(-2, 2),
  ),
  exp: unary(Math.exp, (_, __, y) => y, draw(-3, 3)),
  log: unary(Math.log, (b, x) => b.div(like(b, x, 1), x), draw(0.1, 5)),
  sqrt: unary(Math.sqrt, (b, x, y) => b.div(like(b, x, 0.5), y), draw(0.1, 5)),
  tanh: unary(Math.tanh, (b, x, y) => b.sub(like(b, x, 1), b.mul(y, y)), draw(-3, 3)),
  erf: unary(erf, (b, x) => b.mul(like(b, x, TWO_OVER_SQRT_PI), b.exp(b.neg(b.mul(x, x)))), draw(-3, 3)),
  abs: unary(
    Math.abs,
    (b, x) => {
      const zero = like(b, x, 0);
      return b.select(b.lt(x, zero), like(b, x, -1), b.select(b.lt(zero, x), like(b, x, 1), zero));
    },
    draw(-2, 2, [0]),
  ),
  sin: unary(Math.sin, (b, x) => b.cos(x), draw(-6, 6)),
  cos: unary(Math.cos, (b, x) => b.neg(b.sin(x)), draw(-6, 6)),
  sigmoid: unary(
    (x) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x))),
    (b, x, y) => b.mul(y, b.sub(like(b, x, 1), y)),
    draw(-5, 5),
    SIGMOID,
  ),
  floor: flat(Math.floor, 1, draw(-3, 3, [-3, -2, -1, 0, 1, 2, 3])),
  stop: {
    ...flat((x) => x, 0, draw(-2, 2)),
    // Nothing differentiates behind this: kernels compute the value itself.
    expand: (_, node) => node.inputs[0],
  } satisfies OpRecord<"stop">,
  add: binary(
    (x, y) => x + y,
    (_, g) => [g, g],
    [
      [draw(-2, 2), draw(-2, 2)],
      [drawInteger(0, 0xffffffff), drawInteger(0, 0xffffffff)],
    ],
    ["f32", "u32"],
  ),
  sub: binary(
    (x, y) => x - y,
    (b, g) => [g, b.neg(g)],
    [
      [draw(-2, 2), draw(-2, 2)],
      [drawInteger(0, 0xffffffff), drawInteger(0, 0xffffffff)],
    ],
    ["f32", "u32"],
  ),
  mul: {
    ...binary(
      (x, y) => x * y,
      (b, g, x, y) => [b.mul(g, y), b.mul(g, x)],
      [
        [draw(-2, 2), draw(-2, 2)],
        [drawInteger(0, 0xffffffff), drawInteger(0, 0xffffffff)],
      ],
      ["f32", "u32"],
    ),
    evaluate: (node, [x, y]) => map2(node.dtype, x, y, node.dtype === "u32" ? Math.imul : (p, q) => p * q),
  } satisfies OpRecord<"mul">,
  div: binary(
    (x, y) => x / y,
    (b, g, _, y, result) => [b.div(g, y), b.neg(b.mul(g, b.div(result, y)))],
    [[draw(-2, 2), draw(0.5, 2)]],
  ),
  min: binary(
    Math.min,
    (b, g, x, y) => [winner(b, g, b.lt(x, y), b.lt(y, x)), winner(b, g, b.lt(y, x), b.lt(x, y))],
    [...APART, [drawInteger(0, 0xffffffff), drawInteger(0, 0xffffffff)]],
    ["f32", "u32"],
  ),
  max: binary(
    Math.max,
    (b, g, x, y) => [winner(b, g, b.lt(y, x), b.lt(x, y)), winner(b, g, b.lt(x, y), b.lt(y, x))],
    [...APART, [drawInteger(0, 0xffffffff), drawInteger(0, 0xffffffff)]],
    ["f32", "u32"],
  ),
  pow: binary(
    (x, y) => x ** y,
    (b, g, x, y, result) => [b.mul(g, b.mul(y, b.pow(x, b.sub(y, like(b, y, 1))))), b.mul(g, b.mul(result, b.log(x)))],
    [[draw(0.5, 2), draw(-2, 3)]],
  ),
  atan2: {
    ...binary(Math.atan2, angleVjp, [
      [draw(-2, 2), draw(0.2, 2)],
      [draw(0.2, 2), draw(-2, 2)],
      [draw(-2, -0.2), draw(-2, 2)],
      [draw(0.1, 2), draw(-2, -0.1)],
    ]),
    flops: (node) => ATAN2 * sizeOf(node.shape),
  } satisfies OpRecord<"atan2">,
  lt: condition(
    (x, y) => x < y,
    ["f32", "u32"],
    [
      [draw(-2, 2), draw(-2, 2)],
      [drawInteger(0, 3), drawInteger(0, 3)],
    ],
  ),
  le: condition(
    (x, y) => x <= y,
    ["f32", "u32"],
    [
      [PERMUTED, PERMUTED],
      [drawInteger(0, 3), drawInteger(0, 3)],
    ],
  ),
  eq: condition(
    (x, y) => x === y,
    ["f32", "u32"],
    [
      [PERMUTED, PERMUTED],
      [drawInteger(0, 2), drawInteger(0, 2)],
    ],
  ),
  and: condition((x, y) => x !== 0 && y !== 0, ["bool"], [[TRUTH, TRUTH]]),
  or: condition((x, y) => x !== 0 || y !== 0, ["bool"], [[TRUTH, TRUTH]]),
  not: {
    infer: (inputs) => same(inputs, 1, ["bool"]),
    evaluate: (_, [x]) => map("bool", x, (truth) => (truth ? 0 : 1)),
    vjp: null,
    flops: (node) => sizeOf(node.shape),
    cases: [{ attrs: {}, inputs: [TRUTH] }],
  } satisfies OpRecord<"not">,
  finite: {
    infer: (inputs) => same(inputs, 1, ["f32"], "bool"),
    evaluate: (_, [x]) => map("bool", x, (value) => (Number.isFinite(value) ? 1 : 0)),
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
      fromIndex(test.length, node.dtype, (i) => (test[i] ? then : otherwise)[i]!),
    vjp: (b, node, g) => {
      const zero = like(b, g, 0);
      const [test] = node.inputs;
      return [null, b.select(test, g, zero), b.select(test, zero, g)];
    },
    flops: (node) => sizeOf(node.shape),
    cases: [
      { attrs: {}, inputs: [TRUTH, draw(-2, 2), draw(-2, 2)] },
      { attrs: {}, inputs: [TRUTH, drawInteger(0, 0xffffffff), drawInteger(0, 0xffffffff)] },
    ],
  } satisfies OpRecord<"select">,
  cast: {
    infer: (inputs, { to }) => {
      const [x] = inputs;
      const from = x?.dtype;
      const allowed = (to === "f32" && from !== "f32") || (to === "u32" && from !== "u32");
      return x && inputs.length === 1 && allowed ? { shape: x.shape, dtype: to } : `cannot turn ${from} into ${to}`;
    },
    evaluate: (node, [x]) => map(node.dtype, x, Math.trunc),
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
      fromIndex(k0.length, "u32", (i) => threefry2x32([k0[i]!, k1[i]!], [c0[i]!, c1[i]!])[node.attrs.word]),
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
