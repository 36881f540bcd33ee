/**
 * Long rows on a GPU, a workgroup a row and an invocation a row, against the f64 evaluation: softmax and norms with
 * their derivatives, sums over rows, with as many rows as fill no workgroup and as long as fill none.
 */
import { expect, it } from "vitest";
import { loadTarget } from "../../../codegen/registry.js";
import { openDevice } from "../../../runtime/index.js";
import { createBuilder } from "../../../src/graph/create-builder.js";
import { evaluate } from "../../../src/graph/evaluate.js";
import type { Graph, Node } from "../../../src/graph/node.js";
import { sizeOf } from "../../../src/graph/record.js";
import { vjp } from "../../../src/graph/differentiate.js";
import { families } from "../../../src/schedule/families.js";
import { schedule } from "../../helpers/schedule.js";
import { random } from "../../helpers/cases.js";
import { runOn } from "../../helpers/graphs.js";

const SHAPES = [
  [70, 37],
  [5, 33],
  [3, 30, 65],
  [130, 32],
] as const;

function graphOf(): { graph: Graph; values: Map<string, number[]> } {
  const b = createBuilder();
  const values = new Map<string, number[]>();
  const next = random(3);
  const input = (shape: readonly number[]): Node => {
    const name = `x${values.size}`;
    values.set(
      name,
      Array.from({ length: sizeOf(shape) }, () => Math.fround(4 * next() - 2)),
    );
    return b.input(name, shape, "f32");
  };
  const outputs = SHAPES.flatMap((shape, i): [string, Node][] => {
    const x = input(shape);
    const last = shape.length - 1;
    const total = b.sum(b.exp(x), [last]);
    const soft = b.div(b.exp(x), b.broadcast(total, shape, shape.map((_, axis) => axis).slice(0, -1)));
    const [dx] = vjp(b, [soft], [input(shape)], [x]) as [Node];
    return [
      [`soft ${i}`, soft],
      [`dx ${i}`, dx],
      [`largest ${i}`, b.reduceMax(x, [last])],
    ];
  });
  return { graph: { name: "rows", outputs: new Map(outputs), updates: new Map() }, values };
}

const { graph, values } = graphOf();

it.each(families.gpu["row"]!.flatMap((row) => [0, 1].map((kept) => [row, { kept }] as const)))(
  "%o %o",
  async (row, loop) => {
    const { profile } = await loadTarget("wgsl");
    const { infos } = schedule([graph], { ...profile, choices: { row, loop } }, new Map(), 0);
    const shared = infos.filter(({ name }) => name.startsWith("row_shared")).length;
    // Five rows are too few for an invocation each.
    expect(shared).toBe(row["shared"] ? infos.length : 1);
    const device = await openDevice("webgpu", { threads: 1 });
    const found = await runOn(device, graph, values, { row, loop });
    await device.close();
    for (const [name, want] of evaluate(graph, values).outputs) {
      const scale = Math.max(1e-3, ...Array.from(want, Math.abs));
      want.forEach((value: number, i: number) =>
        expect(Math.abs(found.get(name)![i]! - value) / scale, `${name}[${i}]`).toBeLessThan(2e-6),
      );
    }
  },
  60_000,
);
