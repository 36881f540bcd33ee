/**
 * Attention's kernels and those of its derivative against the f64 evaluation of the unfused graph: every member of
 * every family, sizes that leave a tail in every direction, operands in any order in memory, scores that would
 * overflow. And what they are for: a step's memory is linear in the context.
 */
import { describe, expect, it } from "vitest";
import { printers } from "../../../codegen/registry.js";
import type { Choice } from "../../../src/kernel/profile.js";
import { openDevice } from "../../../runtime/index.js";
import { type Builder } from "../../../src/graph/builder.js";
import { createBuilder } from "../../../src/graph/create-builder.js";
import { evaluate } from "../../../src/graph/evaluate.js";
import type { Graph, Node } from "../../../src/graph/node.js";
import { sizeOf } from "../../../src/graph/record.js";
import { vjp } from "../../../src/graph/differentiate.js";
import { expand } from "../../../src/passes/expand.js";
import { families } from "../../../src/schedule/families.js";
import { schedule } from "../../helpers/schedule.js";
import { random } from "../../helpers/cases.js";
import { isSlow, isThere, nativeWidths, openSubject, type Subject } from "../../helpers/devices.js";
import { runOn } from "../../helpers/graphs.js";
import { planOf, readSpec } from "../../helpers/specs.js";

/** Share of the largest entry. */
const TOLERANCE = 3e-6;

interface Item {
  readonly batch: number;
  readonly queries: number;
  readonly keys: number;
  readonly heads: number;
  readonly depth: number;
  readonly width: number;
  readonly causal: boolean;
  readonly scale?: number;
  /** Of the entries of q and k. */
  readonly magnitude?: number;
  /** The order of the four axes in memory. */
  readonly order?: readonly number[];
}

const ITEMS: readonly Item[] = [
  { batch: 2, queries: 64, keys: 64, heads: 2, depth: 32, width: 32, causal: true },
  { batch: 5, queries: 37, keys: 37, heads: 3, depth: 8, width: 8, causal: true },
  { batch: 1, queries: 37, keys: 37, heads: 1, depth: 5, width: 5, causal: false },
  { batch: 2, queries: 9, keys: 70, heads: 1, depth: 33, width: 1, causal: false, scale: -0.3 },
  { batch: 1, queries: 70, keys: 9, heads: 2, depth: 1, width: 33, causal: true },
  { batch: 1, queries: 1, keys: 1, heads: 1, depth: 3, width: 2, causal: true },
  { batch: 1, queries: 3, keys: 150, heads: 1, depth: 4, width: 4, causal: true },
  { batch: 2, queries: 21, keys: 21, heads: 3, depth: 6, width: 10, causal: true, order: [0, 2, 3, 1] },
  { batch: 2, queries: 12, keys: 12, heads: 2, depth: 4, width: 7, causal: false, order: [3, 1, 2, 0] },
];

function inputOf(b: Builder, values: Map<string, number[]>, next: () => number) {
  return (shape: readonly number[], magnitude = 1, order: readonly number[] = [0, 1, 2, 3]): Node => {
    const name = `x${values.size}`;
    values.set(
      name,
      Array.from({ length: sizeOf(shape) }, () => Math.fround(magnitude * (2 * next() - 1))),
    );
    const stored = b.input(
      name,
      order.map((axis) => shape[axis]!),
      "f32",
    );
    return b.transpose(
      stored,
      shape.map((_, axis) => order.indexOf(axis)),
    );
  };
}

/** The result and the cotangents of the operands. */
function build(
  b: Builder,
  input: ReturnType<typeof inputOf>,
  { batch, queries, keys, heads, depth, width, causal, scale = 1 / Math.sqrt(depth), magnitude = 1, order }: Item,
): Record<string, Node> {
  const q = input([batch, queries, heads, depth], magnitude, order);
  const k = input([batch, keys, heads, depth], magnitude, order);
  const v = input([batch, keys, heads, width], 1, order);
  const o = b.attention(q, k, v, { scale, causal });
  const [dq, dk, dv] = vjp(b, [o], [input([batch, queries, heads, width], 1, order)], [q, k, v]) as [Node, Node, Node];
  return { o, dq, dk, dv };
}

