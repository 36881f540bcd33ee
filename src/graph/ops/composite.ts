/**
 * Composites: rows of the op table with an expansion into simpler ops, which is their definition. A derivative given
 * here by hand is tested against the derivative of the expansion. All work along the last axis (softmax, cross_entropy)
 * or the last two (sinkhorn).
 */
import { mustAt } from "../../../runtime/lookup.js";
import type { Builder } from "../builder.js";
import type { Attributes, Node, NodeWith } from "../node.js";
import { sameShape, sizeOf, type Inferred, type OpRecord, type Sample, type Value } from "../record.js";
import { erf } from "../special.js";

const draw = (shape: readonly number[], low = -3, high = 3): Sample => ({ shape, dtype: "f32", low, high });

const last = (x: Node): number => x.shape.length - 1;
const lastSize = (x: Node): number => mustAt(x.shape, last(x));
const outerAxes = (x: Node): number[] => x.shape.map((_, axis) => axis).slice(0, -1);
const overLast = (b: Builder, x: Node, like: Node): Node => b.broadcast(x, like.shape, outerAxes(like));

const floats = ([x, ...others]: readonly Node[], rank: number): Inferred | string =>
  !x || others.length || x.dtype !== "f32" || x.shape.length < rank
    ? `takes one f32 operand of rank ${rank} at least`
    : { shape: x.shape, dtype: "f32" };

const map = (x: Value, f: (x: number) => number): Float64Array => Float64Array.from(x, f);

function activation(
  f: (x: number) => number,
  expand: (b: Builder, x: Node) => Node,
  derivative: (b: Builder, x: Node, y: Node) => Node,
) {
  return {
    infer: (inputs) => floats(inputs, 0),
    evaluate: (_, [x]) => map(x, f),
    vjp: (b, node, g) => [b.mul(g, derivative(b, node.inputs[0], node))],
    flops: (node) => 8 * sizeOf(node.shape),
    expand: (b, node) => expand(b, node.inputs[0]),
    cases: [{ attrs: {}, inputs: [draw([2, 3])] }],
  } satisfies OpRecord<"gelu" | "silu" | "softplus">;
}

const logistic = (x: number): number => 1 / (1 + Math.exp(-x));
const INVERSE_SQRT_2PI = 1 / Math.sqrt(2 * Math.PI);

type SinkhornAttributes = Attributes["sinkhorn"];

/** Divides by the sums along `axis`, plus epsilon. */
function normalize(b: Builder, p: Node, axis: number, epsilon: number): Node {
  const total = b.sum(p, [axis]);
  const shifted = epsilon === 0 ? total : b.add(total, b.fill(epsilon, total.shape));
  return b.div(
    p,
    b.broadcast(
      shifted,
      p.shape,
      p.shape.map((_, i) => i).filter((i) => i !== axis),
    ),
  );
}

/** x minus the log of the sum of exponentials along `axis`. */
function logNormalize(b: Builder, x: Node, axis: number): Node {
  const axes = x.shape.map((_, i) => i).filter((i) => i !== axis);
  const largest = b.reduceMax(x, [axis]);
  const shifted = b.sub(x, b.broadcast(largest, x.shape, axes));
  const total = b.log(b.sum(b.exp(shifted), [axis]));
  return b.sub(shifted, b.broadcast(total, x.shape, axes));
}

function expandSinkhorn(b: Builder, logits: Node, { iterations, convention, epsilon }: SinkhornAttributes): Node {
  const rows = last(logits);
  const columns = rows - 1;
  if (convention === "paper") {
    let p = b.exp(logNormalize(b, logNormalize(b, logits, columns), rows));
    for (let t = 1; t < iterations; t++) p = normalize(b, normalize(b, p, columns, 0), rows, 0);
    return p;
  }
  const first = b.softmax(logits);
  let p = normalize(b, b.add(first, b.fill(epsilon, first.shape)), columns, epsilon);
  for (let t = 1; t < iterations; t++) p = normalize(b, normalize(b, p, rows, epsilon), columns, epsilon);
  return p;
}

/** One matrix of the forward sweep: every intermediate matrix, and how each came from the one before. */
interface Sweep {
  readonly steps: { readonly axis: 0 | 1; readonly p: Float64Array; readonly sums: Float64Array | null }[];
}

