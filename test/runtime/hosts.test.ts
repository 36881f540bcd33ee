/**
 * Hosts that refuse: an engine, memory, workers. The device does with less, and gives the same bits; or the error says
 * what to do.
 */
import { readFileSync } from "node:fs";
import { describe, expect, it, vi } from "vitest";
import type { Device, DeviceName } from "../../runtime/device.js";
import { DeviceError } from "../../runtime/errors.js";
import type { Host } from "../../runtime/host.js";
import { loadOn } from "../../runtime/model.js";
import { nodeHost } from "../../runtime/node/host.js";
import { openOn } from "../../runtime/open.js";
import type { Plan } from "../../runtime/plan.js";
import { wasmDevice } from "../../runtime/wasm/device.js";
import { relay, type OpenPort, type Port } from "../../runtime/wasm/port.js";
import { serve } from "../../runtime/wasm/serve.js";
import { serveText } from "../../runtime/wasm/worker-text.js";
import { workerText } from "../../specs/worker-text.mjs";
import { planOf } from "../helpers/specs.js";
import { handMade, refs, SIZE } from "./plans.js";

/** Node where less is allowed, and where there is no C compiler unless it is given back. */
const host = (less: Partial<Host>): Host => ({
  ...nodeHost,
  native: () => Promise.reject(new DeviceError("there is no C compiler in this test", "install one")),
  ...less,
});
const thread = nodeHost.workers()[0]!;

