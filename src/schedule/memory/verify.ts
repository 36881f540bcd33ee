/**
 * What must hold of places and of dispatches, whatever pass made them. Places are checked by what each node needs of
 * its own; the dispatches by running them on paper: every word of memory knows which value it holds, every kernel must
 * find in its operands' places what it means to read, and in the end results lie where the host and the next step look
 * for them. That is the whole of the memory plan: orders, copies, updates in place, slots of packs, padding, offsets.
 */
import { mustAt, mustGet } from "../../../runtime/lookup.js";
import type { PoolName } from "../../../runtime/plan.js";
import type { Graph, Node } from "../../graph/node.js";
import { slotsOf } from "../../graph/packing.js";
import { sameShape, sizeOf } from "../../graph/record.js";
import { namesOf } from "../../graph/text.js";
import type { Place } from "../emit/kernelize.js";
import { isLeaf, isState, type Cluster, type Partition } from "../fusion/clusters.js";
import { countUses, reachable } from "../fusion/partition.js";
import type { Arrangement } from "../fusion/regions.js";
import { basesOf } from "../fusion/verify.js";
import { behindReshapes, rangeOf } from "../fusion/views.js";
import { conflicts, type Batch, type Due, type Span } from "./batch.js";
import { readsPointwise, type State } from "./inplace.js";
import { paddingOf, showsPadding } from "./packs.js";
import { resultPlace, type Placement } from "./placement.js";
import { startOf, type Located, type Offsets } from "./places.js";

/** An entry whose tensors have places. */
export interface PlacedEntry {
  readonly graph: Graph;
  readonly arrangement: Arrangement;
  readonly placement: Placement;
  readonly state: State;
}

type Naming = (node: Node) => string;

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
  batches: readonly Batch[],
  spanOf: (place: Place) => Span,
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

/** An entry whose dispatches are to be run on paper. */
export interface Dispatched extends PlacedEntry {
  readonly batches: readonly Batch[];
  readonly offsets: Offsets;
}

/** Words of a pool that hold the words of a node from `at` on; zeros where it is null. */
interface Held {
  readonly from: number;
  readonly to: number;
  readonly node: Node | null;
  readonly at: number;
}

/** The memory of a device on paper: what each pool's words hold, in ascending order, without overlaps. */
type Memory = Map<PoolName, Held[]>;

/** The number of the first range that ends behind a word. */
function firstBehind(ranges: readonly Held[], word: number): number {
  let [low, high] = [0, ranges.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (mustAt(ranges, middle).to <= word) low = middle + 1;
    else high = middle;
  }
  return low;
}

function overwrite(memory: Memory, pool: PoolName, held: Held): void {
  const ranges = memory.get(pool) ?? [];
  memory.set(pool, ranges);
  const from = firstBehind(ranges, held.from);
  let to = from;
  while (to < ranges.length && mustAt(ranges, to).from < held.to) to++;
  const rest = ranges
    .slice(from, to)
    .flatMap((other) => [
      ...(other.from < held.from ? [{ ...other, to: held.from }] : []),
      held,
      ...(held.to < other.to ? [{ ...other, from: held.to, at: other.at + held.to - other.from }] : []),
    ])
    .filter((range, i, all) => range !== held || all.indexOf(held) === i);
  ranges.splice(from, to - from, ...(rest.length ? rest : [held]));
}

/** What some words hold. */
function heldIn(memory: Memory, pool: PoolName, from: number, to: number): Held[] {
  const ranges = memory.get(pool) ?? [];
  const held: Held[] = [];
  for (let i = firstBehind(ranges, from); i < ranges.length; i++) {
    const range = mustAt(ranges, i);
    if (range.from >= to) break;
    const start = Math.max(range.from, from);
    held.push({ ...range, from: start, to: Math.min(range.to, to), at: range.at + start - range.from });
  }
  return held;
}

/** What the words of a node hold when it is in memory: its own, and of a pack those of its operands. */
interface Expected {
  readonly at: number;
  readonly words: number;
  /** Null for padding that must be zero. */
  readonly node: Node | null;
  readonly from: number;
}

