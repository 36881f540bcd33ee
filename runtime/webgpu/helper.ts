/**
 * A second device of the same adapter that compiles kernels beside the first. It helps where three things hold: the
 * driver compiles a kernel when it is first run, on the thread of the device's queue; what it compiled lies in a cache
 * that other devices look into; and there is a core to spare. That is Mesa's llvmpipe (lavapipe), in Node: a page
 * cannot know any of it. SwiftShader compiles with the pipeline and shares nothing.
 */
import type { Host } from "../host.js";
import { findAdapter } from "./adapter.js";

/** Opens the helper; null when there is none to be had. */
export type OpenHelper = () => Promise<GPUDevice | null>;

/** How to open a helper for a device of this adapter; null where it would be of no use. */
export function helperFor(host: Host, adapter: GPUAdapter, features: readonly GPUFeatureName[]): OpenHelper | null {
  if (!compilesLate(adapter.info) || !host.sharesKernels() || host.cores() < 2) return null;
  return async () => {
    try {
      // An adapter gives one device. What it is asked for is the same: features decide what a kernel becomes, and so
      // where the cache has it.
      const device = await (await findAdapter(host)).requestDevice({ requiredFeatures: [...features] });
      // Without a listener Dawn prints what the first device will report.
      device.addEventListener("uncapturederror", (event) => event.preventDefault());
      return device;
    } catch {
      return null;
    }
  };
}

/** Whether the driver compiles a kernel when it is first run, and keeps it where its other devices find it. */
export const compilesLate = ({ description, device }: Pick<GPUAdapterInfo, "description" | "device">): boolean =>
  /llvmpipe|lavapipe/i.test(`${description} ${device}`);