function sweep(z: Float64Array, n: number, { iterations, convention, epsilon }: SinkhornAttributes): Sweep {
  const steps: Sweep["steps"] = [];
  const at = (axis: 0 | 1, line: number, j: number): number => (axis === 1 ? line * n + j : j * n + line);
  const softly = (x: Float64Array, axis: 0 | 1): Float64Array => {
    const out = new Float64Array(n * n);
    for (let line = 0; line < n; line++) {
      let largest = Number.NEGATIVE_INFINITY;
      for (let j = 0; j < n; j++) largest = Math.max(largest, x[at(axis, line, j)]!);
      let total = 0;
      for (let j = 0; j < n; j++) total += Math.exp(x[at(axis, line, j)]! - largest);
      for (let j = 0; j < n; j++) out[at(axis, line, j)] = x[at(axis, line, j)]! - largest - Math.log(total);
    }
    return out;
  };
  const divide = (p: Float64Array, axis: 0 | 1, plus: number): Float64Array => {
    const out = new Float64Array(n * n);
    const sums = new Float64Array(n);
    for (let line = 0; line < n; line++) {
      for (let j = 0; j < n; j++) sums[line]! += p[at(axis, line, j)]!;
      sums[line]! += plus;
      for (let j = 0; j < n; j++) out[at(axis, line, j)] = p[at(axis, line, j)]! / sums[line]!;
    }
    steps.push({ axis, p: out, sums });
    return out;
  };
  if (convention === "paper") {
    const c = softly(z, 0);
    steps.push({ axis: 0, p: c.map(Math.exp), sums: null });
    let p: Float64Array = softly(c, 1).map(Math.exp);
    steps.push({ axis: 1, p, sums: null });
    for (let t = 1; t < iterations; t++) p = divide(divide(p, 0, 0), 1, 0);
  } else {
    const soft = softly(z, 1).map(Math.exp);
    steps.push({ axis: 1, p: soft, sums: null });
    let p: Float64Array = divide(
      soft.map((x) => x + epsilon),
      0,
      epsilon,
    );
    for (let t = 1; t < iterations; t++) p = divide(divide(p, 1, epsilon), 0, epsilon);
  }
  return { steps };
}

function evaluateSinkhorn(
  node: NodeWith<"sinkhorn"> | NodeWith<"sinkhorn_vjp">,
  z: Value,
  g: Value | null,
): Float64Array {
  const n = lastSize(node);
  const out = new Float64Array(z.length);
  for (let start = 0; start < z.length; start += n * n) {
    const { steps } = sweep(Float64Array.from(z.subarray(start, start + n * n)), n, node.attrs);
    if (!g) {
      out.set(mustAt(steps, steps.length - 1).p, start);
      continue;
    }
    let d: Float64Array = Float64Array.from(g.subarray(start, start + n * n));
    for (let s = steps.length - 1; s >= 0; s--) {
      const { axis, p, sums } = mustAt(steps, s);
      const at = (line: number, j: number): number => (axis === 1 ? line * n + j : j * n + line);
      const back = new Float64Array(n * n);
      // The column pass of the paper's convention hands on logarithms: its derivative is that of a log-softmax.
      const logarithm = node.attrs.convention === "paper" && s === 0;
      for (let line = 0; line < n; line++) {
        let dot = 0;
        for (let j = 0; j < n; j++) dot += logarithm ? d[at(line, j)]! : d[at(line, j)]! * p[at(line, j)]!;
        for (let j = 0; j < n; j++) {
          const i = at(line, j);
          back[i] = logarithm ? d[i]! - p[i]! * dot : sums ? (d[i]! - dot) / sums[line]! : p[i]! * (d[i]! - dot);
        }
      }
      d = back;
    }
    out.set(d, start);
  }
  return out;
}

const square = (inputs: readonly Node[], count: number): Inferred | string => {
  const x = inputs[0];
  if (
    !x ||
    inputs.length !== count ||
    inputs.some((input) => input.dtype !== "f32" || !sameShape(input.shape, x.shape))
  )
    return `takes ${count} f32 operands of one shape`;
  return x.shape.length < 2 || x.shape[last(x)] !== x.shape[last(x) - 1]
    ? "the last two axes must be equal"
    : { shape: x.shape, dtype: "f32" };
};

const sinkhornCases: readonly [SinkhornAttributes, ...SinkhornAttributes[]] = [
  { iterations: 5, convention: "paper", epsilon: 0 },
  { iterations: 4, convention: "deepseek", epsilon: 1e-6 },
  { iterations: 1, convention: "paper", epsilon: 0 },
  { iterations: 1, convention: "deepseek", epsilon: 1e-6 },
];

