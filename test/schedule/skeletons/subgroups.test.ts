/**
 * Matrix products whose invocations exchange values within subgroups, against the f64 evaluator, with clusters as large
 * as the adapter's subgroups and smaller; and what is said where an adapter has no such subgroups. SwiftShader has four
 * invocations in one; `npm run test:driver` takes the machine's own driver.
 */
import { afterAll, describe, expect, it } from "vitest";
import { printModule } from "../../../codegen/wgsl/print.js";
import { openDevice } from "../../../runtime/index.js";
import { checkSubgroups, expectedSum } from "../../../runtime/webgpu/subgroups.js";
import { createBuilder } from "../../../src/graph/create-builder.js";
import { evaluate } from "../../../src/graph/evaluate.js";
import * as k from "../../../src/kernel/build.js";
import { clusterOf } from "../../../src/kernel/clusters.js";
import type { Kernel, Stmt } from "../../../src/kernel/ir.js";
import { parseKernel } from "../../../src/kernel/parse.js";
import { printKernel } from "../../../src/kernel/text.js";
import { verifyKernel } from "../../../src/kernel/verify.js";
import { gpuTiles } from "../../../src/schedule/skeletons/matmul/gpu.js";
import { runOn } from "../../helpers/graphs.js";

const device = await openDevice("webgpu");
afterAll(() => device.close());

const products: readonly (readonly [spec: string, a: readonly number[], b: readonly number[]])[] = [
  // batch 5, context 37, width 24, 3 heads: a projection with its two backward products, and scores.
  ["btw,whd->bthd", [5, 37, 24], [24, 3, 8]],
  ["bthd,whd->btw", [5, 37, 3, 8], [24, 3, 8]],
  ["btw,bthd->whd", [5, 37, 24], [5, 37, 3, 8]],
  ["bthd,buhd->bhtu", [2, 37, 3, 8], [2, 37, 3, 8]],
  // k that ends within a cluster, columns that end within a vector, several axes along k.
  ["mk,kn->mn", [67, 13], [13, 85]],
  ["mk,kn->mn", [3, 70], [70, 130]],
  ["kalm,klan->mn", [3, 2, 4, 33], [3, 4, 2, 41]],
];

const members = [
  { rows: 8, columns: 8, unroll: 1, shared: 0, rolled: 1, subgroup: 2 },
  ...gpuTiles.filter(({ subgroup }) => subgroup > 0 && subgroup <= device.subgroup),
];

describe(`on ${device.adapter}, with subgroups of ${device.subgroup}`, () => {
  it.each(members)(
    "%o",
    async (tile) => {
      const b = createBuilder();
      const values = new Map<string, number[]>();
      const input = (name: string, shape: readonly number[]) => {
        values.set(
          name,
          Array.from({ length: shape.reduce((size, n) => size * n, 1) }, (_, i) =>
            Math.fround(Math.sin(1.7 * i + name.length) + 0.3 * Math.cos(0.11 * i * i)),
          ),
        );
        return b.input(name, shape, "f32");
      };
      const graph = {
        name: "products",
        outputs: new Map(
          products.map(([spec, x, y], i) => [spec + i, b.tanh(b.contract(spec, input(`a${i}`, x), input(`b${i}`, y)))]),
        ),
        updates: new Map(),
      };
      const expected = evaluate(graph, values).outputs;
      for (const [name, found] of await runOn(device, graph, values, { matmul: tile })) {
        const worst = Array.from(expected.get(name)!).reduce(
          (most, value, i) => Math.max(most, Math.abs(value - found[i]!)),
          0,
        );
        expect(worst, name).toBeLessThan(2e-6);
      }
    },
    240_000,
  );

  it("is refused where they are smaller than the kernel's", async () => {
    const b = createBuilder();
    const graph = {
      name: "product",
      outputs: new Map([["c", b.contract("mk,kn->mn", b.input("a", [8, 8], "f32"), b.input("b", [8, 8], "f32"))]]),
      updates: new Map(),
    };
    const wide = 2 * device.subgroup;
    await expect(runOn(device, graph, new Map(), { matmul: { ...gpuTiles[0]!, subgroup: wide } })).rejects.toThrow(
      `kernels for subgroups of ${wide} invocations, and those of this adapter may have ${device.subgroup}`,
    );
  });
});

it("an adapter without subgroups is an error that says so", async () => {
  await expect(checkSubgroups({ features: new Set() } as unknown as GPUDevice, 8, 0)).rejects.toThrow(
    "this adapter has no `subgroups`",
  );
});

it("the check knows neighbours from others", () => {
  expect(expectedSum(5, 4)).toBe(1 * 16 + 2 * 25 + 3 * 36 + 4 * 49);
  // In subgroups of every second invocation the sum would be another.
  expect(expectedSum(1, 2)).not.toBe(1 * 1 + 2 * 9);
});

describe("the kernel IR", () => {
  const local = k.ref("local", k.INDEX);
  const kernel = (body: readonly Stmt[], workgroup = 64): Kernel => ({
    name: "exchanges",
    groups: 1,
    workgroup,
    buffers: [
      { name: "x", pool: "work", access: "read" },
      { name: "y", pool: "out", access: "write" },
    ],
    body,
  });
  const given = (lane = k.idx(1), width = 4): Stmt =>
    k.letS("given", k.exchange(k.load("x", local, k.F32), lane, width));
  const stored = k.store("y", local, k.ref("given", k.F32));

  it("prints it, parses it, and prints it as WGSL", () => {
    const made = kernel([given(), stored]);
    expect(verifyKernel(made)).toEqual([]);
    expect(clusterOf(made.body)).toBe(4);
    expect(printKernel(parseKernel(printKernel(made)))).toBe(printKernel(made));
    expect(printModule(made)).toContain("enable subgroups;");
    expect(printModule(made)).toContain("subgroupShuffle(work[x + local], (subgroup_lane & 4294967292u) | 1u)");
    expect(printModule(kernel([k.store("y", local, k.f32(1))]))).not.toContain("subgroup");
  });

  it.each([
    ["a workgroup of one", kernel([k.letS("given", k.exchange(k.f32(1), k.idx(0), 4))], 1), "in a workgroup of one"],
    ["clusters that are no power of two", kernel([given(k.idx(1), 6), stored]), "has no clusters of 6"],
    ["a lane that differs", kernel([given(local), stored]), "takes a lane that differs between invocations"],
    [
      "a branch that some take",
      kernel([k.ifS(k.lt(local, k.idx(3)), [given(), stored])]),
      "is not reached by all invocations",
    ],
  ])("refuses %s", (_, made, fault) => expect(verifyKernel(made).join("\n")).toContain(fault));
});
