/**
 * What the kernels of regions go through: the stages of each, and where what stays on the chip lies in it. The
 * skeletons make the same stages again when they emit a region; here they can be seen and checked.
 */
import { mustGet } from "../../runtime/lookup.js";
import type { Graph, Node } from "../graph/node.js";
import { namesOf } from "../graph/text.js";
import type { KernelProfile } from "../kernel/profile.js";
import type { Cluster } from "./fusion/clusters.js";
import type { Arrangement, Region } from "./fusion/regions.js";
import { chain } from "./skeletons/region/chains.js";
import { planChip, type ChipPlan } from "./skeletons/region/on-chip.js";
import { stagesOf } from "./skeletons/region/stages.js";
import { tokensOf } from "./skeletons/region/tiles.js";

/** One pass of a region over its tokens: the clusters that it computes together. */
export interface StageView {
  readonly kind: string;
  readonly clusters: readonly Cluster[];
}

/** A region of several clusters as its kernel takes it. */
export interface RegionStages {
  readonly region: Region;
  /** The number of the region in its arrangement. */
  readonly number: number;
  readonly stages: readonly StageView[];
  /** Words of a node that belong to one token. */
  readonly wordsOf: (node: Node) => number;
  /** Where what stays on the chip from one stage to another lies, in words of one token. */
  readonly chip: ChipPlan;
}

/** The stages of every region of several clusters. */
export function stagesOfRegions({ regions, classes, parts }: Arrangement, profile: KernelProfile): RegionStages[] {
  return regions.flatMap((region, number) => {
    if (region.clusters.length === 1) return [];
    const { wordsOf } = tokensOf(region, classes);
    const stages =
      profile.kind === "gpu"
        ? stagesOf(region, classes, parts.isBase, true)
        : chain(stagesOf(region, classes, parts.isBase, false), region, parts.isBase);
    return [{ region, number, stages, wordsOf, chip: planChip(stages, region.onChip, wordsOf, 1) }];
  });
}

/** Stages as text, with the names that the graph's text gives its nodes. */
export function printStages(graph: Graph, regions: readonly RegionStages[]): string {
  const name = namesOf(graph);
  const lines = regions.flatMap(({ number, stages, wordsOf, chip }) => [
    `  region ${number}: ${chip.words} words of a token on the chip`,
    ...stages.map(({ kind, clusters }, i) => {
      const stored = clusters.flatMap(({ roots }) => roots.map(name)).join(", ");
      return `    stage ${i}: ${kind} of cluster ${clusters.map(({ order }) => order).join(", ")}, makes ${stored}`;
    }),
    ...Array.from(chip.offsets, ([node, at]) => `    ${name(node)} on the chip at ${at}, ${wordsOf(node)} words`),
  ]);
  return [`stages of ${graph.name} {`, ...lines, "}"].join("\n");
}

/**
 * What is wrong with the stages of regions: every cluster is in one stage, none reads what a later stage makes, and no
 * two nodes that are on the chip at once share words. Nothing when they are sound.
 */
export function verifyStages(graph: Graph, regions: readonly RegionStages[]): readonly string[] {
  const name = namesOf(graph);
  return regions.flatMap((each) => [...wrongStages(each, name), ...wrongOnChip(each, name)]);
}

/** The stage that stores a node; -1 for none of these. */
const madeAt = (stages: readonly StageView[], node: Node): number =>
  stages.findIndex(({ clusters }) => clusters.some(({ roots }) => roots.includes(node)));

function wrongStages({ region, number, stages }: RegionStages, name: (node: Node) => string): string[] {
  const wrong: string[] = [];
  const stageOf = new Map<Cluster, number>();
  for (const [i, { clusters }] of stages.entries()) {
    for (const cluster of clusters) {
      if (stageOf.has(cluster)) wrong.push(`region ${number}: cluster ${cluster.order} is in two stages`);
      stageOf.set(cluster, i);
    }
  }
  for (const cluster of region.clusters) {
    const stage = stageOf.get(cluster);
    if (stage === undefined) {
      wrong.push(`region ${number}: cluster ${cluster.order} is in no stage`);
      continue;
    }
    for (const node of cluster.reads) {
      if (madeAt(stages, node) > stage)
        wrong.push(`region ${number}: stage ${stage} reads ${name(node)}, which stage ${madeAt(stages, node)} makes`);
    }
  }
  return wrong;
}

function wrongOnChip({ number, stages, wordsOf, chip }: RegionStages, name: (node: Node) => string): string[] {
  const lastRead = (node: Node): number =>
    stages.findLastIndex(({ clusters }) => clusters.some((c) => c.reads.has(node)));
  const kept = [...chip.offsets.keys()];
  return kept.flatMap((node, i) =>
    kept.slice(i + 1).flatMap((other) => {
      const [at, otherAt] = [mustGet(chip.offsets, node), mustGet(chip.offsets, other)];
      const apart = at + wordsOf(node) <= otherAt || otherAt + wordsOf(other) <= at;
      const inTurn = lastRead(node) < madeAt(stages, other) || lastRead(other) < madeAt(stages, node);
      return apart || inTurn ? [] : [`region ${number}: ${name(node)} and ${name(other)} lie on the chip in one place`];
    }),
  );
}
