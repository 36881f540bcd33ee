/** The built-in targets, each loaded when it is asked for. */
import type { KernelPrinter, ModuleEmitter } from "./target.js";

export const printers: Readonly<Record<"wasm" | "webgpu" | "javascript", () => Promise<KernelPrinter>>> = {
  wasm: async () => (await import("./wasm/printer.js")).wasm,
  webgpu: async () => (await import("./wgsl/printer.js")).wgsl,
  javascript: async () => (await import("./javascript/printer.js")).javascript,
};

/** The device that a built-in kernel target is for. */
export const deviceOf: Readonly<Record<string, "wasm" | "webgpu" | "javascript">> = { wasm: "wasm", wgsl: "webgpu", javascript: "javascript" };

export const emitters: Readonly<Record<string, () => Promise<ModuleEmitter>>> = {
  typescript: async () => (await import("./typescript/emitter.js")).typescript,
};
