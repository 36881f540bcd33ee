/** Every device on the hand-made plan: the same results, the same rules, the same errors. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Device, Session } from "../../runtime/device.js";
import { DeviceError } from "../../runtime/errors.js";
import { nodeHost } from "../../runtime/node/host.js";
import { openDevice } from "../../runtime/index.js";
import type { DevicePlan } from "../../runtime/plan.js";
import { layOut } from "../../runtime/wasm/layout.js";
import { hire } from "../../runtime/wasm/hire.js";
import { poolOf, type WorkerPool } from "../../runtime/wasm/pool.js";
import { everyDevice, hasCompiler, isThere } from "../helpers/devices.js";
import { constantC, folded, FOLDS, handMade, refs, SIZE } from "./plans.js";

const x = Array.from({ length: SIZE }, (_, i) => Math.fround(Math.sin(i)));

const t = Array.from({ length: SIZE }, (_, i) => (i * 37) % 11);

const closeTo = (got: ArrayLike<number>, expected: ArrayLike<number>): void => {
  expect(got.length).toBe(expected.length);
  const scale = Math.max(...Array.from(expected, Math.abs));
  const worst = Array.from(expected, (value, i) => Math.abs(value - got[i]!)).reduce((a, b) => Math.max(a, b), 0);
  expect(worst / scale).toBeLessThan(1e-6);
};

const openPool = async (threads: number): Promise<WorkerPool> => poolOf((await hire(nodeHost, threads)).ports);

/** An order that walks nothing. */
const walk = { kind: "run", address: 0, count: 0, barrier: 0, stride: null, reads: [] } as const;

/** Whether a timer gets its turn while a session runs without pause. */
async function timerRings(session: Session): Promise<boolean> {
  const bell = { rang: false };
  setTimeout(() => (bell.rang = true), 0);
  const begun = performance.now();
  while (!bell.rang && performance.now() - begun < 2000) await session.run("nothing");
  return bell.rang;
}

/** Those that compute in threads. */
const THREADED = (["native", "wasm"] as const).filter(isThere);

