/**
 * WebGPU. Everything is made at load: a buffer a pool, a pipeline a kernel, a bind group for each set of pools, one uniform buffer
 * with the offsets of every dispatch at aligned places. A run is one command buffer and one submit; nothing is read back
 * but what is asked for. WebGPU tracks usage by whole buffer, so a kernel sees each pool once, writable if any of its buffers is.
 */
import { DeviceError } from "../errors.js";
import { bytesOf, sizeOf, type Device, type Session, type Words } from "../device.js";
import { COPIES, copiesOf, GROUPS_IN_X, OFFSETS_BINDING, poolBindings, wordBytes, type DevicePlan, type KernelInfo, type PoolName, type TensorRef } from "../plan.js";
import { isNode } from "../wasm/pool.js";
import { checkSubgroups } from "./subgroups.js";
import { findAdapter, isSoftware, nameOf } from "./adapter.js";

const POOLS = Object.keys(poolBindings) as readonly PoolName[];
/** The alignment of dynamic offsets that every adapter grants. */
const ALIGNMENT = 256;
/** What is used where the adapter has it. */
const FEATURES: readonly GPUFeatureName[] = ["timestamp-query", "shader-f16", "subgroups"];
/** Most timestamps in a query set. */
const MOST_QUERIES = 4096;
/** The share of the time that a run is known to take during which nobody asks whether it has ended. */
const PATIENCE = 0.8;

export async function webgpuDevice(): Promise<Device> {
  return deviceOn(await findAdapter());
}

/** The device of a hardware adapter, or null when there is none. */
export async function hardwareDevice(): Promise<Device | null> {
  try {
    const adapter = await findAdapter();
    return isSoftware(adapter) ? null : await deviceOn(adapter);
  } catch (error) {
    if (error instanceof DeviceError) return null;
    throw error;
  }
}

async function deviceOn(adapter: GPUAdapter): Promise<Device> {
  const { maxBufferSize, maxStorageBufferBindingSize } = adapter.limits;
  const requiredFeatures = FEATURES.filter((feature) => adapter.features.has(feature));
  const gpu = await adapter.requestDevice({ requiredFeatures, requiredLimits: { maxBufferSize, maxStorageBufferBindingSize } }).catch((error: unknown) => {
    throw new DeviceError(`the adapter ${nameOf(adapter)} gives no device: ${error instanceof Error ? error.message : String(error)}`, "use the device wasm");
  });
  const failure: { error: DeviceError | null } = { error: null };
  gpu.addEventListener("uncapturederror", (event) => {
    failure.error ??= new DeviceError(`WebGPU: ${(event as GPUUncapturedErrorEvent).error.message}`);
  });
  void gpu.lost.then(({ message, reason }) => {
    if (reason !== "destroyed") failure.error ??= new DeviceError(`the GPU was lost: ${message}`, "run again; use the device wasm if it stays so");
  });
  const least = gpu.features.has("subgroups") ? adapter.info.subgroupMinSize : 0;
  return {
    name: "webgpu", adapter: nameOf(adapter), threads: 1, software: isSoftware(adapter), subgroup: least,
    load: (plan) => load(gpu, plan, failure, least, isNode() && isSoftware(adapter) ? patient() : (_, end) => end()),
    close() {
      gpu.destroy();
      return Promise.resolve();
    },
  };
}

/** Waits for the end of a run, by the name of what is run. */
type Wait = <T>(run: string, end: () => Promise<T>) => Promise<T>;

/**
 * Dawn in Node asks for the end of a run in a busy loop, on a core that a software adapter computes with. Nobody asks before most
 * of the time is over that the same run took before: with two cores that makes a step about a third shorter. The first run counts
 * for nothing, since it compiles; whoever finds a run ended on waking has slept too long and sleeps half of it next time.
 */
function patient(): Wait {
  const rests = new Map<string, number>();
  return async (run, end) => {
    const begun = performance.now();
    const rest = rests.get(run) ?? 0;
    if (rest >= 1) await new Promise((resolve) => setTimeout(resolve, rest));
    const woken = performance.now();
    const result = await end();
    const now = performance.now();
    const overslept = rest >= 1 && now - woken < 1;
    rests.set(run, !rests.has(run) ? 0 : overslept ? rest / 2 : PATIENCE * (now - begun));
    return result;
  };
}

