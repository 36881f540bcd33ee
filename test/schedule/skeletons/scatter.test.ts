/**
 * The gradient of a table against the f64 evaluation, where it adds values to rows: several groups of columns and a
 * last one that is short, rows that many tokens chose and rows that none did, with and without another gradient of the
 * same table; and where columns are no whole vectors.
 */
import { expect, it } from "vitest";
import { loadTarget } from "../../../codegen/registry.js";
import { createBuilder } from "../../../src/graph/create-builder.js";
import { evaluate } from "../../../src/graph/evaluate.js";
import type { Graph, Node } from "../../../src/graph/node.js";
import { schedule } from "../../helpers/schedule.js";
import { random } from "../../helpers/cases.js";
import { cpuSubjects } from "../../helpers/devices.js";
import { runGraph } from "../../helpers/graphs.js";

const ROWS = 9;
const WIDTHS = [4, 16, 36, 6] as const;

function graphOf(widths: readonly number[] = WIDTHS): { graph: Graph; values: Map<string, number[]> } {
  const b = createBuilder();
  const next = random(5);
  // No token chooses a row from 7 on.
  const values = new Map<string, number[]>([
    ["token", Array.from({ length: 5 * 30 }, () => Math.floor(7 * next() * next()))],
  ]);
  const token = b.input("token", [5, 30], "u32");
  const input = (name: string, shape: readonly number[]): Node => {
    values.set(
      name,
      Array.from({ length: shape.reduce((product, size) => product * size, 1) }, () => Math.fround(2 * next() - 1)),
    );
    return b.input(name, shape, "f32");
  };
  const outputs = widths.flatMap((width): [string, Node][] => {
    const gradient = b.scatterAdd(token, input(`values${width}`, [5, 30, width]), ROWS);
    const more = b.add(
      b.contract("kv,kw->vw", input(`x${width}`, [12, ROWS]), input(`y${width}`, [12, width])),
      b.scatterAdd(token, input(`others${width}`, [5, 30, width]), ROWS),
    );
    return [
      [`alone ${width}`, gradient],
      [`more ${width}`, more],
    ];
  });
  return { graph: { name: "tables", outputs: new Map(outputs), updates: new Map() }, values };
}

it.each(cpuSubjects)("on %s", async (device) => {
  const { graph, values } = graphOf();
  const expected = evaluate(graph, values).outputs;
  for (const [name, found] of await runGraph(device, graph, values)) {
    const worst = Math.max(...Array.from(found, (x, i) => Math.abs(x - expected.get(name)![i]!)));
    expect(worst, name).toBeLessThan(2e-5);
  }
});

it.each([
  [4, true],
  [36, true],
  [6, false],
] as const)("a table of %i columns is scattered on WebAssembly: %s", async (width, scattered) => {
  const { profile } = await loadTarget("wasm");
  const { infos } = schedule([graphOf([width]).graph], profile, new Map(), 0);
  expect(infos.some(({ name }) => name.includes("scatter"))).toBe(scattered);
});
