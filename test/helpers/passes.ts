/** What the passes of the schedule make of a small graph, for tests that look at one of them. */
import { printers } from "../../codegen/registry.js";
import type { BuiltInDevice } from "../../runtime/device.js";
import type { Graph } from "../../src/graph/node.js";
import { parseGraph } from "../../src/graph/text.js";
import { layOutInOrder } from "../../src/schedule/memory/lifetimes.js";
import type { Passed } from "../../src/schedule/passes.js";
import type { Scheduled, ScheduleOptions } from "../../src/schedule/plan.js";
import { schedule } from "./schedule.js";
import { sizeOf } from "../../src/graph/record.js";
import { nodesOf } from "../../src/graph/topology.js";
import { isState } from "../../src/schedule/fusion/clusters.js";

/** Gradient descent on a pack of two parameters, the second of which leaves padding. */
export const DESCENT = `graph run {
  %0: f32[64] = parameter {"name":"a"}
  %1: f32[3] = parameter {"name":"b"}
  %2: f32[64] = sin %0
  %3: f32[3] = sin %1
  %4: f32[128] = pack %0, %1
  %5: f32[128] = pack %2, %3
  %6: f32[] = sum %5 {"axes":[0]}
  %7: f32[128] = broadcast %6 {"axes":[]}
  %8: f32[128] = mul %5, %7
  %9: f32[128] = sub %4, %8
  %10: f32[64] = slice %9 {"offset":0}
  %11: f32[3] = slice %9 {"offset":64}
  output "sum" = %6
  update %0 = %10
  update %1 = %11
}`;

/** The schedule of one graph, with its state laid out in the order of its text. */
export function scheduleOf(graph: Graph, device: BuiltInDevice = "wasm", options: ScheduleOptions = {}): Scheduled {
  const leaves = nodesOf(graph).filter(isState);
  const { offsets, words } = layOutInOrder(leaves.map(({ shape }) => sizeOf(shape)));
  const layout = new Map(
    leaves.map((leaf, i) => [leaf.op === "parameter" || leaf.op === "state" ? leaf.attrs.name : "", offsets[i]!]),
  );
  return schedule([graph], printers[device].profile, layout, words, options);
}

/** What the passes made of the graph of a text. */
export function passedOf(text: string, device: BuiltInDevice = "wasm"): Passed {
  const graph = parseGraph(text);
  return scheduleOf(graph, device).passed.get(graph.name)!;
}
