/**
 * A device as the tools have it: open, with what makes kernels for it. Devices that come with mhc and those of a user's
 * own are alike from here on. What a user's module throws is told as an error of that device, never as a bug of mhc,
 * and what it hands out is looked at before it is used, since it may be plain JavaScript.
 */
import { printerOf } from "../../codegen/registry.js";
import type { DeviceTarget, KernelPrinter } from "../../codegen/target.js";
import { describe, isObject } from "../../runtime/check.js";
import {
  sizeOf,
  type Device,
  type DeviceName,
  type OpenOptions,
  type Session,
  type Words,
} from "../../runtime/device.js";
import type { TensorRef } from "../../runtime/plan.js";
import { DeviceError, MhcError, messageOf } from "../../runtime/errors.js";
import { openDevice } from "../../runtime/index.js";

/** A device that is open, and what makes its kernels. */
export interface OpenedDevice extends Device {
  /** Prints its kernels; `printer.profile` says what they are. */
  readonly printer: KernelPrinter;
  /** What `compile` takes for it among its devices. */
  readonly target: DeviceName | DeviceTarget;
  /** The path of the module that it is; null for a device that comes with mhc, or that is in none. */
  readonly module: string | null;
}

/**
 * Opens a device of mhc by its name, or one of a user's own, which may be in a module. Throws DeviceError where it
 * cannot be used.
 */
export async function openTarget(
  asked: DeviceName | DeviceTarget,
  options: OpenOptions,
  module: string | null = null,
): Promise<OpenedDevice> {
  if (typeof asked === "string") {
    const device = await openDevice(asked, options);
    return { ...device, printer: printerOf(device.name), target: device.name, module };
  }
  const target = checkedTarget(asked);
  return { ...(await target.open(options)), printer: target, target, module };
}

/** What a call of a user's device does, with its name put before what it throws. */
async function blamed<T>(what: string, call: () => T | Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw told(what, error);
  }
}

/** What a user's device has thrown, as an error of ours; one of another copy of the package keeps its fix. */
function told(what: string, error: unknown): MhcError {
  if (error instanceof MhcError) return error;
  const fix = error instanceof Error && "fix" in error && typeof error.fix === "string" ? error.fix : null;
  return new DeviceError(`${what}: ${messageOf(error)}`, fix);
}

/** A user's target whose errors are DeviceErrors that name it, and whose device is what a device must be. */
const checkedTarget = (target: DeviceTarget): DeviceTarget => ({
  ...toldPrinter(target),
  open: async (options) =>
    deviceFrom(target.name, await blamed(`${target.name} cannot be opened`, () => target.open(options))),
});

/** A user's printer whose errors are DeviceErrors that name it. */
export function toldPrinter(target: KernelPrinter): KernelPrinter {
  const { name, profile } = target;
  return {
    kind: "kernels",
    name,
    profile,
    print: (kernels) =>
      blamed(`the printer of ${name} failed`, async () => {
        const code: unknown = await target.print(kernels);
        if (isObject(code) && typeof code["kind"] === "string") return code as Awaited<ReturnType<typeof target.print>>;
        throw new Error(`\`print\` gives ${describe(code)}, and the code of a device is expected ({ kind, … })`);
      }),
    files: (stem, code) => {
      try {
        return target.files(stem, code);
      } catch (error) {
        throw told(`\`files\` of ${name} failed`, error);
      }
    },
  };
}

/** What a device must have, by the type of each. */
const DEVICE = {
  name: "string",
  adapter: "string",
  threads: "number",
  software: "boolean",
  subgroup: "number",
  notes: "object",
  load: "function",
  close: "function",
} as const satisfies Readonly<Partial<Record<keyof Device, string>>>;

/** What a session must have. */
const SESSION = {
  run: "function",
  profile: "function",
  write: "function",
  read: "function",
  submits: "number",
  bytes: "number",
  close: "function",
} as const satisfies Readonly<Record<keyof Session, string>>;

/** A member of what may be an instance of a class; undefined of what is no object. */
const memberOf = (value: unknown, key: string): unknown =>
  typeof value === "object" && value !== null ? (Reflect.get(value, key) as unknown) : undefined;

/** Throws a DeviceError for what lacks a member of an interface. */
function mustHave(value: unknown, members: Readonly<Record<string, string>>, what: string): void {
  const lacking = Object.entries(members).find(([key, type]) => typeof memberOf(value, key) !== type);
  if (!lacking) return;
  const [key, type] = lacking;
  throw new DeviceError(
    `${what} has no \`${key}\` that is ${type === "object" ? "an" : "a"} ${type}`,
    "the interfaces Device and Session of mhc-lang/runtime say what each member is; docs/extending.md has an example",
  );
}

/** A user's device as a plain record, whatever it is made of: the tools copy devices with other members. */
function deviceFrom(name: string, device: Device): Device {
  mustHave(device, DEVICE, `the device that ${name} opens`);
  if (device.name !== name)
    throw new DeviceError(`the device that ${name} opens is called ${device.name}`, "give both the same name");
  const { adapter, threads, software, subgroup, vectors, bf16, notes } = device;
  return {
    name,
    adapter,
    threads,
    software,
    subgroup,
    ...(vectors ? { vectors } : {}),
    ...(bf16 === undefined ? {} : { bf16 }),
    notes,
    load: async (plan) => sessionFrom(name, await blamed(`${name} cannot load a plan`, () => device.load(plan))),
    close: () => blamed(`${name} cannot be closed`, () => device.close()),
  };
}

/** What a call gave for a tensor. Throws where it is not as many words, or not of its type. */
function wordsOf(words: unknown, ref: TensorRef, call: string): Words {
  const type = ref.dtype === "u32" ? "Uint32Array" : "Float32Array";
  const size = sizeOf(ref);
  if (words instanceof (ref.dtype === "u32" ? Uint32Array : Float32Array) && words.length === size) return words;
  const found =
    words instanceof Float32Array || words instanceof Uint32Array ? `${words.length} words` : describe(words);
  throw new Error(`\`${call}\` gives ${found} for a tensor, and a ${type} of ${size} is expected`);
}

function sessionFrom(name: string, session: Session): Session {
  mustHave(session, SESSION, `a session of ${name}`);
  const failed = (what: string): string => `${name} failed to ${what}`;
  return {
    get submits() {
      return session.submits;
    },
    bytes: session.bytes,
    run: (entry, read = []) =>
      blamed(failed(`run \`${entry}\``), async () => {
        const all: unknown = await session.run(entry, read);
        if (!Array.isArray(all) || all.length !== read.length)
          throw new Error(`\`run\` gives ${describe(all)}, and ${read.length} tensors were asked for`);
        return read.map((ref, i) => wordsOf(all[i], ref, "run"));
      }),
    profile: (entry) =>
      blamed(failed(`time \`${entry}\``), async () => {
        const times: unknown = await session.profile(entry);
        if (Array.isArray(times) && times.every((ms) => typeof ms === "number")) return times;
        throw new Error(`\`profile\` gives ${describe(times)}, and a list of milliseconds is expected`);
      }),
    write: (ref, data, at) => {
      try {
        session.write(ref, data, at);
      } catch (error) {
        throw told(failed("write"), error);
      }
    },
    read: (ref) => blamed(failed("read"), async () => wordsOf(await session.read(ref), ref, "read")),
    close: () => blamed(failed("close a session"), () => session.close()),
  };
}
