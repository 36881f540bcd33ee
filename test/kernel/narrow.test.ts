/** Kernels with narrower vectors, or with none: the same words of memory. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Kernel } from "../../src/kernel/ir.js";
import { narrowed } from "../../src/kernel/narrow.js";
import { eachExpr } from "../../src/kernel/operands.js";
import { parseKernel } from "../../src/kernel/parse.js";
import { printKernel } from "../../src/kernel/text.js";
import { verifyKernel } from "../../src/kernel/verify.js";
import { makePools, runJavaScript } from "../codegen/run.js";
import { count } from "../helpers/interpreter.js";
import { vector } from "./kernels.js";

const kernelOf = (body: string): Kernel =>
  parseKernel(`kernel vectors(b0: read work, b1: read_write out) groups 3 workgroup 1 {${body}}`);

/** Two vectors of 8 lanes, what is made of them, and a word of it. */
const made = (expression: string): Kernel =>
  kernelOf(`
    let at: index = (group * 32)
    let x: f32x8 = b0[at].x8
    var y: f32x8 = b0[(at + 9)].x8
    for i = 0 to 2 step 1 {
      y = (y + splat8(0.5))
    }
    let z: f32x8 = ${expression}
    b1[at].x8 = z
    b1[(at + 8)] = z.6
  `);

describe.each([1, 4] as const)("%i lanes", (lanes) => {
  function isTheSame(kernel: Kernel): void {
    const narrow = narrowed(kernel, { lanes });
    expect(verifyKernel(narrow)).toEqual([]);
    eachExpr(narrow.body, ({ type }) => expect(type.lanes).toBeLessThanOrEqual(lanes));
    const input = (_: string, at: number): number => Math.fround(Math.sin(at * 12.9898) * 5);
    const written = (one: Kernel): ReadonlyMap<number, number> | undefined =>
      [...count(one, input).values.values()].find(({ size }) => size > 0);
    expect(written(narrow)).toEqual(written(kernel));
    expect(written(kernel)?.size).toBeGreaterThan(0);
  }

  it("conditions, lanes, casts and single lanes", () => isTheSame(vector(3, 8)));

  it.each([
    ["arithmetic", "fma(x, y, (neg(x) - (y * splat8(3.0))))"],
    ["functions", "(exp(x) + tanh(y))"],
    ["a choice", "((x < y) ? x : f32(u32(abs(y))))"],
    ["bits", "bits_f32((bits_u32(x) & splat8(2147483647u)))"],
    ["shifts", "f32((bits_u32(x) >> splat8(9u)))"],
    ["a splat of a lane", "(splat8(y.5) * x)"],
  ])("%s", (_, expression) => isTheSame(made(expression)));

  it("any shuffle", () =>
    fc.assert(
      fc.property(fc.array(fc.nat(15), { minLength: 8, maxLength: 8 }), (order) =>
        isTheSame(made(`shuffle(x, y, ${order.join(", ")})`)),
      ),
      { numRuns: 50 },
    ));

  it("a statement may read what it writes, in other lanes", () =>
    isTheSame(
      kernelOf(`
        let at: index = (group * 32)
        var x: f32x8 = b0[at].x8
        x = shuffle(x, x, 7, 6, 5, 4, 3, 2, 1, 0)
        b1[at].x8 = x
        b1[(at + 8)].x8 = (x + x)
        b1[(at + 3)].x8 = b1[at].x8
      `),
    ));
});

it("a kernel of narrow vectors is itself", () => {
  const kernel = vector(3);
  expect(narrowed(kernel, { lanes: 4 })).toBe(kernel);
});

it("prints what each lane is", () => {
  const kernel = kernelOf("let x: f32x4 = b0[group].x4\n b1[group].x4 = shuffle(x, x, 1, 0, 3, 2)");
  expect(printKernel(narrowed(kernel, { lanes: 1 }))).toMatchInlineSnapshot(`
    "kernel vectors(b0: read work, b1: read_write out) groups 3 workgroup 1 {
      let x_part0: f32 = b0[group]
      let x_part1: f32 = b0[(group + 1)]
      let x_part2: f32 = b0[(group + 2)]
      let x_part3: f32 = b0[(group + 3)]
      b1[group] = x_part1
      b1[(group + 1)] = x_part0
      b1[(group + 2)] = x_part3
      b1[(group + 3)] = x_part2
    }"
  `);
});

it("rounds every result where it is asked to, and none where it is not", async () => {
  const kernel = kernelOf("b1[group] = (((b0[group] + 16777216.0) - 16777216.0) + 0.25)");
  const of = async (rounded: boolean): Promise<number> => {
    const pools = makePools(64);
    pools.work[0] = 0.5;
    const [run] = await runJavaScript([narrowed(kernel, { lanes: 1, rounded })], pools);
    run!([0, 0], 0, 1);
    return pools.out[0]!;
  };
  expect([await of(false), await of(true)]).toEqual([0.75, 0.25]);
});

it("refuses kernels of a GPU", () => {
  const shared = parseKernel(
    `kernel gpu(b0: read_write out) groups 1 workgroup 64 {
      shared s: f32[64]
      s[local] = 1.0
      barrier
      b0[(local * 4)].x4 = b0[(local * 4)].x4
    }`,
  );
  expect(() => narrowed(shared, { lanes: 1 })).toThrow("kernel of a GPU");
});
