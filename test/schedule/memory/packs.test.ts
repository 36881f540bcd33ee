/**
 * Packs and slices against the evaluator: random graphs that pack leaves, products of leaves, views, constants and
 * other packs, compute on the vectors, look at their padding, and store slices back. Leaves lie in memory as the packs
 * want them, or otherwise. Before every run all words that no tensor of the host owns are made NaN, so that padding
 * which matters is found out.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { printers } from "../../../codegen/registry.js";
import { deviceNames, type Device, type Session } from "../../../runtime/device.js";
import { openDevice } from "../../../runtime/index.js";
import type { DevicePlan } from "../../../runtime/plan.js";
import { type Builder } from "../../../src/graph/builder.js";
import { createBuilder } from "../../../src/graph/create-builder.js";
import { evaluate } from "../../../src/graph/evaluate.js";
import type { Graph, Node, Shape } from "../../../src/graph/node.js";
import { slotsOf } from "../../../src/graph/packing.js";
import { sizeOf } from "../../../src/graph/record.js";
import { legalize } from "../../../src/schedule/fusion/legalize.js";
import { layOut, rangeOfUses } from "../../../src/schedule/memory/lifetimes.js";
import { paddingOf } from "../../../src/schedule/memory/packs.js";
import type { Scheduled } from "../../../src/schedule/plan.js";
import { everyDevice, makingFor } from "../../helpers/devices.js";
import { schedule } from "../../helpers/schedule.js";

const STEPS = 3;
const SHAPES: readonly Shape[] = [[], [3], [64], [5, 13], [8, 8], [2, 64], [130], [7, 7]];

interface World {
  readonly shapes: readonly Shape[];
  /** The leaf of each slot, and the leaf at each place in memory. */
  readonly order: readonly number[];
  readonly memory: readonly number[];
}

const named = (i: number): string => `leaf${i}`;
const start = (i: number, shape: Shape): Float32Array =>
  Float32Array.from({ length: sizeOf(shape) }, (_, j) => Math.sin(3 * j + 7 * i));

function scheduled(
  graph: Graph,
  { shapes, memory }: World,
  profile: Parameters<typeof schedule>[1],
): { result: Scheduled; layout: Map<number, number>; words: number } {
  const { offsets, words } = slotsOf(memory.map((i) => shapes[i]!));
  const layout = new Map(memory.map((i, at) => [i, offsets[at]!]));
  return {
    result: schedule([graph], profile, new Map([...layout].map(([i, at]) => [named(i), at])), words),
    layout,
    words,
  };
}

async function check(device: Device, graph: Graph, world: World): Promise<void> {
  const { shapes } = world;
  const { printer, profile } = makingFor(device);
  const { result, layout, words } = scheduled(graph, world, profile);
  const { kernels, infos, entries, pools, constants } = result;
  const plan: DevicePlan = { kernels: infos, code: await printer.print(kernels), entries, pools, constants };
  const session = await device.load(plan);
  const at = (i: number) => ({ pool: "state", offset: layout.get(i)!, shape: shapes[i]!, dtype: "f32" }) as const;
  const values = new Map<string, ArrayLike<number>>();
  shapes.forEach((shape, i) => {
    session.write(at(i), start(i, shape));
    values.set(named(i), start(i, shape));
  });
  for (let step = 0; step < STEPS; step++) {
    const expected = evaluate(graph, values);
    poison(session, plan, layout, shapes, words);
    await session.run(graph.name);
    for (const [name, ref] of Object.entries(entries[graph.name]!.outputs))
      close(await session.read(ref), expected.outputs.get(name)!, `${name} of step ${step}`);
    expected.updates.forEach((value, name) => values.set(name, value));
    for (const i of shapes.keys())
      close(await session.read(at(i)), values.get(named(i))!, `${named(i)} after step ${step}`);
  }
  await session.close();
}

/** Writes NaN to the pools `work` and `out`, and between the leaves. */
function poison(
  session: Session,
  { pools }: DevicePlan,
  layout: ReadonlyMap<number, number>,
  shapes: readonly Shape[],
  words: number,
): void {
  const spoil = (pool: "state" | "work" | "out", from: number, to: number): void => {
    if (to > from)
      session.write(
        { pool, offset: from, shape: [to - from], dtype: "f32" },
        new Float32Array(to - from).fill(Number.NaN),
      );
  };
  spoil("work", 0, pools.work);
  spoil("out", 0, pools.out);
  const starts = [...layout.values(), words];
  for (const [i, at] of layout)
    spoil("state", at + sizeOf(shapes[i]!), Math.min(...starts.filter((other) => other > at)));
}

