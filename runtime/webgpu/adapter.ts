/** Finds a WebGPU adapter of the host, and says what it is. */
import { DeviceError, messageOf } from "../errors.js";
import type { Host } from "../host.js";

/** The fastest adapter of the host. Throws DeviceError when there is none. */
export async function findAdapter(host: Host): Promise<GPUAdapter> {
  let adapter: GPUAdapter | null = null;
  try {
    adapter = await (await host.gpu()).requestAdapter({ powerPreference: "high-performance" });
  } catch (error) {
    if (error instanceof DeviceError) throw error;
    throw new DeviceError(`no WebGPU adapter: ${messageOf(error)}`, "install a Vulkan driver, or use the device wasm");
  }
  if (!adapter)
    throw new DeviceError(
      "there is no WebGPU adapter on this machine",
      "install a Vulkan driver, or use the device wasm",
    );
  return adapter;
}

/** Whether an adapter is emulated on the CPU. */
export function isSoftware({ info }: GPUAdapter): boolean {
  return (
    (info as { isFallbackAdapter?: boolean }).isFallbackAdapter === true ||
    /swiftshader|llvmpipe|lavapipe|software|basic render/i.test(
      `${info.vendor} ${info.architecture} ${info.device} ${info.description}`,
    )
  );
}

/** What an adapter is called, for people. */
export const nameOf = ({ info }: GPUAdapter): string =>
  info.description || [info.vendor, info.architecture, info.device].filter(Boolean).join(" ") || "WebGPU";

/** What the adapter is and grants, for people and for `mhc devices`. */
export async function describeAdapter(
  host: Host,
): Promise<{ adapter: string; software: boolean; features: string[]; limits: Record<string, number> }> {
  const adapter = await findAdapter(host);
  const {
    maxBufferSize,
    maxStorageBufferBindingSize,
    maxComputeWorkgroupStorageSize,
    maxComputeInvocationsPerWorkgroup,
  } = adapter.limits;
  return {
    adapter: nameOf(adapter),
    software: isSoftware(adapter),
    features: [...adapter.features].filter((feature) => /f16|subgroups|timestamp/.test(feature)).sort(),
    limits: {
      maxBufferSize,
      maxStorageBufferBindingSize,
      maxComputeWorkgroupStorageSize,
      maxComputeInvocationsPerWorkgroup,
      ...(adapter.features.has("subgroups")
        ? { subgroupMinSize: adapter.info.subgroupMinSize, subgroupMaxSize: adapter.info.subgroupMaxSize }
        : {}),
    },
  };
}
