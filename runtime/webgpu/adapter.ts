/** Finds a WebGPU adapter: the browser's, or in Node the one of Dawn (package `webgpu`), which needs a Vulkan driver. */
import { DeviceError } from "../errors.js";
import { isNode } from "../wasm/pool.js";

/**
 * Dawn's entry object. It is kept for the life of the process: when it is collected while an adapter of it lives, the process
 * dies without a word.
 */
let dawn: GPU | null = null;

async function gpu(): Promise<GPU> {
  if (!isNode()) {
    const found = navigator.gpu as GPU | undefined;
    if (!found) throw new DeviceError("this browser has no WebGPU", "use the device wasm, or a browser with WebGPU");
    return found;
  }
  if (!dawn) {
    const { mayHaveVulkan } = await import("../node/vulkan.js");
    if (!mayHaveVulkan()) throw new DeviceError("there is no Vulkan driver on this machine, and so no WebGPU adapter", "install a Vulkan driver, or use the device wasm");
    try {
      const { create, globals } = await import("webgpu");
      Object.assign(globalThis, globals);
      dawn = create([]);
    } catch (error) {
      throw new DeviceError(`the package webgpu cannot be loaded: ${error instanceof Error ? error.message : String(error)}`, "use the device wasm");
    }
  }
  return dawn;
}

export async function findAdapter(): Promise<GPUAdapter> {
  let adapter: GPUAdapter | null = null;
  try {
    adapter = await (await gpu()).requestAdapter({ powerPreference: "high-performance" });
  } catch (error) {
    if (error instanceof DeviceError) throw error;
    throw new DeviceError(`no WebGPU adapter: ${error instanceof Error ? error.message : String(error)}`, "install a Vulkan driver, or use the device wasm");
  }
  if (!adapter) throw new DeviceError("there is no WebGPU adapter on this machine", "install a Vulkan driver, or use the device wasm");
  return adapter;
}

/** Whether an adapter is emulated on the CPU. */
export function isSoftware({ info }: GPUAdapter): boolean {
  return (info as { isFallbackAdapter?: boolean }).isFallbackAdapter === true || /swiftshader|llvmpipe|lavapipe|software|basic render/i.test(`${info.vendor} ${info.architecture} ${info.device} ${info.description}`);
}

export const nameOf = ({ info }: GPUAdapter): string => info.description || [info.vendor, info.architecture, info.device].filter(Boolean).join(" ") || "WebGPU";

/** What the adapter is and grants, for people and for `mhc devices`. */
export async function describeAdapter(): Promise<{ adapter: string; software: boolean; features: string[]; limits: Record<string, number> }> {
  const adapter = await findAdapter();
  const { maxBufferSize, maxStorageBufferBindingSize, maxComputeWorkgroupStorageSize, maxComputeInvocationsPerWorkgroup } = adapter.limits;
  return {
    adapter: nameOf(adapter), software: isSoftware(adapter),
    features: [...adapter.features].filter((feature) => /f16|subgroups|timestamp/.test(feature)).sort(),
    limits: {
      maxBufferSize, maxStorageBufferBindingSize, maxComputeWorkgroupStorageSize, maxComputeInvocationsPerWorkgroup,
      ...(adapter.features.has("subgroups") ? { subgroupMinSize: adapter.info.subgroupMinSize, subgroupMaxSize: adapter.info.subgroupMaxSize } : {}),
    },
  };
}
