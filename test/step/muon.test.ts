/**
 * Muon against the formulas written out on plain numbers, matrix by matrix: in f64, and its kernels on given gradients
 * on every device. The other parameters of the step are AdamW's, as in `optimizer.test.ts`.
 */
import { describe, expect, it } from "vitest";
import type { Device } from "../../runtime/device.js";
import { openDevice } from "../../runtime/index.js";
import type { DeviceCode } from "../../runtime/plan.js";
import { createBuilder } from "../../src/graph/create-builder.js";
import { evaluate } from "../../src/graph/evaluate.js";
import type { Graph, Node } from "../../src/graph/node.js";
import { slotsOf } from "../../src/graph/packing.js";
import { sizeOf, stridesOf } from "../../src/graph/record.js";
import { topological } from "../../src/graph/topology.js";
import type { Sides } from "../../src/model/lower/matrices.js";
import { orthogonalized } from "../../src/step/muon.js";
import { applyOptimizer, type OptimizerSpec, type ParameterUpdate } from "../../src/step/optimizer.js";
import type { TrainedParameter } from "../../src/step/packs.js";
import { lossScale } from "../../src/step/scaling.js";
import type { Kernel } from "../../src/kernel/ir.js";
import type { Scheduled } from "../../src/schedule/plan.js";
import { isThere, makingFor } from "../helpers/devices.js";
import { schedule } from "../helpers/schedule.js";
import { distance } from "../helpers/specs.js";

const STEPS = 4;
const START = 1024;

interface Given {
  readonly shape: readonly number[];
  readonly decay: boolean;
  readonly matrix: Sides | null;
}

const sides = (rows: readonly number[], columns: readonly number[], each: readonly number[] = []): Sides => ({
  each,
  rows,
  columns,
});

/**
 * Of every kind: equal matrices of several axes, tall, wide and square ones, some that fill no slot, some that do not
 * lie as matrices, and others.
 */
const parameters: Readonly<Record<string, Given>> = {
  bias: { shape: [37], decay: false, matrix: null },
  "0.wq": { shape: [8, 2, 8], decay: true, matrix: sides([0], [1, 2]) },
  "0.out": { shape: [2, 4, 16], decay: true, matrix: sides([0, 1], [2]) },
  "0.down": { shape: [24, 8], decay: true, matrix: sides([0], [1]) },
  "0.odd": { shape: [5, 7], decay: true, matrix: sides([0], [1]) },
  "0.each": { shape: [3, 5, 4], decay: true, matrix: sides([1], [2], [0]) },
  "0.mixed": { shape: [3, 6, 4], decay: true, matrix: sides([1], [0, 2]) },
  table: { shape: [9, 5], decay: true, matrix: null },
  "1.wq": { shape: [8, 2, 8], decay: true, matrix: sides([0], [1, 2]) },
  "1.down": { shape: [24, 8], decay: true, matrix: sides([1], [0]) },
  "1.odd": { shape: [5, 7], decay: true, matrix: sides([0], [1]) },
  "1.each": { shape: [3, 5, 4], decay: true, matrix: sides([2], [1], [0]) },
  square: { shape: [16, 16], decay: true, matrix: sides([1], [0]) },
};
const names = Object.keys(parameters);

const spec = (nesterov: boolean, momentum = 0.95): Extract<OptimizerSpec, { readonly kind: "muon" }> => ({
  kind: "muon",
  rate: { kind: "linear", from: 0.3, to: 0.1, warmup: 0, steps: 9 },
  momentum,
  nesterov,
  betas: [0.9, 0.95],
  epsilon: 1e-8,
  decay: 0.1,
});

/** Numbers without a pattern, so that no matrix of them is of low rank. */
const drawn = (seed: number, size: number): Float64Array =>
  Float64Array.from({ length: size }, (_, i) => {
    const x = Math.sin(12.9898 * (i + 1) + 78.233 * seed) * 43758.5453;
    return Math.fround(x - Math.floor(x) - 0.5);
  });
const start = (name: string): Float64Array => drawn(names.indexOf(name), sizeOf(parameters[name]!.shape));
const gradient = (name: string, step: number): Float64Array =>
  drawn(100 * (step + 1) + names.indexOf(name), sizeOf(parameters[name]!.shape));

