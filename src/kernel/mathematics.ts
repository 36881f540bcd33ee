/**
 * Elementary functions as arithmetic, for targets that lack them (all of them on WebAssembly, erf on WebGPU). Argument reduction after
 * Cody and Waite, with the single-precision minimax polynomials of S. Moshier's Cephes library. The code works on one lane or
 * four, without branches. Errors are stated per function and tested against f64.
 */
import * as k from "./build.js";
import type { Expr, UnaryOp } from "./ir.js";

type Bind = (value: Expr) => Expr;

const constant = (x: Expr, value: number): Expr => (x.type.lanes === 4 ? k.splat(k.f32(value)) : k.f32(value));
const word = (x: Expr, value: number): Expr => (x.type.lanes === 4 ? k.splat(k.u32(value)) : k.u32(value));

/** Horner's rule, highest coefficient first. */
const polynomial = (x: Expr, coefficients: readonly number[]): Expr =>
  coefficients.slice(1).reduce<Expr>((sum, c) => k.add(k.mul(sum, x), constant(x, c)), constant(x, coefficients[0]!));

/** 2 ulp. Results below the smallest normal number are 0; above the largest, infinity. */
function exp(x: Expr, bind: Bind): Expr {
  const clamped = bind(k.max(k.min(x, constant(x, 89)), constant(x, -87.336544)));
  const n = bind(k.floor(k.add(k.mul(clamped, constant(x, Math.LOG2E)), constant(x, 0.5))));
  const r = bind(k.sub(k.sub(clamped, k.mul(n, constant(x, 0.693359375))), k.mul(n, constant(x, -2.12194440e-4))));
  const p = polynomial(r, [1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1]);
  const y = k.add(k.add(k.mul(p, k.mul(r, r)), r), constant(x, 1));
  // 2^128 is no number: the last doubling comes after, and overflows only where the result does.
  const exponent = k.cast(k.add(k.min(n, constant(x, 127)), constant(x, 127)), { of: "u32", lanes: x.type.lanes });
  const power = k.bitcast(k.shl(exponent, word(x, 23)), "f32");
  const last = k.select(k.lt(constant(x, 127), n), constant(x, 2), constant(x, 1));
  return k.select(k.lt(x, constant(x, -87.336544)), constant(x, 0), k.mul(k.mul(y, power), last));
}

/** 2 ulp on normal positive numbers; -inf at 0, NaN below; a number below the smallest normal one counts as about 2^-127. */
function log(x: Expr, bind: Bind): Expr {
  const bits = bind(k.bitcast(x, "u32"));
  const mantissa = bind(k.bitcast(k.or(k.and(bits, word(x, 0x7fffff)), word(x, 0x3f800000)), "f32"));
  const large = bind(k.lt(constant(x, Math.SQRT2), mantissa));
  const raw = k.sub(k.cast(k.shr(bits, word(x, 23)), { of: "f32", lanes: x.type.lanes }), constant(x, 127));
  const e = bind(k.add(raw, k.select(large, constant(x, 1), constant(x, 0))));
  const f = bind(k.sub(k.select(large, k.mul(mantissa, constant(x, 0.5)), mantissa), constant(x, 1)));
  const z = bind(k.mul(f, f));
  const p = polynomial(f, [
    7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
  ]);
  const tail = k.sub(k.add(k.mul(k.mul(p, f), z), k.mul(e, constant(x, -2.12194440e-4))), k.mul(z, constant(x, 0.5)));
  const y = k.add(k.add(f, tail), k.mul(e, constant(x, 0.693359375)));
  const negative = k.select(k.lt(x, constant(x, 0)), constant(x, Number.NaN), constant(x, Number.NEGATIVE_INFINITY));
  const positive = k.select(k.eq(x, constant(x, Number.POSITIVE_INFINITY)), x, y);
  return k.select(k.lt(constant(x, 0), x), positive, k.select(k.le(x, constant(x, 0)), negative, x));
}

/** 2 ulp. */
function tanh(x: Expr, bind: Bind): Expr {
  const a = bind(k.min(k.abs(x), constant(x, 10)));
  const z = bind(k.mul(x, x));
  const p = polynomial(z, [-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1]);
  const small = k.add(k.mul(k.mul(p, z), x), x);
  const e = exp(bind(k.mul(a, constant(x, 2))), bind);
  const large = bind(k.sub(constant(x, 1), k.div(constant(x, 2), k.add(e, constant(x, 1)))));
  return k.select(k.lt(a, constant(x, 0.625)), small, k.select(k.lt(x, constant(x, 0)), k.neg(large), large));
}

