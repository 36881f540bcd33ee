/** The runtime's front door for pages and their workers: what `../index.ts` has, with nothing of Node within reach. */
import type { Device, DeviceName, OpenOptions } from "../device.js";
import type { LoadOptions, Model } from "../interface.js";
import { loadOn } from "../model.js";
import { openOn } from "../open.js";
import type { Plan } from "../plan.js";
import { webHost } from "./host.js";

export * from "../shared.js";

/** Puts a compiled model on a device. Throws DeviceError when there is no such device. */
export const load = (plan: Plan, options?: LoadOptions): Promise<Model> => loadOn(webHost, plan, options);

/** Opens a device by name, "auto" by default. Throws DeviceError when there is no such device. */
export const openDevice = (name?: DeviceName | "auto", options?: OpenOptions): Promise<Device> =>
  openOn(webHost, name, options);
