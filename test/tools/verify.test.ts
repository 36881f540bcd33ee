/**
 * Pages that keep what they promise are found to; sets, claims and runs that were broken on purpose are found out, and
 * told in a line or two.
 */
import { afterEach, describe, expect, it, vi } from "vitest";
import { decode, encode } from "../../runtime/checkpoint.js";
import { textSource } from "../../runtime/data.js";
import type { DeviceName } from "../../runtime/device.js";
import { writeAtomically } from "../../runtime/node/files.js";
import { load, openDevice } from "../../runtime/index.js";
import type { Plan } from "../../runtime/plan.js";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sphere } from "../../src/manifolds/sphere.js";
import { verify, type Finding, type VerifyOptions } from "../../src/tools/verify.js";
import { everyDevice } from "../helpers/devices.js";
import { facts, text } from "../helpers/small.js";
import { compilePlan, readSpec, type SpecOptions } from "../helpers/specs.js";

const sourceOf = (plan: Plan): ReturnType<typeof textSource> =>
  textSource(plan.data[0] as Parameters<typeof textSource>[0], text);

const page = (optimizer: string): string => `model Small {
  dim context = 6, width = 8, layers = 2, lanes = 2
  data corpus = characters("text", window = context, holdout = 20%)
  manifold Mixing = birkhoff(exact)
  stream x[lanes, context, width] = copies(embed(corpus.token))
  repeat layers {
    x through mlp(hidden = 12) via mhc(Mixing)
  }
  loss = cross_entropy(unembed(total(x)), corpus.next)
  constrain {
    mlp.up each hidden on sphere(radius = 2), mlp.down on stiefel
    norm(mlp.up) <= 7
    gain(x) <= 1.001
    norm[n, w](mix.phi) <= 1 monitored
  }
  train { batch = 3, steps = 50, seed = 3, optimizer = ${optimizer} }
}
`;

const compiled = (own: string, device: DeviceName = "wasm", options: SpecOptions = {}): Promise<Plan> =>
  compilePlan(own, [device], { facts, monitors: "all", ...options });

const plans = new Map<string, Promise<Plan>>();
/** The page under an optimizer, compiled once. */
function planUnder(optimizer: string): Promise<Plan> {
  const plan = plans.get(optimizer) ?? compiled(page(optimizer));
  plans.set(optimizer, plan);
  return plan;
}

async function verified(
  plan: Plan,
  options: Partial<VerifyOptions> = {},
  name: DeviceName = "wasm",
): Promise<Finding[]> {
  const device = await openDevice(name, { threads: 1 });
  try {
    return await verify(plan, device, { source: plan.data.length ? sourceOf(plan) : null, runs: 60, ...options });
  } finally {
    await device.close();
  }
}

const found = (findings: readonly Finding[], when: Finding["when"], tensor: string): Finding =>
  findings.find((one) => one.when === when && one.tensor === tensor)!;

afterEach(() => void vi.restoreAllMocks());

