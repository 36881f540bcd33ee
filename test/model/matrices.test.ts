/** Which parameters of a page are matrices, and which of their axes are rows: as the page multiplies by them. */
import { describe, expect, it } from "vitest";
import { createBuilder } from "../../src/graph/create-builder.js";
import { check } from "../../src/compile/compile.js";
import { lower } from "../../src/model/lower/lower.js";
import { readSpec } from "../helpers/specs.js";

const facts = { corpus: { vocabulary: [..."abcdefghijk"] } };

/**
 * `wq: w -> heads, d` for every matrix of a page: rows, and columns behind the arrow; what counts them before a colon.
 */
function matrices(text: string, set: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> {
  const { model, diagnostics } = check(text, { file: "page.mhc", facts, set });
  if (!model) throw new Error(diagnostics.map(({ message }) => message).join("\n"));
  return Object.fromEntries(
    lower(model, createBuilder(), { batch: 1 }).parameters.flatMap(({ name, axes, matrix }) => {
      if (!matrix) return [];
      const [each, rows, columns] = [matrix.each, matrix.rows, matrix.columns].map((side) =>
        side.map((axis) => axes[axis]).join(", "),
      );
      return [[name, `${each ? `each ${each}: ` : ""}${rows} -> ${columns}`]];
    }),
  );
}

/** A page with a block `own`, of this body. */
const page = (body: string, logits = "unembed(x)", constrain = ""): string => `model Page {
  dim context = 6, width = 8
  data corpus = characters("text", window = context)
  stream x[context, width] = embed(corpus.token) + positions()
  x through own()
  loss = cross_entropy(${logits}, corpus.next)
  ${constrain}
  train { batch = 2, steps = 3, optimizer = muon(rate = 1e-3) }
}
block own(y[t, w]) {
  ${body}
}
`;
const PLAIN = `dim hidden = 12
  param a[w, hidden], b[hidden, w] ~ normal(0.1)
  h[t, hidden] = y[t, w] * a[w, hidden]
  return [t, w] = h[t, hidden] * b[hidden, w]`;

it("of nanoGPT: those of attention and of the perceptron, and not the tied table, positions or gains", () => {
  expect(matrices(readSpec("nanogpt"), { layers: "1" })).toEqual({
    "layers.0.attention.wq": "w -> heads, d",
    "layers.0.attention.wk": "w -> heads, d",
    "layers.0.attention.wv": "w -> heads, d",
    "layers.0.attention.out": "heads, d -> w",
    "layers.0.mlp.up": "w -> hidden",
    "layers.0.mlp.down": "hidden -> w",
  });
});

it("of Moby-Dick: the gates' products with the streams too, and not the head", () => {
  const found = matrices(readSpec("moby-dick"), { layers: "1" });
  expect(Object.keys(found).filter((name) => name.includes(".phi")).length).toBe(6);
  expect([found["layers.0.attention.mhc.read.phi"], found["layers.0.attention.mhc.mix.phi"]]).toEqual([
    "n, w -> k",
    "n, w -> k",
  ]);
  expect(found["layers.0.attention.out"]).toBe("heads, d -> w");
  for (const name of ["unembed.weight", "embed.table", "positions.table", "layers.0.attention.mhc.mix.b"])
    expect(found).not.toHaveProperty([name]);
});

it("of a classifier: all but the scores", () => {
  const { model } = check(readSpec("digits"), { file: "digits.mhc" });
  expect(
    lower(model!, createBuilder(), { batch: 1 })
      .parameters.filter(({ matrix }) => matrix)
      .map(({ name }) => name),
  ).toEqual(["first.weight", "second.weight"]);
});

describe("on a page of one's own", () => {
  it.each([
    [
      "an axis that is left and that the other factor has counts matrices",
      `dim n = 2, d = w / 2, e = 3
      param s[w, n, d], a[n, d, e], c[n, e, w] ~ normal(1)
      z[t, n, d] = y[t, w] * s[w, n, d]
      u[t, n, e] = z[t, n, d] * a[n, d, e]
      return [t, w] = u[t, n, e] * c[n, e, w]`,
      "each n: d -> e",
    ],
    [
      "a gain beside it counts nothing",
      `dim v = 5
      param a[w, v], g[v], c[v, w] ~ normal(1)
      z[t, v] = y[t, w] * a[w, v] * g[v]
      return [t, w] = z[t, v] * c[v, w]`,
      "w -> v",
    ],
    [
      "another name is no other use, nor is the transposed",
      `dim v = 5
      param a[w, v] ~ normal(1)
      again[v, w] = a[w, v]
      z[t, v] = y[t, w] * again[v, w]
      return [t, w] = z[t, v] * a[w, v]`,
      "w -> v",
    ],
    [
      "what is added as well is none",
      `dim v = 5
      param a[w, v] ~ normal(1)
      z[t, v] = y[t, w] * a[w, v]
      return [t, w] = z[t, v] * (a[w, v] + 1)`,
      undefined,
    ],
    [
      "nor is what one divides by",
      `dim v = 5
      param a[w, v], c[v, w] ~ normal(1)
      z[t, v] = y[t, w] / a[w, v]
      return [t, w] = z[t, v] * c[v, w]`,
      undefined,
    ],
    [
      "nor what two products see differently",
      `dim v = 5, k = 4
      param a[w, v, k], c[v, k, w] ~ normal(1)
      z[t, v, k] = y[t, w] * a[w, v, k]
      r[t, w, k] = z[t, v, k] * a[w, v, k]
      return [t, w] = r[t, w, k] * c[v, k, w] * z[t, v, k]`,
      undefined,
    ],
    [
      "nor a column",
      `dim v = 1
      param a[w, v], c[v, w] ~ normal(1)
      z[t, v] = y[t, w] * a[w, v]
      return [t, w] = z[t, v] * c[v, w]`,
      undefined,
    ],
    [
      "nor what nothing reads",
      `dim v = 5
      param a[w, v] ~ normal(1)
      return [t, w] = y[t, w]`,
      undefined,
    ],
  ])("%s", (_, body, expected) => expect(matrices(page(body))["own.a"]).toBe(expected));

  it("what is on a set is none: it is trained through its map", () => {
    expect(matrices(page(PLAIN, "unembed(x)", "constrain { own.a each hidden on sphere }"))).toEqual({
      "own.b": "hidden -> w",
    });
  });

  it("the head is the last product before the loss, behind functions, sums and gains", () => {
    const found = matrices(`${page(PLAIN, "capped(x, 7)")}
block capped(y[t, w], k) {
  param inner[w, k], weight[k, v], bias[v], scale[v] ~ normal(0.1)
  z[t, k] = y[t, w] * inner[w, k]
  s[t, v] = tanh(z[t, k] * weight[k, v] + bias[v])
  return [t, v] = scale[v] * s[t, v]
}
`);
    expect(Object.keys(found)).toEqual(["own.a", "own.b", "capped.inner"]);
  });
});
