/**
 * Printed WGSL on an adapter: integers and Threefry bit for bit, floats with a stated tolerance (WGSL lets an adapter
 * be this far off), and what only workgroups have. The dispatch is made by hand, as runtime/plan.ts says, so that a
 * fault of the printer is not one of the runtime.
 */
import { describe, expect, it } from "vitest";
import { COPIES, GROUPS_IN_X } from "../../runtime/plan.js";
import { printModule } from "../../codegen/wgsl/print.js";
import { threefry2x32 } from "../../runtime/threefry.js";
import * as k from "../../src/kernel/build.js";
import type { Expr, Kernel, Stmt } from "../../src/kernel/ir.js";
import { verifyKernel } from "../../src/kernel/verify.js";
import * as kernels from "../kernel/kernels.js";
import { gpuDevice } from "./gpu.js";
import { ranges } from "./functions.js";
import { makePools, POOLS, runJavaScript, runWasm, ulps, type Pools } from "./run.js";

/** Runs one kernel once; the pools come back. */
async function run(kernel: Kernel, pools: Pools, offsets: readonly number[]): Promise<Pools> {
  expect(verifyKernel(kernel)).toEqual([]);
  const device = await gpuDevice();
  const module = device.createShaderModule({ code: printModule(kernel) });
  const problems = (await module.getCompilationInfo()).messages.filter(({ type }) => type === "error");
  expect(problems.map(({ message }) => message)).toEqual([]);
  const pipeline = await device.createComputePipelineAsync({ layout: "auto", compute: { module, entryPoint: "main" } });
  const used = POOLS.filter((pool) => kernel.buffers.some((buffer) => buffer.pool === pool));
  const bytes = 4 * pools.work.length;
  const buffers = used.map((pool) => {
    const buffer = device.createBuffer({
      size: bytes,
      usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
    });
    device.queue.writeBuffer(buffer, 0, pools[pool] as Float32Array<ArrayBuffer>);
    return buffer;
  });
  const words = 4 * COPIES * Math.ceil(kernel.buffers.length / 4);
  const uniform = device.createBuffer({ size: 4 * words, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST });
  device.queue.writeBuffer(
    uniform,
    0,
    new Uint32Array(words).map((_, i) => offsets[i] ?? 0),
  );
  const bindGroup = device.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: [
      ...used.map((pool, i) => ({ binding: POOLS.indexOf(pool), resource: { buffer: buffers[i]! } })),
      { binding: 4, resource: { buffer: uniform } },
    ],
  });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, bindGroup);
  pass.dispatchWorkgroups(Math.min(kernel.groups, GROUPS_IN_X), Math.ceil(kernel.groups / GROUPS_IN_X));
  pass.end();
  const staging = used.map(() =>
    device.createBuffer({ size: bytes, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST }),
  );
  used.forEach((_, i) => encoder.copyBufferToBuffer(buffers[i]!, 0, staging[i]!, 0, bytes));
  device.queue.submit([encoder.finish()]);
  const after = makePools(pools.work.length);
  for (const [i, pool] of used.entries()) {
    await staging[i]!.mapAsync(GPUMapMode.READ);
    const data = staging[i]!.getMappedRange().slice(0);
    after[pool].set(pool === "ints" ? new Uint32Array(data) : new Float32Array(data));
  }
  for (const buffer of [...buffers, ...staging, uniform]) buffer.destroy();
  return after;
}

const group = k.ref("group", k.INDEX);
const local = k.ref("local", k.INDEX);
const COUNT = 4096;

/** y[i] = f(x[i]), an invocation an element. */
const map = (f: (x: Expr) => Expr): Kernel => ({
  name: "map",
  groups: COUNT / 64,
  workgroup: 64,
  buffers: [
    { name: "x", pool: "work", access: "read" },
    { name: "y", pool: "out", access: "write" },
  ],
  body: [
    k.letS("i", k.add(k.mul(group, k.idx(64)), local)),
    k.store("y", k.ref("i", k.INDEX), f(k.load("x", k.ref("i", k.INDEX), k.F32))),
  ],
});

