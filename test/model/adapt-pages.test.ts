/**
 * What adapts, on a page: it starts where it would be without, is logged, printed and proved by the worst of its range,
 * and follows a schedule that is given in its place. Temperatures, ranks, mixtures and budgets that are shared.
 */
import { describe, expect, it } from "vitest";
import { textSource } from "../../runtime/data.js";
import { check } from "../../src/compile/compile.js";
import { format } from "../../grammar/format.js";
import { render } from "../../src/diagnostics/render.js";
import { printModel } from "../../src/model/print.js";
import { random } from "../helpers/cases.js";
import { facts, text } from "../helpers/small.js";
import { distance, loaded } from "../helpers/specs.js";

const drawn = (size: number, seed: number): Float32Array => {
  const next = random(seed);
  return Float32Array.from({ length: size }, () => 2 * next() - 1);
};

const page = (mixing: string): string => `model Small {
  dim context = 13, width = 24, layers = 2, lanes = 4
  data corpus = characters("text", window = context)
  manifold Mixing = ${mixing}
  stream x[lanes, context, width] = copies(embed(corpus.token))
  repeat layers {
    x through mlp(hidden = 2 * width) via mhc(Mixing)
  }
  loss = cross_entropy(unembed(norm(total(x))), corpus.next)
  constrain { gain(x) <= 1.001 }
  train { batch = 5, steps = 50, seed = 3, optimizer = adamw(rate = 1e-2) }
}`;

describe("on a page", () => {
  it("starts near where it would be without, is logged, and stays on the set while it moves", async () => {
    const plain = await loaded(page("birkhoff(exact)"), "wasm", { facts });
    const model = await loaded(page("birkhoff(exact) adapt relax in 0 .. 1"), "wasm", { facts });
    const source = textSource(model.plan.data[0] as Parameters<typeof textSource>[0], text);
    const batch = source.batch(5, 3, 0);
    expect((await model.evaluate(batch)).loss).toBeCloseTo((await plain.evaluate(batch)).loss, 3);
    const seen: number[] = [];
    for await (const { adapted, constraints } of model.train(source, { steps: 40 })) {
      seen.push(adapted["Mixing.relax"]!);
      expect(constraints["Mixing"]).toBeLessThan(1e-5);
    }
    expect(seen[0]).toBeCloseTo(0.98, 5);
    // Lanes that start as copies hardly feel their mix, so it moves little yet.
    expect(seen[39]).not.toBe(seen[0]);
    await plain.close();
    await model.close();
  });

  it("is printed, and claims count the worst of its range", () => {
    const { model } = check(page("birkhoff(exact) adapt relax in 0.2 .. 1"), { file: "page.mhc", facts });
    expect(printModel(model!)).toContain(
      "manifold Mixing = birkhoff(iterations = 20, convention = paper, exact = true, by = sinkhorn, relax = " +
        "1, temperature = 1) adapt relax in 0.2 .. 1",
    );
    expect(model!.claims[0]!.proof).not.toBeNull();
    const ball =
      "model B {\n dim n = 3, m = 2\n input u[n]\n manifold M = spectral_ball adapt radius in 0.5 .. 2\n " +
      "param w[n, m] ~ normal(1) on M\n output y[m] = u[n] * w[n, m]\n constrain { norm(w) <= BOUND }\n}";
    expect(check(ball.replace("BOUND", "2.001"), { file: "b.mhc" }).diagnostics).toEqual([]);
    expect(check(ball.replace("BOUND", "1.9"), { file: "b.mhc" }).diagnostics.map(({ code }) => code)).toEqual([
      "MHC305",
    ]);
  });
});

