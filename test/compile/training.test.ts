/**
 * Training through the decision: with a compiler and without, what a run does not depend on, checkpoints before and
 * after, and a compiler that fails.
 */
import { expect, it } from "vitest";
import type { DeviceName } from "../../runtime/device.js";
import { textSource } from "../../runtime/data.js";
import type { Model, StepMetrics, TrainOptions } from "../../runtime/interface.js";
import { load } from "../../runtime/index.js";
import { PINNED, type Plan } from "../../runtime/plan.js";
import type { Recompile } from "../../runtime/choose.js";
import { resized } from "../../runtime/shrink.js";
import { compile } from "../../src/compile/compile.js";
import { decode } from "../../runtime/checkpoint.js";
import { facts, shrinkingPage, text } from "../helpers/shrinking.js";

const page = shrinkingPage({
  cost: "device cpu\n    energy <= 60%\n    shrink heads, mlp.hidden, layers, mlp, lanes within 40%",
  optimizer: "adamw(rate = 3e-3)",
}).replace("steps = 500", "steps = 50");
const pruned = shrinkingPage({
  cost: "device cpu\n    flops <= 90%\n    shrink heads, mlp.hidden within 40% by magnitude",
}).replace("steps = 500", "steps = 50");

const planned = async (
  spec: string,
  shrunk?: Parameters<Recompile>[0],
  devices: readonly DeviceName[] = ["javascript", "wasm"],
): Promise<Plan> => {
  const { plan, diagnostics } = await compile(spec, {
    file: "test.mhc",
    devices,
    facts,
    ...(shrunk ? { shrunk } : {}),
  });
  if (!plan) throw new Error(diagnostics.map(({ message }) => message).join("\n"));
  return plan;
};
const compiler =
  (spec: string): Recompile =>
  (shrunk) =>
    planned(spec, shrunk);
const whole = await planned(page);
const source = textSource(whole.data[0] as Parameters<typeof textSource>[0], text);

async function train(model: Model, options: TrainOptions): Promise<StepMetrics[]> {
  const all: StepMetrics[] = [];
  for await (const step of model.train(source, options)) all.push(step);
  return all;
}

it("goes on with what is left, at the step that the page says, and every run alike", async () => {
  const runs: number[][] = [];
  for (const wait of [0, 300]) {
    const model = await load(whole, { device: "wasm", seed: 4 });
    const recompile: Recompile = async (shrunk) => {
      await new Promise((done) => setTimeout(done, wait));
      return compiler(page)(shrunk);
    };
    const steps = await train(model, { recompile });
    const at = steps.findIndex(({ shrunk }) => shrunk);
    expect(steps[at]).toMatchObject({ step: 20, shrunk: { compiled: true } });
    expect(steps.slice(0, at + 1).every(({ costs }) => costs["energy"]! > 0 && costs["energy"]! <= 1.001)).toBe(true);
    expect(steps.slice(at + 1).every(({ costs, shrunk }) => Object.keys(costs).length === 0 && shrunk === null)).toBe(
      true,
    );
    expect(model.plan.settled).toBe(true);
    expect(model.plan.cost!.share["energy"]).toBeLessThanOrEqual(0.6);
    const { shape } = model.parameters()["embed.table"]!;
    expect(shape).toEqual(whole.parameters.find(({ name }) => name === "embed.table")!.shape);
    expect(model.plan.parameters.length).toBeLessThanOrEqual(whole.parameters.length);
    runs.push(steps.map(({ loss }) => loss));
    await model.close();
  }
  expect(runs[1]).toEqual(runs[0]);
}, 60_000);

it("without a compiler masks what is closed, and stays as it is", async () => {
  const model = await load(whole, { device: "javascript", seed: 4 });
  const steps = await train(model, {});
  const { shrunk } = steps.find((step) => step.shrunk)!;
  expect(shrunk).toMatchObject({ compiled: false, parameters: expect.any(Number) as number });
  expect(shrunk!.share["energy"]).toBeLessThanOrEqual(0.6);
  expect(model.plan.shrinking).toBeUndefined();
  const { tensors } = decode(await model.checkpoint());
  const gates = tensors.get("state:gates")!.data;
  const slots = whole.shrinking!.slots;
  const open = slots.flatMap(({ offset, size }) => Array.from({ length: size }, (_, i) => gates[offset + i]!));
  expect(new Set(open.map(Math.abs))).toEqual(new Set([PINNED]));
  expect(open.filter((gate) => gate < 0).length).toBeGreaterThan(0);
  await model.close();
}, 60_000);

