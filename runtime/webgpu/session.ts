/**
 * A plan on a WebGPU device. Everything that training needs is made at load: a buffer a pool, a pipeline a kernel, a
 * bind group for each set of pools, one uniform buffer with the offsets of every dispatch at aligned places. A run is
 * one command buffer and one submit; nothing is read back but what is asked for.
 */
import { DeviceError, messageOf } from "../errors.js";
import { guarded } from "../guarded.js";
import { bytesOf, sizeOf, type Session, type Words } from "../device.js";
import { mustAt } from "../lookup.js";
import { copiesOf, GROUPS_IN_X, wordBytes, type DevicePlan, type PoolName, type TensorRef } from "../plan.js";
import { mustValue, recordOf, valueAt } from "../records.js";
import { argsBytesOf, bindingsOf, POOLS, usageOf } from "./bindings.js";
import { clockFor, type Clock } from "./clock.js";
import type { OpenHelper } from "./helper.js";
import { pipelinesOn, rehearsedOn, type Pipelines } from "./pipelines.js";
import { checkSubgroups } from "./subgroups.js";
import type { Wait } from "./wait.js";

/** The alignment of dynamic offsets that every adapter grants. */
const ALIGNMENT = 256;
/** Entries that every training runs: `start` once, `train` at each step. */
const FIRST: readonly string[] = ["start", "train"];

/** An open device, and how its adapter wants to be waited for and compiled for. */
export interface OpenGpu {
  readonly gpu: GPUDevice;
  /** What the device has reported beside a call of its own; the next call throws it. */
  readonly failure: { error: DeviceError | null };
  /** The smallest subgroup that the adapter makes, in invocations; 0 where there are none. */
  readonly subgroup: number;
  readonly wait: Wait;
  /**
   * Whether entries other than `FIRST` are left alone until they are asked for: what is compiled meanwhile takes cores
   * from the first step.
   */
  readonly lazy: boolean;
  readonly openHelper: OpenHelper | null;
}

/** A dispatch, and where its arguments lie in the uniform, in bytes. */
interface PlacedDispatch {
  readonly kernel: number;
  readonly copies: number;
  readonly offsets: readonly number[];
  readonly at: readonly [number];
}

/** A dispatch whose pipeline is there: what its kernel is bound to, and its workgroups. */
interface ReadyDispatch extends PlacedDispatch {
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly x: number;
  readonly y: number;
}

type DispatchTables = Readonly<Record<string, readonly PlacedDispatch[]>>;

/** What a session owns. */
interface SessionState {
  readonly open: OpenGpu;
  readonly plan: DevicePlan;
  readonly pools: Readonly<Record<PoolName, GPUBuffer>>;
  /** The offsets of all dispatches. */
  readonly uniform: GPUBuffer;
  /** By entry. */
  readonly tables: DispatchTables;
  /** By kernel. */
  readonly groups: readonly GPUBindGroup[];
  readonly pipelines: Pipelines;
  /** By entry, once its pipelines are there. */
  readonly ready: Map<string, readonly ReadyDispatch[]>;
  readonly clock: Clock | null;
  /** What results are read through; as large as the largest read so far. */
  staging: GPUBuffer;
  /** Reads share the staging buffer, one after another: the last of them. */
  reading: Promise<unknown>;
  closed: boolean;
  submits: number;
}

/**
 * Loads a plan. Throws DeviceError where it has no WGSL, where the adapter lacks what its kernels need, and where a
 * pool is too large to be bound.
 */
