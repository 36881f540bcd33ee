/** Between which numbers an expression stays, by interval arithmetic on its parts. */
import type { Span } from "../../diagnostics/span.js";
import { valueOf } from "../../graph/sizes.js";
import { rankOf } from "../../manifolds/set.js";
import type { Coefficient } from "../mixing.js";
import type { Axis, Typed, TypedOf } from "../typed.js";
import {
  area,
  boundOf,
  isNone,
  mapMember,
  opened,
  parameterMember,
  sizesOf,
  unbounded,
  type BoundsState,
  type None,
  type SetMember,
} from "./bounds.js";

/** All numbers from `low` to `high`. */
export interface Interval {
  readonly low: number;
  readonly high: number;
}

/** Beside the mean of squares under the root of an `rms`. */
const RMS_EPSILON = 1e-6;

const interval = (low: number, high: number): Interval => ({ low, high });

/** What is in one interval or in another. */
function either(a: Interval | None, b: Interval | None): Interval | None {
  if (isNone(a)) return a;
  return isNone(b) ? b : interval(Math.min(a.low, b.low), Math.max(a.high, b.high));
}

/** The largest absolute value within an interval. */
export const largest = ({ low, high }: Interval): number => Math.max(Math.abs(low), Math.abs(high));

/** The largest absolute value of a coefficient. */
export function entryBound(state: BoundsState, { e, inverse }: Coefficient): number | None {
  const bound = inverse
    ? productRange(state, { kind: "product", factors: [{ e, inverse }], summed: [], span: e.span })
    : rangeOf(state, e);
  return isNone(bound) ? bound : largest(bound);
}

/** The interval that the values of an expression are in. */
export function rangeOf(state: BoundsState, e: Typed): Interval | None {
  switch (e.kind) {
    case "number":
      return exact(e, e.value);
    case "scalar":
      return exact(e, e.scalar.value(state.layers));
    case "size":
      return exact(e, valueOf(e.size) ?? Number.NaN);
    case "position": {
      const size = valueOf(e.axis.size);
      return size === null ? { none: "a size that is not known yet", span: e.span } : interval(0, size - 1);
    }
    case "tensor":
      return tensorRange(state, e);
    case "map":
      return memberRange(mapMember(e), e.span);
    case "relabel":
      return rangeOf(state, e.a);
    // What lies outside counts for nothing.
    case "shifted":
      return either(rangeOf(state, e.a), exact(e, 0));
    case "choice":
      return either(rangeOf(state, e.a), rangeOf(state, e.otherwise));
    case "call":
      return rangeOf(state, opened(state, e));
    case "unary":
      return unaryRange(state, e);
    case "random":
      return randomRange(state, e);
    case "binary":
      return binaryRange(state, e);
    case "product":
      return productRange(state, e);
    case "reduce":
      return reductionRange(state, e);
    case "where":
      return interval(0, 1);
    case "gather":
    case "distance":
    case "cross_entropy":
      return { none: "a value of which nothing is known", span: e.span };
    default:
      return e satisfies never;
  }
}

const exact = ({ span }: Typed, value: number): Interval | None =>
  Number.isFinite(value) ? interval(value, value) : { none: "a number that is not known yet", span };

function tensorRange(state: BoundsState, { tensor, span }: TypedOf<"tensor">): Interval | None {
  const definition = state.definitions.get(tensor);
  if (definition) return rangeOf(state, definition);
  const parameter = state.parameterOf.get(tensor);
  const member = parameter && parameterMember(parameter);
  return member ? memberRange(member, span) : { none: `\`${tensor.name}\` is free`, span: tensor.span, free: true };
}

/** What the set says of the entries of its members: of a row's sum, or of a vector's norm, which are no smaller. */
function memberRange(member: SetMember, span: Span): Interval | None {
  const { manifold, point, name } = member;
  const rank = rankOf(manifold.set.point);
  if (rank === 2 && point.length !== 2) return { none: `\`${name}\` is a matrix of more than two axes`, span };
  const sizes = sizesOf(point);
  if (!sizes) return { none: `the size of \`${name}\` is not known yet`, span };
  const entries = sizes.reduce((product, size) => product * size, 1);
  const shape = rank === 0 ? [1, 1] : rank === 1 ? [entries] : sizes;
  const bound = boundOf(manifold, rank === 2 ? "row" : "norm", shape);
  return typeof bound === "number" ? interval(-bound, bound) : unbounded(member, bound, span);
}

function unaryRange(state: BoundsState, e: TypedOf<"unary">): Interval | None {
  switch (e.f) {
    case "tanh":
    case "erf":
    case "sin":
    case "cos":
      return interval(-1, 1);
    case "sigmoid":
    case "indicator":
      return interval(0, 1);
    default:
  }
  const a = rangeOf(state, e.a);
  if (isNone(a)) return a;
  switch (e.f) {
    case "neg":
      return interval(-a.high, -a.low);
    case "abs":
      return interval(0, largest(a));
    case "stop":
      return a;
    case "sign":
      return interval(Math.sign(a.low), Math.sign(a.high));
    case "floor":
      return interval(Math.floor(a.low), Math.floor(a.high));
    case "round":
      return interval(Math.floor(a.low), Math.ceil(a.high));
    case "relu":
      return interval(Math.max(0, a.low), Math.max(0, a.high));
    case "exp":
      return checked(e, Math.exp(a.low), Math.exp(a.high));
    case "sqrt":
      return checked(e, Math.sqrt(a.low), Math.sqrt(a.high));
    case "log":
      return checked(e, Math.log(a.low), Math.log(a.high));
    case "gelu":
    case "silu":
    case "softplus":
    case "logit":
      return { none: `\`${e.f}\` of a coefficient, of which nothing is known`, span: e.span };
    default:
      return e.f satisfies never;
  }
}

