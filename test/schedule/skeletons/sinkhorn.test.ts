/**
 * Sinkhorn's kernels stay inside their tensors: neighbours in memory, whole numbers of matrices that are and are not
 * multiples of four.
 */
import { expect, it } from "vitest";
import { createBuilder } from "../../../src/graph/create-builder.js";
import { evaluate } from "../../../src/graph/evaluate.js";
import type { Graph, Node } from "../../../src/graph/node.js";
import { everySubject } from "../../helpers/devices.js";
import { runGraph } from "../../helpers/graphs.js";

// 16 matrices of 2 x 2 fill the 64 words after which the next tensor starts.
const shapes: readonly (readonly number[])[] = [
  [16, 2, 2],
  [16, 2, 2],
  [4, 4, 4],
  [5, 3, 3],
  [1, 8, 8],
  [3, 1, 1],
  [16, 2, 2],
];

function graphOf(): { graph: Graph; values: Map<string, number[]> } {
  const b = createBuilder();
  const values = new Map<string, number[]>();
  const attributes = { iterations: 4, convention: "paper", epsilon: 0 } as const;
  const made = shapes.flatMap((shape, i): [string, Node][] => {
    const size = shape.reduce((product, n) => product * n, 1);
    const input = (name: string): Node => {
      values.set(
        name,
        Array.from({ length: size }, (_, at) => Math.fround(2 * Math.sin(1.3 * at + i + name.length))),
      );
      return b.input(name, shape, "f32");
    };
    const logits = input(`z${i}`);
    const projected = b.sinkhorn(logits, attributes);
    return [
      [`p${i}`, projected],
      [`d${i}`, b.make("sinkhorn_vjp", [logits, input(`cotangent${i}`)], attributes)],
    ];
  });
  // In memory the results lie in the order of the outputs; reversed, a kernel that ran over its end would spoil what
  // was there before it.
  return { graph: { name: "project", outputs: new Map([...made].reverse()), updates: new Map() }, values };
}

it.each(everySubject)("on %s", async (device) => {
  const { graph, values } = graphOf();
  const expected = evaluate(graph, values).outputs;
  const found = await runGraph(device, graph, values);
  for (const [name, result] of found) {
    const worst = Math.max(...Array.from(result, (x, i) => Math.abs(x - expected.get(name)![i]!)));
    expect(worst, name).toBeLessThan(2e-6);
  }
});
