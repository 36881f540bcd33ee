/**
 * The losses and metrics of the standard library, in f64, against their formulas as papers write them: naive ones,
 * which overflow where those of the library do not. Their gradients are those of differences of the formulas.
 */
import { describe, expect, it } from "vitest";
import { check } from "../../src/compile/compile.js";
import { evaluate } from "../../src/graph/evaluate.js";
import { entriesOf } from "../helpers/specs.js";

type Vector = readonly number[];
type Matrix = readonly Vector[];

const sum = (x: Vector): number => x.reduce((total, value) => total + value, 0);
const mean = (x: Vector): number => sum(x) / x.length;
const softmax = (x: Vector): Vector => x.map((value) => Math.exp(value) / sum(x.map(Math.exp)));
const dot = (x: Vector, y: Vector): number => sum(x.map((value, i) => value * y[i]!));
const rows = (x: Vector, count: number): Matrix =>
  Array.from({ length: count }, (_, i) => x.slice((i * x.length) / count, ((i + 1) * x.length) / count));

const crossEntropy = (p: Vector, z: Vector): number => -sum(softmax(z).map((q, i) => p[i]! * Math.log(q)));
const oneHot = (label: number, size: number): Vector => Array.from({ length: size }, (_, k) => Number(k === label));
const smoothed = (amount: number, z: Vector, label: number): number =>
  crossEntropy(
    oneHot(label, z.length).map((p) => (1 - amount) * p + amount / z.length),
    z,
  );
const divergence = (a: Vector, z: Vector): number =>
  sum(softmax(a).map((p, i) => p * (Math.log(p) - Math.log(softmax(z)[i]!))));
const nce = (temperature: number, score: number, others: Vector): number =>
  -Math.log(Math.exp(score / temperature) / sum([score, ...others].map((s) => Math.exp(s / temperature))));
const binary = (z: Vector, y: Vector): number =>
  -mean(
    z.map((value, i) => {
      const p = 1 / (1 + Math.exp(-value));
      return y[i]! * Math.log(p) + (1 - y[i]!) * Math.log(1 - p);
    }),
  );
const huber = (delta: number, y: Vector, target: Vector): number =>
  mean(
    y.map((value, i) => {
      const off = Math.abs(value - target[i]!);
      return off <= delta ? off ** 2 / 2 : delta * (off - delta / 2);
    }),
  );
function clip(temperature: number, a: Matrix, b: Matrix): number {
  const unit = (x: Vector): Vector => x.map((value) => value / Math.sqrt(dot(x, x)));
  const scores = a.map((x) => b.map((y) => dot(unit(x), unit(y)) / temperature));
  const turned = b.map((_, j) => scores.map((row) => row[j]!));
  const each = (s: Matrix): number => mean(s.map((row, i) => crossEntropy(oneHot(i, row.length), row)));
  return (each(scores) + each(turned)) / 2;
}

/** Four numbers an example: three examples. Labels are the numbers of the files. */
const VALUES: Vector = [0.3, -1.2, 2.1, 0.4, -0.6, 0.9, 0.05, -2.2, 1.4, 1.3, -0.7, 0.8];
const LABELS: Vector = [2, 0, 3];
const SHIFT: Vector = [0.2, -0.5, 0.9, 1.7];
const LABEL_OF_TOKEN: Matrix = [
  [1, 0],
  [0, 1],
  [1, 1],
];

/** What a loss is of: an example's numbers moved by a parameter, other numbers of it, and its label. */
interface Case {
  /** Of `a[k]`, what is learned, and `b[k]`, which is given; `a2[t, j]` is a in two rows, and so is `b2`. */
  readonly written: string;
  readonly formula: (a: Vector, b: Vector, label: number, labels: Vector) => number;
}

const cases: Readonly<Record<string, Case>> = {
  squared_error: {
    written: "squared_error(a, b)",
    formula: (a, b) => mean(a.map((value, i) => (value - b[i]!) ** 2)),
  },
  absolute_error: {
    written: "absolute_error(a, b)",
    formula: (a, b) => mean(a.map((value, i) => Math.abs(value - b[i]!))),
  },
  huber: { written: "huber(a, b)", formula: (a, b) => huber(1, a, b) },
  "huber of a delta": { written: "huber(delta = 0.3)(a, b)", formula: (a, b) => huber(0.3, a, b) },
  binary_cross_entropy: {
    written: "binary_cross_entropy(a, sigmoid(b[k]))",
    formula: (a, b) =>
      binary(
        a,
        b.map((value) => 1 / (1 + Math.exp(-value))),
      ),
  },
  hinge: {
    written: "hinge(a, b)",
    formula: (a, b) => mean(a.map((value, i) => Math.max(0, 1 - value * b[i]!))),
  },
  log_sum_exp: { written: "log_sum_exp(a)", formula: (a) => Math.log(sum(a.map(Math.exp))) },
  smooth_cross_entropy: {
    written: "smooth_cross_entropy(a, points.label)",
    formula: (a, _, label) => smoothed(0.1, a, label),
  },
  token_smooth_cross_entropy: {
    written: "token_smooth_cross_entropy(amount = 0.3)(a2, tokens.next)",
    formula: (a, _b, _label, labels) => mean(rows(a, 2).map((z, t) => smoothed(0.3, z, labels[t]!))),
  },
  z_loss: { written: "z_loss(a)", formula: (a) => Math.log(sum(a.map(Math.exp))) ** 2 },
  token_z_loss: {
    written: "token_z_loss(a2)",
    formula: (a) => mean(rows(a, 2).map((z) => Math.log(sum(z.map(Math.exp))) ** 2)),
  },
  kl_divergence: { written: "kl_divergence(b, a)", formula: (a, b) => divergence(b, a) },
  "kl_divergence of its target": { written: "kl_divergence(a, b)", formula: (a, b) => divergence(a, b) },
  token_kl_divergence: {
    written: "token_kl_divergence(b2, a2)",
    formula: (a, b) => mean(rows(b, 2).map((p, t) => divergence(p, rows(a, 2)[t]!))),
  },
  info_nce: {
    written: "info_nce(temperature = 0.5)(sum[k](a[k] * b[k]), a)",
    formula: (a, b) => nce(0.5, dot(a, b), a),
  },
  clip_loss: { written: "clip_loss(temperature = 0.7)(a2, b2)", formula: (a, b) => clip(0.7, rows(a, 2), rows(b, 2)) },
};