describe("scheduled", () => {
  /** Everything that it computes hangs on the length of `s`. */
  const scaled = (set: string): string => `model Scaled {
    dim context = 7, width = 12, one = 1
    data corpus = characters("text", window = context)
    input u[width]
    manifold M = ${set}
    param s[width, one] ~ normal(1) on M
    h[context, width] = norm(embed(corpus.token))
    scaled[context, width] = h[context, width] * sum[one](s[width, one])
    loss = cross_entropy(unembed(scaled), corpus.next)
    output y[one] = u[width] * s[width, one]
    constrain { norm(s) <= 100 monitored }
    train { batch = 4, steps = 12, seed = 5, optimizer = sgd(rate = 0.1) }
  }`;
  const KNOWN = "by %s, every entry knows the value at the step that was trained to";
  const options = { linear: "linear", cosine: "cosine", "1 - sqrt(x)": "wsd" } as const;
  const at = (kind: keyof typeof options, step: number): number => {
    // The fall of `wsd` has the last 60% of the twelve steps, and it stays before.
    if (kind === "1 - sqrt(x)") return 4 + (0.5 - 4) * (1 - Math.sqrt(Math.min(1, Math.max(0, step - 4.8) / 7.2)));
    const progress = Math.min(1, Math.max(0, step - 2) / 10);
    return 4 + (0.5 - 4) * (kind === "linear" ? 1 - progress : 0.5 * (1 + Math.cos(Math.PI * progress)));
  };

  it.each(["linear", "cosine", "1 - sqrt(x)"] as const)(KNOWN, async (kind) => {
    const fall = kind === "1 - sqrt(x)" ? ", decay = 60%, shape = sqrt" : "";
    const adapting = `sphere adapt radius = ${options[kind]}(0.5, 4, warmup = 2${fall})`;
    const model = await loaded(scaled(adapting), "wasm", { facts });
    const source = textSource(model.plan.data[0] as Parameters<typeof textSource>[0], text);
    const u = drawn(4 * 12, 9);
    const batch = source.batch(4, 3, 0);
    for await (const { step, adapted, claims } of model.train(source, { monitor: 4 })) {
      expect(adapted["M.radius"]).toBeCloseTo(at(kind, step - 1), 5);
      if (claims) expect(claims[0]!.value).toBeCloseTo(at(kind, step), 2);
      if (step !== 7 && step !== 12) continue;
      // The same parameters with the option set to what it is now.
      const twin = await loaded(scaled(`sphere(radius = ${at(kind, step)})`), "wasm", { facts });
      const access = twin.parameters();
      for (const [name, { get }] of Object.entries(model.parameters())) access[name]!.set(await get());
      expect(await model.holdout(source)).toBeCloseTo(await twin.holdout(source), 5);
      expect((await model.evaluate(batch)).loss).toBeCloseTo((await twin.evaluate(batch)).loss, 5);
      expect(await model.generate("the sea ", { tokens: 40, temperature: 2 })).toBe(
        await twin.generate("the sea ", { tokens: 40, temperature: 2 }),
      );
      expect(distance((await model.forward({ u }))["y"]!, (await twin.forward({ u }))["y"]!)).toBeLessThan(1e-5);
      const cotangents = { y: drawn(4, 1) };
      expect(
        distance((await model.vjp({ u }, cotangents)).inputs["u"]!, (await twin.vjp({ u }, cotangents)).inputs["u"]!),
      ).toBeLessThan(1e-5);
      expect(
        distance((await model.gradients(batch)).gradients["s"]!, (await twin.gradients(batch)).gradients["s"]!),
      ).toBeLessThan(1e-4);
      await twin.close();
    }
    // And a checkpoint brings the step back.
    const [bytes, loss] = [await model.checkpoint(), (await model.evaluate(batch)).loss];
    const again = await loaded(scaled(adapting), "wasm", { facts, seed: 8 });
    expect((await again.evaluate(batch)).loss).not.toBeCloseTo(loss, 3);
    await again.load(bytes);
    expect((await again.evaluate(batch)).loss).toBe(loss);
    await again.close();
    await model.close();
  });

  it.each(["birkhoff(exact)", "circulant"])(
    "the temperature of %s divides its logits, and may stand beside what is learned",
    async (set) => {
      const mixed = page(`${set} adapt temperature = cosine(4, 1) adapt relax in 0 .. 1`).replace(
        "gain(x) <= 1.001",
        "gain(x) <= 17",
      );
      const model = await loaded(mixed, "wasm", { facts, monitors: true });
      const source = textSource(model.plan.data[0] as Parameters<typeof textSource>[0], text);
      const entropies: number[] = [];
      for await (const { adapted, monitors, step } of model.train(source, { steps: 50, monitor: 25 })) {
        expect(adapted["Mixing.temperature"]).toBeCloseTo(1 + 3 * 0.5 * (1 + Math.cos((Math.PI * (step - 1)) / 50)), 4);
        expect(adapted["Mixing.relax"]).toBeGreaterThan(0.9);
        if (monitors) entropies.push(monitors["entropy:x"]!);
      }
      // It cools down: rows come nearer to corners.
      expect(entropies[1]!).toBeLessThan(0.7 * entropies[0]!);
      await model.close();
    },
  );

  it("is printed, and claims count the worst of its ends", () => {
    const { model } = check(page("birkhoff(exact) adapt temperature = cosine(4, 1, warmup = 10)"), {
      file: "page.mhc",
      facts,
    });
    expect(printModel(model!)).toContain("temperature = 1) adapt temperature = cosine(4, 1, warmup = 10)");
    expect(model!.claims[0]!.proof).not.toBeNull();
    const bounded = scaled("sphere adapt radius = linear(3, 2)").replace("<= 100 monitored", "<= BOUND");
    expect(check(bounded.replace("BOUND", "3.001"), { file: "b.mhc" }).diagnostics).toEqual([]);
    expect(check(bounded.replace("BOUND", "2.9"), { file: "b.mhc" }).diagnostics.map(({ code }) => code)).toEqual([
      "MHC305",
    ]);
  });
});

