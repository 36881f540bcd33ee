/** What a pool says of a worker that dies, and that it does not wait for it. */
import type { Worker } from "node:worker_threads";
import { describe, expect, it } from "vitest";
import { DeviceError } from "../../runtime/errors.js";
import { nodeHost } from "../../runtime/node/host.js";
import { hire } from "../../runtime/wasm/hire.js";
import { poolOf, type WorkerPool } from "../../runtime/wasm/pool.js";

const openPool = async (threads: number): Promise<WorkerPool> => poolOf((await hire(nodeHost, threads)).ports);

/** An order that walks nothing. */
const walk = { kind: "run", address: 0, count: 0, barrier: 0, stride: null, reads: [] } as const;

describe("a worker that dies", () => {
  /** A module whose `run` never ends: (loop (br 0)). */
  const endless = Uint8Array.of(
    0,
    97,
    115,
    109,
    1,
    0,
    0,
    0, // magic, version
    1,
    10,
    1,
    96,
    6,
    127,
    127,
    127,
    127,
    127,
    127,
    0, // type: six i32, no result
    3,
    2,
    1,
    0, // function 0 of type 0
    7,
    7,
    1,
    3,
    114,
    117,
    110,
    0,
    0, // export "run"
    10,
    9,
    1,
    7,
    0,
    3,
    64,
    12,
    0,
    11,
    11, // loop, br 0, end, end
  );

  it("rejects the run that waits for it, and every later one", async () => {
    const workers: Worker[] = [];
    const note = (worker: Worker): void => void workers.push(worker);
    process.on("worker", note);
    const pool = await openPool(2);
    // Node tells of new workers a tick later.
    await new Promise((resolve) => setImmediate(resolve));
    process.off("worker", note);
    expect(workers.length).toBe(2);
    const module = await WebAssembly.compile(endless);
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    await pool.all([0, 1].map((thread) => ({ kind: "join", module, memory, thread, threads: 2, scratch: 0 })));
    const run = pool.all([walk, walk]);
    const judged = expect(run).rejects.toThrow(
      new DeviceError("a worker ended before its work", "run again; fewer threads take less memory"),
    );
    await workers[1]!.terminate();
    await judged;
    await expect(pool.all([walk, walk])).rejects.toThrow("a worker ended before its work");
    // The other one is in its loop still; closing ends it.
    await pool.close();
    expect(workers[0]!.threadId).toBe(-1);
  });
});
