/**
 * From graphs to the plan of one device: a table of dispatches for every entry, and what they run. The passes are in
 * `passes.ts`; here is what entries have in common (kernels, constant tensors, pools), and how it becomes the plan that
 * the runtime reads. The layout of the pool `state` is the same for all devices and comes from the caller.
 */
import { mustAt, mustGet } from "../../runtime/lookup.js";
import type { Dispatch, Entry, HostPool, KernelInfo, PoolName, TensorRef } from "../../runtime/plan.js";
import { recordOf } from "../../runtime/records.js";
import type { Account } from "../cost/account.js";
import type { Graph, Node } from "../graph/node.js";
import { clusterOf } from "../kernel/clusters.js";
import type { Kernel } from "../kernel/ir.js";
import type { KernelProfile } from "../kernel/profile.js";
import { accountOf } from "./accounts.js";
import { sizeOf } from "../graph/record.js";
import { behindReshapes } from "./fusion/views.js";
import { createKernelTable, type KernelTable } from "./kernels.js";
import { layOutInOrder } from "./memory/lifetimes.js";
import type { Peak } from "./memory/offsets.js";
import { resultPlace } from "./memory/placement.js";
import { located, startOf, type Located, type Offsets } from "./memory/places.js";
import type { Without } from "./optimizations.js";
import { passes as asTheyAre, runPasses, type Passed, type Passes, type Shared } from "./passes.js";
import { passesWithout } from "./without.js";

/** Offsets (in words) in the pool `state`, by the name of a parameter or state. */
export type StateLayout = ReadonlyMap<string, number>;

/** The plan of one device but for its code, and what is told of it. */
export interface Scheduled {
  readonly kernels: readonly Kernel[];
  readonly infos: readonly KernelInfo[];
  readonly entries: Readonly<Record<string, Entry>>;
  /** Words of each pool. */
  readonly pools: Readonly<Record<PoolName, number>>;
  readonly constants: readonly { readonly at: TensorRef; readonly data: readonly number[] }[];
  /** By the name of the entry. */
  readonly peaks: Readonly<Record<string, Peak>>;
  /** Who an entry's dispatches work for, in their order; none where there is no such entry. */
  readonly accounts: (entry: string) => readonly Account[];
  /** What the passes made of each entry, by its name. */
  readonly passed: ReadonlyMap<string, Passed>;
}

/** How a plan is made. */
export interface ScheduleOptions {
  /** Whether what each pass makes is verified; an UnsoundPass is thrown for what is not sound. */
  readonly verify?: boolean;
  /** Optimizations that are turned off. */
  readonly without?: Without;
  /** The passes, where they are not those of `passes.ts`. */
  readonly passes?: Passes;
}

/** Words after the last tensor of a pool, so that a vector load at its end stays inside. */
const PADDING = 64;

/** Constant tensors, which lie in the state after all that persists: one for all entries that have the same. */
interface Literals {
  readonly places: Map<string, { readonly place: Located; readonly node: Node }>;
  /** Words of the state. */
  end: number;
}

/**
 * The plan for a device. `layout` says where in the pool `state` parameters and states begin, `stateWords` how many
 * words they take. Throws for a graph that reads a parameter which the layout does not know.
 */
export function schedule(
  graphs: readonly Graph[],
  profile: KernelProfile,
  layout: StateLayout,
  stateWords: number,
  { verify = false, without = new Set(), passes = asTheyAre }: ScheduleOptions = {},
): Scheduled {
  const table = createKernelTable(profile, !without.has("sharing"));
  const literals: Literals = { places: new Map(), end: stateWords };
  const shared: Shared = {
    passes: passesWithout(passes, without),
    table,
    state: { layout, words: stateWords },
    literal: (node: Node) => placeOfLiteral(literals, node),
    verify,
  };
  const passed = new Map(graphs.map((graph) => [graph.name, runPasses(graph, shared)]));
  const entries = [...passed];
  return {
    kernels: table.kernels,
    infos: table.kernels.map((kernel, i) => infoOf(table, kernel, i)),
    entries: recordOf(entries.map(([name, entry]) => [name, entryOf(entry)])),
    peaks: recordOf(entries.map(([name, { planned }]) => [name, planned.peak])),
    accounts: (name) => accountsOf(passed.get(name), profile),
    pools: poolsOf(
      entries.map(([, entry]) => entry),
      literals.end,
    ),
    constants: [...literals.places.values()].map(({ place, node }) => ({
      at: refTo(place, node, new Map()),
      data: node.op === "literal" ? node.attrs.data : [],
    })),
    passed,
  };
}

function placeOfLiteral(literals: Literals, node: Node): Located {
  const id = `${node.shape.join("x")}:${node.op === "literal" ? node.attrs.data.join(",") : ""}`;
  const placed = literals.places.get(id);
  if (placed) return placed.place;
  const words = sizeOf(node.shape);
  const { words: end, offsets } = layOutInOrder([words], literals.end);
  const place = located("state", words, mustAt(offsets, 0));
  literals.end = end;
  literals.places.set(id, { place, node });
  return place;
}

const infoOf = ({ costs }: KernelTable, kernel: Kernel, number: number): KernelInfo => ({
  name: `${kernel.name}_${number}`,
  groups: kernel.groups,
  workgroup: kernel.workgroup,
  ...mustAt(costs, number),
  buffers: kernel.buffers.map(({ pool, access }) => ({ pool, access })),
  cluster: clusterOf(kernel.body),
});

/** The table of an entry as the runtime reads it. */
function entryOf({ graph, runs, placement, planned, places: { isBase } }: Passed): Entry {
  const { offsets } = planned;
  const { places, inputs } = placement;
  return {
    dispatches: runs.map((run): Dispatch => ({
      kernel: run.kernel,
      offsets: run.places.map((place) => startOf(place, offsets)),
    })),
    inputs: recordOf([...inputs].map(([name, node]) => [name, refTo(mustGet(places, node), node, offsets)])),
    outputs: recordOf(
      [...graph.outputs].map(([name, node]) => [
        name,
        refTo(resultPlace(placement, behindReshapes(node, isBase)), node, offsets),
      ]),
    ),
  };
}

function accountsOf(entry: Passed | undefined, profile: KernelProfile): readonly Account[] {
  if (!entry) return [];
  const { batches, runs, places, planned } = entry;
  return batches.map((each, i) =>
    accountOf(each, mustAt(runs, i).kernel, { profile, places, offsets: planned.offsets }),
  );
}

/** Words of the pools: of each what the entry needs that needs most. */
function poolsOf(entries: readonly Passed[], state: number): Readonly<Record<PoolName, number>> {
  const most = (pool: keyof Passed["planned"]["words"]): number =>
    entries.reduce((words, { planned }) => Math.max(words, planned.words[pool]), 0);
  return {
    state: state + PADDING,
    work: most("work") + PADDING,
    ints: most("ints") + PADDING,
    out: most("out") + PADDING,
    half: most("half") === 0 ? 0 : most("half") + PADDING,
  };
}

const refTo = (place: Located, node: Node, offsets: Offsets): TensorRef => ({
  pool: place.pool as HostPool,
  offset: startOf(place, offsets),
  shape: node.shape,
  dtype: node.dtype === "u32" ? "u32" : "f32",
});