describe("rank", () => {
  const [rows, columns] = [8, 10];
  const page = (weight: string): string => `model Rank {
    dim rows = ${rows}, columns = ${columns}
    data d = examples("rows", features = columns, classes = rows)
    manifold M = low_rank adapt rank in 1 .. 8 weight ${weight}
    param w[rows, columns] ~ normal(0.3) on M
    loss = sum[columns]((w[d.label, columns] - d.value) ^ 2)
    train { batch = ${rows}, steps = 400, seed = 1, optimizer = adamw(rate = cosine(0.1, 0.001)) }
  }`;
  const facts = { d: { features: columns, classes: rows } };
  /**
   * A matrix of this rank, whose singular values are not far from each other, and noise of all ranks: an example is a
   * row.
   */
  const matrix = (rank: number, noise: number): Float32Array => {
    const [u, v, e] = [drawn(rows * rank, 3), drawn(rank * columns, 4), drawn(rows * columns, 5)];
    return e.map(
      (x, at) =>
        noise * x +
        Array.from(
          { length: rank },
          (_, r) => u[Math.floor(at / columns) * rank + r]! * v[r * columns + (at % columns)]!,
        ).reduce((sum, y) => sum + y, 0),
    );
  };
  const sourceOf = (target: Float32Array) => {
    const batch = { "d.value": target, "d.label": Uint32Array.from({ length: rows }, (_, i) => i) };
    return { batch: () => batch, holdout: () => [{ batch, count: rows }], holdoutExamples: rows };
  };

  it.each([
    [2, 0],
    [4, 0],
    [3, 0.05],
  ])("%i, of a matrix of that rank with noise of %f, is found", async (rank, noise) => {
    const model = await loaded(page("3e-2"), "javascript", { facts });
    const seen: number[] = [];
    for await (const { adapted, constraints } of model.train(sourceOf(matrix(rank, noise)))) {
      seen.push(adapted["M.rank"]!);
      expect(constraints["w"]).toBeLessThan(1e-5);
    }
    // All parts are there at first, and what has closed stays so.
    expect(seen[0]).toBe(8);
    expect(seen[seen.length - 1]).toBe(rank);
    // What pulls is no part of the loss that is told: the mean of squares of rows of ten.
    expect((await model.evaluate(sourceOf(matrix(rank, noise)).batch())).loss).toBeLessThan(0.01);
    await model.close();
  });
});

