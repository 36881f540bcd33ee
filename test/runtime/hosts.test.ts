/** Hosts that refuse: an engine, memory, workers. The device does with less, and gives the same bits; or the error says what to do. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { DeviceError } from "../../runtime/errors.js";
import type { Host } from "../../runtime/host.js";
import { nodeHost } from "../../runtime/node/host.js";
import { wasmDevice } from "../../runtime/wasm/device.js";
import { relay, type OpenPort, type Port } from "../../runtime/wasm/port.js";
import { serve } from "../../runtime/wasm/serve.js";
import { serveText } from "../../runtime/wasm/worker-text.js";
import { workerText } from "../../specs/worker-text.mjs";
import { handMade, refs, SIZE } from "./plans.js";

const host = (less: Partial<Host>): Host => ({ ...nodeHost, ...less });
const thread = nodeHost.workers()[0]!;

/** A worker that says nothing until it is closed, if then. */
const port = (more: Partial<Port> = {}): Port => ({
  listen: () => undefined, post: () => undefined, busy: () => undefined, idle: () => undefined, close: () => Promise.resolve(), ...more,
});

/** What a worker does, in this thread: enough for one, and quick however busy the machine is. */
const inProcess: OpenPort = () => {
  const { answer, listen } = relay();
  const follow = serve((message) => setTimeout(answer, 0, message));
  return port({ listen, post: follow });
};

/** As a policy refuses: at once, by an event that comes later, or without a word. */
const refusals: Readonly<Record<string, OpenPort>> = {
  "at once": () => {
    throw new DOMException("Access to the script at 'blob:…' is denied", "SecurityError");
  },
  later: () => {
    const { fail, listen } = relay();
    setTimeout(() => fail(new DeviceError("a worker died: it was refused")), 1);
    return port({ listen });
  },
  "without a word": () => port(),
};

/** The bits of a few folds and updates, on a device of this host. */
async function bits(less: Partial<Host>, threads = 2): Promise<{ readonly notes: readonly string[]; readonly values: readonly ArrayLike<number>[] }> {
  const device = await wasmDevice(host(less), { threads });
  const session = await device.load(await handMade("wasm"));
  session.write(refs.x, Float32Array.from({ length: SIZE }, (_, i) => Math.sin(i)));
  session.write(refs.t, Uint32Array.from({ length: SIZE }, (_, i) => (i * 37) % 11));
  session.write(refs.x, Float32Array.of(5, 6), 10);
  for (let i = 0; i < 3; i++) await session.run("fold");
  const [y] = await session.run("fold", [refs.y]);
  const times = await session.profile("fold");
  expect(times.every((ms) => ms >= 0)).toBe(true);
  const values = [y!, await session.read(refs.sum), ...(await Promise.all([session.read(refs.c), session.read(refs.table)]))];
  await session.close();
  await expect(session.run("fold")).rejects.toThrow("closed");
  await device.close();
  return { notes: device.notes, values };
}

const whole = bits({});

