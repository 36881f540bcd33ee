/**
 * Elementary functions as arithmetic, for targets that lack them (all of them on WebAssembly, erf, sin and cos on
 * WebGPU). The code works on one lane or four, without branches, and is made to be short where a processor is: few
 * operations, because a loop over a tensor overlaps its iterations and waits for units, not for results; and few that
 * cost several instructions (blends, floors, conversions between integers and floats, which are done by adding a number
 * whose last bit counts ones). Polynomials are evaluated in pairs, since no two steps of a Horner chain can overlap.
 * Coefficients are minimax, found by Remez exchange in 40 digits.
 *
 * Errors are stated per function and tested against f64, with products and sums rounded one by one; a fused
 * multiply-add only makes them smaller. A square root and a division are exact to the last bit everywhere, so 1 /
 * sqrt(x) needs no function.
 */
import * as k from "./build.js";
import type { Expr, UnaryOp } from "./ir.js";

/** Names the value of an expression that stands more than once. */
type Bind = (value: Expr) => Expr;

const constant = (x: Expr, value: number): Expr => k.splat(k.f32(value), x.type.lanes);
const word = (x: Expr, value: number): Expr => k.splat(k.u32(value), x.type.lanes);

/** Horner's rule, highest coefficient first. */
const polynomial = (x: Expr, [highest, ...others]: readonly [number, ...number[]]): Expr =>
  others.reduce<Expr>((sum, c) => k.fma(sum, x, constant(x, c)), constant(x, highest));

/**
 * Lowest coefficient first: neighbours are joined by x, the pairs by Horner's rule in x^2. Two polynomials of one
 * variable share its square.
 */
function pairwise(x: Expr, square: Expr, coefficients: readonly number[]): Expr {
  const pairs = coefficients.flatMap((low, i) => {
    const high = coefficients[i + 1];
    return i % 2 === 1 ? [] : [high === undefined ? constant(x, low) : k.fma(constant(x, high), x, constant(x, low))];
  });
  return pairs.reduceRight((sum, pair) => k.fma(sum, square, pair));
}

const SIGN_BIT = 0x80000000;
/**
 * Beside 3 * 2^22 a float's last bit counts ones: adding it rounds to the nearest integer, which then stands in the low
 * bits.
 */
const ROUNDER = 12582912;
/** Exponents are stored with this bias; added to the rounder, it leaves an exponent's field in the low bits. */
const BIAS = 127;
/** ln 2 in two parts; the first has 9 bits, so that its product with an exponent is exact. */
const LN2_HIGH = 0.693359375;
const LN2_LOW = -2.1219444e-4;

/** e^x = 2^n e^r with |r| <= ln 2 / 2, except that n stops at 127: `power` is 2^n. */
function reduced(x: Expr, bind: Bind): { readonly power: Expr; readonly r: Expr } {
  const rounder = constant(x, ROUNDER + BIAS);
  const turned = bind(k.min(k.fma(x, constant(x, Math.LOG2E), rounder), constant(x, ROUNDER + BIAS + 127)));
  const n = bind(k.sub(turned, rounder));
  const r = bind(k.fma(n, constant(x, -LN2_LOW), k.fma(n, constant(x, -LN2_HIGH), x)));
  return { power: bind(k.bitcast(k.shl(k.bitcast(turned, "u32"), word(x, 23)), "f32")), r };
}

/** r + r^2 P(r). */
function expm1(r: Expr, coefficients: readonly number[], bind: Bind): Expr {
  const square = bind(k.mul(r, r));
  return k.fma(pairwise(r, square, coefficients), square, r);
}

/**
 * 1.6 ulp. Results below the smallest normal number are 0, above the largest infinity. The polynomial is held to 4e-8
 * where |r| <= ln 2 / 2 and to three times that up to ln 2, where the largest results need it: 2^128 is no number, so
 * their n stops at 127.
 */
function exp(x: Expr, bind: Bind): Expr {
  const { power, r } = reduced(x, bind);
  const mantissa = k.add(
    expm1(r, [5.00001848502e-1, 1.66667377537e-1, 4.16264929448e-2, 8.34608290312e-3, 1.59305003629e-3], bind),
    constant(x, 1),
  );
  return k.select(k.lt(x, constant(x, -87.336544)), constant(x, 0), k.mul(mantissa, power));
}

/**
 * 1 ulp on normal positive numbers; -inf at 0, NaN below; a number below the smallest normal one counts as about
 * 2^-127.
 */
