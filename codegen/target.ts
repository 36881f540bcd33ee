/**
 * The two interfaces of a codegen target, exported to users: a `KernelPrinter` turns kernels into a device's code, a
 * `ModuleEmitter` turns a compiled model into source files. `mhc compile --target ./my-target.js` loads a module whose
 * default export is one of the two. They live apart from the registry of built-in targets, so that no import runs in a
 * circle.
 */
import type { Kernel } from "../src/kernel/ir.js";
import type { KernelProfile } from "../src/kernel/profile.js";
import type { DeviceCode, Plan } from "../runtime/plan.js";

export interface OutputFile {
  /** Relative to the output folder. */
  readonly path: string;
  readonly content: string | Uint8Array;
}

export interface KernelPrinter {
  readonly kind: "kernels";
  /** Its name on the command line: `wgsl`, `wasm`, `javascript`, or the user's own. */
  readonly name: string;
  readonly profile: KernelProfile;
  /**
   * Prints all kernels of a plan. Kernel i of the result is kernels[i]. `poolWords` gives each pool's size, for targets
   * that lay pools out themselves. May be asynchronous, since an assembler may have to load.
   */
  print(kernels: readonly Kernel[]): Promise<DeviceCode>;
  /** The code as files for people: `moby-dick.wgsl`, `moby-dick.wat`, … */
  files(stem: string, code: DeviceCode): readonly OutputFile[];
}

export interface ModuleEmitter {
  readonly kind: "module";
  readonly name: string;
  emit(stem: string, plan: Plan): Promise<readonly OutputFile[]>;
}

export type Target = KernelPrinter | ModuleEmitter;