function close(got: ArrayLike<number>, want: ArrayLike<number>, what: string): void {
  let worst = 0;
  for (let i = 0; i < want.length; i++)
    worst = Number.isNaN(got[i]) ? Number.POSITIVE_INFINITY : Math.max(worst, Math.abs(got[i]! - want[i]!));
  expect(worst, what).toBeLessThan(2e-5);
}

type Step = readonly [kind: number, i: number, j: number];

/** All values stay within [-1, 1], so that errors do not grow. */
function random(
  world: World,
  steps: readonly Step[],
  updates: readonly (number | null)[],
  outputs: readonly number[],
): Graph {
  const { shapes, order } = world;
  const b = createBuilder();
  const leaves = shapes.map((shape, i) => (i % 2 ? b.state(named(i), shape) : b.parameter(named(i), shape)));
  const tensors = leaves.map((leaf) => [leaf]);
  const { offsets, words } = slotsOf(order.map((i) => shapes[i]!));
  const packed = (choose: (list: readonly Node[], slot: number) => Node): Node =>
    b.pack(order.map((i, slot) => choose(tensors[i]!, slot)));
  const vectors = [packed((list) => list[0]!)];
  const pick = <T>(list: readonly T[], at: number): T => list[list.length - 1 - (at % list.length)]!;
  const half = (x: Node): Node => b.mul(x, b.fill(0.5, x.shape));
  for (const [kind, i, j] of steps) {
    const x = pick(vectors, i);
    const y = pick(vectors, j);
    const own = tensors[i % tensors.length]!;
    const t = pick(own, j);
    const square = t.shape.length === 2 && t.shape[0] === t.shape[1];
    const turned = square ? b.transpose(t, [1, 0]) : t;
    switch (kind % 12) {
      case 0:
        vectors.push(packed((list, slot) => pick(list, i + slot * j)));
        break;
      case 1:
        vectors.push(half(b.add(x, y)));
        break;
      case 2:
        order.forEach((leaf, slot) => tensors[leaf]!.push(b.slice(x, offsets[slot]!, shapes[leaf]!)));
        break;
      case 3:
        own.push(b.sin(t));
        break;
      case 4:
        vectors.push(b.mul(x, b.broadcast(b.sin(b.mean(b.mul(y, y), [0])), [words], [])));
        break;
      case 5:
        vectors.push(b.select(b.lt(b.iota([words], 0), b.fill(i * 7, [words], "u32")), x, b.sin(y)));
        break;
      case 6:
        own.push(square ? b.mul(b.contract("ik,kj->ij", t, turned), b.fill(1 / t.shape[0]!, t.shape)) : half(t));
        break;
      case 7:
        own.push(turned);
        break;
      case 8:
        vectors.push(b.slice(b.pack([x, b.cos(y)]), (j % 2) * words, [words]));
        break;
      case 9:
        vectors.push(
          b.mul(x, b.broadcast(b.mean(b.slice(y, 64 * (i % (words / 64)), [64 - (j % 5)]), [0]), [words], [])),
        );
        break;
      case 10:
        own.push(b.fill(0.25, t.shape));
        break;
      default:
        vectors.push(
          b.mul(
            x,
            packed((list, slot) => (slot === 0 ? half(pick(list, j)) : pick(list, j))),
          ),
        );
        break;
    }
  }
  const graph = new Map<Node, Node>();
  updates.forEach((at, i) => {
    const leaf = leaves[i];
    if (!leaf || at === null) return;
    // Mostly slices of one vector, now and then something else.
    const slot = order.indexOf(i);
    graph.set(
      leaf,
      at < 24 ? b.slice(pick(vectors, updates[0] ?? 0), offsets[slot]!, leaf.shape) : pick(tensors[i]!, at),
    );
  });
  const results = [...vectors, ...tensors.flat()];
  return { name: "packs", outputs: new Map(outputs.map((at, i) => [`out${i}`, pick(results, at)])), updates: graph };
}

