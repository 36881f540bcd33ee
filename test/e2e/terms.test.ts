/**
 * Named losses and metrics on every device, fused and planned, against the unfused f64 evaluation of the same graph:
 * step by step, over all that is held out, and in layers that are switched off.
 */
import { describe, expect, it } from "vitest";
import { textSource } from "../../runtime/data.js";
import { initialValues } from "../../runtime/initialize.js";
import type { DataInfo } from "../../runtime/plan.js";
import { check } from "../../src/compile/compile.js";
import { createBuilder } from "../../src/graph/create-builder.js";
import { evaluate } from "../../src/graph/evaluate.js";
import type { Node } from "../../src/graph/node.js";
import { lower } from "../../src/model/lower/lower.js";
import { everyDevice } from "../helpers/devices.js";
import { facts, text } from "../helpers/small.js";
import { entriesOf, loaded, planOf } from "../helpers/specs.js";

/** A router over a few experts in every layer, behind a connection with lanes, whose balance is a loss. */
const page = (train = ""): string => `model Named {
  dim context = 8, width = 16, layers = 3, lanes = 2, experts = 4
  data corpus = characters("text", window = context)
  manifold Mixing = birkhoff(iterations = 8)
  stream x[lanes, context, width] = copies(embed(corpus.token) + positions())
  repeat layers {
    x through routed_mlp(experts, hidden = 24) via mhc(Mixing)
  }
  scores = unembed(norm(total(x)))
  loss main = cross_entropy(scores, corpus.next)
  loss z = token_z_loss(scores)
  loss = main + 0.05 * balance + 1e-3 * z
  metric right = token_accuracy(scores, corpus.next)
  metric size = mean[lanes, context, width](abs(x))
  train { batch = 4, steps = 20, seed = 3, optimizer = sgd(rate = 0.1)${train} }
}

block routed_mlp(experts, hidden)(y[t, w]) {
  param route[w, experts] ~ normal(0.3)
  param up[experts, w, hidden], down[experts, hidden, w] ~ normal(0.1)
  h[t, w] = norm(y)
  p[t, experts] = softmax[experts](h[t, w] * route[w, experts])
  share[experts] = mean[t](p)
  loss balance = size(experts) * sum[experts](share ^ 2)
  a[t, experts, hidden] = gelu(h[t, w] * up[experts, w, hidden])
  return [t, w] = p[t, experts] * a[t, experts, hidden] * down[experts, hidden, w]
}
`;

const STEPS = 3;
const NAMES = ["main", "z", "balance"] as const;

/** The terms and metrics of some steps in f64. */
function exactSteps(source: ReturnType<typeof textSource>, plan: Awaited<ReturnType<typeof planOf>>, seed: number) {
  const { graphs } = entriesOf(page(), { facts });
  const graph = graphs.find(({ name }) => name === "train")!;
  const values = new Map<string, ArrayLike<number>>(
    plan.parameters.map((info) => [info.name, initialValues(info, seed)]),
  );
  for (const { name, shape } of plan.states) values.set(name, new Float64Array(shape.reduce((size, n) => size * n, 1)));
  return Array.from({ length: STEPS }, (_, step) => {
    const batch = Object.entries(source.batch(4, seed, step));
    const { outputs, updates } = evaluate(graph, new Map([...values, ...batch, ["step", [step]], ["seed", [seed]]]));
    updates.forEach((value, name) => values.set(name, value));
    return new Map([...outputs].map(([name, value]) => [name, value[0]!]));
  });
}

const sourceFor = (info: DataInfo | undefined): ReturnType<typeof textSource> =>
  textSource(info as Extract<DataInfo, { readonly kind: "characters" }>, text);

describe.each(everyDevice)("on %s", (device) => {
  const slow = { tags: ["slow"] };
  it("steps tell what f64 tells", device === "webgpu" ? slow : {}, () => compare(""));
  it("they do with activations that are computed twice", slow, () => compare(", recompute = every 1"));

  async function compare(train: string): Promise<void> {
    const model = await loaded(page(train), device, { facts, threads: 2 });
    const source = sourceFor(model.plan.data[0]);
    const exact = exactSteps(source, await planOf(page(), ["javascript"], { facts }), model.seed);
    let step = 0;
    for await (const { loss, terms, metrics } of model.train(source, { steps: STEPS })) {
      const expected = exact[step++]!;
      expect(Object.keys(terms).sort()).toEqual([...NAMES].sort());
      const near = (found: number, name: string): void =>
        expect(Math.abs(found / expected.get(name)! - 1), name).toBeLessThan(1e-4);
      near(loss, "loss");
      for (const name of NAMES) near(terms[name]!, `term:${name}`);
      near(metrics["size"]!, "metric:size");
      // A share of 32 tokens: one of them may lead by less than what rounding is.
      expect(Math.abs(metrics["right"]! - expected.get("metric:right")!)).toBeLessThan(1.5 / 32);
    }
    expect(step).toBe(STEPS);
    await model.close();
  }
});

