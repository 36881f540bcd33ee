/**
 * From graphs to the plan of one device: partition, a kernel for every cluster, a place for every stored tensor, a
 * table of dispatches for every entry. Kernels with the same text are one kernel, so code does not grow with depth. The
 * layout of the pool `state` is the same for all devices and comes from the caller.
 */
import { clusterOf } from "../kernel/clusters.js";
import type { KernelProfile } from "../kernel/profile.js";
import {
  wordBytes,
  type Dispatch,
  type Entry,
  type HostPool,
  type KernelInfo,
  type PoolName,
  type TensorRef,
} from "../../runtime/plan.js";
import type { Account } from "../cost/account.js";
import type { Graph, Node } from "../graph/node.js";
import type { Kernel } from "../kernel/ir.js";
import { structuralKey } from "../kernel/text.js";
import { accountOf, footprintOf } from "./accounts.js";
import { attentionKernel, rolesOf } from "./skeletons/attention/index.js";
import type { AxisClasses } from "./fusion/axes.js";
import { batch, type Due, type Span } from "./memory/batch.js";
import { clearKernel, copyKernel } from "./memory/copy.js";
import { inPlace } from "./memory/inplace.js";
import type { Bound, Place, Places } from "./emit/kernelize.js";
import { legalize } from "./fusion/legalize.js";
import { matmulKernel } from "./skeletons/matmul/index.js";
import { layOut, layOutInOrder, mostAtOnce, rangeOfUses, type Use } from "./memory/lifetimes.js";
import { lyingAt, placePacks } from "./memory/packs.js";
import { countUses, partition, reachable, type Cluster } from "./fusion/partition.js";
import { inWhole, located, partOf, startOf, wholeOf, type Located } from "./memory/places.js";
import { halves } from "./fusion/precision.js";
import { arrange, type Region } from "./fusion/regions.js";
import { rematerialize } from "./fusion/rematerialize.js";
import { rowKernel } from "./skeletons/rows.js";
import { signatureOf, template } from "./signature.js";
import { sinkhornKernel } from "./skeletons/sinkhorn.js";
import { fitChip, tokenGpu } from "./skeletons/region/gpu.js";
import { tokenKernel } from "./skeletons/region/cpu.js";
import { behindReshapes, behindViews, rangeOf, sizeOf } from "./fusion/views.js";
import { recordOf } from "../../runtime/records.js";

/** Offsets (in words) in the pool `state`, by the name of a parameter or state. */
export type StateLayout = ReadonlyMap<string, number>;

export interface Scheduled {
  readonly kernels: readonly Kernel[];
  readonly infos: readonly KernelInfo[];
  readonly entries: Readonly<Record<string, Entry>>;
  readonly pools: Readonly<Record<PoolName, number>>;
  readonly constants: readonly { readonly at: TensorRef; readonly data: readonly number[] }[];
  /**
   * Bytes of the temporary floats, and of the streams' activations alone where they take most, by the name of the
   * entry.
   */
  readonly peaks: Readonly<Record<string, Peak>>;
  /** Who an entry's dispatches work for, in their order; none where there is no such entry. */
  readonly accounts: (entry: string) => readonly Account[];
}

export interface Peak {
  readonly work: number;
  readonly streams: number;
}

/** A dispatch whose places have no offsets yet. */
interface Run {
  readonly kernel: number;
  readonly places: readonly Located[];
}

/** Words after the last tensor of a pool, so that a vector load at its end stays inside. */
const PADDING = 64;

