/**
 * Faults that are put into passes: each is found by the verifier, which names the pass and the node. What is sound and
 * wrong all the same is found by turning optimizations off (`test/tools/bisect.test.ts`).
 */
import { describe, expect, it } from "vitest";
import type { Node } from "../../src/graph/node.js";
import { parseGraph } from "../../src/graph/text.js";
import { partitionOf, type Cluster, type Partition } from "../../src/schedule/fusion/clusters.js";
import type { Located } from "../../src/schedule/memory/places.js";
import type { KernelBatch } from "../../src/schedule/memory/batch.js";
import type { Placement } from "../../src/schedule/memory/placement.js";
import type { Arrangement } from "../../src/schedule/fusion/regions.js";
import { passes, UnsoundPass, type Passes } from "../../src/schedule/passes.js";
import { DESCENT, scheduleOf } from "../helpers/passes.js";

/** Products that follow each other by token, a sum over tokens of what lies between, and a value that is made again. */
const PRODUCTS = `graph run {
  %0: f32[128,8] = input {"name":"x"}
  %1: f32[8,4] = parameter {"name":"down"}
  %2: f32[128,4] = contract %0, %1 {"spec":"tk,kn->tn"}
  %3: f32[128,4] = sin %2
  %4: f32[4,8] = parameter {"name":"up"}
  %5: f32[128,8] = contract %3, %4 {"spec":"tk,kn->tn"}
  %6: f32[128,8] = sin %5
  %7: f32[8] = sum %6 {"axes":[0]}
  %8: f32[128,8] = exp %0 #1
  %9: f32[8] = sum %8 {"axes":[0]} #1
  output "y" = %6
  output "s" = %7
  output "again" = %9
}`;

/** A parameter that turns: its new value cannot be written where the old one is read. */
const TURN = `graph run {
  %0: f32[4,4] = parameter {"name":"a"}
  %1: f32[4,4] = broadcast %0 {"axes":[1,0]}
  update %0 = %1
}`;

const faulty = (fault: Partial<Passes>): Passes => ({ ...passes, ...fault });

/** The node of a type of which the first comes to hand. */
const first = (nodes: Iterable<Node>, op: string): Node => {
  for (const node of nodes) if (node.op === op) return node;
  throw new Error(`there is no ${op}`);
};

const withClusters = (parts: Partition, change: (cluster: Cluster) => Cluster | null): Partition => {
  const changed = new Map(parts.clusters.map((cluster) => [cluster, change(cluster)]));
  return partitionOf(
    [...changed.values()].filter((cluster) => cluster !== null).sort((a, b) => a.order - b.order),
    new Map(
      [...parts.stored].flatMap(([node, cluster]) => {
        const now = changed.get(cluster);
        return now ? [[node, now]] : [];
      }),
    ),
  );
};

const withPlace = (placement: Placement, node: Node, place: Located): Placement => ({
  ...placement,
  places: new Map(placement.places).set(node, place),
});

interface Fault {
  readonly what: string;
  readonly pass: keyof Passes;
  readonly text: string;
  readonly fault: Partial<Passes>;
  /** What the verifier says. */
  readonly says: RegExp;
}

