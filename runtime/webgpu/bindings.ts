/**
 * What kernels are bound to. WebGPU tracks usage by whole buffer, so a kernel sees each pool once, writable if any of
 * its buffers is; its bind group layout is decided by that alone, and a few layouts and bind groups serve all kernels.
 * The offsets of a dispatch are a window of one uniform buffer.
 */
import { COPIES, OFFSETS_BINDING, poolBindings, type DevicePlan, type KernelInfo, type PoolName } from "../plan.js";

/** Pools in the order of their bindings. */
export const POOLS = Object.keys(poolBindings) as readonly PoolName[];

/** How a kernel uses each pool, a letter a pool. */
export const usageOf = (kernel: KernelInfo): string =>
  POOLS.map((pool) => {
    const buffers = kernel.buffers.filter((buffer) => buffer.pool === pool);
    return buffers.length === 0 ? "-" : buffers.every(({ access }) => access === "read") ? "r" : "w";
  }).join("");

/**
 * Bytes of the uniform that a dispatch binds: as much as the WGSL of the kernel with most buffers declares; only its
 * own copies are there.
 */
export const argsBytesOf = ({ kernels }: DevicePlan): number =>
  16 * COPIES * Math.max(1, ...kernels.map(({ buffers }) => Math.ceil(buffers.length / 4)));

/** What kernels are bound to, by how they use the pools (`usageOf`). */
export interface PoolBindings {
  /** By usage; each is made once. */
  readonly layout: (usage: string) => GPUBindGroupLayout;
  readonly group: (usage: string) => GPUBindGroup;
}

/** Bindings to these pools, and to windows of `argsBytes` of the uniform. */
export function bindingsOf(
  gpu: GPUDevice,
  pools: Readonly<Record<PoolName, GPUBuffer>>,
  uniform: GPUBuffer,
  argsBytes: number,
): PoolBindings {
  const usedBy = (usage: string): readonly PoolName[] => POOLS.filter((_, i) => usage[i] !== "-");
  const layout = once((usage) =>
    gpu.createBindGroupLayout({
      entries: [
        ...usedBy(usage).map((pool) => ({
          binding: poolBindings[pool],
          visibility: GPUShaderStage.COMPUTE,
          buffer: { type: usage[POOLS.indexOf(pool)] === "r" ? ("read-only-storage" as const) : ("storage" as const) },
        })),
        {
          binding: OFFSETS_BINDING,
          visibility: GPUShaderStage.COMPUTE,
          buffer: { type: "uniform" as const, hasDynamicOffset: true, minBindingSize: argsBytes },
        },
      ],
    }),
  );
  const group = once((usage) =>
    gpu.createBindGroup({
      layout: layout(usage),
      entries: [
        ...usedBy(usage).map((pool) => ({ binding: poolBindings[pool], resource: { buffer: pools[pool] } })),
        { binding: OFFSETS_BINDING, resource: { buffer: uniform, size: argsBytes } },
      ],
    }),
  );
  return { layout, group };
}

function once<T>(make: (usage: string) => T): (usage: string) => T {
  const byUsage = new Map<string, T>();
  return (usage) => {
    const binding = byUsage.get(usage) ?? make(usage);
    byUsage.set(usage, binding);
    return binding;
  };
}
