/**
 * Recompute in whole plans: at 48 connections and at 48 layers the streams take what the paper's formula says, to a
 * tenth; ten steps give the same losses; and a bound on memory chooses the fastest plan within it.
 */
import { describe, expect, it } from "vitest";
import { loadTarget } from "../../codegen/registry.js";
import { textSource } from "../../runtime/data.js";
import type { DeviceName } from "../../runtime/device.js";
import { load } from "../../runtime/index.js";
import type { Plan } from "../../runtime/plan.js";
import { fit } from "../../src/compile/fit.js";
import { compile } from "../../src/compile/compile.js";
import { render } from "../../src/diagnostics/render.js";
import { lanesOf } from "../../src/graph/streams.js";
import { sizeOf } from "../../src/graph/record.js";
import { footprint, paperLength } from "../../src/passes/recompute.js";
import { layOutInOrder } from "../../src/schedule/memory/lifetimes.js";
import type { Scheduled } from "../../src/schedule/plan.js";
import { schedule } from "../helpers/schedule.js";
import type { RecomputeSettings } from "../../src/model/typed.js";
import type { Entries } from "../../src/step/entries.js";
import type { Graph } from "../../src/graph/node.js";
import { facts, text } from "../helpers/small.js";
import { entriesOf, planOf, readSpec } from "../helpers/specs.js";

const narrow = { width: "24", heads: "3", context: "13", "train.batch": "3" };

/** Plans the step alone. */
async function planner(
  entries: Entries,
  target: "wasm" | "wgsl",
): Promise<(graphs: readonly Graph[]) => readonly Scheduled[]> {
  const { profile } = await loadTarget(target);
  const leaves = [...entries.lowered.parameters, ...entries.states];
  const { offsets, words } = layOutInOrder(leaves.map(({ shape }) => sizeOf(shape)));
  const layout = new Map(leaves.map(({ name }, i) => [name, offsets[i]!]));
  return (graphs) => [
    schedule(
      graphs.filter(({ name }) => name === "train"),
      profile,
      layout,
      words,
    ),
  ];
}

describe("the memory of the streams", () => {
  const SAYS = "is what the paper says with %i layers of two connections on %s";
  const isThat = async (layers: number, target: "wasm" | "wgsl"): Promise<void> => {
    const entries = entriesOf(readSpec("moby-dick"), { set: { ...narrow, layers: `${layers}` }, facts });
    const chain = entries.forwards.get("train")!.chains[0]!;
    const plan = await planner(entries, target);
    const streams = (recompute: RecomputeSettings): number => {
      const made = fit(entries, { recompute, memory: null }, null, plan);
      if (!("scheduled" in made)) throw new Error(made.message);
      return made.scheduled[0]!.peaks["train"]!.streams;
    };
    // One tensor of C values a token is what a block reads; in bytes.
    const unit = 4 * sizeOf(chain[0]!.blocks[0]!.inputs[0]!.shape);
    const formula = unit * footprint(lanesOf(chain), chain.length, paperLength(chain));
    const auto = streams({ kind: "auto" });
    expect(Math.abs(auto / formula - 1)).toBeLessThan(0.1);
    // Without recompute every connection keeps its (n + 2) C.
    expect(streams({ kind: "off" })).toBeGreaterThan(unit * (lanesOf(chain) + 2) * chain.length);
  };
  it.each([
    [24, "wasm"],
    [24, "wgsl"],
    [48, "wasm"],
  ] as const)(SAYS, { tags: "slow" }, isThat);
});

it("without lanes, recompute leaves less than half of the streams' memory at 24 connections", async () => {
  const entries = entriesOf(readSpec("nanogpt"), { set: { ...narrow, layers: "12" }, facts });
  const plan = await planner(entries, "wasm");
  const [off, auto] = (["off", "auto"] as const).map((kind) =>
    fit(entries, { recompute: { kind }, memory: null }, null, plan),
  );
  if (!("scheduled" in off!) || !("scheduled" in auto!)) throw new Error("a plan without a bound always fits");
  // A clone that joined a kernel of the forward pass would be kept from there on, and nothing would be saved.
  expect(auto.scheduled[0]!.peaks["train"]!.streams).toBeLessThan(0.5 * off.scheduled[0]!.peaks["train"]!.streams);
});

async function tenSteps(plan: Plan, device: DeviceName): Promise<readonly number[]> {
  const source = textSource(plan.data[0] as Parameters<typeof textSource>[0], text);
  const model = await load(plan, { device, threads: 2 });
  const losses: number[] = [];
  for await (const { loss } of model.train(source, { steps: 10 })) losses.push(loss);
  await model.close();
  return losses;
}

const work = (plan: Plan, device: DeviceName): number => plan.devices[device]!.pools.work;

const alike = (name: string, device: DeviceName, ways: readonly string[]): void => {
  it.each(ways)(
    "have the same losses with recompute = %s",
    async (recompute) => {
      const planned = (set: Readonly<Record<string, string>>): Promise<Plan> =>
        planOf(readSpec(name), [device], { set: { ...narrow, layers: "3", ...set }, facts });
      const plain = await planned({});
      const made = await planned({ "train.recompute": recompute });
      expect(work(made, device)).toBeLessThan(work(plain, device));
      const expected = await tenSteps(plain, device);
      const found = await tenSteps(made, device);
      expect(expected[9]).toBeLessThan(expected[0]!);
      found.forEach((loss, step) => expect(Math.abs(loss - expected[step]!), `step ${step}`).toBeLessThan(1e-5));
    },
    60_000,
  );
};
const TEN = "ten steps of %s on %s";
describe.each([
  ["moby-dick", "wasm", ["auto"]],
  ["nanogpt", "wasm", ["auto", "every 1", "every 3"]],
] as const)(TEN, alike);
describe.each([
  ["moby-dick", "wasm", ["every 1", "every 3"]],
  ["moby-dick", "javascript", ["auto", "every 1", "every 3"]],
] as const)(TEN, { tags: "slow" }, alike);