export function schedule(
  graphs: readonly Graph[],
  profile: KernelProfile,
  state: StateLayout,
  stateWords: number,
): Scheduled {
  const kernels: Kernel[] = [];
  const byText = new Map<string, number>();
  const texts = new WeakMap<Kernel, string>();
  const known = new Map<string, Kernel>();
  const templates = new Map<string, ReturnType<typeof template>>();
  const literals = new Map<string, { readonly place: Located; readonly node: Node }>();
  let literalsEnd = stateWords;
  const pools = { state: stateWords, work: 0, ints: 0, out: 0, half: 0 };
  const entries = new Map<string, Entry>();
  const peaks = new Map<string, Peak>();
  const accounts = new Map<string, () => readonly Account[]>();

  const work: { readonly flops: number; readonly bytes: number; readonly tuned: string | null }[] = [];
  const textOf = (kernel: Kernel): string => {
    const text = texts.get(kernel) ?? structuralKey(kernel);
    texts.set(kernel, text);
    return text;
  };
  /** The same with the first kernel of that text, so that the trees of equal ones do not pile up. */
  const interned = (bound: Bound): Bound => {
    const text = textOf(bound.kernel);
    const first = known.get(text) ?? bound.kernel;
    known.set(text, first);
    return { ...bound, kernel: first };
  };
  const inRoles = (region: Region): Region[] =>
    region.clusters.length > 1
      ? [region]
      : rolesOf(region.clusters[0]!, profile).map((cluster) => ({ ...region, clusters: [cluster] }));
  /** The kernel of a region: made once for all regions of its signature. */
  const kernelFor = (region: Region, classes: AxisClasses, places: Places): Bound => {
    const signature = signatureOf(region, classes, places);
    const made = templates.get(signature.text);
    if (made) return made(signature, places);
    const bound = interned(kernelOf(region, classes, profile, places));
    templates.set(signature.text, template(bound, signature, places));
    return bound;
  };
  const share = (bound: Bound): number => {
    const text = textOf(bound.kernel);
    const index = byText.get(text);
    if (index !== undefined) return index;
    byText.set(text, kernels.length);
    kernels.push(bound.kernel);
    work.push({
      flops: bound.flops,
      bytes: footprintOf(bound).reduce((sum, bytes) => sum + bytes, 0),
      tuned: bound.tuned?.key ?? null,
    });
    return kernels.length - 1;
  };
  const literal = (node: Node): Located => {
    const id = `${node.shape.join("x")}:${node.op === "literal" ? node.attrs.data.join(",") : ""}`;
    let known = literals.get(id);
    if (!known) {
      const words = sizeOf(node.shape);
      const { words: end, offsets } = layOutInOrder([words], literalsEnd);
      known = { place: located("state", words, offsets[0]!), node };
      literalsEnd = end;
      literals.set(id, known);
    }
    return known.place;
  };

  for (const graph of graphs) {
    entries.set(graph.name, entry(legalize(graph)));
  }
  return {
    kernels,
    infos: kernels.map((kernel, i) => ({
      name: `${kernel.name}_${i}`,
      groups: kernel.groups,
      workgroup: kernel.workgroup,
      ...work[i]!,
      buffers: kernel.buffers.map(({ pool, access }) => ({ pool, access })),
      cluster: clusterOf(kernel.body),
    })),
    entries: recordOf(entries),
    peaks: recordOf(peaks),
    accounts: (name) => accounts.get(name)?.() ?? [],
    pools: {
      state: literalsEnd + PADDING,
      work: pools.work + PADDING,
      ints: pools.ints + PADDING,
      out: pools.out + PADDING,
      half: pools.half === 0 ? 0 : pools.half + PADDING,
    },
    constants: [...literals.values()].map(({ place, node }) => ({
      at: refTo(place, node),
      data: node.op === "literal" ? node.attrs.data : [],
    })),
  };

  function entry(graph: Graph): Entry {
    const { parts, regions: arranged, classes } = arrange(graph, rematerialize(graph, partition(graph)), profile.kind);
    const regions =
      profile.kind === "gpu" ? arranged.map((region) => fitChip(region, classes, profile, parts.isBase)) : arranged;
    const onChip = new Set(regions.flatMap((region) => [...region.onChip]));
    const alone = new Set(regions.flatMap(({ clusters }) => (clusters.length === 1 ? clusters : [])));
    const nodes = reachable(graph);
    const uses = countUses(nodes, [...graph.outputs.values(), ...graph.updates.values()]);
    const places = new Map<Node, Located>();
    const locate = (node: Node, pool: PoolName, offset = -1): Located => {
      const place = located(pool, sizeOf(node.shape), offset);
      places.set(node, place);
      return place;
    };
    const fed = (node: Node): PoolName => (node.dtype === "u32" ? "ints" : "work");
    const isHalf = profile.half === true ? halves(graph, nodes, classes) : () => false;
    const temporary = (node: Node): PoolName => (isHalf(node) ? "half" : fed(node));
    const inputs = new Map<string, Node>();
    for (const node of nodes) {
      if (node.op === "parameter" || node.op === "state") {
        const offset = state.get(node.attrs.name);
        if (offset === undefined) throw new Error(`schedule: ${node.attrs.name} has no place in the state`);
        locate(node, "state", offset);
      } else if (node.op === "literal") places.set(node, literal(node));
      else if (node.op === "input") {
        locate(node, fed(node));
        inputs.set(node.attrs.name, node);
      }
    }
    const base = (node: Node): Node => behindReshapes(node, parts.isBase);
    const values = new Map([...graph.updates].map(([leaf, value]) => [leaf, rangeOf(value, parts.isBase)] as const));

    // Packs that are the state as it lies. A result is none of them: it is read when the state has changed.
    const results = new Set([
      ...[...graph.outputs.values()].map(base),
      ...[...values.values()].map((value) => value.base),
    ]);
    const inState = new Map<Node, Located>();
    for (const { kind, anchor } of parts.clusters) {
      if (kind !== "pack" || results.has(anchor!)) continue;
      const at = lyingAt(anchor!, (leaf) => (isState(leaf) ? places.get(leaf)!.offset : null), uses);
      if (at !== null) inState.set(anchor!, locate(anchor!, "state", at));
    }

    // An output or a new value that is itself a leaf which this entry changes means the old value: it is set aside
    // before any kernel runs.
    const changed = (node: Node): boolean => values.has(node) && values.get(node)!.base !== node;
    const aside = new Map<Node, Located>();
    const setAside = (leaf: Node, pool: PoolName): void => {
      if (!aside.has(leaf)) aside.set(leaf, located(pool, sizeOf(leaf.shape)));
    };
    for (const node of graph.outputs.values()) {
      if (!places.has(base(node))) locate(base(node), node.dtype === "u32" ? "ints" : "out");
      if (changed(base(node))) setAside(base(node), "out");
    }
    const late: { readonly leaf: Node; readonly base: Node; readonly offset: number }[] = [];
    for (const [leaf, { base: value, offset }] of values) {
      if (value === leaf) continue;
      const known = places.get(value);
      if (known && known.pool === "state" && known.offset + offset === places.get(leaf)!.offset) continue;
      const over = known
        ? null
        : inPlace(leaf, value, offset, { parts, alone, places, inState, values }, { layout: state, words: stateWords });
      if (over) places.set(value, over);
      else {
        late.push({ leaf, base: value, offset });
        if (changed(value)) setAside(value, "work");
      }
    }
    const old = (node: Node): Located => aside.get(node) ?? places.get(node)!;
    const packs = placePacks(parts, places, inState, uses, (pack) => locate(pack, "work"));
    for (const node of parts.stored.keys()) if (!places.has(node) && !onChip.has(node)) locate(node, temporary(node));

    const oracle: Places = { of: (node) => places.get(node) ?? null, isBase: parts.isBase };
    const copy = (from: Located, to: Located): Bound => copyKernel(from, to, to.words, profile);
    const epochOf = ({ clusters }: Region): number =>
      Math.max(...clusters.flatMap(({ members }) => [...members].map(({ epoch }) => epoch)));
    const due =
      (epoch: number, region: Region | null = null) =>
      (bound: Bound): Due => ({ bound, epoch, region });
    const dues = [
      ...[...aside].map(([leaf, place]) => copy(places.get(leaf)!, place)).map(due(0)),
      ...regions.flatMap((region) => {
        const epoch = epochOf(region);
        const clears = region.clusters
          .flatMap((cluster) => packs.clears.get(cluster) ?? [])
          .map((place) => due(epoch)(interned(clearKernel(place, place.words, profile))));
        const [first] = region.clusters as [Cluster];
        if (first.kind === "pack")
          return [
            ...clears,
            ...(packs.copies.get(first) ?? []).map(({ from, to }) => due(epoch)(interned(copy(from, to)))),
          ];
        return [...clears, ...inRoles(region).map((part) => due(epoch, part)(kernelFor(part, classes, oracle)))];
      }),
      ...late
        .map(({ leaf, base: value, offset }) => copy(partOf(old(value), offset, sizeOf(leaf.shape)), places.get(leaf)!))
        .map(due(0)),
    ];
    const batches = batch(dues, spanOf);
    const runs = batches.map(({ bound, copies }): Run => ({
      kernel: share(bound),
      places: copies.flatMap((own) => own as readonly Located[]),
    }));
    accounts.set(graph.name, () => batches.map((one, i) => accountOf(one, runs[i]!.kernel, profile, oracle)));

    const kept = new Set([...graph.outputs.values()].map((node) => wholeOf(old(base(node)))));
    const streams = new Set([...(graph.streams ?? [])].map((node) => places.get(behindViews(node, parts.isBase))));
    peaks.set(
      graph.name,
      assignOffsets(
        runs,
        [...new Set([...places.values(), ...aside.values()].map(wholeOf))],
        new Set([...inputs.values()].map((node) => places.get(node)!)),
        kept,
        streams,
      ),
    );

    const dispatches: Dispatch[] = runs.map((one) => ({ kernel: one.kernel, offsets: one.places.map(startOf) }));
    const outputs = [...graph.outputs].map(([name, node]) => [name, refTo(old(base(node)), node)] as const);
    return {
      dispatches,
      inputs: recordOf([...inputs].map(([name, node]) => [name, refTo(places.get(node)!, node)])),
      outputs: recordOf(outputs),
    };
  }

  /** Plans the temporary pools of one entry and widens the pools to what it needs. */
  function assignOffsets(
    runs: readonly Run[],
    all: readonly Located[],
    fed: ReadonlySet<Located>,
    kept: ReadonlySet<Located>,
    streams: ReadonlySet<Located | undefined>,
  ): Peak {
    const peak = { work: 0, streams: 0 };
    const uses = new Map<Located, Use[]>(all.map((place) => [place, []]));
    runs.forEach((one, position) => {
      for (const buffer of one.places)
        uses.get(wholeOf(buffer))!.push({ at: inWhole(buffer), words: buffer.words, position });
    });
    for (const pool of ["work", "half", "ints", "out"] as const) {
      const own = all.filter((place) => place.pool === pool && place.offset < 0);
      const ranges = own.map((place) => {
        const always = (position: number): Use => ({ at: 0, words: place.words, position });
        return rangeOfUses(place.words, [
          ...uses.get(place)!,
          ...(fed.has(place) ? [always(-1)] : []),
          ...(kept.has(place) ? [always(runs.length)] : []),
        ]);
      });
      const layout = layOut(ranges);
      if (pool === "work" || pool === "half") {
        peak.work += wordBytes[pool] * layout.words;
        peak.streams += wordBytes[pool] * mostAtOnce(ranges.filter((_, i) => streams.has(own[i]!)));
      }
      own.forEach((place, i) => (place.offset = layout.offsets[i]!));
      pools[pool] = Math.max(pools[pool], layout.words);
    }
    return peak;
  }
}

