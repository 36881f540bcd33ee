/** What the passes of the schedule make of a small graph, for tests that look at one of them. */
import { printers } from "../../codegen/registry.js";
import type { Graph } from "../../src/graph/node.js";
import { parseGraph } from "../../src/graph/text.js";
import { layOutInOrder } from "../../src/schedule/memory/lifetimes.js";
import type { Passed } from "../../src/schedule/passes.js";
import type { Scheduled, ScheduleOptions } from "../../src/schedule/plan.js";
import { schedule } from "./schedule.js";
import { sizeOf } from "../../src/graph/record.js";
import { nodesOf } from "../../src/graph/topology.js";
import { isState } from "../../src/schedule/fusion/clusters.js";

/** The schedule of one graph, with its state laid out in the order of its text. */
export function scheduleOf(
  graph: Graph,
  device: "wasm" | "webgpu" | "javascript" = "wasm",
  options: ScheduleOptions = {},
): Scheduled {
  const leaves = nodesOf(graph).filter(isState);
  const { offsets, words } = layOutInOrder(leaves.map(({ shape }) => sizeOf(shape)));
  const layout = new Map(
    leaves.map((leaf, i) => [leaf.op === "parameter" || leaf.op === "state" ? leaf.attrs.name : "", offsets[i]!]),
  );
  return schedule([graph], printers[device].profile, layout, words, options);
}

/** What the passes made of the graph of a text. */
export function passedOf(text: string, device: "wasm" | "webgpu" | "javascript" = "wasm"): Passed {
  const graph = parseGraph(text);
  return scheduleOf(graph, device).passed.get(graph.name)!;
}