function log(x: Expr, bind: Bind): Expr {
  // x = 2^e (1 + f) with 1 + f from sqrt(1/2) to sqrt(2): the fields of x / sqrt(1/2) in integers.
  const half = 0x3f3504f3;
  const bits = bind(k.add(k.bitcast(x, "u32"), word(x, 0x3f800000 - half)));
  const e = bind(
    k.sub(k.bitcast(k.or(k.shr(bits, word(x, 23)), word(x, 0x4b000000)), "f32"), constant(x, 0x800000 + BIAS)),
  );
  const f = bind(k.sub(k.bitcast(k.add(k.and(bits, word(x, 0x7fffff)), word(x, half)), "f32"), constant(x, 1)));
  // log(1 + f) = 2 artanh(s) with s = f / (2 + f), arranged so that f stands alone (FreeBSD's msun does it so).
  const s = bind(k.div(f, k.add(f, constant(x, 2))));
  const z = bind(k.mul(s, s));
  const hfsq = bind(k.mul(k.mul(f, f), constant(x, 0.5)));
  const series = k.mul(z, polynomial(z, [2.98744204124e-1, 3.997744948e-1, 6.66667770536e-1]));
  const tail = k.sub(k.fma(s, k.add(hfsq, series), k.mul(e, constant(x, LN2_LOW))), hfsq);
  const y = k.fma(e, constant(x, LN2_HIGH), k.add(tail, f));
  const infinite = k.select(k.eq(x, constant(x, Number.POSITIVE_INFINITY)), x, constant(x, 0));
  const outside = k.select(k.eq(x, constant(x, 0)), constant(x, Number.NEGATIVE_INFINITY), constant(x, Number.NaN));
  return k.select(k.lt(constant(x, 0), x), k.add(y, infinite), outside);
}

/** The magnitude of the first with the sign of the second. */
const withSign = (magnitude: Expr, sign: Expr): Expr =>
  k.bitcast(k.or(k.bitcast(magnitude, "u32"), k.and(k.bitcast(sign, "u32"), word(sign, SIGN_BIT))), "f32");

/** 2.5 ulp: q / (q + 2) with q = e^(2|x|) - 1, which has no cancellation at 0. */
function tanh(x: Expr, bind: Bind): Expr {
  const a = bind(k.min(k.abs(x), constant(x, 10)));
  const { power, r } = reduced(bind(k.add(a, a)), bind);
  const e = expm1(r, [4.99999934327e-1, 1.66665203953e-1, 4.1668390517e-2, 8.36874555924e-3, 1.38145631569e-3], bind);
  const q = bind(k.fma(e, power, k.sub(power, constant(x, 1))));
  return withSign(k.div(q, k.add(q, constant(x, 2))), x);
}

/**
 * Absolute error below 1.7e-7, 3.5 ulp: x (0.33 + P(x^2) / Q(x^2)). What is a third of the truth from 2 to 4 is taken
 * out of the quotient, so that the roundings of P and Q count for less (P / Q alone: 3.5e-7), and the last bits of the
 * coefficients were searched over the rounded evaluation. No exponential: beside the density of a GELU it would cost
 * more than it shares. Beyond 4 the result is 1.
 */
function erf(x: Expr, bind: Bind): Expr {
  const a = bind(k.max(k.min(x, constant(x, 4)), constant(x, -4)));
  const z = bind(k.mul(a, a));
  const square = bind(k.mul(z, z));
  const p = pairwise(z, square, [0.7983791, 0.02294803, 0.015147128, -0.0012050489, -9.2346774e-5, -1.067322e-5]);
  const q = pairwise(z, square, [1, 0.49985516, 0.11312995, 0.014785104, 0.0011455258, 3.8731716e-5]);
  const y = k.fma(a, constant(x, 0.33), k.div(k.mul(a, p), q));
  return k.max(k.min(y, constant(x, 1)), constant(x, -1));
}

