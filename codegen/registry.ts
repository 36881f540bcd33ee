/**
 * The built-in targets. Each loads when it is asked for, so that a program that compiles for one target does not carry the
 * libraries of the others. A target of the user's own comes by import, not by this table.
 */
import type { KernelPrinter, ModuleEmitter } from "./target.js";

/** By device. */
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

/** A kernel target by the name it has on the command line. */
export const loadTarget = (name: "wasm" | "wgsl" | "javascript"): Promise<KernelPrinter> => printers[name === "wgsl" ? "webgpu" : name]();

/** A target that writes modules, by the name it has on the command line. */
export const loadEmitter = (name: "typescript"): Promise<ModuleEmitter> => emitters[name]!();
