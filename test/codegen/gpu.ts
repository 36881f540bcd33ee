/**
 * One WebGPU device for the suite, on the adapter that vitest.config.ts sets up; kept, since opening one takes a while.
 */
import { nodeHost } from "../../runtime/node/host.js";
import { findAdapter } from "../../runtime/webgpu/adapter.js";

let device: Promise<GPUDevice> | null = null;

export const gpuDevice = (): Promise<GPUDevice> =>
  (device ??= findAdapter(nodeHost).then((adapter) => adapter.requestDevice()));
