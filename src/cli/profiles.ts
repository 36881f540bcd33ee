/** Device profiles by name or path: those that come with mhc, and those that were measured and kept in the cache folder. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { faultOf, type DeviceProfile } from "../cost/profile.js";
import { profiles } from "../cost/profiles.js";
import { UsageError } from "./outcome.js";
import { cachePath } from "./tuned.js";

/** Where `mhc devices --calibrate` keeps what it measured. */
export const profileFolder = (): string => join(dirname(cachePath()), "profiles");

/** Names that were measured here. */
const kept = (): string[] => (existsSync(profileFolder()) ? readdirSync(profileFolder()).filter((file) => file.endsWith(".json")).map((file) => basename(file, ".json")).sort() : []);

/** The profile of this machine's processor when it was calibrated, else the one that comes with mhc. */
export const defaultProfile = (): string => (kept().includes("wasm") ? "wasm" : "cpu");

export function profileNamed(name: string): DeviceProfile {
  if (/[./\\]/.test(name)) return readProfile(name);
  if (kept().includes(name)) return readProfile(join(profileFolder(), `${name}.json`));
  const known = profiles.find((profile) => profile.name === name);
  if (known) return known;
  const measured = kept();
  throw new UsageError(`error: --device ${name}: there are ${profiles.map((profile) => profile.name).join(", ")}${measured.length ? `; measured here: ${measured.join(", ")}` : "; `mhc devices --calibrate` measures this machine"}; a file of your own begins with ./`);
}

function readProfile(path: string): DeviceProfile {
  let found: unknown;
  try {
    found = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new UsageError(`error: --device ${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
  const fault = faultOf(found);
  if (fault !== null) throw new UsageError(`error: --device ${path} is no device profile: ${fault}; \`mhc devices --calibrate\` writes one`);
  return found as DeviceProfile;
}
