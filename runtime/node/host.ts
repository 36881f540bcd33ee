/** Node as a host: files, worker threads, and the WebGPU of Dawn (package `webgpu`), which needs a Vulkan driver. */
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { DeviceError, reasonOf } from "../errors.js";
import type { Host } from "../host.js";
import { writeAtomically } from "./files.js";
import { readBytes } from "./reading.js";
import { joinVectors } from "./vectors.js";
import { mayHaveGpu, vulkanMissing } from "./vulkan.js";
import { openBlob } from "../web/worker.js";
import { openThread } from "./worker.js";

/**
 * Dawn's entry object. It is kept for the life of the process: when it is collected while an adapter of it lives, the
 * process dies without a word.
 */
let dawn: GPU | null = null;

/** Whether the package is installed: it is an optional peer, since it is larger than all the rest together (130 MB). */
function hasDawn(): boolean {
  try {
    createRequire(import.meta.url).resolve("webgpu");
    return true;
  } catch {
    return false;
  }
}

async function gpu(): Promise<GPU> {
  if (dawn) return dawn;
  const missing = vulkanMissing();
  if (missing !== null) {
    const too = hasDawn() ? "" : " and the package webgpu (`npm install webgpu`)";
    throw new DeviceError(
      `${missing}, and so no WebGPU adapter`,
      `install a Vulkan driver${too}, or use the device wasm`,
    );
  }
  if (!hasDawn())
    throw new DeviceError("the package webgpu is not installed", "run `npm install webgpu`, or use the device wasm");
  try {
    // Mesa warns of itself on the terminal otherwise, whenever a driver of it is merely listed.
    process.env["MESA_VK_IGNORE_CONFORMANCE_WARNING"] ??= "true";
    const { create, globals } = await import("webgpu");
    Object.assign(globalThis, globals);
    return (dawn = create([]));
  } catch (error) {
    throw new DeviceError(`the package webgpu cannot be loaded: ${reasonOf(error)}`, "use the device wasm");
  }
}

/** Without it Node reserves addresses beside each memory, so that it need not check them. */
const noHandler = "--disable-wasm-trap-handler";

/** Node. */
export const nodeHost: Host = {
  name: "node",
  cores: availableParallelism,
  engine: () => (typeof WebAssembly === "undefined" ? null : WebAssembly),
  engineFix: "start Node without --jitless",
  evalFix: "start Node without --disallow-code-generation-from-strings",
  get memoryFix() {
    const flag = process.allowedNodeEnvironmentFlags?.has(noHandler) ? `, or start Node with ${noHandler}` : "";
    return `lift the limit of addresses if there is one (ulimit -v: a memory reserves 10 GiB of them)${flag}`;
  },
  joinVectors,
  unshared: () => (typeof SharedArrayBuffer === "undefined" ? "there is no SharedArrayBuffer" : null),
  // Hosts that are nearly Node may have a page's workers and not Node's.
  workers: () => [openThread, ...(typeof Worker === "undefined" ? [] : [openBlob])],
  // A busy machine starts threads one after the other.
  patience: 30_000,
  gpu,
  native: async (options) => (await import("./native/device.js")).nativeDevice(options),
  mayHaveGpu,
  maySleep: true,
  sharesKernels: () => !/^(1|true|yes|y)$/i.test(process.env["MESA_SHADER_CACHE_DISABLE"] ?? ""),
  files: { readBytes, writeAtomically },
};
