/** `mhc target-test` as a function: what it finds, of devices that are right and of devices that are wrong. */
import { describe, expect, it } from "vitest";
import type { DeviceTarget } from "../../codegen/target.js";
import { printers } from "../../codegen/registry.js";
import { openDevice } from "../../runtime/index.js";
import type { Session } from "../../runtime/device.js";
import { DeviceError } from "../../runtime/errors.js";
import type { DevicePlan } from "../../runtime/plan.js";
import { choicesFor } from "../../src/cli/tuned.js";
import { differenceAfter, differenceOf } from "../../src/tools/conformance/compare.js";
import { conformance, subjectsFor, type ConformanceRow } from "../../src/tools/conformance/suite.js";
import { openTarget } from "../../src/tools/opened.js";
import float32 from "../../examples/own-device/float32.js";
import { everyDevice, isThere } from "../helpers/devices.js";

async function rowsOf(target: DeviceTarget | string, ...only: string[]): Promise<readonly ConformanceRow[]> {
  const device = await openTarget(target, { threads: 2 });
  try {
    const told: ConformanceRow[] = [];
    const tell = (row: ConformanceRow): void => void told.push(row);
    const rows = await conformance(device, { choices: choicesFor(device), steps: 10, only, tell });
    expect(told).toEqual(rows);
    return rows;
  } finally {
    await device.close();
  }
}

const verdicts = (rows: readonly ConformanceRow[]): readonly string[] =>
  rows.map(({ part, of, ok }) => `${of} ${part} ${ok ? "ok" : "wrong"}`);

/** The device with another text of its kernels. */
const edited = (edit: (text: string) => string): DeviceTarget => ({
  ...float32,
  async print(kernels) {
    const code = await float32.print(kernels);
    return code.kind === "other" ? { ...code, text: edit(code.text) } : code;
  },
});

/** The device whose sessions are changed. */
const changed = (change: (session: Session) => Session): DeviceTarget => ({
  ...float32,
  async open(options) {
    const device = await float32.open(options);
    return { ...device, load: async (plan) => change(await device.load(plan)) };
  },
});

describe("a device that is right", () => {
  it("has every row of kernels, losses and bits", async () => {
    const rows = await rowsOf(float32, "digits", "sublayer");
    expect(verdicts(rows)).toEqual(["sublayer kernels ok", "digits kernels ok", "digits losses ok", "digits bits ok"]);
    for (const { count, first } of rows) expect([count >= 10, first]).toEqual([true, null]);
    // Not the same numbers, or nothing was compared.
    for (const { worst } of rows.slice(0, 3)) expect(worst).toBeGreaterThan(0);
  });

  it.each(["javascript", "wasm"])("is %s", async (name) => {
    expect((await rowsOf(name, "poincare")).every(({ ok }) => ok)).toBe(true);
  });

  it("is webgpu, by its outputs", async () => {
    const [row, ...others] = await rowsOf("webgpu", "sublayer");
    expect(row).toMatchObject({ part: "outputs", of: "sublayer", ok: true, count: expect.any(Number) as number });
    expect(others).toEqual([]);
    expect(row!.worst).toBeGreaterThan(0);
  });

  // An emulated GPU takes minutes for all: its kernels are held against others' in test/schedule.
  it.each(everyDevice.filter((name) => name !== "webgpu"))("is %s, in all", { tags: "slow" }, async (name) => {
    const subjects = subjectsFor(printers[name]);
    const rows = await rowsOf(name, ...subjects);
    expect(rows.filter(({ ok }) => !ok)).toEqual([]);
    expect(rows).toHaveLength(3 * subjects.length - 6);
    expect(subjects.includes("nanogpt-bf16")).toBe(name === "native");
  });
});

