/**
 * Loss scaling: steps with gradients that are not finite change nothing but the scale, and all others are those of the
 * optimizer alone, in f64 and on every device. The gradients are given; in half precision they would overflow by
 * themselves (test/e2e/half.test.ts).
 */
import { sizeOf } from "../../src/graph/record.js";
import { describe, expect, it } from "vitest";
import { openDevice } from "../../runtime/index.js";
import { createBuilder } from "../../src/graph/create-builder.js";
import { evaluate } from "../../src/graph/evaluate.js";
import type { Graph, Node } from "../../src/graph/node.js";
import { slotsOf } from "../../src/graph/packing.js";
import { applyOptimizer, type OptimizerSpec, type ParameterUpdate } from "../../src/step/optimizer.js";
import { lossScale } from "../../src/step/scaling.js";
import { everyDevice, makingFor } from "../helpers/devices.js";
import { schedule } from "../helpers/schedule.js";
import { distance } from "../helpers/specs.js";

const shapes = { matrix: [37, 3], bias: [37] } as const;
type Name = keyof typeof shapes;
const names: readonly Name[] = ["matrix", "bias"];
const START = 2 ** 10;
/** What the gradients of a step are multiplied with, or spoilt by. */
const steps: readonly ("good" | "infinite" | "nan")[] = [
  "infinite",
  "good",
  "good",
  "nan",
  "good",
  "infinite",
  "good",
  "good",
];

const adamw: OptimizerSpec = {
  kind: "adamw",
  rate: { kind: "constant", value: 1e-2 },
  betas: [0.9, 0.99],
  epsilon: 1e-8,
  decay: 0.1,
};
const sgd: OptimizerSpec = {
  kind: "sgd",
  rate: { kind: "linear", from: 1e-1, to: 1e-1, warmup: 0, steps: 9 },
  momentum: 0.9,
  decay: 0.01,
};

function build(spec: OptimizerSpec, clip: number | null, scaled: boolean): { readonly graph: Graph } & ParameterUpdate {
  const b = createBuilder();
  const parameters = names.map((name) => ({ node: b.parameter(name, shapes[name]), name, decay: name === "matrix" }));
  const gradients = names.map((name): Node => b.input(`g.${name}`, shapes[name], "f32"));
  const update = applyOptimizer(b, {
    trained: parameters,
    gradients,
    spec,
    clip,
    scaling: scaled ? lossScale(b, START) : null,
  });
  return {
    graph: { name: "update", outputs: new Map(update.norm ? [["norm", update.norm]] : []), updates: update.updates },
    ...update,
  };
}

const start = (name: Name): Float64Array =>
  Float64Array.from({ length: sizeOf(shapes[name]) }, (_, i) => Math.fround(Math.sin(i + name.length)));
/** The gradients of the good step `made`. */
const gradient = (name: Name, made: number): Float64Array =>
  Float64Array.from({ length: sizeOf(shapes[name]) }, (_, i) =>
    Math.fround(Math.cos(3 * i + made + name.length) * 0.3),
  );

/** The same gradients as a step sees them: times the scale, spoilt in one place where the step is bad. */
function seen(name: Name, made: number, kind: (typeof steps)[number], scale: number): Float64Array {
  const values = gradient(name, made).map((value) => value * scale);
  if (kind !== "good" && name === "bias") values[17] = kind === "nan" ? Number.NaN : Number.NEGATIVE_INFINITY;
  return values;
}

type Values = Map<string, ArrayLike<number>>;
const initial = ({ states }: ParameterUpdate): Values =>
  new Map([
    ...names.map((name) => [name, start(name)] as const),
    ...states.map(({ name, shape, start: value = 0 }) => [name, new Float64Array(sizeOf(shape)).fill(value)] as const),
  ]);

/** The good steps alone, in f64. */
function alone(spec: OptimizerSpec, clip: number | null): Values {
  const update = build(spec, clip, false);
  const values = initial(update);
  for (let made = 0; made < steps.filter((kind) => kind === "good").length; made++) {
    const { updates } = evaluate(
      update.graph,
      new Map([...values, ["step", [made]], ...names.map((name) => [`g.${name}`, gradient(name, made)] as const)]),
    );
    updates.forEach((value, name) => values.set(name, value));
  }
  return values;
}

const bad = steps.filter((kind) => kind !== "good").length;

