/**
 * The same kernels on the JavaScript, the WebAssembly and the C target, against each other and against what they should
 * give.
 */
import { describe, expect, it } from "vitest";
import { threefry2x32 } from "../../runtime/threefry.js";
import * as k from "../../src/kernel/build.js";
import type { Kernel, Lanes } from "../../src/kernel/ir.js";
import { parseKernel } from "../../src/kernel/parse.js";
import * as kernels from "../kernel/kernels.js";
import { makePools, runJavaScript, vectorTargets, type VectorTarget } from "./run.js";

const targets: readonly (readonly [string, VectorTarget["load"]])[] = [
  ["javascript", async (list, pools) => ({ run: await runJavaScript(list, pools), pools })],
  ...vectorTargets.map(({ name, load }) => [name, load] as const),
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

  it("what is fetched ahead may lie outside of its buffer, and changes nothing", async () => {
    const body = `
      prefetch b0[(group + 1000000)]
      prefetch write b1[(group * 1000000)]
      b1[group] = b0[group]
    `;
    const pools = makePools(64);
    pools.work.set([1, 2, 3]);
    const { run, pools: after } = await load(
      [parseKernel(`kernel ahead(b0: read work, b1: write out) groups 3 workgroup 1 {${body}}`)],
      pools,
    );
    run[0]!([0, 0], 0, 3);
    expect(Array.from(after.out.slice(0, 4))).toEqual([1, 2, 3, 0]);
  });

  it("values that nothing reads, under a name that is read elsewhere", async () => {
    const body = `
      let a: f32 = b0[group]
      if (group < 2) {
        let x: f32 = b0[(group + 1)]
        b1[group] = x
      }
      if (group < 3) {
        let x: f32 = a
      }
    `;
    const pools = makePools(64);
    pools.work.set([1, 2, 3]);
    const { run, pools: after } = await load(
      [parseKernel(`kernel unread(b0: read work, b1: write out) groups 3 workgroup 1 {${body}}`)],
      pools,
    );
    run[0]!([0, 0], 0, 3);
    expect(Array.from(after.out.slice(0, 3))).toEqual([2, 3, 0]);
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

describe.each(
  vectorTargets.flatMap(({ name, widths, load }) =>
    widths.filter((lanes) => lanes !== 1).map((lanes) => [name, lanes, load] as const),
  ),
)("%s, %i lanes", (_, lanes, load) => {
  it("loads unaligned, compares, selects, extracts and stores", async () => {
    const pools = makePools(256);
    for (let i = 0; i < 160; i++) pools.work[i] = noise(i);
    const { run, pools: after } = await load([kernels.vector(8, lanes)], pools);
    run[0]!([0, 3], 0, 8);
    for (let i = 0; i < 8 * lanes; i++) {
      const x = pools.work[i + 1]!;
      expect(after.out[3 + i]).toBe(x > 0 ? Math.fround(x * x) : i % lanes);
    }
    expect(after.out[3 + 8 * lanes]).toBe(0);
  });

  it("words and masks agree with one lane", async () => {
    const group = k.ref("group", k.INDEX);
    const body = (width: Lanes): Kernel["body"] => {
      const base = k.mul(group, k.idx(width));
      const word = (value: number) => k.splat(k.u32(value), width);
      const one = (value: boolean) => k.splat(k.bool(value), width);
      const [a, b] = [k.load("x", base, { of: "u32", lanes: width }), k.load("y", base, { of: "u32", lanes: width })];
      const below = k.lt(a, b);
      const to = { of: "u32", lanes: width } as const;
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
        k.bitcast(k.cast(a, { of: "f32", lanes: width }), "u32"),
        k.cast(k.cast(k.shr(a, word(4)), { of: "f32", lanes: width }), to),
        k.bitcast(k.cast(below, { of: "f32", lanes: width }), "u32"),
      ].map((value, i) => k.store("result", k.add(base, k.idx(64 * i)), value));
    };
    const buffers: Kernel["buffers"] = [
      { name: "x", pool: "ints", access: "read" },
      { name: "y", pool: "ints", access: "read" },
      { name: "result", pool: "ints", access: "write" },
    ];
    const wide: Kernel = { name: "wide", groups: 64 / lanes, workgroup: 1, buffers, body: body(lanes) };
    const narrow: Kernel = { ...wide, name: "narrow", groups: 64, body: body(1) };
    const pools = makePools(4096);
    for (let i = 0; i < 64; i++) {
      const [a, b] = threefry2x32([1, 2], [i, 3]);
      pools.ints[i] = a;
      pools.ints[64 + i] = i % 5 === 0 ? a : b;
    }
    const { run, pools: after } = await load([wide, narrow], pools);
    run[0]!([0, 64, 128], 0, 64 / lanes);
    run[1]!([0, 64, 2048], 0, 64);
    expect(after.ints.slice(128, 128 + 20 * 64)).toEqual(after.ints.slice(2048, 2048 + 20 * 64));
    expect(new Set(after.ints.slice(128, 128 + 20 * 64)).size).toBeGreaterThan(600);
  });

  it("bools of all lanes pack and unpack", async () => {
    const group = k.ref("group", k.INDEX);
    const ONES = [true, false, null, true];
    const bits = k.lanes(
      Array.from({ length: lanes }, (__, i) => {
        const bit = ONES[i % 4];
        return typeof bit === "boolean" ? k.bool(bit) : k.lt(group, k.idx(1));
      }),
    );
    const at = (i: number) => k.add(k.mul(group, k.idx(2 * lanes)), k.idx(i));
    const kernel: Kernel = {
      name: "bools",
      groups: 2,
      workgroup: 1,
      buffers: [{ name: "result", pool: "out", access: "write" }],
      body: [
        k.store("result", at(0), k.select(bits, k.splat(k.f32(1), lanes), k.splat(k.f32(2), lanes))),
        ...Array.from({ length: lanes }, (__, i) =>
          k.store("result", at(lanes + i), k.select(k.extract(bits, i), k.f32(1), k.f32(2))),
        ),
      ],
    };
    const { run, pools } = await load([kernel], makePools(64));
    run[0]!([0], 0, 2);
    const expected = [0, 1].flatMap((own) => {
      const row = Array.from({ length: lanes }, (__, i) => ((ONES[i % 4] ?? own < 1) ? 1 : 2));
      return [...row, ...row];
    });
    expect(Array.from(pools.out.subarray(0, 4 * lanes))).toEqual(expected);
  });

  it("lanes of two vectors are chosen in any order", async () => {
    const [a, b] = [k.load("x", k.idx(0), { of: "f32", lanes }), k.load("x", k.idx(lanes), { of: "f32", lanes })];
    const orders = [
      Array.from({ length: lanes }, (__, i) => 2 * lanes - 1 - i),
      Array.from({ length: lanes }, (__, i) => (i % 2) * lanes + (i >> 1)),
      Array.from({ length: lanes }, (__, i) => (5 * i + 3) % (2 * lanes)),
    ];
    const kernel: Kernel = {
      name: "shuffles",
      groups: 1,
      workgroup: 1,
      buffers: [
        { name: "x", pool: "work", access: "read" },
        { name: "result", pool: "out", access: "write" },
      ],
      body: orders.map((order, i) => k.store("result", k.idx(lanes * i), k.shuffle(a, b, order))),
    };
    const pools = makePools(64);
    for (let i = 0; i < 2 * lanes; i++) pools.work[i] = i;
    const { run, pools: after } = await load([kernel], pools);
    run[0]!([0, 0], 0, 1);
    expect(Array.from(after.out.subarray(0, 3 * lanes))).toEqual(orders.flat());
  });
});
