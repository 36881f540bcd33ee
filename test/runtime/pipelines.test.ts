/**
 * How pipelines come about where a driver compiles a kernel when it is first run: on devices of the test's own, whose
 * rehearsals take as long as it says, and on SwiftShader, where the same calls must be valid. What is gained on
 * llvmpipe is measured in docs/performance.md.
 */
import { beforeAll, describe, expect, it } from "vitest";
import { DeviceError } from "../../runtime/errors.js";
import type { DevicePlan } from "../../runtime/plan.js";
import { nodeHost } from "../../runtime/node/host.js";
import { findAdapter } from "../../runtime/webgpu/adapter.js";
import { compilesLate, helperFor, type OpenHelper } from "../../runtime/webgpu/helper.js";
import { pipelinesOn, rehearsedOn } from "../../runtime/webgpu/pipelines.js";
import { drowsily, patient } from "../../runtime/webgpu/wait.js";
import { handMade } from "./plans.js";

let plan: DevicePlan;
let modules: readonly string[];
beforeAll(async () => {
  await findAdapter(nodeHost);
  plan = await handMade("webgpu");
  if (plan.code.kind !== "wgsl") throw new Error(plan.code.kind);
  modules = plan.code.modules;
});

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const all = (): number[] => plan.kernels.map((_, i) => i);

/** A device that writes down what is asked of it. Its queue works off one submission after another, `ms` each. */
function fakeDevice(ms: number, refused: string | null = null) {
  const made: string[] = [];
  const rehearsed: string[] = [];
  const state = { buffers: 0, destroyed: false };
  let end = Promise.resolve();
  let bound = "";
  const pass = {
    setPipeline: ({ label }: { label: string }) => void (bound = label),
    setBindGroup: () => undefined,
    dispatchWorkgroups: () => undefined,
    end: () => undefined,
  };
  const device = {
    createBuffer: () => {
      state.buffers++;
      return { destroy: () => state.buffers-- };
    },
    createBindGroupLayout: () => ({}),
    createBindGroup: () => ({}),
    createPipelineLayout: () => ({}),
    createShaderModule: () => ({}),
    createComputePipelineAsync: ({ label }: { label: string }) => {
      made.push(label);
      return label === refused ? Promise.reject(new Error("no such thing")) : Promise.resolve({ label });
    },
    createCommandEncoder: () => ({ beginComputePass: () => pass, finish: () => bound }),
    queue: {
      submit: ([name]: string[]) => {
        rehearsed.push(name!);
        end = end.then(() => sleep(ms));
      },
      onSubmittedWorkDone: () => end,
    },
    destroy: () => void (state.destroyed = true),
  };
  return { gpu: device as unknown as GPUDevice, made, rehearsed, state };
}

const names = (kernels: readonly number[]): string[] => kernels.map((i) => plan.kernels[i]!.name);
const noHelper: OpenHelper = () => Promise.reject(new Error("nobody is to ask for a helper"));
const SLOW = 60;

describe("kernels that are compiled when they are first run", () => {
  it("are shared with a helper, rehearsed once, the longest first; every pipeline is the first device's", async () => {
    const own = fakeDevice(SLOW);
    const helper = fakeDevice(SLOW);
    const pipelines = rehearsedOn(own.gpu, plan, modules, () => Promise.resolve(helper.gpu));
    const found = await pipelines.of([...all(), ...all()]);
    expect(found.map(({ label }) => label)).toEqual(names([...all(), ...all()]));
    expect([...own.rehearsed, ...helper.rehearsed].sort()).toEqual(names(all()).sort());
    expect(helper.rehearsed.length).toBeGreaterThan(0);
    expect(helper.made).toEqual(helper.rehearsed);
    expect([...own.made].sort()).toEqual(names(all()).sort());
    const longest = all().sort((a, b) => modules[b]!.length - modules[a]!.length);
    expect(own.rehearsed.slice(0, 2)).toEqual(names(longest.slice(0, 2)));
    expect(helper.state.destroyed).toBe(true);
    expect(own.state.destroyed).toBe(false);
    pipelines.close();
    expect(own.state.buffers).toBe(0);
  });

  it("need no helper where the cache has them, and are rehearsed once for all entries", async () => {
    const own = fakeDevice(0);
    const pipelines = rehearsedOn(own.gpu, plan, modules, noHelper);
    await pipelines.of([0, 1, 0]);
    await pipelines.of([1, 2]);
    expect([...own.rehearsed].sort()).toEqual(names([0, 1, 2]).sort());
  });

  it.each([
    ["there is no helper", () => Promise.resolve(null)],
    [
      "the helper refuses a kernel",
      () =>
        Promise.resolve(
          fakeDevice(SLOW, plan.kernels[all().sort((a, b) => modules[b]!.length - modules[a]!.length)[2]!]!.name).gpu,
        ),
    ],
  ] satisfies [string, OpenHelper][])("are all there when %s", async (_, open) => {
    const own = fakeDevice(SLOW);
    const found = await rehearsedOn(own.gpu, plan, modules, open).of(all());
    expect(found.map(({ label }) => label)).toEqual(names(all()));
  });

  it("are named when they are refused, and the rest is left", async () => {
    const longest = all().sort((a, b) => modules[b]!.length - modules[a]!.length);
    const own = fakeDevice(SLOW, names(longest)[0]!);
    const refused = rehearsedOn(own.gpu, plan, modules, noHelper).of(all());
    await expect(refused).rejects.toThrow(DeviceError);
    await expect(refused).rejects.toThrow(`the kernel ${names(longest)[0]!} was refused: no such thing`);
    await sleep(3 * SLOW);
    expect(own.rehearsed.length).toBeLessThanOrEqual(1);
  });
});

