/**
 * The skeleton of matrix products: reads the contraction as a product (`contraction.ts`) and hands it to the half for
 * the device's kind, `matmul-cpu.ts` or `matmul-gpu.ts`. The elementwise epilogue of the cluster is emitted on the
 * accumulators (`epilogue.ts`).
 */
import type { KernelProfile } from "../../../kernel/profile.js";
import type { NodeWith } from "../../../graph/node.js";
import { readProduct } from "../../fusion/contraction.js";
import { kernelize, type Bound, type Places } from "../../emit/kernelize.js";
import { matmulCpu } from "./cpu.js";
import { matmulGpu } from "./gpu.js";
import type { Cluster } from "../../fusion/partition.js";

export function matmulKernel(cluster: Cluster, profile: KernelProfile, places: Places): Bound {
  const node = cluster.anchor as NodeWith<"contract">;
  const product = readProduct(node, places.isBase);
  return profile.kind === "gpu"
    ? kernelize("matmul", [cluster], profile, places, profile.lanes, profile.workgroup, (bench) =>
        matmulGpu(bench, cluster, node, product),
      )
    : kernelize("matmul", [cluster], profile, places, profile.lanes, 1, (bench) =>
        matmulCpu(bench, cluster, node, product),
      );
}
