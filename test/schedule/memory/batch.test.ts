/**
 * What does not wait for each other is one dispatch, and what does is not: by the plan, and by results on every device.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadTarget } from "../../../codegen/registry.js";
import type { Device } from "../../../runtime/device.js";
import { openDevice } from "../../../runtime/index.js";
import { copiesOf } from "../../../runtime/plan.js";
import { createBuilder } from "../../../src/graph/create-builder.js";
import { evaluate } from "../../../src/graph/evaluate.js";
import type { Graph, Node } from "../../../src/graph/node.js";
import { sizeOf } from "../../../src/graph/record.js";
import { legalize } from "../../../src/schedule/fusion/legalize.js";
import { everyDevice } from "../../helpers/devices.js";
import { schedule } from "../../helpers/schedule.js";
import { runOn } from "../../helpers/graphs.js";

/** Wider than what joins a region. */
const [ROWS, WIDTH] = [96, 80];

/** Copies of each dispatch, in order. */
async function copiesIn(graph: Graph, target: "wasm" | "wgsl" = "wasm"): Promise<number[]> {
  const { infos, entries } = schedule([legalize(graph)], (await loadTarget(target)).profile, new Map(), 0);
  return entries[graph.name]!.dispatches.map((dispatch) => copiesOf(dispatch, infos[dispatch.kernel]!));
}

/** `count` products of one tensor with weights of one shape. */
function projections(count: number): Graph {
  const b = createBuilder();
  const x = b.input("x", [ROWS, WIDTH], "f32");
  return {
    name: "run",
    updates: new Map(),
    outputs: new Map(
      Array.from({ length: count }, (_, i) => [
        `y${i}`,
        b.contract("rk,kc->rc", x, b.input(`w${i}`, [WIDTH, 72], "f32")),
      ]),
    ),
  };
}

/** Each product needs the one before. */
function chain(count: number): Graph {
  const b = createBuilder();
  let y = b.input("x", [ROWS, WIDTH], "f32");
  for (let i = 0; i < count; i++) y = b.contract("rk,kc->rc", y, b.input(`w${i}`, [WIDTH, WIDTH], "f32"));
  return { name: "run", updates: new Map(), outputs: new Map([["y", y]]) };
}

/** A chain of products with a sum over the rows of the first column of each, which nobody but the host reads. */
function sums(count: number): Graph {
  const b = createBuilder();
  let y = b.input("x", [ROWS, WIDTH], "f32");
  const outputs: [string, Node][] = [];
  for (let i = 0; i < count; i++) {
    y = b.contract("rk,kc->rc", y, b.input(`w${i}`, [WIDTH, WIDTH], "f32"));
    const gate = b.contract("rk,k->r", y, b.input(`v${i}`, [WIDTH], "f32"));
    outputs.push([`s${i}`, b.sum(b.mul(b.sin(gate), b.sin(gate)), [0])]);
  }
  return { name: "run", updates: new Map(), outputs: new Map([["y", y], ...outputs]) };
}

describe("a plan", () => {
  it.each(["wasm", "wgsl"] as const)(
    "runs equal kernels that wait for nothing as copies in one dispatch, sixteen at most, on %s",
    async (target) => {
      expect(await copiesIn(projections(3), target)).toEqual([3]);
      expect(await copiesIn(projections(20), target)).toEqual([16, 4]);
    },
  );

  it("runs those that wait for each other in turn", async () => {
    expect(await copiesIn(chain(4), "wgsl")).toEqual([1, 1, 1, 1]);
  });

  it("has no dispatch more for light kernels of more layers", async () => {
    const [few, many] = [await copiesIn(sums(20), "wgsl"), await copiesIn(sums(26), "wgsl")];
    expect(many.length - few.length).toBe(6);
    expect(Math.max(...few)).toBe(16);
  });
});

describe.each(everyDevice)("%s", (name) => {
  let device: Device;
  beforeAll(async () => void (device = await openDevice(name, { threads: 2 })));
  afterAll(() => device.close());

  it.each([
    ["copies", projections(5)],
    ["a chain", chain(3)],
    ["deferred sums", sums(20)],
  ] as const)("gives what the evaluator gives: %s", async (_, graph) => {
    const inputs = new Map<string, readonly number[]>();
    const seen = new Set<Node>();
    const walk = (node: Node): void => {
      if (seen.has(node)) return;
      seen.add(node);
      if (node.op === "input")
        inputs.set(
          node.attrs.name,
          Array.from({ length: sizeOf(node.shape) }, (__, i) => Math.fround(Math.sin(i * i + inputs.size) / 6)),
        );
      node.inputs.forEach(walk);
    };
    [...graph.outputs.values()].forEach(walk);
    const results = await runOn(device, graph, inputs);
    for (const [output, expected] of evaluate(graph, inputs).outputs) {
      const largest = Math.max(1e-30, ...Array.from(expected, Math.abs));
      results.get(output)!.forEach((value, i) => expect(Math.abs(value - expected[i]!) / largest).toBeLessThan(2e-5));
    }
  });
});