describe.each(everyDevice)("%s", (name) => {
  let device: Device;
  let plan: DevicePlan;
  let session: Session;
  beforeAll(async () => {
    device = await openDevice(name, { threads: 2 });
    plan = await handMade(name);
    session = await device.load(plan);
  });
  afterAll(async () => {
    await session.close();
    await device.close();
  });

  it("refuses every call on a session that is closed, and closes it once", async () => {
    const other = await device.load(plan);
    await other.run("fold");
    await Promise.all([other.close(), other.close()]);
    for (const call of [
      () => other.run("fold"),
      () => other.profile("fold"),
      () => other.read(refs.y),
      () => Promise.resolve().then(() => other.write(refs.x, Float32Array.from(x))),
    ])
      await expect(call()).rejects.toThrow(new DeviceError("the session is closed"));
    await other.close();
    await session.run("fold");
  });

  it("says what it is", () => {
    expect(device.name).toBe(name);
    expect(device.adapter).not.toBe("");
    expect(device.threads).toBe(THREADED.some((threaded) => threaded === name) ? 2 : 1);
  });

  it("writes the constants at load, integers as integers", async () => {
    expect([...(await session.read(refs.c))]).toEqual(constantC);
    expect([...(await session.read(refs.table))]).toEqual([1, 4294967295, 7]);
  });

  it("runs an entry's dispatches in order, each after the last has ended", async () => {
    session.write(refs.x, Float32Array.from(x));
    session.write(refs.t, Uint32Array.from(t));
    await session.run("fold");
    const expected = folded(x, t);
    closeTo(await session.read(refs.y), expected.y);
    closeTo(await session.read(refs.sum), [expected.sum]);
  });

  it("runs a kernel on several sets of buffers at once", async () => {
    session.write(refs.x, Float32Array.from(x));
    session.write(refs.t, Uint32Array.from(t));
    await session.run("fold");
    const { a, b, c } = plan.entries["copies"]!.outputs;
    const [first, second, third] = await session.run("copies", [a!, b!, c!]);
    closeTo(first!, folded(x, t).y);
    closeTo(second!, folded(x, t, FOLDS - 1).y);
    expect(third).toEqual(first);
  });

  it("reads in the same submission what a run is asked for", async () => {
    session.write(refs.x, Float32Array.from(x));
    session.write(refs.t, Uint32Array.from(t));
    const before = session.submits;
    const [y, sum] = await session.run("fold", [refs.y, refs.sum]);
    expect(session.submits - before).toBe(1);
    expect([y, sum]).toEqual([await session.read(refs.y), await session.read(refs.sum)]);
  });

  it("times every dispatch of a profiled run, which gives the same results", async () => {
    session.write(refs.x, Float32Array.from(x));
    const [whole] = await session.run("fold", [refs.y]);
    session.write(refs.x, Float32Array.from(x));
    const times = await session.profile("fold");
    expect(times).toHaveLength(plan.entries["fold"]!.dispatches.length);
    expect(times.every((ms) => ms >= 0 && ms < 10_000)).toBe(true);
    expect(await session.read(refs.y)).toEqual(whole);
  });

  it("gives the same bits when run again", async () => {
    session.write(refs.x, Float32Array.from(x));
    await session.run("fold");
    const once = await session.read(refs.y);
    for (let i = 0; i < 5; i++) {
      await session.run("fold");
      expect(await session.read(refs.y)).toEqual(once);
    }
  });

  it("keeps state from run to run, and wraps integers", async () => {
    session.write(refs.x, Float32Array.from(x));
    session.write(refs.n, new Uint32Array(SIZE).fill(4294967295));
    for (let i = 0; i < 3; i++) await session.run("update");
    closeTo(
      await session.read(refs.x),
      x.map((value) => value + 3),
    );
    let n = 4294967295;
    for (let i = 0; i < 3; i++) n = (Math.imul(n, 1664525) + 1013904223) >>> 0;
    expect([...new Set(await session.read(refs.n))]).toEqual([n]);
  });

  it("writes parts of a tensor, and reads copies", async () => {
    session.write(refs.x, new Float32Array(SIZE));
    session.write(refs.x, Float32Array.of(5, 6), 10);
    const before = await session.read(refs.x);
    expect(Array.from(before.slice(9, 13))).toEqual([0, 5, 6, 0]);
    session.write(refs.x, Float32Array.of(9), 10);
    expect(before[10]).toBe(5);
    expect(before.length).toBe(SIZE);
  });

  it("answers reads that overlap each with its own tensor", async () => {
    const [c, table] = await Promise.all([session.read(refs.c), session.read(refs.table)]);
    expect([...c]).toEqual(constantC);
    expect(table).toBeInstanceOf(Uint32Array);
    expect(c).toBeInstanceOf(Float32Array);
  });

  it("runs an entry of nothing, and refuses one that is not there", async () => {
    await session.run("nothing");
    // A rejection, as everywhere, and not a throw of the call itself.
    await expect(session.run("walk")).rejects.toThrow(DeviceError);
    await expect(session.run("walk")).rejects.toThrow("the plan has no entry walk");
  });

  it("lets timers and signals through while it runs again and again", async () => {
    expect(await timerRings(session)).toBe(true);
  });

  it("keeps two sessions apart", async () => {
    const other = await device.load(plan);
    session.write(refs.x, new Float32Array(SIZE).fill(1));
    other.write(refs.x, new Float32Array(SIZE).fill(2));
    await Promise.all([session.run("update"), other.run("update")]);
    expect((await session.read(refs.x))[0]).toBe(2);
    expect((await other.read(refs.x))[0]).toBe(3);
    await other.close();
    // Closing one leaves the other at work.
    await session.run("update");
    expect((await session.read(refs.x))[0]).toBe(3);
  });

  it("refuses code of another device", async () => {
    const other = await handMade(name === "javascript" ? "wasm" : "javascript");
    await expect(async () => device.load(other)).rejects.toThrow(DeviceError);
  });
});

describe.each(THREADED)("%s", (name) => {
  it("gives the same bits on any number of threads", async () => {
    const plan = await handMade(name);
    const results: Float32Array[] = [];
    for (const threads of [1, 2, 3, 5]) {
      const device = await openDevice(name, { threads });
      const session = await device.load(plan);
      session.write(refs.x, Float32Array.from(x));
      session.write(refs.t, Uint32Array.from(t));
      for (let i = 0; i < 20; i++) await session.run("fold");
      results.push((await session.read(refs.y)) as Float32Array, (await session.read(refs.sum)) as Float32Array);
      await session.close();
      await device.close();
    }
    for (let i = 2; i < results.length; i++) expect(results[i]).toEqual(results[i % 2]);
  });

  it.each([0, -1, 1.5, 65])("refuses %d threads", async (threads) => {
    await expect(openDevice(name, { threads })).rejects.toThrow(DeviceError);
  });

  it("refuses runs of one session that overlap", async () => {
    const session = await (await openDevice(name, { threads: 2 })).load(await handMade(name));
    const first = session.run("fold");
    await expect(session.run("fold")).rejects.toThrow("overlap");
    await first;
    await session.close();
  });
});