it(
  "a checkpoint from before the decision leads to the same end; one from after is of what is left, and fits " +
    "nothing else",
  { tags: "slow" },
  async () => {
    const straight = await load(whole, { device: "wasm", seed: 4 });
    const expected = await train(straight, { recompile: compiler(page) });
    const first = await load(whole, { device: "wasm", seed: 4 });
    await train(first, { steps: 12, recompile: compiler(page) });
    const early = await first.checkpoint();
    await first.close();
    const resumed = await load(whole, { device: "wasm", seed: 4 });
    await resumed.load(early);
    const rest = await train(resumed, { recompile: compiler(page) });
    expect(rest.map(({ loss }) => loss)).toEqual(expected.slice(12).map(({ loss }) => loss));
    expect(resumed.plan.kept).toEqual(straight.plan.kept);
    const late = await resumed.checkpoint();

    const again = await load(whole, { device: "wasm" });
    await expect(again.load(late)).rejects.toThrow("the checkpoint is of a Small that has shrunk");
    const small = await load(
      await planned(page, { kept: straight.plan.kept!, settled: true, dense: whole.cost!.dense, profile: "cpu" }),
      { device: "wasm" },
    );
    await expect(small.load(early)).rejects.toThrow(
      "the checkpoint is of the whole Small, and this is what is left of one that has shrunk",
    );
    await small.load(late);
    expect(await small.holdout(source)).toBe(await resumed.holdout(source));
    const other = await load(
      await planned(page, {
        kept: { ...straight.plan.kept!, lanes: [0] },
        settled: true,
        dense: whole.cost!.dense,
        profile: "cpu",
      }),
      { device: "javascript" },
    );
    await expect(other.load(late)).rejects.toThrow("that has shrunk otherwise");
    for (const model of [straight, resumed, again, small, other]) await model.close();
  },
);

it(
  "a compiler that fails ends the run with its words, and a model that is pruned by magnitude needs one",
  { tags: "slow" },
  async () => {
    const model = await load(whole, { device: "javascript", seed: 4 });
    await expect(train(model, { recompile: () => Promise.reject(new Error("no room")) })).rejects.toThrow("no room");
    await model.close();
    const byMagnitude = await load(await planned(pruned), { device: "javascript", seed: 4 });
    await expect(train(byMagnitude, {})).rejects.toThrow("is pruned by magnitude, which takes a compiler");
    // The units that are cut are those with the smallest parameters of their kind.
    const before = decode(await byMagnitude.checkpoint()).tensors;
    expect(byMagnitude.plan.states.some(({ name }) => name === "gates")).toBe(false);
    const steps = await train(byMagnitude, { recompile: compiler(pruned) });
    expect(steps.find(({ shrunk }) => shrunk)).toMatchObject({ step: 20, shrunk: { compiled: true } });
    expect(byMagnitude.plan.cost!.share["flops"]).toBeLessThanOrEqual(0.9);
    expect(decode(await byMagnitude.checkpoint()).tensors.get("layers.0.mlp.down")!.shape[0]).toBeLessThanOrEqual(
      before.get("layers.0.mlp.down")!.shape[0]!,
    );
    await byMagnitude.close();
  },
);

it("ranks by magnitude keep the largest units of each kind", async () => {
  const { magnitudes } = await import("../../runtime/shrink.js");
  const { shrinking, parameters } = await planned(pruned, undefined, ["javascript"]);
  const { slots } = shrinking!;
  const { offset } = slots.find(({ name }) => name === "layers.1.mlp.hidden")!;
  const ranks = magnitudes(shrinking!, parameters, (info) => {
    const data = new Float32Array(info.shape.reduce((size, n) => size * n, 1)).fill(1);
    if (info.name === "layers.1.mlp.down") data.fill(3, 2 * info.shape[1]!, 3 * info.shape[1]!);
    return data;
  });
  const own = Array.from(ranks.slice(offset, offset + 20));
  expect(own.indexOf(Math.max(...own))).toBe(2);
  expect(new Set(own.filter((_, i) => i !== 2)).size).toBe(1);
});