describe("a device that is wrong", () => {
  it("is told by the kernel, where an exp is off by too little to see in a loss", async () => {
    const rows = await rowsOf(
      edited((text) => text.replaceAll("f(Math.exp(", "f(1.00005 * Math.exp(")),
      "digits",
    );
    expect(verdicts(rows)).toEqual(["digits kernels wrong", "digits losses ok", "digits bits ok"]);
    expect(rows[0]!.first).toMatch(
      /^kernel row\w* of train: word \d+ of \w+ is [\d.e-]+, and [\d.e-]+ on javascript, which is 5\.\de-5 of/,
    );
  });

  it("is told by the kernel on a GPU, too", async () => {
    const { webgpu } = printers;
    const gpu: DeviceTarget = {
      ...webgpu,
      name: "gpu",
      async print(kernels) {
        const code = await webgpu.print(kernels);
        return code.kind === "wgsl"
          ? { ...code, modules: code.modules.map((text) => text.replaceAll("tanh(", "0.99 * tanh(")) }
          : code;
      },
      open: async (options) => ({ ...(await openDevice("webgpu", options)), name: "gpu" }),
    };
    const [row] = await rowsOf(gpu, "sublayer");
    expect(row).toMatchObject({ part: "outputs", ok: false });
    expect(row!.first).toMatch(
      /^output \S+ of \w+, by kernel \w+: number \d+ is .* on javascript, which is [\d.]+e-3 of the largest$/,
    );
  });

  it.runIf(isThere("native"))("is told where operands of bf16 are cut off, and not rounded to nearest", async () => {
    const { native } = printers;
    const cut: DeviceTarget = {
      ...native,
      name: "cut",
      async print(kernels) {
        const code = await native.print(kernels);
        if (code.kind !== "c") throw new Error("the native device takes C");
        // Half of the last place that stays is added before the rest is cut off.
        return {
          ...code,
          kernels: code.kernels.map((each) => ({ ...each, text: each.text.replaceAll("32767u", "0u") })),
        };
      },
      open: async (options) => ({ ...(await openDevice("native", options)), name: "cut" }),
    };
    const [kernels, losses] = await rowsOf(cut, "nanogpt-bf16");
    expect(kernels).toMatchObject({ part: "kernels", ok: false });
    expect(kernels!.first).toMatch(/^kernel matmul\w* of \w+: word \d+ of \w+ is /);
    expect(losses).toMatchObject({ part: "losses", ok: true });
  });

  it("is told where it writes what no kernel writes", async () => {
    const stray = edited((text) => text.replaceAll("offsets, begin, end) {", "offsets, begin, end) { work[100] = 7;"));
    const [row] = await rowsOf(stray, "sublayer");
    expect(row!.first).toMatch(/^kernel \w+ of \w+: word 100 of work is 7, and /);
  });

  it("is told where two runs differ in a bit", async () => {
    let runs = 0;
    const restless = changed((session) => {
      const own = runs++;
      return {
        ...session,
        write: (ref, data, at) =>
          session.write(ref, data instanceof Float32Array ? data.map((x) => x * (1 + own * 1e-7)) : data, at),
      };
    });
    const rows = await rowsOf(restless, "digits");
    expect(verdicts(rows).at(-1)).toBe("digits bits wrong");
    expect(rows.at(-1)!.first).toMatch(/^two runs of 10 steps differ, first in byte \d+ of their checkpoints$/);
  });

  it("is told by what its printer or its device says, and the rest goes on", async () => {
    const printer: DeviceTarget = { ...float32, print: () => Promise.reject(new Error("no softmax")) };
    expect(await rowsOf(printer, "digits")).toEqual([
      expect.objectContaining({ part: "kernels", ok: false, first: "the printer of float32 failed: no softmax" }),
    ]);
    const runner = changed((session) => ({ ...session, run: () => Promise.reject(new Error("out of queues")) }));
    expect((await rowsOf(runner, "digits")).map(({ part, first }) => [part, first])).toEqual([
      ["kernels", "float32 failed to run `kernels 0`: out of queues"],
      ["losses", "float32 failed to run `train`: out of queues"],
    ]);
  });
});

