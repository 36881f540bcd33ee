/** Targets of a user's own, as the command line names them: a module by its path, whose default export is one. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { DeviceTarget, KernelPrinter, Target } from "../../codegen/target.js";
import { describe } from "../../runtime/check.js";
import { messageOf } from "../../runtime/errors.js";
import { deviceNames, isBuiltIn, type BuiltInDevice } from "../../runtime/registry.js";
import { isLanes } from "../kernel/build.js";
import { toldPrinter } from "../tools/opened.js";
import { UsageError } from "./outcome.js";

/** Whether a word of the command line is the path of a module, and no name. */
export const isPath = (word: string): boolean => /[./\\]/.test(word);

const isFunction = (value: unknown): boolean => typeof value === "function";

/** What a module exports, before it is known to be a target. */
interface TargetParts {
  readonly kind?: unknown;
  readonly name?: unknown;
  readonly profile?: KernelPrinter["profile"];
}

/** What a target lacks, in words; null where it is whole. `has`: the functions that it must have. */
function lackOf(target: TargetParts, has: readonly string[]): string | null {
  const { name, profile } = target;
  if (typeof name !== "string" || !/^[A-Za-z][\w-]*$/.test(name))
    return `its \`name\` is ${describe(name)}: letters, digits, _ and - are expected`;
  const missing = has.find((key) => !isFunction(Reflect.get(target, key)));
  if (missing !== undefined) return `it has no function \`${missing}\``;
  return target.kind === "kernels" ? lackOfProfile(profile) : null;
}

function lackOfProfile(profile: KernelPrinter["profile"] | undefined): string | null {
  if (!profile) return "it has no `profile`";
  const { kind, lanes, workgroup } = profile;
  if (kind !== "cpu" && kind !== "gpu") return `\`profile.kind\` is ${describe(kind)}: it is "cpu" or "gpu"`;
  if (!isLanes(lanes)) return `\`profile.lanes\` is ${describe(lanes)}: it is 1, 4, 8 or 16`;
  return workgroup >= 1 ? null : `\`profile.workgroup\` is ${describe(workgroup)}: it is 1 or more`;
}

/** Names that no target of a user's own can have. */
const isTaken = (name: string): boolean => isBuiltIn(name) || name === "auto";

function mustBeFree(name: string, option: string, path: string): void {
  if (isTaken(name))
    throw new UsageError(`error: ${option} ${path}: its name is \`${name}\`, which is taken: call it otherwise`);
}

/** Where an error arose while a module was loaded: "file.js:3", in brackets; nothing where it does not say. */
function placeOf(error: unknown): string {
  const stack = error instanceof Error ? (error.stack ?? "") : "";
  const [, place] = /(file:\S+?:\d+)/.exec(stack) ?? [];
  return place === undefined ? "" : ` (${place.replace(/^file:\/\//, "")})`;
}

/** The default export of a module. Throws a UsageError where it cannot be loaded. */
async function exported(path: string, option: string): Promise<object> {
  if (!existsSync(path)) throw new UsageError(`error: ${option} ${path}: there is no file ${path}`);
  try {
    const { default: value } = (await import(pathToFileURL(resolve(path)).href)) as { readonly default?: unknown };
    if (typeof value === "object" && value !== null) return value;
    throw new UsageError(`error: ${option} ${path}: its default export is ${describe(value)}, and no target`);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    const isTyped = /\.[cm]?tsx?$/.test(path) && /unknown file extension/i.test(messageOf(error));
    const advice = isTyped ? "; Node 20 does not run TypeScript: compile it first (`npx tsc`)" : "";
    throw new UsageError(`error: ${option} ${path} cannot be loaded: ${messageOf(error)}${placeOf(error)}${advice}`);
  }
}

/** The target that a module is. Throws a UsageError where it is none. */
export async function importTarget(path: string): Promise<Target> {
  const target: TargetParts = await exported(path, "--target");
  const { kind } = target;
  if (kind !== "kernels" && kind !== "module")
    throw new UsageError(
      `error: --target ${path}: its \`kind\` is ${describe(kind)}; a KernelPrinter has "kernels", a ModuleEmitter ` +
        '"module" (docs/extending.md)',
    );
  const lack = lackOf(target, kind === "kernels" ? ["print", "files"] : ["emit"]);
  if (lack !== null) throw new UsageError(`error: --target ${path}: ${lack} (docs/extending.md)`);
  const named = target as Target;
  mustBeFree(named.name, "--target", path);
  return named.kind === "module" ? named : toldPrinter(named);
}

/** The device that a module is. Throws a UsageError where it is none. `option`: what names it, for messages. */
export async function importDevice(path: string, option = "--device"): Promise<DeviceTarget> {
  const target: TargetParts = await exported(path, option);
  const { kind } = target;
  const lack =
    kind === "kernels"
      ? lackOf(target, ["print", "files", "open"])
      : `its \`kind\` is ${describe(kind)}, not "kernels"`;
  if (lack !== null)
    throw new UsageError(
      `error: ${option} ${path}: ${lack}; a device is { kind: "kernels", name, profile, print, files, open } ` +
        "(docs/extending.md)",
    );
  const device = target as DeviceTarget;
  mustBeFree(device.name, option, path);
  return device;
}

/** A device that a word names: one of mhc, or a module. Throws a UsageError that lists what there is. */
export async function deviceNamed(word: string, option?: string): Promise<BuiltInDevice | DeviceTarget> {
  if (isBuiltIn(word)) return word;
  if (isPath(word)) return importDevice(word, option);
  if (word === "auto") throw new UsageError(`error: ${option} auto: name one device: ${deviceNames.join(", ")}`);
  throw unknownDevice(word, option);
}

/** The error for a word that is the name of no device. */
export const unknownDevice = (word: string, option = "--device", names: readonly string[] = deviceNames): UsageError =>
  new UsageError(
    `error: ${option} ${word}: there are ${names.join(", ")}; a device of your own is a module's path: ./${word}.js`,
  );
