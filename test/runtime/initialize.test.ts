/**
 * Initial values: the statistics of the random starts, the exact places of the others, and that nothing else of a model
 * matters.
 */
import { describe, expect, it } from "vitest";
import { initialValues } from "../../runtime/initialize.js";
import type { ParameterInfo, Start } from "../../runtime/plan.js";
import { pick } from "../../runtime/generate.js";
import { threefry2x32, unit } from "../../runtime/threefry.js";

const parameter = (start: Start, shape: readonly number[], name = "w"): ParameterInfo => ({
  name,
  shape,
  axes: shape.map((_, i) => `a${i}`),
  start,
  doc: null,
  offset: 0,
  decay: true,
});
const mean = (values: Iterable<number>): number => {
  const list = [...values];
  return list.reduce((sum, value) => sum + value, 0) / list.length;
};

describe("random starts", () => {
  const count = 40_000;
  // Five standard errors of each statistic of `count` draws; the seed is fixed, so the outcome is too.
  const five = 5 / Math.sqrt(count);

  it("normal has its mean, deviation, tails and no correlation of neighbours", () => {
    const values = initialValues(parameter({ kind: "normal", deviation: 0.02 }, [200, 200]), 7).map(
      (value) => value / 0.02,
    );
    expect(Math.abs(mean(values))).toBeLessThan(five);
    expect(Math.abs(mean(values.map((value) => value * value)) - 1)).toBeLessThan(five * Math.SQRT2);
    expect(Math.abs(mean(values.map((value) => value ** 4)) - 3)).toBeLessThan(five * Math.sqrt(96));
    for (const [bound, share] of [
      [1, 0.6827],
      [2, 0.9545],
      [3, 0.9973],
    ] as const) {
      const inside = mean(values.map((value) => (Math.abs(value) < bound ? 1 : 0)));
      expect(Math.abs(inside - share)).toBeLessThan(five * Math.sqrt(share * (1 - share)));
    }
    expect(Math.abs(mean(values.map((value, i) => value * values[(i + 1) % count]!)))).toBeLessThan(five);
  });

  it("uniform fills its range evenly", () => {
    const values = initialValues(parameter({ kind: "uniform", from: -3, to: 1 }, [count]), 7);
    expect(Math.min(...values)).toBeGreaterThanOrEqual(-3);
    expect(Math.max(...values)).toBeLessThanOrEqual(1);
    for (let tenth = 0; tenth < 10; tenth++) {
      const share = mean(values.map((value) => (Math.floor((value + 3) / 0.4) === tenth ? 1 : 0)));
      expect(Math.abs(share - 0.1)).toBeLessThan(five * 0.3);
    }
  });

  it("depend on seed and name, and on nothing else", () => {
    const start: Start = { kind: "normal", deviation: 1 };
    const values = initialValues(parameter(start, [8]), 1);
    expect(initialValues({ ...parameter(start, [4, 2]), offset: 640, decay: false }, 1)).toEqual(values);
    expect(initialValues(parameter(start, [8]), 2)).not.toEqual(values);
    expect(initialValues(parameter(start, [8], "v"), 1)).not.toEqual(values);
    expect(initialValues(parameter(start, [12]), 1).slice(0, 8)).toEqual(values);
  });
});

describe("exact starts", () => {
  it.each<[string, Start, readonly number[], readonly number[]]>([
    ["constant", { kind: "constant", value: 0.5 }, [3], [0.5, 0.5, 0.5]],
    ["constant of no axes", { kind: "constant", value: 2 }, [], [2]],
    ["identity of a square", { kind: "identity", value: 4 }, [2, 2], [4, 0, 0, 4]],
    ["identity of squares", { kind: "identity", value: 1 }, [2, 2, 2], [1, 0, 0, 1, 1, 0, 0, 1]],
    ["identity of a flat square", { kind: "identity", value: 4 }, [9], [4, 0, 0, 0, 4, 0, 0, 0, 4]],
    ["identity of flat squares", { kind: "identity", value: 1 }, [3, 4], [1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1]],
    ["first", { kind: "first", value: 7 }, [2, 3], [7, 0, 0, 7, 0, 0]],
    ["ramp", { kind: "ramp", center: 1, spread: 0.5 }, [2, 3], [0.5, 1, 1.5, 0.5, 1, 1.5]],
    ["ramp of one", { kind: "ramp", center: 1, spread: 0.5 }, [1], [1]],
  ])("%s", (_, start, shape, expected) => {
    expect([...initialValues(parameter(start, shape), 3)]).toEqual(expected);
  });
});

describe("drawing a token", () => {
  const logits = Float32Array.from([0.5, 2, -1, 2, 1]);

  it("takes the first of the likeliest at temperature 0", () => {
    for (const uniform of [0, 0.5, 0.999]) expect(pick(logits, 0, undefined, uniform)).toBe(1);
  });

  it("follows the softmax at its temperature", () => {
    const temperature = 0.7;
    const draws = 30_000;
    const counts = [0, 0, 0, 0, 0];
    for (let i = 0; i < draws; i++)
      counts[pick(logits, temperature, undefined, unit(...threefry2x32([1, 2], [0, i])))]!++;
    const weights = [...logits].map((logit) => Math.exp(logit / temperature));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    counts.forEach((count, token) => {
      const share = weights[token]! / total;
      expect(Math.abs(count / draws - share)).toBeLessThan(5 * Math.sqrt((share * (1 - share)) / draws));
    });
  });

  it("keeps to the k likeliest", () => {
    const seen = new Set(Array.from({ length: 500 }, (_, i) => pick(logits, 5, 3, i / 500)));
    expect([...seen].sort((a, b) => a - b)).toEqual([1, 3, 4]);
  });
});