it("SwiftShader takes rehearsals, and a helper would be of no use to it", async () => {
  const adapter = await findAdapter(nodeHost);
  expect(await helperFor(nodeHost, adapter, [])).toBeNull();
  const errors: string[] = [];
  const listened = (gpu: GPUDevice): GPUDevice => {
    gpu.addEventListener(
      "uncapturederror",
      (event) => void errors.push((event as GPUUncapturedErrorEvent).error.message),
    );
    return gpu;
  };
  const gpu = listened(await adapter.requestDevice());
  const pipelines = rehearsedOn(gpu, plan, modules, async () =>
    listened(await (await findAdapter(nodeHost)).requestDevice()),
  );
  expect((await pipelines.of(all())).map(({ label }) => label)).toEqual(names(all()));
  expect(errors).toEqual([]);
  pipelines.close();
  gpu.destroy();
});

it("a helper is for llvmpipe", () => {
  const info = (description: string, device = ""): Pick<GPUAdapterInfo, "description" | "device"> => ({
    description,
    device,
  });
  expect(
    compilesLate(info("llvmpipe: Mesa 25.0.7-2~bpo12+1 (LLVM 15.0.6) 0.0.1", "llvmpipe-llvm-15-0-6-256-bits-")),
  ).toBe(true);
  expect(compilesLate(info("SwiftShader: SwiftShader driver-5.0.0", "swiftshader-device-llvm-10-0-0-"))).toBe(false);
});

it("pipelines of other drivers are made at once, each once", async () => {
  const own = fakeDevice(0);
  const found = await pipelinesOn(own.gpu, plan, modules, () => ({}) as GPUBindGroupLayout).of([2, 0, 2]);
  expect(found.map(({ label }) => label)).toEqual(names([2, 0, 2]));
  expect(own.made).toEqual(names([2, 0]));
  expect(own.rehearsed).toEqual([]);
});

describe("waiting drowsily", () => {
  it("gives what the work gives, an error too", async () => {
    await expect(drowsily(sleep(5).then(() => 7))).resolves.toBe(7);
    await expect(drowsily(Promise.reject(new Error("lost")))).rejects.toThrow("lost");
  });

  it("sleeps most of the time, and lets timers through", async () => {
    const bell = { rung: 0 };
    const timer = setInterval(() => bell.rung++, 10);
    const before = process.cpuUsage();
    await drowsily(sleep(400));
    const { user, system } = process.cpuUsage(before);
    clearInterval(timer);
    // A busy loop takes all 400 ms.
    expect((user + system) / 1000).toBeLessThan(200);
    expect(bell.rung).toBeGreaterThan(5);
  });

  it("sleeps through most of a run that is known", async () => {
    const wait = patient();
    const asked: number[] = [];
    for (let run = 0; run < 3; run++) {
      const begun = performance.now();
      await wait("train", () => {
        asked.push(performance.now() - begun);
        return sleep(Math.max(0, 100 - (performance.now() - begun)));
      });
    }
    expect(asked[0]).toBeLessThan(50);
    expect(asked[2]).toBeGreaterThan(60);
  });
});
