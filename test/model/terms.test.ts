/**
 * Losses that have names, and metrics: their values against the same numbers worked out here in plain arithmetic, the
 * gradient of their weighted sum against differences of those, and what is said of a page that gets them wrong.
 */
import { describe, expect, it } from "vitest";
import { format } from "../../grammar/format.js";
import { check } from "../../src/compile/compile.js";
import { evaluate } from "../../src/graph/evaluate.js";
import { printModel } from "../../src/model/print.js";
import { entriesOf } from "../helpers/specs.js";

/** Losses of a block in a block, of a connection, of what it wraps, and of a block that the loss itself uses. */
const PAGE = `model Terms {
  dim width = 3, layers = 2, classes = 4
  data points = examples("p/*.json", features = width, classes = classes)
  stream x[width] = points.value
  repeat layers {
    x through push() via carry
  }
  /// The part that is of the label.
  loss main = cross_entropy(scores(x), points.label)
  loss = main + 0.1 * size + 0.5 * bend + 0.01 * peak
  scored[classes] = plain(x)
  metric right = accuracy(scored, points.label)
  metric twice = 2 * size
  train { batch = 2, steps = 2, optimizer = sgd(rate = 0.1) }
}

block accuracy(s[k], label[]) {
  best[] = max[k](s)
  return [] = sum[k](1 where k == label and best <= s)
}

block plain(y[w]) {
  return [k] = sum[w](y[w]) * index(k)
}

connection carry(x[w], f) {
  param a[w] ~ normal(1)
  y[w] = f(x)
  loss bend = sum[w](a[w] ^ 2 * x[w])
  return [w] = x[w] + a[w] * y[w]
}

block push(y[w]) {
  param b[w] ~ normal(1)
  h[w] = inner(y)
  return [w] = tanh(b[w] * h[w])
}

block inner(y[w]) {
  param c[w] ~ normal(1)
  /// How large what comes in is.
  loss size = mean[w](c[w] * y[w] ^ 2)
  return [w] = y[w] + c[w]
}

block scores(y[w]) {
  param d[w, k] ~ normal(1)
  s[k] = y[w] * d[w, k]
  loss peak = log(sum[k](exp(s))) ^ 2
  return [k] = s[k]
}
`;

const BATCH = 2;
const values = [0.3, -0.8, 1.1, -0.4, 0.9, 0.2];
const labels = [3, 1];

type Parameters = ReadonlyMap<string, readonly number[]>;

const shapes: Readonly<Record<string, number>> = {
  "layers.0.push.carry.a": 3,
  "layers.0.push.b": 3,
  "layers.0.push.inner.c": 3,
  "layers.1.push.carry.a": 3,
  "layers.1.push.b": 3,
  "layers.1.push.inner.c": 3,
  "scores.d": 12,
};

/** Numbers of no pattern between -1 and 1. */
const parameters: Parameters = new Map(
  Object.entries(shapes).map(([name, size], i) => [
    name,
    Array.from({ length: size }, (_, k) => Math.sin(1 + 7 * i + 3 * k)),
  ]),
);

const add = (list: readonly number[]): number => list.reduce((sum, value) => sum + value, 0);

interface Expected {
  readonly main: number;
  readonly size: number;
  readonly bend: number;
  readonly peak: number;
  readonly right: number;
}

/** The page in plain arithmetic, for one example. */
function worked(at: Parameters, example: number): Expected {
  let x = values.slice(3 * example, 3 * example + 3);
  let size = 0;
  let bend = 0;
  for (const layer of [0, 1]) {
    const of = (name: string): readonly number[] => at.get(`layers.${layer}.push.${name}`)!;
    const [a, b, c] = [of("carry.a"), of("b"), of("inner.c")];
    size += add(x.map((value, w) => c[w]! * value ** 2)) / 3;
    bend += add(x.map((value, w) => a[w]! ** 2 * value));
    x = x.map((value, w) => value + a[w]! * Math.tanh(b[w]! * (value + c[w]!)));
  }
  const d = at.get("scores.d")!;
  const s = [0, 1, 2, 3].map((k) => add(x.map((value, w) => value * d[4 * w + k]!)));
  const whole = Math.log(add(s.map(Math.exp)));
  const label = labels[example]!;
  // The scores of the metric rise with k where the sum of x is positive, and fall where it is not.
  const best = add(x) > 0 ? 3 : 0;
  return { main: whole - s[label]!, size, bend, peak: whole ** 2, right: Number(best === label) };
}

