/**
 * The dispatches of an entry, run on paper: every word of memory knows which value it holds, every kernel must find in
 * its operands' places what it means to read, and in the end results lie where the host and the next step look for
 * them. That is the whole of the memory plan: orders, copies, updates in place, slots of packs, padding, offsets.
 */
import { mustAt, mustGet } from "../../../runtime/lookup.js";
import type { PoolName } from "../../../runtime/plan.js";
import type { Node } from "../../graph/node.js";
import { slotsOf } from "../../graph/packing.js";
import { sizeOf } from "../../graph/record.js";
import { namesOf } from "../../graph/text.js";
import { isLeaf, isState, type Partition } from "../fusion/clusters.js";
import { countUses, reachable } from "../fusion/inline.js";
import { basesOf } from "../fusion/verify.js";
import { behindReshapes, rangeOf } from "../fusion/views.js";
import type { KernelBatch, Due } from "./batch.js";
import { showsPadding } from "./packs.js";
import { resultPlace } from "./placement.js";
import { startOf, type Located, type Offsets } from "./places.js";
import type { PlacedEntry } from "./verify.js";

/** An entry whose dispatches are to be run on paper. */
export interface Dispatched extends PlacedEntry {
  readonly batches: readonly KernelBatch[];
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
interface ExpectedWords {
  readonly at: number;
  readonly words: number;
  /** Null for padding that must be zero. */
  readonly node: Node | null;
  readonly from: number;
}

/** Some words that a kernel reads or writes. */
interface Touched {
  readonly node: Node | null;
  readonly pool: PoolName;
  readonly from: number;
  readonly to: number;
}

/** What does not change while dispatches are run on paper. */
interface Paper extends Dispatched {
  readonly parts: Partition;
  readonly name: (node: Node) => string;
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

const rangeIn = ({ offsets }: Paper, node: Node | null, at: Located): Touched => {
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
function expectedOf(paper: Paper, node: Node): ExpectedWords[] {
  const { parts, uses, shown } = paper;
  const words = sizeOf(node.shape);
  if (node.op !== "pack" || !parts.stored.has(node)) return [{ at: 0, words, node: canonical(paper, node), from: 0 }];
  const { offsets } = slotsOf(node.inputs.map(({ shape }) => shape));
  const isShown = shown.get(node) ?? showsPadding(node, uses);
  shown.set(node, isShown);
  return node.inputs.flatMap((input, i): ExpectedWords[] => {
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
function missing(paper: Paper, memory: Memory, node: Node, { pool, from }: Touched): string | null {
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
function dispatch(paper: Paper, memory: Memory, { members }: KernelBatch): string[] {
  const each = members.map((member) => touchedBy(paper, member));
  const wrong = each.flatMap(({ reads }) =>
    reads.flatMap((range) => (range.node && missing(paper, memory, range.node, range)) ?? []),
  );
  const overlap = (a: Touched, b: Touched): boolean => a.pool === b.pool && a.from < b.to && b.from < a.to;
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
): { readonly reads: readonly Touched[]; readonly writes: readonly Touched[]; readonly copied: readonly Touched[] } {
  const { places } = paper.placement;
  if (!region) {
    const ranges = bound.places.map((place) => rangeIn(paper, null, place as Located));
    return { reads: [], writes: ranges.slice(-1), copied: ranges.slice(0, -1) };
  }
  const made = new Set<Node>();
  const reads: Touched[] = [];
  const placed = (node: Node): Touched[] => {
    const at = places.get(node);
    return at ? [rangeIn(paper, node, at)] : [];
  };
  for (const cluster of region.clusters) {
    for (const node of basesOf(cluster, paper.parts.isBase)) if (!made.has(node)) reads.push(...placed(node));
    for (const root of cluster.roots) made.add(root);
  }
  const own = Array.from(bound.scratch.keys(), (place) => rangeIn(paper, null, place as Located));
  return { reads, writes: [...[...made].flatMap(placed), ...own], copied: [] };
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
