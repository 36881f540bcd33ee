/**
 * mhc devices: what this machine can run on, and which one `auto` takes; `--calibrate` measures one of them for `mhc
 * cost`.
 */
import { cpus, totalmem } from "node:os";
import { join, resolve } from "node:path";
import { Command } from "commander";
import type { BuiltInDevice, Device, DeviceName } from "../../runtime/device.js";
import { autoOrder, isBuiltIn, registry } from "../../runtime/registry.js";
import { write } from "./interrupt.js";
import * as options from "./options.js";
import { UsageError } from "./outcome.js";
import { DataError } from "../../runtime/errors.js";

interface DevicesFlags {
  readonly json?: boolean;
  readonly calibrate?: boolean;
  readonly device: DeviceName;
  readonly threads?: number;
  readonly out?: string;
}

/** A line of `mhc devices`: the device where it can be used, else why it cannot be and what to do. */
interface DeviceRow {
  readonly device: BuiltInDevice;
  readonly usable: boolean;
  readonly adapter: string | null;
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
  /** What the host refused, so that the device does without it. */
  readonly notes: readonly string[];
  readonly why: string | null;
  readonly fix: string | null;
}

/** The command `mhc devices`. */
export const devicesCommand = (): Command =>
  new Command("devices")
    .description("list the devices of this machine, or measure one")
    .option("--calibrate", "measure a device and keep its profile, which `mhc cost` then takes")
    .addOption(options.device())
    .addOption(options.threads())
    .option("-o, --out <file>", "with --calibrate: write the profile there instead")
    .addOption(options.json())
    .action(async ({ json, calibrate: asked, device: name, threads, out }: DevicesFlags) => {
      if (asked) return calibrateDevice(name, { threads, out, json: json === true });
      const idle = out !== undefined ? "-o" : threads !== undefined ? "--threads" : name !== "auto" ? "--device" : null;
      if (idle) throw new UsageError(`error: ${idle} goes with --calibrate`);
      const { openDevice } = await import("../../runtime/index.js");
      const taken = await openDevice("auto").then(
        async (device) => (await device.close(), device.name),
        () => null,
      );
      for (const name of new Set(autoOrder.map(({ name: listed }) => listed))) {
        const row = await rowOf(name);
        const isDefault = name === taken;
        process.stdout.write(json ? `${JSON.stringify({ ...row, default: isDefault })}\n` : inWords(row, isDefault));
      }
      const last = taken === null ? "no device can be used here" : "* is what --device auto takes";
      if (!json) process.stdout.write(`${last}\n`);
    });

function inWords({ device, adapter, features, notes, why, fix }: DeviceRow, taken: boolean): string {
  const head = `${taken ? "*" : " "} ${device.padEnd(11)} `;
  if (adapter === null) return `${head}not here: ${why}${fix ? ` (${fix})` : ""}\n`;
  const list = features.length ? `  [${features.join(", ")}]` : "";
  return `${[`${head}${adapter}${list}`, ...notes.map((note) => `${" ".repeat(head.length)}${note}`)].join("\n")}\n`;
}

async function rowOf(device: BuiltInDevice): Promise<DeviceRow> {
  const { MhcError } = await import("../../runtime/errors.js");
  try {
    return { device, usable: true, why: null, fix: null, ...(await descriptions[device]()) };
  } catch (error) {
    if (!(error instanceof MhcError)) throw error;
    const { message: why, fix } = error;
    return { device, usable: false, adapter: null, features: [], limits: {}, notes: [], why, fix };
  }
}

type Description = Pick<DeviceRow, "adapter" | "features" | "limits" | "notes">;

/** Opens a device and describes it. */
async function opened(
  name: BuiltInDevice,
  describe: (device: Device) => Omit<Description, "notes">,
): Promise<Description> {
  const { openDevice } = await import("../../runtime/index.js");
  const device = await openDevice(name, { wide: true });
  await device.close();
  return { ...describe(device), notes: device.notes };
}

const threaded = ({ threads }: Device): readonly string[] => (threads > 1 ? ["threads"] : []);