/** Absolute error below 1e-6 for |x| < 8192. `quarter` turns ahead: 0 for sin, 1 for cos. */
function sine(x: Expr, quarter: 0 | 1, bind: Bind): Expr {
  const n = bind(k.floor(k.add(k.mul(x, constant(x, 2 / Math.PI)), constant(x, 0.5))));
  const r = bind(
    k.sub(
      k.sub(k.sub(x, k.mul(n, constant(x, 1.5703125))), k.mul(n, constant(x, 4.837512969970703e-4))),
      k.mul(n, constant(x, 7.54978995489188e-8)),
    ),
  );
  const z = bind(k.mul(r, r));
  const s = bind(k.add(k.mul(k.mul(polynomial(z, [-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1]), z), r), r));
  const c = bind(
    k.add(
      k.sub(
        k.mul(k.mul(polynomial(z, [2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2]), z), z),
        k.mul(z, constant(x, 0.5)),
      ),
      constant(x, 1),
    ),
  );
  const shifted = k.add(n, constant(x, quarter));
  const turn = bind(k.sub(shifted, k.mul(k.floor(k.mul(shifted, constant(x, 0.25))), constant(x, 4))));
  const odd = k.or(k.eq(turn, constant(x, 1)), k.eq(turn, constant(x, 3)));
  const value = bind(k.select(odd, c, s));
  return k.select(k.lt(turn, constant(x, 1.5)), value, k.neg(value));
}

/**
 * The angle of the point (x, y), 3 ulp: the arc tangent of the smaller of |x| and |y| over the larger, which is at most
 * 1, by a (1 + z P(z)) with z = a^2 (relative error 1.7e-8), and then turned into its octant. On an axis it is exact to
 * the last bit, and 0 at the origin; a zero has its sign, and two infinities count as equal.
 */
export function angle(y: Expr, x: Expr, bind: Bind): Expr {
  const [height, width] = [bind(k.abs(y)), bind(k.abs(x))];
  const [low, high] = [bind(k.min(height, width)), bind(k.max(height, width))];
  const ratio = k.select(k.eq(low, high), constant(x, 1), k.div(low, high));
  const a = bind(k.select(k.eq(high, constant(x, 0)), constant(x, 0), ratio));
  const z = bind(k.mul(a, a));
  const series = pairwise(z, bind(k.mul(z, z)), ARC_TANGENT);
  const octant = bind(k.fma(k.mul(a, z), series, a));
  const quadrant = bind(k.select(k.lt(width, height), k.sub(constant(x, Math.PI / 2), octant), octant));
  const isLeft = k.le(word(x, SIGN_BIT), k.bitcast(x, "u32"));
  return withSign(k.select(isLeft, k.sub(constant(x, Math.PI), quadrant), quadrant), y);
}

/** (atan(a) / a - 1) / a^2 as a polynomial of a^2, from 0 to 1. */
const ARC_TANGENT = [
  -0.333331527349, 0.199937728144, -0.142110551711, 0.106660041882, -0.0755221344269, 0.0432118519308, -0.0163679230505,
  0.00292069109361,
];

/** The largest exponent that is done by multiplications. */
const LARGEST_POWER = 16;

const constantOf = (x: Expr): number | null =>
  x.kind === "splat" ? constantOf(x.a) : x.kind === "const" ? x.value : null;

/**
 * x to the power y. A small whole constant is done by squaring and multiplying, for any x; else it is exp(y log x) by
 * the target's own exp and log, for x >= 0 (NaN below), with a relative error of about |y log x| ulp.
 */
export function power(x: Expr, y: Expr, bind: Bind): Expr {
  const whole = constantOf(y);
  if (whole === 0) return constant(x, 1);
  if (whole !== null && Number.isInteger(whole) && Math.abs(whole) <= LARGEST_POWER) {
    let result: Expr | null = null;
    let square = bind(x);
    for (let remaining = Math.abs(whole); remaining > 0;) {
      if (remaining % 2 === 1) result = result === null ? square : bind(k.mul(result, square));
      remaining = Math.floor(remaining / 2);
      if (remaining > 0) square = bind(k.mul(square, square));
    }
    const product = result ?? constant(x, 1);
    return whole < 0 ? k.div(constant(x, 1), product) : product;
  }
  const exponent = bind(y);
  // Adapters disagree about log 0.
  const base = bind(x);
  const general = k.exp(k.mul(exponent, k.select(k.eq(base, constant(x, 0)), constant(x, -1e30), k.log(base))));
  return whole !== null ? general : k.select(k.eq(exponent, constant(x, 0)), constant(x, 1), general);
}

/** Ops that some targets lack. */
export type Elementary = Extract<UnaryOp, "exp" | "log" | "tanh" | "erf" | "sin" | "cos">;

/** Each as arithmetic, of an operand that is named or a constant. */
export const elementary: Readonly<Record<Elementary, (x: Expr, bind: Bind) => Expr>> = {
  exp,
  log,
  tanh,
  erf,
  sin: (x, bind) => sine(x, 0, bind),
  cos: (x, bind) => sine(x, 1, bind),
};

/** Whether an op is one of them. */
export const isElementary = (op: string): op is Elementary => Object.hasOwn(elementary, op);
