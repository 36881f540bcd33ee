/**
 * Everything that comes in, at every door: what is wrong is a DataError, NumericError or DeviceError that names it,
 * before anything is written. A property feeds what is of another kind; the rest are faults with a name.
 */
import { anything, assert, asyncProperty, constantFrom, oneof, type Arbitrary } from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { decode, encode } from "../../runtime/checkpoint.js";
import { encodeText, examplesSource, textSource, type Batch, type Source } from "../../runtime/data.js";
import { MhcError } from "../../runtime/errors.js";
import { load } from "../../runtime/index.js";
import type { Model } from "../../runtime/interface.js";
import { pairsSource, parsePairs } from "../../runtime/pairs.js";
import type { DataInfo, Plan } from "../../runtime/plan.js";
import { planOf } from "../helpers/specs.js";

const text = "the sea was calm, and the whale went down. all hands! ".repeat(4);
const vocabulary = [...new Set(text)].sort();
const words = `model Words {
  dim context = 4, width = 8
  data corpus = characters("text", window = context, holdout = 18%)
  x[context, width] = embed(corpus.token) + positions()
  loss = cross_entropy(unembed(norm(x)), corpus.next)
  output y[context, width] = x
  train { batch = 2, steps = 4, seed = 5, optimizer = adamw(rate = 1e-2) }
}`;
const digits = `model Digits {
  dim i = 6, c = 3
  data images = examples("none", features = i, classes = c)
  param weight[i, c] ~ normal(0.5)
  z[c] = images.value[i] * weight[i, c]
  loss = cross_entropy(z, images.label)
  train { batch = 2, steps = 4, seed = 5, optimizer = sgd(rate = 0.1) }
}`;

let plan: Plan;
let model: Model;
let numbers: Model;
let source: Source;
let batch: Batch;
let start: Uint8Array;
beforeAll(async () => {
  plan = await planOf(words, ["javascript"], { facts: { corpus: { vocabulary } } });
  model = await load(plan, { device: "javascript" });
  numbers = await load(await planOf(digits, ["javascript"], { facts: { images: { features: 6, classes: 3 } } }), {
    device: "javascript",
  });
  source = textSource(plan.data[0] as Parameters<typeof textSource>[0], text);
  batch = source.batch(2, 1, 0);
  for await (const { step } of model.train(source)) if (step === 2) break;
  start = await model.checkpoint();
});
afterAll(async () => {
  await model.close();
  await numbers.close();
});