/** Some words that a kernel reads or writes. */
interface Range {
  readonly node: Node | null;
  readonly pool: PoolName;
  readonly from: number;
  readonly to: number;
}

/** What does not change while dispatches are run on paper. */
interface Paper extends Dispatched {
  readonly parts: Partition;
  readonly name: Naming;
  readonly uses: ReadonlyMap<Node, readonly Node[]>;
  /** Whether the padding of a pack can be seen, for those that were asked about. */
  readonly shown: Map<Node, boolean>;
  /** Constant tensors that are equal lie in one place: the first of them stands for all. */
  readonly first: ReadonlyMap<Located, Node>;
}

/** What is wrong with the dispatches of an entry, in words that name them and the nodes that they miss. */
export function verifyDispatches(entry: Dispatched): readonly string[] {
  const { graph, arrangement, placement, batches } = entry;
  const { parts } = arrangement;
  const first = new Map<Located, Node>();
  for (const [node, at] of placement.places) if (isLeaf(node) && !first.has(at)) first.set(at, node);
  const paper: Paper = {
    ...entry,
    parts,
    name: namesOf(graph),
    uses: countUses(reachable(graph), [...graph.outputs.values(), ...graph.updates.values()]),
    shown: new Map(),
    first,
  };
  const memory: Memory = new Map();
  for (const [node, at] of placement.places) if (isLeaf(node)) write(paper, memory, node, at);
  const wrong: string[] = [];
  for (const [i, batch] of batches.entries())
    wrong.push(...dispatch(paper, memory, batch).map((fault) => `dispatch ${i}: ${fault}`));
  return [...wrong, ...wrongInTheEnd(paper, memory)];
}

const rangeIn = ({ offsets }: Paper, node: Node | null, at: Located): Range => {
  const from = startOf(at, offsets);
  return { node, pool: at.pool, from, to: from + at.words };
};

function write(paper: Paper, memory: Memory, node: Node | null, at: Located): void {
  const { pool, from, to } = rangeIn(paper, node, at);
  overwrite(memory, pool, { from, to, node: node && canonical(paper, node), at: 0 });
}

const canonical = ({ first, placement }: Paper, node: Node): Node => {
  const at = node.op === "literal" ? placement.places.get(node) : undefined;
  return (at && first.get(at)) ?? node;
};

/** What a node's words must hold. */
function expectedOf(paper: Paper, node: Node): Expected[] {
  const { parts, uses, shown } = paper;
  const words = sizeOf(node.shape);
  if (node.op !== "pack" || !parts.stored.has(node)) return [{ at: 0, words, node: canonical(paper, node), from: 0 }];
  const { offsets } = slotsOf(node.inputs.map(({ shape }) => shape));
  const isShown = shown.get(node) ?? showsPadding(node, uses);
  shown.set(node, isShown);
  return node.inputs.flatMap((input, i): Expected[] => {
    const slot = mustAt(offsets, i);
    const end = offsets[i + 1] ?? words;
    const size = sizeOf(input.shape);
    const own = expectedOf(paper, behindReshapes(input, parts.isBase)).map((part) => ({ ...part, at: slot + part.at }));
    return isShown && slot + size < end
      ? [...own, { at: slot + size, words: end - slot - size, node: null, from: 0 }]
      : own;
  });
}

/** What of a node is not in its words; null when all of it is. */
function missing(paper: Paper, memory: Memory, node: Node, { pool, from }: Range): string | null {
  for (const part of expectedOf(paper, node)) {
    const start = from + part.at;
    let reached = start;
    for (const held of heldIn(memory, pool, start, start + part.words)) {
      const isRight = held.node === part.node && (part.node === null || held.at === part.from + held.from - start);
      if (!isRight || held.from !== reached) break;
      reached = held.to;
    }
    if (reached === start + part.words) continue;
    const [other] = heldIn(memory, pool, reached, reached + 1);
    const there = !other ? "nothing" : other.node ? paper.name(other.node) : "zeros";
    const wanted = part.node ? paper.name(part.node) : "zeros";
    return `${paper.name(node)} is read at ${reached} of ${pool}, where ${wanted} should be and ${there} is`;
  }
  return null;
}

