/**
 * Numbers made by an independent implementation: one mHC connection around tanh (value and all gradients), and
 * Sinkhorn's projection with its gradient in both conventions. Five tokens are the context of one example; the fixture
 * has x as [t, n, C], the spec as [n, t, C].
 */
import { describe, expect, it } from "vitest";
import { createBuilder } from "../../src/graph/create-builder.js";
import { evaluate } from "../../src/graph/evaluate.js";
import { vjp } from "../../src/graph/differentiate.js";
import { everyDevice } from "../helpers/devices.js";
import { runGraph } from "../helpers/graphs.js";
import { distance, entriesOf, loaded, readFixture, readSpec } from "../helpers/specs.js";

interface Tensor {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

const oracle = readFixture("sublayer-n4-c8-t5") as Readonly<
  Record<"x" | "phi" | "alpha" | "b" | "dy" | "y" | "dx" | "dphi" | "dalpha" | "db", Tensor>
>;
const [T, N, C] = oracle.x.shape as [number, number, number];
const K = N * N + 2 * N;

/** [t, n, c] -> [n, t, c]; its own inverse with the sizes exchanged. */
const swap = (data: ArrayLike<number>, first: number, second: number): number[] =>
  Array.from(
    { length: data.length },
    (_, i) => data[(Math.floor(i / C) % first) * second * C + Math.floor(i / (first * C)) * C + (i % C)]!,
  );

const GATES = [
  ["read", 0, N],
  ["write", N, N],
  ["mix", 2 * N, N * N],
] as const;
const columns = (data: readonly number[], from: number, count: number): number[] =>
  Array.from({ length: (data.length / K) * count }, (_, i) => data[Math.floor(i / count) * K + from + (i % count)]!);

const parameters = new Map<string, readonly number[]>(
  GATES.flatMap(([name, from, count], i): [string, readonly number[]][] => [
    [`squash.mhc.${name}.phi`, columns(oracle.phi.data, from, count)],
    [`squash.mhc.${name}.a`, [oracle.alpha.data[i]!]],
    [`squash.mhc.${name}.b`, oracle.b.data.slice(from, from + count)],
  ]),
);
const gradients = new Map<string, readonly number[]>(
  GATES.flatMap(([name, from, count], i): [string, readonly number[]][] => [
    [`squash.mhc.${name}.phi`, columns(oracle.dphi.data, from, count)],
    [`squash.mhc.${name}.a`, [oracle.dalpha.data[i]!]],
    [`squash.mhc.${name}.b`, oracle.db.data.slice(from, from + count)],
  ]),
);
const u = swap(oracle.x.data, T, N);
const dy = swap(oracle.dy.data, T, N);
const spec = readSpec("sublayer");

describe("one connection", () => {
  it("agrees in f64 to the digits of the fixture", () => {
    const { graphs } = entriesOf(spec);
    const bindings = new Map<string, readonly number[]>([...parameters, ["u", u], ["cotangent:y", dy]]);
    const forward = evaluate(
      graphs.find(({ name }) => name === "forward")!,
      bindings,
    ).outputs;
    expect(distance(swap(forward.get("y")!, N, T), oracle.y.data)).toBeLessThan(1e-9);
    const back = evaluate(
      graphs.find(({ name }) => name === "vjp")!,
      bindings,
    ).outputs;
    expect(distance(swap(back.get("cotangent:u")!, N, T), oracle.dx.data)).toBeLessThan(1e-9);
    for (const [name, expected] of gradients)
      expect(distance(back.get(`gradient:${name}`)!, expected), name).toBeLessThan(1e-9);
  });

  it.each(everyDevice)("agrees to 1e-5 on %s", async (device) => {
    const model = await loaded(spec, device);
    const own = model.parameters();
    for (const [name, values] of parameters) own[name]!.set(values);
    const { y } = await model.forward({ u: Float32Array.from(u) });
    expect(distance(swap(y!, N, T), oracle.y.data)).toBeLessThan(1e-5);
    const back = await model.vjp({ u: Float32Array.from(u) }, { y: Float32Array.from(dy) });
    expect(distance(swap(back.inputs["u"]!, N, T), oracle.dx.data)).toBeLessThan(1e-5);
    for (const name of ["phi", "a", "b"] as const) {
      // Each of the four gradients as the fixture has it: all three gates together.
      const got = GATES.flatMap(([gate]) => [...back.parameters[`squash.mhc.${gate}.${name}`]!]);
      expect(
        distance(
          got,
          GATES.flatMap(([gate]) => gradients.get(`squash.mhc.${gate}.${name}`)!),
        ),
        name,
      ).toBeLessThan(1e-5);
    }
    await model.close();
  });

  const AGREES = "compiles for %i lanes of width %i, and agrees with f64";
  const agrees = async (lanes: number, width: number): Promise<void> => {
    const set = { lanes: `${lanes}`, width: `${width}` };
    const { graphs } = entriesOf(spec, { set });
    const devices = everyDevice.filter((name) => name === "wasm" || (name !== "javascript" && [3, 8].includes(lanes)));
    for (const device of devices) {
      const model = await loaded(spec, device, { set, seed: 5 });
      const input = Float32Array.from({ length: lanes * 5 * width }, (_, i) => Math.sin(3 * i));
      const cotangent = Float32Array.from({ length: lanes * 5 * width }, (_, i) => Math.cos(5 * i));
      const values = new Map<string, Float32Array>([
        ["u", input],
        ["cotangent:y", cotangent],
      ]);
      for (const [name, { get }] of Object.entries(model.parameters())) values.set(name, await get());
      const expected = evaluate(
        graphs.find(({ name }) => name === "vjp")!,
        values,
      ).outputs;
      const back = await model.vjp({ u: input }, { y: cotangent });
      expect(distance(back.inputs["u"]!, expected.get("cotangent:u")!)).toBeLessThan(1e-5);
      // As in the fixture: phi, alpha and b of all three gates together, relative to their largest entry.
      for (const kind of ["phi", "a", "b"]) {
        const names = GATES.map(([gate]) => `squash.mhc.${gate}.${kind}`);
        expect(
          distance(
            names.flatMap((name) => [...back.parameters[name]!]),
            names.flatMap((name) => [...expected.get(`gradient:${name}`)!]),
          ),
          kind,
        ).toBeLessThan(1e-5);
      }
      await model.close();
    }
  };
  it.each([
    [1, 6],
    [2, 8],
    [5, 7],
  ])(AGREES, agrees);
  // On a GPU as well.
  it.each([
    [3, 24],
    [8, 16],
  ])(AGREES, { tags: "slow" }, agrees);
});

interface Sinkhorn {
  readonly z: Tensor;
  readonly dp: Tensor;
  readonly paper: { readonly p: Tensor; readonly dz: Tensor };
  readonly deepseek: { readonly p: Tensor; readonly dz: Tensor };
}
const sinkhorn = readFixture("sinkhorn-n4-t5") as Sinkhorn;

describe.each(["paper", "deepseek"] as const)("Sinkhorn, %s", (convention) => {
  const wanted = sinkhorn[convention];

  it("agrees in f64 and on every device", async () => {
    const b = createBuilder();
    const z = b.input("z", [T, N, N], "f32");
    const dp = b.input("dp", [T, N, N], "f32");
    const p = b.sinkhorn(z, { iterations: 20, convention, epsilon: convention === "paper" ? 0 : 1e-6 });
    const [dz] = vjp(b, [p], [dp], [z]);
    const graph = {
      name: "project",
      outputs: new Map([
        ["p", p],
        ["dz", dz!],
      ]),
      updates: new Map(),
    };
    const values = new Map([
      ["z", sinkhorn.z.data],
      ["dp", sinkhorn.dp.data],
    ]);
    const exact = evaluate(graph, values).outputs;
    expect(distance(exact.get("p")!, wanted.p.data)).toBeLessThan(1e-9);
    expect(distance(exact.get("dz")!, wanted.dz.data)).toBeLessThan(1e-8);
    for (const device of everyDevice) {
      const found = await runGraph(device, graph, values);
      expect(distance(found.get("p")!, wanted.p.data), device).toBeLessThan(1e-5);
      expect(distance(found.get("dz")!, wanted.dz.data), device).toBeLessThan(1e-5);
    }
  });
});
