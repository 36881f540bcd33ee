/**
 * What is read of a connection: through definitions, calls and names, what its gain is proved to be at most, or why
 * nothing is.
 */
import { describe, expect, it } from "vitest";
import { check } from "../../src/compile/compile.js";

const page = (
  body: string,
  { claim = "gain(x) <= 1e9", blocks = "", layers = 4, mixing = "birkhoff(exact)" } = {},
): string => `model Own {
  dim context = 4, width = 6, layers = ${layers}, lanes = 4
  input u[context, width]
  manifold Mixing = ${mixing}
  stream x[lanes, context, width] = copies(u)
  repeat layers {
    x through mlp(hidden = 8) via own(Mixing)
  }
  output v[context, width] = total(x)
  constrain { ${claim} }
}
${blocks}
connection own(M: manifold)(x[n, t, w], f) {
  dim m = n, k = n
${body}
}`;

/** The bound of the proof, or the reason why there is none. */
function proved(body: string, options: Parameters<typeof page>[1] = {}): number | string {
  const { model, diagnostics } = check(page(body, options), { file: "own.mhc" });
  const claim = model?.claims[0];
  if (claim?.proof) return Number(/, (\S+)$/.exec(claim.proof.at(-1)!)![1]);
  const found = diagnostics.find(({ code }) => code === "MHC305");
  if (!found) throw new Error(diagnostics.map(({ message }) => message).join("\n"));
  return found.notes.at(-1)!.message;
}

const block = "  z[t, w] = sum[n](x)\n  y[t, w] = f(z)\n";

describe("a gain is proved of", () => {
  it.each<readonly [string, string, number, Parameters<typeof page>[1]]>([
    [
      "what is defined from the stream",
      `${block}  a[n, t, w] = 9 * x[n, t, w]\n  return [n, t, w] = x[n, t, w] + a[n, t, w] + y[t, w]`,
      1e4,
      {},
    ],
    [
      "definitions of definitions, renamed",
      `${block}  a[n, t, w] = 2 * x\n  b[m, t, w] = a[m, t, w] - x[m, t, w]\n  return [n, t, w] = b[n, t, w] + y[t, w]`,
      3 ** 4,
      {},
    ],
    [
      "calls of other blocks",
      `${block}  return [n, t, w] = x + nine(x) + y[t, w]`,
      1e4,
      { blocks: "block nine(a[i, j, k]) {\n  b[i, j, k] = 3 * a\n  return [i, j, k] = 3 * b[i, j, k]\n}" },
    ],
    [
      "a block that another is handed",
      `${block}  return [n, t, w] = x + by(nine)(x) + y[t, w]`,
      1e4,
      {
        blocks:
          "block by(g: block)(a[i, j, k]) {\n  return [i, j, k] = g(a)\n}\nblock nine(a[i, j, k]) {\n  return " +
          "[i, j, k] = 9 * a[i, j, k]\n}",
      },
    ],
    [
      "a sum over lanes that all of them get",
      `${block}  return [n, t, w] = x[n, t, w] + 0.5 * z[t, w] + y[t, w]`,
      3 ** 4,
      {},
    ],
    ["a mean over lanes", `${block}  a[t, w] = mean[n](x)\n  return [n, t, w] = a[t, w] + y[t, w]`, 1, {}],
    [
      "half of a mix and half of the stream",
      `${block}  param p[n, m] ~ identity(1) on M\n  return [n, t, w] = 0.5 * x[n, t, w] + 0.5 * p[n, m] * ` +
        "x[m, t, w] + y[t, w]",
      1.00002,
      {},
    ],
    [
      "the product of two mixes",
      `${block}  param p[n, m], q[n, m] ~ identity(1) on M\n  return [n, t, w] = p[n, k] * q[k, m] * x[m, t, ` +
        "w] + y[t, w]",
      1.00008,
      {},
    ],
    [
      "a mix that is transposed",
      `${block}  param p[n, m] ~ identity(1) on M\n  return [n, t, w] = p[m, n] * x[m, t, w] + y[t, w]`,
      256.002,
      { mixing: "stochastic" },
    ],
    [
      "a gate below 1",
      `${block}  g[t, n] = sigmoid(gate(x, rms[n, w](x), n, zeros))\n  return [n, t, w] = g[t, n] * x[n, t, ` +
        "w] + y[t, w]",
      1,
      {},
    ],
    [
      "a softmax over lanes",
      `${block}  l[t, n, m] = matrixgate(x, rms[n, w](x), n, m, zeros)\n  g[t, n, m] = softmax[m](l[t, n, ` +
        `m])\n  return [n, t, w] = g[t, n, m] * x[m, t, w] + y[t, w]`,
      4 ** 4,
      {},
    ],
    [
      "a factor below 1, whose first layer is the largest",
      `${block}  return [n, t, w] = 0.5 * x[n, t, w] + y[t, w]`,
      0.5,
      {},
    ],
    ["a stream that is forgotten", `${block}  return [n, t, w] = y[t, w]`, 0, {}],
  ])("%s", (_, body, bound, options) => {
    expect(proved(body, options)).toBeCloseTo(bound, 3);
  });
});

