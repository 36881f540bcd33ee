/**
 * Pages on every kind of data, trained on every device of a CPU against the f64 evaluation, and their losses against
 * what the examples say by themselves.
 */
import { describe, expect, it } from "vitest";
import { sourceOfText } from "../../runtime/batches.js";
import { csvSource, tableFacts } from "../../runtime/columns.js";
import { parseCsv } from "../../runtime/csv.js";
import { examplesSource, type Source } from "../../runtime/data.js";
import { imagesSource } from "../../runtime/images.js";
import { linesOf, parseSequences, vocabularyOfLines, vocabularyOfPairs } from "../../runtime/lines.js";
import { load } from "../../runtime/index.js";
import { check, type Facts } from "../../src/compile/compile.js";
import { cpuDevices } from "../helpers/devices.js";
import { planOf } from "../helpers/specs.js";
import { compareSteps } from "../helpers/steps.js";

const TABLE = `area,rooms,town,price
${Array.from({ length: 40 }, (_, i) => {
  const [area, rooms, town] = [20 + ((i * 37) % 90), 1 + (i % 5), ["Bern", "Basel", "Chur"][i % 3]!];
  return `${area},${rooms},${town},${3000 * area + 20000 * rooms + (town === "Bern" ? 50000 : 0)}`;
}).join("\n")}
`;
const request = { name: "table", holdout: 0.1, fill: false, features: null, categories: [] };
const tableOf = (more: { readonly target: string | null; readonly label: string | null }): Facts => ({
  table: tableFacts(parseCsv([["t.csv", TABLE]]), { ...request, ...more }),
});

const HOUSES = `model Houses {
  data table = csv("t.csv", target = "price", scale = standard)
  dim inputs = table.features
  param weight[inputs] ~ normal(0.1)
  y = sum[inputs](table.value[inputs] * weight[inputs])
  loss = (y - table.target) ^ 2
  train { batch = 5, steps = 10, seed = 1, optimizer = adamw(rate = 1e-1) }
}
`;

const LINES = "anna\nberta\ncarl\ndora\nemil\nfrida\nida\notto\nrosa\n";
const NAMES = `model Names {
  dim length = 6, width = 8
  data names = lines("n.txt", length = length)
  stream x[length, width] = embed(names.token) + positions()
  x through mlp(hidden = 16)
  loss = cross_entropy(unembed(x), names.next)
  train { batch = 5, steps = 10, seed = 1, optimizer = adamw(rate = 1e-2) }
}
`;

const PAIRS = "ab\tba\nabc\tcba\nca\tac\nbb\tbb\nacb\tbca\ncba\tabc\n";
const REVERSE = `model Reverse {
  dim n = 3, m = 4, width = 8
  data words = sequences("p.tsv", source = n, target = m)
  dim vocab = words.vocab
  param table[vocab, width] ~ normal(0.1)
  memory[width] = sum[n](words.source_present[n] * table[words.source[n], width])
  stream x[m, width] = table[words.target[m], width] + positions() + memory[width]
  x through mlp(hidden = 16)
  loss = cross_entropy(unembed(x), words.next)
  train { batch = 5, steps = 10, seed = 1, optimizer = adamw(rate = 1e-2) }
}
`;

const pages: readonly (readonly [string, string, string, Facts])[] = [
  ["csv", HOUSES, TABLE, tableOf({ target: "price", label: null })],
  ["lines", NAMES, LINES, { names: { vocabulary: vocabularyOfLines(linesOf(LINES)) } }],
  ["sequences", REVERSE, PAIRS, { words: { vocabulary: vocabularyOfPairs(parseSequences(PAIRS)) } }],
];

describe.each(pages)("%s", (_, page, text, facts) => {
  it("is checked before its data is read", () => {
    const { model, diagnostics } = check(page, { file: "page.mhc" });
    expect(diagnostics.filter(({ severity }) => severity === "error")).toEqual([]);
    expect(model).not.toBeNull();
  });

  it.each(cpuDevices)("trains on %s as the evaluation does", async (device) => {
    const { losses, parameters, fell } = await compareSteps(page, text, facts, device, 2);
    expect([losses < 1e-4, parameters < 1e-3, fell]).toEqual([true, true, true]);
  });

  it("holds examples out", async () => {
    const plan = await planOf(page, ["javascript"], { facts });
    const model = await load(plan, { device: "javascript" });
    const before = await model.holdout(text);
    for await (const step of model.train(text, { steps: 10 })) expect(Number.isFinite(step.loss)).toBe(true);
    expect(await model.holdout(text)).toBeLessThan(before);
    await model.close();
  });
});

/** The loss of one batch on a page whose parameters are set. */
async function lossOf(
  page: string,
  facts: Facts,
  values: Readonly<Record<string, readonly number[]>>,
  batch: (plan: Awaited<ReturnType<typeof planOf>>) => ReturnType<Source["batch"]>,
): Promise<number> {
  const plan = await planOf(page, ["javascript"], { facts });
  const model = await load(plan, { device: "javascript" });
  for (const [name, value] of Object.entries(values)) await model.parameters()[name]!.set(value);
  const { loss } = await model.evaluate(batch(plan));
  await model.close();
  return loss;
}

