/** Pages and their workers as a host: no files, and memory is shared only where the page is cross-origin isolated. */
import { DeviceError } from "../errors.js";
import type { Host } from "../host.js";
import { openBlob, openFile } from "./worker.js";

/** A page, or a worker of one. */
export const webHost: Host = {
  name: "web",
  cores: () => navigator.hardwareConcurrency || 1,
  engine: () => (typeof WebAssembly === "undefined" ? null : WebAssembly),
  engineFix: "allow 'wasm-unsafe-eval' in the script-src of the page's Content-Security-Policy, or leave lockdown mode",
  evalFix: "allow 'unsafe-eval' in the script-src of the page's Content-Security-Policy",
  memoryFix: "close other pages",
  joinVectors: () => false,
  unshared() {
    if (globalThis.crossOriginIsolated && typeof SharedArrayBuffer !== "undefined") return null;
    return "the page is not cross-origin isolated";
  },
  workers: () => (typeof Worker === "undefined" ? [] : [openBlob, openFile]),
  patience: 10_000,
  gpu: () => {
    const entry = navigator.gpu as GPU | undefined;
    if (entry) return Promise.resolve(entry);
    return Promise.reject(
      new DeviceError("this browser has no WebGPU", "use the device wasm, or a browser with WebGPU"),
    );
  },
  native: () => Promise.reject(new DeviceError("a browser runs no C compiler", "use the device wasm")),
  mayHaveGpu: () => true,
  maySleep: false,
  sharesKernels: () => false,
  files: null,
};
