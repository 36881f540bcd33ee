/**
 * Mixture of depths, from the standard library: which tokens go through, what becomes of them, that no later token has
 * a say in it, and what it costs.
 */
import fc from "fast-check";
import { expect, it } from "vitest";
import { compile } from "../../src/compile/compile.js";
import { cost } from "../../src/cost/report.js";
import { profiles } from "../../src/cost/profiles.js";
import { loaded, readSpec } from "../helpers/specs.js";

const T = 12;
const W = 4;
const page = (slots: number): string => `
block double(y[t, w]) {
  return [t, w] = 2 * y[t, w]
}

model Routed {
  dim context = ${T}, width = ${W}, few = ${slots}
  input u[context, width]
  stream x[context, width] = u
  x through routed(few, double)
  output y[context, width] = x
}`;

const tokens = fc.array(
  fc.integer({ min: -20000, max: 20000 }).map((x) => x / 10000),
  { minLength: T * W, maxLength: T * W },
);

/** Scores of the tokens, by the model's own parameters, in f64. */
async function scores(model: Awaited<ReturnType<typeof loaded>>, u: readonly number[]): Promise<number[]> {
  const parameters = model.parameters();
  const route = await parameters["routed.route"]!.get();
  const gain = await parameters["routed.norm.gain"]!.get();
  return Array.from({ length: T }, (_, t) => {
    const row = u.slice(t * W, (t + 1) * W);
    const mean = row.reduce((sum, x) => sum + x, 0) / W;
    const variance = row.reduce((sum, x) => sum + (x - mean) ** 2, 0) / W;
    return (
      1 /
      (1 +
        Math.exp(-row.reduce((sum, x, w) => sum + ((x - mean) / Math.sqrt(variance + 1e-5)) * gain[w]! * route[w]!, 0)))
    );
  });
}

it.each([1, 3, 5, T])(
  "of %i slots, tokens that few before them beat go through, times their score, and the others pass",
  async (slots) => {
    const model = await loaded(page(slots), "javascript");
    model.parameters()["routed.route"]!.set([0.7, -0.4, 0.9, 0.2]);
    await fc.assert(
      fc.asyncProperty(tokens, async (u) => {
        const score = await scores(model, u);
        // In f32 two scores that are this near may change places.
        fc.pre(score.every((a, i) => score.every((b, j) => i === j || Math.abs(a - b) > 1e-5)));
        const { y } = await model.forward({ u: Float32Array.from(u) });
        let used = 0;
        for (let t = 0; t < T; t++) {
          const better = score.slice(0, t + 1).filter((other) => other > score[t]!).length;
          const through = better * T < slots * (t + 1) && used < slots;
          if (better * T < slots * (t + 1)) used++;
          for (let w = 0; w < W; w++)
            expect(y![t * W + w]).toBeCloseTo(u[t * W + w]! * (through ? 1 + 2 * score[t]! : 1), 4);
        }
      }),
      { numRuns: 60 },
    );
    await model.close();
  },
);

it("no later token has a say in what becomes of one", async () => {
  const model = await loaded(page(4), "javascript");
  model.parameters()["routed.route"]!.set([0.7, -0.4, 0.9, 0.2]);
  await fc.assert(
    fc.asyncProperty(tokens, tokens, fc.integer({ min: 1, max: T - 1 }), async (u, other, from) => {
      const mixed = u.map((x, i) => (i < from * W ? x : other[i]!));
      const [a, b] = [
        await model.forward({ u: Float32Array.from(u) }),
        await model.forward({ u: Float32Array.from(mixed) }),
      ];
      expect(b["y"]!.slice(0, from * W)).toEqual(a["y"]!.slice(0, from * W));
    }),
    { numRuns: 40 },
  );
  await model.close();
});

it("what goes through costs its share, and choosing it less than a tenth of what is saved", async () => {
  const flops = async (few: number): Promise<ReadonlyMap<string, number>> => {
    const compiled = await compile(readSpec("depths"), {
      file: "depths.mhc",
      devices: ["wasm"],
      set: { few: `${few}` },
      facts: { corpus: { vocabulary: [..."abcdefgh"] } },
    });
    return new Map(cost(compiled, profiles[0]!).by_block.map(({ block, flops_per_token }) => [block, flops_per_token]));
  };
  const [all, few] = [await flops(64), await flops(16)];
  const ratio = few.get("pairs.*.more.mlp")! / all.get("pairs.*.more.mlp")!;
  expect(ratio).toBeCloseTo(0.25, 2);
  const own = (found: ReadonlyMap<string, number>, name: string): number =>
    [...found]
      .filter(([block]) => block === name || block === `${name}.norm`)
      .reduce((sum, [, value]) => sum + value, 0);
  const saved = all.get("pairs.*.more.mlp")! - few.get("pairs.*.more.mlp")!;
  expect(own(few, "pairs.*.more")).toBeLessThan(0.1 * saved);
});