/** Errors allowed at x. */
const GPU_MOST: Readonly<Record<string, { readonly ulp: (x: number) => number; readonly absolute: number }>> = {
  // An adapter may be 3 + 2|x| ulp off in exp, 2^-21 absolute in log near 1, 1e-5 in tanh, 2^-11 in sin and cos within
  // [-pi, pi].
  exp: { ulp: (x) => 3 + 2 * Math.abs(x), absolute: 0 },
  log: { ulp: () => 3, absolute: 2 ** -21 },
  tanh: { ulp: () => 4, absolute: 1e-5 },
  erf: { ulp: () => 0, absolute: 1e-6 },
  sin: { ulp: () => 0, absolute: 2 ** -11 },
  cos: { ulp: () => 0, absolute: 2 ** -11 },
};

describe("wgsl on an adapter", () => {
  it.each([...new Set(ranges.map(({ op }) => op))])("%s", async (op) => {
    const own = ranges.filter((range) => range.op === op && Math.abs(range.to) !== 8192);
    const most = GPU_MOST[op]!;
    for (const { from, to, scale, exact } of own) {
      const pools = makePools(COUNT);
      pools.work.set(
        Float32Array.from({ length: COUNT }, (_, i) => {
          const at = i / (COUNT - 1);
          return scale === "log"
            ? Math.exp(Math.log(from) + (Math.log(to) - Math.log(from)) * at)
            : from + (to - from) * at;
        }),
      );
      const after = await run(
        map((x) => k.unary(op, x)),
        pools,
        [0, 0],
      );
      after.out.forEach((y, i) => {
        const x = pools.work[i]!;
        const wanted = Math.fround(exact(x));
        const fine = Math.abs(y - wanted) <= most.absolute || ulps(y, wanted) <= most.ulp(x);
        if (!fine) expect.fail(`${op}(${x}) = ${y}, not ${wanted}`);
      });
    }
  });

  it("keeps its head at the ends", async () => {
    const pools = makePools(COUNT);
    pools.work.set([-3.4028234663852886e38, 3e38, 100, -100, 0]);
    const first = async (f: (x: Expr) => Expr): Promise<number[]> =>
      Array.from((await run(map(f), pools, [0, 0])).out.slice(0, 5));
    expect((await first(k.exp))[0]).toBe(0);
    expect(await first(k.tanh)).toEqual([-1, 1, 1, -1, 0]);
    expect(await first(k.erf)).toEqual([-1, 1, 1, -1, 0]);
    expect((await first((x) => k.pow(x, k.f32(3)))).slice(2)).toEqual([1e6, -1e6, 0]);
    expect((await first((x) => k.pow(x, k.f32(0.5))))[4]).toBe(0);
  });

  it("threefry, bit for bit", async () => {
    const pools = makePools(256);
    pools.ints.set([0x13198a2e, 0x03707344]);
    const { ints } = await run(kernels.threefry(50), pools, [0, 64]);
    for (let g = 0; g < 50; g++)
      expect(Array.from(ints.slice(64 + 2 * g, 66 + 2 * g))).toEqual(threefry2x32([0x13198a2e, 0x03707344], [g, 7]));
  });

  it("integers and logic as on JavaScript", async () => {
    // No word here is the bits of a NaN, and none needs more than 24 bits where it becomes a float.
    const words = [3000000000, 7, 5, 4000000001, 123456768, 123456768, 16777216, 1];
    const [pools, reference] = [makePools(512), makePools(512)];
    pools.ints.set(words);
    reference.ints.set(words);
    const { ints } = await run(kernels.integers, pools, [0, 64]);
    const [expected] = await runJavaScript([kernels.integers], reference);
    expected!([0, 64], 0, 4);
    expect(ints).toEqual(reference.ints);
  });

  it("softmax through private arrays, and reserved names", async () => {
    for (const [kernel, offsets] of [
      [kernels.softmax(5, 37), [64, 128]],
      [kernels.names, [0, 64]],
    ] as const) {
      const [pools, reference] = [makePools(512), makePools(512)];
      for (let i = 0; i < 512; i++) pools.work[i] = reference.work[i] = Math.sin(i * 12.9898) * 5;
      const { out } = await run(kernel, pools, offsets);
      const [expected] = await runJavaScript([kernel], reference);
      expected!(offsets, 0, kernel.groups);
      out.forEach((value, i) => expect(Math.abs(value - reference.out[i]!)).toBeLessThan(1e-6));
      expect(out.some((value) => value !== 0)).toBe(true);
    }
  });

  it("four lanes as WebAssembly has them, at multiples of four and elsewhere", async () => {
    const at = k.add(k.mul(group, k.idx(256)), k.mul(k.ref("i", k.INDEX), k.idx(4)));
    const V = { of: "f32", lanes: 4 } as const;
    const x = k.load("x", at, V);
    const y = k.load("y", k.add(at, k.idx(3)), V);
    // Sums, a choice, functions, single lanes, a splat and a shuffle.
    const value = k.add(
      k.select(k.lt(x, y), k.erf(x), k.mul(k.tanh(y), k.splat(k.load("x", k.ref("i", k.INDEX), k.F32), 4))),
      k.lanes([k.extract(x, 3), k.extract(y, 0), k.f32(1), k.cos(k.extract(x, 1))]),
    );
    const turned = k.add(value, k.shuffle(x, y, [3, 4, 0, 6]));
    const store = (shift: number): Stmt => k.store("z", k.add(at, k.idx(shift)), turned);
    const kernel = (workgroup: number, shift: number): Kernel => ({
      name: "lanes",
      groups: 4,
      workgroup,
      buffers: [
        { name: "x", pool: "work", access: "read" },
        { name: "y", pool: "state", access: "read" },
        { name: "z", pool: "out", access: "write" },
      ],
      body:
        workgroup === 1 ? [k.forS("i", k.idx(0), k.idx(64), 1, [store(shift)])] : [k.letS("i", local), store(shift)],
    });
    for (const shift of [0, 1]) {
      const pools = makePools(2048);
      pools.work.forEach((_, i) => {
        pools.work[i] = Math.sin(i * 12.9898) * 3;
        pools.state[i] = Math.sin(i * 78.233) * 3;
      });
      const offsets = [64, 128, 192];
      const { run: reference, pools: expected } = await runWasm([kernel(1, shift)], pools);
      reference[0]!(offsets, 0, 4);
      const { out } = await run(kernel(64, shift), pools, offsets);
      out.forEach((got, i) => expect(Math.abs(got - expected.out[i]!)).toBeLessThan(2e-5));
      expect(out.filter((got) => got !== 0).length).toBeGreaterThan(1000);
    }
  });

  it("more buffers than eight vectors of offsets hold", async () => {
    const count = 41;
    const terms = Array.from({ length: count }, (_, i) => k.load(`b${i}`, k.idx(0), k.F32));
    const kernel: Kernel = {
      name: "wide",
      groups: 1,
      workgroup: 1,
      buffers: [
        ...terms.map((_, i) => ({ name: `b${i}`, pool: "work" as const, access: "read" as const })),
        { name: "sum", pool: "out", access: "write" },
      ],
      body: [
        k.store(
          "sum",
          k.idx(0),
          terms.reduce((a, b) => k.add(a, b)),
        ),
      ],
    };
    const pools = makePools(1024);
    pools.work.forEach((_, i) => (pools.work[i] = i));
    const offsets = Array.from({ length: count }, (_, i) => (i * i) % 997);
    const { out } = await run(kernel, pools, [...offsets, 5]);
    expect(out[5]).toBe(offsets.reduce((a, b) => a + b));
  });

  it("a sum in shared memory", async () => {
    const pools = makePools(256);
    pools.work.forEach((_, i) => (pools.work[i] = (i * 7) % 31));
    const { out } = await run(kernels.sharedSum, pools, [64, 3]);
    for (let g = 0; g < 3; g++)
      expect(out[3 + g]).toBe(pools.work.slice(64 + 64 * g, 128 + 64 * g).reduce((sum, value) => sum + value));
  });

  it("an exchange through a buffer", async () => {
    const pools = makePools(256);
    pools.work.forEach((_, i) => (pools.work[i] = i));
    const { out } = await run(kernels.exchange, pools, [0, 0]);
    expect(out.slice(0, 192)).toEqual(
      Float32Array.from({ length: 192 }, (_, i) => 2 * (64 * Math.floor(i / 64) + 63 - (i % 64))),
    );
  });

  it("more groups than one axis holds: each once, and none past the last", async () => {
    const groups = 70_000;
    const kernel: Kernel = {
      name: "many",
      groups,
      workgroup: 1,
      buffers: [{ name: "count", pool: "ints", access: "read_write" }],
      body: [k.store("count", group, k.add(k.load("count", group, k.U32), k.add(k.cast(group, k.U32), k.u32(1))))],
    };
    const { ints } = await run(kernel, makePools(2 * GROUPS_IN_X), [0]);
    ints.forEach((value, i) => {
      if (value !== (i < groups ? i + 1 : 0)) expect.fail(`group ${i} gave ${value}`);
    });
  });
});
