/**
 * The mixtures of experts and the low-rank adaptation of the standard library, in f64, against plain loops: which
 * tokens go to which expert, what they count, which find no place, the losses of the router, and every gradient.
 */
import { describe, expect, it } from "vitest";
import { check, compile } from "../../src/compile/compile.js";
import { cost } from "../../src/cost/report.js";
import { profiles } from "../../src/cost/profiles.js";
import { evaluate } from "../../src/graph/evaluate.js";
import { entriesOf, loaded, readSpec } from "../helpers/specs.js";

type Vector = readonly number[];
type Parameters = Readonly<Record<string, Vector>>;

const T = 6;
const W = 3;
const EXPERTS = 4;
const CHOSEN = 2;
const HIDDEN = 2;
const BATCH = 2;
/** What the root mean square has added under its root. */
const RMS_EPSILON = 1e-6;
const facts = { points: { features: T * W, classes: 2 } };

/** A page around one mixture; its loss weighs every number of the result by another. */
const pageOf = (mixture: string): string => `model Mixed {
  dim t = ${T}, w = ${W}, experts = ${EXPERTS}, chosen = ${CHOSEN}, hidden = ${HIDDEN}
  data points = examples("p/*.json", height = t, width = w, classes = 2)
  x[t, w] = ${mixture}(points.value) as mix
  loss main = sum[t, w](x[t, w] * sin(index(t) + 2 * index(w)))
  loss = main + 0.3 * balance + 0.2 * drift
  train { batch = ${BATCH}, steps = 1, optimizer = sgd(rate = 0.1) }
}
`;

const dense = pageOf("mixture(experts, chosen, hidden)");
const routed = (slots: number): string => pageOf(`routed_mixture(experts, chosen, hidden, ${slots})`);

/** Numbers of no pattern between -1 and 1. */
const numbers = (count: number, from: number): Vector =>
  Array.from({ length: count }, (_, i) => Math.sin(from + 3 * i));

const VALUES = numbers(BATCH * T * W, 0.3);
const PARAMETERS: Parameters = {
  "mix.rmsnorm.gain": [1.1, 0.8, 1.3],
  "mix.router.route": numbers(W * EXPERTS, 1),
  "mix.gate": numbers(EXPERTS * W * HIDDEN, 2),
  "mix.up": numbers(EXPERTS * W * HIDDEN, 3.5),
  "mix.down": numbers(EXPERTS * HIDDEN * W, 5.1),
};

const add = (list: Vector): number => list.reduce((sum, value) => sum + value, 0);
const range = (count: number): Vector => Array.from({ length: count }, (_, i) => i);
const of = (parameters: Parameters, name: string): Vector => parameters[`mix.${name}`]!;

interface Worked {
  readonly main: number;
  readonly balance: number;
  readonly drift: number;
  /** The experts of each token, and of these the ones that have a place for it. */
  readonly chosen: readonly Vector[];
  readonly placed: readonly Vector[];
}

/** What the expert `e` makes of the normalised token `h`. */
function expert(parameters: Parameters, e: number, h: Vector): Vector {
  const hidden = range(HIDDEN).map((j) => {
    const through = (name: string): number =>
      add(h.map((value, w) => value * of(parameters, name)[(e * W + w) * HIDDEN + j]!));
    const gate = through("gate");
    return (gate / (1 + Math.exp(-gate))) * through("up");
  });
  return range(W).map((w) => add(hidden.map((value, j) => value * of(parameters, "down")[(e * HIDDEN + j) * W + w]!)));
}