const isState = (node: Node): boolean => node.op === "parameter" || node.op === "state";

/**
 * Where a place lies: in the state, whose offsets are known and may overlap; else in the range that is planned as a
 * whole.
 */
function spanOf(place: Place): Span {
  const own = place as Located;
  const whole = wholeOf(own);
  const planned = whole.offset >= 0;
  const from = planned ? startOf(own) : inWhole(own);
  return { space: planned ? whole.pool : whole, from, to: from + own.words };
}

function kernelOf(region: Region, classes: AxisClasses, profile: KernelProfile, places: Places): Bound {
  if (region.clusters.length > 1)
    return (profile.kind === "gpu" ? tokenGpu : tokenKernel)(region, classes, profile, places);
  const [cluster] = region.clusters as [Cluster];
  switch (cluster.kind) {
    case "map":
      return rowKernel(cluster, profile, places);
    case "matmul":
      return matmulKernel(cluster, profile, places);
    case "sinkhorn":
      return sinkhornKernel(cluster, profile, places);
    case "attention":
      return attentionKernel(cluster, profile, places);
    case "pack":
      throw new Error("schedule: a pack is placement, and copies");
    default:
      return cluster.kind satisfies never;
  }
}

const refTo = (place: Located, node: Node): TensorRef => ({
  pool: place.pool as HostPool,
  offset: startOf(place),
  shape: node.shape,
  dtype: node.dtype === "u32" ? "u32" : "f32",
});
