/**
 * From graphs to the plan of one device: partition, a kernel for every cluster, a place for every stored tensor, a table of
 * dispatches for every entry. Kernels with the same text are one kernel, so code does not grow with depth. The layout of the
 * pool `state` is the same for all devices and comes from the caller.
 */
import type { KernelProfile } from "../../codegen/target.js";
import type { Dispatch, Entry, KernelInfo, PoolName, TensorRef } from "../../runtime/plan.js";
import type { Graph, Node } from "../graph/node.js";
import type { Kernel } from "../kernel/ir.js";
import { structuralKey } from "../kernel/text.js";
import { copyKernel } from "./copy.js";
import type { Bound, Place, Places } from "./kernelize.js";
import { legalize } from "./legalize.js";
import { matmulKernel } from "./matmul.js";
import { layOut, layOutInOrder, mostAtOnce } from "./memory.js";
import { isLeaf, partition, reachable, type Cluster, type Partition } from "./partition.js";
import { rowKernel } from "./rows.js";
import { sinkhornKernel } from "./sinkhorn.js";
import { behindReshapes, behindViews, isView, sameShape, sizeOf } from "./views.js";

/** Offsets (in words) in the pool `state`, by the name of a parameter or state. */
export type StateLayout = ReadonlyMap<string, number>;

export interface Scheduled {
  readonly kernels: readonly Kernel[];
  readonly infos: readonly KernelInfo[];
  readonly entries: Readonly<Record<string, Entry>>;
  readonly pools: Readonly<Record<PoolName, number>>;
  readonly constants: readonly { readonly at: TensorRef; readonly data: readonly number[] }[];
  /** Words of the temporary pools, and of the streams' activations alone where they take most, by the name of the entry. */
  readonly peaks: Readonly<Record<string, Peak>>;
}

export interface Peak {
  readonly work: number;
  readonly streams: number;
}

interface Located extends Place {
  readonly words: number;
  offset: number;
}

/** Words after the last tensor of a pool, so that a vector load at its end stays inside. */
const PADDING = 64;

