/**
 * Riemannian optimizers on spheres against the formulas written out by hand, in f64 over ten steps, and on every
 * device.
 */
import { describe, expect, it } from "vitest";
import { openDevice } from "../../runtime/index.js";
import { createBuilder } from "../../src/graph/create-builder.js";
import { evaluate } from "../../src/graph/evaluate.js";
import type { Graph, Node } from "../../src/graph/node.js";
import { pointsOf } from "../../src/model/lower/points.js";
import { fixed } from "../../src/manifolds/set.js";
import { sphere } from "../../src/manifolds/sphere.js";
import { applyOptimizer, type OptimizerSpec } from "../../src/step/optimizer.js";
import { layOutInOrder } from "../../src/schedule/memory/lifetimes.js";
import { everyDevice, makingFor } from "../helpers/devices.js";
import { schedule } from "../helpers/schedule.js";
import { distance } from "../helpers/specs.js";

// Columns of a 5 x 7 matrix are points: the axis that counts them is the second.
const [ROWS, COLUMNS] = [5, 7];
const STEPS = 10;
const radius = 2;
const rate = 0.3;
const adam: OptimizerSpec = {
  kind: "adamw",
  rate: { kind: "constant", value: rate },
  betas: [0.9, 0.99],
  epsilon: 1e-8,
  decay: 0.1,
};
const momentum: OptimizerSpec = { kind: "sgd", rate: { kind: "constant", value: rate }, momentum: 0.9, decay: 0.1 };
const plain: OptimizerSpec = { ...momentum, momentum: 0 };
const clip = 1.5;

const at = (row: number, column: number): number => row * COLUMNS + column;
const start = Float64Array.from({ length: ROWS * COLUMNS }, (_, i) => Math.sin(3 * i + 1));
for (let column = 0; column < COLUMNS; column++) {
  const norm = Math.hypot(...Array.from({ length: ROWS }, (_, row) => start[at(row, column)]!));
  for (let row = 0; row < ROWS; row++) start[at(row, column)] = Math.fround((radius * start[at(row, column)]!) / norm);
}
const bias = Float64Array.from({ length: COLUMNS }, (_, i) => Math.fround(0.1 * i));
const gradient = (step: number): Float64Array =>
  Float64Array.from({ length: ROWS * COLUMNS }, (_, i) => Math.fround(Math.cos(5 * i + step)));
const biasGradient = (step: number): Float64Array =>
  Float64Array.from({ length: COLUMNS }, (_, i) => Math.fround(Math.cos(i - step)));

function build(spec: OptimizerSpec): {
  readonly graph: Graph;
  readonly states: readonly { readonly name: string; readonly shape: readonly number[] }[];
  readonly order: readonly string[];
} {
  const b = createBuilder();
  const node = b.parameter("w", [ROWS, COLUMNS]);
  const points = pointsOf({ set: sphere, options: { radius }, adapt: [] }, fixed({ radius }), {
    shape: [ROWS, COLUMNS],
    axes: ["r", "c"],
    each: [1],
  });
  const trained = [
    { node, name: "w", decay: false, manifold: { ...points, name: "w", node, manifold: sphere } },
    { node: b.parameter("bias", [COLUMNS]), name: "bias", decay: false },
  ];
  const gradients: Node[] = [b.input("g", [ROWS, COLUMNS], "f32"), b.input("g.bias", [COLUMNS], "f32")];
  const { updates, states, order } = applyOptimizer(b, { trained, gradients, spec, clip });
  return { graph: { name: "update", outputs: new Map(), updates }, states, order };
}

/**
 * Bonnabel's descent and Bécigneul and Ganea's Adam, one column after another, with clipping by the norm of all
 * gradients.
 */
