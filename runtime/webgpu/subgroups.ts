/**
 * Whether an adapter's subgroups are what kernels take them for: invocations that follow each other in a workgroup lie
 * in one subgroup, in order, at least as many as the adapter says. WGSL does not promise the order, and a framework
 * that takes a size for granted trains with wrong sums where it is another. So before the first kernel that exchanges
 * values, a small sum is made by exchange and compared.
 */
import { DeviceError } from "../errors.js";

const INVOCATIONS = 64;

/** Checks clusters of this width, a power of two. */
export async function checkSubgroups(gpu: GPUDevice, width: number, least: number): Promise<void> {
  const fix = "compile without tuned choices for this adapter (`mhc tune` writes them anew), or use the device wasm";
  if (!gpu.features.has("subgroups"))
    throw new DeviceError(
      "the plan has kernels that exchange values within subgroups, and this adapter has no `subgroups`",
      fix,
    );
  if (least < width)
    throw new DeviceError(
      `the plan has kernels for subgroups of ${width} invocations, and those of this adapter may have ${least}`,
      fix,
    );
  const module = gpu.createShaderModule({
    label: "subgroups",
    code: `enable subgroups;
@group(0) @binding(0) var<storage, read_write> sums: array<u32>;
@compute @workgroup_size(${INVOCATIONS})
fn main(@builtin(local_invocation_index) local: u32, @builtin(subgroup_invocation_id) lane: u32) {
  var sum = 0u;
  for (var other = 0u; other < ${width}u; other += 1u) {
    sum += (other + 1u) * subgroupShuffle(local * local, (lane & ${~(width - 1) >>> 0}u) | other);
  }
  sums[local] = sum;
}`,
  });
  const pipeline = await gpu.createComputePipelineAsync({ layout: "auto", compute: { module, entryPoint: "main" } });
  const bytes = 4 * INVOCATIONS;
  const sums = gpu.createBuffer({ size: bytes, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC });
  const staging = gpu.createBuffer({ size: bytes, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
  const encoder = gpu.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(
    0,
    gpu.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: [{ binding: 0, resource: { buffer: sums } }],
    }),
  );
  pass.dispatchWorkgroups(1);
  pass.end();
  encoder.copyBufferToBuffer(sums, 0, staging, 0, bytes);
  gpu.queue.submit([encoder.finish()]);
  await staging.mapAsync(GPUMapMode.READ);
  const results = new Uint32Array(staging.getMappedRange().slice(0));
  sums.destroy();
  staging.destroy();
  if (results.some((sum, local) => sum !== expectedSum(local, width))) {
    throw new DeviceError(
      `the subgroups of this adapter are not runs of ${width} neighbours, as kernels of this plan need`,
      fix,
    );
  }
}

/** What the invocation gets when its cluster is the run of `width` neighbours that it lies in. */
export function expectedSum(local: number, width: number): number {
  const first = local - (local % width);
  return Array.from({ length: width }, (_, other) => (other + 1) * (first + other) ** 2).reduce(
    (sum, part) => sum + part,
    0,
  );
}
