/**
 * Every case of every op of the table, as kernels of every device, against the f64 evaluator: one graph with an output
 * a case, so that a device compiles one plan. u32 results must be the same words, and conditions the same; f32 results
 * agree to a share of the largest entry.
 */
import { describe, expect, it } from "vitest";
import { threefry2x32 } from "../../runtime/threefry.js";
import { createBuilder } from "../../src/graph/create-builder.js";
import { evaluate } from "../../src/graph/evaluate.js";
import type { Graph, Node } from "../../src/graph/node.js";
import { opGraph } from "../../src/tools/conformance/shapes.js";
import { everyDevice, isSlow, nativeWidths, openSubject, type Subject } from "../helpers/devices.js";
import { runOn } from "../helpers/graphs.js";

/** Share of the largest entry. f32 has 6e-8; sums of n terms lose up to n of that, transcendentals a few. */
const TOLERANCE = 2e-6;

describe.each<readonly [Subject, number]>([
  ["javascript", 1],
  ["wasm", 1],
  ["wasm", 3],
  ["wasm, 8 lanes", 2],
  ["webgpu", 1],
  ...nativeWidths.map((width) => [width, 3] as const),
])("on %s with %i thread(s)", (subject, threads) => {
  const agrees = async (): Promise<void> => {
    const device = await openSubject(subject, { threads });
    const { graph, values, exact } = opGraph();
    const wanted = evaluate(graph, values).outputs;
    const found = await runOn(device, graph, values);
    const wrong: string[] = [];
    for (const [key, want] of wanted) {
      const got = found.get(key)!;
      const scale = Math.max(1e-6, ...Array.from(want, Math.abs));
      want.forEach((value: number, i: number) => {
        const off = got instanceof Uint32Array ? Number(got[i] !== value) : Math.abs(got[i]! - value) / scale;
        if (!(off <= (got instanceof Uint32Array || exact.has(key) ? 0 : TOLERANCE)) && wrong.length < 20)
          wrong.push(`${key}[${i}]: ${got[i]}, expected ${value} (off by ${off.toExponential(1)})`);
      });
    }
    expect(wrong).toEqual([]);
    await device.close();
  };
  it("every op agrees with the evaluator", { timeout: 180_000, tags: isSlow(subject) ? ["slow"] : [] }, agrees);
});

/** Published with Random123: key, counter, result. */
const VECTORS: readonly (readonly [readonly [number, number], readonly [number, number], readonly [number, number]])[] =
  [
    [
      [0, 0],
      [0, 0],
      [0x6b200159, 0x99ba4efe],
    ],
    [
      [0xffffffff, 0xffffffff],
      [0xffffffff, 0xffffffff],
      [0x1cb996fc, 0xbb002be7],
    ],
    [
      [0x13198a2e, 0x03707344],
      [0x243f6a88, 0x85a308d3],
      [0xc4923a9c, 0x483df7a0],
    ],
  ];

describe("Threefry-2x32-20", () => {
  it("gives the published vectors in the reference", () => {
    for (const [key, counter, result] of VECTORS) expect(threefry2x32(key, counter)).toEqual([...result]);
  });

  it.each(everyDevice)("gives them bit for bit on %s", async (name) => {
    const device = await openSubject(name, { threads: 1 });
    const b = createBuilder();
    const n = VECTORS.length;
    const inputs = ["k0", "k1", "c0", "c1"].map((key) => b.input(key, [n], "u32")) as [Node, Node, Node, Node];
    const graph: Graph = {
      name: "random",
      outputs: new Map([
        ["a", b.threefry(0, ...inputs)],
        ["b", b.threefry(1, ...inputs)],
      ]),
      updates: new Map(),
    };
    const values = new Map([
      ["k0", VECTORS.map(([key]) => key[0])],
      ["k1", VECTORS.map(([key]) => key[1])],
      ["c0", VECTORS.map(([, counter]) => counter[0])],
      ["c1", VECTORS.map(([, counter]) => counter[1])],
    ]);
    const found = await runOn(device, graph, values);
    expect([...found.get("a")!]).toEqual(VECTORS.map(([, , result]) => result[0]));
    expect([...found.get("b")!]).toEqual(VECTORS.map(([, , result]) => result[1]));
    await device.close();
  });
});