export async function loadPlan(open: OpenGpu, plan: DevicePlan): Promise<Session> {
  const { gpu, openHelper, lazy } = open;
  const { code } = plan;
  if (code.kind !== "wgsl") throw new DeviceError("this plan has no WGSL kernels", "compile it with `--target wgsl`");
  await checkNeeds(open, plan);
  const pools = poolsOn(gpu, plan);
  const argsBytes = argsBytesOf(plan);
  const { tables, uniform } = argumentsOn(gpu, plan, argsBytes);
  const { layout, group } = bindingsOf(gpu, pools, uniform, argsBytes);
  const groups = plan.kernels.map((kernel) => group(usageOf(kernel)));
  const pipelines = openHelper
    ? rehearsedOn(gpu, plan, code.modules, openHelper)
    : pipelinesOn(gpu, plan, code.modules, layout);
  const ready = new Map<string, readonly ReadyDispatch[]>();
  const prepared = { plan, tables, groups, pipelines, ready };
  const names = Object.keys(plan.entries);
  const first = plan.entries["train"] ? FIRST.filter((name) => valueAt(plan.entries, name)) : names;
  await pipelines.of(first.flatMap((name) => mustValue(tables, name).map(({ kernel }) => kernel)));
  for (const name of first) await readyOf(prepared, name);
  // What only other entries need is begun now, and waited for when they run.
  if (!lazy) for (const name of names) readyOf(prepared, name).catch(() => undefined);
  check(open);
  const outputs = Object.values(plan.entries).flatMap((entry) => Object.values(entry.outputs));
  const longest = Math.max(1, ...Object.values(plan.entries).map(({ dispatches }) => dispatches.length));
  return sessionOf({
    ...prepared,
    open,
    pools,
    uniform,
    staging: stagingOn(gpu, Math.max(16, ...outputs.map((ref) => 4 * sizeOf(ref)))),
    clock: clockFor(gpu, longest),
    reading: Promise.resolve(),
    closed: false,
    submits: 0,
  });
}

/** Throws what the device has reported meanwhile. */
function check({ failure }: Pick<OpenGpu, "failure">): void {
  if (failure.error) throw failure.error;
}

/** Throws DeviceError where the adapter has no half precision or no such subgroups, and the plan's kernels do. */
async function checkNeeds({ gpu, subgroup }: OpenGpu, { pools, kernels }: DevicePlan): Promise<void> {
  if (pools.half > 0 && !gpu.features.has("shader-f16")) {
    throw new DeviceError(
      "the plan is in half precision (`precision = f16`), and this adapter has no `shader-f16`",
      "compile it with `--set train.precision=f32`, or use another adapter (`mhc devices` shows what each has)",
    );
  }
  const cluster = Math.max(0, ...kernels.map((kernel) => kernel.cluster));
  if (cluster > 0) await checkSubgroups(gpu, cluster, subgroup);
}

/** A buffer for each pool, with the plan's constants in it. */
function poolsOn(gpu: GPUDevice, plan: DevicePlan): Readonly<Record<PoolName, GPUBuffer>> {
  const most = Math.min(gpu.limits.maxBufferSize, gpu.limits.maxStorageBufferBindingSize);
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
  const pools = recordOf(
    POOLS.map((pool) => {
      const size = Math.max(16, wordBytes[pool] * plan.pools[pool]);
      if (size > most)
        throw new DeviceError(
          `the pool \`${pool}\` takes ${mebibytes(size)} MiB, and this adapter binds at most ${mebibytes(most)} MiB`,
          "make the batch or the model smaller, or use the device wasm",
        );
      return [pool, gpu.createBuffer({ size, usage })] as const;
    }),
  );
  for (const { at, data } of plan.constants)
    gpu.queue.writeBuffer(
      pools[at.pool],
      4 * at.offset,
      at.dtype === "u32" ? Uint32Array.from(data) : Float32Array.from(data),
    );
  return pools;
}

const mebibytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(0);

