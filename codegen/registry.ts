/**
 * The built-in printers of kernels. All together are a twelfth of the compiler, so they are imported as they are: a
 * worker of a page, which bundlers make one file of, may then have the compiler. A target of the user's own comes by
 * import, not by this table.
 */
import { c } from "./c/printer.js";
import { javascript } from "./javascript/printer.js";
import { deviceNames, isBuiltIn, type BuiltInDevice, type DeviceName } from "../runtime/registry.js";
import type { KernelPrinter } from "./target.js";
import { wasm } from "./wasm/printer.js";
import { wgsl } from "./wgsl/printer.js";

/** By device. */
export const printers: Readonly<Record<BuiltInDevice, KernelPrinter>> = {
  native: c,
  wasm,
  webgpu: wgsl,
  javascript,
};

/** A kernel target by the name it has on the command line. */
export const loadTarget = (name: "native" | "wasm" | "wgsl" | "javascript"): Promise<KernelPrinter> =>
  Promise.resolve(printers[name === "wgsl" ? "webgpu" : name]);

/** The printer of a device that comes with mhc. Throws an Error for another name. */
export function printerOf(name: DeviceName): KernelPrinter {
  if (isBuiltIn(name)) return printers[name];
  throw new Error(
    `there is no device \`${name}\`: there are ${deviceNames.join(", ")}, and a device of your own is passed as its ` +
      "printer, not by its name",
  );
}
