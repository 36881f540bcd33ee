/**
 * Whether this machine can have a Vulkan driver at all. Dawn, asked on a Linux machine without one, prints a warning of its own to the
 * terminal; looking for the files that name drivers first keeps `auto` quiet there.
 */
import { existsSync, readdirSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/** False only where it is certain: on Linux, when no folder of the loader's search path names a driver. */
export function mayHaveVulkan(): boolean {
  if (process.platform !== "linux") return true;
  const { VK_DRIVER_FILES, VK_ICD_FILENAMES, VK_ADD_DRIVER_FILES, XDG_DATA_DIRS, XDG_DATA_HOME, XDG_CONFIG_DIRS, XDG_CONFIG_HOME } = process.env;
  const named = VK_DRIVER_FILES ?? VK_ICD_FILENAMES;
  if (named) return named.split(":").some((file) => existsSync(file));
  if (VK_ADD_DRIVER_FILES) return true;
  const roots = [
    ...(XDG_CONFIG_HOME ?? join(homedir(), ".config")).split(":"), ...(XDG_CONFIG_DIRS ?? "/etc/xdg").split(":"), "/etc", "/usr/local/etc",
    ...(XDG_DATA_HOME ?? join(homedir(), ".local/share")).split(":"), ...(XDG_DATA_DIRS ?? "/usr/local/share:/usr/share").split(":"), "/usr/share", "/usr/local/share",
  ];
  return roots.some((root) => {
    const folder = join(root, "vulkan", "icd.d");
    return existsSync(folder) && readdirSync(folder).some((file) => file.endsWith(".json"));
  });
}