describe.each<[string, OptimizerSpec, number | null]>([
  ["adamw", adamw, null],
  ["adamw, clipped", adamw, 0.5],
  ["sgd", sgd, null],
  ["sgd, clipped", sgd, 0.5],
  ["sgd without momentum", { ...sgd, momentum: 0 }, 0.5],
])("%s", (_, spec, clip) => {
  it("in f64 skips what is not finite, and is the optimizer otherwise", () => {
    const update = build(spec, clip, true);
    const values = initial(update);
    let made = 0;
    let scale = START;
    steps.forEach((kind, step) => {
      const before = new Map(values);
      const { updates, outputs } = evaluate(
        update.graph,
        new Map([
          ...values,
          ["step", [step]],
          ...names.map((name) => [`g.${name}`, seen(name, made, kind, scale)] as const),
        ]),
      );
      updates.forEach((value, name) => values.set(name, value));
      if (kind === "good") {
        expect(outputs.get("norm")![0]).toBeCloseTo(
          Math.sqrt(names.reduce((sum, name) => sum + gradient(name, made).reduce((part, x) => part + x * x, 0), 0)),
          9,
        );
        made++;
      } else {
        scale /= 2;
        for (const [name, value] of before)
          if (!name.startsWith("scale:")) expect(values.get(name), name).toEqual(value);
      }
      expect([values.get("scale:loss")![0], values.get("scale:skipped steps")![0]]).toEqual([scale, step + 1 - made]);
    });
    for (const [name, value] of alone(spec, clip)) expect(distance(values.get(name)!, value), name).toBeLessThan(1e-12);
  });

  it.each(everyDevice)("on %s does the same, in one kernel over all parameters", async (device) => {
    const update = build(spec, clip, true);
    const all = [
      ...names.map((name) => ({ name: name as string, shape: shapes[name] as readonly number[] })),
      ...update.states,
    ];
    const slots = slotsOf(update.order.map((name) => all.find((one) => one.name === name)!.shape));
    const places = new Map(update.order.map((name, i) => [name, slots.offsets[i]!]));
    const opened = await openDevice(device, { threads: 2 });
    const { printer, profile } = makingFor(opened);
    const { kernels, infos, entries, pools, constants } = schedule([update.graph], profile, places, slots.words);
    const { dispatches, inputs } = entries["update"]!;
    const large = dispatches
      .map(({ kernel }, i) => ({ kernel: kernels[kernel]!, i }))
      .filter(
        ({ kernel, i }) =>
          kernel.name !== "copy" &&
          kernel.buffers.some(
            ({ pool, access }, slot) =>
              pool === "state" && access !== "read" && dispatches[i]!.offsets[slot]! < places.get("scale:loss")!,
          ),
      );
    expect(large.length).toBe(1);
    const session = await opened.load({
      kernels: infos,
      code: await printer.print(kernels),
      entries,
      pools,
      constants,
    });
    const at = (name: string) =>
      ({
        pool: "state",
        offset: places.get(name)!,
        shape: all.find((one) => one.name === name)!.shape,
        dtype: "f32",
      }) as const;
    for (const [name, value] of initial(update)) session.write(at(name), Float32Array.from(value));
    let made = 0;
    let scale = START;
    for (const [step, kind] of steps.entries()) {
      session.write(inputs["step"]!, Uint32Array.of(step));
      for (const name of names) session.write(inputs[`g.${name}`]!, Float32Array.from(seen(name, made, kind, scale)));
      await session.run("update");
      if (kind === "good") made++;
      else scale /= 2;
    }
    expect([(await session.read(at("scale:loss")))[0], (await session.read(at("scale:skipped steps")))[0]]).toEqual([
      START / 2 ** bad,
      bad,
    ]);
    for (const [name, value] of alone(spec, clip))
      expect(distance(await session.read(at(name)), value), name).toBeLessThan(1e-6);
    await opened.close();
  });
});

it("the scale doubles after two thousand good steps in a row, up to 2^24", () => {
  const update = build(adamw, 1, true);
  const after = (scale: number, streak: number): readonly number[] => {
    const values = new Map<string, ArrayLike<number>>([
      ...initial(update),
      ["scale:loss", [scale]],
      ["scale:good steps", [streak]],
      ["step", [5000]],
      ...names.map((name) => [`g.${name}`, gradient(name, 0)] as const),
    ]);
    const { updates } = evaluate(update.graph, values);
    return [updates.get("scale:loss")![0]!, updates.get("scale:good steps")![0]!];
  };
  expect(after(1024, 0)).toEqual([1024, 1]);
  expect(after(1024, 1998)).toEqual([1024, 1999]);
  expect(after(1024, 1999)).toEqual([2048, 0]);
  expect(after(2 ** 24, 1999)).toEqual([2 ** 24, 0]);
});
