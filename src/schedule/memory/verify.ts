/**
 * What must hold of places, kernels and batches, whatever pass made them. Places are checked by what each node needs of
 * its own; that the dispatches find what they read is checked by running them (`paper.ts`).
 */
import { mustAt } from "../../../runtime/lookup.js";
import type { Graph, Node } from "../../graph/node.js";
import { slotsOf } from "../../graph/packing.js";
import { sameShape, sizeOf } from "../../graph/record.js";
import { namesOf } from "../../graph/text.js";
import type { Place } from "../emit/kernelize.js";
import { isLeaf, type Cluster } from "../fusion/clusters.js";
import { countUses, reachable } from "../fusion/inline.js";
import type { Arrangement } from "../fusion/regions.js";
import { basesOf, type Naming } from "../fusion/verify.js";
import { behindReshapes, rangeOf } from "../fusion/views.js";
import { conflicts, type KernelBatch, type Due, type PlaceSpan } from "./batch.js";
import { readsPointwise, type State } from "./inplace.js";
import { paddingOf, showsPadding } from "./packs.js";
import type { Placement } from "./placement.js";
import type { Located } from "./places.js";

/** An entry whose tensors have places. */
export interface PlacedEntry {
  readonly graph: Graph;
  readonly arrangement: Arrangement;
  readonly placement: Placement;
  readonly state: State;
}

/** What is wrong with the places of an entry, in words that name nodes. */
export function verifyPlaces(entry: PlacedEntry): readonly string[] {
  const { graph, arrangement } = entry;
  const name = namesOf(graph);
  const uses = countUses(reachable(graph), [...graph.outputs.values(), ...graph.updates.values()]);
  return [
    ...wrongPlaces(entry, name),
    ...wrongParts(entry, name),
    ...wrongSharing(entry, name),
    ...arrangement.parts.clusters.flatMap(({ kind, anchor }) =>
      kind === "pack" && anchor ? wrongSlots(entry, anchor, uses, name) : [],
    ),
    ...wrongUpdates(entry, name),
  ];
}

/** Every leaf and every stored node has a place of its size, unless it is on the chip. */
function wrongPlaces({ graph, arrangement, placement: { places }, state }: PlacedEntry, name: Naming): string[] {
  const onChip = new Set(arrangement.regions.flatMap((region) => [...region.onChip]));
  return reachable(graph)
    .filter(arrangement.parts.isBase)
    .flatMap((node) => {
      const at = places.get(node);
      if (!at) return onChip.has(node) ? [] : [`${name(node)} has no place`];
      if (onChip.has(node)) return [`${name(node)} is on the chip and has a place in ${at.pool}`];
      if (at.words !== sizeOf(node.shape)) return [`${name(node)} has a place of ${at.words} words`];
      const home = node.op === "parameter" || node.op === "state" ? state.layout.get(node.attrs.name) : at.offset;
      return at.offset === home ? [] : [`${name(node)} lies at ${at.offset}, and its state at ${home}`];
    });
}

/** Parts lie inside of what they are parts of, and no two nodes' parts overlap. */
function wrongParts({ placement: { places } }: PlacedEntry, name: Naming): string[] {
  const wrong: string[] = [];
  const parts = new Map<Located, { readonly node: Node; readonly from: number; readonly to: number }[]>();
  for (const [node, { part, words }] of places) {
    if (!part) continue;
    const own = { node, from: part.at, to: part.at + words };
    if (own.from < 0 || own.to > part.of.words) wrong.push(`${name(node)} lies outside of the pack that it is part of`);
    const others = parts.get(part.of) ?? [];
    for (const other of others)
      if (other.from < own.to && own.from < other.to)
        wrong.push(`${name(node)} and ${name(other.node)} overlap in the pack that they are part of`);
    parts.set(part.of, [...others, own]);
  }
  return wrong;
}

/** Nodes share a place in the state alone: a new value over the old one, and constant tensors that are equal. */
function wrongSharing({ placement: { places } }: PlacedEntry, name: Naming): string[] {
  const first = new Map<Located, Node>();
  return [...places].flatMap(([node, at]) => {
    const other = first.get(at);
    first.set(at, other ?? node);
    return other && at.pool !== "state" ? [`${name(other)} and ${name(node)} have one place`] : [];
  });
}

/** Every operand of a pack lies in its slot, or is copied there; padding that can be seen is cleared. */
function wrongSlots(
  { arrangement, placement }: PlacedEntry,
  pack: Node,
  uses: ReadonlyMap<Node, readonly Node[]>,
  name: Naming,
): string[] {
  const { isBase } = arrangement.parts;
  const { places, inState, packs } = placement;
  const whole = places.get(pack);
  if (!whole) return [];
  const { offsets } = slotsOf(pack.inputs.map(({ shape }) => shape));
  const copies = [...packs.copies.values()].flat();
  const wrong = pack.inputs.flatMap((input, i) => {
    const base = behindReshapes(input, isBase);
    const at = places.get(base);
    const slot = mustAt(offsets, i);
    const lies = inState.has(pack)
      ? whole.offset !== null && at?.offset === whole.offset + slot
      : (at?.part?.of === whole && at.part.at === slot) ||
        copies.some(({ from, to }) => from === at && to.part?.of === whole && to.part.at === slot);
    return lies ? [] : [`${name(base)} is not in its slot of the pack ${name(pack)}`];
  });
  const padding = paddingOf(pack);
  if (!padding || !showsPadding(pack, uses)) return wrong;
  const cleared = [...packs.clears.values()]
    .flat()
    .some(({ part, words }) => part?.of === whole && part.at <= padding.from && part.at + words >= padding.to);
  return cleared ? wrong : [...wrong, `the padding of the pack ${name(pack)} is read and not cleared`];
}

