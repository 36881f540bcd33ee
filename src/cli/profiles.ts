/**
 * Device profiles by name or path: those that come with mhc, and those that were measured and kept in the cache folder.
 */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { messageOf } from "../../runtime/errors.js";
import { mustAt } from "../../runtime/lookup.js";
import { faultOf, type DeviceProfile } from "../cost/profile.js";
import { profiles } from "../cost/profiles.js";
import { UsageError } from "./outcome.js";
import { cachePath } from "./tuned.js";

/** Where `mhc devices --calibrate` keeps what it measured. */
export const profileFolder = (): string => join(dirname(cachePath()), "profiles");

/** Names that were measured here. */
function kept(): string[] {
  const folder = profileFolder();
  if (!existsSync(folder)) return [];
  try {
    return readdirSync(folder)
      .filter((file) => file.endsWith(".json"))
      .map((file) => basename(file, ".json"))
      .sort();
  } catch (error) {
    process.stderr.write(`warning: the profiles in ${folder} cannot be read and are ignored (${messageOf(error)})\n`);
    return [];
  }
}

/** What was measured here, for pages that name it; files that are no profiles are left out. */
export const measuredProfiles = (): DeviceProfile[] =>
  kept().flatMap((name) => {
    const profile = read(join(profileFolder(), `${name}.json`));
    return typeof profile === "string" ? [] : [profile];
  });

/**
 * What was measured here last, else the one that comes with mhc for a processor; a file that is no profile (any more)
 * is a warning.
 */
export function defaultProfile(): DeviceProfile {
  const newest = kept()
    .map((name) => join(profileFolder(), `${name}.json`))
    .toSorted((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs)[0];
  if (newest !== undefined) {
    const profile = read(newest);
    if (typeof profile !== "string") return profile;
    process.stderr.write(
      `warning: the profile ${newest} ${profile} and is ignored; \`mhc devices --calibrate\` measures it anew\n`,
    );
  }
  return mustAt(
    profiles.filter(({ name }) => name === "cpu"),
    0,
  );
}

/** `option`: which it was given by. */
export function profileNamed(name: string, option = "--device"): DeviceProfile {
  if (/[./\\]/.test(name)) return readProfile(name, option);
  if (kept().includes(name)) return readProfile(join(profileFolder(), `${name}.json`), option);
  const builtIn = profiles.find((profile) => profile.name === name);
  if (builtIn) return builtIn;
  const measured = kept();
  const names = profiles.map((profile) => profile.name).join(", ");
  const more = measured.length
    ? `; measured here: ${measured.join(", ")}`
    : "; `mhc devices --calibrate --device wasm` measures one of this machine";
  throw new UsageError(`error: ${option} ${name}: there are ${names}${more}; a file of your own begins with ./`);
}

function readProfile(path: string, option: string): DeviceProfile {
  const profile = read(path);
  if (typeof profile === "string")
    throw new UsageError(`error: ${option} ${path} ${profile}; \`mhc devices --calibrate\` writes one`);
  return profile;
}

/** The profile, or what is wrong with the file. */
function read(path: string): DeviceProfile | string {
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    return `cannot be read (${messageOf(error)})`;
  }
  const fault = faultOf(parsed);
  return fault === null ? (parsed as DeviceProfile) : `is no device profile: ${fault}`;
}
