/**
 * The optimizer's graph against the formulas written out by hand, in f64 over ten steps, and its kernels on given
 * gradients.
 */
import { describe, expect, it } from "vitest";
import { openDevice } from "../../runtime/index.js";
import { createBuilder } from "../../src/graph/create-builder.js";
import { evaluate } from "../../src/graph/evaluate.js";
import type { Graph, Node } from "../../src/graph/node.js";
import { scheduled, type Schedule } from "../../src/graph/schedules.js";
import { applyOptimizer, type OptimizerSpec } from "../../src/step/optimizer.js";
import { layOutInOrder } from "../../src/schedule/memory/lifetimes.js";
import { everyDevice, makingFor } from "../helpers/devices.js";
import { schedule } from "../helpers/schedule.js";
import { distance } from "../helpers/specs.js";

const N = 37;
const STEPS = 10;
const shapes = { matrix: [N, 3], bias: [N] } as const;
const sizes = { matrix: 3 * N, bias: N } as const;
type Name = keyof typeof shapes;
const names: readonly Name[] = ["matrix", "bias"];

interface BuiltUpdate {
  readonly graph: Graph;
  readonly states: readonly { readonly name: string; readonly shape: readonly number[] }[];
  readonly order: readonly string[];
}

function build(spec: OptimizerSpec, clip: number | null): BuiltUpdate {
  const b = createBuilder();
  const parameters = names.map((name) => ({ node: b.parameter(name, shapes[name]), name, decay: name === "matrix" }));
  const gradients = names.map((name): Node => b.input(`g.${name}`, shapes[name], "f32"));
  const { updates, states, order } = applyOptimizer(b, { trained: parameters, gradients, spec, clip });
  return { graph: { name: "update", outputs: new Map(), updates }, states, order };
}

const start = (name: Name): Float64Array =>
  Float64Array.from({ length: sizes[name] }, (_, i) => Math.fround(Math.sin(i + name.length)));
const gradient = (name: Name, step: number): Float64Array =>
  Float64Array.from({ length: sizes[name] }, (_, i) => Math.fround(Math.cos(3 * i + step + name.length) * 0.3));

const adamw: OptimizerSpec = {
  kind: "adamw",
  rate: { kind: "cosine", from: 1e-2, to: 1e-3, warmup: 3, steps: 20 },
  betas: [0.9, 0.99],
  epsilon: 1e-8,
  decay: 0.1,
};
const sgd: OptimizerSpec = {
  kind: "sgd",
  rate: { kind: "linear", from: 1e-1, to: 0, warmup: 0, steps: 20 },
  momentum: 0.9,
  decay: 0.01,
};

/** nanoGPT's rate at a step. */
function rateAt(rate: Schedule, step: number): number {
  if (rate.kind === "constant") return rate.value;
  if (rate.kind !== "cosine" && rate.kind !== "linear") throw new Error(`no formula of ${rate.kind} here`);
  if (step < rate.warmup) return (rate.from * (step + 1)) / (rate.warmup + 1);
  const progress = Math.min(1, (step - rate.warmup) / (rate.steps - rate.warmup));
  const share = rate.kind === "linear" ? 1 - progress : 0.5 * (1 + Math.cos(Math.PI * progress));
  return rate.to + share * (rate.from - rate.to);
}

/** As PyTorch's documentation writes AdamW and SGD, with clip_grad_norm_ before. */
function byHand(spec: OptimizerSpec, clip: number | null): Record<Name, Float64Array> {
  const values = { matrix: start("matrix"), bias: start("bias") };
  const first = { matrix: new Float64Array(3 * N), bias: new Float64Array(N) };
  const second = { matrix: new Float64Array(3 * N), bias: new Float64Array(N) };
  for (let step = 0; step < STEPS; step++) {
    const rate = rateAt(spec.rate, step);
    const all = names.map((name) => gradient(name, step));
    const norm = Math.sqrt(all.reduce((sum, g) => sum + g.reduce((total, x) => total + x * x, 0), 0));
    const factor = clip === null ? 1 : Math.min(1, clip / (norm + 1e-6));
    names.forEach((name, at) => {
      const p = values[name];
      const decay = name === "matrix" ? spec.decay : 0;
      p.forEach((_, i) => {
        const g = all[at]![i]! * factor;
        p[i]! *= 1 - rate * decay;
        if (spec.kind === "sgd") {
          first[name][i] = spec.momentum * first[name][i]! + g;
          p[i]! -= rate * first[name][i]!;
          return;
        }
        const [b1, b2] = spec.betas;
        first[name][i] = b1 * first[name][i]! + (1 - b1) * g;
        second[name][i] = b2 * second[name][i]! + (1 - b2) * g * g;
        const m = first[name][i]! / (1 - b1 ** (step + 1));
        const v = second[name][i]! / (1 - b2 ** (step + 1));
        p[i]! -= (rate * m) / (Math.sqrt(v) + spec.epsilon);
      });
    });
  }
  return values;
}

