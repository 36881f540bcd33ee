/**
 * A pack costs no copy where it can be had by placement: every stored operand is stored in its slot right away, and
 * whoever reads the pack reads the range of all slots. A pack of leaves that lie in the state as the slots do is that
 * memory. What can be had neither way (a leaf of elsewhere, a tensor with a place already, an operand used twice) is
 * copied into its slot.
 *
 * Padding is the one thing to prove. A pack is zero between its operands, but a range of the pool `work` holds what was
 * there before, and padding of the state what the last update left there. So the first question is whether anybody can
 * tell: a value computed element by element from a pack has padding of its own, and a slice of full slots, or within
 * one, never shows it. Only where padding could be seen (by a sum, by the host, by a view of another kind) is it
 * cleared, by one kernel over the range from the first padding to the last, before the first operand is stored there;
 * and a pack of leaves is then copied.
 */
import type { Node } from "../../graph/node.js";
import { elementwise } from "../../graph/ops/elementwise.js";
import { slotsOf, wholeSlots } from "../../graph/packing.js";
import { mustAt, mustGet } from "../../../runtime/lookup.js";
import type { Cluster, Partition } from "../fusion/clusters.js";
import { located, partOf, type Located } from "./places.js";
import { sizeOf } from "../../graph/record.js";
import { behindReshapes } from "../fusion/views.js";

/** A copy of one place to another of as many words. */
export interface Copy {
  readonly from: Located;
  readonly to: Located;
}

/** What packs need besides placement. */
export interface Packs {
  /** Copies that make up what placement could not, by the cluster of the pack. */
  readonly copies: ReadonlyMap<Cluster, readonly Copy[]>;
  /** Ranges to be cleared before a cluster runs. */
  readonly clears: ReadonlyMap<Cluster, readonly Located[]>;
}

interface Gap {
  readonly from: number;
  readonly to: number;
}

/** The words between the operands, and after the last. */
function gapsOf(pack: Node): Gap[] {
  const { offsets } = slotsOf(pack.inputs.map(({ shape }) => shape));
  return pack.inputs.flatMap(({ shape }, i) => {
    const words = sizeOf(shape);
    return words === wholeSlots(words)
      ? []
      : [{ from: mustAt(offsets, i) + words, to: mustAt(offsets, i) + wholeSlots(words) }];
  });
}

/** From the first word of padding to the last; null when all slots are full. */
export function paddingOf(pack: Node): Gap | null {
  const gaps = gapsOf(pack);
  const [first] = gaps;
  return first ? { from: first.from, to: mustAt(gaps, gaps.length - 1).to } : null;
}

/** Whether any result can depend on what the padding of `pack` holds. */
export function showsPadding(pack: Node, uses: ReadonlyMap<Node, readonly Node[]>): boolean {
  const gaps = gapsOf(pack);
  if (gaps.length === 0) return false;
  const inSlots = (start: number, words: number): boolean =>
    gaps.every(({ from, to }) => to <= start || start + words <= from);
  const seen = new Set<Node>();
  const shows = (node: Node): boolean => {
    if (seen.has(node)) return false;
    seen.add(node);
    return mustGet(uses, node).some((reader) => {
      if (reader === node) return true;
      if (reader.op === "slice") return !inSlots(reader.attrs.offset, sizeOf(reader.shape));
      return reader.op in elementwise ? shows(reader) : true;
    });
  };
  return shows(pack);
}

/**
 * The offset in the state at which a pack of leaves lies already; null when it does not, or when its padding can be
 * seen.
 */
export function lyingAt(
  pack: Node,
  offsetOf: (leaf: Node) => number | null,
  uses: ReadonlyMap<Node, readonly Node[]>,
): number | null {
  const { offsets } = slotsOf(pack.inputs.map(({ shape }) => shape));
  const starts = new Set(
    pack.inputs.map((input, i) => {
      const at = offsetOf(behindReshapes(input, (node) => offsetOf(node) !== null));
      return at === null ? null : at - mustAt(offsets, i);
    }),
  );
  const [start] = starts;
  return start === undefined || start === null || starts.size > 1 || showsPadding(pack, uses) ? null : start;
}

