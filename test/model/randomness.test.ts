/**
 * Random numbers of a page: what is drawn, by its statistics and by its bits on every device; that nothing is drawn
 * outside of training; and that a gradient meets the mask of its step, also where activations are computed twice.
 */
import { describe, expect, it } from "vitest";
import type { DeviceName } from "../../runtime/device.js";
import { check } from "../../src/compile/compile.js";
import { createBuilder } from "../../src/graph/create-builder.js";
import { vjp } from "../../src/graph/differentiate.js";
import { evaluate } from "../../src/graph/evaluate.js";
import type { Graph, Node } from "../../src/graph/node.js";
import { sizeOf } from "../../src/graph/record.js";
import { nodesOf } from "../../src/graph/topology.js";
import { lower } from "../../src/model/lower/lower.js";
import { recompute } from "../../src/passes/recompute.js";
import { everyDevice, hasCompiler } from "../helpers/devices.js";
import { runGraph } from "../helpers/graphs.js";
import { facts, text } from "../helpers/small.js";
import { distance, entriesOf } from "../helpers/specs.js";
import { compareSteps } from "../helpers/steps.js";

const [T, W, LAYERS] = [64, 96, 3];
const SIZE = 2 * T * W;
const ONES: readonly number[] = Array.from({ length: SIZE }, () => 1);

/** The output y of a page with the input x[t, w], for two examples, as a training step computes it. */
function drawn(value: string, more = ""): { readonly graph: Graph; readonly x: Node; readonly y: Node } {
  const page = `model M {\n  dim t = ${T}, w = ${W}, layers = ${LAYERS}\n  input x[t, w]\n  ${value}\n}\n${more}`;
  const { model, diagnostics } = check(page, { file: "p.mhc" });
  if (!model) throw new Error(diagnostics.map(({ message }) => message).join("\n"));
  const b = createBuilder();
  const { outputs, inputs } = lower(model, b, { batch: 2, draws: true });
  const [x, y] = [inputs.get("x")!, outputs.get("y")!];
  const [slope] = vjp(b, [y], [b.fill(1, y.shape)], [x]);
  return { graph: { name: "g", outputs: new Map([...outputs, ["slope", slope!]]), updates: new Map() }, x, y };
}

const bindings = (step = 3, seed = 5): ReadonlyMap<string, readonly number[]> =>
  new Map([
    ["x", ONES],
    ["step", [step]],
    ["seed", [seed]],
  ]);

const valuesOf = (graph: Graph, name = "y", step = 3, seed = 5): number[] => [
  ...evaluate(graph, bindings(step, seed)).outputs.get(name)!,
];

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
/** The share of places at which two results differ. */
const differing = (a: readonly number[], b: readonly number[]): number =>
  a.filter((value, i) => value !== b[i]).length / a.length;