function graphOf(items: readonly Item[]): { graph: Graph; values: Map<string, number[]> } {
  const b = createBuilder();
  const values = new Map<string, number[]>();
  const input = inputOf(b, values, random(5));
  const outputs = new Map(
    items.flatMap((item, i) =>
      Object.entries(build(b, input, item)).map(([name, node]) => [`${name} of ${i}`, node] as const),
    ),
  );
  return { graph: { name: "attention", outputs, updates: new Map() }, values };
}

function faults(
  found: ReadonlyMap<string, ArrayLike<number>>,
  wanted: ReadonlyMap<string, ArrayLike<number>>,
): string[] {
  return [...wanted].flatMap(([name, want]) => {
    const got = found.get(name)!;
    const scale = Math.max(1e-3, ...Array.from(want, Math.abs));
    const off = Math.max(
      ...Array.from(want, (value, i) =>
        Number.isNaN(got[i]!) ? Number.POSITIVE_INFINITY : Math.abs(got[i]! - value) / scale,
      ),
    );
    return off <= TOLERANCE ? [] : [`${name}: off by ${off.toExponential(1)}`];
  });
}

const { graph, values } = graphOf(ITEMS);
const wanted = evaluate(
  expand(graph, () => true),
  values,
).outputs;

/** Members of both families side by side; the smallest blocks besides, which have most edges. */
const cpu: readonly [Record<string, Choice>, ...Record<string, Choice>[]] = [
  {},
  { attention: { queries: 4, keys: 4 }, attention_vjp: { queries: 4, keys: 4, split: 0 } },
  { attention: { queries: 8, keys: 12 }, attention_vjp: { queries: 12, keys: 8, split: 1 } },
  ...families.cpu["attention_vjp"]!.map((member, i) => ({
    attention: families.cpu["attention"]![i % families.cpu["attention"]!.length]!,
    attention_vjp: member,
  })),
];
const gpu: readonly [Record<string, Choice>, ...Record<string, Choice>[]] = [
  {},
  ...families.gpu["attention"]!.map((member) => ({ attention: member, attention_vjp: member })),
];

describe.each<readonly [Subject, number, typeof cpu]>([
  ["javascript", 1, cpu],
  ["wasm", 2, cpu],
  ["wasm, 8 lanes", 2, cpu],
  ...nativeWidths.map((width) => [width, 2, cpu] as const),
  ["webgpu", 1, gpu],
])("on %s", (name, threads, [usual, ...members]) => {
  const isRight = async (choice: Record<string, Choice>): Promise<void> => {
    const device = await openSubject(name, { threads });
    expect(faults(await runOn(device, graph, values, choice), wanted)).toEqual([]);
    await device.close();
  };
  it.each(members)("%j", { tags: "slow" }, isRight);
  it("{}", { tags: name === "webgpu" || isSlow(name) ? "slow" : [] }, () => isRight(usual));

  it("scores of thousands neither overflow nor divide by zero", { tags: isSlow(name) ? "slow" : [] }, async () => {
    const large = graphOf([
      { batch: 1, queries: 19, keys: 19, heads: 2, depth: 4, width: 4, causal: true, scale: 1, magnitude: 60 },
      { batch: 1, queries: 7, keys: 30, heads: 1, depth: 4, width: 4, causal: false, scale: -1, magnitude: 60 },
    ]);
    const device = await openSubject(name, { threads });
    const found = await runOn(
      device,
      large.graph,
      large.values,
      name === "webgpu" ? {} : { attention: { queries: 8, keys: 8 }, attention_vjp: { queries: 8, keys: 8, split: 0 } },
    );
    const exact = evaluate(large.graph, large.values).outputs;
    for (const [key, want] of exact) {
      const got = found.get(key)!;
      // A score of 10^4 is known to 10^-3 in f32, and so is the logarithm of a weight.
      const scale = Math.max(1e-3, ...Array.from(want, Math.abs));
      want.forEach((value: number, i: number) =>
        expect(Math.abs(got[i]! - value) / scale, `${key}[${i}]`).toBeLessThan(5e-3),
      );
    }
    await device.close();
  });
});