function byHand(spec: OptimizerSpec): Float64Array {
  const w = start.slice();
  const m = new Float64Array(w.length);
  const v = new Float64Array(COLUMNS);
  const column = (x: Float64Array, c: number): number[] => Array.from({ length: ROWS }, (_, row) => x[at(row, c)]!);
  const dot = (x: readonly number[], y: readonly number[]): number =>
    x.reduce((sum, value, i) => sum + value * y[i]!, 0);
  const projected = (x: readonly number[], u: readonly number[]): number[] =>
    u.map((value, i) => value - (dot(x, u) / radius ** 2) * x[i]!);
  for (let step = 0; step < STEPS; step++) {
    const g = gradient(step);
    const norm = Math.sqrt([...g, ...biasGradient(step)].reduce((sum, x) => sum + x * x, 0));
    const factor = Math.min(1, clip / (norm + 1e-6));
    for (let c = 0; c < COLUMNS; c++) {
      const x = column(w, c);
      const own = projected(
        x,
        column(g, c).map((value) => value * factor),
      );
      let along: number[];
      let kept: number[];
      if (spec.kind === "sgd") {
        kept = column(m, c).map((value, i) => spec.momentum * value + own[i]!);
        along = kept.map((value) => -rate * value);
      } else {
        const [b1, b2] = spec.betas;
        kept = column(m, c).map((value, i) => b1 * value + (1 - b1) * own[i]!);
        v[c] = b2 * v[c]! + (1 - b2) * dot(own, own);
        const length = Math.sqrt(v[c]! / (1 - b2 ** (step + 1))) + spec.epsilon;
        along = kept.map((value) => (-rate * value) / (1 - b1 ** (step + 1)) / length);
      }
      const moved = x.map((value, i) => value + along[i]!);
      const y = moved.map((value) => (radius * value) / Math.sqrt(dot(moved, moved)));
      projected(y, kept).forEach((value, row) => (m[at(row, c)] = value));
      y.forEach((value, row) => (w[at(row, c)] = value));
    }
  }
  return w;
}

describe.each([
  ["Adam", adam],
  ["descent with momentum", momentum],
  ["descent", plain],
] as const)("%s", (_, spec) => {
  it("in f64 is the formula", () => {
    const { graph, states } = build(spec);
    const values = new Map<string, ArrayLike<number>>([
      ["w", start],
      ["bias", bias],
    ]);
    for (const { name, shape } of states) values.set(name, new Float64Array(shape.reduce((size, n) => size * n, 1)));
    for (let step = 0; step < STEPS; step++) {
      const { updates } = evaluate(
        graph,
        new Map([...values, ["step", [step]], ["g", gradient(step)], ["g.bias", biasGradient(step)]]),
      );
      updates.forEach((value, name) => values.set(name, value));
    }
    expect(distance(values.get("w")!, byHand(spec))).toBeLessThan(1e-12);
  });

  it.each(everyDevice)("agrees on %s", async (name) => {
    const { graph, states, order } = build(spec);
    const shapes = new Map<string, readonly number[]>([
      ["w", [ROWS, COLUMNS]],
      ["bias", [COLUMNS]],
      ...states.map((state) => [state.name, state.shape] as const),
    ]);
    const layout = layOutInOrder(order.map((own) => shapes.get(own)!.reduce((size, n) => size * n, 1)));
    const places = new Map(order.map((own, i) => [own, layout.offsets[i]!]));
    const device = await openDevice(name, { threads: 2 });
    const { printer, profile } = makingFor(device);
    const { kernels, infos, entries, pools, constants } = schedule([graph], profile, places, layout.words);
    const session = await device.load({
      kernels: infos,
      code: await printer.print(kernels),
      entries,
      pools,
      constants,
    });
    const ref = (own: string) =>
      ({ pool: "state", offset: places.get(own)!, shape: shapes.get(own)!, dtype: "f32" }) as const;
    session.write(ref("w"), Float32Array.from(start));
    session.write(ref("bias"), Float32Array.from(bias));
    const { inputs } = entries["update"]!;
    for (let step = 0; step < STEPS; step++) {
      // Descent at a constant rate does not ask which step it is.
      if (inputs["step"]) session.write(inputs["step"], Uint32Array.of(step));
      session.write(inputs["g"]!, Float32Array.from(gradient(step)));
      session.write(inputs["g.bias"]!, Float32Array.from(biasGradient(step)));
      await session.run("update");
    }
    expect(distance(await session.read(ref("w")), byHand(spec))).toBeLessThan(1e-5);
    await device.close();
  });
});
