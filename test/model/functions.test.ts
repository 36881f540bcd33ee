/**
 * Functions of the language against their definitions, values and gradients: what is written here, computed by hand or
 * by a loop that says what the function is.
 */
import { describe, expect, it } from "vitest";
import type { DeviceName } from "../../runtime/device.js";
import { check } from "../../src/compile/compile.js";
import { evaluate } from "../../src/graph/evaluate.js";
import { everyDevice } from "../helpers/devices.js";
import { facts as seaFacts, text as sea } from "../helpers/small.js";
import { distance, entriesOf, loaded } from "../helpers/specs.js";
import { compareSteps } from "../helpers/steps.js";

type Values = readonly number[];

const T = 3;
const W = 12;
/** Numbers that are neither equal nor small, of both signs. */
const spread = (size: number, scale = 1, shift = 0): number[] =>
  Array.from({ length: size }, (_, i) => shift + scale * Math.sin(1.7 * i + 0.3) * (1 + (i % 7) / 5));

/** A page with the inputs x[t, w] and z[t, w], and y on these axes. */
const page = (value: string, axes = "t, w", dims = `t = ${T}, w = ${W}`): string =>
  `model M {\n  dim ${dims}\n  input x[t, w]\n  input z[t, w]\n  output y[${axes}] = ${value}\n}\n`;

/** The entries of the pages of this file, which are made once. */
const made = new Map<string, ReturnType<typeof entriesOf>>();

function run(text: string, inputs: Readonly<Record<string, Values>>, entry: "forward" | "vjp" = "forward") {
  const entries = made.get(text) ?? entriesOf(text);
  made.set(text, entries);
  const graph = entries.graphs.find(({ name }) => name === entry)!;
  return evaluate(graph, new Map(Object.entries(inputs))).outputs;
}

const valuesOf = (text: string, x: Values, z: Values = x.map(() => 1)): number[] => [...run(text, { x, z }).get("y")!];

/** The gradients of the sum of weights times y, and the same by differences of the values. */
function gradientsOf(text: string, x: Values, z: Values = x.map(() => 1)) {
  const size = valuesOf(text, x, z).length;
  const weights = spread(size, 0.7, 0.1);
  const found = run(text, { x, z, "cotangent:y": weights }, "vjp");
  const total = (moved: Values): number =>
    valuesOf(text, moved, z).reduce((sum, value, i) => sum + value * weights[i]!, 0);
  const h = 1e-5;
  const differences = x.map((_, i) => {
    const at = (by: number): number[] => x.map((value, j) => (i === j ? value + by : value));
    return (total(at(h)) - total(at(-h))) / (2 * h);
  });
  return { x: [...found.get("cotangent:x")!], z: [...(found.get("cotangent:z") ?? [])], differences, weights };
}

const rows = (x: Values): number[][] => Array.from({ length: T }, (_, t) => x.slice(t * W, (t + 1) * W));
const close = (got: Values, wanted: Values): void => expect(distance(got, wanted)).toBeLessThan(1e-9);