describe("dropout", () => {
  const P = 0.3;
  const { graph } = drawn(`output y[t, w] = dropout(x, ${P})`);
  /** Four standard deviations of a share of all places. */
  const rare = 4 * Math.sqrt((P * (1 - P)) / SIZE);

  it("makes a number 0 with its probability and else larger by as much, so that the mean stays", () => {
    const y = valuesOf(graph);
    expect(new Set(y).size).toBe(2);
    expect(Math.max(...y)).toBeCloseTo(1 / (1 - P), 12);
    const dropped = y.filter((value) => value === 0).length / SIZE;
    expect(Math.abs(dropped - P)).toBeLessThan(rare);
    expect(Math.abs(mean(y) - 1)).toBeLessThan(rare / (1 - P));
    // Neighbours know nothing of each other: rows and columns are as the whole.
    const pairs = (by: number): number => mean(y.slice(by).map((value, i) => Number(value === 0 && y[i] === 0)));
    for (const by of [1, W, T * W]) expect(Math.abs(pairs(by) - P * P), `${by} apart`).toBeLessThan(0.02);
  });

  it("draws anew at every step and for every seed, and the same again for the same", () => {
    const y = valuesOf(graph);
    const apart = 2 * P * (1 - P);
    expect(valuesOf(graph)).toEqual(y);
    for (const other of [valuesOf(graph, "y", 4), valuesOf(graph, "y", 3, 6)])
      expect(Math.abs(differing(y, other) - apart)).toBeLessThan(0.03);
  });

  it("has the gradient of its mask", () => {
    expect(valuesOf(graph, "slope")).toEqual(valuesOf(graph));
  });

  it("draws otherwise in every use, every layer, and every use of a block", () => {
    const block = "block dropped(p: number)(y[t, w]) { return [t, w] = dropout(y, p) }";
    const several = drawn(
      `stream s[t, w] = x
  repeat layers { s = s + 10 * dropout(x, 0.5) - 5 * dropped(0.5)(x) }
  output y[t, w] = dropout(x, 0.5)
  output z[t, w] = dropout(x, 0.5)
  output u[t, w] = dropped(0.5)(x)
  output v[t, w] = dropped(0.5)(x)
  output last[t, w] = s`,
      block,
    );
    const [y, z, u, v] = ["y", "z", "u", "v"].map((name) => valuesOf(several.graph, name));
    for (const [a, c] of [
      [y, z],
      [y, u],
      [u, v],
      [z, v],
    ])
      expect(Math.abs(differing(a!, c!) - 0.5)).toBeLessThan(0.03);
    // Three sums of three masks of their own, times 20 and -10: had two layers one mask, there were fewer values.
    expect(new Set(valuesOf(several.graph, "last")).size).toBe(
      new Set([0, 1, 2, 3].flatMap((i) => [0, 1, 2, 3].map((j) => 20 * i - 10 * j))).size,
    );
    const keys = new Set(nodesOf(several.graph).flatMap((node) => (node.op === "literal" ? [node.attrs.data[0]] : [])));
    expect(keys.size).toBe(4 + 2 * LAYERS);
  });

  it("of probability 0 is the value, and takes what a page computes", () => {
    const none = drawn("output y[t, w] = dropout(x, 0)");
    expect(none.y).toBe(none.x);
    expect(nodesOf(drawn("output y[t, w] = noise(x, 0)").graph).some(({ op }) => op === "threefry")).toBe(false);
    const sized = valuesOf(drawn("output y[t, w] = dropout(x, 1 / layers)").graph);
    expect(Math.abs(sized.filter((value) => value === 0).length / SIZE - 1 / LAYERS)).toBeLessThan(0.02);
  });
});

describe("noise", () => {
  it("adds normal numbers of its deviation, which no gradient sees", () => {
    const { graph } = drawn("output y[t, w] = noise(x, 0.5)");
    const z = valuesOf(graph).map((value) => (value - 1) / 0.5);
    const moment = (k: number): number => mean(z.map((value) => value ** k));
    const rare = 4 / Math.sqrt(SIZE);
    expect(Math.abs(moment(1))).toBeLessThan(rare);
    expect(Math.abs(moment(2) - 1)).toBeLessThan(rare * Math.SQRT2);
    expect(Math.abs(moment(3))).toBeLessThan(rare * Math.sqrt(15));
    expect(Math.abs(moment(4) - 3)).toBeLessThan(rare * Math.sqrt(96));
    // 31.7% of normal numbers are farther away than one deviation.
    expect(Math.abs(mean(z.map((value) => Number(Math.abs(value) > 1))) - 0.3173)).toBeLessThan(rare / 2);
    expect(valuesOf(graph, "slope")).toEqual([...ONES]);
  });
});

describe.each(everyDevice)("on %s", (name) => {
  it("masks have the bits of the reference, and noise its numbers", async () => {
    const { graph } = drawn("output y[t, w] = dropout(x, 0.3)\n  output z[t, w] = noise(x, 0.5)");
    const wanted = evaluate(graph, bindings()).outputs;
    const found = await runGraph(name, graph, bindings());
    const isZero = (values: ArrayLike<number>): boolean[] => Array.from(values, (value) => value === 0);
    expect(isZero(found.get("y")!)).toEqual(isZero(wanted.get("y")!));
    expect(isZero(found.get("slope")!)).toEqual(isZero(wanted.get("slope")!));
    expect(distance(found.get("y")!, wanted.get("y")!)).toBeLessThan(1e-6);
    expect(distance(found.get("z")!, wanted.get("z")!)).toBeLessThan(1e-6);
  });
});

