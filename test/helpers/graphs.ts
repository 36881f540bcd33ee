/** Runs a graph of inputs and outputs on a device: scheduled, printed, loaded, run once. */
import { loadTarget } from "../../codegen/registry.js";
import type { Choice } from "../../src/kernel/profile.js";
import type { Device, DeviceName } from "../../runtime/device.js";
import { openDevice } from "../../runtime/index.js";
import type { DevicePlan } from "../../runtime/plan.js";
import type { Graph } from "../../src/graph/node.js";
import { schedule } from "../../src/schedule/plan.js";

const TARGETS = { wasm: "wasm", webgpu: "wgsl", javascript: "javascript" } as const;

/** `choices` force members of the skeletons' families. */
export async function runOn(
  device: Device,
  graph: Graph,
  values: ReadonlyMap<string, readonly number[]>,
  choices: Readonly<Record<string, Choice>> = {},
): Promise<Map<string, Float32Array | Uint32Array>> {
  const printer = await loadTarget(TARGETS[device.name]);
  const { kernels, infos, entries, pools, constants } = schedule(
    [graph],
    { ...printer.profile, choices },
    new Map(),
    0,
  );
  const plan: DevicePlan = { kernels: infos, code: await printer.print(kernels), entries, pools, constants };
  const session = await device.load(plan);
  const entry = entries[graph.name]!;
  for (const [name, ref] of Object.entries(entry.inputs))
    session.write(
      ref,
      ref.dtype === "u32" ? Uint32Array.from(values.get(name)!) : Float32Array.from(values.get(name)!),
    );
  await session.run(graph.name);
  const results = new Map<string, Float32Array | Uint32Array>();
  for (const [name, ref] of Object.entries(entry.outputs)) results.set(name, await session.read(ref));
  await session.close();
  return results;
}

/** The same on a device opened for it. */
export async function runGraph(
  name: DeviceName,
  graph: Graph,
  values: ReadonlyMap<string, readonly number[]>,
): Promise<Map<string, Float32Array | Uint32Array>> {
  const device = await openDevice(name, { threads: 1 });
  const results = await runOn(device, graph, values);
  await device.close();
  return results;
}
