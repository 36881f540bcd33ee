/**
 * Calls on one model at the same time, on every device: thirty steps beside any other call are the thirty steps alone,
 * bit for bit; any two calls give what each gives alone; an iterator that is left holds nothing up; a signal ends what
 * it should, and what comes after `close` is refused.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { textSource, type Batch, type Source } from "../../runtime/data.js";
import type { Device } from "../../runtime/device.js";
import { DeviceError } from "../../runtime/errors.js";
import type { Host } from "../../runtime/host.js";
import { load, openDevice } from "../../runtime/index.js";
import type { Model, StepMetrics, TrainOptions } from "../../runtime/interface.js";
import { nodeHost } from "../../runtime/node/host.js";
import { openOn } from "../../runtime/open.js";
import type { Plan } from "../../runtime/plan.js";
import { everyDevice, isThere } from "../helpers/devices.js";
import { planOf } from "../helpers/specs.js";

const text = "the sea was calm, and the whale went down. all hands! ".repeat(4);
const page = `model Small {
  dim context = 4, width = 8
  data corpus = characters("text", window = context, holdout = 18%)
  x[context, width] = embed(corpus.token) + positions()
  loss = cross_entropy(unembed(norm(x)), corpus.next)
  output y[context, width] = x
  train { batch = 2, steps = 30, seed = 5, optimizer = adamw(rate = 1e-2) }
}`;
const line = "model Line {\n  dim n = 3\n  input u[n]\n  param w[n] ~ normal(1)\n  output y[n] = u[n] * w[n]\n}\n";
const STEPS = 30;

let plan: Plan;
let linePlan: Plan;
let source: Source;
let batch: Batch;
beforeAll(async () => {
  plan = await planOf(page, everyDevice, { facts: { corpus: { vocabulary: [...new Set(text)].sort() } } });
  linePlan = await planOf(line, everyDevice);
  source = textSource(plan.data[0] as Parameters<typeof textSource>[0], text);
  batch = source.batch(2, 99, 7);
});
const folder = mkdtempSync(join(tmpdir(), "mhc-calls-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Everything that can be asked of a model and changes nothing of it. */
const calls = {
  generate: (model: Model) => model.generate("the sea", { tokens: 3, temperature: 1, seed: 2 }),
  holdout: (model: Model) => model.holdout(source),
  evaluate: (model: Model) => model.evaluate(batch),
  gradients: (model: Model) => model.gradients(batch),
  forward: (model: Model) => model.forward({ "corpus.token": batch["corpus.token"]! }),
  checkpoint: (model: Model) => model.checkpoint(),
  get: (model: Model) => model.parameters()["embed.table"]!.get(),
  async save(model: Model) {
    const path = join(folder, `${Math.random()}.safetensors`);
    await model.save(path);
    return new Uint8Array(readFileSync(path));
  },
} satisfies Record<string, (model: Model) => Promise<unknown>>;
const names = Object.keys(calls) as (keyof typeof calls)[];

/** Node, where less is allowed. */
const on = (less: Partial<Host>) => (): Promise<Device> => openOn({ ...nodeHost, ...less }, "wasm");
const unshared = (): string => "threads may not share memory in this test";

const devices: readonly (readonly [string, () => Promise<Device>])[] = [
  ["javascript", () => openDevice("javascript")],
  ["wasm without shared memory", on({ unshared })],
  ["wasm without workers", on({ workers: () => [] })],
  ["wasm with one worker", () => openDevice("wasm", { threads: 1 })],
  ["wasm with two workers", () => openDevice("wasm", { threads: 2 })],
  ["native with one thread", () => openDevice("native", { threads: 1 })],
  ["native with three threads", () => openDevice("native", { threads: 3 })],
  ["webgpu", () => openDevice("webgpu")],
];

const losses = async (steps: AsyncIterable<StepMetrics>): Promise<number[]> => {
  const all: number[] = [];
  for await (const { loss } of steps) all.push(loss);
  return all;
};