/** One sequence in plain loops: tokens in order, each to its experts of largest score while these have places. */
function worked(parameters: Parameters, values: Vector, slots: number): Worked {
  const used = new Array<number>(EXPERTS).fill(0);
  const choices = new Array<number>(EXPERTS).fill(0);
  const probability = new Array<number>(EXPERTS).fill(0);
  const [chosen, placed]: [number[][], number[][]] = [[], []];
  let [main, drift] = [0, 0];
  for (let t = 0; t < T; t++) {
    const y = values.slice(t * W, (t + 1) * W);
    const size = Math.sqrt(add(y.map((value) => value ** 2)) / W + RMS_EPSILON);
    const h = y.map((value, w) => (of(parameters, "rmsnorm.gain")[w]! * value) / size);
    const score = range(EXPERTS).map((e) =>
      add(h.map((value, w) => value * of(parameters, "router.route")[w * EXPERTS + e]!)),
    );
    const total = add(score.map(Math.exp));
    drift += Math.log(total) ** 2 / T;
    const best = range(EXPERTS)
      .toSorted((a, b) => score[b]! - score[a]! || a - b)
      .slice(0, CHOSEN);
    score.forEach((value, e) => (probability[e]! += Math.exp(value) / total / T));
    const kept = add(best.map((e) => Math.exp(score[e]!)));
    chosen.push(best);
    placed.push(best.filter((e) => used[e]! < slots));
    for (const e of best) {
      choices[e]! += 1;
      if (used[e]! >= slots) continue;
      used[e]! += 1;
      expert(parameters, e, h).forEach((value, w) => {
        main += (Math.exp(score[e]!) / kept) * value * Math.sin(t + 2 * w);
      });
    }
  }
  const balance = EXPERTS * add(choices.map((count, e) => (count / (T * CHOSEN)) * probability[e]!));
  return { main, balance, drift, chosen, placed };
}

const examples = (parameters: Parameters, slots: number): readonly Worked[] =>
  range(BATCH).map((i) => worked(parameters, VALUES.slice(i * T * W, (i + 1) * T * W), slots));

const lossAt = (parameters: Parameters, slots: number): number =>
  add(examples(parameters, slots).map(({ main, balance, drift }) => main + 0.3 * balance + 0.2 * drift)) / BATCH;

function outputsOf(page: string, entry: string, parameters: Parameters): ReadonlyMap<string, ArrayLike<number>> {
  const graph = entriesOf(page, { facts }).graphs.find(({ name }) => name === entry)!;
  const bindings: [string, Vector][] = [...Object.entries(parameters), ["points.value", VALUES]];
  return evaluate(graph, new Map(bindings)).outputs;
}

describe.each([
  { name: "mixture, which computes all experts", page: dense, slots: T },
  { name: "routed_mixture of as many slots as tokens", page: routed(T), slots: T },
  { name: "routed_mixture of three slots", page: routed(3), slots: 3 },
  { name: "routed_mixture of one slot", page: routed(1), slots: 1 },
])("$name", ({ page, slots }) => {
  it("has the losses of plain loops", () => {
    expect(check(page, { file: "mixed.mhc" }).diagnostics).toEqual([]);
    const outputs = outputsOf(page, "loss", PARAMETERS);
    examples(PARAMETERS, slots).forEach((each, i) => {
      for (const name of ["main", "balance", "drift"] as const)
        expect(outputs.get(`term:${name}`)![i]).toBeCloseTo(each[name], 10);
    });
  });

  it("has the gradients of differences", () => {
    const outputs = outputsOf(page, "gradients", PARAMETERS);
    for (const [name, base] of Object.entries(PARAMETERS))
      base.forEach((value, k) => {
        const moved = (by: number): number => lossAt({ ...PARAMETERS, [name]: base.with(k, value + by) }, slots);
        expect(outputs.get(`gradient:${name}`)![k]).toBeCloseTo((moved(1e-5) - moved(-1e-5)) / 2e-5, 6);
      });
  });
});

it("the numbers of these tests leave no token without a place among many slots, and some among few", () => {
  const without = (slots: number): number =>
    add(examples(PARAMETERS, slots).map(({ chosen, placed }) => chosen.flat().length - placed.flat().length));
  expect(without(T)).toBe(0);
  expect(without(3)).toBeGreaterThan(0);
  expect(without(1)).toBeGreaterThan(without(3));
});

it.each([
  { name: "mixture", page: dense },
  { name: "routed_mixture", page: routed(T) },
])("of equal scores the first experts are chosen, exactly so many: $name", ({ page }) => {
  const equal = { ...PARAMETERS, "mix.router.route": new Array<number>(W * EXPERTS).fill(0) };
  expect(examples(equal, T)[0]!.chosen).toEqual(Array.from({ length: T }, () => [0, 1]));
  const outputs = outputsOf(page, "loss", equal);
  examples(equal, T).forEach(({ main, balance }, i) => {
    expect(outputs.get("term:main")![i]).toBeCloseTo(main, 10);
    // All probabilities are 1 / 4, and choices are shares that add up to 1.
    expect(balance).toBeCloseTo(1, 12);
    expect(outputs.get("term:balance")![i]).toBeCloseTo(1, 10);
  });
});