function build(own: OptimizerSpec, clip: number | null, scaled = false): ParameterUpdate & { readonly graph: Graph } {
  const b = createBuilder();
  const trained = names.map((name): TrainedParameter => ({
    ...parameters[name]!,
    node: b.parameter(name, parameters[name]!.shape),
    name,
  }));
  const gradients = names.map((name): Node => b.input(`g.${name}`, parameters[name]!.shape, "f32"));
  const update = applyOptimizer(b, {
    trained,
    gradients,
    spec: own,
    clip,
    scaling: scaled ? lossScale(b, START) : null,
  });
  return { graph: { name: "update", outputs: new Map(), updates: update.updates }, ...update };
}

type Rows = number[][];
const times = (x: Rows, y: Rows): Rows =>
  x.map((row) => y[0]!.map((_, j) => row.reduce((sum, value, k) => sum + value * y[k]![j]!, 0)));
const turned = (x: Rows): Rows => x[0]!.map((_, j) => x.map((row) => row[j]!));

/** `zeropower_via_newtonschulz5` of the reference, in f64. */
function newtonSchulz(g: Rows): Rows {
  const tall = g.length > g[0]!.length;
  const norm = Math.sqrt(g.flat().reduce((sum, x) => sum + x * x, 0));
  let x = (tall ? turned(g) : g).map((row) => row.map((value) => value / (norm + 1e-7)));
  for (let turn = 0; turn < 5; turn++) {
    const a = times(x, turned(x));
    const aa = times(a, a);
    const by = a.map((row, i) => row.map((value, j) => -4.775 * value + 2.0315 * aa[i]![j]!));
    const moved = times(by, x);
    x = x.map((row, i) => row.map((value, j) => 3.4445 * value + moved[i]![j]!));
  }
  return tall ? turned(x) : x;
}

/** The places in an array of the entries of its matrices. */
function places({ shape, matrix }: Given): Rows[] {
  const { each, rows, columns } = matrix!;
  const strides = stridesOf(shape);
  const along = (axes: readonly number[]): number[] =>
    axes.reduce<number[]>(
      (all, axis) => all.flatMap((at) => Array.from({ length: shape[axis]! }, (_, i) => at + i * strides[axis]!)),
      [0],
    );
  return along(each).map((from) => along(rows).map((row) => along(columns).map((column) => from + row + column)));
}

function byHand(
  { rate, momentum, nesterov, betas: [b1, b2], epsilon, decay }: ReturnType<typeof spec>,
  clip: number | null,
): Map<string, Float64Array> {
  const values = new Map(names.map((name) => [name, start(name)]));
  const zeros = (): Map<string, Float64Array> =>
    new Map(names.map((name) => [name, new Float64Array(sizeOf(parameters[name]!.shape))]));
  const [first, second] = [zeros(), zeros()];
  if (rate.kind !== "linear") throw new Error("the rate is linear");
  for (let step = 0; step < STEPS; step++) {
    const now = rate.to + (1 - step / rate.steps) * (rate.from - rate.to);
    const norm = Math.sqrt(
      names.reduce((sum, name) => sum + gradient(name, step).reduce((part, x) => part + x * x, 0), 0),
    );
    for (const name of names) {
      const own = parameters[name]!;
      const [p, m, v] = [values.get(name)!, first.get(name)!, second.get(name)!];
      const g = gradient(name, step).map((x) => x * (clip === null ? 1 : Math.min(1, clip / (norm + 1e-6))));
      if (own.decay) p.forEach((x, i) => (p[i] = x * (1 - now * decay)));
      if (own.matrix) {
        g.forEach((x, i) => (m[i] = momentum * m[i]! + x));
        for (const where of places(own)) {
          const o = newtonSchulz(where.map((row) => row.map((at) => (nesterov ? g[at]! + momentum * m[at]! : m[at]!))));
          const scale = 0.2 * Math.sqrt(Math.max(where.length, where[0]!.length));
          where.forEach((row, i) => row.forEach((at, j) => (p[at]! -= now * scale * o[i]![j]!)));
        }
      } else {
        g.forEach((x, i) => {
          m[i] = b1 * m[i]! + (1 - b1) * x;
          v[i] = b2 * v[i]! + (1 - b2) * x * x;
          p[i]! -= (now * (m[i]! / (1 - b1 ** (step + 1)))) / (Math.sqrt(v[i]! / (1 - b2 ** (step + 1))) + epsilon);
        });
      }
    }
  }
  return values;
}

type Values = Map<string, ArrayLike<number>>;
const initial = ({ states }: ParameterUpdate): Values =>
  new Map([
    ...names.map((name) => [name, start(name)] as const),
    ...states.map(({ name, shape, start: value = 0 }) => [name, new Float64Array(sizeOf(shape)).fill(value)] as const),
  ]);