it("ten steps at 48 layers have the same losses to 1e-5", { tags: "slow" }, async () => {
  const set = { ...narrow, layers: "48", width: "12", context: "7", "train.batch": "2" };
  const expected = await tenSteps(await planOf(readSpec("moby-dick"), ["wasm"], { set, facts }), "wasm");
  const found = await tenSteps(
    await planOf(readSpec("moby-dick"), ["wasm"], { set: { ...set, "train.recompute": "auto" }, facts }),
    "wasm",
  );
  found.forEach((loss, step) => expect(Math.abs(loss - expected[step]!), `step ${step}`).toBeLessThan(1e-5));
});

it("a step with recompute gives the same losses on webgpu", { tags: "slow" }, async () => {
  const set = { ...narrow, layers: "2", width: "12", context: "5" };
  const expected = await tenSteps(await planOf(readSpec("moby-dick"), ["javascript"], { set, facts }), "javascript");
  const found = await tenSteps(
    await planOf(readSpec("moby-dick"), ["webgpu"], { set: { ...set, "train.recompute": "every 1" }, facts }),
    "webgpu",
  );
  // Devices round differently, and Adam makes noise of the zero gradient of a first mix: as in steps.test.ts.
  found.forEach((loss, step) =>
    expect(Math.abs(loss - expected[step]!) / expected[step]!, `step ${step}`).toBeLessThan(1e-3),
  );
});

describe("memory <= X", () => {
  const page = (memory: string): Promise<Awaited<ReturnType<typeof compile>>> =>
    compile(readSpec("moby-dick"), {
      file: "m.mhc",
      devices: ["javascript"],
      facts,
      set: { ...narrow, layers: "4", "train.memory": memory },
    });
  const chosen = async (memory: string): Promise<string> =>
    /recompute: (.*)/.exec((await page(memory)).stages!.plan())![1]!;
  const bytes = (plan: Plan): number =>
    4 * Object.values(plan.devices["javascript"]!.pools).reduce((sum, words) => sum + words);

  it("takes no recompute when all fits, and the fewest segments that fit when not", { tags: "slow" }, async () => {
    const free = bytes((await page("1 GiB")).plan!);
    expect(await chosen("1 GiB")).toBe("off");
    expect(await chosen(`${free / 1000} kB`)).toBe("off");
    const tight = (await page(`${(free - 4) / 1000} kB`)).plan!;
    expect(bytes(tight)).toBeLessThan(free);
    expect(await chosen(`${(free - 4) / 1000} kB`)).toBe("every 4 of 8 connections");
    const tighter = `${(bytes(tight) - 4) / 1000} kB`;
    expect(bytes((await page(tighter)).plan!)).toBeLessThan(bytes(tight));
  });

  const wrong = (clauses: string): string => `model M {
  dim context = 8, width = 8
  data corpus = characters("data/*.txt", window = context)
  stream x[context, width] = embed(corpus.token)
  x through mlp(hidden = 16)
  x through mlp(hidden = 16) as second
  loss = cross_entropy(unembed(x), corpus.next)
  train {
    batch = 4, steps = 100, optimizer = adamw(rate = 1e-3)
    ${clauses}
  }
}`;

  it.each([
    [
      "memory <= 30 KiB",
      [
        "error MHC504: the plan takes at least _ KiB (recompute: every 1 of 2 connections), and _ KiB are " +
          "allowed: _ KiB are parameters and the optimizer's state, _ KiB are what a step computes",
        "  --> m.mhc:10:5",
        "10 |     memory <= _ KiB",
        "   |     ^^^^^^^^^^^^^^^^",
        "fix: a smaller batch, context or width needs less",
      ],
    ],
    [
      "recompute = off, memory <= 10 KiB",
      [
        "error MHC504: the plan takes _ KiB (recompute: off), and _ KiB are allowed: _ KiB are parameters and " +
          "the optimizer's state, _ KiB are what a step computes",
        "  --> m.mhc:10:22",
        "10 |     recompute = off, memory <= _ KiB",
        "   |                      ^^^^^^^^^^^^^^^^",
        "fix: `memory` chooses the segments itself when `recompute` is `auto` or left out",
      ],
    ],
  ])("is an error where it cannot be met: %s", async (clauses, expected) => {
    const { plan, diagnostics, sources } = await compile(wrong(clauses), {
      file: "m.mhc",
      devices: ["javascript"],
      facts,
    });
    expect(plan).toBeNull();
    // What a plan takes changes with its kernels; the words do not.
    expect(
      diagnostics
        .map((one) => render(one, sources))
        .join("\n")
        .replace(/[\d.]+ KiB/g, "_ KiB")
        .split("\n"),
    ).toEqual(expected);
  });

  it("says what the least is when nothing fits", { tags: "slow" }, async () => {
    const { plan, diagnostics } = await page("100 KiB");
    expect(plan).toBeNull();
    expect(diagnostics.map(({ code }) => code)).toEqual(["MHC504"]);
    const least = /takes at least ([\d.]+ \w+) \(recompute: every \d of 8 connections\), and 100 KiB are allowed/.exec(
      diagnostics[0]!.message,
    )![1]!;
    // The size that it prints is enough.
    expect((await page(least)).diagnostics).toEqual([]);
  });
});
