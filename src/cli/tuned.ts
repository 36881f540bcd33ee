/**
 * The cache of `mhc tune`: choices by adapter, kernel and shape, in one JSON file of the user's cache folder. It can
 * only make kernels faster or slower, so whatever is wrong with it (cut off, of another version, with knobs that no
 * longer exist) is a warning, and the defaults stand.
 */
import { existsSync, readFileSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { extname, join } from "node:path";
import type { BuiltInDevice, Device } from "../../runtime/device.js";
import { hasRelaxedSimd } from "../../runtime/wasm/device.js";
import type { Choices } from "../compile/compile.js";
import { VECTORS } from "../compile/targets.js";
import { familyKindOf } from "../tools/tune.js";
import { emulated, isMember } from "../schedule/families.js";
import { FUSED } from "../schedule/skeletons/matmul/cpu-tiles.js";
import { DataError, messageOf } from "../../runtime/errors.js";
import type { OpenedDevice } from "../tools/opened.js";
import { write } from "./interrupt.js";
import { version } from "./version.js";
import { merged, recordOf, valueAt } from "../../runtime/records.js";

interface Cache {
  readonly format: 1;
  /** Of mhc: kernels may change with it. */
  readonly version: string;
  readonly adapters: Readonly<Record<string, Choices>>;
}

/**
 * The file of choices: MHC_CACHE names it, or (when it is a folder, ends as one, or has no ending) the folder that it
 * and profiles are in.
 */
export function cachePath(): string {
  const named = process.env["MHC_CACHE"];
  if (!named) return join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "mhc", FILE);
  const isFolder = existsSync(named) ? statSync(named).isDirectory() : /[/\\]$/.test(named) || extname(named) === "";
  return isFolder ? join(named, FILE) : named;
}

const FILE = "tune.json";

const adapterKey = (device: Device): string => `${device.name}: ${device.adapter}`;

const warn = (text: string): void => void process.stderr.write(`warning: ${text}\n`);

function readCache(): Cache | null {
  const path = cachePath();
  if (!existsSync(path)) return null;
  let cache: Partial<Cache> | null;
  try {
    cache = JSON.parse(readFileSync(path, "utf8")) as Partial<Cache> | null;
  } catch (error) {
    warn(`the tuning cache ${path} cannot be read and is ignored (${messageOf(error)}); \`mhc tune\` writes it anew`);
    return null;
  }
  if (
    cache === null ||
    typeof cache !== "object" ||
    cache.format !== 1 ||
    typeof cache.adapters !== "object" ||
    cache.adapters === null
  ) {
    warn(`the tuning cache ${path} is not one and is ignored; \`mhc tune\` writes it anew`);
    return null;
  }
  if (cache.version !== version) {
    warn(
      `the tuning cache ${path} was written by mhc ${cache.version ?? "of no version"} and is ignored; ` +
        "`mhc tune` writes it anew",
    );
    return null;
  }
  return cache as Cache;
}

/** Choices that are better than the default on an engine, before anything is tuned. */
export function engineChoices(device: Device): Choices {
  if (device.software) return emulated;
  return {
    ...(device.vectors ? { [VECTORS]: { ...device.vectors, threads: device.threads } } : {}),
    ...valueAt(ENGINES, device.name)?.(),
  };
}

/** What is better on the engines of some devices, where they have what it takes. */
const ENGINES: Readonly<Partial<Record<BuiltInDevice, () => Choices>>> = {
  wasm: (): Choices => (hasRelaxedSimd() ? { matmul: FUSED } : {}),
};

/** The choices for a device: what was tuned for it, on top of its engine's own. */
export const choicesFor = (device: OpenedDevice): Choices => merged(engineChoices(device), tunedFor(device));

/** The choices that were tuned for a device; none when there are none that can be used. */
function tunedFor(device: OpenedDevice): Choices {
  const stored = valueAt(readCache()?.adapters, adapterKey(device));
  if (stored === undefined) return {};
  const kind = familyKindOf(device);
  const good = Object.entries(typeof stored === "object" && stored !== null ? stored : {}).filter(([key, choice]) =>
    isMember(kind, key, choice),
  );
  if (good.length < Object.keys(stored ?? {}).length || typeof stored !== "object")
    warn(
      `the tuning cache ${cachePath()} has choices for ${device.adapter} that no kernel has, and they are ` +
        "ignored; `mhc tune` writes it anew",
    );
  return recordOf(good);
}

/**
 * Adds choices for a device, atomically; other adapters and shapes stay. Null, with a warning, when they cannot be
 * kept.
 */
export async function keepTuned(device: Device, choices: Choices): Promise<string | null> {
  const path = cachePath();
  const before = readCache();
  const key = adapterKey(device);
  const adapters = merged(before?.adapters, recordOf([[key, merged(valueAt(before?.adapters, key), choices)]]));
  try {
    await write(path, `${JSON.stringify({ format: 1, version, adapters } satisfies Cache, null, 2)}\n`);
    return path;
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    warn(`the choices are not kept: ${error.message}; MHC_CACHE names another place`);
    return null;
  }
}
