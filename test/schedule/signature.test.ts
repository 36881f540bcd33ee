/** Regions of one signature share a kernel: what is shared is what would have been made for each. */
import { expect, it } from "vitest";
import { loadTarget } from "../../codegen/registry.js";
import type { KernelPrinter } from "../../codegen/target.js";
import { structuralKey } from "../../src/kernel/text.js";
import { legalize } from "../../src/schedule/fusion/legalize.js";
import type { Cluster } from "../../src/schedule/fusion/clusters.js";
import { partition } from "../../src/schedule/fusion/partition.js";
import { arrange } from "../../src/schedule/fusion/regions.js";
import { rematerialize } from "../../src/schedule/fusion/rematerialize.js";
import { rowKernel } from "../../src/schedule/skeletons/rows.js";
import { matmulKernel } from "../../src/schedule/skeletons/matmul/index.js";
import { signatureOf } from "../../src/schedule/signature.js";
import { fitChip, regionGpu } from "../../src/schedule/skeletons/region/gpu.js";
import { regionCpu } from "../../src/schedule/skeletons/region/cpu.js";
import type { Place, Places } from "../../src/schedule/emit/kernelize.js";
import type { Node } from "../../src/graph/node.js";
import { entriesOf, readSpec } from "../helpers/specs.js";

const vocabulary = Array.from({ length: 65 }, (_, i) => String.fromCodePoint(40 + i));

const devices = [
  ["native", regionCpu],
  ["wasm", regionCpu],
  ["wgsl", regionGpu],
] as const;

it.each(["moby-dick", "nanogpt"].flatMap((spec) => devices.map(([target, make]) => [spec, target, make] as const)))(
  "regions of %s with one signature would have been given the same kernel text, in %s",
  async (spec, target, make) => {
    const graph = legalize(
      entriesOf(readSpec(spec), { facts: { corpus: { vocabulary } }, set: { layers: "3" } }).graphs.find(
        ({ name }) => name === "gradients",
      )!,
    );
    const { profile } = (await loadTarget(target)) as KernelPrinter;
    const { parts, regions: arranged, classes } = arrange(graph, rematerialize(graph, partition(graph)), profile.kind);
    const regions = arranged.map((region) =>
      profile.kind === "gpu" ? fitChip(region, classes, profile, parts.isBase) : region,
    );
    const chip = new Set(regions.flatMap(({ onChip }) => [...onChip]));
    const made = new Map<Node, Place>();
    const places: Places = {
      isBase: parts.isBase,
      of: (node) => {
        if (!parts.isBase(node) || chip.has(node)) return null;
        if (!made.has(node))
          made.set(node, { pool: node.dtype === "u32" ? "ints" : node.op === "parameter" ? "state" : "work" });
        return made.get(node)!;
      },
      scratch: () => ({ pool: "work" }),
    };
    const texts = new Map<string, Set<string>>();
    let shared = 0;
    for (const region of regions) {
      const [cluster] = region.clusters as [Cluster];
      const bound =
        region.clusters.length > 1
          ? make(region, classes, profile, places)
          : cluster.kind === "map"
            ? rowKernel(cluster, profile, places)
            : cluster.kind === "matmul"
              ? matmulKernel(cluster, profile, places)
              : null;
      if (!bound) continue;
      const { text } = signatureOf(region, classes, places);
      if (texts.has(text)) shared++;
      texts.set(text, (texts.get(text) ?? new Set()).add(structuralKey(bound.kernel)));
    }
    for (const kernels of texts.values()) expect(kernels.size).toBe(1);
    expect(shared).toBeGreaterThan(20);
  },
);