describe("a page that keeps what it promises", () => {
  it.each(["adamw(rate = 3e-3)", "radam(rate = 3e-3)"])(
    "sets within their tolerances and claims within their bounds, under %s",
    async (optimizer) => {
      const findings = await verified(await planUnder(optimizer));
      expect(
        findings.map(({ when, property, tensor, promised, limit }) => [when, property, tensor, promised, limit]),
      ).toEqual(
        ["drawn", "training"].flatMap((when) => [
          [when, "on birkhoff", "Mixing", "tolerance", 1e-5],
          [when, "on sphere", "layers.*.mlp.up", "tolerance", 1e-6],
          [when, "on stiefel", "layers.*.mlp.down", "tolerance", 1e-5],
          [when, "norm(mlp.up) <= 7", "mlp.up", "proved", 7],
          [when, "gain(x) <= 1.001", "x", "proved", 1.001],
          [when, "norm[n, w](mlp.mhc.mix.phi) <= 1", "mlp.mhc.mix.phi", "monitored", 1],
        ]),
      );
      for (const { ok, worst, limit, runs, when, promised } of findings) {
        expect(ok).toBe(promised === "monitored" ? null : true);
        if (promised !== "monitored") expect(worst).toBeLessThanOrEqual(limit!);
        expect(runs).toBeGreaterThan(when === "drawn" ? 30 : 19);
      }
      // Twelve equal neurons of length 2 are tried: the bound is come to.
      expect(found(findings, "drawn", "mlp.up").worst).toBeCloseTo(2 * Math.sqrt(12), 3);
    },
  );

  it("a monitored claim that a drawn state breaks is told, and is no failure", async () => {
    const claim = found(await verified(await planUnder("adamw(rate = 3e-3)")), "drawn", "mlp.mhc.mix.phi");
    expect(claim.ok).toBe(null);
    expect(claim.counterexample!.measured).toBeGreaterThan(1);
    expect(claim.counterexample!.state).toEqual([
      expect.stringMatching(/^layers\.\d\.mlp\.mhc\.mix\.phi\[.*\] = \d/),
      "batch 0 of the data",
      "everything else as it starts",
    ]);
  });

  const small = { context: "8", width: "16", layers: "2", heads: "2", "train.batch": "2" };
  const front = readSpec("moby-dick");

  it("the front page promises its mixes and its gain, and keeps both", async () => {
    const findings = await verified(await compiled(front, "wasm", { set: small }));
    const judged = findings.map(({ when, property, promised, limit, ok }) => [when, property, promised, limit, ok]);
    expect(judged).toEqual(
      ["drawn", "training"].flatMap((when) => [
        [when, "on birkhoff", "tolerance", 1e-5, true],
        [when, "gain(x) <= 1.001", "proved", 1.001, true],
      ]),
    );
  });

  it("truncated Sinkhorn is measured at its corners, and promises nothing", async () => {
    const published = front.replace("iterations = 20", "iterations = 20, truncated").replace("gain(x) <= 1.001", "");
    const findings = await verified(await compiled(published, "wasm", { set: small }));
    expect(
      findings.map(({ when, property, promised, ok, counterexample }) => [
        when,
        property,
        promised,
        ok,
        counterexample,
      ]),
    ).toEqual(
      ["drawn", "training"].flatMap((when) => [
        [when, "on birkhoff", "nothing", null, null],
        [when, "gain", "nothing", null, null],
      ]),
    );
    // Two rows that want the same column leave it with twice its sum.
    expect(found(findings, "drawn", "Mixing").worst).toBeGreaterThan(0.5);
    expect(found(findings, "training", "Mixing").worst).toBeLessThan(1e-3);
  });

  it.each(everyDevice)(
    "sets of parameters with inputs in place of data, at what has no square in f32, on %s",
    async (name) => {
      // Making the kernels of low_rank takes an emulated GPU ten times as long as the rest.
      const emulated = name === "webgpu";
      const own = `model Sets {
      dim n = 4, m = 4
      input u[n, m]
      param reflected[n, m] ~ normal(0.5) on orthogonal(by = householder)
      param round[n, m] ~ normal(0.5) each n on sphere
${emulated ? "" : "      param low[n, m] ~ normal(0.5) on low_rank(rank = 2)"}
      output y[n, m] = u + reflected + round${emulated ? "" : " + low"}
    }`;
      const findings = await verified(await compiled(own, name), { seed: 1, runs: emulated ? 60 : 150 }, name);
      expect(findings.map(({ tensor, ok }) => [tensor, ok])).toEqual([
        ["reflected", true],
        ["round", true],
        ...(emulated ? [] : [["low", true]]),
      ]);
      for (const { worst, limit } of findings) expect(worst).toBeLessThanOrEqual(limit!);
    },
  );

  it("a page that overflows before it comes to a set is not judged there", async () => {
    const findings = await verified(await compiled(readSpec("sublayer").replace(", truncated", "")), {
      seed: 1,
      runs: 150,
    });
    const mixing = found(findings, "drawn", "Mixing");
    expect(mixing.ok).toBe(true);
    expect(mixing.runs).toBeLessThan(150);
    expect(mixing.runs).toBeGreaterThan(75);
    expect(mixing.worst).toBeLessThanOrEqual(1e-5);
  });
});

describe("what is broken on purpose", () => {
  it("a tolerance that f32 cannot keep", async () => {
    const plan = await planUnder("adamw(rate = 3e-3)");
    const findings = await verified({
      ...plan,
      constraints: plan.constraints.map((own) => (own.name === "Mixing" ? { ...own, tolerance: 1e-9 } : own)),
    });
    expect(findings.filter(({ ok }) => ok === false).map(({ when, tensor }) => [when, tensor])).toEqual([
      ["drawn", "Mixing"],
      ["training", "Mixing"],
    ]);
    expect(found(findings, "drawn", "Mixing").counterexample!.measured).toBeGreaterThan(1e-9);
    expect(found(findings, "training", "Mixing").counterexample!.state[0]).toMatch(/^step \d+ from the start$/);
  });

  it("a proof that is none", async () => {
    const plan = await planUnder("adamw(rate = 3e-3)");
    const findings = await verified({
      ...plan,
      claims: plan.claims.map((claim) => (claim.text.startsWith("norm(mlp.up)") ? { ...claim, bound: 6 } : claim)),
    });
    const claim = found(findings, "drawn", "mlp.up");
    expect([claim.ok, claim.promised]).toEqual([false, "proved"]);
    expect(claim.counterexample!.state).toEqual([
      expect.stringMatching(/^layers\.\d\.mlp\.up/),
      "batch 0 of the data",
      "everything else as it starts",
    ]);
    expect(claim.counterexample!.measured).toBeGreaterThan(6);
  });

  it("a map that leaves its set where a coordinate is above 5: shrunk to that coordinate", async () => {
    const right = sphere.map;
    vi.spyOn(sphere, "map").mockImplementation((b, free, shape, setting) => {
      const x = right(b, free, shape, setting);
      const beyond = b.reduceMax(b.cast(b.lt(b.fill(5, free[0]!.shape), free[0]!), "f32"), [shape.length - 1]);
      return b.add(
        x,
        b.broadcast(
          b.mul(beyond, b.fill(0.25, beyond.shape)),
          shape,
          beyond.shape.map((_, axis) => axis),
        ),
      );
    });
    const findings = await verified(await compiled(page("adamw(rate = 3e-3)")));
    expect(findings.filter(({ ok }) => ok === false).map(({ when, property }) => [when, property])).toContainEqual([
      "drawn",
      "on sphere",
    ]);
    const { counterexample } = found(findings, "drawn", "layers.*.mlp.up");
    const [line, ...rest] = counterexample!.state;
    expect(rest).toEqual(["batch 0 of the data", "everything else as it starts"]);
    const [, value] = /^layers\.\d\.mlp\.up\[\d+, \d+\] = (\d+\.?\d*)$/.exec(line!)!;
    expect(Number(value)).toBeGreaterThan(5);
    expect(Number(value)).toBeLessThan(6);
  });

  it("a map whose zero is no number", async () => {
    vi.spyOn(sphere, "map").mockImplementation((b, [free], shape) => {
      const square = b.sum(b.mul(free!, free!), [shape.length - 1]);
      return b.mul(
        b.div(
          free!,
          b.broadcast(
            b.sqrt(square),
            shape,
            square.shape.map((_, axis) => axis),
          ),
        ),
        b.fill(2, shape),
      );
    });
    const { ok, worst, counterexample } = found(
      await verified(await compiled(page("adamw(rate = 3e-3)"))),
      "drawn",
      "layers.*.mlp.up",
    );
    expect([ok, worst, counterexample!.measured]).toEqual([false, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]);
    expect(counterexample!.state).toEqual([
      expect.stringMatching(/^layers\.\d\.mlp\.up.* = 0 everywhere$/),
      "batch 0 of the data",
      "everything else as it starts",
    ]);
  });
});

