/** Distances on a page: by the formulas of the papers, between all points that its axes name, and with what adapts. */
import { describe, expect, it } from "vitest";
import type { DeviceName } from "../../runtime/device.js";
import { check } from "../../src/compile/compile.js";
import { printModel } from "../../src/model/print.js";
import { random } from "../helpers/cases.js";
import { cpuDevices } from "../helpers/devices.js";
import { distance as apart, loaded } from "../helpers/specs.js";

const page = (space: string, rest = ""): string => `model Apart {
  dim n = 3, m = 2, d = 5
  manifold Space = ${space}
  input u[n, d]
  input v[d, m]
  ${rest || "output y[m, n] = Space.distance[d](u, v)"}
}
`;

/** Points of norms below 0.95, and one near the border. */
const points = (count: number, seed: number): number[][] => {
  const next = random(seed);
  return Array.from({ length: count }, (_, i) => {
    const raw = Array.from({ length: 5 }, () => 2 * next() - 1);
    const size = Math.hypot(...raw);
    return raw.map((x) => Math.fround((x / size) * (i === 0 ? 0.999 : 0.95 * next())));
  });
};
const us = points(3, 1);
const vs = points(2, 2);
const batch = { u: Float32Array.from(us.flat()), v: Float32Array.from(us[0]!.flatMap((_, i) => vs.map((v) => v[i]!))) };
const between = (f: (x: readonly number[], y: readonly number[]) => number): number[] =>
  vs.flatMap((v) => us.map((u) => f(u, v)));
const dot = (x: readonly number[], y: readonly number[]): number => x.reduce((sum, value, i) => sum + value * y[i]!, 0);
const square = (x: readonly number[], y: readonly number[]): number =>
  x.reduce((sum, value, i) => sum + (value - y[i]!) ** 2, 0);
const ball =
  (c: number) =>
  (x: readonly number[], y: readonly number[]): number =>
    Math.acosh(1 + (2 * c * square(x, y)) / ((1 - c * dot(x, x)) * (1 - c * dot(y, y)))) / Math.sqrt(c);