it("are means over all that is held out, the last batch of which is not full", async () => {
  const model = await loaded(page(), "wasm", { facts, threads: 1 });
  const source = sourceFor(model.plan.data[0]);
  expect(source.holdoutExamples % 4).not.toBe(0);
  const graph = entriesOf(page(), { facts }).graphs.find(({ name }) => name === "loss")!;
  const parameters = model.plan.parameters.map((info) => [info.name, initialValues(info, model.seed)] as const);
  const each = new Map<string, number[]>();
  for (const { batch, count } of source.holdout(4)) {
    const { outputs } = evaluate(graph, new Map<string, ArrayLike<number>>([...parameters, ...Object.entries(batch)]));
    for (const [name, values] of outputs)
      each.set(name, [...(each.get(name) ?? []), ...Array.from(values).slice(0, count)]);
  }
  const mean = (name: string): number => {
    const values = each.get(name)!;
    expect(values).toHaveLength(source.holdoutExamples);
    return values.reduce((sum, value) => sum + value, 0) / values.length;
  };
  const { loss, terms, metrics, examples } = await model.measure(source);
  expect(examples).toBe(source.holdoutExamples);
  expect(loss).toBeCloseTo(mean("losses"), 4);
  expect(await model.holdout(source)).toBe(loss);
  for (const name of NAMES) expect(terms[name]).toBeCloseTo(mean(`term:${name}`), 4);
  expect(metrics["size"]).toBeCloseTo(mean("metric:size"), 4);
  expect(metrics["right"]).toBeCloseTo(mean("metric:right"), 2);

  const batch = source.batch(4, 1, 0);
  const one = await model.evaluate(batch);
  const alone = evaluate(graph, new Map<string, ArrayLike<number>>([...parameters, ...Object.entries(batch)])).outputs;
  const meanOf = (name: string): number => Array.from(alone.get(name)!).reduce((sum, value) => sum + value, 0) / 4;
  expect(one.terms["balance"]).toBeCloseTo(meanOf("term:balance"), 4);
  expect(one.metrics["size"]).toBeCloseTo(meanOf("metric:size"), 4);
  await model.close();
});

it("a metric that is not finite ends nothing, and names of a page are data", async () => {
  const names = ["constructor", "__proto__", "toString"] as const;
  const odd = page()
    .replaceAll("balance", names[0])
    .replace(
      "metric size =",
      `metric ${names[1]} = log(0 * mean[lanes, context, width](x)) - log(0 * 1)\n  metric size =`,
    )
    .replace("metric size", `metric ${names[2]}`);
  const model = await loaded(odd, "javascript", { facts });
  const source = sourceFor(model.plan.data[0]);
  for await (const { step, loss, terms, metrics } of model.train(source, { steps: 2 })) {
    expect(step).toBeLessThanOrEqual(2);
    expect(loss).toBeGreaterThan(0);
    expect(Object.keys(terms).sort()).toEqual(["constructor", "main", "z"]);
    expect(Object.keys(metrics)).toEqual(["right", names[1], names[2]]);
    expect(metrics[names[1]]).toBeNaN();
    expect(metrics[names[2]]).toBeGreaterThan(0);
  }
  const measured = await model.measure(source);
  expect(measured.metrics[names[1]]).toBeNaN();
  expect(measured.terms["constructor"]).toBeGreaterThan(0);
  expect(model.plan.metrics!.map(({ name }) => name)).toEqual(["right", names[1], names[2]]);
  await model.close();
});

it("what a metric scores is not sampled", async () => {
  const more = page().replace("metric size", "metric other = cross_entropy(2 * scores, corpus.next)\n  metric size");
  const heads = (text: string): readonly string[] =>
    entriesOf(text, { facts })
      .graphs.filter(({ name }) => name === "forward")
      .flatMap(({ outputs }) => [...outputs.keys()]);
  expect(heads(page())).toEqual(["logits"]);
  expect(heads(more)).toEqual(["logits"]);
});

describe("in a page that shrinks", () => {
  const shrinks = page().replace(
    "  train {",
    "  cost {\n    device cpu\n    energy <= 60%\n    shrink layers\n  }\n  train {",
  );
  const { model, diagnostics } = check(shrinks, { file: "shrinks.mhc", facts });
  if (!model) throw new Error(diagnostics.map(({ message }) => message).join("\n"));

  /** The sum of the layers' balances, for some gates; `kept`: the layers that are gone. */
  function balance(
    gates: readonly number[] | null,
    kept: Readonly<Record<string, readonly number[]>>,
  ): ArrayLike<number> {
    const b = createBuilder();
    const values = gates && new Map<string, Node>(gates.map((gate, i) => [`layers.${i}`, b.constant(gate)]));
    const { terms, parameters } = lower(model!, b, { batch: 4, gating: { kept, values } });
    const tokens = Array.from({ length: 32 }, (_, i) => (7 * i) % facts.corpus.vocabulary.length);
    const bindings = new Map<string, ArrayLike<number>>([
      ...parameters.map(({ name, shape }) => {
        const size = shape.reduce((product, n) => product * n, 1);
        // By its name, so that a layer that is gone changes no other.
        const phase = [...name].reduce((sum, letter) => sum + letter.codePointAt(0)!, 0);
        return [name, Array.from({ length: size }, (_, i) => Math.sin(phase + 3 * i))] as const;
      }),
      ["corpus.token", tokens],
      ["corpus.next", tokens],
    ]);
    const graph = { name: "t", outputs: new Map([["balance", terms.get("balance")!]]), updates: new Map() };
    return evaluate(graph, bindings).outputs.get("balance")!;
  }

  it("a layer that is switched off adds nothing, as one that is gone does", () => {
    const whole = balance([1, 1, 1], {});
    const closed = balance([1, 0, 1], {});
    const gone = balance(null, { "layers.1": [] });
    expect(closed).toHaveLength(4);
    Array.from(closed).forEach((value, i) => {
      expect(value).toBeCloseTo(gone[i]!, 10);
      // Each balance is at least 1.
      expect(whole[i]! - value).toBeGreaterThan(0.5);
    });
  });
});
