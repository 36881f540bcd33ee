/**
 * What a machine can do and what it takes: data that the model of cost reads. Profiles that come with mhc are in
 * `profiles.ts`, with their sources; `mhc devices --calibrate` measures one and writes it as JSON.
 */
import { valueAt } from "../../runtime/records.js";
import { deviceNames, isBuiltIn, type BuiltInDevice } from "../../runtime/registry.js";

/** Classes of work that machines do at different rates. */
export const WORK = ["product", "narrow", "attention", "mixing", "elementary", "plain"] as const;
/** A class of work. */
export type WorkClass = (typeof WORK)[number];

/** A level of memory. Energy is of the level alone: what lies nearer is paid when it is read there. */
export interface Level {
  readonly name: string;
  /** Bytes that it holds; null for the last, which holds everything. */
  readonly bytes: number | null;
  /** GB/s (1e9 bytes a second), all cores together. */
  readonly gbytes: number;
  /** Picojoules a byte that is moved. */
  readonly pj_per_byte: number;
}

/** A machine, as `mhc cost --device` and the cost section of a page name it. */
export interface DeviceProfile {
  readonly format: 1;
  /** Its name on the command line. */
  readonly name: string;
  /** What it is, for people. */
  readonly title: string;
  /** The device whose plan runs there. */
  readonly device: BuiltInDevice;
  /**
   * Threads, which compute and wait for memory in turn; or 0 where the hardware spreads a dispatch and computes while
   * it waits.
   */
  readonly threads: number;
  /** GFLOP/s (1e9 operations a second) by class of work, all threads together. */
  readonly gflops: Readonly<Record<WorkClass, number>>;
  /** The nearest first. */
  readonly levels: readonly Level[];
  /** Microseconds of a dispatch that does nothing. */
  readonly dispatch_us: number;
  /** Microseconds of a step that has no dispatches: what the host does, and messages. */
  readonly step_us: number;
  /** Picojoules a floating-point operation, instruction and registers included. */
  readonly pj_per_flop: number;
  /** Bytes of memory that a model may fill; null when unknown. */
  readonly memory_bytes: number | null;
  /** Bytes that one binding may hold: the largest pool of a plan. No limit when it does not say. */
  readonly binding_bytes?: number;
  /** Whether memory of 16-bit floats may be used: `precision = auto` then does. */
  readonly half?: boolean;
  /**
   * Kernels that are better than the defaults there, by skeleton, or by skeleton and shape: what `mhc tune` chooses
   * among.
   */
  readonly kernels?: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** When and on what it was measured; null for figures of publications. */
  readonly measured: string | null;
  /** Where its figures are from. */
  readonly sources: readonly string[];
}

/**
 * What is wrong with a profile from a file, or null. Rules in the order of the fields, each with its own sentence.
 */
export function faultOf(value: unknown): string | null {
  if (typeof value !== "object" || value === null) return "it is no object";
  const profile = value as Readonly<Record<string, unknown>>;
  const positive = (x: unknown): boolean => typeof x === "number" && Number.isFinite(x) && x > 0;
  if (profile["format"] !== 1) return `"format" is ${JSON.stringify(profile["format"])}, not 1`;
  for (const key of ["name", "title"])
    if (typeof valueAt(profile, key) !== "string" || valueAt(profile, key) === "") return `"${key}" is no text`;
  if (!isBuiltIn(profile["device"])) return `"device" is none of ${deviceNames.join(", ")}`;
  if (!Number.isInteger(profile["threads"]) || (profile["threads"] as number) < 0)
    return `"threads" is no whole number`;
  const rates = profile["gflops"] as Readonly<Record<string, unknown>> | undefined;
  for (const work of WORK) if (!positive(rates?.[work])) return `"gflops.${work}" is no positive number`;
  const levels = profile["levels"];
  if (!Array.isArray(levels) || levels.length === 0) return `"levels" lists no memory`;
  for (const [i, level] of (levels as readonly Readonly<Record<string, unknown>>[]).entries()) {
    const last = i + 1 === levels.length;
    if (typeof level !== "object" || level === null) return `"levels[${i}]" is no object`;
    if (typeof level["name"] !== "string") return `"levels[${i}].name" is no text`;
    if (last ? level["bytes"] !== null : !positive(level["bytes"]))
      return `"levels[${i}].bytes" is ${last ? "not null, as the last level's is" : "no positive number"}`;
    for (const key of ["gbytes", "pj_per_byte"])
      if (!positive(valueAt(level, key))) return `"levels[${i}].${key}" is no positive number`;
  }
  for (const key of ["dispatch_us", "step_us", "pj_per_flop"])
    if (!positive(valueAt(profile, key))) return `"${key}" is no positive number`;
  if (profile["memory_bytes"] !== null && !positive(profile["memory_bytes"]))
    return `"memory_bytes" is neither a positive number nor null`;
  if (profile["binding_bytes"] !== undefined && !positive(profile["binding_bytes"]))
    return `"binding_bytes" is no positive number`;
  if (profile["half"] !== undefined && typeof profile["half"] !== "boolean") return `"half" is neither true nor false`;
  const { kernels = {} } = profile;
  if (
    typeof kernels !== "object" ||
    kernels === null ||
    !Object.values(kernels).every(
      (choice) => typeof choice === "object" && choice !== null && Object.values(choice).every(Number.isInteger),
    )
  )
    return `"kernels" does not give whole numbers by skeleton`;
  if (profile["measured"] !== null && typeof profile["measured"] !== "string")
    return `"measured" is neither a text nor null`;
  if (!Array.isArray(profile["sources"]) || !profile["sources"].every((source) => typeof source === "string"))
    return `"sources" is no list of texts`;
  return null;
}