describe("M.distance[d](u, v)", () => {
  const cases: readonly [string, (x: readonly number[], y: readonly number[]) => number][] = [
    ["hyperbolic", ball(1)],
    ["hyperbolic(curvature = 0.25)", ball(0.25)],
    ["euclidean", (x, y) => Math.sqrt(square(x, y))],
  ];
  it.each(
    cases.flatMap(([space, f]) => cpuDevices.map((device): [string, DeviceName, typeof f] => [space, device, f])),
  )("of %s on %s is between every two points, in the order of the left side", async (space, device, f) => {
    const model = await loaded(page(space), device);
    const { y } = await model.forward(batch);
    expect(apart(y!, between(f))).toBeLessThan(2e-5);
    await model.close();
  });

  it("takes the named axes of a point as one vector", async () => {
    const model = await loaded(
      "model Apart { dim n = 2, a = 2, b = 3\n manifold Space = hyperbolic\n input u[a, n, b]\n output y[n] = " +
        "Space.distance[a, b](u, 0 * u) }",
      "javascript",
    );
    const u = Float32Array.from({ length: 12 }, (_, i) => 0.03 * (i + 1));
    const { y } = await model.forward({ u });
    const rows = [0, 1].map((n) => [0, 1].flatMap((a) => [...u.subarray(6 * a + 3 * n, 6 * a + 3 * n + 3)]));
    expect(
      apart(
        y!,
        rows.map((row) => 2 * Math.atanh(Math.sqrt(dot(row, row)))),
      ),
    ).toBeLessThan(1e-5);
    await model.close();
  });

  it("is there for a block that takes the manifold", async () => {
    const model = await loaded(
      `${page("hyperbolic", "output y[m, n] = apart(Space)(u, v)")}block apart(M: manifold)(u[i, k], v[k, j]) ` +
        `{\n  return [j, i] = M.distance[k](u[i, k], v[k, j])\n}\n`,
      "javascript",
    );
    const { y } = await model.forward(batch);
    expect(apart(y!, between(ball(1)))).toBeLessThan(2e-5);
    await model.close();
  });

  it("sums products in its arguments, and stands in the model as it is written", async () => {
    const text = page(
      "euclidean",
      "dim k = d\n  input w[d, k]\n  output y[n] = Space.distance[k](u[n, d] * w[d, k], 2 * u[n, d] * w[d, k])",
    );
    expect(printModel(check(text, { file: "apart.mhc" }).model!)).toContain(
      "output y[n] = Space.distance[k](sum[d](u[n, d] * w[d, k]), sum[d](2 * u[n, d] * w[d, k]))",
    );
    const model = await loaded(text.replace("input v[d, m]", ""), "javascript");
    const w = Float32Array.from({ length: 25 }, (_, i) => Math.sin(i));
    const { y } = await model.forward({ u: batch.u, w });
    const products = us.map((u) =>
      Array.from({ length: 5 }, (_, k) =>
        dot(
          u,
          Array.from({ length: 5 }, (_, d) => w[5 * d + k]!),
        ),
      ),
    );
    expect(
      apart(
        y!,
        products.map((row) => Math.sqrt(dot(row, row))),
      ),
    ).toBeLessThan(1e-5);
    await model.close();
  });

  it.each(["hyperbolic", "euclidean", "sphere"])("of %s has a finite derivative where points meet", async (space) => {
    const model = await loaded(page(space), "javascript");
    const same = Float32Array.from(
      { length: 15 },
      (_, i) => (i % 5 === 0 ? 1 : 0.1) * (space === "sphere" ? Number(i % 5 === 0) : 0.3),
    );
    const v = Float32Array.from({ length: 10 }, (_, i) => same[Math.floor(i / 2)]!);
    const { inputs } = await model.vjp({ u: same, v }, { y: new Float32Array(6).fill(1) });
    expect([...inputs["u"]!, ...inputs["v"]!].every(Number.isFinite)).toBe(true);
    await model.close();
  });

  it("depends on a curvature that adapts as its formula does", async () => {
    const text = page("hyperbolic adapt curvature in 0.2 .. 1.8");
    const model = await loaded(text, "javascript");
    const near = { u: batch.u.map((x) => x / 2), v: batch.v.map((x) => x / 2) };
    const { parameters } = await model.vjp(near, { y: new Float32Array(6).fill(1) });
    const half = (xs: readonly number[][]): number[][] => xs.map((x) => x.map((value) => value / 2));
    const total = (c: number): number =>
      half(vs)
        .flatMap((v) => half(us).map((u) => ball(c)(u, v)))
        .reduce((sum, x) => sum + x, 0);
    // The curvature starts in the middle, where the slope of 1.6 sigmoid is 0.4.
    const expected = (0.4 * (total(1 + 1e-4) - total(1 - 1e-4))) / 2e-4;
    expect(parameters["Space.curvature"]![0]! / expected).toBeCloseTo(1, 3);
    await model.close();
  });
});

describe("--set of a manifold", () => {
  it("takes another set in its place", async () => {
    const text = page("hyperbolic(curvature = 0.25)");
    const model = await loaded(text, "javascript", { set: { Space: "euclidean" } });
    const { y } = await model.forward(batch);
    expect(
      apart(
        y!,
        between((x, z) => Math.sqrt(square(x, z))),
      ),
    ).toBeLessThan(2e-5);
    await model.close();
    expect(printModel(check(text, { file: "apart.mhc", set: { Space: "hyperbolic" } }).model!)).toContain(
      "manifold Space = hyperbolic(curvature = 1)",
    );
  });

  it("must be one that adapts what the page adapts", () => {
    const { diagnostics } = check(page("hyperbolic adapt curvature in 0.5 .. 2"), {
      file: "apart.mhc",
      set: { Space: "euclidean" },
    });
    expect(diagnostics[0]!.message).toBe("euclidean cannot adapt `curvature`; it adapts nothing");
  });
});