it(
  "a step of mixture.mhc costs at most 1.4 times that of one gated layer of the active size",
  { tags: "slow", timeout: 120_000 },
  async () => {
    const flops = async (text: string): Promise<number> => {
      const compiled = await compile(text, {
        file: "page.mhc",
        devices: ["wasm"],
        facts: { corpus: { vocabulary: [..."abcdefgh"] } },
      });
      return cost(compiled, profiles[0]!).by_block.reduce((sum, { flops_per_token }) => sum + flops_per_token, 0);
    };
    const page = readSpec("mixture");
    const active = page
      .replace(/routed_mixture\([^)]*\)/, "swiglu(chosen * hidden)")
      .replace(/ \+ [\d.]+ \* (?:balance|drift)/g, "")
      .replace("experts = 8, ", "");
    const [all, one] = [await flops(page), await flops(active)];
    expect(all / one).toBeLessThan(1.4);
    expect(all / one).toBeGreaterThan(1);
  },
);

describe("lora", () => {
  const page = `model Adapted {
  dim t = ${T}, w = ${W}, v = 2, rank = 2
  data points = examples("p/*.json", height = t, width = w, classes = 2)
  x[t, v] = lora(rank, scale = 3)(points.value) as low
  loss = sum[t, v](x[t, v] * sin(index(t) + 2 * index(v)))
  train { batch = ${BATCH}, steps = 1, optimizer = sgd(rate = 0.1) }
}
`;
  const parameters: Parameters = {
    "low.weight": numbers(W * 2, 1),
    "low.down": numbers(W * 2, 2),
    "low.up": numbers(2 * 2, 3),
  };
  const result = (at: Parameters, i: number): number =>
    add(
      range(T * 2).map((place) => {
        const [t, v] = [Math.floor(place / 2), place % 2];
        const y = VALUES.slice((i * T + t) * W, (i * T + t + 1) * W);
        const straight = add(y.map((value, w) => value * at["low.weight"]![w * 2 + v]!));
        const low = range(2).map((r) => add(y.map((value, w) => value * at["low.down"]![w * 2 + r]!)));
        const beside = add(low.map((value, r) => value * at["low.up"]![r * 2 + v]!));
        return (straight + (3 / 2) * beside) * Math.sin(t + 2 * v);
      }),
    );

  it("adds a product of low rank to a matrix that gets no gradient", () => {
    expect(check(page, { file: "adapted.mhc" }).diagnostics).toEqual([]);
    const losses = outputsOf(page, "loss", parameters).get("losses")!;
    range(BATCH).forEach((i) => expect(losses[i]).toBeCloseTo(result(parameters, i), 10));
    const gradients = outputsOf(page, "gradients", parameters);
    const meanAt = (at: Parameters): number => add(range(BATCH).map((i) => result(at, i))) / BATCH;
    for (const name of ["low.down", "low.up"])
      parameters[name]!.forEach((value, k) => {
        const moved = (by: number): number => meanAt({ ...parameters, [name]: parameters[name]!.with(k, value + by) });
        expect(gradients.get(`gradient:${name}`)![k]).toBeCloseTo((moved(1e-5) - moved(-1e-5)) / 2e-5, 6);
      });
    expect([...gradients.keys()].filter((name) => name.startsWith("gradient:")).toSorted()).toEqual([
      "gradient:low.down",
      "gradient:low.up",
    ]);
  });

  it("is the frozen matrix at first, since `up` starts at zeros", async () => {
    const model = await loaded(page, "javascript", { facts });
    const [down, up] = [model.parameters()["low.down"]!, model.parameters()["low.up"]!];
    expect([...(await up.get())]).toEqual([0, 0, 0, 0]);
    expect([...(await down.get())].every((value) => value !== 0)).toBe(true);
    await model.close();
  });
});