describe("a table", () => {
  it("says errors in the unit of its target, by its mean and deviation", async () => {
    const page = HOUSES.replace("loss = (y - table.target) ^ 2", "loss = abs(y * table.deviation + table.mean)");
    const facts = tableOf({ target: "price", label: null });
    const { target } = facts["table"] as ReturnType<typeof tableFacts>;
    const loss = await lossOf(page, facts, { weight: [0, 0, 0, 0, 0] }, (plan) =>
      sourceOfText(plan.data[0]!, TABLE)!.batch(5, 1, 0),
    );
    // Where the model says 0, it means the mean price.
    expect(loss).toBeCloseTo(target!.mean, -1);
    const rows = TABLE.trim()
      .split("\n")
      .slice(1)
      .map((line) => Number(line.split(",")[3]));
    expect(loss).toBeGreaterThan(Math.min(...rows));
    expect(loss).toBeLessThan(Math.max(...rows));
  });

  it("tells classes apart by a label", async () => {
    const page = `model Towns {
  dim towns = 3
  data table = csv("t.csv", label = "town", classes = towns)
  dim inputs = table.features
  param weight[inputs, towns] ~ zeros
  scores[towns] = table.value[inputs] * weight[inputs, towns]
  loss = cross_entropy(scores, table.label)
  train { batch = 5, steps = 10, optimizer = sgd(rate = 1e-3) }
}
`;
    const facts = tableOf({ target: null, label: "town" });
    const loss = await lossOf(page, facts, {}, (plan) => sourceOfText(plan.data[0]!, TABLE)!.batch(5, 1, 0));
    expect(loss).toBeCloseTo(Math.log(3), 5);
    const { diagnostics } = check(page.replace("towns = 3", "towns = 4"), { file: "p.mhc", facts });
    expect(diagnostics.map(({ message }) => message)).toEqual([
      'the data has 3 classes in the column "town", and the spec says 4',
    ]);
  });
});

describe("images", () => {
  const pixels = Uint8Array.from({ length: 24 }, (_, i) => (i * 29) % 256);
  const weight = [1, -2, 3, 0.5, 4, -1];
  const page = (data: string): string => `model Pixels {
  dim rows = 2, columns = 3
  data images = ${data}
  param weight[rows, columns] ~ zeros
  loss = sum[rows, columns](images.value[rows, columns] * weight[rows, columns])
  train { batch = 1, steps = 1, optimizer = sgd(rate = 1e-3) }
}
`;
  const expected = (row: number, scale: number): number =>
    weight.reduce((sum, w, i) => sum + (w * pixels[6 * row + i]!) / scale, 0);

  it("are numbers from 0 to 1, row by row", async () => {
    const facts: Facts = { images: { labels: ["a", "b"] } };
    const images = page('images("d", height = rows, width = columns, holdout = 25%)');
    for (let step = 0; step < 4; step++) {
      let label = -1;
      const loss = await lossOf(images, facts, { weight }, (plan) => {
        const [info] = plan.data;
        if (info?.kind !== "images") throw new Error(info?.kind);
        const batch = imagesSource(info, { pixels, labels: [0, 1, 0, 1] }).batch(1, 1, step);
        label = batch["images.label"]![0]!;
        return batch;
      });
      const rows = label === 0 ? [0, 2] : [1, 3];
      expect(Math.min(...rows.map((row) => Math.abs(expected(row, 255) - loss)))).toBeLessThan(1e-4);
    }
  });

  it("of `examples` are seen as rows and columns where the page says so", async () => {
    const seen = page('examples("d/*.json", height = rows, width = columns, classes = 2)');
    const values = Float32Array.from(pixels);
    const loss = await lossOf(seen, { images: { features: 6, classes: 2 } }, { weight }, (plan) => {
      const [info] = plan.data;
      if (info?.kind !== "examples") throw new Error(info?.kind);
      const classes = [0, 12].map((at) => ({ values: values.subarray(at, at + 12), count: 2 }));
      return examplesSource({ ...info, holdout: 0.5 }, classes).batch(1, 1, 0);
    });
    expect(Math.min(...[0, 2].map((row) => Math.abs(expected(row, 1) - loss)))).toBeLessThan(1e-3);
    const { diagnostics } = check(seen, { file: "p.mhc", facts: { images: { features: 8, classes: 2 } } });
    expect(diagnostics.map(({ message }) => message)).toEqual([
      "the data has 8 numbers an example, and the spec says 6",
    ]);
  });
});