export function schedule(graphs: readonly Graph[], profile: KernelProfile, state: StateLayout, stateWords: number): Scheduled {
  const kernels: Kernel[] = [];
  const byText = new Map<string, number>();
  const literals = new Map<string, { readonly place: Located; readonly node: Node }>();
  let literalsEnd = stateWords;
  const pools = { state: stateWords, work: 0, ints: 0, out: 0 };
  const entries: Record<string, Entry> = {};
  const peaks: Record<string, Peak> = {};

  const work: { readonly flops: number; readonly bytes: number; readonly tuned: string | null }[] = [];
  const share = ({ kernel, places, flops, tuned }: Bound): number => {
    const text = structuralKey(kernel);
    const known = byText.get(text);
    if (known !== undefined) return known;
    byText.set(text, kernels.length);
    kernels.push(kernel);
    const bytes = kernel.buffers.reduce((sum, { access }, i) => sum + (access === "read_write" ? 8 : 4) * (places[i] as Located).words, 0);
    work.push({ flops, bytes, tuned: tuned?.key ?? null });
    return kernels.length - 1;
  };
  const literal = (node: Node): Located => {
    const id = `${node.shape.join("x")}:${node.op === "literal" ? node.attrs.data.join(",") : ""}`;
    let known = literals.get(id);
    if (!known) {
      const words = sizeOf(node.shape);
      const { words: end, offsets } = layOutInOrder([words], literalsEnd);
      known = { place: { pool: "state", words, offset: offsets[0]! }, node };
      literalsEnd = end;
      literals.set(id, known);
    }
    return known.place;
  };

  for (const graph of graphs) {
    entries[graph.name] = entry(legalize(graph));
  }
  return {
    kernels,
    infos: kernels.map((kernel, i) => ({
      name: `${kernel.name}_${i}`, groups: kernel.groups, workgroup: kernel.workgroup, ...work[i]!,
      buffers: kernel.buffers.map(({ pool, access }) => ({ pool, access })),
    })),
    entries, peaks,
    pools: {
      state: literalsEnd + PADDING, work: pools.work + PADDING, ints: pools.ints + PADDING, out: pools.out + PADDING,
    },
    constants: [...literals.values()].map(({ place, node }) => ({
      at: refTo(place, node), data: node.op === "literal" ? node.attrs.data : [],
    })),
  };

  function entry(graph: Graph): Entry {
    const parts = partition(graph);
    const places = new Map<Node, Located>();
    const locate = (node: Node, pool: PoolName, offset = -1): Located => {
      const place: Located = { pool, words: sizeOf(node.shape), offset };
      places.set(node, place);
      return place;
    };
    const temporary = (node: Node): PoolName => (node.dtype === "u32" ? "ints" : "work");
    const inputs = new Map<string, Node>();
    for (const node of reachable(graph)) {
      if (node.op === "parameter" || node.op === "state") {
        const offset = state.get(node.attrs.name);
        if (offset === undefined) throw new Error(`schedule: ${node.attrs.name} has no place in the state`);
        locate(node, "state", offset);
      } else if (node.op === "literal") places.set(node, literal(node));
      else if (node.op === "input") {
        locate(node, temporary(node));
        inputs.set(node.attrs.name, node);
      }
    }
    const base = (node: Node): Node => behindReshapes(node, parts.isBase);
    // An output or a new value that is itself a leaf which this entry changes means the old value: it is set aside before any kernel runs.
    const changed = (node: Node): boolean => graph.updates.has(node) && base(graph.updates.get(node)!) !== node;
    const aside = new Map<Node, Located>();
    const setAside = (leaf: Node, pool: PoolName): void => {
      if (!aside.has(leaf)) aside.set(leaf, { pool, words: sizeOf(leaf.shape), offset: -1 });
    };
    for (const node of graph.outputs.values()) {
      if (!places.has(base(node))) locate(base(node), node.dtype === "u32" ? "ints" : "out");
      if (changed(base(node))) setAside(base(node), "out");
    }
    const copies: { readonly from: Node; readonly to: Node }[] = [];
    for (const [leaf, value] of graph.updates) {
      const node = base(value);
      if (node === leaf) continue;
      if (!places.has(node) && isInPlace(leaf, node, parts)) places.set(node, places.get(leaf)!);
      else {
        copies.push({ from: node, to: leaf });
        if (changed(node)) setAside(node, "work");
      }
    }
    const old = (node: Node): Located => aside.get(node) ?? places.get(node)!;
    for (const node of parts.stored.keys()) if (!places.has(node)) locate(node, temporary(node));

    const oracle: Places = { of: (node) => places.get(node) ?? null, isBase: parts.isBase };
    const bounds = [
      ...[...aside].map(([leaf, place]) => copyKernel(places.get(leaf)!, place, place.words, profile)),
      ...parts.clusters.map((cluster) => kernelOf(cluster, profile, oracle)),
      ...copies.map(({ from, to }) => copyKernel(old(from), places.get(to)!, sizeOf(to.shape), profile)),
    ];

    const kept = new Set<Place>([...graph.outputs.values()].map((node) => old(base(node))));
    const streams = new Set([...(graph.streams ?? [])].map((node) => places.get(behindViews(node, parts.isBase))));
    peaks[graph.name] = assignOffsets(bounds, [...new Set([...places.values(), ...aside.values()])], new Set([...inputs.values()].map((node) => places.get(node)!)), kept, streams);

    const dispatches: Dispatch[] = bounds.map((bound) => ({
      kernel: share(bound), offsets: bound.places.map((place) => (place as Located).offset),
    }));
    const outputs = [...graph.outputs].map(([name, node]) => [name, refTo(old(base(node)), node)] as const);
    return {
      dispatches,
      inputs: Object.fromEntries([...inputs].map(([name, node]) => [name, refTo(places.get(node)!, node)])),
      outputs: Object.fromEntries(outputs),
    };
  }

  /** Plans the temporary pools of one entry and widens the pools to what it needs. */
  function assignOffsets(bounds: readonly Bound[], all: readonly Located[], fed: ReadonlySet<Place>, kept: ReadonlySet<Place>, streams: ReadonlySet<Place | undefined>): Peak {
    const peak = { work: 0, streams: 0 };
    const span = new Map<Place, { from: number; to: number }>();
    bounds.forEach((bound, position) => {
      for (const place of bound.places) {
        const known = span.get(place);
        if (known) known.to = position;
        else span.set(place, { from: fed.has(place) ? -1 : position, to: position });
      }
    });
    for (const pool of ["work", "ints", "out"] as const) {
      const own = all.filter((place) => place.pool === pool && place.offset < 0);
      const ranges = own.map((place) => {
        const { from, to } = span.get(place) ?? { from: -1, to: -1 };
        return { words: place.words, from: fed.has(place) ? -1 : from, to: kept.has(place) ? bounds.length : to };
      });
      const layout = layOut(ranges);
      if (pool === "work") Object.assign(peak, { work: layout.words, streams: mostAtOnce(ranges.filter((_, i) => streams.has(own[i]!))) });
      own.forEach((place, i) => (place.offset = layout.offsets[i]!));
      pools[pool] = Math.max(pools[pool], layout.words);
    }
    return peak;
  }
}

function kernelOf(cluster: Cluster, profile: KernelProfile, places: Places): Bound {
  switch (cluster.kind) {
    case "map": return rowKernel(cluster, profile, places);
    case "matmul": return matmulKernel(cluster, profile, places);
    case "sinkhorn": return sinkhornKernel(cluster, profile, places);
    default: return cluster.kind satisfies never;
  }
}

const refTo = (place: Located, node: Node): TensorRef => ({
  pool: place.pool, offset: place.offset, shape: node.shape, dtype: node.dtype === "u32" ? "u32" : "f32",
});

/**
 * Whether `value` may be stored over the old value of `leaf`: no later kernel reads the old value, and the kernel that stores reads
 * it only at the element that it is about to write.
 */
function isInPlace(leaf: Node, value: Node, parts: Partition): boolean {
  const home = parts.stored.get(value);
  if (!home || home.axes || home.kind === "sinkhorn" || !sameShape(value.shape, leaf.shape)) return false;
  return parts.readersOf(leaf).every((cluster) => cluster.order < home.order || (cluster === home && readsPointwise(leaf, cluster, parts)));
}

/** Whether the cluster reads `leaf` only at the element that it is computing. */
function readsPointwise(leaf: Node, cluster: Cluster, parts: Partition): boolean {
  const seen = new Set<Node>();
  const visit = (node: Node, pointwise: boolean): boolean => {
    if (node === leaf) return pointwise;
    if (seen.has(node) || isLeaf(node) || (parts.stored.has(node) && !cluster.members.has(node))) return true;
    if (pointwise) seen.add(node);
    const same = pointwise && !isView(node) && node !== cluster.anchor && node.op !== "sum" && node.op !== "reduce_max" && node.op !== "gather";
    return node.inputs.every((input) => visit(input, same && sameShape(input.shape, cluster.shape)));
  };
  return cluster.roots.every((root) => visit(root, sameShape(root.shape, cluster.shape)));
}
