/** Quantiles against printed tables, and summaries against numbers worked by hand. */
import { describe, expect, it } from "vitest";
import { medianOf, quantileOfT, summarize } from "../../src/tools/statistics.js";

describe("Student's t", () => {
  // Any printed table, e.g. Abramowitz and Stegun 26.10.
  it.each([
    [1, 6.314, 12.706, 63.657],
    [2, 2.92, 4.303, 9.925],
    [3, 2.353, 3.182, 5.841],
    [4, 2.132, 2.776, 4.604],
    [5, 2.015, 2.571, 4.032],
    [9, 1.833, 2.262, 3.25],
    [10, 1.812, 2.228, 3.169],
    [20, 1.725, 2.086, 2.845],
    [30, 1.697, 2.042, 2.75],
    [120, 1.658, 1.98, 2.617],
  ])("with %i degrees of freedom", (freedom, p95, p975, p995) => {
    expect(quantileOfT(0.95, freedom)).toBeCloseTo(p95, 3);
    expect(quantileOfT(0.975, freedom)).toBeCloseTo(p975, 3);
    expect(quantileOfT(0.995, freedom)).toBeCloseTo(p995, 3);
  });

  it("has the closed forms of one and two degrees, and becomes the normal distribution", () => {
    for (const p of [0.5, 0.6, 0.9, 0.99]) {
      expect(quantileOfT(p, 1)).toBeCloseTo(Math.tan(Math.PI * (p - 0.5)), 9);
      expect(quantileOfT(p, 2)).toBeCloseTo((2 * p - 1) / Math.sqrt(2 * p * (1 - p)), 9);
    }
    expect(quantileOfT(0.975, 100_000)).toBeCloseTo(1.95996, 3);
  });
});

describe("summaries", () => {
  it("of several values", () => {
    const found = summarize([2, 4, 9])!;
    expect(found.mean).toBe(5);
    expect(found.deviation).toBeCloseTo(Math.sqrt(13), 12);
    const half = (4.302652729911275 * Math.sqrt(13)) / Math.sqrt(3);
    expect(found.interval![0]).toBeCloseTo(5 - half, 7);
    expect(found.interval![1]).toBeCloseTo(5 + half, 7);
    expect(found.values).toEqual([2, 4, 9]);
  });

  it("of equal values have none to the last bit", () => {
    expect(summarize([0.986_365, 0.986_365, 0.986_365])).toMatchObject({
      mean: 0.986_365,
      deviation: 0,
      interval: [0.986_365, 0.986_365],
    });
    expect(summarize([0.1, 0.1, 0.1])).toMatchObject({ mean: 0.1, deviation: 0 });
  });

  it("of one value have no deviation, and of none there is none", () => {
    expect(summarize([3])).toEqual({ mean: 3, deviation: null, interval: null, values: [3] });
    expect(summarize([null, 3])).toEqual({ mean: 3, deviation: null, interval: null, values: [null, 3] });
    expect(summarize([null, null])).toBeNull();
    expect(summarize([1, null, 2])).toMatchObject({ mean: 1.5, values: [1, null, 2] });
  });

  it("medians of even and odd counts", () => {
    expect([medianOf([3, 1, 2]), medianOf([4, 1, 3, 2])]).toEqual([2, 2.5]);
  });
});