/** Runs one dispatch: all that it reads must be there before, and no member may touch what another writes. */
function dispatch(paper: Paper, memory: Memory, { members }: Batch): string[] {
  const each = members.map((member) => touchedBy(paper, member));
  const wrong = each.flatMap(({ reads }) =>
    reads.flatMap((range) => (range.node && missing(paper, memory, range.node, range)) ?? []),
  );
  const overlap = (a: Range, b: Range): boolean => a.pool === b.pool && a.from < b.to && b.from < a.to;
  for (const [i, { reads, writes }] of each.entries()) {
    for (const [j, other] of each.entries()) {
      const clash = writes.find((range) =>
        (i === j ? reads.filter(({ pool }) => pool !== "state") : [...other.reads, ...other.writes]).some((touched) =>
          overlap(range, touched),
        ),
      );
      if (clash) wrong.push(`${clash.node ? paper.name(clash.node) : "a copy"} is written where it is still read`);
    }
  }
  const stored = each.flatMap(({ writes, copied }) => {
    const [from] = copied;
    const held = from ? heldIn(memory, from.pool, from.from, from.to) : [];
    return writes.map((range) => ({ range, from, held }));
  });
  for (const { range, from, held } of stored) {
    overwrite(memory, range.pool, {
      from: range.from,
      to: range.to,
      node: range.node && canonical(paper, range.node),
      at: 0,
    });
    for (const part of held) {
      const moved = range.from - (from?.from ?? 0);
      overwrite(memory, range.pool, { ...part, from: part.from + moved, to: part.to + moved });
    }
  }
  return wrong;
}

/** The words that a kernel reads and writes: of a region what its clusters say, else those of a copy or a clear. */
function touchedBy(
  paper: Paper,
  { bound, region }: Due,
): { readonly reads: readonly Range[]; readonly writes: readonly Range[]; readonly copied: readonly Range[] } {
  const { places } = paper.placement;
  if (!region) {
    const ranges = bound.places.map((place) => rangeIn(paper, null, place as Located));
    return { reads: [], writes: ranges.slice(-1), copied: ranges.slice(0, -1) };
  }
  const made = new Set<Node>();
  const reads: Range[] = [];
  const placed = (node: Node): Range[] => {
    const at = places.get(node);
    return at ? [rangeIn(paper, node, at)] : [];
  };
  for (const cluster of region.clusters) {
    for (const node of basesOf(cluster, paper.parts.isBase)) if (!made.has(node)) reads.push(...placed(node));
    for (const root of cluster.roots) made.add(root);
  }
  return { reads, writes: [...made].flatMap(placed), copied: [] };
}

/** Results lie where the host reads them, and new values where the next run finds them. */
function wrongInTheEnd(paper: Paper, memory: Memory): string[] {
  const { graph, placement, parts, name } = paper;
  const outputs = [...graph.outputs].flatMap(([output, node]) => {
    const base = behindReshapes(node, parts.isBase);
    const fault = missing(paper, memory, base, rangeIn(paper, base, resultPlace(placement, base)));
    return fault ? [`output ${output}: ${fault}`] : [];
  });
  const updates = [...graph.updates].flatMap(([leaf, value]) => {
    const { base, offset } = rangeOf(value, parts.isBase);
    const { pool, from, to } = rangeIn(paper, leaf, mustGet(placement.places, leaf));
    const expected = expectedOf(paper, base);
    const lies = heldIn(memory, pool, from, to).every((held) => {
      const at = offset + held.from - from;
      const part = expected.find((each) => each.at <= at && at < each.at + each.words);
      return part !== undefined && held.node === part.node && held.at === part.from + at - part.at;
    });
    return lies ? [] : [`in the end ${name(leaf)} is not its new value ${name(base)}`];
  });
  const kept = [...placement.places].flatMap(([leaf, at]) => {
    if (!isState(leaf) || graph.updates.has(leaf)) return [];
    const fault = missing(paper, memory, leaf, rangeIn(paper, leaf, at));
    return fault ? [`in the end ${fault}`] : [];
  });
  return [...outputs, ...updates, ...kept];
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