it(
  "claims are measured of the layers that are left, and pages with other optimizers and data shrink too",
  { tags: "slow" },
  async () => {
    const claims = page.replace(
      "constrain { mlp.up each hidden on sphere }",
      "constrain {\n    mlp.up each hidden on sphere\n    norm(mlp.down) <= 4 monitored\n    " +
        "product[layers](norm(mlp.down)) <= 9 monitored\n    gain(x) <= 1.6 monitored\n  }",
    );
    for (const optimizer of ["adamw(rate = 3e-3)", "muon(rate = 3e-3)", "radam(rate = 3e-3)"]) {
      const spec = claims
        .replace(/optimizer = .*/, `optimizer = ${optimizer}`)
        .replace("batch = 3", "batch = 3, recompute = every 2, clip = 1.0");
      const model = await load(await planned(spec), { device: "javascript", seed: 4 });
      // Of the layers the first goes, whatever the gates say.
      const without: Recompile = (shrunk) =>
        planned(spec, {
          ...shrunk,
          kept: Object.fromEntries(
            Object.entries({ ...shrunk.kept, "layers.0": [] }).filter(
              ([name]) => name === "layers.0" || !name.startsWith("layers.0."),
            ),
          ),
        });
      const steps = await train(model, { recompile: without, monitor: 25 });
      expect(model.plan.parameters.some(({ name }) => name.startsWith("layers.0."))).toBe(false);
      const { claims: seen } = steps.findLast((step) => step.claims)!;
      expect(seen!.map(({ text: claim }) => claim)).toEqual([
        "norm(mlp.down) <= 4",
        "product[layers](norm(mlp.down)) <= 9",
        "gain(x) <= 1.6",
      ]);
      expect(seen![0]!.value).toBeGreaterThan(0);
      expect(seen![1]!.value).toBeCloseTo(seen![0]!.value, 5);
      expect(Number.isFinite(steps.at(-1)!.loss)).toBe(true);
      await model.close();
    }
  },
);

it("moments are cut as their parameters are, also those of points, which have one for each", async () => {
  const spec = page.replace(/optimizer = .*/, "optimizer = radam(rate = 3e-3)");
  const before = await planned(spec, undefined, ["javascript"]);
  const kept = Object.fromEntries(
    before.shrinking!.slots.map(({ name, kept: units }) => [
      name,
      name === "layers.1.mlp.hidden" ? [2, 5, 11] : name === "lanes" ? [0, 2] : units,
    ]),
  );
  const after = await planned(spec, { kept, settled: true, dense: before.cost!.dense, profile: "cpu" }, ["javascript"]);
  // Every value says where it was.
  const made = await resized(before, after, ({ shape }) =>
    Promise.resolve(Float32Array.from({ length: shape.reduce((size, n) => size * n, 1) }, (_, i) => i)),
  );
  const of = (name: string) => Array.from(made.find(({ info }) => info.name === name)!.data);
  expect(of("v:layers.1.mlp.up")).toEqual([2, 5, 11]);
  expect(of("m:layers.1.mlp.up").slice(0, 6)).toEqual([2, 5, 11, 22, 25, 31]);
  expect(of("m:layers.1.mlp.down").slice(0, 13)).toEqual([...Array.from({ length: 12 }, (_, i) => 24 + i), 60]);
  // Lanes come in pairs where a matrix of them is made.
  expect(of("layers.0.attention.mhc.mix.b")).toEqual([0, 2, 6, 8]);
  for (const { info, data } of made) expect(data.length, info.name).toBe(info.shape.reduce((size, n) => size * n, 1));
}, 30_000);

it("a checkpoint of the page without its cost begins with open gates", async () => {
  const dense = await load(
    await planned(shrinkingPage({ cost: "", optimizer: "adamw(rate = 3e-3)" }).replace("steps = 500", "steps = 50")),
    { device: "javascript", seed: 4 },
  );
  await train(dense, { steps: 3 });
  const model = await load(whole, { device: "javascript", seed: 4 });
  const fresh = decode(await model.checkpoint()).tensors;
  await train(model, { steps: 2 });
  await model.load(await dense.checkpoint());
  const { tensors } = decode(await model.checkpoint());
  for (const name of ["state:gates", "state:gates:unit", "state:multiplier:energy"])
    expect(tensors.get(name)!.data, name).toEqual(fresh.get(name)!.data);
  for await (const { costs } of model.train(source, { steps: 1 })) expect(costs["energy"]).toBeCloseTo(1, 1);
  await dense.close();
  await model.close();
}, 30_000);

it("a layer that is gone takes its definitions with it", async () => {
  const spec = page
    .replace(
      "    x through attention",
      "    a[context, width] = mlp(hidden = 20)(total(x)) as aside\n    x through attention",
    )
    .replace("heads, mlp.hidden, layers, mlp, lanes", "aside.hidden, layers");
  const { shrinking, cost, parameters } = await planned(spec, undefined, ["javascript"]);
  expect(parameters.some(({ name }) => name === "layers.0.aside.up")).toBe(true);
  const kept = Object.fromEntries(
    shrinking!.slots
      .filter(({ name }) => !name.startsWith("layers.0."))
      .map(({ name, kept: units }) => [name, name === "layers.0" ? [] : units]),
  );
  const small = await planned(spec, { kept, settled: true, dense: cost!.dense, profile: "cpu" }, ["javascript"]);
  expect(small.parameters.some(({ name }) => name.startsWith("layers.0."))).toBe(false);
  expect(small.parameters.some(({ name }) => name === "layers.1.aside.up")).toBe(true);
}, 30_000);
