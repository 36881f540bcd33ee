/** The devices that a page is compiled for: their printers, kernels, precision, and the room that they have. */
import { printerOf } from "../../codegen/registry.js";
import type { KernelPrinter } from "../../codegen/target.js";
import type { BuiltInDevice, DeviceName } from "../../runtime/registry.js";
import { valueAt } from "../../runtime/records.js";
import type { DeviceProfile } from "../cost/profile.js";
import type { Diagnostic } from "../diagnostics/diagnostic.js";
import type { Span } from "../diagnostics/span.js";
import { diagnostic } from "../diagnostics/table.js";
import type { KernelInfo } from "../../runtime/plan.js";
import { isLanes } from "../kernel/build.js";
import { TILE } from "../kernel/ir.js";
import { hasBf16, type Choice, type KernelProfile } from "../kernel/profile.js";
import type { TrainSettings, TypedModel } from "../model/typed.js";
import type { Room } from "./fit.js";

export type { BuiltInDevice, DeviceName };

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
  /** Names of devices that come with mhc, or targets of the caller's own. An Error is thrown for another name. */
  readonly devices: readonly (DeviceName | KernelPrinter)[];
  /** Choices of kernels by device, as `mhc tune` found them; defaults where there are none. */
  readonly choices?: Readonly<Partial<Record<DeviceName, Choices>>>;
  /**
   * The device that plans of its kind are for: its kernels, the memory that they must fit into, and its precision where
   * the page says `auto`.
   */
  readonly profile?: DeviceProfile;
}

/**
 * The choice that is no skeleton's: how wide the vectors of the processor are, how many its registers hold, and how
 * many threads there are.
 */
export const VECTORS = "vectors";

function profileOf(profile: KernelProfile, vectors: Choice | undefined, choices: Choices): KernelProfile {
  const { lanes = profile.lanes, registers = profile.registers, threads } = vectors ?? {};
  if (!isLanes(lanes)) throw new Error(`bug: a processor has no vectors of ${lanes} lanes`);
  return {
    ...profile,
    lanes,
    ...(registers === undefined ? {} : { registers }),
    ...(threads === undefined ? {} : { threads }),
    ...(Object.keys(choices).length ? { choices } : {}),
  };
}

/** A profile with what was chosen for a device: its vectors, and members of families. */
export function profileWith(profile: KernelProfile, choices: Choices): KernelProfile {
  const { [VECTORS]: vectors, ...others } = choices;
  return profileOf(profile, vectors, others);
}

/** The devices of a compilation, in the order asked for, with the choices that were made for them if `tuned`. */
export function targetsOf(
  { devices, choices: given, profile: machine }: TargetOptions,
  tuned: boolean,
): CompileTarget[] {
  const names = devices.map((device) => (typeof device === "string" ? device : device.name));
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined) throw new Error(`two devices of a compilation are called ${twice}: give each its own name`);
  return devices.map((device) => {
    const [name, printer] = typeof device === "string" ? [device, printerOf(device)] : [device.name, device];
    const own = valueAt(given, name);
    const choices = tuned ? { ...(machine?.device === name ? machine.kernels : {}), ...own } : {};
    return { name, printer, profile: profileWith(printer.profile, choices) };
  });
}

/**
 * The precision that a page asks for, or leaves to a device that has it; null for f32. A diagnostic when a device
 * cannot have it.
 */
export function precisionOf(
  { train }: TypedModel,
  targets: readonly CompileTarget[],
  machine: DeviceProfile | null,
): TrainSettings["precision"] | Diagnostic {
  const asked = train?.precision ?? null;
  if (asked === null) return null;
  if (asked.word === "auto") {
    const has = machine?.half === true && targets.every(({ name, profile }) => profile.half && name === machine.device);
    return has ? { ...asked, word: "f16" } : null;
  }
  const isHalf = asked.word === "f16";
  const lacking = targets.find(({ profile }) => !(isHalf ? profile.half : profile.bf16));
  if (!lacking) return asked;
  const [needs, where] = isHalf
    ? ["memory of 16-bit floats", "WebGPU alone (`--device webgpu`, `--target typescript,wgsl`)"]
    : ["products of bf16", "the native device (`--device native`) or C (`--target c`) alone"];
  return diagnostic(
    "MHC601",
    asked.span,
    `\`precision = ${asked.word}\` needs ${needs}, which ${lacking.name} does not have`,
    { fix: `take ${where}, or \`precision = f32\` (\`--set train.precision=f32\`)` },
  );
}

/** A warning where products of bf16 are asked for, and none is large enough to be one. */
export const idlePrecision = (
  precision: TrainSettings["precision"],
  kernels: readonly Pick<KernelInfo, "tuned">[],
): Diagnostic[] =>
  precision?.word === "bf16" && !hasBf16(kernels)
    ? [
        diagnostic("MHC602", precision.span, "`precision = bf16` changes nothing here", {
          fix: `a product of bf16 has ${TILE} rows, columns and steps at least, and this page has none: leave it out`,
        }),
      ]
    : [];

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
