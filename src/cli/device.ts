/** The device that a command is asked for, and what it does without, which is said once. */
import { resolve } from "node:path";
import type { DeviceName } from "../../runtime/device.js";
import type { OpenedDevice } from "../tools/opened.js";
import { deviceNamed } from "./targets.js";

/** The device that a command is asked for. */
export interface DeviceOptions {
  /** Its name, or the path of a module that is one. */
  readonly device: DeviceName;
  readonly threads?: number | undefined;
}

/** Opens it; notes go to the terminal, apart from what a command prints. */
export async function openAsked({ device: word, threads }: DeviceOptions): Promise<OpenedDevice> {
  const { openTarget } = await import("../tools/opened.js");
  const target = word === "auto" ? word : await deviceNamed(word);
  const options = { threads, wide: true };
  const device = await openTarget(target, options, typeof target === "string" ? null : resolve(word));
  for (const note of device.notes) process.stderr.write(`note: ${note}\n`);
  return device;
}