/** A dispatch, and where its arguments lie in the uniform, in bytes. */
interface Run {
  readonly kernel: number;
  readonly copies: number;
  readonly offsets: readonly number[];
  readonly at: readonly [number];
}

/** How a kernel uses each pool: its bind group layout is decided by this alone. */
const usageOf = (kernel: KernelInfo): string =>
  POOLS.map((pool) => {
    const own = kernel.buffers.filter((buffer) => buffer.pool === pool);
    return own.length === 0 ? "-" : own.every(({ access }) => access === "read") ? "r" : "w";
  }).join("");

/** A kernel as it is dispatched: its pipeline, what it is bound to, its workgroups. */
interface Made {
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly x: number;
  readonly y: number;
}

/** A dispatch whose pipeline is there. */
type Ready = Run & Made;

async function load(gpu: GPUDevice, plan: DevicePlan, failure: { error: DeviceError | null }, subgroup: number, wait: Wait): Promise<Session> {
  const { code } = plan;
  if (code.kind !== "wgsl") throw new DeviceError("this plan has no WGSL kernels", "compile it with `--target wgsl`");
  const check = (): void => {
    if (failure.error) throw failure.error;
  };
  if (plan.pools.half > 0 && !gpu.features.has("shader-f16")) {
    throw new DeviceError("the plan is in half precision (`precision = f16`), and this adapter has no `shader-f16`", "compile it with `--set train.precision=f32`, or use another adapter (`mhc devices` shows what each has)");
  }
  const cluster = Math.max(0, ...plan.kernels.map((kernel) => kernel.cluster));
  if (cluster > 0) await checkSubgroups(gpu, cluster, subgroup);
  const most = Math.min(gpu.limits.maxBufferSize, gpu.limits.maxStorageBufferBindingSize);
  const pools = Object.fromEntries(POOLS.map((pool) => {
    const size = Math.max(16, wordBytes[pool] * plan.pools[pool]);
    if (size > most) throw new DeviceError(`the pool \`${pool}\` takes ${(size / 2 ** 20).toFixed(0)} MiB, and this adapter binds at most ${(most / 2 ** 20).toFixed(0)} MiB`, "make the batch or the model smaller, or use the device wasm");
    return [pool, gpu.createBuffer({ size, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC })];
  })) as Record<PoolName, GPUBuffer>;
  for (const { at, data } of plan.constants) gpu.queue.writeBuffer(pools[at.pool], 4 * at.offset, at.dtype === "u32" ? Uint32Array.from(data) : Float32Array.from(data));

  const vec4s = plan.kernels.map(({ buffers }) => Math.ceil(buffers.length / 4));
  // Every dispatch binds as much as the WGSL of the kernel with most buffers declares; only its own copies are there.
  const argsBytes = 16 * COPIES * Math.max(1, ...vec4s);
  let end = 0;
  const runs = Object.fromEntries(Object.entries(plan.entries).map(([name, { dispatches }]) => [name, dispatches.map((item): Run => {
    const { kernel, offsets } = item;
    const at = end;
    const copies = copiesOf(item, plan.kernels[kernel]!);
    end += Math.ceil((16 * copies * vec4s[kernel]!) / ALIGNMENT) * ALIGNMENT;
    return { kernel, copies, offsets, at: [at] };
  })]));
  const args = new Uint32Array((end + argsBytes) / 4);
  for (const { kernel, copies, offsets, at } of Object.values(runs).flat()) {
    const own = offsets.length / copies;
    for (let copy = 0; copy < copies; copy++) args.set(offsets.slice(copy * own, (copy + 1) * own), at[0] / 4 + 4 * copy * vec4s[kernel]!);
  }
  const uniform = gpu.createBuffer({ size: args.byteLength, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST });
  gpu.queue.writeBuffer(uniform, 0, args);

  const layouts = new Map<string, { readonly layout: GPUBindGroupLayout; readonly group: GPUBindGroup }>();
  const bindings = (usage: string): { readonly layout: GPUBindGroupLayout; readonly group: GPUBindGroup } => {
    let found = layouts.get(usage);
    if (!found) {
      const used = POOLS.flatMap((pool, i) => (usage[i] === "-" ? [] : [{ pool, binding: poolBindings[pool], type: usage[i] === "r" ? "read-only-storage" as const : "storage" as const }]));
      const layout = gpu.createBindGroupLayout({
        entries: [
          ...used.map(({ binding, type }) => ({ binding, visibility: GPUShaderStage.COMPUTE, buffer: { type } })),
          { binding: OFFSETS_BINDING, visibility: GPUShaderStage.COMPUTE, buffer: { type: "uniform" as const, hasDynamicOffset: true, minBindingSize: argsBytes } },
        ],
      });
      const group = gpu.createBindGroup({
        layout,
        entries: [...used.map(({ pool, binding }) => ({ binding, resource: { buffer: pools[pool] } })), { binding: OFFSETS_BINDING, resource: { buffer: uniform, size: argsBytes } }],
      });
      found = { layout, group };
      layouts.set(usage, found);
    }
    return found;
  };
  // All are begun here, those of a training step first; what only other entries need is waited for when they run.
  const kernels = plan.kernels.map(async (kernel, i): Promise<Made> => {
    const { layout, group } = bindings(usageOf(kernel));
    const module = gpu.createShaderModule({ label: kernel.name, code: code.modules[i]! });
    const pipeline = await gpu.createComputePipelineAsync({ label: kernel.name, layout: gpu.createPipelineLayout({ bindGroupLayouts: [layout] }), compute: { module, entryPoint: "main" } })
      .catch((error: unknown) => {
        throw new DeviceError(`the kernel ${kernel.name} was refused: ${error instanceof Error ? error.message : String(error)}`, "this is a bug of mhc: please report it with the spec and the adapter");
      });
    return { pipeline, group, x: Math.min(kernel.groups, GROUPS_IN_X), y: Math.ceil(kernel.groups / GROUPS_IN_X) };
  });
  for (const kernel of kernels) kernel.catch(() => undefined);
  const ready = new Map<string, readonly Ready[]>();
  const readyOf = async (name: string): Promise<readonly Ready[]> => {
    const found = ready.get(name) ?? await Promise.all(runs[name]!.map(async (run) => ({ ...run, ...(await kernels[run.kernel]!) })));
    ready.set(name, found);
    return found;
  };
  for (const name of plan.entries["train"] ? ["train"] : Object.keys(plan.entries)) await readyOf(name);
  check();
  const largest = Math.max(16, ...Object.values(plan.entries).flatMap(({ outputs }) => Object.values(outputs).map((ref) => 4 * sizeOf(ref))));
  let staging = gpu.createBuffer({ size: largest, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
  /** Reads share the staging buffer, one after another. */
  let reading: Promise<unknown> = Promise.resolve();
  let closed = false;
  let submits = 0;
  const mustBe = (name: string): void => {
    if (closed) throw new DeviceError("the session is closed");
    check();
    if (!plan.entries[name]) throw new DeviceError(`the plan has no entry ${name}`);
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
  const fetch = async (run: string, encoder: GPUCommandEncoder, refs: readonly TensorRef[]): Promise<readonly Words[]> => {
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
      const words = ref.pool === "ints" ? new Uint32Array(copy, at, sizes[i]! / 4) : new Float32Array(copy, at, sizes[i]! / 4);
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
          const pass = encoder.beginComputePass({ timestampWrites: { querySet: clock.set, beginningOfPassWriteIndex: 2 * i, endOfPassWriteIndex: 2 * i + 1 } });
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
    read: (ref) => queued(async () => {
      if (closed) throw new DeviceError("the session is closed");
      check();
      return (await fetch("read", gpu.createCommandEncoder(), [ref]))[0]!;
    }),
    close() {
      closed = true;
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
