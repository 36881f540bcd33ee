/**
 * The devices that tests run on. The native device is among them where the machine has a C compiler; `test/global.ts`
 * says once a run whether it is. A compiler makes vectors of any width for any processor, so that it is tested with
 * vectors of 4, 8 and 16 lanes, whatever the processor has itself.
 */
import { printerOf } from "../../codegen/registry.js";
import type { KernelPrinter } from "../../codegen/target.js";
import { DeviceError } from "../../runtime/errors.js";
import { deviceNames, type Device, type BuiltInDevice, type OpenOptions } from "../../runtime/device.js";
import { openDevice } from "../../runtime/index.js";
import type { Choices } from "../../src/compile/compile.js";
import { VECTORS } from "../../src/compile/targets.js";
import type { KernelProfile } from "../../src/kernel/profile.js";

/** Why the native device cannot be opened here; null where it can be. */
export const nativeRefusal: string | null = await openDevice("native", { threads: 1 }).then(
  () => null,
  (error: unknown) => {
    if (error instanceof DeviceError) return error.message;
    throw error;
  },
);

/** Whether there is a compiler for the native device. */
export const hasCompiler: boolean = nativeRefusal === null;

/** Whether tests can run on a device here. */
export const isThere = (name: string): boolean => hasCompiler || !name.startsWith("native");

/** All devices. */
export const everyDevice: readonly BuiltInDevice[] = deviceNames.filter(isThere);

/** Those whose kernels are a CPU's. */
export const cpuDevices = everyDevice.filter((name) => name !== "webgpu");

/** The native device with vectors of a width, and what tests of it are called by. */
export type Width = "native, 4 lanes" | "native, 8 lanes" | "native, 16 lanes";

/** The lanes of its vectors. */
export const lanesOf = { "native, 4 lanes": 4, "native, 8 lanes": 8, "native, 16 lanes": 16 } as const;

/** All widths; none where there is no compiler. */
export const nativeWidths: readonly Width[] = hasCompiler ? (Object.keys(lanesOf) as Width[]) : [];

/** WebAssembly with vectors of 8 lanes, as two of 4, which some engines join. */
const WIDE_WASM = "wasm, 8 lanes";

/** A device, or one with vectors of a width. */
export type Subject = BuiltInDevice | Width | typeof WIDE_WASM;

const isWidth = (subject: Subject): subject is Width => subject in lanesOf;

const hasWidth = (subject: Subject): subject is Width | typeof WIDE_WASM => subject === WIDE_WASM || isWidth(subject);

/** The name of the device that a subject is. */
export const deviceOf = (subject: Subject): BuiltInDevice =>
  isWidth(subject) ? "native" : subject === WIDE_WASM ? "wasm" : subject;

/** All devices, those of CPUs with vectors of every width. */
export const everySubject: readonly Subject[] = [
  ...everyDevice.filter((name) => name !== "native"),
  WIDE_WASM,
  ...nativeWidths,
];

/** Those of them whose kernels are a CPU's. */
export const cpuSubjects = everySubject.filter((subject) => subject !== "webgpu");

/**
 * Whether what takes a C compiler long is left to `npm run test:all` on a subject: of the widths one is quick. Pages
 * have 8 lanes where nothing else is asked for, so that training steps are tested with those.
 */
export const isSlow = (subject: Subject): boolean =>
  subject === WIDE_WASM || (isWidth(subject) && subject !== "native, 16 lanes");

/** The vectors of a width, and how many of them a processor of that width holds in registers. */
function vectorsOf(width: Width | typeof WIDE_WASM): NonNullable<Device["vectors"]> {
  if (width === WIDE_WASM) return { lanes: 8 };
  const lanes = lanesOf[width];
  return { lanes, registers: lanes === 16 ? 32 : 16 };
}

/** Opens a device; its `vectors` are those of the width, if one is asked for. */
export async function openSubject(subject: Subject, options: OpenOptions = {}): Promise<Device> {
  const device = await openDevice(deviceOf(subject), options);
  return hasWidth(subject) ? { ...device, vectors: vectorsOf(subject) } : device;
}

/** The choices with which a page is compiled for a subject. */
export const choicesFor = (subject: Subject, choices: Choices = {}): Partial<Record<BuiltInDevice, Choices>> => ({
  [deviceOf(subject)]: hasWidth(subject) ? { ...choices, [VECTORS]: { ...vectorsOf(subject) } } : choices,
});

/** How kernels are made for a device that is open. */
export interface Making {
  readonly printer: KernelPrinter;
  /** The printer's, with the vectors of the device. */
  readonly profile: KernelProfile;
}

/** The printer of a device, and its profile. */
export function makingFor(device: Device): Making {
  const printer = printerOf(device.name);
  return { printer, profile: { ...printer.profile, ...device.vectors } };
}