describe("place by place", () => {
  const some = [-2.5, -1.5, -0.5, 0, 0.5, 1.5, 2.5, -0.49999997, 0.49999997, 3.2, -3.7, 8388609, -1e30, 1e-30];
  const small = `t = 1, w = ${some.length}`;

  it("sign, floor and round are what they say, and no gradient goes through them", () => {
    expect(valuesOf(page("sign(x)", "t, w", small), some)).toEqual(some.map((x) => Math.sign(x)));
    expect(valuesOf(page("floor(x)", "t, w", small), some)).toEqual(some.map((x) => Math.floor(x)));
    // Halves go to the even number.
    expect(valuesOf(page("round(x)", "t, w", small), some).map((x) => x + 0)).toEqual([
      -2, -2, 0, 0, 0, 2, 2, 0, 0, 3, -4, 8388609, -1e30, 0,
    ]);
    for (const f of ["sign", "floor", "round"])
      expect(gradientsOf(page(`${f}(x)`, "t, w", small), some).x).toEqual(some.map(() => 0));
    expect(valuesOf(page("sign(x)", "t, w", "t = 1, w = 3"), [Number.NaN, Infinity, -Infinity])).toEqual([NaN, 1, -1]);
    expect(valuesOf(page("round(x)", "t, w", "t = 1, w = 2"), [Infinity, -Infinity])).toEqual([Infinity, -Infinity]);
  });

  it("mod has the sign of what it divides by, and the gradients 1 and -floor(x / y)", () => {
    const x = [7.5, -7.5, 7.5, -7.5, 3];
    const z = [2, 2, -2, -2, 5];
    const text = page("mod(x, z)", "t, w", "t = 1, w = 5");
    expect(valuesOf(text, x, z)).toEqual([1.5, 0.5, -0.5, -1.5, 3]);
    const { x: dx, z: dz, weights } = gradientsOf(text, x, z);
    close(dx, weights);
    close(
      dz,
      [-3, 4, 4, -3, 0].map((slope, i) => slope * weights[i]!),
    );
  });

  it("atan2 is the angle of a point, whose gradients are x and -y over the square of its distance", () => {
    const y = [1, 1, -1, -1, 0, 3];
    const x = [2, -2, 2, -2, -1, 0];
    const text = page("atan2(x, z)", "t, w", "t = 1, w = 6");
    close(
      valuesOf(text, y, x),
      y.map((height, i) => Math.atan2(height, x[i]!)),
    );
    const { x: dy, z: dx, weights } = gradientsOf(text, y, x);
    const square = y.map((height, i) => height ** 2 + x[i]! ** 2);
    close(
      dy,
      x.map((width, i) => (width / square[i]!) * weights[i]!),
    );
    close(
      dx,
      y.map((height, i) => (-height / square[i]!) * weights[i]!),
    );
    expect(gradientsOf(page("atan2(x, z)", "t, w", "t = 1, w = 1"), [0], [0]).x).toEqual([0]);
  });

  it("stop is the value, and no gradient goes through it", () => {
    const x = spread(T * W);
    expect(valuesOf(page("stop(x) * z"), x)).toEqual(x);
    const { x: dx, z: dz, weights } = gradientsOf(page("stop(x) * z + x"), x);
    expect(dx).toEqual(weights);
    close(
      dz,
      x.map((value, i) => value * weights[i]!),
    );
  });
});

