/**
 * The skeleton of matrix products: reads the contraction as a product (`../../fusion/contraction.ts`) and hands it to
 * the half for the device's kind, `cpu.ts` or `gpu.ts`. The elementwise epilogue of the cluster is emitted on the
 * accumulators (`../epilogue.ts`).
 */
import type { KernelProfile } from "../../../kernel/profile.js";
import { readProduct } from "../../fusion/contraction.js";
import { kernelize, type Bound, type Places } from "../../emit/kernelize.js";
import { matmulCpu } from "./cpu.js";
import { isOfBf16, matmulBf16 } from "./cpu-bf16.js";
import { matmulGpu } from "./gpu.js";
import type { Cluster } from "../../fusion/clusters.js";
import { anchorOf } from "../anchor.js";

/** The kernel of a cluster whose anchor is a matrix product. */
export function matmulKernel(cluster: Cluster, profile: KernelProfile, places: Places): Bound {
  const node = anchorOf(cluster, "contract");
  const product = readProduct(node, places.isBase);
  const request = { name: "matmul", clusters: [cluster], profile, places, lanes: profile.lanes };
  if (profile.kind === "gpu")
    return kernelize({ ...request, workgroup: profile.workgroup }, (bench) => matmulGpu(bench, cluster, node, product));
  // Coefficients of connections stay in f32, however many a stream of many lanes has.
  const isRounded = profile.products === "bf16" && isOfBf16(product) && !node.origin.connects;
  const make = isRounded ? matmulBf16 : matmulCpu;
  return kernelize({ ...request, workgroup: 1 }, (bench) => make(bench, cluster, node, product));
}
