/**
 * The bounds that src/kernel/mathematics.ts states, over all numbers: every exponent and sign with mantissas spread
 * over their range, on WebAssembly with one lane and four, in C with vectors of every width, and once more with every
 * multiply-add rounded once, as relaxed SIMD may do it.
 */
import { beforeAll, describe, expect, it } from "vitest";
import { erf as erf64 } from "../../src/graph/special.js";
import * as k from "../../src/kernel/build.js";
import type { Expr } from "../../src/kernel/ir.js";
import { elementary } from "../../src/kernel/mathematics.js";
import { kernelsOf } from "./functions.js";
import { makePools, vectorTargets, type VectorTarget } from "./run.js";

const MANTISSAS = 4096;
const SMALLEST = 2 ** -126;

interface Bound {
  readonly op: "exp" | "log" | "tanh" | "erf";
  readonly exact: (x: number) => number;
  readonly ulp: number;
  readonly absolute?: number;
  /** What a subnormal argument may give instead. */
  readonly subnormal: (x: number) => number;
}

const BOUNDS: readonly Bound[] = [
  { op: "exp", exact: Math.exp, ulp: 1.6, subnormal: () => 1 },
  { op: "log", exact: Math.log, ulp: 1, subnormal: (x) => (x < 0 ? Number.NaN : Math.log(x)) },
  { op: "tanh", exact: Math.tanh, ulp: 2.5, subnormal: (x) => x },
  { op: "erf", exact: erf64, ulp: 3.5, absolute: 1.7e-7, subnormal: (x) => (2 * x) / Math.sqrt(Math.PI) },
];

/**
 * Every exponent of a normal number and of infinity's neighbours, both signs; the mantissas of one are the same for
 * all.
 */
function* blocks(mantissas: number): Generator<Float32Array> {
  for (let exponent = 1; exponent <= 254; exponent++) {
    for (const sign of [0, 0x80000000]) {
      // An odd step, so that the low bits vary too.
      const step = 2 * Math.floor(0x7fffff / mantissas / 2) + 1;
      yield new Float32Array(
        Uint32Array.from({ length: mantissas }, (_, i) => sign + exponent * 0x800000 + Math.min(i * step, 0x7fffff))
          .buffer,
      );
    }
  }
}

/** The spacing of f32 numbers at a value. */
const spacing = (value: number): number => 2 ** (Math.max(-126, Math.floor(Math.log2(Math.abs(value)))) - 23);

function check(bound: Bound, xs: Float32Array, ys: Float32Array): void {
  for (let i = 0; i < xs.length; i++) {
    const exact = bound.exact(xs[i]!);
    const rounded = Math.fround(exact);
    const y = ys[i]!;
    // No such number, too large for one, or one that may be 0.
    if (Number.isNaN(exact) ? Number.isNaN(y) : y === rounded) continue;
    if (bound.op === "exp" && Math.abs(exact) <= SMALLEST * (1 + 2 ** -20) && Math.abs(y) <= SMALLEST) continue;
    const ulps = Math.abs(y - exact) / spacing(exact);
    if (!(ulps <= bound.ulp)) expect.fail(`${bound.op}(${xs[i]}) is ${y}, not ${exact}: ${ulps} ulp`);
    if (bound.absolute !== undefined && !(Math.abs(y - exact) <= bound.absolute))
      expect.fail(`${bound.op}(${xs[i]}) is ${y}, not ${exact}`);
  }
}

/**
 * A function compiled once for every number of lanes that the target has: results of each. On WebAssembly they must not
 * differ in a bit.
 */
async function compiled(
  op: Bound["op"],
  { name, widths, load }: VectorTarget,
): Promise<(xs: Float32Array) => readonly Float32Array[]> {
  const { run, pools } = await load(
    kernelsOf((x) => k.unary(op, x), widths, MANTISSAS),
    makePools(widths.length * MANTISSAS),
  );
  return (xs) => {
    pools.work.set(xs);
    const results = widths.map((lanes, i) => {
      run[i]!([0, i * MANTISSAS], 0, MANTISSAS / lanes);
      return pools.out.slice(i * MANTISSAS, (i + 1) * MANTISSAS);
    });
    if (name === "native") return results;
    const [one, four] = results as [Float32Array, Float32Array];
    // NaN is NaN, whatever its bits.
    const i = one.findIndex((y, j) => !Object.is(y, four[j]));
    if (i >= 0) expect.fail(`${op}(${xs[i]}) is ${one[i]} by one lane and ${four[i]} by four`);
    return [one];
  };
}

