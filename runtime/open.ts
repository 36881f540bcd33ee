/**
 * Opens a device by name. `auto` takes a hardware GPU, else the native device, else WebAssembly, else any other device:
 * a GPU emulated in software is slower than the CPU it runs on, and comes last. What a host refuses (`DeviceError`) is
 * passed by, and said in the notes of the device that is taken; that a machine has no GPU is no refusal.
 */
import { describe } from "./check.js";
import type { Device, OpenOptions } from "./device.js";
import { DeviceError } from "./errors.js";
import type { Host } from "./host.js";
import { javascriptDevice } from "./javascript/device.js";
import type { DevicePlan, Plan } from "./plan.js";
import { valueAt } from "./records.js";
import { autoOrder, deviceNames, isBuiltIn, registry, type BuiltInDevice, type DeviceName } from "./registry.js";
import { wasmDevice } from "./wasm/device.js";
import { hardwareDevice, webgpuDevice } from "./webgpu/device.js";

/**
 * Opens a device by name. Throws DeviceError where it is not there, the host refuses it, or there is none of that name.
 */
export async function openOn(
  host: Host,
  name: DeviceName | "auto" = "auto",
  options: OpenOptions = {},
): Promise<Device> {
  checkOptions(options);
  if (name === "auto") return firstOf(host, deviceNames, options, (device) => Promise.resolve(device));
  if (!isBuiltIn(name)) throw unknown(name);
  return openNamed(host, name, options).catch((error: unknown) => {
    if (name === "webgpu" || !(error instanceof DeviceError) || error.fix === null) throw error;
    throw new DeviceError(error.message, `${error.fix}, or let the device \`auto\` choose another`);
  });
}

/** What opens each device. */
const openers: Readonly<Record<BuiltInDevice, (host: Host, options: OpenOptions) => Device | Promise<Device>>> = {
  native: (host, options) => host.native(options),
  wasm: wasmDevice,
  webgpu: webgpuDevice,
  javascript: javascriptDevice,
};

// Async, so that a device that is refused at once is a rejection too.
const openNamed = async (host: Host, name: BuiltInDevice, options: OpenOptions): Promise<Device> =>
  openers[name](host, options);

const unknown = (name: unknown): DeviceError =>
  new DeviceError(
    `there is no device of this name: \`device\` is ${describe(name)}`,
    `there are auto, ${deviceNames.join(", ")}; a device of your own is opened by its module and passed itself`,
  );

/** Throws DeviceError for wrong options. That is no refusal, after which `auto` could try another device. */
function checkOptions({ threads }: OpenOptions): void {
  if (threads === undefined || (Number.isInteger(threads) && threads >= 1 && threads <= 64)) return;
  throw new DeviceError(`a device cannot have ${threads} threads`, "ask for 1 to 64");
}

/** The fix for a plan that lacks the code of a device: compile it for the devices that it has, and for that one. */
const compiledFor = (names: readonly BuiltInDevice[]): string =>
  `compile it with \`--target ${["typescript", ...names.map((name) => registry[name].target)].join(",")}\``;

/** The devices of mhc that a plan was compiled for. */
const devicesOf = (plan: Plan): readonly BuiltInDevice[] => deviceNames.filter((name) => plan.devices[name]);

/** Uses a device that was opened. */
type DeviceUse<T> = (device: Device) => Promise<T>;

/**
 * Opens a device that a plan was compiled for, and uses it; `auto` goes on to the next where either is refused. It is
 * closed when it is not used.
 */
export async function openFor<T>(
  host: Host,
  plan: Plan,
  name: DeviceName | "auto",
  options: OpenOptions,
  use: DeviceUse<T>,
): Promise<T> {
  checkOptions(options);
  if (name === "auto") return firstOf(host, devicesOf(plan), options, use, plan.name);
  if (!isBuiltIn(name)) throw unknown(name);
  checkCompiled(plan, name);
  return used(await openOn(host, name, options), use);
}

/** The plan for a device. Throws DeviceError when it was not compiled for that. */
export function checkCompiled(plan: Plan, name: DeviceName): DevicePlan {
  const compiled = valueAt(plan.devices, name);
  if (compiled) return compiled;
  const has = Object.keys(plan.devices).join(", ") || "no devices";
  throw new DeviceError(
    `${plan.name} was not compiled for ${name}; it has ${has}`,
    isBuiltIn(name)
      ? compiledFor([...devicesOf(plan), name])
      : `compile it with the path of the module of ${name} among \`--target\``,
  );
}

async function used<T>(device: Device, use: DeviceUse<T>): Promise<T> {
  try {
    return await use(device);
  } catch (error) {
    await device.close();
    throw error;
  }
}

interface Refusal {
  readonly name: BuiltInDevice;
  readonly error: DeviceError;
}

/**
 * The first device, in the order of `auto`, that is there and can be used. `model` is the name of what was compiled
 * for these devices.
 */
async function firstOf<T>(
  host: Host,
  names: readonly BuiltInDevice[],
  options: OpenOptions,
  use: DeviceUse<T>,
  model?: string,
): Promise<T> {
  const refused: Refusal[] = [];
  for (const { name, hardware } of autoOrder) {
    // A GPU that was refused is not asked again.
    if (!names.includes(name) || refused.some((refusal) => refusal.name === name)) continue;
    try {
      const device = await (hardware ? hardwareDevice(host) : openNamed(host, name, options));
      if (!device) continue;
      const notes = refused.map(({ name: other, error }) => `${name}, not ${other}: ${error.message}`);
      return await used(notes.length ? { ...device, notes: [...notes, ...device.notes] } : device, use);
    } catch (error) {
      if (!(error instanceof DeviceError)) throw error;
      refused.push({ name, error });
    }
  }
  throw noneOf(
    refused,
    model === undefined ? "no device can be used here" : `${model} cannot run here`,
    await compilable(host, names),
  );
}

/**
 * What a plan was compiled for, and devices that can be opened here that it was not compiled for; nothing when there
 * are none of these.
 */
async function compilable(host: Host, names: readonly BuiltInDevice[]): Promise<readonly BuiltInDevice[]> {
  const others: BuiltInDevice[] = [];
  for (const name of deviceNames.filter((other) => !names.includes(other))) {
    try {
      await (await openNamed(host, name, { threads: 1 })).close();
      others.push(name);
    } catch (error) {
      if (!(error instanceof DeviceError)) throw error;
    }
  }
  return others.length ? [...names, ...others] : [];
}

function noneOf(refused: readonly Refusal[], what: string, could: readonly BuiltInDevice[]): DeviceError {
  // That a GPU is missing is mended last.
  const asked = refused.some(({ name }) => name !== "webgpu")
    ? refused.filter(({ name }) => name !== "webgpu")
    : refused;
  const fixes = [...asked.map(({ error }) => error.fix), could.length ? compiledFor(could) : null].filter(
    (fix) => fix !== null,
  );
  const reasons = refused.map(({ name, error }) => `${name}: ${error.message}`).join("; ");
  return new DeviceError(
    `${what}: ${reasons || "it was compiled for none of its devices"}`,
    fixes.join("; or ") || null,
  );
}
