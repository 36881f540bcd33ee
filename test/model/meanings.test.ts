/**
 * What pages mean: small ones, each with the value that it must have. Where nothing else is said, x is
 * [[1, 2], [3, 4], [5, 6]] over t and w, s is [1, -2, 3] over t, q is [10, -1] over w; values are worked out by hand,
 * and how is said where it is not plain.
 */
import { describe, expect, it } from "vitest";
import { outputsOf } from "../helpers/outputs.js";

const inputs = { x: [1, 2, 3, 4, 5, 6], s: [1, -2, 3], q: [10, -1] };

const BLOCKS = `block scale(y[a, b], by: number = 2) { return [a, b] = by * y[a, b] }
block affine(y[a, b], z[b]) {
  param m[b, c] ~ normal(0.1)
  return [a, c] = y[a, b] * m[b, c] + z[c]
}
block choose(f: block)(y[a, b]) { return [a, b] = f(y) + 1 }
connection halves(x[a, b], f) {
  y[a, b] = f(x)
  return [a, b] = x[a, b] / 2 + y[a, b]
}
`;

/** A page of these inputs and blocks. Its statements end in what `y` is. */
const pageOf = (statements: string): string => {
  const used = Object.entries({ x: "[t, w]", s: "[t]", q: "[w]" }).map(([name, axes]) => `  input ${name}${axes}\n`);
  const dims = "t = 3, w = 2, k = 3, u = t, v = w, half = w / 2, one = 1";
  return `model Meaning {\n  dim ${dims}\n${used.join("")}  ${statements}\n}\n${BLOCKS}`;
};

const valueOf = (source: string, parameters: Readonly<Record<string, readonly number[]>> = {}): readonly number[] =>
  outputsOf(pageOf(source), { ...inputs, ...parameters }).get("y")!;

type Case = readonly [string, readonly number[], Readonly<Record<string, readonly number[]>>?];

const cases = (list: readonly Case[]): readonly Required<Case>[] =>
  list.map(([source, expected, parameters = {}]) => [source, expected, parameters]);

const holds = (source: string, expected: readonly number[], parameters: Required<Case>[2]): void => {
  const found = valueOf(source, parameters);
  expect(found).toHaveLength(expected.length);
  expected.forEach((number, at) => expect(found[at]).toBeCloseTo(number, 9));
};

describe("products and sums", () => {
  it.each(
    cases([
      // 1 * 10 - 2, 3 * 10 - 4, 5 * 10 - 6.
      ["output y[t] = x[t, w] * q[w]", [8, 26, 44]],
      ["output y[] = s[t] * s[t]", [14]],
      // 1 - 2 * 3 + 3 * 5 and 2 - 2 * 4 + 3 * 6.
      ["output y[w] = s[t] * x[t, w]", [10, 12]],
      ["output y[t, w] = x + q[w]", [11, 1, 13, 3, 15, 5]],
      ["output y[w, t] = x[t, w]", [1, 3, 5, 2, 4, 6]],
      ["output y[t, u] = s[t] * s[u]", [1, -2, 3, -2, 4, -6, 3, -6, 9]],
      // All of x, 21, times the sum of q, 9, would be wrong: w is one axis.
      ["output y[] = x[t, w] * q[w] * s[t]", [8 - 52 + 132]],
      ["output y[t] = s[t] - 1 - 1", [-1, -4, 1]],
      ["output y[t] = 12 / 2 / s[t]", [6, -3, 2]],
      ["output y[t] = 2 * s[t] ^ 2", [2, 8, 18]],
      ["output y[t] = (1 + s[t]) * 2", [4, -2, 8]],
      // An axis is summed in the smallest product that holds both of its places, not in the sum around it.
      ["output y[t] = x[t, w] * q[w] + s[t]", [9, 24, 47]],
    ]),
  )("%s", holds);
});