const converter = new DataView(new ArrayBuffer(4));
const bitsOf = (x: number): number => (converter.setFloat32(0, x), converter.getUint32(0));
const numberOf = (bits: number): number => (converter.setUint32(0, bits), converter.getFloat32(0));

/** Evaluates one lane of an expression in `x`, a multiply-add with one rounding. */
function fused(e: Expr, x: number, known = new Map<Expr, number>()): number {
  const cached = known.get(e);
  if (cached !== undefined) return cached;
  const at = (inner: Expr): number => fused(inner, x, known);
  const word = e.type.of === "u32";
  const value = ((): number => {
    switch (e.kind) {
      case "const":
        return e.value;
      case "ref":
        return x;
      case "fma":
        return at(e.a) * at(e.b) + at(e.c);
      case "select":
        return at(e.condition) ? at(e.then) : at(e.else);
      case "bitcast":
        return word ? bitsOf(at(e.a)) : numberOf(at(e.a) >>> 0);
      case "unary":
        if (e.op === "abs") return Math.abs(at(e.a));
        break;
      case "binary": {
        const [a, b] = [at(e.a), at(e.b)];
        switch (e.op) {
          case "add":
            return a + b;
          case "sub":
            return a - b;
          case "mul":
            return a * b;
          case "div":
            return a / b;
          case "min":
            return Math.min(a, b);
          case "max":
            return Math.max(a, b);
          case "lt":
            return a < b ? 1 : 0;
          case "eq":
            return a === b ? 1 : 0;
          case "and":
            return a & b;
          case "or":
            return a | b;
          case "shl":
            return a << b;
          case "shr":
            return a >>> b;
          default:
            break;
        }
      }
    }
    throw new Error(`no ${e.kind} here`);
  })();
  const rounded = word ? value >>> 0 : Math.fround(value);
  known.set(e, rounded);
  return rounded;
}

describe.each(BOUNDS)("$op, within $ulp ulp", (bound) => {
  it("at every exponent with fused multiply-adds", () => {
    const e = elementary[bound.op](k.ref("x", k.F32), (value) => value);
    for (const xs of blocks(64))
      check(
        bound,
        xs,
        xs.map((x) => fused(e, x)),
      );
  });

  describe.each(vectorTargets)("$name", (target) => {
    let f: Awaited<ReturnType<typeof compiled>>;
    beforeAll(async () => void (f = await compiled(bound.op, target)));

    it("at every exponent, in every width", async () => {
      for (const xs of blocks(MANTISSAS)) for (const ys of f(xs)) check(bound, xs, ys);
    });

    it("keeps NaN, whatever its bits, and is near for subnormal numbers", async () => {
      const nans = Uint32Array.from({ length: MANTISSAS }, (_, i) => (i % 2 ? 0x7fc00000 : 0xffc00000) + (i >> 1));
      for (const ys of f(new Float32Array(nans.buffer))) expect(ys.every(Number.isNaN)).toBe(true);
      const small = new Float32Array(
        Uint32Array.from({ length: MANTISSAS }, (_, i) => (i % 2 ? 0x80000000 : 0) + 1 + 1999 * i).buffer,
      );
      for (const ys of f(small))
        ys.forEach((y, i) => {
          const wanted = bound.subnormal(small[i]!);
          if (Number.isNaN(wanted)) return expect(y).toBeNaN();
          // log counts all of them as about 2^-127; 22 binary orders lie below.
          const most = bound.op === "log" ? 23 * Math.LN2 : 2 ** -148;
          if (!(Math.abs(y - wanted) <= most)) expect.fail(`${bound.op}(${small[i]}) is ${y}, not ${wanted}`);
        });
    });

    it.runIf(["tanh", "erf"].includes(bound.op))("keeps the sign of zero, since it is odd", async () => {
      for (const ys of f(new Float32Array(MANTISSAS).fill(-0))) expect(ys.every((y) => Object.is(y, -0))).toBe(true);
    });
  });
});