describe("workers", () => {
  it.each(Object.entries(refusals))("are started in the next way where one refuses %s", async (_, refusal) => {
    const { notes, values } = await bits({ workers: () => [refusal, inProcess], patience: 100 }, 1);
    expect(notes).toEqual([]);
    expect(values).toEqual((await whole).values);
  });

  it.each(Object.entries(refusals))("are done without where all refuse %s, with the same bits and a note", async (_, refusal) => {
    const { notes, values } = await bits({ workers: () => [refusal], patience: 10 });
    expect(notes).toHaveLength(1);
    expect(notes[0]).toMatch(/^one thread, which is the caller's own: this host allows no workers \(.+\)$/);
    expect(values).toEqual((await whole).values);
  });

  it("are as many as the host allows", async () => {
    let left = 2;
    const some: OpenPort = () => (left-- > 0 ? thread() : refusals["at once"]!());
    const { notes, values } = await bits({ workers: () => [some] }, 4);
    expect(notes).toEqual(["2 of 4 threads: the others were refused (Access to the script at 'blob:…' is denied)"]);
    expect(values).toEqual((await whole).values);
  });

  it("that are refused are closed", async () => {
    let closed = 0;
    const silent: OpenPort = () => port({ close: () => Promise.resolve(void closed++) });
    await wasmDevice(host({ workers: () => [silent], patience: 1 }), { threads: 3 });
    expect(closed).toBe(3);
  });

  it("that nobody loads a plan on end with the device", async () => {
    let open = 0;
    const counted: OpenPort = async () => {
      const opened = await thread();
      open++;
      return { ...opened, close: () => opened.close().then(() => void open--) };
    };
    const device = await wasmDevice(host({ workers: () => [counted] }), { threads: 2 });
    expect(open).toBe(2);
    await device.close();
    expect(open).toBe(0);
  });

  it("run text that is made from the source", () => {
    const source = readFileSync(new URL("../../runtime/wasm/serve.ts", import.meta.url), "utf8");
    expect(workerText(source)).toContain(JSON.stringify(serveText));
  });
});

/** An engine that refuses some memories. */
function engineWhose(refuses: (memory: WebAssembly.MemoryDescriptor) => boolean): typeof WebAssembly {
  class Memory extends WebAssembly.Memory {
    constructor(memory: WebAssembly.MemoryDescriptor) {
      if (refuses(memory)) throw new RangeError("could not allocate memory");
      super(memory);
    }
  }
  return { ...engineParts, Memory };
}
const engineParts = Object.fromEntries(Object.getOwnPropertyNames(WebAssembly).map((name) => [name, WebAssembly[name as "Memory"]])) as unknown as typeof WebAssembly;

describe("memory", () => {
  it.each([[1, []], [3, ["one thread, not 3: memory cannot be shared here (there is no SharedArrayBuffer)"]]])(
    "of one worker's own where it cannot be shared, with the same bits (%d asked for)", async (threads, notes) => {
      const alone = await bits({ unshared: () => "there is no SharedArrayBuffer" }, threads);
      expect(alone).toEqual({ notes, values: (await whole).values });
    },
  );

  it("that an engine does not share is no error", async () => {
    const { notes, values } = await bits({ engine: () => engineWhose(({ shared }) => shared === true) });
    expect(notes).toEqual(["one thread, not 2: memory cannot be shared here (could not allocate memory)"]);
    expect(values).toEqual((await whole).values);
  });

  it("is asked for as large as the plan needs, at most", async () => {
    const { values } = await bits({ engine: () => engineWhose(({ initial, maximum }) => maximum === undefined || maximum > initial) });
    expect(values).toEqual((await whole).values);
  });

  it("that is refused altogether is known when the device is opened", async () => {
    const opening = wasmDevice(host({ engine: () => engineWhose(() => true) }), {});
    await expect(opening).rejects.toThrow(DeviceError);
    await expect(opening).rejects.toThrow("no WebAssembly memory can be made: could not allocate memory");
    await expect(opening).rejects.toMatchObject({ fix: expect.stringContaining("--disable-wasm-trap-handler") as string });
  });

  it.each([["threads", null], ["one worker", "no SharedArrayBuffer"]])("that a plan is refused is an error, with %s", async (_, unshared) => {
    const plan = await handMade("wasm");
    const large = { ...plan, pools: { ...plan.pools, work: 2 ** 30 - 2 ** 16 } };
    const device = await wasmDevice(host({ unshared: () => unshared, engine: () => engineWhose(({ initial }) => initial > 1000), ...(unshared ? { workers: () => [pretends] } : {}) }), { threads: 1 });
    const loading = device.load(large);
    await expect(loading).rejects.toThrow(DeviceError);
    await expect(loading).rejects.toThrow(/^4\.000 GiB of memory were refused: could not allocate memory$/);
    await device.close();
  });
});

/** A worker that is refused its memory. */
const pretends: OpenPort = () => {
  const { answer, listen } = relay();
  return port({ listen, post: ({ kind }) => void setTimeout(() => answer(kind === "own" ? { memory: true, error: "could not allocate memory" } : {})) });
};

describe("an engine", () => {
  const forbidden = { ...engineParts, compile: () => Promise.reject(new WebAssembly.CompileError("Refused to compile: violates the policy")) } as typeof WebAssembly;
  it.each([
    ["that is not there", null, "this host has no WebAssembly"],
    ["that may not compile", forbidden, "this host forbids WebAssembly: Refused to compile: violates the policy"],
    ["without SIMD", { ...engineParts, validate: () => false } as typeof WebAssembly, "this engine has no WebAssembly SIMD"],
  ])("%s is a DeviceError with a fix", async (_, engine, message) => {
    const opening = wasmDevice(host({ engine: () => engine }));
    await expect(opening).rejects.toThrow(DeviceError);
    await expect(opening).rejects.toThrow(message);
    await expect(opening).rejects.toMatchObject({ fix: expect.stringMatching(/javascript/) as string });
  });
});