/** Records of the composites: each expands into simpler ops. */
export const composites = {
  softmax: {
    infer: (inputs) => floats(inputs, 1),
    evaluate: (node, [x]) => {
      const width = lastSize(node);
      const out = new Float64Array(x.length);
      for (let start = 0; start < x.length; start += width) {
        const row = Float64Array.from(x.subarray(start, start + width));
        const largest = row.reduce((p, q) => Math.max(p, q), Number.NEGATIVE_INFINITY);
        const shifted = row.map((value) => Math.exp(value - largest));
        const total = shifted.reduce((p, q) => p + q, 0);
        out.set(
          shifted.map((value) => value / total),
          start,
        );
      }
      return out;
    },
    vjp: (b, node, g) => {
      const p = node;
      const dot = b.sum(b.mul(g, p), [last(p)]);
      return [b.mul(p, b.sub(g, overLast(b, dot, p)))];
    },
    flops: (node) => 5 * sizeOf(node.shape),
    expand: (b, node) => {
      const x = node.inputs[0];
      const e = b.exp(b.sub(x, overLast(b, b.reduceMax(x, [last(x)]), x)));
      return b.div(e, overLast(b, b.sum(e, [last(x)]), x));
    },
    cases: [
      { attrs: {}, inputs: [draw([3, 5])] },
      { attrs: {}, inputs: [draw([2, 40])] },
    ],
  } satisfies OpRecord<"softmax">,
  gelu: activation(
    (x) => 0.5 * x * (1 + erf(x / Math.SQRT2)),
    (b, x) =>
      b.mul(b.mul(b.fill(0.5, x.shape), x), b.add(b.fill(1, x.shape), b.erf(b.mul(x, b.fill(Math.SQRT1_2, x.shape))))),
    (b, x) => {
      const phi = b.mul(
        b.fill(0.5, x.shape),
        b.add(b.fill(1, x.shape), b.erf(b.mul(x, b.fill(Math.SQRT1_2, x.shape)))),
      );
      const density = b.mul(b.fill(INVERSE_SQRT_2PI, x.shape), b.exp(b.mul(b.fill(-0.5, x.shape), b.mul(x, x))));
      return b.add(phi, b.mul(x, density));
    },
  ),
  silu: activation(
    (x) => x * logistic(x),
    (b, x) => b.mul(x, b.sigmoid(x)),
    (b, x, y) => {
      const s = b.sigmoid(x);
      return b.add(s, b.mul(y, b.sub(b.fill(1, x.shape), s)));
    },
  ),
  softplus: activation(
    (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))),
    (b, x) => b.add(b.max(x, b.fill(0, x.shape)), b.log(b.add(b.fill(1, x.shape), b.exp(b.neg(b.abs(x)))))),
    (b, x) => b.sigmoid(x),
  ),
  cross_entropy: {
    infer: (inputs) => {
      const [logits, target] = inputs;
      if (!logits || !target || logits.dtype !== "f32" || target.dtype !== "u32")
        return "takes f32 logits and u32 targets";
      return sameShape(logits.shape.slice(0, -1), target.shape)
        ? { shape: target.shape, dtype: "f32" }
        : "targets must have the logits' shape without the last axis";
    },
    evaluate: (node, [logits, target]) => {
      const width = lastSize(node.inputs[0]);
      return Float64Array.from(target, (label, i) => {
        const row = logits.subarray(i * width, (i + 1) * width);
        let largest = Number.NEGATIVE_INFINITY;
        for (const value of row) largest = Math.max(largest, value);
        let total = 0;
        for (const value of row) total += Math.exp(value - largest);
        return largest + Math.log(total) - row[label]!;
      });
    },
    vjp: (b, node, g) => {
      const [logits, target] = node.inputs;
      const hit = b.cast(b.eq(b.iota(logits.shape, last(logits)), overLast(b, target, logits)), "f32");
      return [b.mul(overLast(b, g, logits), b.sub(b.softmax(logits), hit)), null];
    },
    flops: (node) => 5 * sizeOf(node.inputs[0].shape),
    expand: (b, node) => {
      const [logits, target] = node.inputs;
      const axis = last(logits);
      const largest = b.reduceMax(logits, [axis]);
      const total = b.sum(b.exp(b.sub(logits, overLast(b, largest, logits))), [axis]);
      const hit = b.eq(b.iota(logits.shape, axis), overLast(b, target, logits));
      const chosen = b.sum(b.select(hit, logits, b.fill(0, logits.shape)), [axis]);
      return b.sub(b.add(largest, b.log(total)), chosen);
    },
    cases: [{ attrs: {}, inputs: [draw([2, 3, 7]), { shape: [2, 3], dtype: "u32", low: 0, high: 6 }] }],
  } satisfies OpRecord<"cross_entropy">,
  sinkhorn: {
    infer: (inputs) => square(inputs, 1),
    evaluate: (node, [z]) => evaluateSinkhorn(node, z, null),
    vjp: (b, node, g) => [b.sinkhornVjp(node.inputs[0], g, node.attrs)],
    flops: (node) => 4 * node.attrs.iterations * sizeOf(node.shape),
    expand: (b, node) => expandSinkhorn(b, node.inputs[0], node.attrs),
    cases: [
      ...sinkhornCases.map((attrs) => ({ attrs, inputs: [draw([2, 3, 3])] })),
      { attrs: sinkhornCases[0], inputs: [draw([3, 4, 4])] },
    ],
  } satisfies OpRecord<"sinkhorn">,
  sinkhorn_vjp: {
    infer: (inputs) => square(inputs, 2),
    evaluate: (node, [z, g]) => evaluateSinkhorn(node, z, g),
    vjp: null,
    flops: (node) => 12 * node.attrs.iterations * sizeOf(node.shape),
    cases: [
      ...sinkhornCases.map((attrs) => ({ attrs, inputs: [draw([2, 3, 3]), draw([2, 3, 3])] })),
      { attrs: sinkhornCases[0], inputs: [draw([3, 4, 4]), draw([3, 4, 4])] },
    ],
  } satisfies OpRecord<"sinkhorn_vjp">,
};
