/**
 * A model in use: training that can be stopped and gone on with, evaluation, text, checkpoints, and what is refused.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { decode, encode } from "../../runtime/checkpoint.js";
import { textSource } from "../../runtime/data.js";
import { DataError, DeviceError, NumericError } from "../../runtime/errors.js";
import { initialValues } from "../../runtime/initialize.js";
import { load, type Model, type StepMetrics } from "../../runtime/index.js";
import type { Plan } from "../../runtime/plan.js";
import { loaded, planOf, readSpec } from "../helpers/specs.js";

const text = "the sea was calm, and the whale went down. all hands! ".repeat(12);
const facts = { corpus: { vocabulary: [...new Set(text)].sort() } };
const page = (rate: string): string => `model Small {
  dim context = 6, width = 8, heads = 2, lanes = 2
  data corpus = characters("text", window = context, holdout = 18%)
  manifold Mixing = birkhoff(iterations = 20)
  stream x[lanes, context, width] = copies(embed(corpus.token) + positions())
  x through attention(heads) via mhc(Mixing)
  loss = cross_entropy(unembed(norm(total(x))), corpus.next)
  train { batch = 3, steps = 8, seed = 5, optimizer = adamw(rate = ${rate}) }
}`;

let plan: Plan;
beforeAll(async () => {
  plan = await planOf(page("1e-2"), ["wasm"], { facts });
});
const open = (seed?: number): Promise<Model> => load(plan, { device: "wasm", threads: 1, seed });
const train = async (model: Model, steps?: number): Promise<StepMetrics[]> => {
  const all: StepMetrics[] = [];
  for await (const metrics of model.train(text, { steps })) all.push(metrics);
  return all;
};

describe("training", () => {
  it("counts steps, reports, and stops where the spec says", async () => {
    const model = await open();
    const metrics = await train(model);
    expect(metrics.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(model.step).toBe(8);
    for (const { loss, ms, tokensPerSecond, constraints } of metrics) {
      expect(loss).toBeGreaterThan(0);
      expect(tokensPerSecond * ms).toBeCloseTo(1000 * 18, 3);
      expect(Object.keys(constraints)).toEqual(["Mixing"]);
      expect(constraints["Mixing"]).toBeLessThan(1e-2);
    }
    expect(metrics[0]!.loss).toBeGreaterThan(metrics[7]!.loss);
    // The spec's steps are done; more are made only when asked for.
    expect(await train(model)).toEqual([]);
    expect((await train(model, 2)).map(({ step }) => step)).toEqual([9, 10]);
    await model.close();
  });

  it("goes on from a checkpoint as if it had never stopped", async () => {
    const straight = await open();
    const losses = (await train(straight, 6)).map(({ loss }) => loss);
    const half = await open();
    await train(half, 3);
    const saved = await half.checkpoint();
    const resumed = await open();
    await resumed.load(saved);
    expect(resumed.step).toBe(3);
    expect((await train(resumed, 3)).map(({ loss }) => loss)).toEqual(losses.slice(3));
    expect(await resumed.checkpoint()).toEqual(await straight.checkpoint());
    for (const model of [straight, half, resumed]) await model.close();
  });

  it("depends on the seed", async () => {
    const [a, b] = [await open(1), await open(2)];
    expect((await train(a, 1))[0]!.loss).not.toBe((await train(b, 1))[0]!.loss);
    await a.close();
    await b.close();
  });

  it("ends with the step at which the loss is no number", async () => {
    const model = await open();
    await train(model, 2);
    const table = model.parameters()["embed.table"]!;
    table.set(new Float32Array((await table.get()).length).fill(Number.NaN));
    await expect(train(model, 1)).rejects.toThrow(NumericError);
    await expect(train(model, 1)).rejects.toThrow("step 3");
    await model.close();
  });
});

describe("evaluation", () => {
  it("is the mean over every held-out window, whatever the last batch holds, and changes nothing", async () => {
    const model = await open();
    const before = await model.checkpoint();
    const source = textSource(plan.data[0] as Parameters<typeof textSource>[0], text);
    expect(source.holdoutExamples % 3).not.toBe(0);
    // One window at a time, by a batch of three times the same.
    let total = 0;
    for (const { batch } of source.holdout(1)) {
      const three = Object.fromEntries(
        Object.entries(batch).map(([name, values]) => [name, Uint32Array.from([...values, ...values, ...values])]),
      );
      total += (await model.evaluate(three)).loss;
    }
    expect(await model.holdout(text)).toBeCloseTo(total / source.holdoutExamples, 5);
    expect(await model.checkpoint()).toEqual(before);
    await model.close();
  });

  it("agrees with what training reports, and with its gradient", async () => {
    const model = await open();
    const batch = textSource(plan.data[0] as Parameters<typeof textSource>[0], text).batch(3, model.seed, 0);
    const { loss } = await model.evaluate(batch);
    const { loss: same, gradients } = await model.gradients(batch);
    expect(same).toBeCloseTo(loss, 5);
    expect(Object.keys(gradients).sort()).toEqual(plan.parameters.map(({ name }) => name).sort());
    // Along its gradient the loss changes by its square.
    const step = 1e-2;
    const square = Object.values(gradients).reduce(
      (sum, values) => sum + values.reduce((all, value) => all + value * value, 0),
      0,
    );
    const moved = async (by: number): Promise<number> => {
      const parameters = model.parameters();
      for (const info of plan.parameters) {
        const start = initialValues(info, model.seed);
        await parameters[info.name]!.set(start.map((value, i) => value + by * gradients[info.name]![i]!));
      }
      return (await model.evaluate(batch)).loss;
    };
    const slope = ((await moved(step)) - (await moved(-step))) / (2 * step);
    expect(Math.abs(slope / square - 1)).toBeLessThan(1e-2);
    for (const info of plan.parameters) model.parameters()[info.name]!.set(initialValues(info, model.seed));
    expect((await train(model, 1))[0]!.loss).toBeCloseTo(loss, 5);
    await model.close();
  });

  it("names what is missing, of the wrong size, or not known", async () => {
    const model = await open();
    const token = new Uint32Array(18);
    await expect(model.evaluate({ "corpus.token": token })).rejects.toThrow("`corpus.next` is missing");
    await expect(model.evaluate({ "corpus.token": token, "corpus.next": new Uint32Array(17) })).rejects.toThrow(
      "takes 18",
    );
    await expect(model.evaluate({ "corpus.token": token, "corpus.next": token, more: token })).rejects.toThrow(
      "no input `more`",
    );
    await expect(model.forward({})).rejects.toThrow(DataError);
    await expect(model.vjp({}, {})).rejects.toThrow(DataError);
    await model.close();
  });
});

describe("text", () => {
  it("is drawn reproducibly, from the vocabulary, after the prompt", async () => {
    const model = await open();
    await train(model, 4);
    const draw = (seed: number, temperature = 1): Promise<string> =>
      model.generate("the sea", { tokens: 30, temperature, seed });
    const said = await draw(1);
    expect(said.startsWith("the sea")).toBe(true);
    expect([...said].length).toBe(37);
    expect([...said].every((character) => text.includes(character))).toBe(true);
    expect(await draw(1)).toBe(said);
    expect(await draw(2)).not.toBe(said);
    expect(await draw(1, 0)).toBe(await draw(2, 0));
    expect(await model.generate("the sea", { tokens: 30, temperature: 1, seed: 9, topK: 1 })).toBe(await draw(1, 0));
    // Only the last `context` characters count.
    expect((await model.generate("and the whale", { tokens: 5, temperature: 0 })).slice(-5)).toBe(
      (await model.generate(" whale", { tokens: 5, temperature: 0 })).slice(-5),
    );
    expect([...(await model.generate("", { tokens: 4 }))].length).toBe(4);
    await model.close();
  });

  it("refuses characters that it has never seen, and settings without sense", async () => {
    const model = await open();
    await expect(model.generate("Ünder")).rejects.toThrow('"Ü" (U+00DC)');
    await expect(model.generate("the", { topK: 0 })).rejects.toThrow(DataError);
    await expect(model.generate("the", { temperature: -1 })).rejects.toThrow(DataError);
    await expect(model.generate("the", { temperature: Number.NaN })).rejects.toThrow(DataError);
    await model.close();
  });
});

describe("checkpoints of a model", () => {
  const folder = mkdtempSync(join(tmpdir(), "mhc-model-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("hold the parameters by name and axes, the optimizer's state, step and seed", async () => {
    const model = await open(11);
    await train(model, 2);
    await model.save(join(folder, "a.safetensors"));
    const { tensors, metadata } = decode(await model.checkpoint());
    expect(metadata).toMatchObject({ model: "Small", step: "2", seed: "11" });
    for (const { name, shape } of plan.parameters) expect(tensors.get(name)!.shape).toEqual(shape);
    expect([...tensors.keys()].filter((name) => name.startsWith("state:")).length).toBe(plan.states.length);
    expect(plan.states.length).toBeGreaterThan(0);
    const again = await open();
    await again.load(join(folder, "a.safetensors"));
    expect(again.step).toBe(2);
    expect(await again.parameters()["embed.table"]!.get()).toEqual(await model.parameters()["embed.table"]!.get());
    await model.close();
    await again.close();
  });

  it("of another model change nothing", async () => {
    const model = await open();
    const before = await model.checkpoint();
    const { tensors, metadata } = decode(before);
    const wider = new Map(tensors);
    // The last one is wrong: those before it must not have been written.
    const last = plan.parameters[plan.parameters.length - 1]!.name;
    for (const [name, { shape, data }] of tensors)
      wider.set(name, name === last ? { shape: [...shape, 1], data } : { shape, data: data.map((value) => value + 1) });
    await expect(model.load(encode({ tensors: wider, metadata }))).rejects.toThrow(`\`${last}\` is [`);
    const fewer = new Map(tensors);
    fewer.delete(last);
    await expect(model.load(encode({ tensors: fewer, metadata }))).rejects.toThrow(`the checkpoint has no \`${last}\``);
    await expect(model.load(encode({ tensors, metadata: { ...metadata, step: "many" } }))).rejects.toThrow(
      "step is many",
    );
    await expect(model.load(join(folder, "none.safetensors"))).rejects.toThrow(DataError);
    expect(await model.checkpoint()).toEqual(before);
    await model.close();
  });

  it("that are damaged change nothing, and the file is named", async () => {
    const model = await open();
    await train(model, 2);
    const before = await model.checkpoint();
    const path = join(folder, "damaged.safetensors");
    const other = await open(99);
    const foreign = await other.checkpoint();
    await other.close();
    const damaged = [
      foreign.subarray(0, foreign.length - 4),
      foreign.subarray(0, 100),
      Uint8Array.of(),
      new TextEncoder().encode("not a checkpoint at all"),
    ];
    for (const bytes of damaged) {
      writeFileSync(path, bytes);
      await expect(model.load(bytes)).rejects.toThrow(DataError);
      await expect(model.load(path)).rejects.toThrow(DataError);
      await expect(model.load(path)).rejects.toThrow(path);
      expect(await model.checkpoint()).toEqual(before);
      expect(model.step).toBe(2);
    }
    await model.close();
  });

  it("without optimizer state begin with none", async () => {
    const model = await open();
    await train(model, 2);
    const { tensors } = decode(await model.checkpoint());
    await model.load(
      encode({ tensors: new Map([...tensors].filter(([name]) => !name.startsWith("state:"))), metadata: {} }),
    );
    expect(model.step).toBe(0);
    for (const [name, { data }] of decode(await model.checkpoint()).tensors) {
      if (name.startsWith("state:")) expect(data.every((value) => value === 0)).toBe(true);
      else expect(data).toEqual(tensors.get(name)!.data);
    }
    await model.close();
  });

  it("a state that starts at a value does, and does again where a checkpoint has none", async () => {
    const [first, ...others] = plan.states;
    const model = await load({ ...plan, states: [{ ...first!, start: 3 }, ...others] }, { device: "wasm", threads: 1 });
    const values = async (): Promise<Float32Array> =>
      decode(await model.checkpoint()).tensors.get(`state:${first!.name}`)!.data;
    expect((await values()).every((value) => value === 3)).toBe(true);
    await train(model, 1);
    expect((await values()).some((value) => value !== 3)).toBe(true);
    const { tensors } = decode(await model.checkpoint());
    await model.load(
      encode({ tensors: new Map([...tensors].filter(([name]) => !name.startsWith("state:"))), metadata: {} }),
    );
    expect((await values()).every((value) => value === 3)).toBe(true);
    await model.close();
  });
});

it("a plan is refused on a device that it was not compiled for", async () => {
  await expect(load(plan, { device: "javascript" })).rejects.toThrow(DeviceError);
  await expect(load(plan, { device: "javascript" })).rejects.toThrow("it has wasm");
});

it("a spec without a loss has forward and vjp, and does not train", async () => {
  const model = await loaded(readSpec("sublayer"), "wasm", {
    set: { lanes: "2", width: "3", context: "2" },
    threads: 1,
  });
  const shape = model.plan.inputs["u"]!.shape.reduce((product, n) => product * n, 1);
  const u = Float32Array.from({ length: shape }, (_, i) => Math.sin(i + 1));
  const { y } = await model.forward({ u });
  expect(y!.length).toBe(shape);
  // <cotangent, dy> = <vjp, du>, by a central difference along one direction.
  const along = u.map((_, i) => Math.cos(3 * i));
  const cotangent = u.map((_, i) => Math.cos(i * i));
  const { inputs } = await model.vjp({ u }, { y: cotangent });
  const at = async (h: number): Promise<number> =>
    (await model.forward({ u: u.map((value, i) => value + h * along[i]!) }))["y"]!.reduce(
      (sum, value, i) => sum + value * cotangent[i]!,
      0,
    );
  const slope = ((await at(1e-2)) - (await at(-1e-2))) / 2e-2;
  expect(inputs["u"]!.reduce((sum, value, i) => sum + value * along[i]!, 0)).toBeCloseTo(slope, 2);
  await expect(model.train(text).next()).rejects.toThrow(DataError);
  await expect(model.generate("a")).rejects.toThrow(DataError);
  await model.close();
});
