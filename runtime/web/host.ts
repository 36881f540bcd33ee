/** Pages and their workers as a host: no files, and memory is shared only where the page is cross-origin isolated. */
import { DeviceError } from "../errors.js";
import type { Host } from "../host.js";
import { openBlob, openFile } from "./worker.js";

const smaller = "make the batch or the model smaller";

export const webHost: Host = {
  name: "web",
  cores: () => navigator.hardwareConcurrency || 1,
  engine: () => (typeof WebAssembly === "undefined" ? null : WebAssembly),
  engineFix: "allow 'wasm-unsafe-eval' in the script-src of the page's Content-Security-Policy (in lockdown mode there is no WebAssembly), "
    + "or use the device webgpu or javascript",
  evalFix: "allow 'unsafe-eval' in the script-src of the page's Content-Security-Policy, or use the device wasm, which needs 'wasm-unsafe-eval'",
  memoryFix: smaller,
  unshared() {
    if (globalThis.crossOriginIsolated && typeof SharedArrayBuffer !== "undefined") return null;
    return "the page is not cross-origin isolated";
  },
  workers: () => (typeof Worker === "undefined" ? [] : [openBlob, openFile]),
  patience: 10_000,
  gpu: () => {
    const entry = navigator.gpu as GPU | undefined;
    if (entry) return Promise.resolve(entry);
    return Promise.reject(new DeviceError("this browser has no WebGPU", "use the device wasm, or a browser with WebGPU"));
  },
  maySleep: false,
  sharesKernels: () => false,
  files: null,
};
