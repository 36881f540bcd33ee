/**
 * What is known of this machine's Vulkan before Dawn is loaded. Dawn, asked on a Linux machine without a driver,
 * prints warnings of its own to the terminal, and so it does of many drivers, llvmpipe among them: nothing turns these
 * off. So `auto` asks it only where a GPU may be, and nobody asks it where there is no driver, or no loader that would
 * find one.
 */
import { existsSync, readdirSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { reasonOf } from "../errors.js";

/** Why there is no Vulkan here; null where there may be one. Certain only on Linux. */
export function vulkanMissing(): string | null {
  if (process.platform !== "linux") return null;
  if (!namesDriver()) return "there is no Vulkan driver on this machine";
  return hasLoader() ? null : "there is no Vulkan loader (libvulkan.so.1) on this machine";
}

/** Files of devices that a GPU's driver opens, in /dev. */
const GPU_FILES = /^(nvidia|nvhost|nvgpu|dxg|kgsl|mali|kfd|pvr)/;

/** False only where it is certain: on Linux, when the kernel shows no device that a GPU's driver could open. */
export function mayHaveGpu(): boolean {
  if (process.platform !== "linux") return true;
  const files = filesIn("/dev");
  if (files === null || files.some((name) => GPU_FILES.test(name))) return true;
  return files.includes("dri") && (filesIn("/dev/dri")?.some((name) => /^(renderD|card)/.test(name)) ?? true);
}

/** The names in a folder; null where it cannot be read. */
function filesIn(folder: string): readonly string[] | null {
  try {
    return readdirSync(folder);
  } catch {
    return null;
  }
}

/** Whether a folder of the loader's search path, or a variable, names a driver. */
function namesDriver(): boolean {
  const {
    VK_DRIVER_FILES,
    VK_ICD_FILENAMES,
    VK_ADD_DRIVER_FILES,
    XDG_DATA_DIRS,
    XDG_DATA_HOME,
    XDG_CONFIG_DIRS,
    XDG_CONFIG_HOME,
  } = process.env;
  const named = VK_DRIVER_FILES ?? VK_ICD_FILENAMES;
  if (named) return named.split(":").some((file) => existsSync(file));
  if (VK_ADD_DRIVER_FILES) return true;
  const roots = [
    ...(XDG_CONFIG_HOME ?? join(homedir(), ".config")).split(":"),
    ...(XDG_CONFIG_DIRS ?? "/etc/xdg").split(":"),
    "/etc",
    "/usr/local/etc",
    ...(XDG_DATA_HOME ?? join(homedir(), ".local/share")).split(":"),
    ...(XDG_DATA_DIRS ?? "/usr/local/share:/usr/share").split(":"),
    "/usr/share",
    "/usr/local/share",
  ];
  return roots.some((root) => filesIn(join(root, "vulkan", "icd.d"))?.some((file) => file.endsWith(".json")) ?? false);
}

/**
 * Whether the system's linker finds the Vulkan loader, as Dawn will. The linker itself is asked: it opens the library,
 * and Node then says that this is no addon. A host that forbids addons says so where Dawn is loaded.
 */
function hasLoader(): boolean {
  try {
    process.dlopen({ exports: {} }, "libvulkan.so.1");
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ERR_DLOPEN_FAILED" || reasonOf(error).includes("self-register");
  }
}
