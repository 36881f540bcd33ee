/**
 * WebGPU. Everything that training needs is made at load: a buffer a pool, a pipeline a kernel, a bind group for each
 * set of pools, one uniform buffer with the offsets of every dispatch at aligned places. A run is one command buffer
 * and one submit; nothing is read back but what is asked for.
 */
import { DeviceError } from "../errors.js";
import { bytesOf, sizeOf, type Device, type Session, type Words } from "../device.js";
import { copiesOf, GROUPS_IN_X, wordBytes, type DevicePlan, type PoolName, type TensorRef } from "../plan.js";
import type { Host } from "../host.js";
import { findAdapter, isSoftware, nameOf } from "./adapter.js";
import { argsBytesOf, bindingsOf, POOLS, usageOf } from "./bindings.js";
import { helperFor, type OpenHelper } from "./helper.js";
import { pipelinesOn, rehearsedOn } from "./pipelines.js";
import { checkSubgroups } from "./subgroups.js";
import { eager, patient, type Wait } from "./wait.js";
import { recordOf, valueAt } from "../records.js";

/** The alignment of dynamic offsets that every adapter grants. */
const ALIGNMENT = 256;
/** What is used where the adapter has it. */
const FEATURES: readonly GPUFeatureName[] = ["timestamp-query", "shader-f16", "subgroups"];
/** Most timestamps in a query set. */
const MOST_QUERIES = 4096;
/** Entries that every training runs: `start` once, `train` at each step. */
const FIRST: readonly string[] = ["start", "train"];

export async function webgpuDevice(host: Host): Promise<Device> {
  return deviceOn(host, await findAdapter(host));
}

/**
 * The device of a hardware adapter, or null when there is none. Throws DeviceError when there is one that gives no
 * device.
 */
export async function hardwareDevice(host: Host): Promise<Device | null> {
  if (!host.mayHaveGpu()) return null;
  const adapter = await findAdapter(host).catch((error: unknown) => {
    if (error instanceof DeviceError) return null;
    throw error;
  });
  return adapter && !isSoftware(adapter) ? deviceOn(host, adapter) : null;
}

async function deviceOn(host: Host, adapter: GPUAdapter): Promise<Device> {
  const { maxBufferSize, maxStorageBufferBindingSize } = adapter.limits;
  const requiredFeatures = FEATURES.filter((feature) => adapter.features.has(feature));
  const gpu = await adapter
    .requestDevice({ requiredFeatures, requiredLimits: { maxBufferSize, maxStorageBufferBindingSize } })
    .catch((error: unknown) => {
      throw new DeviceError(
        `the adapter ${nameOf(adapter)} gives no device: ${error instanceof Error ? error.message : String(error)}`,
        "use the device wasm",
      );
    });
  const failure: { error: DeviceError | null } = { error: null };
  gpu.addEventListener("uncapturederror", (event) => {
    failure.error ??= new DeviceError(`WebGPU: ${(event as GPUUncapturedErrorEvent).error.message}`);
  });
  void gpu.lost.then(({ message, reason }) => {
    if (reason !== "destroyed")
      failure.error ??= new DeviceError(
        `the GPU was lost: ${message}`,
        "run again; use the device wasm if it stays so",
      );
  });
  const software = isSoftware(adapter);
  const manners: Manners = {
    wait: host.maySleep && software ? patient() : eager,
    lazy: software,
    openHelper: helperFor(host, adapter, requiredFeatures),
  };
  const least = gpu.features.has("subgroups") ? adapter.info.subgroupMinSize : 0;
  return {
    name: "webgpu",
    adapter: nameOf(adapter),
    threads: 1,
    software,
    subgroup: least,
    notes: [],
    load: (plan) => load(gpu, plan, failure, least, manners),
    close() {
      gpu.destroy();
      return Promise.resolve();
    },
  };
}

/** How an adapter wants to be waited for and compiled for. */
interface Manners {
  readonly wait: Wait;
  /**
   * Whether entries other than `FIRST` are left alone until they are asked for: what is compiled meanwhile takes cores
   * from the first step.
   */
  readonly lazy: boolean;
  readonly openHelper: OpenHelper | null;
}

/** A dispatch, and where its arguments lie in the uniform, in bytes. */
interface Run {
  readonly kernel: number;
  readonly copies: number;
  readonly offsets: readonly number[];
  readonly at: readonly [number];
}

/** A kernel as it is dispatched: its pipeline, what it is bound to, its workgroups. */
interface Made {
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly x: number;
  readonly y: number;
}

/** A dispatch whose pipeline is there. */
type Ready = Run & Made;

