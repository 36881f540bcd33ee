/**
 * The passes from a graph to the dispatches of one entry, as a record: each is a function of what those before it
 * returned, and changes nothing that it is given.
 *
 *   legalize        the graph with what the skeletons take
 *   partition       clusters: one kernel each
 *   rematerialize   fewer stored tensors: what is cheap is left to its readers
 *   arrange         regions: clusters that go token by token are one kernel
 *   fitOnChip       how much of what a region keeps to itself stays on the chip of a GPU
 *   place           where tensors lie: in the state, in a pack's slot, in a range of their own
 *   kernels         the kernels in an order in which they can run
 *   batch           what waits for nothing runs as one dispatch
 *   offsets         where the ranges begin
 */
import { mustGet } from "../../runtime/lookup.js";
import type { Graph, Node } from "../graph/node.js";
import { verifyGraph } from "../graph/verify.js";
import type { Kernel } from "../kernel/ir.js";
import { verifyKernel } from "../kernel/verify.js";
import { verifyClusters, verifyRegions } from "./fusion/verify.js";
import { verifyBatches, verifyKernelPlaces, verifyPlaces } from "./memory/verify.js";
import { verifyDispatches } from "./memory/paper.js";
import type { KernelProfile } from "../kernel/profile.js";
import type { Place, Places } from "./emit/kernelize.js";
import type { Partition } from "./fusion/clusters.js";
import { legalize } from "./fusion/legalize.js";
import { partition } from "./fusion/partition.js";
import { arrange, type Arrangement } from "./fusion/regions.js";
import { rematerialize } from "./fusion/rematerialize.js";
import { behindReshapes, behindViews } from "./fusion/views.js";
import { kernelsOf, numberOf, type KernelTable, type Placed } from "./kernels.js";
import { batch, type KernelBatch, type Due, type PlaceSpan } from "./memory/batch.js";
import type { State } from "./memory/inplace.js";
import { planOffsets, type Planned, type Run, type Unplanned } from "./memory/offsets.js";
import { place, resultPlace, type Placement, type Unplaced } from "./memory/placement.js";
import { inWhole, located, wholeOf, type Located } from "./memory/places.js";
import { stagesOfRegions, verifyStages, type RegionStages } from "./stages.js";
import { fitChip } from "./skeletons/region/gpu.js";

/** What each pass does. */
export interface Passes {
  readonly legalize: (graph: Graph) => Graph;
  readonly partition: (graph: Graph) => Partition;
  readonly rematerialize: (graph: Graph, parts: Partition) => Partition;
  readonly arrange: (graph: Graph, parts: Partition, kind: KernelProfile["kind"]) => Arrangement;
  readonly fitOnChip: (arrangement: Arrangement, profile: KernelProfile) => Arrangement;
  readonly place: (entry: Unplaced) => Placement;
  readonly kernels: (table: KernelTable, entry: Placed) => readonly Due[];
  readonly batch: (dues: readonly Due[], spanOf: (place: Place) => PlaceSpan) => readonly KernelBatch[];
  readonly offsets: (entry: Unplanned) => Planned;
}

/** The regions with so much on the chip as fits there; a CPU has room for all of it. */
const fitOnChip = (arrangement: Arrangement, profile: KernelProfile): Arrangement =>
  profile.kind === "cpu"
    ? arrangement
    : {
        ...arrangement,
        regions: arrangement.regions.map((region) =>
          fitChip(region, arrangement.classes, profile, arrangement.parts.isBase),
        ),
      };

/** The passes as they are. */
export const passes: Passes = {
  legalize,
  partition,
  rematerialize,
  arrange,
  fitOnChip,
  place,
  kernels: kernelsOf,
  batch,
  offsets: planOffsets,
};

/** What the passes made of an entry, one after the other. */
export interface Passed {
  /** After `legalize`: the graph whose nodes all others name. */
  readonly graph: Graph;
  /** After `partition`, and after `rematerialize`. */
  readonly clusters: Partition;
  readonly lean: Partition;
  /** After `arrange`, and after `fitOnChip`. */
  readonly regions: Arrangement;
  readonly arrangement: Arrangement;
  /** What the regions' kernels go through. */
  readonly stages: () => readonly RegionStages[];
  readonly placement: Placement;
  readonly dues: readonly Due[];
  readonly batches: readonly KernelBatch[];
  /** One for each batch. */
  readonly runs: readonly Run[];
  readonly planned: Planned;
  readonly places: Places;
}

