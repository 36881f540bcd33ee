/**
 * The polynomial of what a step costs against plans: operations exactly, what memory makes of it nearly; budgets are
 * met, and an impossible one is an error that says the least.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PINNED, type Plan } from "../../runtime/plan.js";
import { deviceNames } from "../../runtime/registry.js";
import { costShare, leastShare } from "../../runtime/prices.js";
import { decide, decided } from "../../runtime/choose.js";
import { compile, type CompileOptions } from "../../src/compile/compile.js";
import { through } from "../../src/compile/prices.js";
import { facts, SHRINK, shrinkingPage } from "../helpers/shrinking.js";
import { readSpec } from "../helpers/specs.js";
import { pattern } from "../helpers/pattern.js";

async function made(page: string, options: Partial<CompileOptions> = {}): Promise<Plan> {
  const { plan, diagnostics } = await compile(page, { file: "test.mhc", devices: ["javascript"], facts, ...options });
  if (!plan) throw new Error(diagnostics.map(({ message, fix }) => `${message} (${fix})`).join("\n"));
  return plan;
}

const wide = { width: "64", layers: "3", context: "16", heads: "4", "train.batch": "4" };
const spec = (budget: string): string =>
  readSpec("moby-dick").replace(
    "  train {",
    `  cost {\n    device cpu\n    ${budget}\n    shrink heads, mlp.hidden, attention, mlp\n  }\n\n  train {`,
  );

it("a polynomial goes through its points", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: -9, max: 9 }), { minLength: 1, maxLength: 4 }), (y) => {
      const x = y.map((_, i) => 1 - i / 4);
      const coefficients = through(x, y);
      expect(coefficients).toHaveLength(y.length);
      x.forEach((at, i) =>
        expect(coefficients.reduce((sum, c, power) => sum + c * at ** power, 0)).toBeCloseTo(y[i]!, 8),
      );
    }),
  );
});

describe("what a step costs, by the units that are left", () => {
  const isThat = async (
    page: string,
    set: Readonly<Record<string, string>>,
    least: number,
    near: Readonly<Record<string, number>>,
  ): Promise<void> => {
    const { shrinking, cost } = await made(page, { set });
    const { slots, prices, budgets } = shrinking!;
    expect(budgets).toEqual([{ measure: "energy", share: 0.5 }]);
    for (const measure of ["flops", "bytes", "energy", "time"])
      expect(costShare(prices, measure, () => 1)).toBeCloseTo(1, 9);
    const units = fc.record(
      Object.fromEntries(
        slots.map(({ name, size, kind }) => [
          name,
          fc.subarray(
            Array.from({ length: size }, (_, i) => i),
            { minLength: kind === "layer" ? 0 : Math.max(1, least * size) },
          ),
        ]),
      ),
    );
    await fc.assert(
      fc.asyncProperty(units, async (kept) => {
        const plan = await made(page, { set, shrunk: { kept, settled: true, dense: cost!.dense } });
        const open = (name: string): number => kept[name]!.length / slots.find((slot) => slot.name === name)!.size;
        for (const [measure, most] of Object.entries(near))
          expect(Math.abs(plan.cost!.share[measure]! - costShare(prices, measure, open)), measure).toBeLessThan(most);
      }),
      { numRuns: 8, seed: 20261126, endOnFailure: true },
    );
  };
  it("is what plans of them cost: every kind of gate", () =>
    // Of a page this small caches make what they like of bytes, and the update works on padding too.
    isThat(shrinkingPage(), {}, 0, { flops: 0.005 }));
  it("is what plans of them cost: a page of some size", { tags: "slow" }, () =>
    isThat(spec("energy <= 50%"), wide, 0.5, { flops: 0.001, energy: 0.03, bytes: 0.06 }),
  );
});

describe("budgets", () => {
  const MET = "of %s of the dense model's energy is met within three hundredths of it, whatever the gates say";
  const isMet = async (budget: number): Promise<void> => {
    const page = spec(`energy <= ${100 * budget}%`);
    const plan = await made(page, { set: wide });
    for (const seed of [1, 2, 3]) {
      let random = seed;
      const logits = Float32Array.from(
        { length: plan.states.find(({ name }) => name === "gates")!.shape[0]! },
        () => 8 * ((random = (random * 16807) % 2147483647) / 2147483647) - 4,
      );
      const small = await decided(plan, logits, (shrunk) => made(page, { set: wide, shrunk }));
      expect(small.cost!.share["energy"]).toBeLessThanOrEqual(budget);
      expect(small.cost!.share["energy"]).toBeGreaterThan(0.97 * budget);
    }
  };
  it.each([0.3, 0.5, 0.7])(MET, { tags: "slow" }, isMet);

  it("keeps the units with the largest logits, and nothing that was closed for good", async () => {
    const { shrinking } = await made(spec("flops <= 60%"), { set: wide });
    const words = 64 * shrinking!.slots.reduce((sum, { kept }) => sum + Math.ceil(kept.length / 64), 0);
    const logits = new Float32Array(words).fill(1);
    const slot = (name: string) => shrinking!.slots.find((one) => one.name === name)!;
    logits[slot("layers.1.mlp").offset] = 5;
    logits[slot("layers.0.mlp").offset] = -PINNED;
    for (let i = 0; i < 256; i++) logits[slot("layers.1.mlp.hidden").offset + i] = i % 2 ? 4 : -PINNED;
    const kept = decide(shrinking!, logits, new Map([["flops", 0.6]]));
    expect(kept["layers.1.mlp"]).toEqual([0]);
    expect(kept["layers.0.mlp"]).toEqual([]);
    expect(kept).not.toHaveProperty("layers.0.mlp.hidden");
    expect(kept["layers.1.mlp.hidden"]!.every((i) => i % 2 === 1)).toBe(true);
    expect(kept["layers.1.mlp.hidden"]).toHaveLength(128);
  });

  it("without a budget keeps what is not shut without noise", async () => {
    const { shrinking } = await made(spec("flops weight 0.1"), { set: wide });
    const logits = new Float32Array(
      64 * shrinking!.slots.reduce((sum, { kept }) => sum + Math.ceil(kept.length / 64), 0),
    ).fill(2);
    const { offset } = shrinking!.slots.find(({ name }) => name === "layers.2.attention.heads")!;
    logits[offset + 1] = -2.5;
    logits[offset + 2] = -2.3;
    const kept = decide(shrinking!, logits, new Map());
    expect(kept["layers.2.attention.heads"]).toEqual([0, 2, 3]);
    expect(kept["layers.1.mlp.hidden"]).toHaveLength(256);
  });

  it("that cannot be met are an error that says the least", { tags: "slow" }, async () => {
    const { plan, diagnostics } = await compile(
      shrinkingPage({ cost: `device cpu\n    flops <= 0.5%\n    ${SHRINK}` }),
      { file: "test.mhc", devices: ["javascript"], facts },
    );
    expect(plan).toBeNull();
    expect(diagnostics.map(({ code, message }) => `${code} ${message}`)).toEqual([
      expect.stringMatching(
        pattern(
          /^MHC504 0\.5% of the dense model's flops cannot be reached: /,
          /with all that may be switched off, \d+(\.\d)?% are left$/,
        ),
      ),
    ]);
    const least = Number(/off, ([\d.]+)%/.exec(diagnostics[0]!.message)![1]);
    const reachable = await made(shrinkingPage({ cost: `device cpu\n    flops <= ${least + 0.1}%\n    ${SHRINK}` }));
    expect(leastShare(reachable.shrinking!, "flops")).toBeGreaterThan((least - 0.1) / 100);
  });
});

it("a cost section that asks for nothing changes no bit of the plan", { tags: "slow" }, async () => {
  const devices = { devices: deviceNames };
  const [without, empty, device] = await Promise.all(
    ["", " ", "device laptop"].map(async (cost) => {
      const { spec: _, ...plan } = await made(shrinkingPage({ cost }), devices);
      return JSON.stringify(plan);
    }),
  );
  expect(empty).toBe(without);
  expect(device).toBe(without);
  expect(without).not.toBe(JSON.stringify(await made(shrinkingPage(), devices)));
});

it("what may be shrunk goes by the name of its dim, however computed, and two axes of one size are two", async () => {
  const spec = (body: string, shrink: string): string => `
block twice(n)(y[t, w]) {
  dim g = n
  param a[w, n], b[n, g], c[g, w] ~ normal(0.1)
  h[t, w] = norm(y)
  return [t, w] = h[t, v] * a[v, n] * b[n, g] * c[g, w]
}
model Two {
  dim context = 6, width = 8, wide = 2 * width, layers = 2
  data corpus = characters("text.txt", window = context)
  stream x[context, width] = embed(corpus.token) + positions()
  repeat layers {
    ${body}
  }
  loss = cross_entropy(unembed(norm(x)), corpus.next)
  cost {
    flops <= 80%
    shrink ${shrink}
  }
  train {
    batch = 2, steps = 40
    optimizer = sgd(rate = 0.1)
  }
}`;
  const names = async (body: string, shrink: string): Promise<string[]> =>
    (
      await made(
        spec(body, shrink)
          .replace("h[t, v] * a[v, n]", "h[t, w] * a[w, n]")
          .replace(
            "return [t, w] = h[t, w] * a[w, n] * b[n, g] * c[g, w]",
            "dim v = w\n  return [t, v] = h[t, w] * a[w, n] * b[n, g] * c[g, v]",
          ),
      )
    ).shrinking!.slots.map(({ name }) => name);
  expect(await names("x through mlp(hidden = wide)", "wide")).toEqual(["layers.0.mlp.wide", "layers.1.mlp.wide"]);
  const two = await names("x through twice(wide)", "wide");
  expect(two).toHaveLength(4);
  expect(new Set(two).size).toBe(4);
}, 30_000);
