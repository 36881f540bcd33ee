/**
 * Parameters on sets: what a page says of them, that they are there from the first step to the last, and that training
 * is what its graph says.
 */
import { describe, expect, it } from "vitest";
import { format } from "../../grammar/format.js";
import { textSource } from "../../runtime/data.js";
import { load } from "../../runtime/index.js";
import { check } from "../../src/compile/compile.js";
import { printGraph } from "../../src/graph/text.js";
import { printModel } from "../../src/model/print.js";
import { facts, text } from "../helpers/small.js";
import { entriesOf, loaded, planOf } from "../helpers/specs.js";
import { compareSteps } from "../helpers/steps.js";

const page = (
  optimizer: string,
  constrain = "mlp.up each hidden on sphere(radius = 2), attention.out each heads on stiefel",
): string => `model Small {
  dim context = 13, width = 24, heads = 3, layers = 2, lanes = 2

  data corpus = characters("text", window = context)

  manifold Mixing = birkhoff(exact)

  stream x[lanes, context, width] = copies(embed(corpus.token) + positions())

  repeat layers {
    x through attention(heads) via mhc(Mixing)
    x through mlp(hidden = 2 * width) via mhc(Mixing)
  }

  loss = cross_entropy(unembed(norm(total(x))), corpus.next)

  constrain {
    ${constrain}
  }

  train {
    batch = 5, steps = 50, seed = 3
    optimizer = ${optimizer}
    clip = 1.0
  }
}
`;

const small = (declaration: string): string => `model Small {
  dim n = 3, m = 4, k = 2
  input u[n, m, k]
  ${declaration}
  output y[n, m, k] = u + w
}
`;

describe("on a page", () => {
  it("where it is declared and in `constrain` mean the same", () => {
    const inside = small("param w[n, m, k] ~ normal(0.5) each k on stiefel");
    const outside = small("param w[n, m, k] ~ normal(0.5)").replace(
      "  output",
      "  constrain { w each k on stiefel }\n  output",
    );
    const graphs = [inside, outside].map((own) => entriesOf(own).graphs.map(printGraph).join("\n"));
    expect(graphs[0]).toBe(graphs[1]);
    expect(printModel(check(inside, { file: "small.mhc" }).model!)).toContain(
      "param w[n: n = 3, m: m = 4, k: k = 2] ~ normal(0.5) each k on stiefel(by = polar)",
    );
  });

  it("is kept by the formatter", () => {
    for (const own of [
      page("radam(rate = 1e-3)"),
      small("param w[n, m, k] ~ normal(0.5) each n each m on sphere(radius = 2)"),
    ]) {
      const once = format(own, "page.mhc").text!;
      expect(once.match(/each \w+/g)).toEqual(own.match(/each \w+/g));
      expect(format(once, "page.mhc").text).toBe(once);
    }
  });

  it.each([
    [
      "each k on stiefel",
      (w: (i: number, j: number, l: number) => number) => {
        // n = 3 rows are orthonormal in 4 dimensions.
        for (let l = 0; l < 2; l++)
          for (let i = 0; i < 3; i++)
            for (let j = 0; j < 3; j++) {
              const dot = [0, 1, 2, 3].reduce((sum, m) => sum + w(i, m, l) * w(j, m, l), 0);
              expect(dot).toBeCloseTo(i === j ? 1 : 0, 5);
            }
      },
    ],
    [
      "each m on sphere(radius = 2)",
      (w: (i: number, j: number, l: number) => number) => {
        for (let m = 0; m < 4; m++)
          expect(Math.hypot(...[0, 1, 2].flatMap((i) => [w(i, m, 0), w(i, m, 1)]))).toBeCloseTo(2, 5);
      },
    ],
    [
      "on sphere",
      (w: (i: number, j: number, l: number) => number) => {
        expect(
          Math.hypot(...[0, 1, 2].flatMap((i) => [0, 1, 2, 3].flatMap((m) => [w(i, m, 0), w(i, m, 1)]))),
        ).toBeCloseTo(1, 5);
      },
    ],
  ])("w %s is what its axes say", async (on, holds) => {
    const model = await loaded(small(`param w[n, m, k] ~ normal(0.5) ${on}`), "javascript");
    const { y } = await model.forward({ u: new Float32Array(24) });
    holds((i, j, l) => y![(i * 4 + j) * 2 + l]!);
    await model.close();
  });
});