// An emulated GPU takes seconds to compile what all sizes take: here it has one that leaves tails.
it.each(gpu.slice(1, 2))("of one size on webgpu %j", async (choice) => {
  const small = graphOf(ITEMS.slice(2, 3));
  const device = await openDevice("webgpu", { threads: 1 });
  const exact = evaluate(small.graph, small.values).outputs;
  expect(faults(await runOn(device, small.graph, small.values, choice), exact)).toEqual([]);
  await device.close();
});

it(
  "heads of which four rows would not fit a workgroup's memory go the unfused way, and those of which few fit " +
    "have short tiles",
  { tags: "slow" },
  async () => {
    const wide = graphOf([
      { batch: 1, queries: 3, keys: 5, heads: 1, depth: 130, width: 900, causal: true },
      { batch: 1, queries: 9, keys: 37, heads: 1, depth: 60, width: 80, causal: true },
    ]);
    const device = await openDevice("webgpu", { threads: 1 });
    expect(
      faults(
        await runOn(device, wide.graph, wide.values, {
          attention: { shared: 1, tile: 32 },
          attention_vjp: { shared: 1, tile: 32 },
        }),
        evaluate(wide.graph, wide.values).outputs,
      ),
    ).toEqual([]);
    await device.close();
  },
);

const SPLITS = [
  ["native", 1],
  ["wasm", 0],
  ["wasm", 1],
] as const;
it.each(SPLITS.filter(([name]) => isThere(name)))(
  "the same bits on %s whatever the number of threads (split %i)",
  async (name, split) => {
    const results: Float32Array[][] = [];
    for (const threads of [1, 2, 3]) {
      const device = await openDevice(name, { threads });
      results.push([
        ...(
          await runOn(device, graph, values, {
            attention: { queries: 8, keys: 16 },
            attention_vjp: { queries: 16, keys: 8, split },
          })
        ).values(),
      ] as Float32Array[]);
      await device.close();
    }
    expect(results[1]).toEqual(results[0]);
    expect(results[2]).toEqual(results[0]);
  },
);

describe("a plan", () => {
  it.each(["native", "wasm", "webgpu"] as const)(
    "runs one kernel forward and one backward, and stores no logs that nothing reads, on %s",
    (name) => {
      const { profile } = printers[name];
      const both = schedule([graphOf([ITEMS[0]!]).graph], profile, new Map(), 0);
      expect(both.infos.map((info) => info.name.replace(/_\d+$/, ""))).toEqual(["attention", "attention_vjp"]);
      expect(both.infos[0]!.buffers.filter(({ access }) => access !== "read").length).toBe(2);
      if (name === "webgpu") {
        // Of a size that is not batched.
        const apart = schedule(
          [graphOf([{ ...ITEMS[0]!, batch: 16 }]).graph],
          { ...profile, choices: { attention_vjp: { shared: 0 } } },
          new Map(),
          0,
        );
        expect(
          apart.infos.map((info) => [
            info.name.replace(/_\d+$/, ""),
            info.buffers.filter(({ access }) => access !== "read").length,
          ]),
        ).toEqual([
          ["attention", 2],
          ["attention_vjp", 1],
          ["attention_vjp", 2],
        ]);
      }
      const b = createBuilder();
      const { o } = build(b, inputOf(b, new Map(), random(1)), ITEMS[0]!) as { o: Node };
      const forward = schedule(
        [{ name: "forward", outputs: new Map([["o", o]]), updates: new Map() }],
        profile,
        new Map(),
        0,
      );
      expect(forward.infos[0]!.buffers.filter(({ access }) => access !== "read").length).toBe(1);
    },
  );

  it.each(["native", "wasm", "webgpu"] as const)(
    "of a training step takes memory linear in the context, on %s",
    async (name) => {
      const facts = { corpus: { vocabulary: ["a", "b", "c"] } };
      const words = async (context: number): Promise<number> => {
        const plan = await planOf(readSpec("nanogpt"), [name], {
          facts,
          set: { context: `${context}`, "train.batch": "1", layers: "2", width: "32" },
        });
        return plan.devices[name]!.pools.work;
      };
      const [small, middle, large] = [await words(512), await words(1024), await words(2048)] as const;
      expect((large - middle) / (middle - small)).toBeLessThan(2.02);
      // Less than the matrix of one head.
      expect(large).toBeLessThan(2048 * 2048);
    },
  );
});
