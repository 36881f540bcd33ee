/** Opens a device by name. `auto` takes a hardware GPU, else WebAssembly: a GPU emulated in software is slower than the CPU it runs on. */
import type { Device, DeviceName } from "./device.js";
import { DeviceError } from "./errors.js";
import type { Host } from "./host.js";
import { javascriptDevice } from "./javascript/device.js";
import { wasmDevice } from "./wasm/device.js";
import { hardwareDevice, webgpuDevice } from "./webgpu/device.js";

export interface OpenOptions {
  /** Worker threads of the wasm device; all cores, at most 8, when not given. */
  readonly threads?: number | undefined;
  /** Whether the wasm device runs the variant with fused multiply-add; where the engine has it when not given. */
  readonly relaxed?: boolean | undefined;
}

export const deviceNames: readonly DeviceName[] = ["wasm", "webgpu", "javascript"];

export async function openOn(host: Host, name: DeviceName | "auto" = "auto", options: OpenOptions = {}): Promise<Device> {
  switch (name) {
    case "wasm": return wasmDevice(host, options);
    case "javascript": return javascriptDevice();
    case "webgpu": return webgpuDevice(host);
    case "auto": return (await hardwareDevice(host)) ?? openOn(host, "wasm", options);
    default: {
      name satisfies never;
      throw new DeviceError(`there is no device ${String(name)}`, `there are auto, ${deviceNames.join(", ")}`);
    }
  }
}