describe("functions", () => {
  it.each(
    cases([
      ["output y[t] = sum[w](x)", [3, 7, 11]],
      ["output y[w] = mean[t](x)", [3, 4]],
      ["output y[t] = max[w](x)", [2, 4, 6]],
      ["output y[w] = min[t](x)", [1, 2]],
      ["output y[t] = prod[w](x)", [2, 12, 30]],
      ["output y[] = sum[t, w](x)", [21]],
      ["output y[t] = cumsum[t](s)", [1, -1, 2]],
      // e, e^-2 and e^3 over their sum.
      ["output y[t] = softmax[t](s)", [1, -2, 3].map((s) => Math.exp(s) / (Math.exp(1) + Math.exp(-2) + Math.exp(3)))],
      ["output y[w] = log_softmax[w](0 * q[w])", [-Math.log(2), -Math.log(2)]],
      ["output y[t] = min(s[t], 2)", [1, -2, 2]],
      ["output y[t] = max(s[t], 0) + relu(-s[t])", [1, 2, 3]],
      // The sign is that of what it divides by.
      ["output y[t] = mod(s[t], 2)", [1, 0, 1]],
      ["output y[t] = floor(s[t] / 2)", [0, -1, 1]],
      // Halves go to the even number: 0.5 to 0, 1.5 to 2.
      ["output y[t] = round(s[t] / 2) + 0", [0, -1, 2]],
      ["output y[t] = sign(s[t]) * abs(s[t])", [1, -2, 3]],
      ["output y[t] = atan2(s[t], -1)", [1, -2, 3].map((s) => Math.atan2(s, -1))],
      ["output y[t] = sigmoid(s[t]) + sigmoid(-s[t])", [1, 1, 1]],
      ["output y[t] = softplus(s[t]) - softplus(-s[t])", [1, -2, 3]],
      ["output y[t] = logit(sigmoid(s[t]))", [1, -2, 3]],
      ["output y[t] = sin(s[t]) ^ 2 + cos(s[t]) ^ 2", [1, 1, 1]],
      ["output y[t] = log(exp(s[t])) + erf(0) + tanh(0) + gelu(0) + silu(0)", [1, -2, 3]],
      // Random numbers are drawn while training alone.
      ["output y[t] = dropout(s[t], 0.5) + noise(s[t], 3)", [2, -4, 6]],
      ["output y[t] = stop(s[t])", [1, -2, 3]],
    ]),
  )("%s", holds);
});

describe("positions, conditions and indices", () => {
  it.each(
    cases([
      ["output y[t] = index(t) * size(t)", [0, 3, 6]],
      ["output y[t] = s[t] where t != 1 else 7", [1, 7, 3]],
      ["output y[t] = sum[u](s[u] where u <= t)", [1, -1, 2]],
      ["output y[t] = max[u](s[u] where u < t or u == 0)", [1, 1, 1]],
      // What is left out has no part in the mean: 1, (1 - 2) / 2, (1 - 2 + 3) / 3.
      ["output y[t] = mean[u](s[u] where u <= t)", [1, -0.5, 2 / 3]],
      ["output y[t] = s[t - 1] else 0", [0, 1, -2]],
      ["output y[t] = s[size(t) - 1 - t]", [3, -2, 1]],
      ["output y[t] = x[t, 1] - x[t, 0]", [1, 1, 1]],
      // A convolution with the weights 1, 10, 100; what is outside counts as 0.
      ["taps[k] = 10 ^ index(k)\n  output y[t] = s[t + k - 1] * taps[k]", [10 - 200, 1 - 20 + 300, -2 + 30]],
      ["output y[half] = x[2 * half + 1, 0]", [3]],
      ["output y[t] = s[t - 1] else s[t - 2] else 5", [5, 1, -2]],
    ]),
  )("%s", holds);
});

describe("recurrences", () => {
  it.each(
    cases([
      ["h[t] = s[t] + 0.5 * h[t - 1]\n  output y[t] = h", [1, -1.5, 2.25]],
      ["h[t] = s[t] + h[t + 1]\n  output y[t] = h", [2, 1, 3]],
      // Fibonacci's: 1 + 0, 1 + 0, 1 + 1.
      ["h[t] = (h[t - 1] else 1) + (h[t - 2] else 0)\n  output y[t] = h", [1, 1, 2]],
      ["a[t] = s[t] + b[t - 1]\n  b[t] = 2 * a[t]\n  output y[t] = b", [2, 0, 6]],
      // Of one place: each is a start.
      ["h[one] = 3 + 2 * h[one - 1]\n  output y[one] = h", [3]],
      ["h[one] = 3 + (h[one + 1] else 4)\n  output y[one] = h", [7]],
      ["h[t] = s[t] + h[t - 3] + (h[t - 4] else 1)\n  output y[t] = h", [2, -1, 4]],
      // h is [1, 2], then [3, 4] + [2, 1], then [5, 6] + [5, 5].
      ["h[t, w] = x[t, w] + sum[v](h[t - 1, v] where v != w)\n  output y[t, w] = h", [1, 2, 5, 5, 10, 11]],
    ]),
  )("%s", holds);
});