describe("wasm", () => {
  it("runs in one worker where memory cannot be shared, with the bits of threads", async () => {
    const plan = await handMade("wasm");
    const threaded = await (await openDevice("wasm", { threads: 2 })).load(plan);
    threaded.write(refs.x, Float32Array.from(x));
    threaded.write(refs.t, Uint32Array.from(t));
    await threaded.run("fold");
    const given = globalThis.SharedArrayBuffer;
    Reflect.deleteProperty(globalThis, "SharedArrayBuffer");
    try {
      const device = await openDevice("wasm", { threads: 4 });
      expect(device.threads).toBe(1);
      expect(device.notes).toEqual(["one thread, not 4: memory cannot be shared here (there is no SharedArrayBuffer)"]);
      const session = await device.load(plan);
      session.write(refs.x, Float32Array.from(x));
      session.write(refs.t, Uint32Array.from(t));
      await session.run("fold");
      closeTo(await session.read(refs.y), folded(x, t).y);
      expect(await session.read(refs.y)).toEqual(await threaded.read(refs.y));
      expect(await session.read(refs.sum)).toEqual(await threaded.read(refs.sum));
      await expect(session.run("walk")).rejects.toThrow("the plan has no entry walk");
      expect(await timerRings(session)).toBe(true);
      await session.close();
      await expect(session.run("fold")).rejects.toThrow("closed");
    } finally {
      globalThis.SharedArrayBuffer = given;
    }
    await threaded.close();
  });

  it("lays pools out apart from each other, aligned, behind tables and scratch", async () => {
    const plan = await handMade("wasm");
    const { pools, scratch, tables, words, pages } = layOut(plan, 100, 3);
    const ranges = [
      [0, 4 * words.length],
      ...scratch.map((at) => [at, at + 100]),
      ...(["state", "work", "ints", "out"] as const).map((pool) => [pools[pool], pools[pool] + 4 * plan.pools[pool]]),
    ].sort((a, b) => a[0]! - b[0]!);
    for (let i = 1; i < ranges.length; i++) {
      expect(ranges[i]![0]).toBeGreaterThanOrEqual(ranges[i - 1]![1]!);
      expect(ranges[i]![0]! % 256).toBe(0);
    }
    expect(pages * 65536).toBeGreaterThanOrEqual(ranges[ranges.length - 1]![1]!);
    expect(tables["fold"]!.count).toBe(plan.entries["fold"]!.dispatches.length);
  });

  it("names the pool that does not fit in 4 GiB", async () => {
    const plan = await handMade("wasm");
    expect(() => layOut({ ...plan, pools: { ...plan.pools, work: 2 ** 30 } }, 0, 1)).toThrow(
      /the pool `work` ends at 4\.0 GiB/,
    );
    expect(
      layOut({ ...plan, pools: { state: 64, work: 2 ** 30 - 4096, ints: 64, out: 64, half: 0 } }, 0, 1).pages,
    ).toBeLessThanOrEqual(65536);
  });

  it("rejects all that waits when a worker fails, and everything after", async () => {
    const pool = await openPool(2);
    // Workers take a module first: without one a message makes them fail.
    await expect(pool.all([walk, walk])).rejects.toThrow(DeviceError);
    await expect(pool.all([walk, walk])).rejects.toThrow("a worker failed");
    await pool.close();
  });
});

describe("webgpu", () => {
  it("names the pool that the adapter cannot bind", async () => {
    const device = await openDevice("webgpu");
    const plan = await handMade("webgpu");
    await expect(device.load({ ...plan, pools: { ...plan.pools, work: 2 ** 31 } })).rejects.toThrow(
      /the pool `work` takes 8192 MiB/,
    );
    await device.close();
  });

  it("names the kernel that is refused", async () => {
    const device = await openDevice("webgpu");
    const plan = await handMade("webgpu");
    if (plan.code.kind !== "wgsl") throw new Error(plan.code.kind);
    const modules = plan.code.modules.map((module, i) => (i === 1 ? `${module}\nwhat is this` : module));
    await expect(device.load({ ...plan, code: { kind: "wgsl", modules } })).rejects.toThrow(
      "the kernel fold was refused",
    );
    await device.close();
  });

  it("reaches groups beyond 65,535", async () => {
    const device = await openDevice("webgpu");
    const plan = await handMade("webgpu");
    const groups = 70_000;
    const module = `@group(0) @binding(3) var<storage, read_write> result: array<f32>;
      @group(0) @binding(4) var<uniform> offsets: array<vec4<u32>, 8>;
      @compute @workgroup_size(1) fn main(@builtin(workgroup_id) id: vec3<u32>) {
        let group = id.x + id.y * 65535u;
        if (group >= ${groups}u) { return; }
        result[offsets[0].x + group] = result[offsets[0].x + group] + f32(group);
      }`;
    const whole = { pool: "out", offset: 64, shape: [groups], dtype: "f32" } as const;
    const session = await device.load({
      ...plan,
      constants: [],
      pools: { state: 0, work: 0, ints: 0, out: groups + 128, half: 0 },
      code: { kind: "wgsl", modules: [module] },
      kernels: [
        {
          name: "count",
          groups,
          workgroup: 1,
          flops: 0,
          bytes: 0,
          tuned: null,
          cluster: 0,
          buffers: [{ pool: "out", access: "read_write" }],
        },
      ],
      entries: { count: { dispatches: [{ kernel: 0, offsets: [64] }], inputs: {}, outputs: { whole } } },
    });
    await session.run("count");
    const result = await session.read(whole);
    expect(result.every((value, i) => value === i)).toBe(true);
    await session.close();
    await device.close();
  });
});

it("auto never takes a GPU that is emulated on the CPU", async () => {
  const device = await openDevice("auto", { threads: 1 });
  expect(device.name).toBe(hasCompiler ? "native" : "wasm");
  await device.close();
});
