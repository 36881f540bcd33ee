/** Runs a graph of inputs and outputs on a device: scheduled, printed, loaded, run once. */
import type { Choice, KernelProfile } from "../../src/kernel/profile.js";
import type { Device } from "../../runtime/device.js";
import { mustGet } from "../../runtime/lookup.js";
import type { DevicePlan } from "../../runtime/plan.js";
import type { Graph } from "../../src/graph/node.js";
import { makingFor, openSubject, type Subject } from "./devices.js";
import { schedule } from "./schedule.js";

export type Results = Map<string, Float32Array | Uint32Array>;

/** A graph on a device, compiled once and run with any values. */
export interface Loaded {
  readonly run: (values: ReadonlyMap<string, readonly number[]>) => Promise<Results>;
  readonly close: () => Promise<void>;
}

/** `choices` force members of the skeletons' families; `asked` is what a page asks of kernels beside. */
export async function loadOn(
  device: Device,
  graph: Graph,
  choices: Readonly<Record<string, Choice>> = {},
  asked: Pick<KernelProfile, "products"> = {},
): Promise<Loaded> {
  const { printer, profile } = makingFor(device);
  const asks = { ...profile, ...asked, choices };
  const { kernels, infos, entries, pools, constants } = schedule([graph], asks, new Map(), 0);
  const plan: DevicePlan = { kernels: infos, code: await printer.print(kernels), entries, pools, constants };
  const session = await device.load(plan);
  const { inputs, outputs } = entries[graph.name]!;
  const run: Loaded["run"] = async (values) => {
    for (const [name, ref] of Object.entries(inputs)) {
      const words = mustGet(values, name);
      session.write(ref, ref.dtype === "u32" ? Uint32Array.from(words) : Float32Array.from(words));
    }
    await session.run(graph.name);
    const results: Results = new Map();
    for (const [name, ref] of Object.entries(outputs)) results.set(name, await session.read(ref));
    return results;
  };
  return { run, close: () => session.close() };
}

/** The same for one run. */
export async function runOn(
  device: Device,
  graph: Graph,
  values: ReadonlyMap<string, readonly number[]>,
  choices: Readonly<Record<string, Choice>> = {},
  asked: Pick<KernelProfile, "products"> = {},
): Promise<Results> {
  const loaded = await loadOn(device, graph, choices, asked);
  const results = await loaded.run(values);
  await loaded.close();
  return results;
}

/** The same on a device opened for it. */
export async function runGraph(
  subject: Subject,
  graph: Graph,
  values: ReadonlyMap<string, readonly number[]>,
): Promise<Results> {
  const device = await openSubject(subject, { threads: 1 });
  const results = await runOn(device, graph, values);
  await device.close();
  return results;
}