describe("blocks, streams and layers", () => {
  const m = [1, 0, 2, -1];
  it.each(
    cases([
      [`output y[t, w] = scale(x)`, [2, 4, 6, 8, 10, 12]],
      [`output y[t, w] = scale(x, by = 0.5)`, [0.5, 1, 1.5, 2, 2.5, 3]],
      [`number p = 1 / (k + 1)\n  output y[t, w] = scale(x, p)`, [0.25, 0.5, 0.75, 1, 1.25, 1.5]],
      // x times [[1, 0], [2, -1]] is [[5, -2], [11, -4], [17, -6]].
      [`output y[t, w] = affine(x, q)`, [15, -3, 21, -5, 27, -7], { "affine.m": m }],
      [`output y[t, w] = choose(scale)(x)`, [3, 5, 7, 9, 11, 13]],
      [
        `output y[t, w] = affine(affine(x, q) as first, q) as second`,
        [19, 2, 21, 4, 23, 6],
        {
          "first.m": m,
          // [15, -3] times the second m is [15 - 6, 3].
          "second.m": m,
        },
      ],
      ["stream z[t, w] = x\n  z = 2 * z\n  z = z + x\n  output y[t, w] = z", [3, 6, 9, 12, 15, 18]],
      [`stream z[t, w] = x\n  z through scale()\n  output y[t, w] = z`, [3, 6, 9, 12, 15, 18]],
      [`stream z[t, w] = x\n  z through scale() via halves\n  output y[t, w] = z`, [2.5, 5, 7.5, 10, 12.5, 15]],
      [
        `stream z[t, w] = x\n  z through affine(z = q)\n  output y[t, w] = z`,
        [16, -1, 24, -1, 32, -1],
        {
          "affine.m": m,
        },
      ],
      // (s + 0) + 1, then + 2: layers count from 0.
      ["stream z[t] = s\n  repeat 3 as l { z = z + l }\n  output y[t] = z", [4, 1, 6]],
      ["stream z[t] = s\n  repeat 2 { repeat 2 { z = 2 * z } }\n  output y[t] = z", [16, -32, 48]],
      [
        "stream z[t] = s\n  repeat 4 as l { if l % 2 == 0 { z = z + 1 } else { z = 2 * z } }\n  output y[t] = z",
        [10, -2, 18],
      ],
      // ((x * m) + q) twice by one matrix: 15, -3 becomes 15 - 6 + 10 and 3 - 1.
      [
        `stream z[t, w] = x\n  repeat 2 as l shared { z = affine(z, q) }\n  output y[t, w] = z`,
        [19, 2, 21, 4, 23, 6],
        {
          "repeat.affine.m": m,
        },
      ],
      // On a sphere, [3, 4] is [0.6, 0.8].
      ["param p[w] ~ normal(1) on sphere\n  output y[w] = 1 * p[w]", [0.6, 0.8], { p: [3, 4] }],
      ["param p[w] ~ ones\n  output y[t] = x[t, w] * p[w]", [-1, -1, -1], { p: [1, -1] }],
    ]),
  )("%s", holds);
});

