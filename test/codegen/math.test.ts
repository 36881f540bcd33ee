/**
 * Elementary functions on WebAssembly and in C against Math in f64, over wide ranges, each with the error that
 * src/kernel/mathematics.ts states: in one lane, and in vectors of every width that the target prints. On WebAssembly
 * one lane and four give the same bits; a C compiler decides itself which products it rounds.
 */
import { describe, expect, it } from "vitest";
import * as k from "../../src/kernel/build.js";
import type { Expr, Lanes, UnaryOp } from "../../src/kernel/ir.js";
import { angleKernels, erf64, kernelsOf, ranges } from "./functions.js";
import { makePools, runJavaScript, ulps, vectorTargets } from "./run.js";

const COUNT = 4096;

const spread = (from: number, to: number): Float32Array =>
  Float32Array.from({ length: COUNT }, (_, i) => from + ((to - from) * i) / (COUNT - 1));

describe.each(vectorTargets)("$name", ({ name, widths, load }) => {
  const loaded = new Map<string, ReturnType<typeof load>>();

  /** Values of a function, which is compiled once under its name, by each number of lanes. */
  async function evaluate(what: string, f: (x: Expr) => Expr, xs: Float32Array): Promise<Map<Lanes, Float32Array>> {
    const made = loaded.get(what) ?? load(kernelsOf(f, widths, COUNT), makePools(widths.length * COUNT));
    loaded.set(what, made);
    const { run, pools } = await made;
    pools.work.set(xs);
    const results = widths.map((lanes, i) => {
      run[i]!([0, i * COUNT], 0, COUNT / lanes);
      return [lanes, pools.out.slice(i * COUNT, (i + 1) * COUNT)] as const;
    });
    const [, one] = results[0]!;
    // Zeros have their sign; a NaN's bits are nobody's promise in WebAssembly.
    if (name === "wasm") for (const [, ys] of results) expect(ys.every((y, i) => Object.is(y, one[i]))).toBe(true);
    return new Map(results);
  }

  it.each(ranges)("$op on [$from, $to] within $most $unit", async ({ op, from, to, scale, most, unit, exact }) => {
    const xs =
      scale === "log"
        ? spread(Math.log(from), Math.log(to)).map((x) => Math.min(to, Math.max(from, Math.exp(x))))
        : spread(from, to);
    for (const [lanes, ys] of await evaluate(op, (x) => k.unary(op, x), xs)) {
      let worst = { x: 0, error: 0 };
      ys.forEach((y, i) => {
        const wanted = exact(xs[i]!);
        const error = unit === "ulp" ? ulps(y, Math.fround(wanted)) : Math.abs(y - wanted);
        if (!(error <= worst.error)) worst = { x: xs[i]!, error };
      });
      expect(worst.error, `at ${worst.x}, by ${lanes} lanes`).toBeLessThanOrEqual(most);
    }
  });

  it("keeps its head at the ends", async () => {
    const gives = async (op: UnaryOp, xs: readonly number[], wanted: readonly number[]): Promise<void> => {
      // Every lane of the widest vector has each of them once.
      const at = (i: number): number => (i + Math.floor(i / 16)) % xs.length;
      const values = Float32Array.from({ length: COUNT }, (_, i) => xs[at(i)]!);
      for (const [lanes, ys] of await evaluate(op, (x) => k.unary(op, x), values))
        ys.forEach((y, i) => {
          if (!Object.is(y, wanted[at(i)])) expect.fail(`${op}(${values[i]}) is ${y} by ${lanes} lanes`);
        });
    };
    const { POSITIVE_INFINITY: inf, NaN: nan } = Number;
    await gives("exp", [-3.4028234663852886e38, -inf, -100, 0, 89, 3.4e38, inf, nan], [0, 0, 0, 1, inf, inf, inf, nan]);
    await gives("log", [0, -0, 1, -1, inf, nan], [-inf, -inf, 0, nan, inf, nan]);
    await gives("tanh", [0, 100, -100, inf, -inf, nan], [0, 1, -1, 1, -1, nan]);
    await gives("erf", [0, 10, -10, inf, -inf, nan], [0, 1, -1, 1, -1, nan]);
    await gives("floor", [-0.5, 0.5, -2, 3.9], [-1, 0, -2, 3]);
    await gives("sqrt", [4, 2, 0], [2, Math.fround(Math.SQRT2), 0]);
    await gives("abs", [-3, 3], [3, 3]);
  });

  it.each([1, -1, 3e-5, -7e8])("angles over a width of %f within 3 ulp, in every octant", async (width) => {
    const logarithmic = spread(Math.log(Math.abs(width) * 1e-7), Math.log(Math.abs(width) * 1e7));
    const heights = logarithmic.map((x, i) => (i % 2 === 0 ? Math.exp(x) : -Math.exp(x)));
    const { run, pools } = await load(angleKernels(width, widths, COUNT), makePools(widths.length * COUNT));
    pools.work.set(heights);
    for (const [i, lanes] of widths.entries()) {
      run[i]!([0, i * COUNT], 0, COUNT / lanes);
      heights.forEach((height, j) => {
        const y = pools.out[i * COUNT + j]!;
        const exact = Math.fround(Math.atan2(height, Math.fround(width)));
        if (!(ulps(y, exact) <= 3)) expect.fail(`atan2(${height}, ${width}) is ${y} by ${lanes} lanes, not ${exact}`);
      });
    }
  });

  it.each([-3, -1, 0, 1, 2, 3, 7, 16])(
    "powers by the constant %i, of negative numbers too, within 16 ulp",
    async (n) => {
      const xs = spread(-7, 7);
      for (const [lanes, ys] of await evaluate(`pow ${n}`, (x) => k.pow(x, k.splat(k.f32(n), x.type.lanes)), xs))
        ys.forEach((y, i) => {
          if (!(ulps(y, Math.fround(xs[i]! ** n)) <= 16)) expect.fail(`${xs[i]} ** ${n} is ${y} by ${lanes} lanes`);
        });
    },
  );

  it.each([0.5, -1.5, 2.25, 30])("powers by %f, relative error 2e-5", async (n) => {
    const xs = spread(0, 9);
    for (const [lanes, ys] of await evaluate(`pow ${n}`, (x) => k.pow(x, k.splat(k.f32(n), x.type.lanes)), xs))
      ys.forEach((y, i) => {
        const wanted = xs[i]! ** n;
        const isExtreme = wanted < 1e-37 || wanted === Number.POSITIVE_INFINITY;
        const good = isExtreme ? (Math.abs(y - Math.fround(wanted)) || 0) < 1e-36 : Math.abs(y / wanted - 1) < 2e-5;
        if (!good) expect.fail(`${xs[i]} ** ${n} is ${y} by ${lanes} lanes`);
      });
    for (const ones of (await evaluate("pow x - x", (x) => k.pow(x, k.sub(x, x)), spread(0, 3))).values())
      expect(ones.every((y) => y === 1)).toBe(true);
  });
});

describe("javascript", () => {
  it("has erf to 1e-7 after rounding", async () => {
    const pools = makePools(2 * COUNT);
    pools.work.set(spread(-7, 7));
    const run = await runJavaScript(
      kernelsOf((x) => k.erf(x), [1], COUNT),
      pools,
    );
    run[0]!([0, 0], 0, COUNT);
    for (let i = 0; i < COUNT; i++) expect(Math.abs(pools.out[i]! - erf64(pools.work[i]!))).toBeLessThan(1e-7);
  });
});