describe("nothing is proved, with the reason, of", () => {
  it.each<readonly [string, string, RegExp, Parameters<typeof page>[1]]>([
    [
      "what is ten times the stream by a definition, within 1.5",
      `${block}  a[n, t, w] = 9 * x[n, t, w]\n  return [n, t, w] = x[n, t, w] + a[n, t, w] + y[t, w]`,
      /no more than 10000 can be proved/,
      { claim: "gain(x) <= 1.5" },
    ],
    [
      "a stream times itself by a definition",
      `${block}  a[n, t, w] = 0.1 * x\n  return [n, t, w] = a[n, t, w] * x[n, t, w] + y[t, w]`,
      /multiplied by what is computed from it/,
      {},
    ],
    [
      "a factor that is computed in place",
      `${block}  g[t, n] = sigmoid(x[n, t, w] * x[n, t, w])\n  return [n, t, w] = x[n, t, w] + y[t, w] + g[t, n]`,
      /multiplied by what is computed from it/,
      {},
    ],
    ["a norm", `${block}  return [n, t, w] = x[n, t, w] / rms[w](x) + y[t, w]`, /`rms` is taken of the stream/, {}],
    [
      "a function within a call",
      `${block}  return [n, t, w] = bent(x) + y[t, w]`,
      /`tanh` is taken of the stream/,
      { blocks: "block bent(a[i, j, k]) {\n  return [i, j, k] = tanh(a)\n}" },
    ],
    [
      "the largest of lanes",
      `${block}  a[t, w] = max[n](x)\n  return [n, t, w] = a[t, w] + y[t, w]`,
      /`max` is taken of the stream/,
      {},
    ],
    [
      "a free matrix",
      `${block}  param p[n, m] ~ identity(1)\n  q[n, m] = 0.5 * p[n, m]\n  return [n, t, w] = q[n, m] * x[m, ` +
        "t, w] + y[t, w]",
      /`q` is a free matrix/,
      {},
    ],
    [
      "a free gate",
      `${block}  g[t, n] = gate(x, rms[n, w](x), n, zeros)\n  return [n, t, w] = g[t, n] * x[n, t, w] + y[t, w]`,
      /`g` is free/,
      {},
    ],
    ["axes that are moved", `${block}  return [n, t, w] = x[t, n, w] + y[t, w]`, /moved to another place/, {}],
  ])("%s", (_, body, reason, options) => {
    expect(proved(body, options)).toMatch(reason);
  });
});

it("features are the last axis of what the block reads, wherever the lanes stand", () => {
  const own = (value: string): string => `model Own {
  dim context = 4, width = 6, layers = 4, lanes = 4
  input u[context, width]
  stream x[context, width, lanes] = u[context, width]
  repeat layers { x through mlp(hidden = 8) via own }
  output v[context, width] = sum[lanes](x)
  constrain { gain(x) <= 1.5 }
}
block sums(a[i, j, k]) {
  return [i, j] = sum[k](a)
}
connection own(x[t, w, n], f) {
  s[t, w] = sums(x)
  y[t, w] = f(s)
  return [t, w, n] = ${value}
}`;
  const messages = (value: string): string => JSON.stringify(check(own(value), { file: "own.mhc" }).diagnostics);
  expect(messages("x[t, w, n] + y[t, w]")).toBe("[]");
  expect(messages("x[t, w, n] + s[t, w] + y[t, w]")).toContain("no more than 625 can be proved");
});