/** What all entries of a plan have in common. */
export interface Shared {
  readonly passes: Passes;
  readonly table: KernelTable;
  readonly state: State;
  readonly literal: (node: Node) => Located;
  /** Whether what each pass makes is verified. */
  readonly verify: boolean;
}

/** A pass that made something which is not sound: a bug of mhc. */
export class UnsoundPass extends Error {
  constructor(
    readonly pass: keyof Passes,
    readonly entry: string,
    readonly faults: readonly string[],
  ) {
    const more = faults.length > 1 ? ` (and ${faults.length - 1} more)` : "";
    super(`bug: after the pass ${pass}, the entry ${entry} is not sound: ${faults[0] ?? ""}${more}`);
    this.name = "UnsoundPass";
  }
}

/** Runs all passes over one entry. Throws an UnsoundPass when they are verified and one makes what is not sound. */
export function runPasses(source: Graph, { passes: run, table, state, literal, verify }: Shared): Passed {
  const { profile } = table;
  const sound = (pass: keyof Passes, faults: () => readonly string[]): void => {
    if (!verify) return;
    const wrong = faults();
    if (wrong.length > 0) throw new UnsoundPass(pass, source.name, wrong);
  };
  const graph = run.legalize(source);
  sound("legalize", () => verifyGraph(graph));
  const clusters = run.partition(graph);
  sound("partition", () => verifyClusters(graph, clusters));
  const lean = run.rematerialize(graph, clusters);
  sound("rematerialize", () => verifyClusters(graph, lean));
  const regions = run.arrange(graph, lean, profile.kind);
  sound("arrange", () => verifyRegions(graph, regions));
  const arrangement = run.fitOnChip(regions, profile);
  const stages = (): readonly RegionStages[] => stagesOfRegions(arrangement, profile);
  sound("fitOnChip", () => [...verifyRegions(graph, arrangement), ...verifyStages(graph, stages())]);
  const { isBase } = arrangement.parts;
  const placement = run.place({ graph, arrangement, profile, state, literal, inPlace: true, packs: true });
  const entry = { graph, arrangement, placement, state };
  sound("place", () => verifyPlaces(entry));
  const places: Places = {
    of: (node) => placement.places.get(node) ?? null,
    isBase,
    scratch: (words) => located("work", words),
  };
  const dues = run.kernels(table, { arrangement, placement, places });
  sound("kernels", () => [...verifyKernelPlaces(entry, dues), ...verifyKernels(dues.map(({ bound }) => bound.kernel))]);
  const batches = run.batch(dues, spanOf);
  sound("batch", () => [
    ...verifyBatches(graph, dues, batches, spanOf),
    ...verifyKernels(batches.map(({ bound }) => bound.kernel)),
  ]);
  const runs = batches.map(({ bound, copies }): Run => ({
    kernel: numberOf(table, bound),
    places: copies.flatMap((own) => own as readonly Located[]),
  }));
  const planned = run.offsets(unplanned(graph, placement, isBase, runs));
  sound("offsets", () => verifyDispatches({ ...entry, batches, offsets: planned.offsets }));
  return { graph, clusters, lean, regions, arrangement, stages, placement, dues, batches, runs, planned, places };
}

/** What is wrong with kernels, each looked at once. */
const verifyKernels = (kernels: readonly Kernel[]): string[] =>
  [...new Set(kernels)].flatMap((kernel) => verifyKernel(kernel).map((fault) => `the kernel ${kernel.name}: ${fault}`));

/**
 * Where a place lies: in the state, whose offsets are known and may overlap; else in the range that is planned as a
 * whole.
 */
function spanOf(place: Place): PlaceSpan {
  const own = place as Located;
  const whole = wholeOf(own);
  const from = (whole.offset ?? 0) + inWhole(own);
  return { space: whole.offset === null ? whole : whole.pool, from, to: from + own.words };
}

/** What decides where the ranges of an entry begin. */
function unplanned(
  graph: Graph,
  placement: Placement,
  isBase: (node: Node) => boolean,
  runs: readonly Run[],
): Unplanned {
  const { places, aside, inputs } = placement;
  const results = [...graph.outputs.values()].map((node) => resultPlace(placement, behindReshapes(node, isBase)));
  return {
    runs,
    ranges: [...new Set([...places.values(), ...aside.values(), ...runs.flatMap((each) => each.places)].map(wholeOf))],
    fed: new Set([...inputs.values()].map((node) => mustGet(places, node))),
    kept: new Set(results.map(wholeOf)),
    streams: new Set([...(graph.streams ?? [])].flatMap((node) => places.get(behindViews(node, isBase)) ?? [])),
    reuse: true,
  };
}
