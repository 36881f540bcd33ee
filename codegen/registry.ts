/**
 * The built-in printers of kernels. All three together are a twelfth of the compiler, so they are imported as they are:
 * a worker of a page, which bundlers make one file of, may then have the compiler. A target of the user's own comes by
 * import, not by this table.
 */
import { c } from "./c/printer.js";
import { javascript } from "./javascript/printer.js";
import type { DeviceName } from "../runtime/plan.js";
import type { KernelPrinter } from "./target.js";
import { wasm } from "./wasm/printer.js";
import { wgsl } from "./wgsl/printer.js";

/** By device. */
export const printers: Readonly<Record<DeviceName, KernelPrinter>> = {
  native: c,
  wasm,
  webgpu: wgsl,
  javascript,
};

/** A kernel target by the name it has on the command line. */
export const loadTarget = (name: "native" | "wasm" | "wgsl" | "javascript"): Promise<KernelPrinter> =>
  Promise.resolve(printers[name === "wgsl" ? "webgpu" : name]);