describe("along axes", () => {
  const x = spread(T * W);
  const guarded = (f: string): string => page(`${f}[w](x where z > 0)`, "t");
  /** Half of the places are absent, and in the last row all. */
  const present = x.map((_, i) => (i >= (T - 1) * W || i % 2 === 0 ? -1 : 1));
  const kept = (row: number, values: Values): Values => values.filter((_, w) => present[row * W + w]! > 0);

  it("min is the smallest, and of those that are present", () => {
    expect(valuesOf(page("min[w](x)", "t"), x)).toEqual(rows(x).map((row) => Math.min(...row)));
    const found = valuesOf(guarded("min"), x, present);
    expect(found.slice(0, -1)).toEqual(
      rows(x)
        .slice(0, -1)
        .map((row, t) => Math.min(...kept(t, row))),
    );
    const { x: dx, differences } = gradientsOf(page("min[w](x)", "t"), x);
    expect(distance(dx, differences)).toBeLessThan(1e-6);
  });

  it("prod is the product, where a factor is 0 too, and what is absent is 1", () => {
    const factors = x.map((value, i) => (i === 3 || i === W + 1 || i === W + 9 ? 0 : value));
    const product = (values: Values): number => values.reduce((a, b) => a * b, 1);
    close(valuesOf(page("prod[w](x)", "t"), factors), rows(factors).map(product));
    close(
      valuesOf(guarded("prod"), factors, present),
      rows(factors).map((row, t) => product(kept(t, row))),
    );
    const { x: dx, weights } = gradientsOf(page("prod[w](x)", "t"), factors);
    close(
      dx,
      rows(factors).flatMap((row, t) => row.map((_, w) => weights[t]! * product(row.filter((__, i) => i !== w)))),
    );
    // Over several axes, one factor at every place.
    close(valuesOf(page("prod[t, w](x)", "", "t = 2, w = 3"), [1, 2, 3, 4, 5, 6]), [720]);
    close(
      gradientsOf(page("prod[t, w](x)", "", "t = 2, w = 3"), [1, 2, 3, 4, 5, 0]).x.map((d) => d / 0.1 / 120),
      [0, 0, 0, 0, 0, gradientsOf(page("prod[t, w](x)", "", "t = 2, w = 3"), [1, 2, 3, 4, 5, 0]).weights[0]! / 0.1],
    );
  });

  it("log_softmax is the logarithm of softmax, for large scores too", () => {
    const log = (row: Values): number[] => {
      const most = Math.max(...row);
      const total = Math.log(row.reduce((sum, value) => sum + Math.exp(value - most), 0));
      return row.map((value) => value - most - total);
    };
    const large = x.map((value) => 1e4 * value);
    for (const values of [x, large]) close(valuesOf(page("log_softmax[w](x)"), values), rows(values).flatMap(log));
    const { x: dx, differences } = gradientsOf(page("log_softmax[w](x)"), x);
    expect(distance(dx, differences)).toBeLessThan(1e-6);
    const masked = valuesOf(page("exp(log_softmax[w](x where z > 0))"), x, present);
    const shares = rows(x).map((row, t) => log(kept(t, row)).map(Math.exp));
    expect(masked.slice(0, W).filter((share) => share !== 0)).toHaveLength(W / 2);
    close(
      masked.slice(0, W).filter((share) => share !== 0),
      shares[0]!,
    );
  });

  it.each([1, 7, 24, 48, 53, 1000])("cumsum over %i positions is the sum up to each", (size) => {
    const values = spread(2 * size);
    const text = page("cumsum[w](x)", "t, w", `t = 2, w = ${size}`);
    const running = (row: Values): number[] => row.map((_, w) => row.slice(0, w + 1).reduce((a, b) => a + b, 0));
    close(valuesOf(text, values), [values.slice(0, size), values.slice(size)].flatMap(running));
    const weights = spread(2 * size, 0.7, 0.1);
    const found = run(text, { x: values, z: values, "cotangent:y": weights }, "vjp").get("cotangent:x")!;
    const backwards = (row: Values): number[] => running(row.toReversed()).toReversed();
    close([...found], [weights.slice(0, size), weights.slice(size)].flatMap(backwards));
  });

  it("cumsum goes along an axis that is not the last, and over what is present", () => {
    const found = valuesOf(
      page("cumsum[t](x where z > 0)", "t, w", "t = 3, w = 2"),
      [1, 2, 3, 4, 5, 6],
      [1, 1, -1, 1, 1, 1],
    );
    expect(found).toEqual([1, 2, 1, 6, 6, 12]);
    // What is not finite counts from its place on, and not before it.
    const infinite = [1, 2, Infinity, 4, ...spread(44)];
    const sums = valuesOf(page("cumsum[w](x)", "t, w", "t = 1, w = 48"), infinite);
    expect(sums.slice(0, 4)).toEqual([1, 3, Infinity, Infinity]);
    expect(sums.at(-1)).toBe(Infinity);
  });

  it("argmax is the first of the largest, which can be computed with, compared and looked up", () => {
    const values = [1, 3, 3, -2, -1, -1, 0, 0];
    const dims = "t = 2, w = 4";
    expect(valuesOf(page("argmax[w](x)", "t", dims), values)).toEqual([1, 2]);
    expect(valuesOf(page("argmax[w](x where index(w) > 1)", "t", dims), values)).toEqual([2, 2]);
    expect(valuesOf(page("2 * argmax[w](x) + 1", "t", dims), values)).toEqual([3, 5]);
    expect(valuesOf(page("exp(argmax[w](x)) - max(argmax[w](x), 1.5)", "t", dims), values)).toEqual([
      Math.E - 1.5,
      Math.exp(2) - 2,
    ]);
    expect(valuesOf(page("sum[t](1 where argmax[w](x) == 2)", "", dims), values)).toEqual([1]);
    expect(gradientsOf(page("argmax[w](x)", "t", dims), values).x).toEqual(values.map(() => 0));
    const named = `model M {
      dim t = 2, w = 4, v = 3
      input x[t, w]
      param table[w, v] ~ normal(0.1)
      best[t] = argmax[w](x)
      same[t] = passed(best)
      output y[t, v] = table[best, v] + same[t]
    }
    block passed(i[t]) { return [t] = 0 * i[t] }`;
    const table = spread(12);
    expect([...run(named, { x: values, table }).get("y")!]).toEqual([...table.slice(3, 6), ...table.slice(6, 9)]);
  });

  it("one_hot is 1 at the number and 0 elsewhere, and chooses in a product", () => {
    const values = [1, 3, 3, -2, -1, -1, 0, 0];
    const dims = "t = 2, w = 4, v = w";
    expect(valuesOf(page("one_hot[v](argmax[w](x))", "t, v", dims), values)).toEqual([0, 1, 0, 0, 0, 0, 1, 0]);
    const z = spread(8);
    expect(valuesOf(page("one_hot[v](argmax[w](x)) * z[t, v]", "t", dims), values, z)).toEqual([z[1], z[6]]);
  });
});

