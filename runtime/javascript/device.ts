/**
 * Kernels as plain JavaScript, in this thread: slow, the reference for tests, and the device where there is no
 * WebAssembly.
 */
import { DeviceError, reasonOf } from "../errors.js";
import { bytesOf, sizeOf, turn, type Device, type Session, type Words } from "../device.js";
import { guarded } from "../guarded.js";
import type { Host } from "../host.js";
import { copiesOf, type DevicePlan, type Dispatch, type Entry, type HostPool, type TensorRef } from "../plan.js";
import { mustAt } from "../lookup.js";
import { valueAt } from "../records.js";

type PoolArrays = Readonly<Record<HostPool, Words>>;
type KernelFunction = (offsets: readonly number[], begin: number, end: number) => void;

/** The device of hosts that allow code made of text; a DeviceError elsewhere. */
export function javascriptDevice({ evalFix }: Pick<Host, "evalFix">): Device {
  try {
    new Function("return 0")();
  } catch (error) {
    throw new DeviceError(`this host forbids code that is made of text: ${reasonOf(error)}`, evalFix);
  }
  return {
    name: "javascript",
    adapter: "JavaScript",
    threads: 1,
    software: false,
    subgroup: 0,
    notes: [],
    // Async, so that a refusal is a rejection as on the other devices.
    load: async (plan) => load(plan),
    close: () => Promise.resolve(),
  };
}

/** Pools of a plan; a DeviceError where there is no room for them. */
function poolsOf({ pools: { state, work, out, ints } }: DevicePlan): PoolArrays {
  try {
    return {
      state: new Float32Array(state),
      work: new Float32Array(work),
      out: new Float32Array(out),
      ints: new Uint32Array(ints),
    };
  } catch (error) {
    const size = ((4 * (state + work + out + ints)) / 2 ** 30).toFixed(3);
    throw new DeviceError(
      `${size} GiB of memory were refused: ${reasonOf(error)}`,
      "make the batch or the model smaller",
    );
  }
}

function load(plan: DevicePlan): Session {
  if (plan.code.kind !== "javascript")
    throw new DeviceError("this plan has no JavaScript kernels", "compile it with `--target javascript`");
  const pools = poolsOf(plan);
  // The text comes from our own printer, by way of the plan.
  const kernels = new Function("pools", plan.code.text)(pools) as KernelFunction[];
  for (const { at, data } of plan.constants) pools[at.pool].set(data, at.offset);
  let submits = 0;
  const copyOf = (ref: TensorRef): Words => pools[ref.pool].slice(ref.offset, ref.offset + sizeOf(ref));
  const entryOf = (name: string): Entry => {
    const entry = valueAt(plan.entries, name);
    if (!entry) throw new DeviceError(`the plan has no entry ${name}`);
    submits++;
    return entry;
  };
  const dispatch = (item: Dispatch): void => {
    const info = mustAt(plan.kernels, item.kernel);
    const kernel = mustAt(kernels, item.kernel);
    const buffers = info.buffers.length;
    for (let copy = 0; copy < copiesOf(item, info); copy++)
      kernel(item.offsets.slice(copy * buffers, (copy + 1) * buffers), 0, info.groups);
  };
  return guarded({
    bytes: bytesOf(plan),
    get submits() {
      return submits;
    },
    // Async, so that an error is a rejection as on the other devices, never a throw of the call.
    async run(name, read = []) {
      entryOf(name).dispatches.forEach(dispatch);
      await turn();
      return read.map(copyOf);
    },
    async profile(name) {
      const times = entryOf(name).dispatches.map((item) => {
        const begun = performance.now();
        dispatch(item);
        return performance.now() - begun;
      });
      await turn();
      return times;
    },
    write: (ref, data, at = 0) => pools[ref.pool].set(data, ref.offset + at),
    read: (ref) => Promise.resolve(copyOf(ref)),
    close: () => Promise.resolve(),
  });
}