const weighed = ({ main, size, bend, peak }: Expected): number => main + 0.1 * size + 0.5 * bend + 0.01 * peak;
const lossAt = (at: Parameters): number => add([0, 1].map((i) => weighed(worked(at, i)))) / BATCH;

const bindings = new Map<string, readonly number[]>([
  ...parameters,
  ["points.value", values],
  ["points.label", labels],
  ["step", [0]],
  ["seed", [1]],
]);

const formatted = (text: string): string => format(text, "page.mhc").text ?? "it does not parse";

const graphOf = (page: string, name: string): ReturnType<typeof entriesOf>["graphs"][number] =>
  entriesOf(page).graphs.find((graph) => graph.name === name)!;

describe("named losses and metrics", () => {
  it("have the values of plain arithmetic, example by example, summed over layers", () => {
    const { outputs } = evaluate(graphOf(PAGE, "loss"), bindings);
    const expected = [0, 1].map((i) => worked(parameters, i));
    for (const name of ["main", "size", "bend", "peak"] as const)
      expected.forEach((each, i) => expect(outputs.get(`term:${name}`)![i]).toBeCloseTo(each[name], 10));
    expected.forEach((each, i) => {
      expect(outputs.get("losses")![i]).toBeCloseTo(weighed(each), 10);
      expect(outputs.get("metric:right")![i]).toBe(each.right);
      expect(outputs.get("metric:twice")![i]).toBeCloseTo(2 * each.size, 10);
    });
    // Otherwise the metric would be told apart from a constant by nothing.
    expect(new Set(expected.map(({ right }) => right))).toEqual(new Set([0, 1]));
  });

  it("are means over the batch in a step", () => {
    const { outputs } = evaluate(graphOf(PAGE, "train"), bindings);
    const mean = (name: keyof Expected): number => add([0, 1].map((i) => worked(parameters, i)[name])) / BATCH;
    for (const name of ["main", "size", "bend", "peak"] as const)
      expect(outputs.get(`term:${name}`)![0]).toBeCloseTo(mean(name), 10);
    expect(outputs.get("metric:right")![0]).toBeCloseTo(mean("right"), 10);
    expect(outputs.get("loss")![0]).toBeCloseTo(lossAt(parameters), 10);
  });

  it("are descended by their weights: the gradient is that of differences", () => {
    const { outputs } = evaluate(graphOf(PAGE, "gradients"), bindings);
    const step = 1e-5;
    for (const [name, base] of parameters)
      base.forEach((value, k) => {
        const moved = (by: number): number =>
          lossAt(new Map([...parameters, [name, base.with(k, value + by)] as const]));
        const slope = (moved(step) - moved(-step)) / (2 * step);
        expect(outputs.get(`gradient:${name}`)![k]).toBeCloseTo(slope, 6);
      });
  });

  it("leave the gradient to the loss: what is not weighed, and a metric, move nothing", () => {
    const alone = PAGE.replace("main + 0.1 * size + 0.5 * bend + 0.01 * peak", "main");
    const none = alone.replaceAll(/ {2}(?:metric|loss (?:size|bend|peak)) .*\n/g, "");
    expect(none).not.toContain("metric");
    const slopes = (page: string): ReadonlyMap<string, ArrayLike<number>> => {
      const { outputs } = evaluate(graphOf(page, "gradients"), bindings);
      return new Map([...outputs].filter(([name]) => name.startsWith("gradient:")));
    };
    expect(slopes(alone)).toEqual(slopes(none));
  });

  it("stand anywhere: the loss before the blocks whose losses it weighs", () => {
    const early = `model Early {
  dim width = 3
  data points = examples("p/*.json", features = width, classes = width)
  loss = sum[width](points.value[width] ^ 2) + 3 * size
  h[width] = inner(points.value)
  output y[width] = h[width]
  train { batch = 2, steps = 2, optimizer = sgd(rate = 0.1) }
}
block inner(y[w]) {
  loss size = sum[w](y[w])
  return [w] = 2 * y[w]
}
`;
    const { outputs } = evaluate(graphOf(early, "loss"), bindings);
    [0, 1].forEach((i) => {
      const x = values.slice(3 * i, 3 * i + 3);
      expect(outputs.get("losses")![i]).toBeCloseTo(add(x.map((v) => v ** 2)) + 3 * add(x), 10);
    });
  });

  it("count where nothing else of a block's use is needed", () => {
    const page = `model Alone {
  dim width = 3
  data points = examples("p/*.json", features = width, classes = width)
  h[width] = inner(points.value)
  loss = size
  train { batch = 2, steps = 2, optimizer = sgd(rate = 0.1) }
}
block inner(y[w]) {
  param c[w] ~ ones
  loss size = sum[w](c[w] * y[w])
  return [w] = 2 * y[w]
}
`;
    expect(check(page, { file: "alone.mhc" }).diagnostics).toEqual([]);
    const { outputs } = evaluate(graphOf(page, "gradients"), new Map([...bindings, ["inner.c", [1, 1, 1]]]));
    const means = [0, 1, 2].map((w) => (values[w]! + values[3 + w]!) / 2);
    means.forEach((mean, w) => expect(outputs.get("gradient:inner.c")![w]).toBeCloseTo(mean, 12));
  });

  it("are in the printed model", () => {
    const { model } = check(PAGE, { file: "terms.mhc" });
    const text = printModel(model!);
    expect(text).toContain("loss size = mean[w]((c[w] * (y[w] ^ 2)))");
    expect(text).toMatch(
      /\n {2}loss size = the sum over its blocks\n {2}loss bend = .*\n {2}loss peak = .*\n {2}loss main/,
    );
    expect(text).toContain("  metric twice = (2 * size)");
  });
});

