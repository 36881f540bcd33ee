/**
 * A plan made by hand, kernel by kernel, so that the devices are tested by themselves: everything that the contract in
 * runtime/plan.ts promises is in it (all pools of the host, constants, several entries, one pool bound twice, offsets
 * that differ from dispatch to dispatch, several copies of a kernel in one dispatch, a chain of dispatches that is
 * wrong if one begins before the last has ended).
 */
import { printers } from "../../codegen/registry.js";
import type { BuiltInDevice } from "../../runtime/device.js";
import type { DevicePlan, Entry, HostPool, PoolName, TensorRef } from "../../runtime/plan.js";
import * as k from "../../src/kernel/build.js";
import type { Kernel } from "../../src/kernel/ir.js";

export const SIZE = 192;

const group = k.ref("group", k.INDEX);
const f = (buffer: string): ReturnType<typeof k.load> => k.load(buffer, group, k.F32);

/** Group g works on element g alone; on a GPU by the first invocation of its workgroup. */
function elementwise(
  name: string,
  gpu: boolean,
  groups: number,
  buffers: Kernel["buffers"],
  body: Kernel["body"],
): Kernel {
  return {
    name,
    groups,
    workgroup: gpu ? 64 : 1,
    buffers,
    body: gpu ? [k.ifS(k.eq(k.ref("local", k.INDEX), k.idx(0)), body)] : body,
  };
}

function kernels(gpu: boolean): Kernel[] {
  const buffer = (
    name: string,
    pool: PoolName,
    access: "read" | "write" | "read_write",
  ): Kernel["buffers"][number] => ({ name, pool, access });
  return [
    // y = x * c + t: state and ints read, work written.
    elementwise(
      "start",
      gpu,
      SIZE,
      [
        buffer("x", "state", "read"),
        buffer("c", "state", "read"),
        buffer("t", "ints", "read"),
        buffer("y", "work", "write"),
      ],
      [k.store("y", group, k.add(k.mul(f("x"), f("c")), k.cast(k.load("t", group, k.U32), k.F32)))],
    ),
    // y[i] = x[i] + x[SIZE - 1 - i]: reads the other end of what the dispatch before wrote, from the pool it writes.
    elementwise(
      "fold",
      gpu,
      SIZE,
      [buffer("x", "work", "read"), buffer("y", "work", "write")],
      [
        k.store(
          "y",
          group,
          k.add(k.mul(k.f32(0.5), f("x")), k.mul(k.f32(0.25), k.load("x", k.sub(k.idx(SIZE - 1), group), k.F32))),
        ),
      ],
    ),
    // One group sums all.
    elementwise(
      "sum",
      gpu,
      1,
      [buffer("x", "work", "read"), buffer("s", "out", "write")],
      [
        k.varS("total", k.f32(0)),
        k.forS("i", k.idx(0), k.idx(SIZE), 1, [
          k.assign("total", k.add(k.ref("total", k.F32), k.load("x", k.ref("i", k.INDEX), k.F32))),
        ]),
        k.store("s", k.idx(0), k.ref("total", k.F32)),
      ],
    ),
    // Copies to out.
    elementwise(
      "emit",
      gpu,
      SIZE,
      [buffer("x", "work", "read"), buffer("y", "out", "write")],
      [k.store("y", group, f("x"))],
    ),
    // state += 1 in place, by u32 arithmetic in ints too: n = n * 1664525 + 1013904223.
    elementwise(
      "update",
      gpu,
      SIZE,
      [buffer("x", "state", "read_write"), buffer("n", "ints", "read_write")],
      [
        k.store("x", group, k.add(f("x"), k.f32(1))),
        k.store("n", group, k.add(k.mul(k.load("n", group, k.U32), k.u32(1664525)), k.u32(1013904223))),
      ],
    ),
  ];
}

const tensor = (pool: HostPool, offset: number, shape: readonly number[] = [SIZE]): TensorRef => ({
  pool,
  offset,
  shape,
  dtype: pool === "ints" ? "u32" : "f32",
});

export const refs = {
  x: tensor("state", 0),
  c: tensor("state", 256),
  t: tensor("ints", 0),
  n: tensor("ints", 256),
  table: tensor("ints", 512, [3]),
  sum: tensor("out", 0, []),
  y: tensor("out", 64),
};

/** Folds in the entry `fold`: enough that a missing barrier shows. */
export const FOLDS = 40;

const entries: Record<string, Entry> = {
  fold: {
    dispatches: [
      { kernel: 0, offsets: [0, 256, 0, 0] },
      ...Array.from({ length: FOLDS }, (_, i) => ({ kernel: 1, offsets: i % 2 ? [256, 0] : [0, 256] })),
      { kernel: 2, offsets: [0, 0] },
      { kernel: 3, offsets: [0, 64] },
    ],
    inputs: { t: refs.t },
    outputs: { sum: refs.sum, y: refs.y },
  },
  update: { dispatches: [{ kernel: 4, offsets: [0, 256] }], inputs: {}, outputs: {} },
  // The last two folds and the last once more, in one dispatch.
  copies: {
    dispatches: [{ kernel: 3, offsets: [0, 64, 256, 320, 0, 576] }],
    inputs: {},
    outputs: { a: tensor("out", 64), b: tensor("out", 320), c: tensor("out", 576) },
  },
  nothing: { dispatches: [], inputs: {}, outputs: {} },
};

export const constantC = Array.from({ length: SIZE }, (_, i) => Math.fround(1 + i / 7));

export async function handMade(device: BuiltInDevice): Promise<DevicePlan> {
  const list = kernels(device === "webgpu");
  return {
    kernels: list.map(({ name, groups, workgroup, buffers }) => ({
      name,
      groups,
      workgroup,
      flops: 0,
      bytes: 0,
      tuned: null,
      cluster: 0,
      buffers: buffers.map(({ pool, access }) => ({ pool, access })),
    })),
    code: await printers[device].print(list),
    entries,
    pools: { state: 512, work: 512, ints: 576, out: 832, half: 0 },
    constants: [
      { at: refs.c, data: constantC },
      { at: refs.table, data: [1, 4294967295, 7] },
    ],
  };
}

/** What the entry `fold` must give, in f32, after so many folds. */
export function folded(x: readonly number[], t: readonly number[], folds = FOLDS): { y: Float32Array; sum: number } {
  let y = Float32Array.from(x, (value, i) => Math.fround(value * constantC[i]!) + t[i]!);
  for (let round = 0; round < folds; round++) y = y.map((value, i) => 0.5 * value + 0.25 * y[SIZE - 1 - i]!);
  return { y, sum: y.reduce((sum, value) => Math.fround(sum + value), 0) };
}