/** A page whose loss is a block of the library; as a metric, where it has no derivative. */
const pageOf = (loss: string, metric = "0"): string => `model Losses {
  dim k = 4, t = 2, j = 2
  data points = examples("p/*.json", features = k, classes = k)
  data tokens = characters("t.txt", window = t)
  param shift[k] ~ zeros
  a[k] = points.value[k] + shift[k]
  b[k] = points.value[k] * points.value[k] - 0.5
  a2[t, j] = sum[k](a[k] where k == 2 * t + j)
  b2[t, j] = sum[k](b[k] where k == 2 * t + j)
  loss = ${loss}
  metric measured = ${metric}
  train { batch = 3, steps = 1, optimizer = sgd(rate = 0.1) }
}
`;

const facts = { points: { features: 4, classes: 4 }, tokens: { vocabulary: ["a", "b"] } };

const bindings = (shift: Vector, values = VALUES): ReadonlyMap<string, ArrayLike<number>> =>
  new Map([
    ["points.value", values],
    ["points.label", LABELS],
    ["tokens.next", LABEL_OF_TOKEN.flat()],
    ["tokens.token", LABEL_OF_TOKEN.flat()],
    ["shift", shift],
  ]);

const outputsOf = (
  page: string,
  entry: string,
  at: ReturnType<typeof bindings>,
): ReadonlyMap<string, ArrayLike<number>> =>
  evaluate(
    entriesOf(page, { facts }).graphs.find(({ name }) => name === entry)!,
    at,
  ).outputs;

/** The formula for each example. */
const worked = ({ formula }: Case, shift: Vector): Vector =>
  rows(VALUES, 3).map((x, i) =>
    formula(
      x.map((value, k) => value + shift[k]!),
      x.map((value) => value * value - 0.5),
      LABELS[i]!,
      LABEL_OF_TOKEN[i]!,
    ),
  );

describe("the library's losses", () => {
  it.each(Object.entries(cases))("%s", (_name, each) => {
    const page = pageOf(each.written);
    expect(
      check(page, { file: "losses.mhc", facts }).diagnostics.filter(({ severity }) => severity === "error"),
    ).toEqual([]);
    const losses = outputsOf(page, "loss", bindings(SHIFT)).get("losses")!;
    worked(each, SHIFT).forEach((value, i) => expect(losses[i]).toBeCloseTo(value, 10));
    const gradient = outputsOf(page, "gradients", bindings(SHIFT)).get("gradient:shift")!;
    SHIFT.forEach((value, k) => {
      const moved = (by: number): number => mean(worked(each, SHIFT.with(k, value + by)));
      expect(gradient[k]).toBeCloseTo((moved(1e-5) - moved(-1e-5)) / 2e-5, 6);
    });
  });

  it("are exact for scores whose exponentials no number holds", () => {
    const large = [900, -900, 850, 0];
    const at = bindings([0, 0, 0, 0], [...large, ...large, ...large]);
    const lossOf = (written: string): number => outputsOf(pageOf(written), "loss", at).get("losses")![0]!;
    // Where the right score leads, nothing is lost; where another does, what it leads by.
    expect(lossOf("binary_cross_entropy(a, 0 * a[k])")).toBeCloseTo((900 + 850 + Math.log(2)) / 4, 10);
    expect(lossOf("log_sum_exp(a)")).toBeCloseTo(900, 10);
    expect(lossOf("smooth_cross_entropy(amount = 0)(a, points.label)")).toBeCloseTo(50, 10);
    expect(lossOf("z_loss(a)")).toBeCloseTo(810_000, 6);
    expect(lossOf("kl_divergence(a, 0 * a[k])")).toBeCloseTo(Math.log(4), 10);
    expect(lossOf("info_nce(temperature = 1)(0, a)")).toBeCloseTo(900, 10);
  });

  it("accuracy is 1 where the label leads, and 0 where it does not; of tokens it is their share", () => {
    const page = pageOf("squared_error(a, b)", "accuracy(a, points.label)");
    expect(Array.from(outputsOf(page, "loss", bindings([0, 0, 0, 0])).get("metric:measured")!)).toEqual([1, 0, 0]);
    const moved = bindings([0, 0, 0, 1]);
    expect(Array.from(outputsOf(page, "loss", moved).get("metric:measured")!)).toEqual([1, 0, 1]);
    const tokens = pageOf("squared_error(a, b)", "token_accuracy(a2, tokens.next)");
    // Rows of two: [0.3, -1.2], [2.1, 0.4]; [-0.6, 0.9], [0.05, -2.2]; [1.4, 1.3], [-0.7, 0.8].
    expect(Array.from(outputsOf(tokens, "loss", bindings([0, 0, 0, 0])).get("metric:measured")!)).toEqual([
      0.5, 0, 0.5,
    ]);
  });
});
