/**
 * The bounds that src/kernel/mathematics.ts states, over all numbers: every exponent and sign with mantissas spread
 * over their range, on WebAssembly with one lane and four, and once more with every multiply-add rounded once, as
 * relaxed SIMD may do it.
 */
import { describe, expect, it } from "vitest";
import { erf as erf64 } from "../../src/graph/special.js";
import * as k from "../../src/kernel/build.js";
import type { Expr, Kernel } from "../../src/kernel/ir.js";
import { elementary } from "../../src/kernel/mathematics.js";
import { makePools, runWasm } from "./run.js";

const MANTISSAS = 4096;
const WIDE: Expr["type"] = { of: "f32", lanes: 4 };
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

/** A function compiled once for one lane and for four; throws when the two differ in a bit. */
async function compiled(op: Bound["op"]): Promise<(xs: Float32Array) => Float32Array> {
  const buffers: Kernel["buffers"] = [
    { name: "x", pool: "work", access: "read" },
    { name: "y", pool: "out", access: "write" },
  ];
  const group = k.ref("group", k.INDEX);
  const at = k.mul(group, k.idx(4));
  const { run, pools } = await runWasm(
    [
      {
        name: "one",
        groups: MANTISSAS,
        workgroup: 1,
        buffers,
        body: [k.store("y", group, k.unary(op, k.load("x", group, k.F32)))],
      },
      {
        name: "four",
        groups: MANTISSAS / 4,
        workgroup: 1,
        buffers,
        body: [k.store("y", at, k.unary(op, k.load("x", at, WIDE)))],
      },
    ],
    makePools(2 * MANTISSAS),
  );
  return (xs) => {
    pools.work.set(xs);
    run[0]!([0, 0], 0, MANTISSAS);
    run[1]!([0, MANTISSAS], 0, MANTISSAS / 4);
    const one = pools.out.slice(0, MANTISSAS);
    const four = pools.out.slice(MANTISSAS, 2 * MANTISSAS);
    // NaN is NaN, whatever its bits.
    const i = one.findIndex((y, j) => !Object.is(y, four[j]));
    if (i >= 0) expect.fail(`${op}(${xs[i]}) is ${one[i]} by one lane and ${four[i]} by four`);
    return one;
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
  it("at every exponent, in one lane and in four", async () => {
    const f = await compiled(bound.op);
    for (const xs of blocks(MANTISSAS)) check(bound, xs, f(xs));
  });

  it("at every exponent with fused multiply-adds", () => {
    const e = elementary[bound.op](k.ref("x", k.F32), (value) => value);
    for (const xs of blocks(64))
      check(
        bound,
        xs,
        xs.map((x) => fused(e, x)),
      );
  });

  it("keeps NaN, whatever its bits, and is near for subnormal numbers", async () => {
    const f = await compiled(bound.op);
    const nans = Uint32Array.from({ length: MANTISSAS }, (_, i) => (i % 2 ? 0x7fc00000 : 0xffc00000) + (i >> 1));
    expect(f(new Float32Array(nans.buffer)).every(Number.isNaN)).toBe(true);
    const small = new Float32Array(
      Uint32Array.from({ length: MANTISSAS }, (_, i) => (i % 2 ? 0x80000000 : 0) + 1 + 1999 * i).buffer,
    );
    f(small).forEach((y, i) => {
      const wanted = bound.subnormal(small[i]!);
      if (Number.isNaN(wanted)) return expect(y).toBeNaN();
      // log counts all of them as about 2^-127; 22 binary orders lie below.
      const most = bound.op === "log" ? 23 * Math.LN2 : 2 ** -148;
      if (!(Math.abs(y - wanted) <= most)) expect.fail(`${bound.op}(${small[i]}) is ${y}, not ${wanted}`);
    });
  });
});

it("keeps the sign of zero where a function is odd", async () => {
  for (const op of ["tanh", "erf"] as const) {
    const ys = (await compiled(op))(new Float32Array(MANTISSAS).fill(-0));
    expect(ys.every((y) => Object.is(y, -0))).toBe(true);
  }
});