describe("a mixture", () => {
  it(
    "of manifolds of the page is proved by its parts, and is on what holds them all while weights, parts and " +
      "what adapts of these are learned",
    async () => {
      const mixed = page("mixture(Near, circulant, identity)")
        .replace("  stream", "  manifold Near = birkhoff(exact) adapt relax in 0 .. 1\n  stream")
        .replace(/( {2}manifold Mixing.*\n)( {2}manifold Near.*\n)/, "$2$1");
      const model = await loaded(mixed, "wasm", { facts });
      expect(printModel(check(mixed, { file: "m.mhc", facts }).model!)).toContain(
        "manifold Mixing = mixture(Near, circulant, identity)",
      );
      const source = textSource(model.plan.data[0] as Parameters<typeof textSource>[0], text);
      const names = ["Mixing.weights.Near", "Mixing.weights.circulant", "Mixing.weights.identity"];
      const seen: number[][] = [];
      // 16 logits of the one and 4 of the other, all counted from their starts.
      expect(model.parameters()["layers.0.mlp.mhc.mix.b"]).toMatchObject({ shape: [20] });
      expect(Math.max(...(await model.parameters()["layers.0.mlp.mhc.mix.b"]!.get()))).toBe(0);
      for await (const { adapted, constraints } of model.train(source, { steps: 50 })) {
        seen.push(names.map((name) => adapted[name]!));
        expect(adapted["Near.relax"]).toBeGreaterThan(0.9);
        expect(constraints["Mixing"]).toBeLessThan(1e-5);
        expect(seen.at(-1)!.reduce((x, y) => x + y)).toBeCloseTo(1, 5);
      }
      for (const weight of seen[0]!) expect(weight).toBeCloseTo(1 / 3, 6);
      expect(seen[49]).not.toEqual(seen[0]);
      await model.close();
    },
  );
});

describe("a shared budget", () => {
  const budget = (line: string): string =>
    page("birkhoff(exact)").replace("constrain {", `constrain { ${line}, `).replace("rate = 1e-2", "rate = 0.1");

  it(
    "begins with equal shares and the values as they would be, and keeps the product within it while everything " +
      "moves",
    async () => {
      const [model, plain] = [
        await loaded(budget("product[layers](norm(mlp.up) * norm(mlp.down)) <= 0.5 shared monitored"), "wasm", {
          facts,
        }),
        await loaded(page("birkhoff(exact)"), "wasm", { facts }),
      ];
      const source = textSource(model.plan.data[0] as Parameters<typeof textSource>[0], text);
      const batch = source.batch(5, 3, 0);
      // The start is inside of its balls.
      expect((await model.evaluate(batch)).loss).toBeCloseTo((await plain.evaluate(batch)).loss, 6);
      const names = [0, 1].flatMap((layer) => ["up", "down"].map((which) => `layers.${layer}.mlp.${which}.share`));
      const seen: number[][] = [];
      for await (const { adapted, claims, constraints } of model.train(source, { steps: 40, monitor: 10 })) {
        seen.push(names.map((name) => adapted[name]!));
        expect(seen.at(-1)!.reduce((x, y) => x + y)).toBeCloseTo(1, 5);
        expect(constraints["layers.*.mlp.up"]).toBeLessThan(1e-5);
        if (claims)
          expect(claims[0]).toMatchObject({
            text: "product[layers](norm(mlp.up) * norm(mlp.down)) <= 0.5",
            holds: true,
          });
      }
      for (const share of seen[0]!) expect(share).toBeCloseTo(0.25, 6);
      expect(Math.max(...seen[39]!.map((share) => Math.abs(share - 0.25)))).toBeGreaterThan(0.02);
      await Promise.all([model.close(), plain.close()]);
    },
  );

  it("takes a matrix of several axes by its rows, is printed, and bounds each of its matrices", () => {
    const three = page("birkhoff(exact)").replace("mlp(hidden = 2 * width)", "attention(heads = 2)");
    const lines = (more: string): string =>
      three.replace("constrain {", `constrain { product[layers](norm[w](attention.wq)) <= 4 shared, ${more}, `);
    const { model, diagnostics } = check(
      lines("norm[w](attention.wq) <= 4.001, norm[heads, d](attention.wq) <= 4.001"),
      { file: "s.mhc", facts },
    );
    expect(diagnostics).toEqual([]);
    expect(printModel(model!)).toContain("adapt radius = 4 ^ share in attention.wq.shares");
    expect(
      check(lines("norm[w](attention.wq) <= 3.9"), { file: "s.mhc", facts }).diagnostics.map(({ code }) => code),
    ).toEqual(["MHC305"]);
    expect(
      check(lines("norm[heads](attention.wq) <= 100"), { file: "s.mhc", facts }).diagnostics.map(({ code }) => code),
    ).toEqual(["MHC305"]);
  });
});