/** An error of ours, with words; and the model is what it was. */
async function refused(call: () => unknown): Promise<MhcError> {
  const error: unknown = await (async () => call())().then(
    (value: unknown) => ({ value }),
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(MhcError);
  expect((error as MhcError).message.length).toBeGreaterThan(10);
  expect([model.step, Buffer.compare(await model.checkpoint(), start)]).toEqual([2, 0]);
  return error as MhcError;
}

const next = (data: unknown, options?: unknown): Promise<unknown> =>
  model.train(data as Source, options as object).next();
const tokens = (values: unknown): Batch => ({ ...batch, "corpus.token": values }) as Batch;
const fed = (values: unknown): Source => ({
  ...source,
  batch: () => tokens(values),
  *holdout() {
    yield { batch: tokens(values), count: 2 };
  },
});
const characters = (): Parameters<typeof textSource>[0] => plan.data[0] as Parameters<typeof textSource>[0];
const images: Extract<DataInfo, { readonly kind: "examples" }> = {
  kind: "examples",
  name: "images",
  location: "",
  features: 2,
  holdout: 0.5,
  classes: 1,
};

describe("what is of another kind", () => {
  /** Anything, and what is often passed by mistake. `right` says what the door takes. */
  const wrong = (right: (value: unknown) => boolean): Arbitrary<unknown> =>
    oneof(
      anything({
        withBigInt: true,
        withTypedArray: true,
        withNullPrototype: true,
        withSparseArray: true,
        withDate: true,
        withMap: true,
      }),
      constantFrom<unknown[]>(
        null,
        "12",
        "",
        Number.NaN,
        1.5,
        -1,
        7n,
        Symbol("s"),
        () => 1,
        new ArrayBuffer(32),
        new DataView(new ArrayBuffer(8)),
        new Uint32Array(8),
        new BigInt64Array(8),
        Promise.resolve(1),
        Object.assign(new Array<number>(8), { 3: 1 }),
        Array.from({ length: 8 }, (_, i) => `${i}`),
        new Array(8),
        [
          [0, 1, 2, 3],
          [0, 1, 2, 3],
        ],
        { length: 8 },
      ),
    ).filter((value) => value !== undefined && !right(value));
  const isEight = (value: unknown, each: (number: number) => boolean): boolean => {
    if (!Array.isArray(value) && !ArrayBuffer.isView(value)) return false;
    const all = Array.from(value as ArrayLike<unknown>);
    return all.length === 8 && all.every((item) => typeof item === "number" && each(item));
  };
  const isTokens = (value: unknown): boolean =>
    isEight(value, (token) => Number.isInteger(token) && token >= 0 && token < vocabulary.length);
  const isFloats = (value: unknown): boolean => isEight(value, (number) => Number.isFinite(Math.fround(number)));
  const isWhole = (value: unknown): boolean => Number.isInteger(value) && (value as number) >= 0;
  const isObject = (value: unknown): boolean =>
    typeof value === "object" && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value);

  const doors: Readonly<
    Record<string, readonly [call: (value: unknown) => unknown, right: (value: unknown) => boolean]>
  > = {
    "the data of train": [(value) => next(value), (value) => typeof value === "string"],
    "the data of holdout": [(value) => model.holdout(value as Source), (value) => typeof value === "string"],
    "a batch": [(value) => model.evaluate(value as Batch), () => false],
    tokens: [(value) => model.evaluate(tokens(value)), isTokens],
    "tokens of gradients": [(value) => model.gradients(tokens(value)), isTokens],
    "tokens of forward": [(value) => model.forward({ "corpus.token": value as Uint32Array }), isTokens],
    "the batch of a source": [(value) => next({ ...source, batch: () => value }), () => false],
    "the tokens of a source": [(value) => next(fed(value)), isTokens],
    "what a source holds out": [(value) => model.holdout(fed(value)), isTokens],
    "a part that a source holds out": [
      (value) =>
        model.holdout({
          ...source,
          *holdout() {
            yield value as { batch: Batch; count: number };
          },
        }),
      () => false,
    ],
    "the options of train": [(value) => next(source, value), isObject],
    "the options of holdout": [(value) => model.holdout(source, value as object), isObject],
    "the options of generate": [(value) => model.generate("the", value as object), isObject],
    steps: [(value) => next(source, { steps: value }), (value) => isWhole(value) || value === Number.POSITIVE_INFINITY],
    monitor: [(value) => next(source, { monitor: value }), (value) => value === 0],
    recompile: [(value) => next(source, { recompile: value }), (value) => typeof value === "function"],
    "a signal": [(value) => next(source, { signal: value }), () => false],
    "a prompt": [(value) => model.generate(value as string), (value) => typeof value === "string"],
    "tokens to draw": [(value) => model.generate("the", { tokens: value as number }), isWhole],
    "a temperature": [
      (value) => model.generate("the", { tokens: 1, temperature: value as number }),
      (value) => Number.isFinite(value) && (value as number) >= 0,
    ],
    topK: [
      (value) => model.generate("the", { tokens: 1, topK: value as number }),
      (value) => isWhole(value) && value !== 0,
    ],
    "a seed": [
      (value) => model.generate("the", { tokens: 1, seed: value as number }),
      (value) => isWhole(value) && (value as number) < 2 ** 32,
    ],
    "the values of a parameter": [
      (value) => model.parameters()["embed.table"]!.set(value as Float32Array),
      () => false,
    ],
    "a path to save at": [(value) => model.save(value as string), (value) => typeof value === "string" && value !== ""],
    "a checkpoint": [(value) => model.load(value as Uint8Array), () => false],
    "a plan": [(value) => load(value as Plan), () => false],
    "the options of load": [(value) => load(plan, value as object), isObject],
    "a device": [(value) => load(plan, { device: value as "wasm" }), () => false],
    "the seed of load": [
      (value) => load(plan, { device: "javascript", seed: value as number }),
      (value) => isWhole(value) && (value as number) < 2 ** 32,
    ],
    "a text": [(value) => textSource(characters(), value as string), (value) => typeof value === "string"],
    "a text to encode": [(value) => encodeText(value as string, vocabulary), (value) => typeof value === "string"],
    "pairs as text": [(value) => parsePairs(value as string), (value) => typeof value === "string"],
    classes: [(value) => examplesSource(images, value as []), () => false],
    "the values of a class": [
      (value) => examplesSource(images, [{ values: value as Float32Array, count: 4 }]),
      isFloats,
    ],
  };
  it.each(Object.entries(doors))("is refused as %s", async (_, [call, right]) => {
    await assert(
      asyncProperty(wrong(right), (value) => refused(() => call(value)).then(() => undefined)),
      { numRuns: 40 },
    );
  });
});

