/** What adapts is found, where the best value is known by construction. */
import { describe, expect, it } from "vitest";
import type { Model } from "../../runtime/model.js";
import { random } from "../helpers/cases.js";
import { loaded } from "../helpers/specs.js";

/**
 * Fits a model's one output to a target by Adam, all parameters but those that are held, and hands back the parameter
 * of what adapts.
 */
async function fit(
  model: Model,
  input: Readonly<Record<string, Float32Array>>,
  target: Float32Array,
  held: (name: string) => boolean,
  steps: number,
): Promise<readonly number[]> {
  const parameters = Object.entries(model.parameters()).filter(([name]) => !held(name));
  const values = await Promise.all(parameters.map(([, { get }]) => get()));
  const moments = values.map((value) => ({ m: new Float64Array(value.length), v: new Float64Array(value.length) }));
  for (let step = 1; step <= steps; step++) {
    const y = Object.values(await model.forward(input))[0]!;
    const { parameters: gradients } = await model.vjp(input, {
      y: y.map((value, i) => (2 * (value - target[i]!)) / y.length),
    });
    const rate = 0.05 * (1 - step / (steps + 1));
    parameters.forEach(([name, { set }], p) => {
      const { m, v } = moments[p]!;
      const g = gradients[name]!;
      values[p]!.forEach((_, i) => {
        m[i] = 0.9 * m[i]! + 0.1 * g[i]!;
        v[i] = 0.99 * v[i]! + 0.01 * g[i]! ** 2;
        values[p]![i]! -= (rate * m[i]!) / (1 - 0.9 ** step) / (Math.sqrt(v[i]! / (1 - 0.99 ** step)) + 1e-12);
      });
      set(values[p]!);
    });
  }
  const at = parameters.findIndex(([name]) => name.startsWith("M."));
  return [...values[at]!];
}

const sigmoid = ([x]: readonly number[]): number => 1 / (1 + Math.exp(-x!));

const drawn = (size: number, seed: number): Float32Array => {
  const next = random(seed);
  return Float32Array.from({ length: size }, () => 2 * next() - 1);
};

