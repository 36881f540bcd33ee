/**
 * The kernels of a plan. Every region has one, made by its skeleton; regions of one signature share it
 * (`signature.ts`), and kernels with the same text are one, so code does not grow with depth. The table lives as long
 * as the plan is made, and all entries share it.
 */
import { sizeOf } from "../graph/record.js";
import { mustAt, mustGet } from "../../runtime/lookup.js";
import type { Kernel } from "../kernel/ir.js";
import type { KernelProfile } from "../kernel/profile.js";
import { structuralKey } from "../kernel/text.js";
import { footprintOf } from "./accounts.js";
import type { Bound, Places } from "./emit/kernelize.js";
import type { AxisClasses } from "./fusion/axes.js";
import type { Arrangement, Region } from "./fusion/regions.js";
import type { Due } from "./memory/batch.js";
import { clearKernel, copyKernel } from "./memory/copy.js";
import { resultPlace, type Placement } from "./memory/placement.js";
import { partOf, type Located } from "./memory/places.js";
import { signatureOf, template, type Template } from "./signature.js";
import { attentionKernel, rolesOf } from "./skeletons/attention/index.js";
import { matmulKernel } from "./skeletons/matmul/index.js";
import { recurrenceKernel } from "./skeletons/recurrence/index.js";
import { regionCpu } from "./skeletons/region/cpu.js";
import { regionGpu } from "./skeletons/region/gpu.js";
import { rowKernel } from "./skeletons/rows.js";
import { sinkhornKernel } from "./skeletons/sinkhorn.js";

/** What one run of a kernel costs, and by which choice it was made; the first of those that share it tells. */
export interface KernelCost {
  readonly flops: number;
  readonly bytes: number;
  readonly tuned: string | null;
}

/** The kernels of a plan while it is made. */
export interface KernelTable {
  readonly profile: KernelProfile;
  /** Whether regions of one signature, and dispatches of one text, share a kernel. */
  readonly sharing: boolean;
  /** In the order of their numbers. */
  readonly kernels: Kernel[];
  readonly costs: KernelCost[];
  /** Text -> number. */
  readonly numbers: Map<string, number>;
  readonly texts: WeakMap<Kernel, string>;
  /** Text -> the first kernel of that text, so that the trees of equal ones do not pile up. */
  readonly firsts: Map<string, Kernel>;
  /** Signature -> the kernel that was made for its first region. */
  readonly templates: Map<string, Template>;
}

/** A table without kernels. */
export const createKernelTable = (profile: KernelProfile, sharing: boolean): KernelTable => ({
  profile,
  sharing,
  kernels: [],
  costs: [],
  numbers: new Map(),
  texts: new WeakMap(),
  firsts: new Map(),
  templates: new Map(),
});

function textOf({ texts }: KernelTable, kernel: Kernel): string {
  const text = texts.get(kernel) ?? structuralKey(kernel);
  texts.set(kernel, text);
  return text;
}

/** The same with the first kernel of that text. */
function interned(table: KernelTable, bound: Bound): Bound {
  if (!table.sharing) return bound;
  const text = textOf(table, bound.kernel);
  const first = table.firsts.get(text) ?? bound.kernel;
  table.firsts.set(text, first);
  return { ...bound, kernel: first };
}

/** The number of a kernel in the plan: that of its text where there is one already. */
export function numberOf(table: KernelTable, bound: Bound): number {
  const text = table.sharing ? textOf(table, bound.kernel) : `${table.kernels.length}`;
  const number = table.numbers.get(text);
  if (number !== undefined) return number;
  table.numbers.set(text, table.kernels.length);
  table.costs.push({
    flops: bound.flops,
    bytes: footprintOf(bound).reduce((sum, bytes) => sum + bytes, 0),
    tuned: bound.tuned?.key ?? null,
  });
  return table.kernels.push(bound.kernel) - 1;
}

/** The kernel of a region: made once for all regions of its signature. */
function kernelFor(table: KernelTable, region: Region, classes: AxisClasses, places: Places): Bound {
  if (!table.sharing) return kernelOf(region, classes, table.profile, places);
  const signature = signatureOf(region, classes, places);
  const shared = table.templates.get(signature.text);
  if (shared) return shared(signature, places);
  const bound = interned(table, kernelOf(region, classes, table.profile, places));
  table.templates.set(signature.text, template(bound, signature, places));
  return bound;
}

function kernelOf(region: Region, classes: AxisClasses, profile: KernelProfile, places: Places): Bound {
  if (region.clusters.length > 1)
    return (profile.kind === "gpu" ? regionGpu : regionCpu)(region, classes, profile, places);
  const cluster = mustAt(region.clusters, 0);
  switch (cluster.kind) {
    case "map":
      return rowKernel(cluster, profile, places);
    case "matmul":
      return matmulKernel(cluster, profile, places);
    case "sinkhorn":
      return sinkhornKernel(cluster, profile, places);
    case "recurrence":
      return recurrenceKernel(cluster, profile, places);
    case "attention":
      return attentionKernel(cluster, profile, places);
    case "pack":
      throw new Error("schedule: a pack is placement, and copies");
    default:
      return cluster.kind satisfies never;
  }
}

/** A region of one cluster as the kernels that its skeleton makes of it. */
const inRoles = (region: Region, profile: KernelProfile): Region[] =>
  region.clusters.length > 1
    ? [region]
    : rolesOf(mustAt(region.clusters, 0), profile).map((cluster) => ({ ...region, clusters: [cluster] }));

/** The latest epoch of what a region computes. */
const epochOf = ({ clusters }: Region): number =>
  Math.max(...clusters.flatMap(({ members }) => [...members].map(({ epoch }) => epoch)));

/** An entry whose regions are to be kernels. */
export interface Placed {
  readonly arrangement: Arrangement;
  readonly placement: Placement;
  /** Where nodes lie, as the skeletons ask it. */
  readonly places: Places;
}

/**
 * The kernels of an entry in an order in which they can run: what is set aside, the regions, each after what clears the
 * padding that it fills, and the new values that are copied to their leaves.
 */
export function kernelsOf(table: KernelTable, { arrangement, placement, places }: Placed): Due[] {
  const copy = (from: Located, to: Located): Bound => copyKernel(from, to, to.words, table.profile);
  const due = (bound: Bound, epoch: number, region: Region | null = null): Due => ({ bound, epoch, region });
  const placeOf = (leaf: Parameters<Places["of"]>[0]): Located => mustGet(placement.places, leaf);
  const { packs } = placement;
  const aside = [...placement.aside].map(([leaf, to]) => due(copy(placeOf(leaf), to), 0));
  const computed = arrangement.regions.flatMap((region): Due[] => {
    const epoch = epochOf(region);
    const clears = region.clusters
      .flatMap((cluster) => packs.clears.get(cluster) ?? [])
      .map((to) => due(interned(table, clearKernel(to, to.words, table.profile)), epoch));
    const first = mustAt(region.clusters, 0);
    const own =
      first.kind === "pack"
        ? (packs.copies.get(first) ?? []).map(({ from, to }) => due(interned(table, copy(from, to)), epoch))
        : inRoles(region, table.profile).map((part) =>
            due(kernelFor(table, part, arrangement.classes, places), epoch, part),
          );
    return [...clears, ...own];
  });
  const late = placement.late.map(({ leaf, value, offset }) =>
    due(copy(partOf(resultPlace(placement, value), offset, sizeOf(leaf.shape)), placeOf(leaf)), 0),
  );
  return [...aside, ...computed, ...late];
}