it("a largest score is compared with a label of the data", () => {
  const text = `model M {
    dim t = 3
    data corpus = characters("x.txt", window = t)
    dim v = corpus.vocab
    dim u = v
    param s[v, u] ~ normal(1)
    scores[t, u] = s[corpus.token, u]
    best = argmax[u](scores)
    right = sum[t](1 where best == corpus.next)
    same = sum[t, u](one_hot[u](best) * one_hot[u](corpus.next))
    loss = cross_entropy(scores, corpus.next) + 100 * right + 10000 * same
    train { batch = 2, steps = 2, optimizer = sgd(rate = 0.1) }
  }`;
  const facts = { corpus: { vocabulary: ["a", "b", "c"] } };
  const graph = entriesOf(text, { facts }).graphs.find(({ name }) => name === "loss")!;
  const s = [0, 2, 1, 5, 1, 1, 0, 0, 3];
  const [token, next] = [
    [0, 1, 2, 2, 1, 0],
    [1, 2, 2, 0, 0, 1],
  ];
  const losses = evaluate(
    graph,
    new Map<string, Values>([
      ["s", s],
      ["corpus.token", token!],
      ["corpus.next", next!],
    ]),
  ).outputs;
  // The largest of each row is 1, 0 and 2: of the first example 1 and 2 are right, of the second 0 and 1.
  expect([...losses.values()][0]!.map((loss) => Math.floor(loss / 100) * 100)).toEqual(
    new Float64Array([20_200, 20_200]),
  );
});

it("whole numbers of the data are numbers in a value, and stay whole under a name and in a block", () => {
  const text = `model M {
    dim t = 3
    data corpus = characters("x.txt", window = t)
    dim v = corpus.vocab, u = v
    param s[v, u] ~ normal(1)
    token[t] = corpus.token
    scores[t, u] = s[token, u]
    sum2[t] = 2 * token + max(corpus.token, 1.5) + same(token)
    loss = cross_entropy(scores, argmax[u](scores)) + sum[t](sum2)
    train { batch = 1, steps = 2, optimizer = sgd(rate = 0.1) }
  }
  block same(i[n]) { return [n] = i }`;
  const facts = { corpus: { vocabulary: ["a", "b", "c"] } };
  const graph = entriesOf(text, { facts }).graphs.find(({ name }) => name === "loss")!;
  const losses = evaluate(
    graph,
    new Map<string, Values>([
      ["s", [0, 99, 0, 0, 0, 99, 99, 0, 0]],
      ["corpus.token", [0, 1, 2]],
      ["corpus.next", [0, 0, 0]],
    ]),
  ).outputs;
  expect([...losses.values()][0]![0]).toBeCloseTo(2 * 3 + (1.5 + 1.5 + 2) + 3, 9);
});

/** A page that trains through functions whose derivatives are kernels of their own. */
const TRAINED = `model Trained {
  dim context = 13, width = 24, parts = 3, part = 8
  data corpus = characters("text", window = context)
  dim v = corpus.vocab
  param split[width, parts, part] ~ normal(0.3)
  param head[parts, v] ~ normal(0.3)
  x[context, width] = embed(corpus.token)
  y[context, width] = x + cumsum[context](mod(3 * x, 0.5)) / 5 + cumsum[width](x) / 9
  z[context, parts, part] = y[context, width] * split[width, parts, part]
  product[context, parts] = prod[part](1 + z / 4)
  least[context, parts] = min[part](z where index(part) > 1)
  angle[context, parts] = sum[part](atan2(z, 1 + z ^ 2) * stop(sign(z)))
  share[context, parts] = log_softmax[parts](angle)
  best[context] = argmax[parts](share)
  s[context, parts] = product + least + share * (1 + one_hot[parts](best))
  logits[context, v] = unembed(y) + s[context, parts] * head[parts, v]
  loss = cross_entropy(logits, corpus.next)
  train { batch = 5, steps = 100, optimizer = sgd(rate = 0.05) }
}
`;

