/** Bisecting a small graph whose schedule has a faulty pass. */
import { describe, expect, it } from "vitest";
import { printers } from "../../codegen/registry.js";
import { openDevice } from "../../runtime/index.js";
import { evaluate } from "../../src/graph/evaluate.js";
import type { Graph } from "../../src/graph/node.js";
import { parseGraph } from "../../src/graph/text.js";
import type { KernelBatch } from "../../src/schedule/memory/batch.js";
import { SCHEDULE_OPTIMIZATIONS } from "../../src/schedule/optimizations.js";
import { passes, type Passes } from "../../src/schedule/passes.js";
import { bisect, type Verdict } from "../../src/tools/bisect.js";
import { scheduleOf } from "../helpers/passes.js";

const faulty = (fault: Partial<Passes>): Passes => ({ ...passes, ...fault });

const values = (length: number, phase: number): number[] =>
  Array.from({ length }, (_, i) => Math.fround(Math.sin(i * i + phase) / 3));
const VALUES: ReadonlyMap<string, readonly number[]> = new Map([
  ["x", values(96 * 80, 0)],
  ["v", values(80 * 72, 1)],
  ["w", values(80 * 72, 2)],
]);

/** What the outputs of a graph add up to on a device, with faulty passes and without some optimizations. */
async function outputsOf(graph: Graph, fault: Partial<Passes>, verify: boolean): Promise<Verdict> {
  const device = await openDevice("javascript");
  const exact = [...evaluate(graph, VALUES).outputs.values()].flatMap((value) => [...value]);
  const total = (all: readonly number[]): number[] => [all.reduce((sum, value, i) => sum + value * (1 + (i % 7)), 0)];
  try {
    return await bisect({
      exact: total(exact),
      tolerance: 1e-4,
      optimizations: SCHEDULE_OPTIMIZATIONS,
      run: async (without) => {
        const printer = printers.javascript;
        const { kernels, infos, entries, pools, constants, passed } = scheduleOf(graph, "javascript", {
          passes: faulty(fault),
          without: new Set(SCHEDULE_OPTIMIZATIONS.filter((name) => without.includes(name))),
          verify,
        });
        const session = await device.load({
          kernels: infos,
          code: await printer.print(kernels),
          entries,
          pools,
          constants,
        });
        const { inputs, outputs } = entries["run"]!;
        for (const [leaf, { offset }] of passed.get("run")!.placement.places) {
          if (leaf.op !== "parameter" || offset === null) continue;
          const at = { pool: "state", offset, shape: leaf.shape, dtype: "f32" } as const;
          session.write(at, Float32Array.from(VALUES.get(leaf.attrs.name)!));
        }
        for (const [name, ref] of Object.entries(inputs)) session.write(ref, Float32Array.from(VALUES.get(name)!));
        await session.run("run");
        const read: number[] = [];
        for (const ref of Object.values(outputs)) read.push(...(await session.read(ref)));
        await session.close();
        return total(read);
      },
    });
  } finally {
    await device.close();
  }
}

/** Kernels of one shape and different operations, and one that waits for both. */
const WAVES = `graph run {
  %0: f32[96,80] = input {"name":"x"}
  %1: f32[80,72] = parameter {"name":"v"}
  %2: f32[80,72] = parameter {"name":"w"}
  %3: f32[96,72] = contract %0, %1 {"spec":"rk,kc->rc"}
  %4: f32[96,72] = sin %3
  %5: f32[96,72] = contract %0, %2 {"spec":"rk,kc->rc"}
  %6: f32[96,72] = cos %5
  %7: f32[72,72] = contract %4, %6 {"spec":"rc,rd->cd"}
  output "y" = %7
}`;

describe("bisect", () => {
  it("finds nothing where nothing is wrong", async () => {
    expect(await outputsOf(parseGraph(WAVES), {}, true)).toMatchObject({ kind: "same" });
  });

  it("names a pass that is not sound", async () => {
    const fault: Partial<Passes> = {
      batch: (dues, spanOf): KernelBatch[] => [...passes.batch(dues, spanOf)].reverse(),
    };
    expect(await outputsOf(parseGraph(WAVES), fault, true)).toMatchObject({ kind: "unsound", pass: "batch" });
  });

  it("names the sharing of kernels when one is shared that differs", async () => {
    const fault: Partial<Passes> = {
      kernels: (table, entry) => {
        const dues = passes.kernels(table, entry);
        if (!table.sharing) return dues;
        // The buffers are alike, so that nothing can be seen but in the numbers.
        return dues.map((due) => {
          const like = dues.find(
            ({ bound }) => JSON.stringify(bound.kernel.buffers) === JSON.stringify(due.bound.kernel.buffers),
          )!;
          return { ...due, bound: { ...due.bound, kernel: like.bound.kernel } };
        });
      },
    };
    expect(await outputsOf(parseGraph(WAVES), fault, true)).toMatchObject({ kind: "one", optimization: "sharing" });
  });

  it("names the reuse of memory when tensors that are needed at once share words", async () => {
    const fault: Partial<Passes> = {
      offsets: (entry) => {
        const planned = passes.offsets(entry);
        if (!entry.reuse) return planned;
        return { ...planned, offsets: new Map([...planned.offsets].map(([place]) => [place, 0])) };
      },
    };
    expect(await outputsOf(parseGraph(WAVES), fault, false)).toMatchObject({ kind: "one", optimization: "reuse" });
  });

  it("names batching when a dispatch runs before what it waits for", async () => {
    const fault: Partial<Passes> = {
      batch: (dues, spanOf): KernelBatch[] => [...passes.batch(dues, spanOf)].reverse(),
    };
    expect(await outputsOf(parseGraph(WAVES), fault, false)).toMatchObject({ kind: "one", optimization: "batching" });
  });

  it("says so when no optimization makes the difference", async () => {
    const fault: Partial<Passes> = {
      legalize: (graph) => ({
        ...graph,
        outputs: new Map([...graph.outputs].map(([name, node]) => [name, node.inputs[0]!])),
      }),
    };
    expect(await outputsOf(parseGraph(WAVES), fault, false)).toMatchObject({ kind: "elsewhere" });
  });

  it("finds the smallest set where no single optimization makes the difference", async () => {
    const wrong = (without: readonly string[]): boolean => !(without.includes("fusion") && without.includes("packs"));
    const verdict = await bisect({
      exact: [1],
      tolerance: 1e-3,
      optimizations: SCHEDULE_OPTIMIZATIONS,
      run: (without) => Promise.resolve([wrong(without) ? 2 : 1]),
    });
    expect(verdict).toMatchObject({ kind: "several", optimizations: ["fusion", "packs"] });
  });
});