describe.each<[string, OptimizerSpec, number | null]>([
  ["adamw", adamw, null],
  ["adamw, clipped", adamw, 0.5],
  ["adamw, below the clip", adamw, 100],
  ["sgd", sgd, null],
  ["sgd, clipped", sgd, 0.5],
  ["sgd without momentum", { ...sgd, momentum: 0 }, null],
])("%s", (_, spec, clip) => {
  it("in f64 is the formula", () => {
    const { graph, states } = build(spec, clip);
    const values = new Map<string, ArrayLike<number>>(names.map((name) => [name, start(name)]));
    for (const { name, shape } of states) values.set(name, new Float64Array(shape.reduce((size, n) => size * n, 1)));
    for (let step = 0; step < STEPS; step++) {
      const { updates } = evaluate(
        graph,
        new Map([...values, ["step", [step]], ...names.map((name) => [`g.${name}`, gradient(name, step)] as const)]),
      );
      updates.forEach((value, name) => values.set(name, value));
    }
    const expected = byHand(spec, clip);
    for (const name of names) expect(distance(values.get(name)!, expected[name])).toBeLessThan(1e-12);
  });

  const memories = everyDevice.flatMap(
    (device) =>
      [
        [device, "the update's order"],
        [device, "another order"],
      ] as const,
  );
  it.each(memories)("on given gradients on %s, with the leaves in %s, agrees to 1e-6", async (device, memory) => {
    const { graph, states, order } = build(spec, clip);
    const own = new Map([
      ...names.map((name) => [name as string, shapes[name] as readonly number[]] as const),
      ...states.map(({ name, shape }) => [name, shape] as const),
    ]);
    const listed = memory === "another order" ? [...own.keys()].toReversed() : order;
    const layout = layOutInOrder(listed.map((name) => own.get(name)!.reduce((size, n) => size * n, 1)));
    const places = new Map(listed.map((name, i) => [name, layout.offsets[i]!]));
    const opened = await openDevice(device, { threads: 2 });
    const { printer, profile } = makingFor(opened);
    const { kernels, infos, entries, pools, constants } = schedule([graph], profile, places, layout.words);
    // In its own order the update is one kernel in place; the gradients are inputs here, copied into their pack.
    const run = entries["update"]!.dispatches.map(({ kernel }) => kernels[kernel]!);
    if (memory === "the update's order")
      expect(
        run.filter(
          ({ name, buffers }) =>
            name !== "copy" && buffers.some(({ pool, access }) => pool === "state" && access !== "read"),
        ).length,
      ).toBe(1);
    const session = await opened.load({
      kernels: infos,
      code: await printer.print(kernels),
      entries,
      pools,
      constants,
    });
    const at = (name: Name) =>
      ({ pool: "state", offset: places.get(name)!, shape: shapes[name], dtype: "f32" }) as const;
    for (const name of names) session.write(at(name), Float32Array.from(start(name)));
    const { inputs } = entries["update"]!;
    for (let step = 0; step < STEPS; step++) {
      session.write(inputs["step"]!, Uint32Array.of(step));
      for (const name of names) session.write(inputs[`g.${name}`]!, Float32Array.from(gradient(name, step)));
      await session.run("update");
    }
    const expected = byHand(spec, clip);
    for (const name of names) expect(distance(await session.read(at(name)), expected[name])).toBeLessThan(1e-6);
    await opened.close();
  });
});

it.each([
  { kind: "constant", value: 0.3 },
  { kind: "cosine", from: 1e-3, to: 1e-4, warmup: 100, steps: 2000 },
  { kind: "linear", from: 1e-3, to: 0, warmup: 10, steps: 50 },
] as const)("the rate $kind is nanoGPT's at every step", (rate) => {
  const b = createBuilder();
  const graph: Graph = {
    name: "rate",
    outputs: new Map([["rate", scheduled(b, rate, b.cast(b.input("step", [], "u32"), "f32"))]]),
    updates: new Map(),
  };
  for (const step of [0, 1, 9, 10, 11, 49, 50, 99, 100, 101, 1000, 1999, 2000, 5000]) {
    expect(evaluate(graph, new Map([["step", [step]]])).outputs.get("rate")![0]).toBeCloseTo(rateAt(rate, step), 12);
  }
});