describe("an index beyond its table is refused with its place", () => {
  const of = (value: number): number[] => [0, 1, 2, value, 0, 1, 2, 3];
  it.each([5000, vocabulary.length, -1, 0.5, Number.NaN, 2 ** 32])(
    "the token %d, from a caller, from a source, held out",
    async (value) => {
      const said =
        `\`corpus.token\` holds ${value} at place 3: there are ${vocabulary.length} characters of the ` +
        `vocabulary, 0 to ${vocabulary.length - 1}`;
      for (const call of [
        () => model.evaluate(tokens(of(value))),
        () => next(fed(of(value))),
        () => model.holdout(fed(of(value))),
      ]) {
        expect((await refused(call)).message).toBe(said);
      }
      const target = { ...batch, "corpus.next": of(value) } as unknown as Batch;
      expect((await refused(() => model.gradients(target))).message).toContain("`corpus.next` holds");
    },
  );

  it("a label, and numbers that are not finite", async () => {
    const of = (label: number, value: number): Batch =>
      ({
        "images.label": [0, label],
        "images.value": Array.from({ length: 12 }, (_, i) => (i === 7 ? value : i)),
      }) as unknown as Batch;
    await numbers.evaluate(of(2, 1));
    const before = await numbers.checkpoint();
    for (const [given, said] of [
      [of(3, 1), "`images.label` holds 3 at place 1: there are 3 classes, 0 to 2"],
      [of(1, Number.NaN), "the batch's `images.value` is not finite (1 of 12 numbers)"],
      [of(1, Number.NEGATIVE_INFINITY), "the batch's `images.value` is not finite (1 of 12 numbers)"],
      [of(1, 1e39), "`images.value` holds 1e+39 at place 7, which is beyond"],
    ] as const) {
      await expect(numbers.evaluate(given)).rejects.toThrow(said);
      const own: Source = { batch: () => given, holdout: () => [{ batch: given, count: 2 }], holdoutExamples: 2 };
      await expect(numbers.train(own).next()).rejects.toThrow(said);
      await expect(numbers.holdout(own)).rejects.toThrow(said);
      expect(await numbers.checkpoint()).toEqual(before);
    }
    expect(numbers.step).toBe(0);
  });

  it("names of pairs, by a source", async () => {
    const info: Extract<DataInfo, { readonly kind: "pairs" }> = {
      kind: "pairs",
      name: "kin",
      location: "",
      negatives: 1,
      holdout: 0,
      names: ["a", "b", "c"],
    };
    expect(() => pairsSource(info, [["a", "d"]])).toThrow('"d" is not among the 3 names of `kin`');
    expect(() => examplesSource(images, [{ values: new Float32Array(7), count: 4 }])).toThrow(
      "`images`, class 0 has 7 numbers, and 4 examples of 2 take 8",
    );
  });
});

describe("checkpoints", () => {
  const changed = (
    change: (tensors: Map<string, { shape: readonly number[]; data: Float32Array }>) => void,
  ): Uint8Array => {
    const { tensors, metadata } = decode(start);
    const copy = new Map([...tensors].map(([name, { shape, data }]) => [name, { shape, data: data.slice() }]));
    change(copy);
    return encode({ tensors: copy, metadata });
  };

  it.each([Number.NaN, Number.POSITIVE_INFINITY])("with %d are refused with the tensor", async (value) => {
    const parameter = changed((tensors) => tensors.get("embed.table")!.data.fill(value, 3, 5));
    expect((await refused(() => model.load(parameter))).message).toContain(
      "the parameter `embed.table` is not finite (2 of",
    );
    const state = plan.states[0]!.name;
    const moment = changed((tensors) => tensors.get(`state:${state}`)!.data.fill(value, 0, 1));
    expect((await refused(() => model.load(moment))).message).toContain(
      `the optimizer's state \`${state}\` is not finite (1 of`,
    );
  });

  it("with tensors that the model does not have are refused with their names", async () => {
    const more = changed((tensors) => void tensors.set("layers.7.up", { shape: [1], data: new Float32Array(1) }));
    expect((await refused(() => model.load(more))).message).toBe(
      "the checkpoint has `layers.7.up`, which Words does not have",
    );
  });
});

it("scores that say nothing are an error that names the parameter, never text", async () => {
  const table = model.parameters()["embed.table"]!;
  const values = await table.get();
  for (const poison of [Number.NaN, Number.POSITIVE_INFINITY]) {
    await table.set(values.map((value, i) => (i % 3 ? value : poison)));
    for (const temperature of [0, 1]) {
      await expect(model.generate("the ", { tokens: 3, temperature })).rejects.toThrow(
        "the parameter `embed.table` is not finite",
      );
    }
  }
  await table.set(values);
  expect(await model.generate("the ", { tokens: 3 })).toHaveLength(7);
});