const fed = (made: number, factor = 1): (readonly [string, Float64Array])[] =>
  names.map((name) => [`g.${name}`, gradient(name, made).map((x) => x * factor)] as const);

it.each([
  ["with Nesterov's momentum", spec(true), null],
  ["with Nesterov's momentum, clipped", spec(true), 0.5],
  ["with plain momentum, clipped", spec(false), 0.5],
  ["without momentum", spec(true, 0), null],
] as const)("%s in f64 is the formula", (_, own, clip) => {
  const expected = byHand(own, clip);
  const update = build(own, clip);
  const values = initial(update);
  for (let step = 0; step < STEPS; step++)
    evaluate(update.graph, new Map([...values, ["step", [step]], ...fed(step)])).updates.forEach((value, name) =>
      values.set(name, value),
    );
  for (const name of names) expect(distance(values.get(name)!, expected.get(name)!), name).toBeLessThan(1e-10);
});

interface Laid {
  readonly scheduled: Scheduled;
  readonly code: DeviceCode;
  readonly ref: (name: string) => {
    readonly pool: "state";
    readonly offset: number;
    readonly shape: readonly number[];
    readonly dtype: "f32";
  };
  /** The kernels of the update that write into the state. */
  readonly changing: readonly Kernel[];
}

async function lay({ graph, states, order }: ReturnType<typeof build>, device: Device): Promise<Laid> {
  const shapes = new Map<string, readonly number[]>([
    ...names.map((name) => [name, parameters[name]!.shape] as const),
    ...states.map(({ name, shape }) => [name, shape] as const),
  ]);
  const { offsets, words } = slotsOf(order.map((name) => shapes.get(name)!));
  const at = new Map(order.map((name, i) => [name, offsets[i]!]));
  const { printer, profile } = makingFor(device);
  const scheduled = schedule([graph], profile, at, words);
  const run = scheduled.entries["update"]!.dispatches.map(({ kernel }) => scheduled.kernels[kernel]!);
  return {
    scheduled,
    code: await printer.print(scheduled.kernels),
    ref: (name) => ({ pool: "state", offset: at.get(name)!, shape: shapes.get(name)!, dtype: "f32" }),
    changing: run.filter(({ buffers }) => buffers.some(({ pool, access }) => pool === "state" && access !== "read")),
  };
}

it.each(
  (
    [
      ["native", 3],
      ["wasm", 1],
      ["wasm", 3],
      ["javascript", 1],
      ["webgpu", 1],
    ] as const
  ).filter(([name]) => isThere(name)),
)("on %s with %i threads agrees to 1e-5, and changes the state in place", async (name, threads) => {
  const own = spec(true);
  const update = build(own, 0.5);
  const device = await openDevice(name, { threads });
  const {
    scheduled: { infos, entries, pools, constants },
    code,
    ref,
    changing,
  } = await lay(update, device);
  // AdamW's vector, the momenta and the matrices: one kernel each, and no copies.
  expect(changing.length).toBe(3);
  expect(changing.map((kernel) => kernel.name)).not.toContain("copy");
  const session = await device.load({ kernels: infos, code, entries, pools, constants });
  for (const [leaf, value] of initial(update)) session.write(ref(leaf), Float32Array.from(value));
  const { inputs } = entries["update"]!;
  for (let step = 0; step < STEPS; step++) {
    for (const [input, value] of [["step", Uint32Array.of(step)] as const, ...fed(step)])
      session.write(inputs[input]!, input === "step" ? (value as Uint32Array) : Float32Array.from(value));
    await session.run("update");
  }
  const expected = byHand(own, 0.5);
  for (const leaf of names)
    expect(distance(await session.read(ref(leaf)), expected.get(leaf)!), leaf).toBeLessThan(1e-5);
  await device.close();
});

