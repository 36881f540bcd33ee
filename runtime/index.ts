/**
 * The runtime's front door in Node: `import { load } from "mhc-lang/runtime"`. Pages, and bundlers that do not say that
 * they bundle for Node, come in by `web/index.ts`, which has the same exports. The runtime imports nothing of the
 * compiler.
 *
 * @module mhc-lang/runtime
 */
import type { Device, DeviceName, OpenOptions } from "./device.js";
import type { LoadOptions, Model } from "./interface.js";
import { loadOn } from "./model.js";
import { nodeHost } from "./node/host.js";
import { openOn } from "./open.js";
import type { Plan } from "./plan.js";

export * from "./shared.js";

/** Puts a compiled model on a device. Throws DeviceError when there is no such device. */
export const load = (plan: Plan, options?: LoadOptions): Promise<Model> => loadOn(nodeHost, plan, options);

/** Opens a device by name, "auto" by default. Throws DeviceError when there is no such device. */
export const openDevice = (name?: DeviceName | "auto", options?: OpenOptions): Promise<Device> =>
  openOn(nodeHost, name, options);
