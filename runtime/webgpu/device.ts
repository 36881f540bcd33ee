/** Opens WebGPU devices. How an adapter wants to be waited for and compiled for is decided here, once. */
import { DeviceError, messageOf } from "../errors.js";
import type { Device } from "../device.js";
import type { Host } from "../host.js";
import { findAdapter, isSoftware, nameOf } from "./adapter.js";
import { helperFor } from "./helper.js";
import { loadPlan, type OpenGpu } from "./session.js";
import { eager, patient } from "./wait.js";

/** What is used where the adapter has it. */
const FEATURES: readonly GPUFeatureName[] = ["timestamp-query", "shader-f16", "subgroups"];

/** The device of the host's best adapter. Throws DeviceError when there is none, or it gives no device. */
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
        `the adapter ${nameOf(adapter)} gives no device: ${messageOf(error)}`,
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
  const opened: OpenGpu = {
    gpu,
    failure,
    subgroup: gpu.features.has("subgroups") ? adapter.info.subgroupMinSize : 0,
    wait: host.maySleep && software ? patient() : eager,
    lazy: software,
    openHelper: helperFor(host, adapter, requiredFeatures),
  };
  return {
    name: "webgpu",
    adapter: nameOf(adapter),
    threads: 1,
    software,
    subgroup: opened.subgroup,
    notes: [],
    load: (plan) => loadPlan(opened, plan),
    close() {
      gpu.destroy();
      return Promise.resolve();
    },
  };
}