/** In training a number that is not dropped grows; what is added to it by `noise` has no end. */
function randomRange(state: BoundsState, e: TypedOf<"random">): Interval | None {
  const amount = e.amount.value();
  if (!Number.isFinite(amount)) return { none: "a number that is not known yet", span: e.span };
  const a = rangeOf(state, e.a);
  if (isNone(a) || amount === 0) return a;
  if (e.f === "noise") return { none: "a value with noise, which has no largest number", span: e.span };
  return interval(Math.min(0, a.low / (1 - amount)), Math.max(0, a.high / (1 - amount)));
}

function binaryRange(state: BoundsState, e: TypedOf<"binary">): Interval | None {
  if (e.f === "atan2") return interval(-Math.PI, Math.PI);
  const [a, b] = [rangeOf(state, e.a), rangeOf(state, e.b)];
  if (isNone(a)) return a;
  if (isNone(b)) return b;
  switch (e.f) {
    case "+":
      return interval(a.low + b.low, a.high + b.high);
    case "-":
      return interval(a.low - b.high, a.high - b.low);
    case "min":
      return interval(Math.min(a.low, b.low), Math.min(a.high, b.high));
    case "max":
      return interval(Math.max(a.low, b.low), Math.max(a.high, b.high));
    case "mod":
      if (b.low > 0) return interval(0, b.high);
      return b.high < 0 ? interval(b.low, 0) : { none: "a remainder by what may be 0", span: e.span };
    case "^":
      return a.low === a.high && b.low === b.high
        ? checked(e, a.low ** b.low, a.low ** b.low)
        : { none: "a power of which nothing is known", span: e.span };
    case "<":
    case "<=":
    case "==":
    case "!=":
    case "and":
    case "or":
      return interval(0, 1);
    default:
      return e.f satisfies never;
  }
}

const checked = ({ span }: Typed, low: number, high: number): Interval | None =>
  Number.isFinite(low) && Number.isFinite(high)
    ? interval(low, high)
    : { none: "a value that may not be a number", span };

function productRange(state: BoundsState, e: TypedOf<"product">): Interval | None {
  let product = interval(1, 1);
  for (const { e: factor, inverse } of e.factors) {
    const range = rangeOf(state, factor);
    if (isNone(range)) return range;
    const by = inverse ? reciprocal(range, factor) : range;
    if (isNone(by)) return by;
    const ends = [product.low * by.low, product.low * by.high, product.high * by.low, product.high * by.high];
    product = interval(Math.min(...ends), Math.max(...ends));
  }
  return repeated(product, e.summed, e.span);
}

const reciprocal = ({ low, high }: Interval, { span }: Typed): Interval | None =>
  low > 0 || high < 0 ? interval(1 / high, 1 / low) : { none: "a quotient by what may be 0", span };

/** The sum of as many numbers within a range as the axes have. */
function repeated({ low, high }: Interval, axes: readonly Axis[], span: Span): Interval | None {
  const count = area(axes);
  return count === null
    ? { none: "a sum over an axis whose size is not known yet", span }
    : interval(low * count, high * count);
}

const union = (a: Interval, b: Interval): Interval => interval(Math.min(a.low, b.low), Math.max(a.high, b.high));

/** The product of so many numbers within a range. */
function multiplied(range: Interval, count: number | null, span: Span): Interval | None {
  if (count === null) return { none: "a product over an axis whose size is not known yet", span };
  const most = largest(range) ** count;
  if (!Number.isFinite(most)) return { none: "a product that may not be a number", span };
  return range.low >= 0 ? interval(range.low ** count, most) : interval(-most, most);
}

function reductionRange(state: BoundsState, e: TypedOf<"reduce">): Interval | None {
  if (e.f === "softmax") return interval(0, 1);
  const count = area(e.axes);
  if (e.f === "argmax")
    return count === null ? { none: "a size that is not known yet", span: e.span } : interval(0, count - 1);
  const a = rangeOf(state, e.a.kind === "where" ? e.a.a : e.a);
  if (isNone(a)) return a;
  switch (e.f) {
    // What a condition leaves out is 0.
    case "sum":
      return repeated(interval(Math.min(0, a.low), Math.max(0, a.high)), e.axes, e.span);
    // So is what a condition leaves out of a running sum, which may be one term and may be all.
    case "cumsum":
      return repeated(interval(Math.min(0, a.low), Math.max(0, a.high)), e.axes, e.span);
    // Where a condition lets nothing through, there is no largest value.
    case "max":
      return e.a.kind === "where" ? { none: "the largest of what may be nothing", span: e.span } : a;
    case "min":
      return e.a.kind === "where" ? { none: "the smallest of what may be nothing", span: e.span } : a;
    case "prod":
      return multiplied(e.a.kind === "where" ? union(a, interval(1, 1)) : a, count, e.span);
    case "log_softmax":
      return { none: "the logarithm of a share, which has no smallest value", span: e.span };
    case "mean":
      return a;
    case "rms":
      return interval(0, Math.sqrt(largest(a) ** 2 + RMS_EPSILON));
    default:
      return e.f satisfies never;
  }
}