/** A page that drops numbers with a probability, here and there, and adds noise; and what else its training says. */
const dropping = (p: number, deviation: number, training = ""): string => `model Dropped {
  dim context = 13, width = 24, layers = ${LAYERS}
  data corpus = characters("text", window = context)
  stream x[context, width] = dropout(embed(corpus.token), ${p})
  repeat layers {
    x through wide(${p})
  }
  loss = cross_entropy(unembed(noise(x, ${deviation})), corpus.next)
  train { batch = 5, steps = 100, optimizer = sgd(rate = 0.5)${training} }
}
block wide(p: number)(y[t, w]) {
  dim hidden = 2 * w
  param up[w, hidden], down[hidden, w] ~ normal(0.2)
  z[t, w] = dropout(norm(y), p)
  h[t, hidden] = dropout(relu(z[t, w] * up[w, hidden]), p)
  return [t, w] = dropout(h[t, hidden] * down[hidden, w], p)
}
`;

/** Numbers for the leaves of a graph. */
function leavesOf(graph: Graph): ReadonlyMap<string, readonly number[]> {
  const values = new Map<string, readonly number[]>([
    ["seed", [3]],
    ["step", [7]],
  ]);
  for (const { op, attrs, shape, dtype } of nodesOf(graph))
    if ((op === "parameter" || op === "input") && !values.has(attrs.name))
      values.set(
        attrs.name,
        Array.from({ length: sizeOf(shape) }, (_, i) => (dtype === "u32" ? i % 7 : Math.sin(i))),
      );
  return values;
}

describe("training", () => {
  const entries = entriesOf(dropping(0.2, 0.05), { facts });
  const graphOf = (name: string): Graph => entries.graphs.find((graph) => graph.name === name)!;
  const draws = (graph: Graph): number => nodesOf(graph).filter(({ op }) => op === "threefry").length;

  it("draws in the step, and nowhere else", () => {
    expect(draws(graphOf("train"))).toBe(1 + 3 * LAYERS + 2);
    for (const { name } of entries.graphs) if (name !== "train") expect(draws(graphOf(name)), name).toBe(0);
    expect(entries.graphs.map(({ name }) => name)).toEqual(expect.arrayContaining(["loss", "gradients", "forward"]));
  });

  it("evaluates as the page without random numbers", () => {
    const plain = entriesOf(dropping(0, 0), { facts }).graphs.find(({ name }) => name === "loss")!;
    const values = leavesOf(plain);
    const [found, wanted] = [graphOf("loss"), plain].map((graph) => [...evaluate(graph, values).outputs.values()]);
    expect(found).toEqual(wanted);
  });

  it("meets the same masks where activations are computed twice", () => {
    const train = graphOf("train");
    const values = leavesOf(train);
    const again = recompute(train, entries.forwards.get("train")!, () => 1);
    expect(draws(again)).toBeGreaterThan(draws(train));
    const [a, b] = [train, again].map((graph) => evaluate(graph, values));
    expect(b!.outputs).toEqual(a!.outputs);
    expect(b!.updates).toEqual(a!.updates);
  });

  const STEPS = "takes the steps of the evaluator on %s%s";
  const isThat = async (name: DeviceName, asked: string): Promise<void> => {
    const { losses, parameters, fell } = await compareSteps(dropping(0.2, 0.05, asked), text, facts, name, 2);
    expect(losses).toBeLessThan(1e-5);
    expect(parameters).toBeLessThan(1e-4);
    expect(fell).toBe(true);
  };
  it.each([["wasm", ", recompute = every 1"]] as const)(STEPS, isThat);
  it.skipIf(!hasCompiler).each([["native", ""]] as const)(STEPS, { tags: "slow" }, isThat);
  it.each([
    ["wasm", ""],
    ["javascript", ""],
  ] as const)(STEPS, { tags: "slow" }, isThat);
});