describe("a device that does not keep what a session promises", () => {
  /** A session with other members; what counts goes on counting. */
  const having = (members: (session: Session) => Partial<Session>): DeviceTarget =>
    changed((session) =>
      Object.defineProperties(
        { ...session, ...members(session) },
        {
          submits: { get: () => members(session).submits ?? session.submits },
        },
      ),
    );
  const loading = (edit: (plan: DevicePlan) => DevicePlan): DeviceTarget => ({
    ...float32,
    async open(options) {
      const device = await float32.open(options);
      return { ...device, load: (plan) => device.load(edit(plan)) };
    },
  });

  it.each<[string, DeviceTarget, RegExp]>([
    ["writes at the beginning alone", having((s) => ({ write: (ref, data) => s.write(ref, data) })), /^`write\(ref/],
    ["times nothing", having(() => ({ profile: async () => [] })), /^`profile` gives 0 times of \d+ dispatches/],
    ["counts no runs", having(() => ({ submits: 0 })), /^`submits` does not grow/],
    ["has no bytes", having(() => ({ bytes: 0 })), /^`bytes` is 0: the pools have \d+$/],
    ["is never closed", having(() => ({ close: async () => undefined })), /^`run` of a session that is closed is no/],
    [
      "forgets constants",
      loading((plan) => ({ ...plan, constants: [] })),
      /^`load` does not write the plan's constants$/,
    ],
    ["runs what there is not", having((s) => ({ run: (_, read) => s.run("entry", read) })), /^`run` of an entry that/],
  ])("%s", async (_, target, message) => {
    const [row] = await rowsOf(target, "session");
    expect([row!.ok, row!.first]).toEqual([false, expect.stringMatching(message)]);
  });

  it.each<[string, DeviceTarget, RegExp]>([
    [
      "a run",
      having(() => ({ run: async () => undefined as never })),
      /failed to run `entry`: `run` gives nothing, and/,
    ],
    ["a run's tensor", having((s) => ({ run: async (e, r) => (await s.run(e, r)).slice(1) })), /and 2 tensors were/],
    ["a read", having(() => ({ read: async () => new Float32Array(3) })), /`read` gives 3 words for a tensor, and a/],
    ["times", having(() => ({ profile: async () => null as never })), /`profile` gives null, and a list of/],
  ])("and gives something else for %s: it is the device that is told of", async (_, target, message) => {
    const [row] = await rowsOf(target, "session");
    expect([row!.ok, row!.first]).toEqual([false, expect.stringMatching(message)]);
  });

  it("keeps the advice of what it throws", async () => {
    const small: DeviceTarget = {
      ...float32,
      async open(options) {
        const device = await float32.open(options);
        return { ...device, load: () => Promise.reject(new DeviceError("needs 4 GiB", "free some memory")) };
      },
    };
    expect((await rowsOf(small, "session"))[0]!.first).toBe("needs 4 GiB (free some memory)");
  });
});

describe("what is tested", () => {
  it("are functions where they are large, small or no number", async () => {
    const bent = edited((text) => text.replaceAll("f(Math.tanh(", "f(((x) => (Math.abs(x) > 4 ? 7 : Math.tanh(x)))("));
    expect((await rowsOf(bent, "ops"))[0]!.first).toMatch(/^kernel [\w+]+ of ops: word \d+ of \w+ is 7, and /);
    const lost = edited((text) => text.replaceAll("Math.max(", "((a, b) => (a > b ? a : b))("));
    expect((await rowsOf(lost, "ops"))[0]!.ok).toBe(false);
  });
});

describe("a module that is no device", () => {
  const opened = (device: object): DeviceTarget => ({ ...float32, open: () => Promise.resolve(device as never) });
  it.each<[string, DeviceTarget, RegExp]>([
    ["opens nothing", opened({}), /the device that float32 opens has no `name` that is a string/],
    [
      "cannot be opened",
      { ...float32, open: () => Promise.reject(new Error("no card")) },
      /float32 cannot be opened: no/,
    ],
    ["has another name", { ...float32, name: "float64" }, /the device that float64 opens is called float32/],
  ])("%s", (_, target, message) => expect(openTarget(target, {})).rejects.toThrow(message));

  it("has a session without what a session has", async () => {
    const device = await openTarget(
      {
        ...float32,
        open: async (options) => ({ ...(await float32.open(options)), load: async () => ({}) as Session }),
      },
      {},
    );
    await expect(device.load({} as never)).rejects.toThrow("a session of float32 has no `run` that is a function");
  });
});

describe("differences", () => {
  const words = (...values: number[]): Float32Array => Float32Array.from(values);
  it("are shares of the largest number of a buffer, each with its own", () => {
    const before = words(0, 0, 0, 0);
    const expected = words(100, 1, 1e-3, 1e-3);
    const images = { before, expected, rounded: expected, found: words(100, 1.5, 1e-3, 1.5e-3) };
    expect(differenceAfter(images, [0], 1e-5)).toMatchObject({ share: 0.005, at: 1 });
    expect(differenceAfter(images, [0, 2], 1e-5)).toMatchObject({ share: expect.closeTo(0.5, 6) as number, at: 3 });
  });

  it("are as large as rounding alone makes them", () => {
    const images = { before: words(0), expected: words(1e-8), rounded: words(2e-8), found: words(9e-8) };
    expect(differenceAfter(images, [0], 1e-5).share).toBeLessThan(1e-5);
    expect(differenceAfter({ ...images, rounded: images.expected }, [0], 1e-5).share).toBeCloseTo(8);
  });

  it("of words that are no floats, and of what is not finite, are whole", () => {
    expect(differenceOf(Uint32Array.of(1, 2), Uint32Array.of(1, 3)).share).toBe(Number.POSITIVE_INFINITY);
    expect(differenceOf(words(Number.NaN), words(Number.NaN)).share).toBe(0);
    expect(differenceOf(words(Number.NaN), words(1)).share).toBe(Number.POSITIVE_INFINITY);
    expect(differenceOf(words(1), words(1 + 1e-6), 0).share).toBe(Number.POSITIVE_INFINITY);
    expect(differenceOf(words(1), words(1, 2)).share).toBe(Number.POSITIVE_INFINITY);
  });
});