async function load(
  gpu: GPUDevice,
  plan: DevicePlan,
  failure: { error: DeviceError | null },
  subgroup: number,
  { wait, lazy, openHelper }: Manners,
): Promise<Session> {
  const { code } = plan;
  if (code.kind !== "wgsl") throw new DeviceError("this plan has no WGSL kernels", "compile it with `--target wgsl`");
  const check = (): void => {
    if (failure.error) throw failure.error;
  };
  if (plan.pools.half > 0 && !gpu.features.has("shader-f16")) {
    throw new DeviceError(
      "the plan is in half precision (`precision = f16`), and this adapter has no `shader-f16`",
      "compile it with `--set train.precision=f32`, or use another adapter (`mhc devices` shows what each has)",
    );
  }
  const cluster = Math.max(0, ...plan.kernels.map((kernel) => kernel.cluster));
  if (cluster > 0) await checkSubgroups(gpu, cluster, subgroup);
  const most = Math.min(gpu.limits.maxBufferSize, gpu.limits.maxStorageBufferBindingSize);
  const pools = recordOf(
    POOLS.map((pool) => {
      const size = Math.max(16, wordBytes[pool] * plan.pools[pool]);
      if (size > most)
        throw new DeviceError(
          `the pool \`${pool}\` takes ${(size / 2 ** 20).toFixed(0)} MiB, and this adapter binds at most ` +
            `${(most / 2 ** 20).toFixed(0)} MiB`,
          "make the batch or the model smaller, or use the device wasm",
        );
      return [
        pool,
        gpu.createBuffer({ size, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC }),
      ];
    }),
  ) as Record<PoolName, GPUBuffer>;
  for (const { at, data } of plan.constants)
    gpu.queue.writeBuffer(
      pools[at.pool],
      4 * at.offset,
      at.dtype === "u32" ? Uint32Array.from(data) : Float32Array.from(data),
    );

  const vec4s = plan.kernels.map(({ buffers }) => Math.ceil(buffers.length / 4));
  const argsBytes = argsBytesOf(plan);
  let end = 0;
  const runs = recordOf(
    Object.entries(plan.entries).map(([name, { dispatches }]) => [
      name,
      dispatches.map((item): Run => {
        const { kernel, offsets } = item;
        const at = end;
        const copies = copiesOf(item, plan.kernels[kernel]!);
        end += Math.ceil((16 * copies * vec4s[kernel]!) / ALIGNMENT) * ALIGNMENT;
        return { kernel, copies, offsets, at: [at] };
      }),
    ]),
  );
  const args = new Uint32Array((end + argsBytes) / 4);
  for (const { kernel, copies, offsets, at } of Object.values(runs).flat()) {
    const own = offsets.length / copies;
    for (let copy = 0; copy < copies; copy++)
      args.set(offsets.slice(copy * own, (copy + 1) * own), at[0] / 4 + 4 * copy * vec4s[kernel]!);
  }
  const uniform = gpu.createBuffer({ size: args.byteLength, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST });
  gpu.queue.writeBuffer(uniform, 0, args);

  const { layout, group } = bindingsOf(gpu, pools, uniform, argsBytes);
  const groups = plan.kernels.map((kernel) => group(usageOf(kernel)));
  const pipelines = openHelper
    ? rehearsedOn(gpu, plan, code.modules, openHelper)
    : pipelinesOn(gpu, plan, code.modules, layout);
  const ready = new Map<string, readonly Ready[]>();
  const readyOf = async (name: string): Promise<readonly Ready[]> => {
    const found = ready.get(name);
    if (found) return found;
    const made = await pipelines.of(valueAt(runs, name)!.map(({ kernel }) => kernel));
    const own = valueAt(runs, name)!.map((run, i): Ready => {
      const count = plan.kernels[run.kernel]!.groups;
      return {
        ...run,
        pipeline: made[i]!,
        group: groups[run.kernel]!,
        x: Math.min(count, GROUPS_IN_X),
        y: Math.ceil(count / GROUPS_IN_X),
      };
    });
    ready.set(name, own);
    return own;
  };
  const names = Object.keys(plan.entries);
  const first = plan.entries["train"] ? FIRST.filter((name) => valueAt(plan.entries, name)) : names;
  await pipelines.of(first.flatMap((name) => valueAt(runs, name)!.map(({ kernel }) => kernel)));
  for (const name of first) await readyOf(name);
  // What only other entries need is begun now, and waited for when they run.
  if (!lazy) for (const name of names) readyOf(name).catch(() => undefined);
  check();
  const largest = Math.max(
    16,
    ...Object.values(plan.entries).flatMap(({ outputs }) => Object.values(outputs).map((ref) => 4 * sizeOf(ref))),
  );
  let staging = gpu.createBuffer({ size: largest, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
  /** Reads share the staging buffer, one after another. */
  let reading: Promise<unknown> = Promise.resolve();
  let closed = false;
  let submits = 0;
  const mustBe = (name: string): void => {
    if (closed) throw new DeviceError("the session is closed");
    check();
    if (!valueAt(plan.entries, name)) throw new DeviceError(`the plan has no entry ${name}`);
  };
  const dispatch = (pass: GPUComputePassEncoder, { pipeline, group, x, y, copies, at }: Ready): void => {
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group, at);
    pass.dispatchWorkgroups(x, y, copies);
  };
  const submit = (encoder: GPUCommandEncoder): void => {
    submits++;
    gpu.queue.submit([encoder.finish()]);
  };
  /** Copies tensors to the staging buffer, one behind the other, submits, and reads them. */
  const fetch = async (
    run: string,
    encoder: GPUCommandEncoder,
    refs: readonly TensorRef[],
  ): Promise<readonly Words[]> => {
    const sizes = refs.map((ref) => 4 * sizeOf(ref));
    const bytes = sizes.reduce((sum, size) => sum + size, 0);
    if (bytes > staging.size) {
      staging.destroy();
      staging = gpu.createBuffer({ size: bytes, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
    }
    let at = 0;
    refs.forEach((ref, i) => {
      encoder.copyBufferToBuffer(pools[ref.pool], 4 * ref.offset, staging, at, sizes[i]!);
      at += sizes[i]!;
    });
    submit(encoder);
    await wait(run, () => staging.mapAsync(GPUMapMode.READ, 0, bytes)).catch((error: unknown) => {
      check();
      throw new DeviceError(`results cannot be read back: ${error instanceof Error ? error.message : String(error)}`);
    });
    const copy = staging.getMappedRange(0, bytes).slice(0);
    staging.unmap();
    check();
    at = 0;
    return refs.map((ref, i) => {
      const words =
        ref.pool === "ints" ? new Uint32Array(copy, at, sizes[i]! / 4) : new Float32Array(copy, at, sizes[i]! / 4);
      at += sizes[i]!;
      return words;
    });
  };
  const queued = <T>(work: () => Promise<T>): Promise<T> => {
    const next = reading.then(work);
    reading = next.catch(() => undefined);
    return next;
  };
  const longest = Math.max(1, ...Object.values(plan.entries).map(({ dispatches }) => dispatches.length));
  const clock = gpu.features.has("timestamp-query") && 2 * longest <= MOST_QUERIES ? clockOf(gpu, longest) : null;

  return {
    bytes: bytesOf(plan),
    get submits() {
      return submits;
    },
    async run(name, read = []) {
      mustBe(name);
      return queued(async () => {
        const own = await readyOf(name);
        const encoder = gpu.createCommandEncoder();
        const pass = encoder.beginComputePass();
        for (const item of own) dispatch(pass, item);
        pass.end();
        if (read.length) return fetch(name, encoder, read);
        submit(encoder);
        await wait(name, () => gpu.queue.onSubmittedWorkDone());
        check();
        return [];
      });
    },
    async profile(name) {
      mustBe(name);
      const own = await readyOf(name);
      const times: number[] = [];
      if (!clock) {
        // Without timestamps: one submission a dispatch, timed to its end on the host.
        for (const item of own) {
          const encoder = gpu.createCommandEncoder();
          const pass = encoder.beginComputePass();
          dispatch(pass, item);
          pass.end();
          const begun = performance.now();
          submit(encoder);
          await gpu.queue.onSubmittedWorkDone();
          times.push(performance.now() - begun);
        }
      } else {
        const encoder = gpu.createCommandEncoder();
        own.forEach((item, i) => {
          const pass = encoder.beginComputePass({
            timestampWrites: { querySet: clock.set, beginningOfPassWriteIndex: 2 * i, endOfPassWriteIndex: 2 * i + 1 },
          });
          dispatch(pass, item);
          pass.end();
        });
        clock.resolve(encoder, own.length);
        submit(encoder);
        times.push(...(await wait(`the clock of ${name}`, () => clock.read(own.length))));
      }
      check();
      return times;
    },
    write(ref, data, at = 0) {
      gpu.queue.writeBuffer(pools[ref.pool], 4 * (ref.offset + at), data as Words & { buffer: ArrayBuffer });
    },
    read: (ref) =>
      queued(async () => {
        if (closed) throw new DeviceError("the session is closed");
        check();
        return (await fetch("read", gpu.createCommandEncoder(), [ref]))[0]!;
      }),
    close() {
      closed = true;
      pipelines.close();
      for (const buffer of [...Object.values(pools), uniform, staging]) buffer.destroy();
      clock?.close();
      return Promise.resolve();
    },
  };
}

/** Timestamps of up to `most` dispatches. */
function clockOf(gpu: GPUDevice, most: number) {
  const set = gpu.createQuerySet({ type: "timestamp", count: 2 * most });
  const bytes = 16 * most;
  const resolved = gpu.createBuffer({ size: bytes, usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC });
  const mapped = gpu.createBuffer({ size: bytes, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
  return {
    set,
    resolve(encoder: GPUCommandEncoder, count: number): void {
      encoder.resolveQuerySet(set, 0, 2 * count, resolved, 0);
      encoder.copyBufferToBuffer(resolved, 0, mapped, 0, 16 * count);
    },
    /** Milliseconds of each. */
    async read(count: number): Promise<number[]> {
      await mapped.mapAsync(GPUMapMode.READ, 0, 16 * count);
      const stamps = new BigUint64Array(mapped.getMappedRange(0, 16 * count).slice(0));
      mapped.unmap();
      return Array.from({ length: count }, (_, i) => Number(stamps[2 * i + 1]! - stamps[2 * i]!) / 1e6);
    },
    close(): void {
      set.destroy();
      resolved.destroy();
      mapped.destroy();
    },
  };
}