it("all of it has one layout, and none of its words is taken from the page", () => {
  const text = `model Words {
  dim n = 3, m = n
  input shared[n]
  manifold A = birkhoff(exact) adapt relax in 0 .. 1 adapt temperature = cosine(4, 1, warmup = 10)
  manifold M = mixture(A, circulant)
  manifold R = low_rank adapt rank in 1 .. 2 weight 1e-3
  weight[n] = 2 * shared[n]
  constrain {
    product[layers](norm(up) * norm(down)) <= 8 shared monitored
    mixture.w on M
  }
}
`;
  expect(
    format(
      text
        .replace("adapt rank in 1 .. 2 weight 1e-3", "adapt  rank in 1..2   weight 1e-3")
        .replace("8 shared", "8   shared"),
      "words.mhc",
    ),
  ).toMatchObject({ text, diagnostics: [] });
});

it("a rank starts as a matrix of that rank would, never falls below its lower end, and is printed", async () => {
  const of = (set: string): string => `model Rank {
    dim rows = 3, columns = 4
    data d = examples("rows", features = columns, classes = rows)
    manifold M = ${set}
    param w[rows, columns] ~ normal(0.3) on M
    param v[rows, columns] ~ normal(0.3) on M
    loss = sum[columns](((w[d.label, columns] + v[d.label, columns]) - d.value) ^ 2)
    train { batch = 3, steps = 60, seed = 1, optimizer = sgd(rate = 0.1) }
  }`;
  const options = { facts: { d: { features: 4, classes: 3 } } };
  const [plain, model] = await Promise.all(
    ["low_rank(rank = 3)", "low_rank(rank = 3) adapt rank in 2 .. 3 weight 10"].map((set) =>
      loaded(of(set), "javascript", options),
    ),
  );
  const batch = { "d.value": drawn(12, 3), "d.label": Uint32Array.of(0, 1, 2) };
  expect((await model!.evaluate(batch)).loss).toBe((await plain!.evaluate(batch)).loss);
  const seen: number[] = [];
  for await (const { adapted } of model!.train({ batch: () => batch, holdout: () => [], holdoutExamples: 0 }))
    seen.push(adapted["M.rank"]!);
  expect([seen[0], seen[59]]).toEqual([3, 2]);
  await Promise.all([plain!.close(), model!.close()]);
  expect(printModel(check(of("low_rank adapt rank in 1 .. 3 weight 1e-3"), { file: "r.mhc" }).model!)).toContain(
    "manifold M = low_rank(rank = 3) adapt rank in 1 .. 3 weight 0.001",
  );
});

it("a learned temperature is redundant: the page is told, and it is learned", async () => {
  const learned =
    "model T {\n dim n = 3\n input u[n]\n manifold M = simplex adapt temperature in 0.5 .. 2\n param w[n] ~ " +
    "normal(1) on M\n output y[n] = u[n] * w[n]\n}";
  const { diagnostics, sources } = check(learned, { file: "page.mhc" });
  expect(diagnostics.map((found) => render(found, sources))).toEqual([
    [
      "warning MHC306: a temperature of `M` is redundant when it is learned: it divides free logits, which " +
        "reach the same by growing or shrinking",
      " --> page.mhc:4:23",
      "4 |  manifold M = simplex adapt temperature in 0.5 .. 2",
      `  | ${" ".repeat(22)}${"^".repeat(29)}`,
      "fix: take it out, or schedule it: `adapt temperature = cosine(4, 1)`",
    ].join("\n"),
  ]);
  const model = await loaded(learned, "javascript");
  const input = { u: new Float32Array(3).fill(1) };
  model.parameters()["w"]!.set([0, 1, 2]);
  const { parameters } = await model.vjp(input, { y: Float32Array.of(1, 0, 0) });
  // At 1 the weight of the first is p = e^0 / (e^0 + e^1 + e^2), and its slope along the temperature p (p_1 + 2 p_2);
  // the sigmoid is a third of the way from 0.5 to 2.
  const p = [0, 1, 2].map((x) => Math.exp(x) / (1 + Math.E + Math.E ** 2));
  expect(parameters["M.temperature"]![0]).toBeCloseTo(p[0]! * (p[1]! + 2 * p[2]!) * 1.5 * (1 / 3) * (2 / 3), 5);
  await model.close();
});
