/** The device that a command is asked for, and what it does without, which is said once. */
import { openDevice } from "../../runtime/index.js";
import type { Device, DeviceName } from "../../runtime/device.js";

/** The device that a command is asked for. */
export interface DeviceOptions {
  readonly device: DeviceName | "auto";
  readonly threads?: number | undefined;
}

/** Opens it; notes go to the terminal, apart from what a command prints. */
export async function openAsked({ device: name, threads }: DeviceOptions): Promise<Device> {
  const device = await openDevice(name, { threads, wide: true });
  for (const note of device.notes) process.stderr.write(`note: ${note}\n`);
  return device;
}