describe.each(devices.filter(([name]) => isThere(name)))("on %s", (_, open) => {
  let device: Device;
  let model: Model;
  let start: Uint8Array;
  let alone: { readonly losses: readonly number[]; readonly end: Uint8Array };
  beforeAll(async () => {
    device = await open();
    model = await load(plan, { device });
    start = await model.checkpoint();
    alone = { losses: await losses(model.train(source)), end: await model.checkpoint() };
  });
  afterAll(async () => {
    await model.close();
    await device.close();
  });
  beforeEach(() => model.load(start));

  /** Trains, and makes a call while each step is under way, and one between two. */
  const beside = async (call: (step: number) => unknown, options?: TrainOptions): Promise<number[]> => {
    const training = model.train(source, options);
    const all: number[] = [];
    for (;;) {
      const next = training.next();
      call(all.length + 1);
      const { done, value } = await next;
      if (done) return all;
      all.push(value.loss);
    }
  };

  it.each(names)("thirty steps beside %s are the thirty steps alone", async (name) => {
    const others: Promise<unknown>[] = [calls[name](model)];
    expect(await beside(() => others.push(calls[name](model)))).toEqual(alone.losses);
    await Promise.all(others);
    expect(await model.checkpoint()).toEqual(alone.end);
  });

  it("thirty steps beside all of them, several at a time, are the thirty steps alone", async () => {
    const others: Promise<unknown>[] = [];
    expect(
      await beside((step) => {
        for (let i = 0; i < 3; i++) others.push(calls[names[(step + i) % names.length]!](model));
      }),
    ).toEqual(alone.losses);
    await Promise.all(others);
    expect(await model.checkpoint()).toEqual(alone.end);
  });

  it("thirty steps by two iterators, and by some that are left half-way, are the thirty steps alone", async () => {
    const all: number[] = [];
    const part = async (steps?: number): Promise<void> => {
      for await (const { step, loss } of model.train(source, { steps })) all[step - 1] = loss;
    };
    for await (const { step, loss } of model.train(source)) {
      all[step - 1] = loss;
      break;
    }
    await expect(
      (async () => {
        for await (const { step, loss } of model.train(source)) {
          all[step - 1] = loss;
          throw new Error("out of the loop");
        }
      })(),
    ).rejects.toThrow("out of the loop");
    const forgotten = model.train(source);
    const { value } = await forgotten.next();
    all[value!.step - 1] = value!.loss;
    const given = model.train(source);
    void given.next().then(({ value: first }) => (all[first!.step - 1] = first!.loss));
    void given.return?.();
    await Promise.all([part(10), part(), part(5)]);
    expect(all).toEqual(alone.losses);
    expect(model.step).toBe(STEPS);
    expect(await model.checkpoint()).toEqual(alone.end);
  });

  it("any two calls give what each gives alone", async () => {
    for await (const { step } of model.train(source)) if (step === 3) break;
    const expected = new Map<string, unknown>();
    for (const name of names) expected.set(name, await calls[name](model));
    for (const [i, first] of names.entries()) {
      for (const second of names.slice(i)) {
        const [one, other] = await Promise.all([calls[first](model), calls[second](model)]);
        expect(one, `${first} beside ${second}`).toEqual(expected.get(first));
        expect(other, `${second} beside ${first}`).toEqual(expected.get(second));
      }
    }
  });

  it("load and set come between two steps, in the order of the calls", async () => {
    const begun: Promise<unknown>[] = [];
    // While step 4 runs the start is put back: steps 1 to 4, then 1 to 6.
    const again = await beside((step) => step === 4 && begun.push(model.load(start)), { steps: 10 });
    expect(again).toEqual([...alone.losses.slice(0, 4), ...alone.losses.slice(0, 6)]);

    await model.load(start);
    const table = model.parameters()["embed.table"]!;
    const values = Float32Array.from({ length: (await table.get()).length }, (_, i) => Math.sin(i));
    const between: number[] = [];
    for await (const { step, loss } of model.train(source, { steps: 8 })) {
      between.push(loss);
      if (step === 4) await table.set(values);
    }
    await model.load(start);
    const mine = values.slice();
    const set = await beside(
      (step) => {
        if (step !== 4) return;
        begun.push(table.set(mine));
        // What the caller does to his array afterwards is his own business.
        mine.fill(7);
      },
      { steps: 8 },
    );
    expect(set).toEqual(between);
    await Promise.all(begun);
  });

  it("a generation beside steps is that of one model, at its turn", async () => {
    const alongside: Promise<string>[] = [];
    const generate = (): Promise<string> => model.generate("the ", { tokens: 5, temperature: 0 });
    await beside((step) => step <= 3 && alongside.push(generate()), { steps: 4 });
    await model.load(start);
    const between: string[] = [];
    for await (const _ of model.train(source, { steps: 3 })) between.push(await generate());
    expect(await Promise.all(alongside)).toEqual(between);
  });

  it("inputs and cotangents of calls at the same time are not mixed", async () => {
    const small = await load(linePlan, { device });
    const w = await small.parameters()["w"]!.get();
    const u = Float32Array.of(1, 2, 3);
    const results = await Promise.all(
      Array.from({ length: 12 }, async (_, i) => {
        const own = u.map((value) => value + i);
        const asked = i % 2 ? small.forward({ u: own }) : small.vjp({ u: own }, { y: own });
        own.fill(0);
        return asked;
      }),
    );
    for (const [i, result] of results.entries()) {
      const moved = u.map((value) => value + i);
      if (i % 2) expect(result).toEqual({ y: moved.map((value, j) => value * w[j]!) });
      else expect(result).toMatchObject({ parameters: { w: moved.map((value) => value * value) } });
    }
    await small.close();
  });

  it("a signal ends train after the step under way, and holdout and generate at once", async () => {
    const reason = new Error("enough");
    const controller = new AbortController();
    const { signal } = controller;
    const seen: number[] = [];
    const trained = (async () => {
      for await (const { step } of model.train(source, { signal })) {
        seen.push(step);
        if (step === 3) setTimeout(() => controller.abort(reason), 0);
        if (step >= 3) await new Promise((done) => setTimeout(done, 5));
      }
    })();
    await expect(trained).rejects.toBe(reason);
    expect(seen).toEqual(Array.from({ length: model.step }, (_, i) => i + 1));
    expect(model.step).toBeLessThan(STEPS);
    await expect(model.train(source, { signal }).next()).rejects.toBe(reason);

    const holdout = (own: AbortSignal): Promise<unknown> => model.holdout(source, { signal: own });
    const generate = (own: AbortSignal): Promise<unknown> => model.generate("the ", { tokens: 1e6, signal: own });
    for (const call of [holdout, generate]) {
      await expect(call(signal)).rejects.toBe(reason);
      const later = new AbortController();
      // One that runs, and one that waits behind it.
      const [runs, waits] = [call(later.signal), call(later.signal)];
      later.abort(reason);
      await expect(waits).rejects.toBe(reason);
      await expect(runs).rejects.toBe(reason);
    }
    // A signal that is no longer needed changes nothing, and the model goes on.
    expect(await losses(model.train(source))).toHaveLength(STEPS - seen.length);
    expect(await model.checkpoint()).toEqual(alone.end);
  });

  it("close waits for the calls before it, and refuses those after it", async () => {
    const other = await load(plan, { device });
    const training = other.train(source);
    await training.next();
    const step = training.next();
    const text = other.generate("the ", { tokens: 4 });
    const table = other.parameters()["embed.table"]!;
    const closed = other.close();
    const late = Promise.allSettled([
      training.next(),
      other.evaluate(batch),
      other.holdout(source),
      other.generate("t"),
      other.checkpoint(),
      other.load(start),
      table.get(),
    ]);
    expect((await step).value).toMatchObject({ step: 2 });
    expect(await text).toHaveLength(8);
    await closed;
    const refusal = { status: "rejected", reason: new DeviceError("Small is closed", "load it again") };
    expect(await late).toEqual(Array.from({ length: 7 }, () => refusal));
    expect(() => table.set(new Float32Array(8))).toThrow("Small is closed");
    await other.close();
  });
});