const worlds = fc.array(fc.nat(SHAPES.length - 1), { minLength: 1, maxLength: 6 }).chain((picks) => {
  const shapes = picks.map((i) => SHAPES[i]!);
  const indices = shapes.map((_, i) => i);
  const permuted = fc.shuffledSubarray(indices, { minLength: indices.length });
  return permuted.chain((order) =>
    fc
      .oneof({ weight: 3, arbitrary: fc.constant(order) }, { weight: 1, arbitrary: permuted })
      .map((memory): World => ({ shapes, order, memory })),
  );
});

describe.each(everyDevice)("on %s", (name) => {
  const areRight = async (numRuns: number): Promise<void> => {
    const device = await openDevice(name, { threads: 2 });
    const step = fc.tuple(fc.nat(11), fc.nat(40), fc.nat(40));
    const update = fc.option(fc.nat(30), { nil: null, freq: 6 });
    await fc.assert(
      fc.asyncProperty(
        worlds,
        fc.array(step, { maxLength: 8 }),
        fc.array(update, { minLength: 6, maxLength: 6 }),
        fc.array(fc.nat(60), { maxLength: 2 }),
        async (world, steps, updates, outputs) => {
          await check(device, random(world, steps, updates, outputs), world);
        },
      ),
      { numRuns },
    );
    await device.close();
  };
  const RIGHT = "random packs and slices are what the evaluator says, whatever lies in the padding";
  const [few, many] = name === "webgpu" || name === "native" ? [10, 40] : [40, 150];
  if (name !== "javascript") it(`${RIGHT}, in ${few} tries`, () => areRight(few));
  it(`${RIGHT}, in ${many} tries`, { tags: "slow" }, () => areRight(many));
});

describe("a step over a pack of leaves", () => {
  const shapes: readonly Shape[] = [[80, 64], [5, 13], [3]];
  const world: World = { shapes, order: [0, 1, 2], memory: [0, 1, 2] };

  /** Gradients are products, clipped by their norm; leaves go down by them. */
  function descent(b: Builder): Graph {
    const leaves = shapes.map((shape, i) => b.parameter(named(i), shape));
    const gradients = leaves.map((leaf) => b.sin(leaf));
    const p = b.pack(leaves);
    const g = b.pack(gradients);
    const norm = b.sqrt(b.sum(b.mul(g, g), [0]));
    const after = b.sub(p, b.div(g, b.broadcast(b.add(norm, b.constant(1)), p.shape, [])));
    const { offsets } = slotsOf(shapes);
    return {
      name: "packs",
      outputs: new Map([["norm", norm]]),
      updates: new Map(leaves.map((leaf, i) => [leaf, b.slice(after, offsets[i]!, leaf.shape)])),
    };
  }

  it.each(deviceNames)("is the gradients, the cleared padding, the norm, and one kernel in place for %s", (name) => {
    const { profile } = printers[name];
    const { result } = scheduled(descent(createBuilder()), world, profile);
    const { dispatches } = result.entries["packs"]!;
    const run = dispatches.map(({ kernel }) => result.kernels[kernel]!);
    expect(run.map(({ name }) => name.replace(/_.*/, ""))).toEqual(["map+clear", "map", "row", "map"]);
    const last = run[run.length - 1]!;
    expect(last.buffers.filter(({ pool }) => pool === "state").map(({ access }) => access)).toEqual(["read_write"]);
  });

  it("copies nothing but what has a place elsewhere", () => {
    const { profile } = printers["javascript"];
    const b = createBuilder();
    const given = b.input("given", [3], "f32");
    const twice = b.exp(b.input("twice", [64], "f32"));
    const packed = b.sin(b.pack([twice, given, twice]));
    const { result } = scheduled(
      { name: "packs", outputs: new Map([["out", packed]]), updates: new Map() },
      { shapes: [], order: [], memory: [] },
      profile,
    );
    const run = result.entries["packs"]!.dispatches.map(({ kernel }) => result.kernels[kernel]!);
    expect(run.map(({ name }) => name)).toEqual(["map+clear", "copy", "map"]);
    // Two copies of different lengths, in one dispatch.
    expect(run[1]!.buffers).toHaveLength(4);
  });

  it("knows where padding lies", () => {
    const b = createBuilder();
    const packOf = (...sizes: number[]): Node =>
      b.pack(sizes.map((size, i) => b.input(`x${i}.${size}`, [size], "f32")));
    expect(paddingOf(packOf(64, 128))).toBe(null);
    expect(paddingOf(packOf(64, 3, 64))).toEqual({ from: 67, to: 128 });
    expect(paddingOf(packOf(65, 64, 1))).toEqual({ from: 65, to: 256 });
  });
});