describe("of a run", () => {
  const folder = mkdtempSync(join(tmpdir(), "mhc-verify-"));
  const checkpoint = join(folder, "model.safetensors");

  async function train(
    plan: Plan,
    change: (tensors: ReadonlyMap<string, { readonly data: Float32Array }>) => void = () => undefined,
  ): Promise<void> {
    const model = await load(plan, { device: "wasm", threads: 1 });
    for await (const step of model.train(sourceOf(plan), { steps: 10 })) void step;
    const file = decode(await model.checkpoint());
    change(file.tensors);
    await writeAtomically(checkpoint, encode(file));
    await model.close();
  }

  afterEach(() => rmSync(checkpoint, { force: true }));

  it.each(["adamw(rate = 3e-3)", "radam(rate = 3e-3)"])(
    "the trained parameters and those near them are verified too, under %s",
    async (optimizer) => {
      const plan = await planUnder(optimizer);
      await train(plan);
      const seen: string[] = [];
      const findings = await verified(plan, { checkpoint, runs: 30, phase: (when) => void seen.push(when) });
      expect(seen).toEqual(["drawn", "training", "trained", "nearby"]);
      for (const { when, ok, runs, tensor } of findings) {
        expect(ok, `${when} ${tensor}`).not.toBe(false);
        expect(runs, `${when} ${tensor}`).toBeGreaterThanOrEqual(when === "drawn" ? 15 : when === "nearby" ? 30 : 20);
      }
    },
  );

  it("a coordinate that leaves a set is named; of a point that was moved off its manifold, the tensor", async () => {
    const plan = await planUnder("radam(rate = 3e-3)");
    await train(plan, (tensors) => void (tensors.get("layers.1.mlp.up")!.data[3 * 12 + 5] = 4.5));
    const findings = await verified(plan, { checkpoint, runs: 20 });
    const { ok, counterexample, worst } = found(findings, "trained", "layers.*.mlp.up");
    expect(ok).toBe(false);
    expect(worst).toBeGreaterThan(1);
    expect(counterexample!.state).toEqual([
      "layers.1.mlp.up as trained",
      "batch 0 of the data",
      "everything else as it starts",
    ]);
    expect(found(findings, "nearby", "layers.*.mlp.up").counterexample!.state).toEqual([
      "batch 0 of the data",
      "everything else as trained",
    ]);
    expect(findings.filter((one) => one.ok === false && one.when !== "trained" && one.when !== "nearby")).toEqual([]);
  });

  it("a monitored claim that the run broke is a failure there alone", async () => {
    const plan = await planUnder("adamw(rate = 3e-3)");
    await train(plan, (tensors) => void tensors.get("layers.0.mlp.mhc.mix.phi")!.data.fill(1));
    const findings = await verified(plan, { checkpoint, runs: 20 });
    expect(findings.filter(({ ok }) => ok === false).map(({ when, tensor }) => [when, tensor])).toEqual([
      ["trained", "mlp.mhc.mix.phi"],
    ]);
    expect(found(findings, "trained", "mlp.mhc.mix.phi").counterexample!.state[0]).toMatch(
      /^layers\.0\.mlp\.mhc\.mix\.phi\[.*as trained$/,
    );
  });
});
