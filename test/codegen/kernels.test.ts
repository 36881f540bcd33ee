/**
 * The same kernels on the JavaScript and the WebAssembly target, against each other and against what they should give.
 */
import { describe, expect, it } from "vitest";
import { threefry2x32 } from "../../runtime/threefry.js";
import * as k from "../../src/kernel/build.js";
import type { Kernel } from "../../src/kernel/ir.js";
import { parseKernel } from "../../src/kernel/parse.js";
import * as kernels from "../kernel/kernels.js";
import { makePools, runJavaScript, runWasm, type Kernels, type Pools } from "./run.js";

const targets: readonly [string, (list: readonly Kernel[], pools: Pools) => Promise<{ run: Kernels; pools: Pools }>][] =
  [
    ["javascript", async (list, pools) => ({ run: await runJavaScript(list, pools), pools })],
    ["wasm", runWasm],
  ];

const noise = (i: number): number => Math.sin(i * 12.9898) * 5;

describe.each(targets)("%s", (name, load) => {
  it("saxpy, with offsets, a ragged end, and groups split in any way", async () => {
    const pools = makePools(2048);
    for (let i = 0; i < 2048; i++) {
      pools.work[i] = noise(i);
      pools.state[i] = noise(i + 5000);
    }
    const { run, pools: after } = await load([kernels.saxpy(1000)], pools);
    run[0]!([64, 128, 192], 3, 16);
    run[0]!([64, 128, 192], 0, 3);
    for (let i = 0; i < 1000; i++)
      expect(Math.abs(after.out[192 + i]! - (2.5 * pools.work[64 + i]! + pools.state[128 + i]!))).toBeLessThan(2e-6);
    expect([...after.out.slice(0, 192), ...after.out.slice(1192)].every((value) => value === 0)).toBe(true);
  });

  it("softmax of rows, through private arrays", async () => {
    const [rows, width] = [5, 37];
    const pools = makePools(256);
    for (let i = 0; i < rows * width; i++) pools.work[i] = noise(i);
    const { run, pools: after } = await load([kernels.softmax(rows, width)], pools);
    run[0]!([0, 0], 0, rows);
    for (let row = 0; row < rows; row++) {
      const x = Array.from(pools.work.slice(row * width, (row + 1) * width));
      const e = x.map((value) => Math.exp(value - Math.max(...x)));
      const sum = e.reduce((total, value) => total + value);
      e.forEach((value, i) => expect(Math.abs(after.out[row * width + i]! - value / sum)).toBeLessThan(2e-7));
    }
  });

  it("places that differ by a constant, up and down, in blocks and after a variable has changed", async () => {
    const body = `
      let at: index = (group * 8)
      b1[(at + 3)] = b0[(at + 3)]
      b1[(at + 1)] = b0[(at + 1)]
      let behind: index = ((at + 9) - 2)
      b1[behind] = b0[behind]
      var turn: index = at
      b1[turn] = b0[turn]
      turn = (turn + 2)
      b1[turn] = b0[turn]
      if (group < 3) {
        let inner: index = (at + 4)
        b1[inner] = b0[inner]
      } else {
        let inner: index = (at + 5)
        b1[inner] = b0[inner]
      }
      for i = 0 to 1 step 1 {
        b1[((at + i) + 6)] = b0[((at + i) + 6)]
      }
    `;
    const pools = makePools(256);
    for (let i = 0; i < 64; i++) pools.work[i] = noise(i);
    const { run, pools: after } = await load(
      [parseKernel(`kernel places(b0: read work, b1: write out) groups 6 workgroup 1 {${body}}`)],
      pools,
    );
    run[0]!([0, 64], 0, 6);
    for (let i = 0; i < 48; i++)
      expect(after.out[64 + i], `${i}`).toBe([i < 24 ? 5 : 4].includes(i % 8) ? 0 : pools.work[i]);
  });

  it("threefry, bit for bit", async () => {
    const pools = makePools(256);
    pools.ints.set([0x13198a2e, 0x03707344]);
    const { run, pools: after } = await load([kernels.threefry(50)], pools);
    run[0]!([0, 64], 0, 50);
    for (let g = 0; g < 50; g++)
      expect(Array.from(after.ints.slice(64 + 2 * g, 66 + 2 * g))).toEqual([
        ...threefry2x32([0x13198a2e, 0x03707344], [g, 7]),
      ]);
  });

  it("integers and logic", async () => {
    const pools = makePools(512);
    const words = [3000000000, 7, 5, 4000000001, 0xffffffff, 0xffffffff, 123456789, 1];
    pools.ints.set(words);
    const { run, pools: after } = await load([kernels.integers], pools);
    run[0]!([0, 64], 0, 4);
    const width = kernels.integers.body.length - 4;
    for (let n = 0; n < 4; n++) {
      const [a, b] = [words[2 * n]!, words[2 * n + 1]!];
      const flag = n % 2 !== 0;
      const single = new Float32Array([n]);
      const expected = [
        a + b,
        a - b,
        Math.imul(a, b),
        Math.floor(a / b),
        a % b,
        Math.min(a, b),
        Math.max(a, b),
        a & b,
        a | b,
        a ^ b,
        a << 5,
        a >>> 7,
        a < b,
        true,
        a === b,
        a !== b,
        flag && a <= b,
        flag || b < a,
        flag,
        Math.floor((n + 17) / 5),
        (n + 17) % 5,
        Math.min(n, 3),
        Math.max(n, 3),
        Math.floor(Math.fround(a) / 16777216),
        new Uint32Array(single.buffer)[0]!,
        a,
        flag ? a : b,
        0xffffffff,
        a & 7,
      ].map((value) => Number(value) >>> 0);
      // The bits of a NaN need not survive a round trip through a float.
      const row = Array.from(after.ints.slice(64 + n * width, 64 + (n + 1) * width));
      const bits = 25;
      if (Number.isNaN(new Float32Array(new Uint32Array([a]).buffer)[0]!)) row[bits] = expected[bits]!;
      // In f64, 0xffffffff does not round up to 2^32 before the division.
      if (name === "javascript") expected[23] = Math.floor(a / 16777216);
      expect(row).toEqual(expected);
    }
  });

  it("names that the target reserves, and siblings", async () => {
    const pools = makePools(128);
    pools.work.set([1.5, 2.5, 200]);
    const { run, pools: after } = await load([kernels.names], pools);
    run[0]!([0, 0], 0, 3);
    expect(Array.from(after.out.slice(0, 3))).toEqual([2.5, 6, 301]);
  });

  it("loops run from, to and by what they say, or not at all; the bound is evaluated once", async () => {
    const count = k.ref("count", k.INDEX);
    const kernel: Kernel = {
      name: "loops",
      groups: 4,
      workgroup: 1,
      buffers: [{ name: "result", pool: "out", access: "write" }],
      body: [
        k.varS("count", k.mul(k.ref("group", k.INDEX), k.idx(3))),
        k.varS("sum", k.f32(0)),
        k.forS("i", k.idx(2), count, 2, [
          k.assign("count", k.add(count, k.idx(1))),
          k.forS("j", k.ref("i", k.INDEX), k.idx(5), 1, [k.assign("sum", k.add(k.ref("sum", k.F32), k.f32(1)))]),
        ]),
        k.store("result", k.ref("group", k.INDEX), k.ref("sum", k.F32)),
      ],
    };
    const { run, pools: after } = await load([kernel], makePools(64));
    run[0]!([0], 0, 4);
    expect(Array.from(after.out.slice(0, 4))).toEqual([0, 3, 4, 4]);
  });
});