/** A worker that says nothing until it is closed, if then. */
const port = (more: Partial<Port> = {}): Port => ({
  listen: () => undefined,
  post: () => undefined,
  busy: () => undefined,
  idle: () => undefined,
  close: () => Promise.resolve(),
  ...more,
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
async function bits(
  less: Partial<Host>,
  threads = 2,
): Promise<{ readonly notes: readonly string[]; readonly values: readonly ArrayLike<number>[] }> {
  const device = await wasmDevice(host(less), { threads });
  const session = await device.load(await handMade("wasm"));
  session.write(
    refs.x,
    Float32Array.from({ length: SIZE }, (_, i) => Math.sin(i)),
  );
  session.write(
    refs.t,
    Uint32Array.from({ length: SIZE }, (_, i) => (i * 37) % 11),
  );
  session.write(refs.x, Float32Array.of(5, 6), 10);
  for (let i = 0; i < 3; i++) await session.run("fold");
  const [y] = await session.run("fold", [refs.y]);
  const times = await session.profile("fold");
  expect(times.every((ms) => ms >= 0)).toBe(true);
  const values = [
    y!,
    await session.read(refs.sum),
    ...(await Promise.all([session.read(refs.c), session.read(refs.table)])),
  ];
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

  it.each(Object.entries(refusals))(
    "are done without where all refuse %s, with the same bits and a note",
    async (_, refusal) => {
      const { notes, values } = await bits({ workers: () => [refusal], patience: 10 });
      expect(notes).toHaveLength(1);
      expect(notes[0]).toMatch(/^one thread, which is the caller's own: this host allows no workers \(.+\)$/);
      expect(values).toEqual((await whole).values);
    },
  );

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

  it("are not taken to be refused because this thread was busy", async () => {
    const slow: OpenPort = () => {
      const { answer, listen } = relay();
      // Two turns of the event loop, so that a timer that has run out is always the first.
      const follow = serve((message) => setImmediate(() => setImmediate(answer, message)));
      return port({
        listen,
        post(order) {
          follow(order);
          const begun = performance.now();
          while (order.kind === "hello" && performance.now() - begun < 60);
        },
      });
    };
    const { notes } = await bits({ workers: () => [slow], patience: 40 }, 1);
    expect(notes).toEqual([]);
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
const engineParts = Object.fromEntries(
  Object.getOwnPropertyNames(WebAssembly).map((name) => [name, WebAssembly[name as "Memory"]]),
) as unknown as typeof WebAssembly;

describe("memory", () => {
  it.each([
    [1, []],
    [3, ["one thread, not 3: memory cannot be shared here (there is no SharedArrayBuffer)"]],
  ])("of one worker's own where it cannot be shared, with the same bits (%d asked for)", async (threads, notes) => {
    const alone = await bits({ unshared: () => "there is no SharedArrayBuffer" }, threads);
    expect(alone).toEqual({ notes, values: (await whole).values });
  });

  it("that an engine does not share is no error", async () => {
    const { notes, values } = await bits({ engine: () => engineWhose(({ shared }) => shared === true) });
    expect(notes).toEqual(["one thread, not 2: memory cannot be shared here (could not allocate memory)"]);
    expect(values).toEqual((await whole).values);
  });

  it("is asked for as large as the plan needs, at most", async () => {
    const { values } = await bits({
      engine: () => engineWhose(({ initial, maximum }) => maximum === undefined || maximum > initial),
    });
    expect(values).toEqual((await whole).values);
  });

  it("that is refused altogether is known when the device is opened", async () => {
    const opening = wasmDevice(host({ engine: () => engineWhose(() => true) }), {});
    await expect(opening).rejects.toThrow(DeviceError);
    await expect(opening).rejects.toThrow("no WebAssembly memory can be made: could not allocate memory");
    await expect(opening).rejects.toMatchObject({
      fix: expect.stringContaining("--disable-wasm-trap-handler") as string,
    });
  });

  it.each([
    ["threads", null],
    ["one worker", "no SharedArrayBuffer"],
  ])("that a plan is refused is an error, with %s", async (_, unshared) => {
    const plan = await handMade("wasm");
    const large = { ...plan, pools: { ...plan.pools, work: 2 ** 30 - 2 ** 16 } };
    const device = await wasmDevice(
      host({
        unshared: () => unshared,
        engine: () => engineWhose(({ initial }) => initial > 1000),
        ...(unshared ? { workers: () => [pretends] } : {}),
      }),
      { threads: 1 },
    );
    const loading = device.load(large);
    await expect(loading).rejects.toThrow(DeviceError);
    await expect(loading).rejects.toThrow(/^4\.000 GiB of memory were refused: could not allocate memory$/);
    await device.close();
  });
});

/** A worker that is refused its memory. */
const pretends: OpenPort = () => {
  const { answer, listen } = relay();
  return port({
    listen,
    post: ({ kind }) =>
      void setTimeout(() => answer(kind === "own" ? { memory: true, error: "could not allocate memory" } : {})),
  });
};

describe("an engine", () => {
  const forbidden = {
    ...engineParts,
    compile: () => Promise.reject(new WebAssembly.CompileError("Refused to compile: violates the policy")),
  } as typeof WebAssembly;
  it.each([
    ["that is not there", null, "this host has no WebAssembly"],
    ["that may not compile", forbidden, "this host forbids WebAssembly: Refused to compile: violates the policy"],
    [
      "without SIMD",
      { ...engineParts, validate: () => false } as typeof WebAssembly,
      "this engine has no WebAssembly SIMD",
    ],
  ])("%s is a DeviceError with a fix", async (_, engine, message) => {
    const opening = wasmDevice(host({ engine: () => engine }));
    await expect(opening).rejects.toThrow(DeviceError);
    await expect(opening).rejects.toThrow(message);
    await expect(opening).rejects.toMatchObject({
      fix: expect.stringMatching(/^(start Node without --jitless|update it)$/) as string,
    });
  });
});

const PAGE = `model Reach {
  dim n = 3
  input u[n]
  param w[n], v[n] ~ normal(1)
  output y[n] = u[n] * w[n] + v[n]
}`;

describe("auto", () => {
  const plans = async (...devices: readonly DeviceName[]): Promise<Plan> => planOf(PAGE, devices);
  const lossOf = async (
    plan: Plan,
    less: Partial<Host>,
    device: DeviceName | "auto" = "auto",
  ): Promise<{ readonly model: string; readonly notes: readonly string[]; readonly y: ArrayLike<number> }> => {
    const model = await loadOn(host({ mayHaveGpu: () => false, ...less }), plan, { device, threads: 1 });
    const y = (await model.forward({ u: Float32Array.of(1, -2, 3) }))["y"]!;
    const { name, notes } = model.device;
    await model.close();
    return { model: name, notes, y };
  };
  const noGpu: Partial<Host> = {
    gpu: () => Promise.reject(new DeviceError("this browser has no WebGPU", "use the device wasm")),
  };

  it("goes on where the engine is refused, and says so", async () => {
    const plan = await plans("wasm", "javascript");
    const usual = await lossOf(plan, {});
    expect(usual).toMatchObject({ model: "wasm", notes: [] });
    const other = await lossOf(plan, { engine: () => null });
    expect(other).toMatchObject({
      model: "javascript",
      notes: ["javascript, not wasm: this host has no WebAssembly"],
    });
    expect(Array.from(other.y, (value) => value.toFixed(5))).toEqual(Array.from(usual.y, (value) => value.toFixed(5)));
  });

  it("goes on where the memory of the plan is refused, when it is loaded", async () => {
    let memories = 0;
    // The first only tells whether there is any.
    const engine = engineWhose(() => memories++ > 0);
    expect(await lossOf(await plans("wasm", "javascript"), { engine: () => engine })).toMatchObject({
      model: "javascript",
      notes: [
        expect.stringMatching(
          /^javascript, not wasm: 0\.\d+ GiB of memory were refused: could not allocate memory$/,
        ) as string,
      ],
    });
  });

  it("goes on from a GPU that gives no device, and asks for none where none can be", async () => {
    const adapter = {
      limits: {},
      features: new Set(),
      info: { description: "A GPU" },
      requestDevice: () => Promise.reject(new Error("too old")),
    };
    const plan = await plans("wasm", "webgpu");
    const gpu = { requestAdapter: () => Promise.resolve(adapter) } as unknown as GPU;
    const { model, notes } = await lossOf(plan, { gpu: () => Promise.resolve(gpu), mayHaveGpu: () => true });
    expect([model, notes]).toEqual(["wasm", ["wasm, not webgpu: the adapter A GPU gives no device: too old"]]);
    const asked = vi.fn(() => Promise.resolve(gpu));
    expect(await lossOf(plan, { gpu: asked })).toMatchObject({ model: "wasm", notes: [] });
    expect(asked).not.toHaveBeenCalled();
    expect(await lossOf(plan, { ...noGpu, mayHaveGpu: () => true })).toMatchObject({ model: "wasm", notes: [] });
  });

  it("says which targets to compile for, when the device that is left has no code", async () => {
    const loading = lossOf(await plans("wasm"), { engine: () => null, ...noGpu });
    await expect(loading).rejects.toThrow(DeviceError);
    await expect(loading).rejects.toThrow("Reach cannot run here: wasm: this host has no WebAssembly");
    await expect(loading).rejects.toMatchObject({
      fix: "start Node without --jitless; or compile it with `--target typescript,wasm,javascript`",
    });
    await expect(lossOf(await plans("wasm"), {}, "javascript")).rejects.toMatchObject({
      message: "Reach was not compiled for javascript; it has wasm",
      fix: "compile it with `--target typescript,wasm,javascript`",
    });
  });

  it("names every refusal where nothing is left", async () => {
    vi.stubGlobal("Function", function refused() {
      throw new EvalError("Refused to evaluate a string as JavaScript");
    });
    try {
      const opening = openOn(host({ engine: () => null, ...noGpu }));
      await expect(opening).rejects.toThrow(DeviceError);
      await expect(opening).rejects.toMatchObject({
        message:
          "no device can be used here: native: there is no C compiler in this test; " +
          "wasm: this host has no WebAssembly; " +
          "javascript: this host forbids code that is made of text: Refused to evaluate a string as JavaScript; " +
          "webgpu: this browser has no WebGPU",
        fix:
          "install one; or start Node without --jitless; " +
          "or start Node without --disallow-code-generation-from-strings",
      });
    } finally {
      vi.unstubAllGlobals();
    }
  });

  it("does not take a wrong argument for a refusal", async () => {
    await expect(openOn(host({ engine: () => null }), "auto", { threads: 0 })).rejects.toThrow("cannot have 0 threads");
  });
});

describe("256-bit vectors of WebAssembly", () => {
  const wideOn = async (joins: boolean, wide?: boolean): Promise<Device["vectors"] | null> => {
    let asked = false;
    const joinVectors = (): boolean => ((asked = true), joins);
    const device = await openOn(host({ joinVectors }), "wasm", { threads: 1, wide });
    await device.close();
    expect(asked).toBe(wide === true);
    expect(device.adapter.includes("joined to 256 bits")).toBe(device.vectors !== undefined);
    return device.vectors ?? null;
  };
  it("are asked for, and taken where the engine has them", async () => {
    expect(await wideOn(true, true)).toEqual({ lanes: 8 });
    expect(await wideOn(false, true)).toBeNull();
  });
  it("are no flag that an app did not ask for", async () => {
    expect(await wideOn(true)).toBeNull();
    expect(await wideOn(true, false)).toBeNull();
  });
});
