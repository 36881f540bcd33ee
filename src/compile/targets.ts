/** The devices that a page is compiled for: their printers, kernels, precision, and the room that they have. */
import { printers as builtIn } from "../../codegen/registry.js";
import type { KernelPrinter } from "../../codegen/target.js";
import type { DeviceName } from "../../runtime/plan.js";
import type { DeviceProfile } from "../cost/profile.js";
import type { Diagnostic } from "../diagnostics/diagnostic.js";
import type { Span } from "../diagnostics/span.js";
import { diagnostic } from "../diagnostics/table.js";
import { isLanes } from "../kernel/build.js";
import type { Choice, KernelProfile } from "../kernel/profile.js";
import type { TrainSettings, TypedModel } from "../model/typed.js";
import type { Room } from "./fit.js";

export type { DeviceName };

/** Choices of kernels by `skeleton` or `skeleton/shape`. */
export type Choices = Readonly<Record<string, Choice>>;

/** A device that is compiled for. */
export interface CompileTarget {
  readonly name: string;
  readonly printer: KernelPrinter;
  /** What the skeletons need to know of it, with the choices that were made for it. */
  readonly profile: KernelProfile;
}

/** What says which devices there are. */
export interface TargetOptions {
  /** Names of built-in targets, or targets of the caller's own. */
  readonly devices: readonly (DeviceName | KernelPrinter)[];
  /** Choices of kernels by device, as `mhc tune` found them; defaults where there are none. */
  readonly choices?: Readonly<Partial<Record<DeviceName, Choices>>>;
  /**
   * The device that plans of its kind are for: its kernels, the memory that they must fit into, and its precision where
   * the page says `auto`.
   */
  readonly profile?: DeviceProfile;
}

/** The choice that is no skeleton's: how wide the vectors of the processor are, and how many its registers hold. */
export const VECTORS = "vectors";

function profileOf(profile: KernelProfile, vectors: Choice | undefined, choices: Choices): KernelProfile {
  const { lanes = profile.lanes, registers = profile.registers } = vectors ?? {};
  if (!isLanes(lanes)) throw new Error(`bug: a processor has no vectors of ${lanes} lanes`);
  return {
    ...profile,
    lanes,
    ...(registers === undefined ? {} : { registers }),
    ...(Object.keys(choices).length ? { choices } : {}),
  };
}

/** The devices of a compilation, in the order asked for, with the choices that were made for them if `tuned`. */
export function targetsOf(
  { devices, choices: given, profile: machine }: TargetOptions,
  tuned: boolean,
): CompileTarget[] {
  return devices.map((device) => {
    if (typeof device !== "string") return { name: device.name, printer: device, profile: device.profile };
    const printer = builtIn[device];
    const choices = tuned ? { ...(machine?.device === device ? machine.kernels : {}), ...given?.[device] } : {};
    const { [VECTORS]: vectors, ...others } = choices;
    return { name: device, printer, profile: profileOf(printer.profile, vectors, others) };
  });
}

/**
 * Half precision where the page asks for it, or leaves it to a device that has it; null for none. A diagnostic when a
 * device has no memory of 16-bit floats.
 */
export function precisionOf(
  { train }: TypedModel,
  targets: readonly CompileTarget[],
  machine: DeviceProfile | null,
): TrainSettings["half"] | Diagnostic {
  const asked = train?.half ?? null;
  const taken =
    asked !== null &&
    (!asked.auto ||
      (machine?.half === true && targets.every(({ name, profile }) => profile.half && name === machine.device)));
  if (!taken) return null;
  const lacking = targets.find(({ profile }) => !profile.half);
  if (!lacking) return { span: asked.span, auto: false };
  const fix =
    "take WebGPU alone (`--device webgpu`, `--target typescript,wgsl`), or `precision = f32` (`--set " +
    "train.precision=f32`)";
  return diagnostic(
    "MHC601",
    asked.span,
    `\`precision = f16\` needs memory of 16-bit floats, which ${lacking.name} does not have`,
    { fix },
  );
}

/** What the device of a profile has room for; null when it is not compiled for. */
export const roomOf = (targets: readonly CompileTarget[], machine: DeviceProfile | null, place: Span): Room | null =>
  machine && targets.some(({ name }) => name === machine.device)
    ? {
        profile: machine.name,
        bytes: machine.memory_bytes,
        binding: machine.binding_bytes ?? null,
        span: place,
      }
    : null;
