/** Where the tensors lie that stay inside a region's kernel: ranges whose stages do not overlap share memory. */
import type { Node } from "../../../graph/node.js";
import { mustAt } from "../../../../runtime/lookup.js";
import { layOut } from "../../memory/lifetimes.js";
import type { RegionStage } from "./stages.js";

/** Places of nodes in the memory of a kernel, in words. */
export interface ChipPlan {
  readonly offsets: ReadonlyMap<Node, number>;
  readonly words: number;
}

/**
 * Ranges start at multiples of `slot` words. What is read only in the stage that makes it is computed in place, and has
 * no offset.
 */
export function planChip(
  stages: readonly RegionStage[],
  onChip: Iterable<Node>,
  wordsOf: (node: Node) => number,
  slot: number,
): ChipPlan {
  const nodes = [...onChip].filter((node) => lastRead(stages, node) > madeAt(stages, node));
  const { offsets, words } = layOut(
    nodes.map((node) => {
      const size = Math.ceil(wordsOf(node) / slot) * slot;
      return {
        words: size,
        segments: [{ at: 0, words: size, from: madeAt(stages, node), to: lastRead(stages, node) }],
      };
    }),
  );
  return { offsets: new Map(nodes.map((node, i) => [node, mustAt(offsets, i)])), words };
}

/** The stage that stores a node; -1 for none of these. */
export const madeAt = (stages: readonly RegionStage[], node: Node): number =>
  stages.findIndex(({ clusters }) => clusters.some(({ roots }) => roots.includes(node)));

const lastRead = (stages: readonly RegionStage[], node: Node): number =>
  stages.reduce(
    (last, { clusters }, i) => (clusters.some(({ reads }) => reads.has(node)) ? i : last),
    madeAt(stages, node),
  );