describe("what is best by construction is found within a tenth", () => {
  it.each([0.4, 3])("the radius %f of a sphere, with the direction learned beside it", async (radius) => {
    const page =
      "model R {\n dim n = 6\n input u[n]\n manifold M = sphere adapt radius in 0.1 .. 5\n param w[n] ~ " +
      "normal(1) on M\n output y[n] = u[n] * w[n]\n}";
    const model = await loaded(page, "javascript");
    const direction = drawn(6, 3);
    const size = Math.hypot(...direction);
    const found =
      0.1 +
      4.9 *
        sigmoid(
          await fit(
            model,
            { u: new Float32Array(6).fill(1) },
            direction.map((x) => (radius * x) / size),
            () => false,
            400,
          ),
        );
    expect(Math.abs(found / radius - 1)).toBeLessThan(0.1);
    await model.close();
  });

  it.each([0.5, 2])("the radius %f of a spectral ball, from a matrix of that norm", async (radius) => {
    const page =
      "model R {\n dim n = 4, m = 4, k = 4\n input u[n, m]\n manifold M = spectral_ball(iterations = 12) " +
      "adapt radius in 0.1 .. 5\n param w[n, m] ~ identity(20) on M\n output y[n, k] = u[n, m] * w[k, m]\n}";
    const model = await loaded(page, "javascript");
    // Identity coordinates far outside stay multiples of the identity: of the map only the radius is left to be
    // learned.
    const eye = Float32Array.from({ length: 16 }, (_, i) => (i % 5 === 0 ? 1 : 0));
    const found =
      0.1 +
      4.9 *
        sigmoid(
          await fit(
            model,
            { u: eye },
            eye.map((x) => radius * x),
            (name) => name === "w",
            400,
          ),
        );
    expect(Math.abs(found / radius - 1)).toBeLessThan(0.1);
    await model.close();
  });

  it.each([0.5, 4])("the curvature %f, from where tangent vectors of known length end", async (curvature) => {
    const page =
      "model C {\n dim k = 20, n = 3\n input u[k, n]\n manifold M = hyperbolic adapt curvature in 0.1 .. 8\n " +
      "output y[k, n] = M(u)\n}";
    const model = await loaded(page, "javascript");
    const u = drawn(60, 5);
    const target = Float32Array.from({ length: 60 }, (_, i) => {
      const size = Math.hypot(...u.subarray(i - (i % 3), i - (i % 3) + 3)) * Math.sqrt(curvature);
      return (Math.tanh(size) / size) * u[i]!;
    });
    const found = 0.1 + 7.9 * sigmoid(await fit(model, { u }, target, () => false, 400));
    expect(Math.abs(found / curvature - 1)).toBeLessThan(0.1);
    await model.close();
  });

  it.each([
    ["birkhoff(exact)", 0.3],
    ["birkhoff(exact)", 0.8],
    ["circulant", 0.5],
    ["stochastic", 0.5],
  ] as const)("how far %s is relaxed towards the identity: %f", async (set, relax) => {
    const page =
      `model X {\n dim n = 4, m = 4\n input u[n, m]\n manifold M = ${set} adapt relax in 0 .. 1\n mix[n, m] = ` +
      `M(free(u, M.free))\n output y[n, m] = mix[n, m]\n}\nblock free(u[n, m], k) {\n param z[k] ~ ` +
      `normal(1)\n return [k] = z[k] + sum[n, m](u)\n}`;
    const model = await loaded(page, "javascript");
    const u = { u: new Float32Array(16) };
    const raw = model.parameters()["M.relax"]!;
    raw.set([40]);
    const member = Object.values(await model.forward(u))[0]!;
    raw.set([3.9]);
    const target = member.map((value, i) => (1 - relax) * (i % 5 === 0 ? 1 : 0) + relax * value);
    expect(Math.abs(sigmoid(await fit(model, u, target, (name) => name !== "M.relax", 400)) / relax - 1)).toBeLessThan(
      0.1,
    );
    await model.close();
  });

  it.each([
    ["birkhoff(exact), circulant, identity", [0.5, 0.3, 0.2]],
    ["circulant, stochastic", [0.15, 0.85]],
  ] as const)("the weights of a mixture of %s: %j", async (parts, weights) => {
    const page =
      `model X {\n dim n = 4, m = 4\n input u[n, m]\n manifold M = mixture(${parts})\n mix[n, m] = M(free(u, ` +
      `M.free))\n output y[n, m] = mix[n, m]\n}\nblock free(u[n, m], k) {\n param z[k] ~ normal(1)\n return ` +
      `[k] = z[k] + sum[n, m](u)\n}`;
    const model = await loaded(page, "javascript");
    const u = { u: new Float32Array(16) };
    const raw = model.parameters()["M.weights"]!;
    const target = new Float32Array(16);
    for (const [i, weight] of weights.entries()) {
      raw.set(weights.map((_, j) => (i === j ? 40 : -40)));
      (await model.forward(u))["y"]!.forEach((value, at) => void (target[at]! += weight * value));
    }
    raw.set(weights.map(() => 0));
    const found = (await fit(model, u, target, (name) => name !== "M.weights", 400)).map(Math.exp);
    const sum = found.reduce((x, y) => x + y);
    for (const [i, weight] of weights.entries()) expect(Math.abs(found[i]! / sum / weight - 1)).toBeLessThan(0.1);
    await model.close();
  });
});

it.each([
  [4, 0.7],
  [4, 0.2],
  [0.25, 0.6],
])(
  "the share of a budget of %f that a matrix of known norm needs, %f, is found within a tenth",
  async (budget, share) => {
    const page =
      `model S {\n dim n = 4, m = 4, k = 4\n input u[n, m]\n param w[k, m] ~ identity(20)\n param v[k, m] ~ ` +
      `identity(20)\n output y[n, k] = u[n, m] * w[k, m]\n output z[n, k] = u[n, m] * v[k, m]\n constrain { ` +
      `norm(w) * norm(v) <= ${budget} shared }\n}`;
    const model = await loaded(page, "javascript");
    // Identity coordinates far outside stay multiples of the identity: of the map only the radius is left to be
    // learned.
    const eye = Float32Array.from({ length: 16 }, (_, i) => (i % 5 === 0 ? 1 : 0));
    const raw = model.parameters()["w.shares"]!;
    expect(Array.from(await raw.get())).toEqual([0, 0]);
    const values = [0, 0];
    for (let step = 0; step < 300; step++) {
      const y = (await model.forward({ u: eye }))["y"]!;
      const { parameters } = await model.vjp(
        { u: eye },
        { y: y.map((value, i) => value - budget ** share * eye[i]!), z: new Float32Array(16) },
      );
      parameters["w.shares"]!.forEach((slope, i) => void (values[i]! -= (0.2 * slope) / budget));
      raw.set(values);
    }
    expect(Math.abs(1 / (1 + Math.exp(values[1]! - values[0]!)) / share - 1)).toBeLessThan(0.1);
    await model.close();
  },
);
