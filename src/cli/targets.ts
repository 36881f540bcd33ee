/** Targets of a user's own, as the command line names them: a module by its path, whose default export is one. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { DeviceTarget, KernelPrinter, ModuleEmitter, Target } from "../../codegen/target.js";
import { messageOf } from "../../runtime/errors.js";
import { deviceNames, isBuiltIn, type BuiltInDevice } from "../../runtime/registry.js";
import { isLanes } from "../kernel/build.js";
import { UsageError } from "./outcome.js";

/** Whether a word of the command line is the path of a module, and no name. */
export const isPath = (word: string): boolean => /[./\\]/.test(word);

const isFunction = (value: unknown): boolean => typeof value === "function";

function isPrinter(target: Partial<KernelPrinter>): boolean {
  const { kind, name, profile, print, files } = target;
  return kind === "kernels" && typeof name === "string" && isProfile(profile) && isFunction(print) && isFunction(files);
}

const isProfile = (profile: KernelPrinter["profile"] | undefined): boolean =>
  (profile?.kind === "cpu" || profile?.kind === "gpu") && isLanes(profile.lanes) && profile.workgroup >= 1;

const isEmitter = ({ kind, name, emit }: Partial<ModuleEmitter>): boolean =>
  kind === "module" && typeof name === "string" && isFunction(emit);

/** The default export of a module. Throws a UsageError where it cannot be loaded. */
async function exported(path: string, option: string): Promise<object> {
  if (!existsSync(path)) throw new UsageError(`error: ${option} ${path}: there is no file ${path}`);
  try {
    const { default: value } = (await import(pathToFileURL(resolve(path)).href)) as { readonly default?: unknown };
    return typeof value === "object" && value !== null ? value : {};
  } catch (error) {
    throw new UsageError(`error: ${option} ${path} cannot be loaded: ${messageOf(error)}`);
  }
}

/** The target that a module is. Throws a UsageError where it is none. */
export async function importTarget(path: string): Promise<Target> {
  const target = await exported(path, "--target");
  if (isPrinter(target) || isEmitter(target)) return target as Target;
  throw new UsageError(
    `error: --target ${path}: its default export is neither a KernelPrinter nor a ModuleEmitter (docs/extending.md)`,
  );
}

/** The device that a module is. Throws a UsageError where it is none. `option`: what names it, for messages. */
export async function importDevice(path: string, option = "--device"): Promise<DeviceTarget> {
  const target: Partial<DeviceTarget> = await exported(path, option);
  if (!isPrinter(target) || !isFunction(target.open)) {
    const lacks = isPrinter(target) ? "it prints kernels, but has no `open`" : "its default export is no DeviceTarget";
    throw new UsageError(
      `error: ${option} ${path}: ${lacks}; a device is { kind: "kernels", name, profile, print, files, open } ` +
        "(docs/extending.md)",
    );
  }
  const { name } = target as DeviceTarget;
  if (isBuiltIn(name) || name === "auto")
    throw new UsageError(`error: ${option} ${path}: its name is \`${name}\`, which is taken: call it otherwise`);
  return target as DeviceTarget;
}

/** A device that a word names: one of mhc, or a module. Throws a UsageError that lists what there is. */
export async function deviceNamed(word: string, option?: string): Promise<BuiltInDevice | DeviceTarget> {
  if (isBuiltIn(word)) return word;
  if (isPath(word)) return importDevice(word, option);
  throw unknownDevice(word, option);
}

/** The error for a word that is the name of no device. */
export const unknownDevice = (word: string, option = "--device", names: readonly string[] = deviceNames): UsageError =>
  new UsageError(
    `error: ${option} ${word}: there are ${names.join(", ")}; a device of your own is a module's path: ./${word}.js`,
  );
