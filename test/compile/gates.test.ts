/**
 * Gates as numbers: what is drawn has the distribution that the paper says, and what moves the logits is the derivative
 * of the loss and of the cost.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PINNED, type SlotInfo } from "../../runtime/plan.js";
import { firstGates, pinned } from "../../runtime/shrink.js";
import { initialValues } from "../../runtime/initialize.js";
import { textSource } from "../../runtime/data.js";
import { compile, check } from "../../src/compile/compile.js";
import { buildEntries } from "../../src/step/entries.js";
import { createBuilder } from "../../src/graph/create-builder.js";
import { evaluate } from "../../src/graph/evaluate.js";
import { BETA, gateValues, openProbability } from "../../src/step/hard-concrete.js";
import { GAMMA, ZETA } from "../../runtime/plan.js";
import { shrinking } from "../../src/compile/shrink.js";
import { facts, SHRINK, shrinkingPage, text } from "../helpers/shrinking.js";

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
const slot = (size: number): SlotInfo => ({
  name: "g",
  kind: "axis",
  size,
  kept: Array.from({ length: size }, (_, i) => i),
  layer: null,
  offset: 0,
});

/** Gates of one slot for these logits, at a step of a seed. */
function drawn(
  logits: readonly number[],
  noisy: boolean,
  seed = 1,
  step = 0,
  units = logits.map((_, i) => i),
): { readonly z: Float64Array; readonly slope: Float64Array; readonly open: Float64Array } {
  const words = Math.ceil(logits.length / 64) * 64;
  const b = createBuilder();
  const gates = gateValues(b, [slot(logits.length)], words, noisy);
  const padded = (values: readonly number[]): Float64Array =>
    Float64Array.from({ length: words }, (_, i) => values[i] ?? 0);
  const { outputs } = evaluate(
    {
      name: "g",
      outputs: new Map([
        ["z", gates.drawn],
        ["slope", gates.slope],
        ["open", openProbability(b, words)],
      ]),
      updates: new Map(),
    },
    new Map<string, ArrayLike<number>>([
      ["gates", padded(logits)],
      ["gates:unit", padded(units)],
      ["seed", [seed]],
      ["step", [step]],
    ]),
  );
  return {
    z: outputs.get("z")! as Float64Array,
    slope: outputs.get("slope")! as Float64Array,
    open: outputs.get("open")! as Float64Array,
  };
}

describe("a drawn gate", () => {
  const N = 4096;
  it("is 0, 1 and between as often as the hard concrete distribution says, and its mean is the distribution's", () => {
    fc.assert(
      fc.property(
        fc.double({ min: -6, max: 6, noNaN: true }),
        fc.integer({ min: 0, max: 2 ** 31 }),
        fc.integer({ min: 0, max: 1e6 }),
        (a, seed, step) => {
          const { z, open } = drawn(new Array<number>(N).fill(a), true, seed, step);
          const values = [...z.subarray(0, N)];
          // P(s <= x) = sigmoid(beta (log x - log(1 - x)) - a)   (Louizos et al. 2018, equation 24)
          const below = (x: number): number => sigmoid(BETA * Math.log(x / (1 - x)) - a);
          const at = (value: number): number => (value - GAMMA) / (ZETA - GAMMA);
          const near = (found: number, p: number): void =>
            expect(Math.abs(found / N - p)).toBeLessThan(5 * Math.sqrt((p * (1 - p)) / N) + 1e-3);
          near(values.filter((value) => value === 0).length, below(at(0)));
          near(values.filter((value) => value === 1).length, 1 - below(at(1)));
          near(values.filter((value) => value < 0.5).length, below(at(0.5)));
          expect(open[0]).toBeCloseTo(1 - below(at(0)), 12);
          // The mean of what lies between 0 and 1 is the integral of P(z > x).
          let mean = 0;
          for (let i = 0; i < 1000; i++) mean += (1 - below(at((i + 0.5) / 1000))) / 1000;
          near(
            values.reduce((sum, value) => sum + value, 0),
            mean,
          );
        },
      ),
      { numRuns: 40 },
    );
  });

  it(
    "is another one at the next step, for another unit and under another seed, and the same for a unit wherever " +
      "it stands",
    () => {
      const a = new Array<number>(64).fill(0);
      const first = drawn(a, true, 1, 5).z;
      expect(drawn(a, true, 1, 5).z).toEqual(first);
      const same = (other: Float64Array): number =>
        other.filter((value, i) => value === first[i] && value !== 0 && value !== 1).length;
      expect(same(drawn(a, true, 1, 6).z)).toBe(0);
      expect(same(drawn(a, true, 2, 5).z)).toBe(0);
      const moved = drawn(
        a,
        true,
        1,
        5,
        a.map((_, i) => 63 - i),
      ).z;
      expect([...moved].reverse()).toEqual([...first]);
    },
  );

  it("is without noise what its logit says, and pinned logits are 0 and 1 whatever is drawn", () => {
    const logits = [-PINNED, -3, -1, 0, 1, 3, PINNED];
    const { z } = drawn(logits, false);
    logits.forEach((a, i) =>
      expect(z[i]).toBeCloseTo(Math.min(1, Math.max(0, sigmoid(a) * (ZETA - GAMMA) + GAMMA)), 12),
    );
    for (let step = 0; step < 50; step++) {
      const noisy = drawn(
        [...new Array<number>(500).fill(-PINNED), ...new Array<number>(500).fill(PINNED)],
        true,
        7,
        step,
      );
      expect(new Set(noisy.z.subarray(0, 500))).toEqual(new Set([0]));
      expect(new Set(noisy.z.subarray(500, 1000))).toEqual(new Set([1]));
      expect(new Set(noisy.slope.subarray(0, 1000))).toEqual(new Set([0]));
    }
  });

  it.each([true, false])("moves with its logit as its slope says (noise: %s)", (noisy) => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: -5, max: 5, noNaN: true }), { minLength: 1, maxLength: 40 }),
        fc.integer({ min: 0, max: 1000 }),
        (logits, step) => {
          const h = 1e-6;
          const { z, slope } = drawn(logits, noisy, 3, step);
          const [up, down] = [h, -h].map(
            (by) =>
              drawn(
                logits.map((a) => a + by),
                noisy,
                3,
                step,
              ).z,
          ) as [Float64Array, Float64Array];
          logits.forEach((_, i) => {
            // At the corners there is no derivative.
            if (up[i]! > 0 && down[i]! > 0 && up[i]! < 1 && down[i]! < 1)
              expect(slope[i]).toBeCloseTo((up[i]! - down[i]!) / (2 * h), 6);
            else if (up[i] === down[i]) expect(slope[i]).toBe(0);
            expect(z[i]).toBeGreaterThanOrEqual(0);
          });
        },
      ),
      { numRuns: 30 },
    );
  });
});

