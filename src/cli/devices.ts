/** mhc devices: what this machine can run on, and which one `auto` takes. */
import { Command } from "commander";
import * as options from "./options.js";

interface Row {
  readonly device: string;
  readonly adapter: string;
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
  readonly default: boolean;
}

export const devicesCommand = (): Command =>
  new Command("devices")
    .description("list the devices of this machine")
    .addOption(options.json())
    .action(async ({ json }: { readonly json?: boolean }) => {
      const { openDevice } = await import("../../runtime/open.js");
      const { hasRelaxedSimd } = await import("../../runtime/wasm/device.js");
      const { describeAdapter } = await import("../../runtime/webgpu/adapter.js");
      const { MhcError } = await import("../../runtime/errors.js");
      const wasm = await openDevice("wasm");
      const rows: Row[] = [];
      let missing: string | null = null;
      try {
        const found = await describeAdapter();
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