it("a step whose gradients are not finite changes nothing, in f64 and on wasm", async () => {
  // Rates count all steps, so that the comparison with the good ones alone takes one that does not change.
  const own: ReturnType<typeof spec> = {
    ...spec(true),
    rate: { kind: "linear", from: 0.2, to: 0.2, warmup: 0, steps: 9 },
  };
  const update = build(own, 0.5, true);
  const device = await openDevice("wasm", { threads: 2 });
  const {
    scheduled: { infos, entries, pools, constants },
    code,
    ref,
    changing,
  } = await lay(update, device);
  expect(changing.filter(({ name }) => name === "copy")).toEqual([]);
  const session = await device.load({ kernels: infos, code, entries, pools, constants });
  const values = initial(update);
  for (const [leaf, value] of values) session.write(ref(leaf), Float32Array.from(value));
  let made = 0;
  for (const [step, good] of [true, false, true, true, false, true].entries()) {
    const gradients = fed(made, Number(values.get("scale:loss")![0]));
    if (!good) gradients[1]![1][3] = step === 1 ? Number.NaN : Number.POSITIVE_INFINITY;
    const before = new Map(values);
    evaluate(update.graph, new Map([...values, ["step", [step]], ...gradients])).updates.forEach((value, name) =>
      values.set(name, value),
    );
    if (!good)
      for (const [name, value] of before) if (!name.startsWith("scale:")) expect(values.get(name), name).toEqual(value);
    const { inputs } = entries["update"]!;
    session.write(inputs["step"]!, Uint32Array.of(step));
    for (const [input, value] of gradients) session.write(inputs[input]!, Float32Array.from(value));
    await session.run("update");
    if (good) made++;
  }
  const expected = byHand(own, 0.5);
  for (const leaf of names) {
    expect(distance(values.get(leaf)!, expected.get(leaf)!), leaf).toBeLessThan(1e-10);
    expect(distance(await session.read(ref(leaf)), expected.get(leaf)!), leaf).toBeLessThan(1e-5);
  }
  await device.close();
});

it("matrices of one shape are one batch, whatever axes they have", () => {
  const products = topological(build(spec(true), null).updates.values()).filter(({ op }) => op === "contract");
  // Of ten matrices wq, wq and out are one batch, and down and down another; odd ones do not lie side by side. A batch
  // takes five turns of three products.
  expect(products.length / 15).toBe(8);
});

describe("a direction", () => {
  const direct = (rows: number, columns: number, values: ArrayLike<number>): Rows => {
    const b = createBuilder();
    const graph: Graph = {
      name: "direction",
      outputs: new Map([["o", orthogonalized(b, b.input("x", [1, rows, columns], "f32"))]]),
      updates: new Map(),
    };
    const o = evaluate(graph, new Map([["x", values]])).outputs.get("o")!;
    return Array.from({ length: rows }, (_, i) => Array.from(o.slice(i * columns, (i + 1) * columns)));
  };

  /** Squares of singular values: eigenvalues of the smaller Gram matrix, by Jacobi's rotations. */
  function eigenvalues(a: Rows): number[] {
    for (let sweep = 0; sweep < 30; sweep++) {
      for (let p = 0; p < a.length; p++) {
        for (let q = p + 1; q < a.length; q++) {
          const angle = 0.5 * Math.atan2(2 * a[p]![q]!, a[q]![q]! - a[p]![p]!);
          const [c, s] = [Math.cos(angle), Math.sin(angle)];
          for (let k = 0; k < a.length; k++)
            [a[k]![p], a[k]![q]] = [c * a[k]![p]! - s * a[k]![q]!, s * a[k]![p]! + c * a[k]![q]!];
          for (let k = 0; k < a.length; k++)
            [a[p]![k], a[q]![k]] = [c * a[p]![k]! - s * a[q]![k]!, s * a[p]![k]! + c * a[q]![k]!];
        }
      }
    }
    return a.map((row, i) => row[i]!);
  }

  it.each([
    [12, 30],
    [30, 12],
    [8, 8],
  ])("of %i x %i has singular values between 0.68 and 1.21", (rows, columns) => {
    const o = direct(rows, columns, drawn(7, rows * columns));
    const singular = eigenvalues(rows <= columns ? times(o, turned(o)) : times(turned(o), o)).map(Math.sqrt);
    expect(singular.length).toBe(Math.min(rows, columns));
    expect(Math.min(...singular)).toBeGreaterThan(0.68);
    expect(Math.max(...singular)).toBeLessThan(1.21);
  });

  it("does not depend on the size of the momentum, and is zero for none", () => {
    const x = drawn(3, 24);
    const [large, small] = [1e3, 1e-3].map((factor) =>
      direct(
        4,
        6,
        x.map((value) => value * factor),
      ).flat(),
    );
    expect(distance(small!, large!)).toBeLessThan(1e-3);
    expect(direct(4, 6, new Float64Array(24)).flat()).toEqual(new Array(24).fill(0));
  });
});