const faults: readonly Fault[] = [
  {
    what: "a stored member is dropped",
    pass: "partition",
    text: PRODUCTS,
    fault: {
      partition: (graph) => withClusters(passes.partition(graph), (cluster) => (cluster.order === 0 ? null : cluster)),
    },
    says: /cluster 1 reads %3, which nothing stores|needs %2/,
  },
  {
    what: "a cluster stands before what it reads",
    pass: "partition",
    text: PRODUCTS,
    fault: {
      partition: (graph) =>
        withClusters(passes.partition(graph), (cluster) =>
          cluster.order < 2 ? { ...cluster, order: 1 - cluster.order } : cluster,
        ),
    },
    says: /cluster 0 reads %3, which cluster 1 makes later/,
  },
  {
    what: "what is made again is made where it was made first",
    pass: "partition",
    text: PRODUCTS,
    fault: {
      partition: (graph) => {
        const parts = passes.partition(graph);
        const again = parts.clusters.find(({ members }) => [...members].some(({ epoch }) => epoch === 1))!;
        const old = parts.clusters[0]!;
        const joined: Cluster = {
          ...old,
          members: new Set([...old.members, ...again.members]),
          reads: new Set([...old.reads, ...again.reads]),
          roots: [...old.roots, ...again.roots],
        };
        return partitionOf(
          parts.clusters.filter((cluster) => cluster !== again).map((cluster) => (cluster === old ? joined : cluster)),
          new Map([...parts.stored].map(([node, at]) => [node, at === again || at === old ? joined : at])),
        );
      },
    },
    says: /%9 of epoch 1 is in cluster 0, which is older than that epoch/,
  },
  {
    what: "a value that somebody needs is left to readers who do not make it",
    pass: "rematerialize",
    text: PRODUCTS,
    fault: {
      rematerialize: (_, parts) =>
        withClusters(parts, (cluster) =>
          cluster.order === 0 ? { ...cluster, members: new Set([...cluster.members].slice(1)) } : cluster,
        ),
    },
    says: /needs %2, which nothing stores and it does not compute|anchor %2/,
  },
  {
    what: "a region runs before the one that it waits for",
    pass: "arrange",
    text: PRODUCTS,
    fault: {
      arrange: (...entry): Arrangement => {
        const arrangement = passes.arrange(...entry);
        return { ...arrangement, regions: arrangement.regions.toReversed() };
      },
    },
    says: /does not stand where its region does/,
  },
  {
    what: "what is read elsewhere is kept on the chip",
    pass: "fitOnChip",
    text: PRODUCTS,
    fault: {
      fitOnChip: (...entry): Arrangement => {
        const arrangement = passes.fitOnChip(...entry);
        return {
          ...arrangement,
          regions: arrangement.regions.map((region) =>
            region.clusters.length > 1
              ? { ...region, onChip: new Set(region.clusters.flatMap(({ roots }) => roots)) }
              : region,
          ),
        };
      },
    },
    says: /%6 is on the chip/,
  },
  {
    what: "two tensors have one place",
    pass: "place",
    text: PRODUCTS,
    fault: {
      place: (entry) => {
        const placement = passes.place(entry);
        const nodes = [...placement.places.keys()];
        return withPlace(placement, first(nodes, "sin"), placement.places.get(first(nodes, "input"))!);
      },
    },
    says: /%\d+ and %\d+ have one place|has a place of/,
  },
  {
    what: "a new value is stored over an old one that is still read",
    pass: "place",
    text: TURN,
    fault: {
      place: (entry) => {
        const placement = passes.place(entry);
        const [leaf, value] = [...entry.graph.updates][0]!;
        return { ...withPlace(placement, value, placement.places.get(leaf)!), late: [] };
      },
    },
    says: /%1 is stored over %0, which cluster \d+ still reads/,
  },
  {
    what: "a slot of a pack is shifted",
    pass: "place",
    text: DESCENT,
    fault: {
      place: (entry) => {
        const placement = passes.place(entry);
        const [node, place] = [...placement.places].find(([, { part }]) => part !== null && part.at > 0)!;
        return withPlace(placement, node, { ...place, part: { of: place.part!.of, at: place.part!.at + 1 } });
      },
    },
    says: /%3 is not in its slot of the pack %5/,
  },
  {
    what: "padding that is summed is not cleared",
    pass: "place",
    text: DESCENT,
    fault: {
      place: (entry) => {
        const placement = passes.place(entry);
        return { ...placement, packs: { ...placement.packs, clears: new Map() } };
      },
    },
    says: /the padding of the pack %5 is read and not cleared/,
  },
  {
    what: "a new value is not copied to its leaf",
    pass: "place",
    text: TURN,
    fault: { place: (entry) => ({ ...passes.place(entry), late: [] }) },
    says: /the new value of %0 is neither stored nor copied there/,
  },
  {
    what: "kernels come in another order than their regions",
    pass: "kernels",
    text: PRODUCTS,
    fault: {
      kernels: (table, entry) =>
        passes.kernels(table, entry).map((due, _, dues) => ({ ...due, bound: dues[dues.length - 1]!.bound })),
    },
    says: /the kernel of .* (reads|writes) something else|does not write all of it/,
  },
  {
    what: "a dispatch runs before what it waits for",
    pass: "batch",
    text: DESCENT,
    fault: { batch: (dues, spanOf): KernelBatch[] => [...passes.batch(dues, spanOf)].reverse() },
    says: /runs in dispatch \d+, and must wait for/,
  },
  {
    what: "tensors that are needed at once share words",
    pass: "offsets",
    text: PRODUCTS,
    fault: {
      offsets: (entry) => {
        const planned = passes.offsets(entry);
        return { ...planned, offsets: new Map([...planned.offsets].map(([place]) => [place, 0])) };
      },
    },
    says: /dispatch \d+: .* is read at \d+ of \w+, where %\d+ should be and %\d+ is|written where it is still read/,
  },
];

describe("the verifier", () => {
  it.each(faults)("finds that $what", ({ text, fault, pass, says }) => {
    const graph = parseGraph(text);
    expect(() => scheduleOf(graph, "javascript")).not.toThrow();
    let told: unknown = null;
    try {
      scheduleOf(graph, "javascript", { passes: faulty(fault) });
    } catch (error) {
      told = error;
    }
    expect(told).toBeInstanceOf(UnsoundPass);
    const { pass: named, entry, faults: words } = told as UnsoundPass;
    expect({ named, entry }).toEqual({ named: pass, entry: "run" });
    expect(words.join("\n")).toMatch(says);
  });
});
