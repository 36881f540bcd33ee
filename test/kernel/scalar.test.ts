/** Kernels of vectors as kernels of scalars: the same words of memory. */
import { expect, it } from "vitest";
import type { Kernel } from "../../src/kernel/ir.js";
import { parseKernel } from "../../src/kernel/parse.js";
import { scalarKernel } from "../../src/kernel/scalar.js";
import { printKernel } from "../../src/kernel/text.js";
import { verifyKernel } from "../../src/kernel/verify.js";
import { hasCompiler } from "../helpers/devices.js";
import { makePools, runJavaScript, runNative, runWasm } from "../codegen/run.js";

const kernelOf = (body: string): Kernel =>
  parseKernel(`kernel vectors(b0: read work, b1: read_write out) groups 4 workgroup 1 {${body}}`);

/** Words that are turned around, added across lanes, chosen and stored over what they were read from. */
const mixed = kernelOf(`
  let at: index = (group * 8)
  var a: f32x4 = b0[at].x4
  let b: f32x4 = b0[(at + 4)].x4
  a = shuffle(a, b, 3, 2, 5, 0)
  a = shuffle(a, a, 1, 0, 3, 2)
  let sum: f32 = (a.0 + a.3)
  b1[at].x4 = ((a < b) ? a : splat(sum))
  b1[(at + 4)].x4 = fma(a, b, lanes(1.0, sum, 2.0, b.1))
  b1[(at + 1)].x4 = b1[at].x4
`);

it("prints what each lane is", () => {
  const kernel = kernelOf("let x: f32x4 = b0[group].x4\n b1[group].x4 = shuffle(x, x, 1, 0, 3, 2)");
  expect(printKernel(scalarKernel(kernel))).toMatchInlineSnapshot(`
    "kernel vectors(b0: read work, b1: read_write out) groups 4 workgroup 1 {
      let x_lane0: f32 = b0[group]
      let x_lane1: f32 = b0[(group + 1)]
      let x_lane2: f32 = b0[(group + 2)]
      let x_lane3: f32 = b0[(group + 3)]
      let place0: index = group
      let lanes1_lane0: f32 = x_lane1
      let lanes1_lane1: f32 = x_lane0
      let lanes1_lane2: f32 = x_lane3
      let lanes1_lane3: f32 = x_lane2
      b1[place0] = lanes1_lane0
      b1[(place0 + 1)] = lanes1_lane1
      b1[(place0 + 2)] = lanes1_lane2
      b1[(place0 + 3)] = lanes1_lane3
    }"
  `);
});

it("leaves the words that vectors leave, whatever lanes a statement reads that it writes", async () => {
  const scalar = scalarKernel(mixed);
  expect(verifyKernel(scalar)).toEqual([]);
  const pools = makePools(64);
  pools.work.forEach((_, i) => (pools.work[i] = Math.sin(7 * i + 1)));
  const words = async (kernel: Kernel, load: typeof runWasm): Promise<number[]> => {
    const { run, pools: after } = await load([kernel], { ...makePools(64), work: pools.work.slice() });
    run[0]!([0, 0], 0, 4);
    return [...after.out];
  };
  const expected = await words(mixed, runWasm);
  expect(expected.slice(0, 32).every((word) => word !== 0)).toBe(true);
  expect(await words(scalar, runWasm)).toEqual(expected);
  if (hasCompiler) expect(await words(scalar, runNative)).toEqual(await words(mixed, runNative));
});

it("rounds every result where it is asked to, and none where it is not", async () => {
  const kernel = kernelOf("b1[group] = (((b0[group] + 16777216.0) - 16777216.0) + 0.25)");
  const of = async (rounded: boolean): Promise<number> => {
    const pools = makePools(64);
    pools.work[0] = 0.5;
    const [run] = await runJavaScript([scalarKernel(kernel, { rounded })], pools);
    run!([0, 0], 0, 1);
    return pools.out[0]!;
  };
  expect([await of(false), await of(true)]).toEqual([0.75, 0.25]);
});

it("refuses kernels of a GPU", () => {
  const shared = parseKernel(
    `kernel gpu(b0: write out) groups 1 workgroup 64 {
      shared s: f32[64]
      s[local] = 1.0
      barrier
      b0[local] = s[local]
    }`,
  );
  expect(() => scalarKernel(shared)).toThrow("kernel of a GPU");
});
