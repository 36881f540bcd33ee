/** mhc devices: what this machine can run on, and which one `auto` takes; `--calibrate` measures one of them for `mhc cost`. */
import { cpus, totalmem } from "node:os";
import { join, resolve } from "node:path";
import { Command } from "commander";
import type { DeviceName } from "../../runtime/device.js";
import { write } from "./interrupt.js";
import * as options from "./options.js";
import { UsageError } from "./outcome.js";

interface DevicesFlags {
  readonly json?: boolean;
  readonly calibrate?: boolean;
  readonly device: DeviceName | "auto";
  readonly threads?: number;
  readonly out?: string;
}

interface Row {
  readonly device: string;
  readonly adapter: string;
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
  readonly default: boolean;
}

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
      const { hasRelaxedSimd } = await import("../../runtime/wasm/device.js");
      const { nodeHost } = await import("../../runtime/node/host.js");
      const { describeAdapter } = await import("../../runtime/webgpu/adapter.js");
      const { MhcError } = await import("../../runtime/errors.js");
      const wasm = await openDevice("wasm");
      const rows: Row[] = [];
      let missing: string | null = null;
      try {
        const found = await describeAdapter(nodeHost);
        rows.push({ device: "webgpu", ...found, default: !found.software });
      } catch (error) {
        if (!(error instanceof MhcError)) throw error;
        missing = `${error.message}${error.fix ? ` (${error.fix})` : ""}`;
      }
      const hardware = rows.some((row) => row.default);
      rows.push({ device: "wasm", adapter: wasm.adapter, features: ["simd", ...(hasRelaxedSimd() ? ["relaxed-simd"] : []), ...(wasm.threads > 1 ? ["threads"] : [])], limits: { threads: wasm.threads, memory: 2 ** 32 }, default: !hardware });
      rows.push({ device: "javascript", adapter: "JavaScript", features: [], limits: {}, default: false });
      for (const { device, adapter, features, limits, default: chosen } of rows) {
        if (json) process.stdout.write(`${JSON.stringify({ device, adapter, features, limits, default: chosen })}\n`);
        else process.stdout.write(`${chosen ? "*" : " "} ${device.padEnd(11)} ${adapter}${features.length ? `  [${features.join(", ")}]` : ""}\n`);
      }
      if (!json) process.stdout.write(`${missing ? `  webgpu      not here: ${missing}\n` : ""}* is what --device auto takes\n`);
    });

async function calibrateDevice(name: DeviceName | "auto", { threads, out, json }: { readonly threads: number | undefined; readonly out: string | undefined; readonly json: boolean }): Promise<void> {
  const { openDevice } = await import("../../runtime/index.js");
  const { nodeHost } = await import("../../runtime/node/host.js");
  const { calibrate } = await import("../tools/calibrate.js");
  const { profileFolder } = await import("./profiles.js");
  const { choicesFor } = await import("./tuned.js");
  const device = await openDevice(name, { threads });
  try {
    const host = `${cpus()[0]?.model ?? "an unknown processor"}, Node ${process.versions.node}, ${new Date().toISOString().slice(0, 10)}`;
    const gpu = device.name === "webgpu" ? await (await import("../../runtime/webgpu/adapter.js")).describeAdapter(nodeHost) : null;
    const { profile, restless } = await calibrate(device, { host, memoryBytes: gpu ? null : Math.min(totalmem(), 2 ** 32), bindingBytes: gpu?.limits["maxStorageBufferBindingSize"] ?? null, half: gpu?.features.includes("shader-f16") ?? false, choices: choicesFor(device) });
    const file = out === undefined ? join(profileFolder(), `${device.name}.json`) : resolve(out);
    if (restless !== null) process.stderr.write(`warning: rounds of ${restless.load} differ by ${restless.percent}%: something else runs on this machine, and the figures are those of its best moments; measure again when it is quiet\n`);
    await write(file, `${JSON.stringify(profile, null, 2)}\n`);
    if (json) process.stdout.write(`${JSON.stringify({ ...profile, file })}\n`);
    else {
      const rates = Object.entries(profile.gflops).map(([work, rate]) => `${work} ${rate}`).join(", ");
      process.stdout.write(`${device.name} (${device.adapter}), GFLOP/s: ${rates}; GB/s: ${profile.levels.map(({ name: level, gbytes }) => `${level} ${gbytes}`).join(", ")}; ${profile.dispatch_us} us a dispatch, ${profile.step_us} us a step\n`);
      process.stdout.write(`written to ${file}; energy is not measured, but of the profile ${device.name === "webgpu" ? "laptop" : "cpu"}\n`);
    }
  } finally {
    await device.close();
  }
}
