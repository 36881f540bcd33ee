/** Pages and their workers as a host: no files, and memory is shared only where the page is cross-origin isolated. */
import { DeviceError } from "../errors.js";
import type { Host } from "../host.js";
import { startWorker } from "./worker.js";

export const webHost: Host = {
  name: "web",
  cores: () => navigator.hardwareConcurrency || 1,
  sharesMemory: () => typeof SharedArrayBuffer !== "undefined" && globalThis.crossOriginIsolated,
  startWorker,
  gpu: () => {
    const entry = navigator.gpu as GPU | undefined;
    if (entry) return Promise.resolve(entry);
    return Promise.reject(new DeviceError("this browser has no WebGPU", "use the device wasm, or a browser with WebGPU"));
  },
  maySleep: false,
  sharesKernels: () => false,
  files: null,
};
