/** Node as a host: files, worker threads, and the WebGPU of Dawn (package `webgpu`), which needs a Vulkan driver. */
import { availableParallelism } from "node:os";
import { DeviceError } from "../errors.js";
import type { Host } from "../host.js";
import { readBytes, writeAtomically } from "./files.js";
import { mayHaveVulkan } from "./vulkan.js";
import { startWorker } from "./worker.js";

/**
 * Dawn's entry object. It is kept for the life of the process: when it is collected while an adapter of it lives, the process
 * dies without a word.
 */
let dawn: GPU | null = null;

async function gpu(): Promise<GPU> {
  if (dawn) return dawn;
  if (!mayHaveVulkan()) throw new DeviceError("there is no Vulkan driver on this machine, and so no WebGPU adapter", "install a Vulkan driver, or use the device wasm");
  try {
    const { create, globals } = await import("webgpu");
    Object.assign(globalThis, globals);
    return (dawn = create([]));
  } catch (error) {
    throw new DeviceError(`the package webgpu cannot be loaded: ${error instanceof Error ? error.message : String(error)}`, "use the device wasm");
  }
}

export const nodeHost: Host = {
  name: "node",
  cores: availableParallelism,
  sharesMemory: () => typeof SharedArrayBuffer !== "undefined",
  startWorker,
  gpu,
  maySleep: true,
  sharesKernels: () => !/^(1|true|yes|y)$/i.test(process.env["MESA_SHADER_CACHE_DISABLE"] ?? ""),
  files: { readBytes, writeAtomically },
};