const TRAINS = "steps through functions are those of the evaluator on %s";
const trains = async (name: DeviceName): Promise<void> => {
  const { losses, parameters, fell } = await compareSteps(TRAINED, sea, seaFacts, name, 2);
  expect(losses).toBeLessThan(2e-5);
  expect(parameters).toBeLessThan(2e-4);
  expect(fell).toBe(true);
};
it.each(["wasm"] as const)(TRAINS, trains);
it.each(everyDevice.filter((name) => name !== "wasm"))(TRAINS, { tags: "slow", timeout: 180_000 }, trains);

const ALL = `model M {
  dim t = 5, w = 48, v = w
  input x[t, w]
  input z[t, w]
  output a[t, w] = sign(x) + floor(3 * x) + round(5 * x) + mod(x, 0.7)
  output b[t, w] = atan2(x, z)
  output c[t] = min[w](x) + prod[w](1 + x / 10)
  output d[t, w] = log_softmax[w](x where z > 0)
  output e[t, w] = cumsum[w](x) + cumsum[t](z)
  output f[t] = argmax[w](x)
  output g[t, v] = one_hot[v](argmax[w](x)) * stop(x[t, v])
}`;

describe.each(everyDevice)("on %s", (name) => {
  it("functions are what the evaluator says", async () => {
    const inputs = { x: spread(240).map(Math.fround), z: spread(240, 2, 0.37).map(Math.fround) };
    const wanted = run(ALL, inputs);
    const model = await loaded(ALL, name);
    const found = await model.forward({ x: Float32Array.from(inputs.x), z: Float32Array.from(inputs.z) });
    await model.close();
    for (const [key, values] of wanted) expect(distance(found[key]!, values), key).toBeLessThan(3e-6);
  });
});

it("a stream that is stopped has the gain that it has, and what is dropped has none that is known", () => {
  const claimed = (change: string): readonly string[] =>
    check(
      `model M {
        dim n = 2, m = n
        input u[n]
        stream x[n] = u
        param mix[n, m] ~ identity(2)
        x = ${change}
        output y[n] = x
        constrain {
          mix on birkhoff
          gain(x) <= 1.001
        }
      }`,
      { file: "p.mhc" },
    ).diagnostics.map(({ message, notes, fix }) => [message, ...notes.map((note) => note.message), fix].join(" "));
  expect(claimed("mix[n, m] * x[m]")).toEqual([]);
  expect(claimed("mix[n, m] * stop(x[m])")).toEqual([]);
  expect(claimed("noise(mix[n, m] * x[m], 0.1)")).toEqual([]);
  expect(claimed("dropout(mix[n, m] * x[m], 0.1)").join()).toMatch(/`dropout` drops numbers of the stream/);
});

it("a parameter that only `stop`, `floor` or `argmax` reads is told that no gradient reaches it", () => {
  const warned = (value: string): readonly string[] =>
    check(
      `model M {
        dim w = 3
        dim c = 2
        data d = examples("d.csv", features = w, classes = c)
        param p[w], q[w, c] ~ normal(1)
        scores[c] = d.value[w] * q[w, c]
        loss = cross_entropy(scores, d.label) + ${value}
        train { batch = 2, steps = 2, optimizer = sgd(rate = 0.1) }
      }`,
      { file: "p.mhc" },
    ).diagnostics.map(({ message }) => message);
  expect(warned("sum[w](p)")).toEqual([]);
  for (const value of ["sum[w](stop(p))", "sum[w](floor(p))", "sum[w](sign(p))", "argmax[w](p)", "sum[w](round(p))"])
    expect(warned(value).join(), value).toMatch(/no gradient reaches `p`/);
});
