/**
 * What a device can do, measured with kernels of this compiler: a product, attention, elementary functions, plain arithmetic, sums of tensors that some level of
 * memory holds, and dispatches that do nothing to speak of. Whole runs are timed, as a step is, and the least of several counts: the machine may be shared.
 */
import type { Device } from "../../runtime/device.js";
import { loadTarget } from "../../codegen/registry.js";
import { targetOf } from "../compile.js";
import { createBuilder, type Builder } from "../graph/builder.js";
import type { Graph, Node } from "../graph/node.js";
import { schedule } from "../schedule/plan.js";

export interface Timed {
  /** Milliseconds of one run. */
  readonly ms: number;
  /** Of one run: operations, and bytes that its kernels touch. */
  readonly flops: number;
  readonly bytes: number;
  readonly dispatches: number;
}

/** A computation to time, of as many results as it has. */
export type Load = (b: Builder) => readonly Node[];

const RUNS = 9;
/** Milliseconds that a load is timed at least. */
const SHORTEST = 30;

/** Times loads one after the other. Inputs are ones, so that no number is slow. */
export async function timeLoads<K extends string>(device: Device, loads: Readonly<Record<K, Load>>): Promise<Record<K, Timed>> {
  const graphs = Object.entries<Load>(loads).map(([name, load]): Graph => ({ name, outputs: new Map(load(createBuilder()).map((node, i) => [`y${i}`, node])), updates: new Map() }));
  const printer = await loadTarget(targetOf[device.name]);
  const { kernels, infos, entries, pools, constants, accounts } = schedule(graphs, printer.profile, new Map(), 0);
  const session = await device.load({ kernels: infos, code: await printer.print(kernels), entries, pools, constants });
  try {
    const found: Partial<Record<string, Timed>> = {};
    for (const { name } of graphs) {
      const { inputs, dispatches } = entries[name]!;
      for (const ref of Object.values(inputs)) {
        const size = ref.shape.reduce((n, each) => n * each, 1);
        session.write(ref, ref.dtype === "u32" ? new Uint32Array(size) : new Float32Array(size).fill(1));
      }
      await session.run(name);
      let least = Number.POSITIVE_INFINITY;
      for (let run = 0, spent = 0; run < RUNS || spent < SHORTEST; run++) {
        const begun = performance.now();
        await session.run(name);
        const ms = performance.now() - begun;
        spent += ms;
        least = Math.min(least, ms);
      }
      const own = accounts(name);
      const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
      found[name] = {
        ms: least, dispatches: dispatches.length,
        flops: sum(own.flatMap(({ work }) => work.map(({ flops }) => flops))), bytes: sum(own.flatMap(({ traffic }) => traffic.map(({ bytes }) => bytes))),
      };
    }
    return found as Record<K, Timed>;
  } finally {
    await session.close();
  }
}