describe("sums of long vectors", () => {
  it.each([16_384, 64 * 349 * 4, 64 * 257])("of %i elements are made in two stages", (size) => {
    const b = createBuilder();
    const x = b.input("x", [size], "f32");
    const graph = legalize({
      name: "sum",
      outputs: new Map([
        ["sum", b.sum(x, [0])],
        ["max", b.reduceMax(x, [0])],
      ]),
      updates: new Map(),
    });
    for (const node of graph.outputs.values()) {
      const rows = node.inputs[0]!;
      expect(rows.shape.length).toBe(1);
      expect(rows.shape[0]).toBeLessThanOrEqual(size / 64);
    }
    const values = Float64Array.from({ length: size }, (_, i) => Math.sin(i));
    const { outputs } = evaluate(graph, new Map([["x", values]]));
    expect(outputs.get("sum")![0]).toBeCloseTo(
      values.reduce((sum, value) => sum + value, 0),
      9,
    );
    expect(outputs.get("max")![0]).toBe(Math.max(...values));
  });

  it.each([100, 16_385])("of %i elements stay as they are", (size) => {
    const b = createBuilder();
    const graph = legalize({
      name: "sum",
      outputs: new Map([["sum", b.sum(b.input("x", [size], "f32"), [0])]]),
      updates: new Map(),
    });
    expect(graph.outputs.get("sum")!.inputs[0]!.op).toBe("input");
  });
});

describe("segments of a range", () => {
  it("leave their words to others until they are used", () => {
    const pack = rangeOfUses(192, [
      { at: 0, words: 64, position: 0 },
      { at: 64, words: 100, position: 5 },
      { at: 0, words: 192, position: 6 },
    ]);
    expect(pack.segments).toEqual([
      { at: 0, words: 64, from: 0, to: 6 },
      { at: 64, words: 128, from: 5, to: 6 },
    ]);
    const early = rangeOfUses(128, [
      { at: 0, words: 128, position: 0 },
      { at: 0, words: 128, position: 4 },
    ]);
    expect(layOut([pack, early])).toEqual({ offsets: [0, 64], words: 192 });
    const late = rangeOfUses(128, [
      { at: 0, words: 128, position: 4 },
      { at: 0, words: 128, position: 5 },
    ]);
    expect(layOut([pack, late])).toEqual({ offsets: [0, 192], words: 320 });
  });

  it("never share words while both are needed, and lie where their range lies", () => {
    const use = fc.record({
      at: fc.nat(5).map((n) => 64 * n),
      words: fc.integer({ min: 1, max: 130 }),
      position: fc.nat(9),
    });
    fc.assert(
      fc.property(fc.array(fc.array(use, { minLength: 1, maxLength: 6 }), { maxLength: 12 }), (all) => {
        const ranges = all.map((uses) => rangeOfUses(Math.max(...uses.map(({ at, words }) => at + words)), uses));
        const { offsets, words } = layOut(ranges);
        const owner = new Map<string, number>();
        all.forEach((uses, i) => {
          const positions = uses.map(({ position }) => position);
          for (const { at, words: used } of uses) {
            expect(offsets[i]! + at + used).toBeLessThanOrEqual(words);
            for (let word = at; word < at + used; word += 16) {
              const touching = uses
                .filter((other) => other.at <= word && word < other.at + other.words)
                .map(({ position }) => position);
              for (
                let t = Math.min(...touching, ...(touching.length ? [] : positions));
                t <= Math.max(...touching);
                t++
              ) {
                const key = `${offsets[i]! + word}@${t}`;
                expect(owner.get(key) ?? i).toBe(i);
                owner.set(key, i);
              }
            }
          }
        });
      }),
    );
  });
});