describe("wasm, four lanes", () => {
  it("loads unaligned, compares, selects, extracts and stores", async () => {
    const pools = makePools(128);
    for (let i = 0; i < 40; i++) pools.work[i] = noise(i);
    const { run, pools: after } = await runWasm([kernels.vector(8)], pools);
    run[0]!([0, 3], 0, 8);
    for (let i = 0; i < 32; i++) {
      const x = pools.work[i + 1]!;
      expect(after.out[3 + i]).toBe(x > 0 ? Math.fround(x * x) : i % 4);
    }
  });

  it("words and masks agree with one lane", async () => {
    const at = k.mul(k.ref("group", k.INDEX), k.idx(4));
    const body = (lanes: 1 | 4, base: typeof at): Kernel["body"] => {
      const word = (value: number) => k.splat(k.u32(value), lanes);
      const one = (value: boolean) => k.splat(k.bool(value), lanes);
      const [a, b] = [k.load("x", base, { of: "u32", lanes }), k.load("y", base, { of: "u32", lanes })];
      const below = k.lt(a, b);
      const to = { of: "u32", lanes } as const;
      return [
        k.add(a, b),
        k.sub(a, b),
        k.mul(a, b),
        k.min(a, b),
        k.max(a, b),
        k.and(a, b),
        k.or(a, b),
        k.xor(a, b),
        k.shl(a, word(9)),
        k.shr(a, word(9)),
        k.cast(below, to),
        k.cast(k.le(a, b), to),
        k.cast(k.eq(a, b), to),
        k.cast(k.ne(a, b), to),
        k.cast(k.and(below, one(true)), to),
        k.cast(k.or(k.not(below), one(false)), to),
        k.select(below, a, b),
        k.bitcast(k.cast(a, { of: "f32", lanes }), "u32"),
        k.cast(k.cast(k.shr(a, word(4)), { of: "f32", lanes }), to),
        k.bitcast(k.cast(below, { of: "f32", lanes }), "u32"),
      ].map((value, i) => k.store("result", k.add(base, k.idx(64 * i)), value));
    };
    const buffers: Kernel["buffers"] = [
      { name: "x", pool: "ints", access: "read" },
      { name: "y", pool: "ints", access: "read" },
      { name: "result", pool: "ints", access: "write" },
    ];
    const wide: Kernel = { name: "wide", groups: 16, workgroup: 1, buffers, body: body(4, at) };
    const narrow: Kernel = { ...wide, name: "narrow", groups: 64, body: body(1, k.ref("group", k.INDEX)) };
    const pools = makePools(4096);
    for (let i = 0; i < 64; i++) {
      const [a, b] = threefry2x32([1, 2], [i, 3]);
      pools.ints[i] = a;
      pools.ints[64 + i] = i % 5 === 0 ? a : b;
    }
    const { run, pools: after } = await runWasm([wide, narrow], pools);
    run[0]!([0, 64, 128], 0, 16);
    run[1]!([0, 64, 2048], 0, 64);
    expect(after.ints.slice(128, 128 + 20 * 64)).toEqual(after.ints.slice(2048, 2048 + 20 * 64));
    expect(new Set(after.ints.slice(128, 128 + 20 * 64)).size).toBeGreaterThan(600);
  });

  it("bools of four lanes pack and unpack", async () => {
    const bits = k.lanes([k.bool(true), k.bool(false), k.lt(k.ref("group", k.INDEX), k.idx(1)), k.bool(true)]);
    const kernel: Kernel = {
      name: "bools",
      groups: 2,
      workgroup: 1,
      buffers: [{ name: "result", pool: "out", access: "write" }],
      body: [
        k.store(
          "result",
          k.mul(k.ref("group", k.INDEX), k.idx(8)),
          k.select(bits, k.splat(k.f32(1), 4), k.splat(k.f32(2), 4)),
        ),
        k.store(
          "result",
          k.add(k.mul(k.ref("group", k.INDEX), k.idx(8)), k.idx(4)),
          k.select(k.extract(bits, 2), k.f32(1), k.f32(2)),
        ),
      ],
    };
    const { run, pools } = await runWasm([kernel], makePools(64));
    run[0]!([0], 0, 2);
    expect([...pools.out.subarray(0, 5), ...pools.out.subarray(8, 13)]).toEqual([1, 2, 1, 1, 1, 1, 2, 2, 1, 2]);
  });
});