/** The offsets of all dispatches in one uniform buffer, and where each begins there. */
function argumentsOn(
  gpu: GPUDevice,
  { kernels, entries }: DevicePlan,
  argsBytes: number,
): { readonly tables: DispatchTables; readonly uniform: GPUBuffer } {
  const vec4s = kernels.map(({ buffers }) => Math.ceil(buffers.length / 4));
  let end = 0;
  const tables = recordOf(
    Object.entries(entries).map(([name, { dispatches }]) => [
      name,
      dispatches.map((dispatch): PlacedDispatch => {
        const { kernel, offsets } = dispatch;
        const at = end;
        const copies = copiesOf(dispatch, mustAt(kernels, kernel));
        end += Math.ceil((16 * copies * mustAt(vec4s, kernel)) / ALIGNMENT) * ALIGNMENT;
        return { kernel, copies, offsets, at: [at] };
      }),
    ]),
  );
  const args = new Uint32Array((end + argsBytes) / 4);
  for (const { kernel, copies, offsets, at } of Object.values(tables).flat()) {
    const buffers = offsets.length / copies;
    for (let copy = 0; copy < copies; copy++)
      args.set(offsets.slice(copy * buffers, (copy + 1) * buffers), at[0] / 4 + 4 * copy * mustAt(vec4s, kernel));
  }
  const uniform = gpu.createBuffer({ size: args.byteLength, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST });
  gpu.queue.writeBuffer(uniform, 0, args);
  return { tables, uniform };
}

const stagingOn = (gpu: GPUDevice, size: number): GPUBuffer =>
  gpu.createBuffer({ size, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });

/** The dispatches of an entry with their pipelines, which are made the first time. */
async function readyOf(
  { plan, tables, groups, pipelines, ready }: Pick<SessionState, "plan" | "tables" | "groups" | "pipelines" | "ready">,
  name: string,
): Promise<readonly ReadyDispatch[]> {
  const before = ready.get(name);
  if (before) return before;
  const table = mustValue(tables, name);
  const compiled = await pipelines.of(table.map(({ kernel }) => kernel));
  const dispatches = table.map((placed, i): ReadyDispatch => {
    const count = mustAt(plan.kernels, placed.kernel).groups;
    return {
      ...placed,
      pipeline: mustAt(compiled, i),
      group: mustAt(groups, placed.kernel),
      x: Math.min(count, GROUPS_IN_X),
      y: Math.ceil(count / GROUPS_IN_X),
    };
  });
  ready.set(name, dispatches);
  return dispatches;
}

function sessionOf(state: SessionState): Session {
  return guarded({
    bytes: bytesOf(state.plan),
    get submits() {
      return state.submits;
    },
    async run(name, read = []) {
      mustBe(state, name);
      return queued(state, () => run(state, name, read));
    },
    async profile(name) {
      mustBe(state, name);
      const dispatches = await readyOf(state, name);
      const { clock } = state;
      const times = clock ? await timedBy(clock, state, name, dispatches) : await timedOnHost(state, dispatches);
      check(state.open);
      return times;
    },
    write(ref, data, at = 0) {
      const { open, pools } = state;
      open.gpu.queue.writeBuffer(pools[ref.pool], 4 * (ref.offset + at), data as Words & { buffer: ArrayBuffer });
    },
    read: (ref) =>
      queued(state, async () => {
        if (state.closed) throw new DeviceError("the session is closed");
        check(state.open);
        return mustAt(await fetch(state, "read", state.open.gpu.createCommandEncoder(), [ref]), 0);
      }),
    close() {
      state.closed = true;
      state.pipelines.close();
      for (const buffer of [...Object.values(state.pools), state.uniform, state.staging]) buffer.destroy();
      state.clock?.close();
      return Promise.resolve();
    },
  });
}

/** Throws DeviceError when the device of a session has failed, or its plan has no such entry. */
function mustBe({ open, plan }: SessionState, name: string): void {
  check(open);
  if (!valueAt(plan.entries, name)) throw new DeviceError(`the plan has no entry ${name}`);
}

/** Does the work when the reads before it are done. */
function queued<T>(state: SessionState, work: () => Promise<T>): Promise<T> {
  const next = state.reading.then(work);
  state.reading = next.catch(() => undefined);
  return next;
}

