/**
 * Numbers that are not finite: that they end the run at the step that meets them, with what came first by name, on
 * every device, and that what is saved is good.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { textSource, type Batch, type Source } from "../../runtime/data.js";
import type { DeviceName } from "../../runtime/device.js";
import { NumericError } from "../../runtime/errors.js";
import { countNotFinite } from "../../runtime/finite.js";
import type { Model } from "../../runtime/model.js";
import { everyDevice } from "../helpers/devices.js";
import { loaded } from "../helpers/specs.js";
import { pattern } from "../helpers/pattern.js";

const text = "the sea was calm, and the whale went down. all hands! ".repeat(12);
const facts = { corpus: { vocabulary: [...new Set(text)].sort() } };
const words = (optimizer: string, more = ""): string => `model Small {
  dim context = 5, width = 8
  data corpus = characters("text", window = context, holdout = 18%)
  x[context, width] = embed(corpus.token) + positions()
  loss = cross_entropy(unembed(norm(x)), corpus.next)
  train { batch = 3, steps = 8, seed = 5, optimizer = ${optimizer}${more} }
}`;
const numbers = (more = ""): string => `model Numbers {
  dim i = 6, o = 4, c = 3
  data images = examples("none", features = i, classes = c)
  param first[i, o] ~ normal(0.5)
  param second[o, c] ~ normal(0.5)
  y[o] = images.value[i] * first[i, o]
  z[c] = y[o] * second[o, c]
  loss = cross_entropy(z, images.label)
  train { batch = 2, steps = 8, seed = 5, optimizer = sgd(rate = 0.1)${more} }
}`;

const open: Model[] = [];
afterEach(async () => {
  for (const model of open.splice(0)) await model.close();
});
const modelOf = async (page: string, device: DeviceName, own: object = facts): Promise<Model> => {
  const model = await loaded(page, device, { facts: own as typeof facts, threads: 1 });
  open.push(model);
  return model;
};
const source = (model: Model): Source => textSource(model.plan.data[0] as Parameters<typeof textSource>[0], text);
const failure = async (part: () => Promise<unknown>): Promise<NumericError> => {
  const error: unknown = await part().then(
    () => null,
    (found: unknown) => found,
  );
  expect(error).toBeInstanceOf(NumericError);
  return error as NumericError;
};
const train = async (model: Model, data: Source, steps: number): Promise<number[]> => {
  const losses: number[] = [];
  for await (const { loss } of model.train(data, { steps })) losses.push(loss);
  return losses;
};

it("what is not finite is told by its bits", () => {
  const values = Float32Array.of(
    0,
    -0,
    3.4e38,
    -3.4e38,
    1e-45,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    Number.NaN,
  );
  expect(countNotFinite(values)).toBe(3);
  expect(countNotFinite(values.subarray(1, 6))).toBe(1);
  const odd = new Uint32Array([0xffffffff, 0x7f800001, 0x7f7fffff]);
  expect(countNotFinite(new Float32Array(odd.buffer))).toBe(2);
});

describe.each(everyDevice)("on %s", (device) => {
  it("a rate of 1e30 ends with the step, what its updates have broken, and the last finite loss", async () => {
    const model = await modelOf(words("sgd(rate = 1e30, momentum = 0.9)"), device);
    const error = await failure(() => train(model, source(model), 8));
    const { step, lastFinite, tensors, checkpoint } = error.report;
    expect(step).toBeGreaterThan(1);
    expect([lastFinite, model.step, checkpoint]).toEqual([step - 1, step - 1, null]);
    expect(error.message).toMatch(
      new RegExp(`^the loss is (NaN|-?Infinity) at step ${step}, and was last finite at step ${step - 1}: `),
    );
    expect(error.fix).toMatch(/lower the rate/);
    // The step that was refused has changed nothing: these are what it began with.
    for (const { kind, name, count, size } of tensors) {
      const expected = kind === "parameter" ? countNotFinite(await model.parameters()[name]!.get()) : count;
      expect([count, size >= count, count > 0]).toEqual([expected, true, true]);
    }
    const again = await failure(() => train(model, source(model), 1));
    expect(again.report).toEqual(error.report);
  });

  it("one poisoned number of one parameter is named alone, with how many", async () => {
    const model = await modelOf(words("adamw(rate = 1e-2)", ", clip = 1"), device);
    await train(model, source(model), 2);
    const gain = model.plan.parameters.find(({ name }) => name.startsWith("norm"))!.name;
    const values = await model.parameters()[gain]!.get();
    values[3] = Number.POSITIVE_INFINITY;
    model.parameters()[gain]!.set(values);
    const before = await model.parameters()["embed.table"]!.get();
    const { report, message } = await failure(() => train(model, source(model), 2));
    expect(report).toEqual({
      step: 3,
      lastFinite: 2,
      checkpoint: null,
      tensors: [{ kind: "parameter", name: gain, count: 1, size: 8 }],
    });
    expect(message).toMatch(
      new RegExp(
        `^the loss is NaN at step 3, and was last finite at step 2: the parameter \`${gain}\` is not finite ` +
          `\\(1 of 8 numbers\\)$`,
      ),
    );
    expect(await model.parameters()["embed.table"]!.get()).toEqual(before);
  });

  it("a poisoned batch is named, and leaves the model as it was", async () => {
    const model = await modelOf(numbers(), device, { images: { features: 6, classes: 3 } });
    const batchOf = (at: number): Batch => ({
      "images.value": Float32Array.from({ length: 12 }, (_, i) => (at === 2 && i > 9 ? Number.NaN : Math.sin(i + at))),
      "images.label": Uint32Array.of(at % 3, 1),
    });
    const data: Source = { batch: (_, __, step) => batchOf(step), holdout: () => [], holdoutExamples: 0 };
    const { report, message, fix } = await failure(() => train(model, data, 8));
    expect(fix).toBe("look at the data");
    expect(report).toEqual({
      step: 3,
      lastFinite: 2,
      checkpoint: null,
      tensors: [{ kind: "input", name: "images.value", count: 2, size: 12 }],
    });
    expect(message).toContain("the batch's `images.value` is not finite (2 of 12 numbers)");
    for (const { get } of Object.values(model.parameters())) expect(countNotFinite(await get())).toBe(0);
    // It can go on from there.
    expect(await train(model, { ...data, batch: () => batchOf(0) }, 1)).toHaveLength(1);
    expect(model.step).toBe(3);
  });

  it("a gradient that is no number beside a finite loss is named, and moves nothing", async () => {
    // The slope of a root at 0, times the 0 of the square below it.
    const root = numbers(", clip = 1")
      .replace("first[i, o] ~ normal(0.5)", "first[i, o] ~ zeros")
      .replace("z[c] = y[o] * second", "r[o] = sqrt(y[o] * y[o])\n  z[c] = r[o] * second");
    const model = await modelOf(root, device, { images: { features: 6, classes: 3 } });
    const data: Source = {
      batch: () => ({ "images.value": new Float32Array(12).fill(1), "images.label": Uint32Array.of(0, 1) }),
      holdout: () => [],
      holdoutExamples: 0,
    };
    const before = await model.parameters()["second"]!.get();
    const { report, message } = await failure(() => train(model, data, 1));
    expect(message).toMatch(
      pattern(
        /^the norm of the gradients is NaN at step 1, and the loss is finite: /,
        /the gradient of `first` is not finite \(24 of 24 numbers\)$/,
      ),
    );
    expect(report).toEqual({
      step: 1,
      lastFinite: 1,
      checkpoint: null,
      tensors: [{ kind: "gradient", name: "first", count: 24, size: 24 }],
    });
    expect(await model.parameters()["second"]!.get()).toEqual(before);
  });

  it(
    "finite numbers that overflow are told by the gradients, in the order in which they are computed, and a " +
      "norm by itself",
    async () => {
      const model = await modelOf(numbers(), device, { images: { features: 6, classes: 3 } });
      const data: Source = {
        batch: () => ({
          "images.value": Float32Array.from({ length: 12 }, (_, i) => (i + 1) * 1e30),
          "images.label": Uint32Array.of(0, 1),
        }),
        holdout: () => [],
        holdoutExamples: 0,
      };
      model.parameters()["first"]!.set(new Float32Array(24).fill(1e30));
      const { report } = await failure(() => train(model, data, 1));
      expect(report.step).toBe(1);
      expect(report.lastFinite).toBeNull();
      expect(report.tensors.map(({ kind, name }) => `${kind} ${name}`)).toEqual(["gradient second", "gradient first"]);

      // JavaScript computes in f64 what it does not store: there the norm has a number.
      if (device === "javascript") return;
      const clipped = await modelOf(numbers(", clip = 1"), device, { images: { features: 6, classes: 3 } });
      const large: Source = {
        ...data,
        batch: () => ({
          "images.value": Float32Array.from({ length: 12 }, (_, i) => (i % 2 ? -1 : 1) * 1e25),
          "images.label": Uint32Array.of(0, 1),
        }),
      };
      const norm = await failure(() => train(clipped, large, 1));
      expect(norm.message).toMatch(
        pattern(
          /^the norm of the gradients is Infinity at step 1, and the loss is finite: /,
          /every tensor that it is computed from is finite, their sums are not$/,
        ),
      );
      expect([norm.report.tensors, norm.report.lastFinite, clipped.step]).toEqual([[], 1, 0]);
    },
  );
});

describe("at the end", () => {
  const folder = mkdtempSync(join(tmpdir(), "mhc-finite-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("a last update that leaves what is not finite is found, though no loss tells of it", async () => {
    const model = await modelOf(words("sgd(rate = 1e38, decay = 100)").replace("steps = 8", "steps = 1"), "wasm");
    const steps: number[] = [];
    const error = await failure(async () => {
      for await (const { step } of model.train(source(model), { steps: 1 })) steps.push(step);
    });
    expect(steps).toEqual([1]);
    expect(error.message).toMatch(
      pattern(
        /^the parameter `[\w.]+` is not finite \(\d+ of \d+ numbers\)/,
        /.* after step 1, whose loss, that before its update, was finite$/,
      ),
    );
    expect(error.report.tensors.length).toBeGreaterThan(0);
    expect(error.report).toMatchObject({ step: 1, lastFinite: 1 });
    expect((await failure(() => model.holdout(text))).message).toMatch(
      /^the hold-out loss is NaN after step 1: the parameter `/,
    );
  });

  it("save writes nothing that is not finite over what is", async () => {
    const model = await modelOf(words("adamw(rate = 1e-2)"), "wasm");
    await train(model, source(model), 2);
    const path = join(folder, "good.safetensors");
    await model.save(path);
    const good = readFileSync(path);
    const table = model.parameters()["embed.table"]!;
    table.set((await table.get()).map((value, i) => (i === 5 ? Number.NaN : value)));
    const error = await failure(() => model.save(path));
    expect(error.message).toMatch(
      /^the checkpoint of step 2 is not written: the parameter `embed\.table` is not finite \(1 of \d+ numbers\)$/,
    );
    expect(readFileSync(path).equals(good)).toBe(true);
    await failure(() => model.save(join(folder, "none.safetensors")));
    expect(existsSync(join(folder, "none.safetensors"))).toBe(false);
    await model.load(path);
    expect((await train(model, source(model), 1)).every(Number.isFinite)).toBe(true);
  });
});