/** What packs are placed among. */
export interface PlacingPacks {
  /** Places of nodes; those of packs and of their operands are added. */
  readonly places: Map<Node, Located>;
  /** Packs that are the state as it lies. */
  readonly inState: ReadonlyMap<Node, Located>;
  readonly uses: ReadonlyMap<Node, readonly Node[]>;
  /** Whether operands are stored in their slots; without that, all are copied there. */
  readonly slots: boolean;
}

/** A cluster whose anchor is a pack that has a range of its own. */
interface PackCluster {
  readonly cluster: Cluster;
  readonly pack: Node;
}

/** Gives operands of packs their slots, and places to the packs that have none. */
export function placePacks(parts: Partition, placing: PlacingPacks): Packs {
  const { places, inState } = placing;
  const packs = parts.clusters.flatMap((cluster): PackCluster[] =>
    cluster.kind === "pack" && cluster.anchor && !inState.has(cluster.anchor)
      ? [{ cluster, pack: cluster.anchor }]
      : [],
  );
  const copies = new Map<Cluster, Copy[]>();
  // A pack of packs first, so that the inner ones find their slots.
  for (const { cluster, pack } of packs.toReversed()) {
    const whole = places.get(pack) ?? located("work", sizeOf(pack.shape));
    places.set(pack, whole);
    copies.set(cluster, fillSlots(pack, whole, parts, placing));
  }
  const clears = new Map<Cluster, Located[]>();
  const firstStore = new Map<Node, number>();
  for (const each of packs) {
    const cleared = clearPadding(each, parts, placing, firstStore);
    if (cleared) clears.set(cleared.before, [...(clears.get(cleared.before) ?? []), cleared.place]);
  }
  return { copies, clears };
}

/** Gives the operands of a pack their slots; the copies of those that have a place already. */
function fillSlots(pack: Node, whole: Located, parts: Partition, { places, slots }: PlacingPacks): Copy[] {
  const { offsets } = slotsOf(pack.inputs.map(({ shape }) => shape));
  return pack.inputs.flatMap((input, i) => {
    const base = behindReshapes(input, parts.isBase);
    const slot = partOf(whole, mustAt(offsets, i), sizeOf(input.shape));
    const from = places.get(base) ?? (slots ? null : located("work", slot.words));
    places.set(base, from ?? slot);
    return from ? [{ from, to: slot }] : [];
  });
}

/** The padding of a pack that is to be cleared, and the cluster before which that is; null when nobody sees it. */
function clearPadding(
  { cluster, pack }: PackCluster,
  parts: Partition,
  { places, uses }: PlacingPacks,
  firstStore: Map<Node, number>,
): { readonly before: Cluster; readonly place: Located } | null {
  const whole = mustGet(places, pack);
  const placed = pack.inputs
    .map((input) => behindReshapes(input, parts.isBase))
    .flatMap((base) => {
      const { part, words } = mustGet(places, base);
      return part?.of === whole
        ? [{ at: part.at, words, order: firstStore.get(base) ?? mustGet(parts.stored, base).order }]
        : [];
    });
  /**
   * The first cluster that stores into some words of the pack; at the latest that of the pack, where copies are made.
   */
  const firstIn = (from: number, to: number): number =>
    placed
      .filter(({ at, words }) => at < to && from < at + words)
      .reduce((least, { order }) => Math.min(least, order), cluster.order);
  firstStore.set(pack, firstIn(0, whole.words));
  const padding = paddingOf(pack);
  if (!padding || !showsPadding(pack, uses)) return null;
  const start = firstIn(padding.from, padding.to);
  const before = parts.clusters.find(({ order }) => order === start);
  if (!before) throw new Error(`bug: no cluster has the order ${start}`);
  return { before, place: partOf(whole, padding.from, padding.to - padding.from) };
}