/** A value that is stored over leaves is their new value, and nobody who still needs the old one runs later. */
function wrongUpdates({ graph, arrangement, placement, state }: PlacedEntry, name: Naming): string[] {
  const { parts } = arrangement;
  const { places, inState, late } = placement;
  const values = new Map([...graph.updates].map(([leaf, value]) => [leaf, rangeOf(value, parts.isBase)]));
  const wrong: string[] = [];
  const inMemory = [...places].flatMap(([node, { offset, words, pool }]) =>
    pool === "state" && offset !== null ? [{ node, from: offset, to: offset + words }] : [],
  );
  for (const { node: value, from, to } of inMemory) {
    const home = parts.stored.get(value);
    if (!home || inState.has(value)) continue;
    if (to > state.words) wrong.push(`${name(value)} reaches beyond the state`);
    for (const { node: old, from: start } of inMemory.filter((other) => other.from < to && from < other.to)) {
      if (old === value) continue;
      const becomes = values.get(old);
      if (isLeaf(old) && !(becomes?.base === value && start - from === becomes.offset))
        wrong.push(`${name(value)} is stored over ${name(old)}, whose new value it is not`);
      const reader = parts.readersOf(old).find((cluster) => {
        if (cluster.anchor && inState.has(cluster.anchor)) return false;
        if (cluster !== home) return cluster.order > home.order;
        return !(start === from && sameShape(old.shape, value.shape) && readsPointwise(old, cluster, parts));
      });
      if (reader) wrong.push(`${name(value)} is stored over ${name(old)}, which cluster ${reader.order} still reads`);
    }
  }
  for (const [leaf, { base, offset }] of values) {
    const [at, of] = [places.get(leaf)?.offset, places.get(base)?.offset];
    const lies = base === leaf || (of !== null && of !== undefined && of + offset === at);
    if (!lies && !late.some((copy) => copy.leaf === leaf && copy.value === base && copy.offset === offset))
      wrong.push(`the new value of ${name(leaf)} is neither stored nor copied there`);
  }
  return wrong;
}

/**
 * What is wrong with batches of kernels: every kernel is in one, with the places that it had, and two of which one
 * writes what the other touches are in the order in which they were.
 */
export function verifyBatches(
  graph: Graph,
  dues: readonly Due[],
  batches: readonly KernelBatch[],
  spanOf: (place: Place) => PlaceSpan,
): readonly string[] {
  const name = namesOf(graph);
  const wrong: string[] = [];
  const batchOf = new Map<Due, number>();
  for (const [i, { copies, members }] of batches.entries()) {
    for (const member of members) {
      if (batchOf.has(member)) wrong.push(`${wordsOf(member, name)} runs in two dispatches`);
      batchOf.set(member, i);
    }
    const places = new Set(copies.flat());
    for (const member of members)
      if (!member.bound.places.every((place) => places.has(place)))
        wrong.push(`dispatch ${i} does not touch what ${wordsOf(member, name)} does`);
  }
  for (const due of dues) if (!batchOf.has(due)) wrong.push(`${wordsOf(due, name)} runs in no dispatch`);
  for (const [earlier, later] of conflicts(dues, spanOf)) {
    const [first, second] = [batchOf.get(earlier), batchOf.get(later)];
    if (first !== undefined && second !== undefined && first >= second)
      wrong.push(`${wordsOf(later, name)} runs in dispatch ${second}, and must wait for ${wordsOf(earlier, name)}`);
  }
  return wrong;
}

/** A kernel by what it makes. */
function wordsOf({ bound, region }: Due, name: Naming): string {
  const roots = region?.clusters.flatMap((cluster) => cluster.roots) ?? [];
  return roots.length ? `the kernel of ${roots.map(name).join(", ")}` : `a kernel that is to ${bound.kernel.name}`;
}

/** What is wrong between the kernels of an entry and the places of what they compute. */
export function verifyKernelPlaces(
  { graph, placement, arrangement }: PlacedEntry,
  dues: readonly Due[],
): readonly string[] {
  const name = namesOf(graph);
  const { isBase } = arrangement.parts;
  return dues.flatMap(({ bound, region }) => {
    if (!region) return [];
    const read = new Set<Place>();
    const written = new Set<Place>();
    for (const [i, { access }] of bound.kernel.buffers.entries()) {
      const place = mustAt(bound.places, i);
      if (bound.scratch.has(place)) continue;
      if (access !== "write") read.add(place);
      if (access !== "read") written.add(place);
    }
    const roots = region.clusters.flatMap((cluster) => cluster.roots);
    const stored = placesOf(roots, placement);
    const readable = new Set([...placesOf(bases(region.clusters, isBase), placement), ...stored]);
    const what = roots.map(name).join(", ");
    return [
      ...[...stored].flatMap((place) => (written.has(place) ? [] : [`the kernel of ${what} does not write all of it`])),
      ...[...written].flatMap((place) => (stored.has(place) ? [] : [`the kernel of ${what} writes something else`])),
      ...[...read].flatMap((place) => (readable.has(place) ? [] : [`the kernel of ${what} reads something else`])),
    ];
  });
}

const bases = (clusters: readonly Cluster[], isBase: (node: Node) => boolean): Node[] =>
  clusters.flatMap((cluster) => [...basesOf(cluster, isBase)]);

const placesOf = (nodes: readonly Node[], { places }: Placement): ReadonlySet<Place> =>
  new Set(
    nodes.flatMap((node): readonly Place[] => {
      const at = places.get(node);
      return at ? [at] : [];
    }),
  );