it("an autoencoder reads no labels, and is fed none", async () => {
  const page = `model Autoencoder {
  dim pixels = 12, code = 2
  data images = examples("d/*.json", features = pixels, classes = 2)
  z[code] = dense(images.value) as encoder
  y[pixels] = sigmoid(dense(z) as decoder)
  loss = mean[pixels]((y - images.value) ^ 2)
  train { batch = 4, steps = 60, seed = 1, optimizer = adamw(rate = 5e-2) }
}
block dense(y[i]) {
  param weight[i, o] ~ normal(0.3)
  return [o] = y[i] * weight[i, o]
}
`;
  const plan = await planOf(page, cpuDevices, { facts: { images: { features: 12, classes: 2 } } });
  const classes = [0, 1].map((label) => ({
    values: Float32Array.from({ length: 120 }, (_, i) => (i % 2 === label ? 0.9 : 0.1) + (i % 12) / 240),
    count: 10,
  }));
  const [info] = plan.data;
  if (info?.kind !== "examples") throw new Error(info?.kind);
  const source = examplesSource(info, classes);
  for (const device of cpuDevices) {
    expect(Object.keys(plan.devices[device]!.entries["train"]!.inputs)).not.toContain("images.label");
    const model = await load(plan, { device });
    const before = await model.holdout(source);
    for await (const step of model.train(source)) expect(Number.isFinite(step.loss)).toBe(true);
    // Two kinds of examples, and a code of two numbers: what is left is a small part.
    expect(await model.holdout(source)).toBeLessThan(before / 4);
    await model.close();
  }
});

describe("generating", () => {
  it("makes a line that ends by itself, and the target of a source", async () => {
    const facts: Facts = { names: { vocabulary: vocabularyOfLines(linesOf(LINES)) } };
    const plan = await planOf(NAMES.replace("steps = 10", "steps = 300"), ["javascript"], { facts });
    const model = await load(plan, { device: "javascript" });
    for await (const step of model.train(LINES)) expect(step.loss).toBeGreaterThan(0);
    // A model of single characters and places cannot know more than which follows which: `ot` is only in `otto`.
    const made = await model.generate("ot", { temperature: 0 });
    expect(made.startsWith("ot")).toBe(true);
    expect([...made].length).toBeLessThanOrEqual(6);
    expect(made).not.toContain("\n");
    await expect(model.generate("annaannaanna")).rejects.toThrow("a line of this model has at most 5");
    await expect(model.generate("an\nna")).rejects.toThrow("the prompt has a line feed");
    await model.close();
  });

  it("asks for a source where the data is sequences", async () => {
    const facts: Facts = { words: { vocabulary: vocabularyOfPairs(parseSequences(PAIRS)) } };
    const model = await load(await planOf(REVERSE, ["javascript"], { facts }), { device: "javascript" });
    await expect(model.generate("")).rejects.toThrow("this model makes a target from a source");
    await expect(model.generate("abca")).rejects.toThrow("the source has 4 characters, and `source` is 3");
    const made = await model.generate("abc", { temperature: 1, seed: 3 });
    expect(made).toMatch(/^([abc]|<padding>|<start>){0,4}$/);
    await model.close();
  });

  it.each([
    ["scores that nothing learns from", "mean[long](max[v](scores))", "no loss of its page is a `cross_entropy`"],
    [
      "scores that see what comes next",
      "cross_entropy(scores + seen, task.next)",
      "its scores are computed from `task.next`, which is not known while text is made",
    ],
  ])("is refused of %s", async (_, loss, why) => {
    const page = `model Lines {
  dim long = 6
  data task = lines("names.txt", length = long)
  dim v = task.vocab
  param table[v, v] ~ normal(0.1)
  scores[long, v] = table[task.token[long], v]
  seen[long, v] = table[task.next[long], v]
  loss = ${loss}
  train { batch = 1, steps = 1, optimizer = sgd(rate = 0.1) }
}`;
    const facts: Facts = { task: { vocabulary: ["\n", "a", "n"] } };
    const model = await load(await planOf(page, ["javascript"], { facts }), { device: "javascript" });
    await expect(model.generate("an")).rejects.toThrow(`Lines does not generate text: ${why}`);
    await model.close();
  });

  it("is refused of data that is no text", async () => {
    const facts = tableOf({ target: "price", label: null });
    const model = await load(await planOf(HOUSES, ["javascript"], { facts }), { device: "javascript" });
    await expect(model.generate("a")).rejects.toThrow("Houses does not generate text");
    await model.close();
  });
});

it("a table that is trained on later is standardised by what the plan knows", async () => {
  const facts = tableOf({ target: "price", label: null });
  const plan = await planOf(HOUSES, ["javascript"], { facts });
  const [info] = plan.data;
  if (info?.kind !== "csv") throw new Error(info?.kind);
  const area = info.columns[0];
  if (area?.kind !== "number") throw new Error(area?.name);
  const others = "area,rooms,town,price\n100,1,Bern,1\n200,1,Bern,2\n";
  const { batch } = [...csvSource(info, others).holdout(1)][0]!;
  const held = [100, 200].map((value) => (value - area.mean) / area.deviation);
  expect(Math.min(...held.map((value) => Math.abs(value - batch["table.value"]![0]!)))).toBeLessThan(1e-5);
});
