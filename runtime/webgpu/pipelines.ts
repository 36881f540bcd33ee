/**
 * The pipelines of a plan, made when an entry first needs them. Most drivers have compiled a kernel when its pipeline
 * is there. Mesa's llvmpipe compiles it when it is first run, 70 to 400 ms each and one after another on the thread of
 * the device's queue, while the other cores have nothing to do. There each kernel is rehearsed: one workgroup of it
 * runs on scratch memory, and a helper (`helper.ts`), a second device whose queue is another thread, takes kernels from
 * the same list. What either compiles the other finds in the driver's shader cache, within 2 ms.
 */
import { DeviceError, messageOf } from "../errors.js";
import { mustAt } from "../lookup.js";
import type { DevicePlan, PoolName } from "../plan.js";
import { argsBytesOf, bindingsOf, POOLS, usageOf, type PoolBindings } from "./bindings.js";
import type { OpenHelper } from "./helper.js";
import { drowsily } from "./wait.js";
import { recordOf } from "../records.js";

/** The pipelines of a plan. */
export interface Pipelines {
  /**
   * The pipelines of these kernels, in this order; an error names the kernel that was refused. Where kernels are
   * rehearsed, the driver has compiled them.
   */
  of(kernels: readonly number[]): Promise<readonly GPUComputePipeline[]>;
  close(): void;
}

/** Kernels that a device has on its way at once, so that its queue has the next when it has compiled one. */
const LANES = 2;
/** Bytes of a pool in a rehearsal: whatever lies beyond is clamped to it. */
const SCRATCH = 256;
/**
 * Milliseconds after which a kernel that is rehearsed is known to be compiled rather than found in the cache: 1 to 5
 * are usual there, and 30 the least for compiling.
 */
const FOUND = 20;

/** Pipelines as they are asked for, all at once: the driver orders its own work. */
export function pipelinesOn(
  gpu: GPUDevice,
  plan: DevicePlan,
  modules: readonly string[],
  layout: PoolBindings["layout"],
): Pipelines {
  const make = makerOn(gpu, plan, modules, layout);
  return { of: (kernels) => Promise.all(kernels.map(make)), close: () => undefined };
}

/** Pipelines that are rehearsed, the longest kernel first, with the helper if the cache turns out to have them not. */
export function rehearsedOn(
  gpu: GPUDevice,
  plan: DevicePlan,
  modules: readonly string[],
  openHelper: OpenHelper,
): Pipelines {
  const rehearsal = rehearsalOn(gpu, plan, modules);
  const begun = new Set<number>();
  const prepare = async (kernels: readonly number[]): Promise<readonly GPUComputePipeline[]> => {
    // The length of its text tells well enough how long a kernel takes: the longest last would leave the other device
    // idle.
    const queue = [...new Set(kernels)]
      .filter((kernel) => !begun.has(kernel))
      .sort((a, b) => mustAt(modules, b).length - mustAt(modules, a).length);
    for (const kernel of queue) {
      begun.add(kernel);
      // All front ends are begun now, since each is needed here, whoever compiles the kernel. Who rehearses it says
      // what is wrong with it.
      rehearsal.make(kernel).catch(() => undefined);
    }
    let help: Promise<void> | null = null;
    const late = (): void => {
      if (queue.length) help ??= helped(queue, plan, modules, openHelper);
    };
    try {
      await work(queue, async (kernel) => rehearsal.rehearse(await rehearsal.make(kernel), kernel, late));
    } finally {
      queue.length = 0;
    }
    await help;
    return Promise.all(kernels.map(rehearsal.make));
  };
  return { of: (kernels) => drowsily(prepare(kernels)), close: rehearsal.close };
}

/**
 * Lets a second device take kernels from the queue. Whatever goes wrong with it costs time alone: every pipeline is
 * made on the first device too.
 */
async function helped(
  queue: number[],
  plan: DevicePlan,
  modules: readonly string[],
  openHelper: OpenHelper,
): Promise<void> {
  const helper = await openHelper();
  if (!helper) return;
  try {
    const rehearsal = rehearsalOn(helper, plan, modules);
    await work(queue, async (kernel) => rehearsal.rehearse(await rehearsal.make(kernel), kernel));
  } catch {
    // The first device says what is wrong with a kernel, in the words of its user.
  } finally {
    helper.destroy();
  }
}

/** Takes from the queue until it is empty, or until one fails. */
async function work(queue: number[], prepare: (kernel: number) => Promise<void>): Promise<void> {
  const state = { failed: false };
  const lane = async (): Promise<void> => {
    for (let kernel = queue.shift(); kernel !== undefined; kernel = state.failed ? undefined : queue.shift()) {
      await prepare(kernel).catch((error: unknown) => {
        state.failed = true;
        throw error;
      });
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
}

/** Makes a pipeline a kernel, each once. */
function makerOn(
  gpu: GPUDevice,
  plan: DevicePlan,
  modules: readonly string[],
  layout: PoolBindings["layout"],
): (kernel: number) => Promise<GPUComputePipeline> {
  const pipelines = new Map<number, Promise<GPUComputePipeline>>();
  const make = (index: number): Promise<GPUComputePipeline> => {
    const kernel = mustAt(plan.kernels, index);
    const { name } = kernel;
    const module = gpu.createShaderModule({ label: name, code: mustAt(modules, index) });
    return gpu
      .createComputePipelineAsync({
        label: name,
        layout: gpu.createPipelineLayout({ bindGroupLayouts: [layout(usageOf(kernel))] }),
        compute: { module, entryPoint: "main" },
      })
      .catch((error: unknown) => {
        throw new DeviceError(
          `the kernel ${name} was refused: ${messageOf(error)}`,
          "this is a bug of mhc: please report it with the spec and the adapter",
        );
      });
  };
  return (index) => {
    const pipeline = pipelines.get(index) ?? make(index);
    pipelines.set(index, pipeline);
    return pipeline;
  };
}

/** Where a device makes pipelines and rehearses them. */
interface Rehearsal {
  readonly make: (kernel: number) => Promise<GPUComputePipeline>;
  /** Runs one workgroup on scratch memory, and says when it takes long. */
  readonly rehearse: (pipeline: GPUComputePipeline, kernel: number, late?: () => void) => Promise<void>;
  readonly close: () => void;
}

function rehearsalOn(gpu: GPUDevice, plan: DevicePlan, modules: readonly string[]): Rehearsal {
  const scratch = recordOf(
    POOLS.map((pool) => [pool, gpu.createBuffer({ size: SCRATCH, usage: GPUBufferUsage.STORAGE })]),
  ) as Record<PoolName, GPUBuffer>;
  const argsBytes = argsBytesOf(plan);
  const uniform = gpu.createBuffer({ size: argsBytes, usage: GPUBufferUsage.UNIFORM });
  const { layout, group } = bindingsOf(gpu, scratch, uniform, argsBytes);
  return {
    make: makerOn(gpu, plan, modules, layout),
    async rehearse(pipeline, kernel, late) {
      const encoder = gpu.createCommandEncoder();
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group(usageOf(mustAt(plan.kernels, kernel))), [0]);
      pass.dispatchWorkgroups(1);
      pass.end();
      gpu.queue.submit([encoder.finish()]);
      const timer = late && setTimeout(late, FOUND);
      await gpu.queue.onSubmittedWorkDone();
      clearTimeout(timer);
    },
    close() {
      for (const buffer of [...Object.values(scratch), uniform]) buffer.destroy();
    },
  };
}