describe("what is said of a page", () => {
  const page = (loss: string, rest = ""): string => `model Said {
  dim context = 4, width = 4
  data corpus = characters("t.txt", window = context)
  stream x[context, width] = embed(corpus.token)
  x through router()
  loss = ${loss}
${rest}  train { batch = 2, steps = 3, optimizer = adamw(rate = 1e-2) }
}

block router(y[t, w]) {
  param route[w] ~ zeros
  p[t] = sigmoid(y[t, w] * route[w])
  spread[t] = p[t] - mean[t](p)
  loss balance = mean[t](spread ^ 2)
  return [t, w] = 2 * y[t, w]
}
`;
  const ce = "cross_entropy(unembed(x), corpus.next)";
  const warned = (text: string): readonly string[] =>
    check(text, { file: "said.mhc" }).diagnostics.map(
      ({ code, severity, message }) => `${code} ${severity} ${message}`,
    );

  it("a loss that the page does not weigh is a warning, and so is a parameter of it alone", () => {
    expect(warned(page(ce))).toEqual([
      "MHC221 warning no gradient reaches `router.route`: training leaves it as it starts",
      "MHC220 warning the page's loss does not weigh `balance`: it is measured, and nothing descends it",
    ]);
  });

  it("one that is weighed, or that a metric reads, is none", () => {
    expect(warned(page(`${ce} + 0.1 * balance`))).toEqual([]);
    expect(warned(page(ce, "  metric spread = 2 * balance\n"))).toEqual([
      "MHC221 warning no gradient reaches `router.route`: training leaves it as it starts",
    ]);
  });

  it("a part of the page's own that the loss leaves out is a warning", () => {
    expect(warned(page(`${ce} + balance`, "  loss large = mean[context, width](x ^ 2)\n"))).toEqual([
      "MHC220 warning the page's loss does not weigh `large`: it is measured, and nothing descends it",
    ]);
  });

  it("a metric may have a name of the page's: nothing reads it", () => {
    expect(
      warned(page(`${ce} + balance`, "  large[context] = max[width](x)\n  metric large = mean[context](large)\n")),
    ).toEqual([]);
  });

  it("a block that a page does not weigh needs no loss where the page has none", () => {
    const forward = page(ce)
      .replace(/ {2}loss = .*\n/, "  output y[context, width] = x[context, width]\n")
      .replace(/ {2}train .*\n/, "");
    expect(warned(forward)).toEqual([]);
    expect(
      entriesOf(forward, { facts: { corpus: { vocabulary: [..."abc"] } } }).graphs.map(({ name }) => name),
    ).toEqual(["forward", "vjp"]);
  });

  it("the layout keeps named losses and metrics, with their comments", () => {
    const tidy = page(
      `${ce} + balance`,
      "  /// Of the numbers.\n  metric size = mean[context, width](abs(x)) // told\n",
    );
    const untidy = tidy.replaceAll(" = ", "=").replaceAll("  metric size", "     metric   size");
    expect(formatted(untidy)).toBe(formatted(tidy));
    expect(formatted(tidy)).toContain("  /// Of the numbers.\n  metric size = mean[context, width](abs(x)) // told\n");
    expect(formatted(tidy)).toContain("  loss balance = mean[t](spread ^ 2)\n");
  });
});
