/**
 * Energy where the platform tells it: on CPUs the counters of RAPL (Linux, /sys/class/powercap), which are of whole
 * packages, so of whatever else runs on them; on NVIDIA's GPUs the power draw that nvidia-smi reports, integrated.
 * Elsewhere there is no meter, and what is said of energy is modelled (`src/cost`). Which of the two a figure is stands
 * beside it, always.
 */
import type { KernelProfile } from "../kernel/profile.js";
import type { OpenedDevice } from "./opened.js";
import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { mustAt } from "../../runtime/lookup.js";

/** What something took. */
export interface Energy {
  readonly joules: number;
  /** "measured: …" or "modelled: …" */
  readonly by: string;
}

/** A meter that runs. */
export interface Meter {
  /** What is measured, and how. */
  readonly by: string;
  /** Joules since the meter was opened. */
  readonly read: () => number;
  readonly close: () => void;
}

/** A meter, or why there is none. */
export type OpenedMeter = Meter | { readonly none: string };

/** Where meters are looked for. */
export interface MeterPlaces {
  /** The folder of RAPL's counters. */
  readonly powercap?: string;
  /** The command of NVIDIA's tool. */
  readonly smi?: string;
}

/** Counters wrap; at 1 kW the shortest does in four minutes. */
const POLL_MS = 10_000;
const SMI_MS = 200;

/** What a meter must know of a device. */
export interface Metered {
  /** Whose energy it takes. */
  readonly kind: KernelProfile["kind"];
  readonly adapter: string;
}

/** What a meter must know of a device that is open. */
export const meteredBy = ({ printer, adapter }: OpenedDevice): Metered => ({ kind: printer.profile.kind, adapter });

/** The meter of a device, or why there is none. */
export function openMeter(
  { kind, adapter }: Metered,
  { powercap = "/sys/class/powercap", smi = "nvidia-smi" }: MeterPlaces = {},
): OpenedMeter {
  if (kind === "cpu") return rapl(powercap);
  return /nvidia/i.test(adapter) ? nvidia(smi) : { none: `no meter is known for ${adapter}` };
}

function rapl(root: string): OpenedMeter {
  if (!existsSync(root)) return { none: "the system has no RAPL counters" };
  // Zones within a package are part of it.
  const zones = readdirSync(root)
    .filter((zone) => /^intel-rapl:\d+$/.test(zone))
    .sort();
  if (!zones.length) return { none: "the system has no RAPL counters" };
  const read = (zone: string, file: string): number => Number(readFileSync(join(root, zone, file), "utf8").trim());
  let last: number[];
  let ranges: number[];
  try {
    last = zones.map((zone) => read(zone, "energy_uj"));
    ranges = zones.map((zone) => read(zone, "max_energy_range_uj"));
  } catch (error) {
    const why = (error as NodeJS.ErrnoException).code ?? "unknown";
    const command = `sudo chmod a+r ${root}/intel-rapl:*/energy_uj`;
    return { none: `the RAPL counters cannot be read (${why}): \`${command}\` lets them be` };
  }
  if (![...last, ...ranges].every(Number.isFinite)) return { none: "the RAPL counters are no numbers" };
  let joules = 0;
  const update = (): void => {
    const now = zones.map((zone) => read(zone, "energy_uj"));
    for (const [i, value] of now.entries()) {
      const passed = value - mustAt(last, i);
      joules += (passed >= 0 ? passed : passed + mustAt(ranges, i)) / 1e6;
    }
    last = now;
  };
  const timer = setInterval(update, POLL_MS);
  timer.unref();
  return {
    by: `RAPL, ${zones.length} package${zones.length === 1 ? "" : "s"}, with all else that runs there`,
    read() {
      update();
      return joules;
    },
    close: () => clearInterval(timer),
  };
}

function nvidia(smi: string): Meter {
  let joules = 0;
  let before: { readonly watts: number; readonly at: number } | null = null;
  let rest = "";
  let process: ChildProcess | null = null;
  try {
    process = spawn(smi, ["-i", "0", "--query-gpu=power.draw", "--format=csv,noheader,nounits", "-lms", `${SMI_MS}`], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    process.on("error", () => (process = null));
    process.unref();
  } catch {
    process = null;
  }
  process?.stdout?.on("data", (chunk: Buffer) => {
    const lines = `${rest}${chunk.toString()}`.split("\n");
    rest = lines.pop() ?? "";
    for (const watts of lines.map(Number).filter((value) => Number.isFinite(value) && value > 0)) {
      const at = performance.now();
      if (before) joules += ((watts + before.watts) / 2) * ((at - before.at) / 1000);
      before = { watts, at };
    }
  });
  return { by: "nvidia-smi, power draw of GPU 0", read: () => joules, close: () => void process?.kill() };
}

/** What a stretch of work took: measured where there is a meter that has run, else what the model says. */
export function energyOf(
  meter: OpenedMeter,
  measured: number,
  modelled: { readonly joules: number; readonly profile: string } | null,
): Energy | null {
  if ("by" in meter && measured > 0) return { joules: measured, by: `measured: ${meter.by}` };
  return modelled && { joules: modelled.joules, by: `modelled: profile ${modelled.profile}` };
}