/** Absolute error below 2e-7. */
function erf(x: Expr, bind: Bind): Expr {
  const a = bind(k.min(k.max(k.abs(x), constant(x, 1)), constant(x, 4.5)));
  const z = bind(k.mul(x, x));
  const small = k.mul(x, polynomial(z, [7.853861353153693e-5, -8.010193625184903e-4, 5.188327685732524e-3, -2.685381193529856e-2, 1.128358514861418e-1, -3.761262582423300e-1, 1.128379165726710]));
  const q = bind(k.div(constant(x, 1), a));
  const w = bind(k.mul(q, q));
  const near = polynomial(w, [2.326819970068386e-2, -1.387039388740657e-1, 3.687424674597105e-1, -5.824733027278666e-1, 6.210004621745983e-1, -4.944515323274145e-1, 3.404879937665872e-1, -2.741127028184656e-1, 5.638259427386472e-1]);
  const far = polynomial(w, [-1.047766399936249e1, 1.297719955372516e1, -7.495518717768503, 2.921019019210786, -1.015265279202700, 4.218463358204948e-1, -2.820767439740514e-1, 5.641895067754075e-1]);
  const p = k.select(k.lt(a, constant(x, 2)), near, far);
  const complement = k.mul(k.mul(exp(bind(k.neg(k.mul(a, a))), bind), q), p);
  const large = bind(k.sub(constant(x, 1), complement));
  return k.select(k.lt(k.abs(x), constant(x, 1)), small, k.select(k.lt(x, constant(x, 0)), k.neg(large), large));
}

/** Absolute error below 1e-6 for |x| < 8192. `quarter` turns ahead: 0 for sin, 1 for cos. */
function sine(x: Expr, quarter: 0 | 1, bind: Bind): Expr {
  const n = bind(k.floor(k.add(k.mul(x, constant(x, 2 / Math.PI)), constant(x, 0.5))));
  const r = bind(k.sub(k.sub(k.sub(x, k.mul(n, constant(x, 1.5703125))), k.mul(n, constant(x, 4.837512969970703e-4))), k.mul(n, constant(x, 7.54978995489188e-8))));
  const z = bind(k.mul(r, r));
  const s = bind(k.add(k.mul(k.mul(polynomial(z, [-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1]), z), r), r));
  const c = bind(k.add(k.sub(k.mul(k.mul(polynomial(z, [2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2]), z), z), k.mul(z, constant(x, 0.5))), constant(x, 1)));
  const shifted = k.add(n, constant(x, quarter));
  const turn = bind(k.sub(shifted, k.mul(k.floor(k.mul(shifted, constant(x, 0.25))), constant(x, 4))));
  const odd = k.or(k.eq(turn, constant(x, 1)), k.eq(turn, constant(x, 3)));
  const value = bind(k.select(odd, c, s));
  return k.select(k.lt(turn, constant(x, 1.5)), value, k.neg(value));
}

/** The largest exponent that is done by multiplications. */
const LARGEST_POWER = 16;

const constantOf = (x: Expr): number | null => (x.kind === "splat" ? constantOf(x.a) : x.kind === "const" ? x.value : null);

/**
 * x to the power y. A small whole constant is done by squaring and multiplying, for any x; else it is exp(y log x) by the target's own
 * exp and log, for x >= 0 (NaN below), with a relative error of about |y log x| ulp.
 */
export function power(x: Expr, y: Expr, bind: Bind): Expr {
  const whole = constantOf(y);
  if (whole !== null && Number.isInteger(whole) && Math.abs(whole) <= LARGEST_POWER) {
    let result: Expr | null = null;
    let square = bind(x);
    for (let rest = Math.abs(whole); rest > 0; ) {
      if (rest % 2 === 1) result = result === null ? square : bind(k.mul(result, square));
      rest = Math.floor(rest / 2);
      if (rest > 0) square = bind(k.mul(square, square));
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

export type Elementary = Extract<UnaryOp, "exp" | "log" | "tanh" | "erf" | "sin" | "cos">;

export const elementary: Readonly<Record<Elementary, (x: Expr, bind: Bind) => Expr>> = {
  exp, log, tanh, erf,
  sin: (x, bind) => sine(x, 0, bind),
  cos: (x, bind) => sine(x, 1, bind),
};

export const isElementary = (op: string): op is Elementary => Object.hasOwn(elementary, op);