/** What is said of each device. */
const descriptions: Readonly<Record<BuiltInDevice, () => Promise<Description>>> = {
  native: () =>
    opened("native", (device) => ({
      adapter: device.adapter,
      features: [...threaded(device), device.bf16 ? `bf16 by ${device.bf16}` : "no unit for bf16"],
      limits: { threads: device.threads, ...device.vectors },
    })),
  wasm: async () => {
    const { hasRelaxedSimd } = await import("../../runtime/wasm/device.js");
    return opened("wasm", (device) => ({
      adapter: device.adapter,
      features: ["simd", ...(hasRelaxedSimd() ? ["relaxed-simd"] : []), ...threaded(device)],
      limits: { threads: device.threads, memory: registry.wasm.addressable },
    }));
  },
  webgpu: async () => {
    const { nodeHost } = await import("../../runtime/node/host.js");
    const { describeAdapter } = await import("../../runtime/webgpu/adapter.js");
    const { adapter, features, limits } = await describeAdapter(nodeHost);
    return { adapter, features, limits, notes: [] };
  },
  javascript: () => opened("javascript", ({ adapter }) => ({ adapter, features: [], limits: {} })),
};

async function calibrateDevice(
  name: DeviceName | "auto",
  {
    threads,
    out,
    json,
  }: { readonly threads: number | undefined; readonly out: string | undefined; readonly json: boolean },
): Promise<void> {
  if (name !== "auto" && !isBuiltIn(name))
    throw new UsageError(
      `error: --calibrate --device ${name}: profiles are of the devices that come with mhc; \`mhc bench --kernels\` ` +
        "measures one of your own",
    );
  const { openTarget } = await import("../tools/opened.js");
  const { nodeHost } = await import("../../runtime/node/host.js");
  const { calibrate } = await import("../tools/calibrate.js");
  const { likestTo } = await import("../cost/profiles.js");
  const { profileFolder } = await import("./profiles.js");
  const { choicesFor } = await import("./tuned.js");
  const device = await openTarget(name, { threads, wide: true });
  try {
    if (!isBuiltIn(device.name)) throw new Error(`bug: \`auto\` has taken ${device.name}`);
    const processor = cpus()[0]?.model ?? "an unknown processor";
    const host = `${processor}, Node ${process.versions.node}, ${new Date().toISOString().slice(0, 10)}`;
    const gpu =
      device.printer.profile.kind === "gpu"
        ? await (await import("../../runtime/webgpu/adapter.js")).describeAdapter(nodeHost)
        : null;
    const { addressable, kind } = registry[device.name];
    const { profile, restless } = await calibrate(device, {
      host,
      memoryBytes: gpu ? null : Math.min(totalmem(), addressable),
      bindingBytes: gpu?.limits["maxStorageBufferBindingSize"] ?? null,
      half: gpu?.features.includes("shader-f16") ?? false,
      choices: choicesFor(device),
    });
    const file = out === undefined ? join(profileFolder(), `${device.name}.json`) : resolve(out);
    if (restless !== null)
      process.stderr.write(
        `warning: rounds of ${restless.load} differ by ${restless.percent}%: something else runs on this ` +
          `machine, and the figures are those of its best moments; measure again when it is quiet\n`,
      );
    const kept = await keepProfile(file, `${JSON.stringify(profile, null, 2)}\n`, out !== undefined);
    if (json) process.stdout.write(`${JSON.stringify({ ...profile, file: kept ? file : null })}\n`);
    else {
      const rates = Object.entries(profile.gflops).map(([work, rate]) => `${work} ${rate}`);
      const levels = profile.levels.map(({ name: level, gbytes }) => `${level} ${gbytes}`);
      process.stdout.write(
        `${device.name} (${device.adapter}), GFLOP/s: ${rates.join(", ")}; GB/s: ${levels.join(", ")}; ` +
          `${profile.dispatch_us} us a dispatch, ${profile.step_us} us a step\n` +
          `${kept ? `written to ${file}; ` : ""}energy is not measured, but of the profile ${likestTo(kind).name}\n`,
      );
    }
  } finally {
    await device.close();
  }
}

/**
 * Whether it was written. A place that was asked for must be; without the cache folder, what was measured is still
 * told.
 */
async function keepProfile(file: string, text: string, asked: boolean): Promise<boolean> {
  try {
    await write(file, text);
    return true;
  } catch (error) {
    if (asked || !(error instanceof DataError)) throw error;
    process.stderr.write(
      `warning: the profile is not kept: ${error.message}; MHC_CACHE names another folder, -o a file\n`,
    );
    return false;
  }
}