function encode(pass: GPUComputePassEncoder, { pipeline, group, x, y, copies, at }: ReadyDispatch): void {
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, group, at);
  pass.dispatchWorkgroups(x, y, copies);
}

function submit(state: SessionState, encoder: GPUCommandEncoder): void {
  state.submits++;
  state.open.gpu.queue.submit([encoder.finish()]);
}

async function run(state: SessionState, name: string, read: readonly TensorRef[]): Promise<readonly Words[]> {
  const { gpu, wait } = state.open;
  const dispatches = await readyOf(state, name);
  const encoder = gpu.createCommandEncoder();
  const pass = encoder.beginComputePass();
  for (const dispatch of dispatches) encode(pass, dispatch);
  pass.end();
  if (read.length) return fetch(state, name, encoder, read);
  submit(state, encoder);
  await wait(name, () => gpu.queue.onSubmittedWorkDone());
  check(state.open);
  return [];
}

/** Copies tensors to the staging buffer, one behind the other, submits, and reads them. */
async function fetch(
  state: SessionState,
  entry: string,
  encoder: GPUCommandEncoder,
  refs: readonly TensorRef[],
): Promise<readonly Words[]> {
  const { open, pools } = state;
  const bytes = refs.reduce((sum, ref) => sum + 4 * sizeOf(ref), 0);
  if (bytes > state.staging.size) {
    state.staging.destroy();
    state.staging = stagingOn(open.gpu, bytes);
  }
  const { staging } = state;
  let end = 0;
  for (const ref of refs) {
    const size = 4 * sizeOf(ref);
    encoder.copyBufferToBuffer(pools[ref.pool], 4 * ref.offset, staging, end, size);
    end += size;
  }
  submit(state, encoder);
  await open
    .wait(entry, () => staging.mapAsync(GPUMapMode.READ, 0, bytes))
    .catch((error: unknown) => {
      check(open);
      throw new DeviceError(`results cannot be read back: ${messageOf(error)}`);
    });
  const copy = staging.getMappedRange(0, bytes).slice(0);
  staging.unmap();
  check(open);
  let at = 0;
  return refs.map((ref) => {
    const words =
      ref.pool === "ints" ? new Uint32Array(copy, at, sizeOf(ref)) : new Float32Array(copy, at, sizeOf(ref));
    at += 4 * sizeOf(ref);
    return words;
  });
}

/** Milliseconds of each dispatch by the GPU's clock, in one submission. */
async function timedBy(
  clock: Clock,
  state: SessionState,
  name: string,
  dispatches: readonly ReadyDispatch[],
): Promise<number[]> {
  const { gpu, wait } = state.open;
  const encoder = gpu.createCommandEncoder();
  for (const [i, dispatch] of dispatches.entries()) {
    const pass = encoder.beginComputePass({
      timestampWrites: { querySet: clock.set, beginningOfPassWriteIndex: 2 * i, endOfPassWriteIndex: 2 * i + 1 },
    });
    encode(pass, dispatch);
    pass.end();
  }
  clock.resolve(encoder, dispatches.length);
  submit(state, encoder);
  return wait(`the clock of ${name}`, () => clock.read(dispatches.length));
}

/** The same without timestamps: one submission a dispatch, timed to its end on the host. */
async function timedOnHost(state: SessionState, dispatches: readonly ReadyDispatch[]): Promise<number[]> {
  const { gpu } = state.open;
  const times: number[] = [];
  for (const dispatch of dispatches) {
    const encoder = gpu.createCommandEncoder();
    const pass = encoder.beginComputePass();
    encode(pass, dispatch);
    pass.end();
    const begun = performance.now();
    submit(state, encoder);
    await gpu.queue.onSubmittedWorkDone();
    times.push(performance.now() - begun);
  }
  return times;
}