const staysOnSets = (optimizer: string): void => {
  it("ten steps are those of the graph in f64", async () => {
    const { losses, fell } = await compareSteps(page(optimizer), text, facts, "wasm", 2);
    expect(fell).toBe(true);
    expect(losses).toBeLessThan(1e-3);
  });

  it("500 steps at ten times the rate do not leave a set by more than its tolerance", { tags: "slow" }, async () => {
    const hot = page(optimizer.replace("3e-3", "3e-2").replace("0.2", "2"));
    const plan = await planOf(hot, ["wasm"], { facts });
    const model = await load(plan, { device: "wasm" });
    expect(plan.constraints.map(({ name }) => name)).toEqual(["Mixing", "layers.*.attention.out", "layers.*.mlp.up"]);
    const source = textSource(plan.data[0] as Parameters<typeof textSource>[0], text);
    for await (const { step, constraints } of model.train(source, { steps: 500 })) {
      for (const { name, tolerance } of plan.constraints)
        expect(constraints[name], `${name} at step ${step}`).toBeLessThanOrEqual(tolerance!);
    }
    await model.close();
  });
};
describe.each(["radam(rate = 3e-3)"])("under %s", staysOnSets);
describe.each(["adamw(rate = 3e-3)", "sgd(rate = 0.2, momentum = 0.9)", "rsgd(rate = 0.2, momentum = 0.9)"])(
  "under %s",
  { tags: "slow" },
  staysOnSets,
);

describe("a Riemannian optimizer", () => {
  it("starts where the map would start", async () => {
    const losses = await Promise.all(
      ["adamw", "radam"].map(async (kind) => {
        const model = await loaded(page(`${kind}(rate = 1e-3)`), "wasm", { facts });
        const source = textSource(model.plan.data[0] as Parameters<typeof textSource>[0], text);
        const { loss } = await model.evaluate(source.batch(5, 1, 0));
        await model.close();
        return loss;
      }),
    );
    expect(losses[0]).toBeCloseTo(losses[1]!, 6);
  });

  it("keeps points of the manifold themselves, also in a checkpoint", { tags: "slow" }, async () => {
    const model = await loaded(page("radam(rate = 1e-3)"), "wasm", { facts });
    const up = model.parameters()["layers.0.mlp.up"]!;
    const source = textSource(model.plan.data[0] as Parameters<typeof textSource>[0], text);
    for await (const _ of model.train(source, { steps: 3 })) void _;
    const values = await up.get();
    const [width, hidden] = up.shape as [number, number];
    for (let j = 0; j < hidden; j++)
      expect(Math.hypot(...Array.from({ length: width }, (_, i) => values[i * hidden + j]!))).toBeCloseTo(2, 5);
    const saved = await model.checkpoint();
    const other = await loaded(page("radam(rate = 1e-3)"), "wasm", { facts, seed: 9 });
    await other.load(saved);
    expect([...(await other.parameters()["layers.0.mlp.up"]!.get())]).toEqual([...values]);
    await model.close();
    await other.close();
  });

  it("is not used by what is on a convex set, which has no tangents: its map is", () => {
    const names = entriesOf(
      page("radam(rate = 1e-3)", "mlp.up on birkhoff, attention.out each heads on stiefel").replace(
        "hidden = 2 * width",
        "hidden = width",
      ),
      { facts },
    );
    const points = new Map(names.lowered.parameters.map((parameter) => [parameter.name, parameter.points]));
    expect(points.get("layers.0.mlp.up")).toBeNull();
    expect(points.get("layers.0.attention.out")).not.toBeNull();
  });
});

it("what is on a set does not decay", () => {
  const decay = new Map(
    entriesOf(page("adamw(rate = 1e-3, decay = 0.1)"), { facts }).lowered.parameters.map((parameter) => [
      parameter.name,
      parameter.decay,
    ]),
  );
  expect(decay.get("layers.0.mlp.up")).toBe(false);
  expect(decay.get("layers.0.mlp.down")).toBe(true);
});
