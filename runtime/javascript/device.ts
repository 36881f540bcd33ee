/** Kernels as plain JavaScript, in this thread: slow, the reference for tests, and a device that is always there. */
import { DeviceError } from "../errors.js";
import { sizeOf, turn, type Device, type Session, type Words } from "../device.js";
import type { DevicePlan, PoolName } from "../plan.js";

type Pools = Readonly<Record<PoolName, Words>>;
type KernelFunction = (offsets: readonly number[], begin: number, end: number) => void;

export function javascriptDevice(): Device {
  return { name: "javascript", adapter: "JavaScript", threads: 1, load: (plan) => Promise.resolve(load(plan)), close: () => Promise.resolve() };
}

function load(plan: DevicePlan): Session {
  if (plan.code.kind !== "javascript") throw new DeviceError("this plan has no JavaScript kernels", "compile it with `--target javascript`");
  const pools: Pools = {
    state: new Float32Array(plan.pools.state), work: new Float32Array(plan.pools.work), out: new Float32Array(plan.pools.out), ints: new Uint32Array(plan.pools.ints),
  };
  // The text comes from our own printer, by way of the plan.
  const kernels = new Function("pools", plan.code.text)(pools) as KernelFunction[];
  for (const { at, data } of plan.constants) pools[at.pool].set(data, at.offset);
  let closed = false;
  return {
    // Async, so that an error is a rejection as on the other devices, never a throw of the call.
    async run(name) {
      if (closed) throw new DeviceError("the session is closed");
      const entry = plan.entries[name];
      if (!entry) throw new DeviceError(`the plan has no entry ${name}`);
      for (const { kernel, offsets } of entry.dispatches) kernels[kernel]!(offsets, 0, plan.kernels[kernel]!.groups);
      await turn();
    },
    write: (ref, data, at = 0) => pools[ref.pool].set(data, ref.offset + at),
    read: (ref) => Promise.resolve(pools[ref.pool].slice(ref.offset, ref.offset + sizeOf(ref))),
    close() {
      closed = true;
      return Promise.resolve();
    },
  };
}