describe("losses", () => {
  const page = (body: string): string => `model Losses {
  dim n = 2, classes = 3
  data points = examples("p.json", features = n, classes = classes)
  param a[n] ~ ones
  ${body}
  train { batch = 2, steps = 1, optimizer = sgd(rate = 0.1) }
}
`;
  const values = { "points.value": [1, 2, 3, 4], "points.label": [2, 0], a: [1, -1] };
  const at = (body: string, entry: string): ReadonlyMap<string, readonly number[]> =>
    outputsOf(page(body), values, { entry });

  it("are of each example, and their mean over the batch is descended", () => {
    const body = "loss = sum[n](a[n] * points.value[n] ^ 2)";
    // 1 - 4 and 9 - 16; a of the gradient is the mean of 1, 9 and of 4, 16.
    expect(at(body, "loss").get("losses")).toEqual([-3, -7]);
    expect(at(body, "gradients").get("loss")).toEqual([-5]);
    expect(at(body, "gradients").get("gradient:a")).toEqual([5, 10]);
  });

  it("have parts with names, and metrics beside them", () => {
    const body = `loss even = a[0] * points.value[0]
  loss odd = a[1] * points.value[1]
  loss = even + 10 * odd
  metric both = even * odd`;
    const found = at(body, "loss");
    expect(found.get("losses")).toEqual([-19, -37]);
    expect(found.get("term:even")).toEqual([1, 3]);
    expect(found.get("term:odd")).toEqual([-2, -4]);
    expect(found.get("metric:both")).toEqual([-2, -12]);
  });

  it("of classes are the cross entropy, and look up rows and ones by the label", () => {
    const body = `scores[classes] = a[0] * index(classes)
  one[classes] = one_hot[classes](points.label)
  loss = cross_entropy(scores, points.label)
  metric label = one[classes] * index(classes)
  metric row = scores[points.label]`;
    const found = at(body, "loss");
    const whole = Math.log(1 + Math.exp(1) + Math.exp(2));
    [whole - 2, whole].forEach((loss, i) => expect(found.get("losses")![i]).toBeCloseTo(loss, 12));
    expect(found.get("metric:label")).toEqual([2, 0]);
    expect(found.get("metric:row")).toEqual([2, 0]);
  });

  it("send nothing through `stop`", () => {
    const body = "loss = stop(a[0]) * a[1] + 0 * points.value[0]";
    expect(at(body, "gradients").get("gradient:a")).toEqual([0, 1]);
  });
});

describe("a cross entropy", () => {
  const page = (body: string): string => `model Marked {
  dim context = 3, vocab = 2
  data corpus = characters("t.txt", window = context)
  param table[vocab, vocab] ~ zeros
  scores[context, vocab] = table[corpus.token[context], vocab]
${body}
  train { batch = 1, steps = 2, optimizer = sgd(rate = 0.1) }
}`;
  // After a 0 the second class has odds of 3, after a 1 of 1.
  const values = { table: [0, Math.log(3), 0, 0], "corpus.token": [0, 1, 0], "corpus.next": [1, 0, 0] };
  const nats = [Math.log(4 / 3), Math.log(2), Math.log(4)] as const;
  const at = (body: string): ReadonlyMap<string, readonly number[]> =>
    outputsOf(page(body), values, { entry: "loss", facts: { corpus: { vocabulary: ["a", "b"] } } });

  it.each<readonly [string, string, number]>([
    ["is a mean over the axes of its target", "cross_entropy(scores, corpus.next)", (nats[0] + nats[1] + nats[2]) / 3],
    [
      "keeps those that a sum goes along",
      "sum[context](cross_entropy(scores, corpus.next))",
      nats[0] + nats[1] + nats[2],
    ],
    ["is under a mask", "sum[context](cross_entropy(scores, corpus.next) where context > 0)", nats[1] + nats[2]],
    [
      "is weighed place by place",
      "sum[context](index(context) * cross_entropy(scores, corpus.next))",
      nats[1] + 2 * nats[2],
    ],
    [
      "is a mean where it is a factor",
      "2 * cross_entropy(scores, corpus.next)",
      (2 * (nats[0] + nats[1] + nats[2])) / 3,
    ],
  ])("%s", (_, loss, wanted) => {
    expect(at(`  loss = ${loss}`).get("losses")![0]).toBeCloseTo(wanted, 12);
  });

  it.each(["scores[context, vocab]", "table[corpus.token[context], vocab]"])("takes the classes of %s", (logits) => {
    const found = at(`  loss = cross_entropy(${logits}, corpus.next[context])`).get("losses")![0];
    expect(found).toBeCloseTo((nats[0] + nats[1] + nats[2]) / 3, 12);
  });

  it("keeps the axes that the left side names", () => {
    const body = `  nats[context] = cross_entropy(scores, corpus.next)
  loss = nats[0] + 10 * nats[2]
  metric last = nats[2]`;
    const found = at(body);
    expect(found.get("losses")![0]).toBeCloseTo(nats[0] + 10 * nats[2], 12);
    expect(found.get("metric:last")![0]).toBeCloseTo(nats[2], 12);
  });
});
