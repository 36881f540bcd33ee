/**
 * Elementary functions on WebAssembly against Math in f64, over wide ranges, each with the error that
 * src/kernel/mathematics.ts states; one lane and four lanes give the same bits.
 */
import { describe, expect, it } from "vitest";
import * as k from "../../src/kernel/build.js";
import type { Expr, Kernel, UnaryOp } from "../../src/kernel/ir.js";
import { makePools, runJavaScript, runWasm, ulps } from "./run.js";
import { erf64, ranges } from "./functions.js";

const COUNT = 4096;
const group = k.ref("group", k.INDEX);
const V: Expr["type"] = { of: "f32", lanes: 4 };

const both = (f: (x: Expr) => Expr): readonly Kernel[] => {
  const buffers: Kernel["buffers"] = [
    { name: "x", pool: "work", access: "read" },
    { name: "y", pool: "out", access: "write" },
  ];
  const at = k.mul(group, k.idx(4));
  return [
    { name: "one", groups: COUNT, workgroup: 1, buffers, body: [k.store("y", group, f(k.load("x", group, k.F32)))] },
    { name: "four", groups: COUNT / 4, workgroup: 1, buffers, body: [k.store("y", at, f(k.load("x", at, V)))] },
  ];
};

/** Values by one lane; throws when those of four lanes differ. */
async function evaluate(f: (x: Expr) => Expr, xs: Float32Array): Promise<Float32Array> {
  const pools = makePools(2 * COUNT);
  pools.work.set(xs);
  const { run, pools: after } = await runWasm(both(f), pools);
  run[0]!([0, 0], 0, COUNT);
  run[1]!([0, COUNT], 0, COUNT / 4);
  const one = after.out.slice(0, COUNT);
  // Zeros have their sign; a NaN's bits are nobody's promise in WebAssembly.
  expect(after.out.slice(COUNT, 2 * COUNT).every((y, i) => Object.is(y, one[i]))).toBe(true);
  return one;
}

const spread = (from: number, to: number): Float32Array =>
  Float32Array.from({ length: COUNT }, (_, i) => from + ((to - from) * i) / (COUNT - 1));

describe("wasm", () => {
  it.each(ranges)("$op on [$from, $to] within $most $unit", async ({ op, from, to, scale, most, unit, exact }) => {
    const xs =
      scale === "log"
        ? spread(Math.log(from), Math.log(to)).map((x) => Math.min(to, Math.max(from, Math.exp(x))))
        : spread(from, to);
    const ys = await evaluate((x) => k.unary(op, x), xs);
    let worst = { x: 0, error: 0 };
    ys.forEach((y, i) => {
      const wanted = exact(xs[i]!);
      const error = unit === "ulp" ? ulps(y, Math.fround(wanted)) : Math.abs(y - wanted);
      if (!(error <= worst.error)) worst = { x: xs[i]!, error };
    });
    expect(worst.error, `at ${worst.x}`).toBeLessThanOrEqual(most);
  });

  it("keeps its head at the ends", async () => {
    const values = async (op: UnaryOp, xs: readonly number[]): Promise<number[]> => {
      const padded = new Float32Array(COUNT);
      padded.set(xs);
      return Array.from((await evaluate((x) => k.unary(op, x), padded)).slice(0, xs.length));
    };
    const { POSITIVE_INFINITY: inf, NaN: nan } = Number;
    expect(await values("exp", [-3.4028234663852886e38, -inf, -100, 0, 89, 3.4e38, inf, nan])).toEqual([
      0,
      0,
      0,
      1,
      inf,
      inf,
      inf,
      nan,
    ]);
    expect(await values("log", [0, -0, 1, -1, inf, nan])).toEqual([-inf, -inf, 0, nan, inf, nan]);
    expect(await values("tanh", [0, 100, -100, inf, -inf, nan])).toEqual([0, 1, -1, 1, -1, nan]);
    expect(await values("erf", [0, 10, -10, inf, -inf, nan])).toEqual([0, 1, -1, 1, -1, nan]);
    expect(await values("floor", [-0.5, 0.5, -2, 3.9])).toEqual([-1, 0, -2, 3]);
    expect(await values("sqrt", [4, 2, 0])).toEqual([2, Math.fround(Math.SQRT2), 0]);
    expect(await values("abs", [-3, 3])).toEqual([3, 3]);
  });

  it.each([-3, -1, 0, 1, 2, 3, 7, 16])(
    "powers by the constant %i, of negative numbers too, within 16 ulp",
    async (n) => {
      const xs = spread(-7, 7);
      const ys = await evaluate((x) => k.pow(x, k.splat(k.f32(n), x.type.lanes)), xs);
      ys.forEach((y, i) => expect(ulps(y, Math.fround(xs[i]! ** n)), `${xs[i]} ** ${n}`).toBeLessThanOrEqual(16));
    },
  );

  it.each([0.5, -1.5, 2.25, 30])("powers by %f, relative error 2e-5", async (n) => {
    const xs = spread(0, 9);
    const ys = await evaluate((x) => k.pow(x, k.splat(k.f32(n), x.type.lanes)), xs);
    ys.forEach((y, i) => {
      const wanted = xs[i]! ** n;
      if (wanted < 1e-37 || wanted === Number.POSITIVE_INFINITY)
        expect(Math.abs(y - Math.fround(wanted)) || 0).toBeLessThan(1e-36);
      else expect(Math.abs(y / wanted - 1), `${xs[i]}`).toBeLessThan(2e-5);
    });
    const ones = await evaluate((x) => k.pow(x, k.sub(x, x)), spread(0, 3));
    expect(ones.every((y) => y === 1)).toBe(true);
  });
});

describe("javascript", () => {
  it("has erf to 1e-7 after rounding", async () => {
    const pools = makePools(2 * COUNT);
    pools.work.set(spread(-7, 7));
    const run = await runJavaScript(both((x) => k.erf(x)).slice(0, 1), pools);
    run[0]!([0, 0], 0, COUNT);
    for (let i = 0; i < COUNT; i++) expect(Math.abs(pools.out[i]! - erf64(pools.work[i]!))).toBeLessThan(1e-7);
  });
});
