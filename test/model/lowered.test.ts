/** A pass makes all nodes of a page anew: what lowering has written down of them follows, every field of it. */
import { expect, test } from "vitest";
import { check } from "../../src/compile/compile.js";
import { createBuilder } from "../../src/graph/create-builder.js";
import type { Node } from "../../src/graph/node.js";
import { opTable } from "../../src/graph/ops.js";
import { topological } from "../../src/graph/topology.js";
import { lower, mapLowered, type Lowered } from "../../src/model/lower/lower.js";
import type { FieldMappings } from "../../src/model/lower/lowered.js";
import { remake } from "../../src/passes/rewrite.js";
import { readSpec } from "../helpers/specs.js";

const isNode = (value: object): value is Node => "op" in value && String(value.op) in opTable && "inputs" in value;

/** Every node that stands in a value, but not those behind nodes. */
function nodesIn(value: unknown): readonly Node[] {
  if (typeof value !== "object" || value === null) return [];
  if (isNode(value)) return [value];
  if (value instanceof Map || value instanceof Set) return [...value].flatMap(nodesIn);
  return Object.values(value).flatMap(nodesIn);
}

test("every node that a lowered page holds goes where it is told", () => {
  // Mixes that are matrices, a loss with a head and a named part, a metric, sets and one that adapts, a claimed norm,
  // values that are held.
  const page = readSpec("moby-dick")
    .replace("iterations = 20)", "iterations = 20) adapt temperature in 0.1 .. 2")
    .replace("gain(x) <= 1.001", "norm(mlp.up) <= 100 monitored")
    .replace("loss = cross", "metric size = mean[lanes, context, width](abs(x))\n  loss main = cross")
    .replace("constrain {", "loss = main\n  constrain {");
  const facts = { corpus: { vocabulary: [..."abc"] } };
  const { model, diagnostics } = check(page, { file: "page.mhc", facts });
  if (!model) throw new Error(diagnostics.map(({ message }) => message).join("\n"));
  const lowered = lower(model, createBuilder(), { batch: 2, gains: true });
  const empty = Object.entries(lowered).filter(([, value]) => value !== null && nodesIn(value).length === 0);
  expect(empty.map(([field]) => field)).toEqual(["outputs", "repeats"]);

  const b = createBuilder();
  const moved = new Map<Node, Node>();
  const now = (node: Node): Node => moved.get(node)!;
  for (const node of topological(nodesIn(lowered))) moved.set(node, remake(b, node, node.inputs.map(now)));
  const before = nodesIn(lowered);
  const after = nodesIn(mapLowered(lowered, now));
  expect(after.length).toBe(before.length);
  expect(after.filter((node, i) => node !== now(before[i]!))).toEqual([]);
});

test("a field that is not mapped does not compile", () => {
  interface Longer extends Lowered {
    readonly more: Node | null;
  }
  interface Optional extends Lowered {
    readonly more?: Node;
  }
  const mappings = {} as FieldMappings<Lowered>;
  // @ts-expect-error `more` is missing.
  const longer: FieldMappings<Longer> = mappings;
  // @ts-expect-error `more` is missing.
  const optional: FieldMappings<Optional> = mappings;
  expect([longer, optional]).toEqual([{}, {}]);
});
