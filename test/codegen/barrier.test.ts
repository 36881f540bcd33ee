/**
 * `run` with real threads on shared memory. Each dispatch reads what all threads wrote in the one before, at another
 * place, so that a thread that passes a barrier early computes something else. Run twice on one barrier, as sessions
 * do.
 */
import { Worker } from "node:worker_threads";
import { describe, expect, it } from "vitest";
import * as k from "../../src/kernel/build.js";
import type { Kernel } from "../../src/kernel/ir.js";
import { RECORD } from "../../runtime/wasm/layout.js";
import { assemble } from "./run.js";

const GROUPS = 12;
const DISPATCHES = 10_000;
const group = k.ref("group", k.INDEX);

/** to[g] = 3 from[g] + 5 from[(g + 7) mod GROUPS] + 1, as words. */
const mix: Kernel = {
  name: "mix",
  groups: GROUPS,
  workgroup: 1,
  buffers: [
    { name: "from", pool: "ints", access: "read" },
    { name: "result", pool: "ints", access: "write" },
  ],
  body: [
    k.letS("other", k.rem(k.add(group, k.idx(7)), k.idx(GROUPS))),
    k.store(
      "result",
      group,
      k.add(
        k.add(
          k.mul(k.load("from", group, k.U32), k.u32(3)),
          k.mul(k.load("from", k.ref("other", k.INDEX), k.U32), k.u32(5)),
        ),
        k.u32(1),
      ),
    ),
  ],
};

/** The same by a single group. */
const mixAlone: Kernel = {
  ...mix,
  name: "mix_alone",
  groups: 1,
  body: [
    k.forS("i", k.idx(0), k.idx(GROUPS), 1, [
      k.letS("other", k.rem(k.add(k.ref("i", k.INDEX), k.idx(7)), k.idx(GROUPS))),
      k.store(
        "result",
        k.ref("i", k.INDEX),
        k.add(
          k.add(
            k.mul(k.load("from", k.ref("i", k.INDEX), k.U32), k.u32(3)),
            k.mul(k.load("from", k.ref("other", k.INDEX), k.U32), k.u32(5)),
          ),
          k.u32(1),
        ),
      ),
    ]),
  ],
};

function expected(dispatches: number): number[] {
  let values = Array.from({ length: GROUPS }, (_, i) => i);
  for (let d = 0; d < dispatches; d++)
    values = values.map((value, g) => (Math.imul(value, 3) + Math.imul(values[(g + 7) % GROUPS]!, 5) + 1) >>> 0);
  return values;
}

const BARRIER = 64;
const DATA = [512, 640] as const;
const ARGS = 768;
const TABLE = 1024;

/** A dispatch of one copy. */
const recordOf = (kernel: number, groups: number, args: number): number[] => [kernel, groups, args, groups, 8];

function lay(memory: WebAssembly.Memory): void {
  const words = new Uint32Array(memory.buffer);
  for (let i = 0; i < GROUPS; i++) words[DATA[0] / 4 + i] = i;
  words.set([DATA[0], DATA[1]], ARGS / 4);
  words.set([DATA[1], DATA[0]], ARGS / 4 + 8);
  for (let d = 0; d < DISPATCHES; d++) {
    const alone = d % 3 === 2;
    words.set(recordOf(alone ? 1 : 0, alone ? 1 : GROUPS, ARGS + (d % 2) * 32), (TABLE + RECORD * d) / 4);
  }
}

const source = `
const { workerData, parentPort } = require("node:worker_threads");
const { module, memory, threads, thread } = workerData;
const { exports } = new WebAssembly.Instance(module, { env: { memory } });
parentPort.on("message", () => {
  exports.run(${TABLE}, ${DISPATCHES}, threads, thread, 0, ${BARRIER});
  parentPort.postMessage("done");
});
parentPort.postMessage("ready");
`;

describe("run", () => {
  it.each([2, 3, 4])(
    "%i threads meet after each of 10,000 dispatches, twice",
    async (threads) => {
      const { module } = await assemble([mix, mixAlone], true);
      const memory = new WebAssembly.Memory({ initial: 8, maximum: 65536, shared: true });
      lay(memory);
      const workers = Array.from(
        { length: threads },
        (_, thread) => new Worker(source, { eval: true, workerData: { module, memory, threads, thread } }),
      );
      const answers = (): Promise<unknown> =>
        Promise.all(
          workers.map(
            (worker) =>
              new Promise((resolve, reject) => {
                worker.once("message", resolve);
                worker.once("error", reject);
              }),
          ),
        );
      try {
        await answers();
        for (const runs of [1, 2]) {
          const done = answers();
          for (const worker of workers) worker.postMessage("run");
          await done;
          expect([...new Uint32Array(memory.buffer, DATA[0], GROUPS)]).toEqual(expected(runs * DISPATCHES));
        }
      } finally {
        await Promise.all(workers.map((worker) => worker.terminate()));
      }
    },
    60_000,
  );

  it("one thread on unshared memory", async () => {
    const { module } = await assemble([mix, mixAlone], false);
    const memory = new WebAssembly.Memory({ initial: 8, maximum: 65536 });
    lay(memory);
    const { exports } = new WebAssembly.Instance(module, { env: { memory } });
    (exports["run"] as (...args: number[]) => void)(TABLE, DISPATCHES, 1, 0, 0, BARRIER);
    expect([...new Uint32Array(memory.buffer, DATA[0], GROUPS)]).toEqual(expected(DISPATCHES));
  });

  it("a thread without groups still meets the others", async () => {
    const { module } = await assemble([{ ...mixAlone }], true);
    const memory = new WebAssembly.Memory({ initial: 8, maximum: 65536, shared: true });
    const words = new Uint32Array(memory.buffer);
    for (let i = 0; i < GROUPS; i++) words[DATA[0] / 4 + i] = i;
    words.set([DATA[0], DATA[1]], ARGS / 4);
    words.set(recordOf(0, 1, ARGS), TABLE / 4);
    const code = source.replace(`${DISPATCHES}`, "1");
    const workers = [0, 1].map(
      (thread) => new Worker(code, { eval: true, workerData: { module, memory, threads: 2, thread } }),
    );
    const next = (worker: Worker): Promise<unknown> => new Promise((resolve) => void worker.once("message", resolve));
    try {
      await Promise.all(workers.map(next));
      const first = next(workers[0]!);
      workers[0]!.postMessage("run");
      const early = await Promise.race([first, new Promise((resolve) => setTimeout(() => resolve("waiting"), 100))]);
      expect(early).toBe("waiting");
      const second = next(workers[1]!);
      workers[1]!.postMessage("run");
      expect(await Promise.all([first, second])).toEqual(["done", "done"]);
      expect([...new Uint32Array(memory.buffer, DATA[1], GROUPS)]).toEqual(expected(1));
    } finally {
      await Promise.all(workers.map((worker) => worker.terminate()));
    }
  });
});