describe("the gradient of a gate", () => {
  const THAT = "is that of the loss, of what %s costs and of its budget, for every kind of gate";
  const isThat = async (measure: string): Promise<void> => {
    const page = shrinkingPage({
      cost: `device cpu\n    ${measure} weight 0.7\n    ${measure} <= 60%\n    ${SHRINK}`,
    });
    const { model } = check(page, { file: "test.mhc", facts });
    const shrinks = await shrinking(model!, { devices: ["wasm"], place: model!.cost!.span });
    if (!shrinks || "code" in shrinks) throw new Error("no gates");
    const { graphs, lowered, states } = buildEntries(model!, {
      monitors: false,
      stepOnly: true,
      kept: {},
      shrinking: shrinks.gates,
    });
    const { words, objective, slots } = shrinks.gates!;
    const { plan } = await compile(page, { file: "test.mhc", devices: ["javascript"], facts });
    const values = new Map<string, ArrayLike<number>>(
      lowered.parameters.map(({ name }) => [
        name,
        initialValues(
          plan!.parameters.find((info) => info.name === name)!,
          5,
        ),
      ]),
    );
    for (const { name, shape } of states) values.set(name, new Float64Array(shape.reduce((size, n) => size * n, 1)));
    const source = textSource(plan!.data[0] as Parameters<typeof textSource>[0], text);
    for (const [name, batch] of Object.entries(source.batch(3, 1, 0))) values.set(name, batch);
    const first = firstGates(plan!.shrinking!, words, 0);
    let random = 1;
    const logits = Float64Array.from(first.logits, (a) =>
      a === -PINNED ? a : 3 * ((random = (random * 16807) % 2147483647) / 2147483647 - 0.4),
    );
    const y = 1.3;
    values.set("gates:unit", first.units).set(`multiplier:${measure}`, [y]).set("seed", [9]).set("step", [4]);
    const at = (own: Float64Array): { readonly value: number; readonly gradient: Float64Array } => {
      const { outputs, updates } = evaluate(graphs[0]!, new Map(values).set("gates", own));
      const cost = outputs.get(`cost:${measure}`)![0]!;
      const over = cost - (1 - (4 / objective.until) * (1 - 0.6));
      // m1 = (1 - beta1) g
      return {
        value: outputs.get("loss")![0]! + 0.7 * cost + Math.max(0, y + 20 * over) ** 2 / 40,
        gradient: (updates.get("m:gates")! as Float64Array).map((m) => m / (1 - 0.9)),
      };
    };
    const { gradient } = at(logits);
    const h = 1e-5;
    const seen = new Set<string>();
    for (const { name, offset, kept } of slots) {
      const kind = name.replace(/\.\d+/g, "");
      if (seen.has(kind)) continue;
      seen.add(kind);
      for (const i of kept.length > 1 ? [0, kept.length - 1] : [0]) {
        const shifted = [h, -h].map((by) => at(logits.map((a, j) => (j === offset + i ? a + by : a))).value) as [
          number,
          number,
        ];
        const expected = (shifted[0] - shifted[1]) / (2 * h);
        expect(Math.abs(gradient[offset + i]! - expected), `${name} ${i}`).toBeLessThan(
          1e-6 + 1e-4 * Math.abs(expected),
        );
      }
    }
    expect([...seen].sort()).toEqual([
      "lanes",
      "layers",
      "layers.attention",
      "layers.attention.heads",
      "layers.mlp.hidden",
      "layers.squeeze",
      "layers.squeeze.rank",
    ]);
    expect(gradient.filter((g) => g !== 0).length).toBeGreaterThan(50);
    // What lies between slots, and what is pinned, has none.
    expect(at(Float64Array.from(pinned(plan!.shrinking!, {}, words))).gradient.every((g) => Math.abs(g) < 1e-15)).toBe(
      true,
    );
  };
  it.each(["energy"])(THAT, isThat);
  it.each(["flops"])(THAT, { tags: "slow" }, isThat);
});
