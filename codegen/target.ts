/**
 * The interfaces of a codegen target, exported to users: a `KernelPrinter` turns kernels into a device's code, a
 * `DeviceTarget` runs that code too, and a `ModuleEmitter` turns a compiled model into source files. `mhc compile
 * --target ./my-target.js` loads a module whose default export is one of them, and `--device ./my-target.js` one that
 * is a `DeviceTarget`. They live apart from the registry of built-in targets, so that no import runs in a circle.
 */
import type { Kernel } from "../src/kernel/ir.js";
import type { KernelProfile } from "../src/kernel/profile.js";
import type { Device, OpenOptions } from "../runtime/device.js";
import type { DeviceCode, Plan } from "../runtime/plan.js";

/** A file that `mhc compile` writes. */
export interface OutputFile {
  /** Relative to the output folder. */
  readonly path: string;
  readonly content: string | Uint8Array;
}

/**
 * A target that turns kernels into a device's code. It decides nothing: loops, lanes and memory are in the kernels, so
 * a printer is a walk over the tree of `src/kernel/ir.ts`; `codegen/javascript/printer.ts` is the smallest.
 */
export interface KernelPrinter {
  readonly kind: "kernels";
  /** Its name on the command line: `wgsl`, `wasm`, `javascript`, or the user's own. */
  readonly name: string;
  /** What kernels it takes: those of a CPU or of a GPU, of how many lanes, with half precision or without. */
  readonly profile: KernelProfile;
  /**
   * Prints all kernels of a plan; kernel i of the result is `kernels[i]`. Asynchronous, since an assembler may have to
   * load.
   */
  print(kernels: readonly Kernel[]): Promise<DeviceCode>;
  /** The code as files for people: `moby-dick.wgsl`, `moby-dick.wat`, … */
  files(stem: string, code: DeviceCode): readonly OutputFile[];
}

/**
 * A device of one's own: a target whose kernels run here. A plan has its kernels under the target's `name`, which no
 * device that comes with mhc has. `mhc target-test ./my-target.js` says whether it computes what it should.
 */
export interface DeviceTarget extends KernelPrinter {
  /**
   * Opens the device. Rejects with a `DeviceError` (of `mhc-lang/runtime`) where it cannot be used here, with what to
   * do about it; an option that means nothing to the device is not its concern.
   */
  open(options: OpenOptions): Promise<Device>;
}

/** A target that turns a compiled model into source files that an app imports. */
export interface ModuleEmitter {
  readonly kind: "module";
  /** Its name on the command line: `typescript`, or the user's own. */
  readonly name: string;
  /** Kernels that it takes from the plan, by their printers; those of the other targets where it does not say. */
  readonly devices?: readonly KernelPrinter[];
  /** The files of a plan; `stem` is the page's file name without its ending. */
  emit(stem: string, plan: Plan): Promise<readonly OutputFile[]>;
}

/** What `mhc compile --target` takes. */
export type Target = KernelPrinter | DeviceTarget | ModuleEmitter;
