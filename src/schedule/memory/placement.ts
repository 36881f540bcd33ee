/**
 * Where every tensor of an entry lies, as far as that is a question of what may lie with what: leaves in the state or
 * where the host feeds them, packs that are the state as it lies, results where the host reads them, new values over
 * the old ones (`inplace.ts`), operands of packs in their slots (`packs.ts`), and all else in a range of its own. What
 * is left for later is where the ranges of the temporary pools begin (`offsets.ts`).
 */
import { mustGet } from "../../../runtime/lookup.js";
import type { PoolName } from "../../../runtime/plan.js";
import type { Graph, Node } from "../../graph/node.js";
import { namesOf } from "../../graph/text.js";
import type { KernelProfile } from "../../kernel/profile.js";
import { isState } from "../fusion/clusters.js";
import { countUses, reachable } from "../fusion/inline.js";
import { halves } from "../fusion/precision.js";
import type { Arrangement } from "../fusion/regions.js";
import { sizeOf } from "../../graph/record.js";
import { behindReshapes, rangeOf } from "../fusion/views.js";
import { inPlace, type State } from "./inplace.js";
import { lyingAt, placePacks, type Packs } from "./packs.js";
import { inWhole, knownStart, located, startOf, wholeOf, type Located, type Offsets } from "./places.js";

/** An entry whose tensors are to be placed. */
export interface Unplaced {
  readonly graph: Graph;
  readonly arrangement: Arrangement;
  readonly profile: Pick<KernelProfile, "half">;
  readonly state: State;
  /** The place of a constant tensor, which entries share. */
  readonly literal: (node: Node) => Located;
  /** Whether new values may be stored over the old ones. */
  readonly inPlace: boolean;
  /** Whether packs may be had by placement: without that, every operand is copied into its slot. */
  readonly packs: boolean;
}

/** A new value that is copied to its leaf when all kernels have run: `value` from the word `offset` on. */
export interface LateCopy {
  readonly leaf: Node;
  readonly value: Node;
  readonly offset: number;
}

/** Where the tensors of an entry lie. */
export interface Placement {
  /** The place of every leaf and every stored node that is not on the chip. */
  readonly places: ReadonlyMap<Node, Located>;
  /** Where the old values of leaves lie that change before somebody reads them: copied there before any kernel runs. */
  readonly aside: ReadonlyMap<Node, Located>;
  readonly late: readonly LateCopy[];
  readonly packs: Packs;
  /** Packs that are the state as it lies. */
  readonly inState: ReadonlyMap<Node, Located>;
  /** What the host feeds, by name. */
  readonly inputs: ReadonlyMap<string, Node>;
}

/** A placement while it is made. */
interface Placing extends Unplaced {
  readonly nodes: readonly Node[];
  readonly uses: ReadonlyMap<Node, readonly Node[]>;
  /** The stored node, or leaf, behind a chain of reshapes. */
  readonly base: (node: Node) => Node;
  /** Leaf -> where its new value lies. */
  readonly values: ReadonlyMap<Node, { readonly base: Node; readonly offset: number }>;
  readonly places: Map<Node, Located>;
  readonly aside: Map<Node, Located>;
  readonly inState: Map<Node, Located>;
}

/** Places all tensors of an entry. Throws for a parameter or state that the layout does not know. */
export function place(entry: Unplaced): Placement {
  const { graph, arrangement } = entry;
  const { isBase } = arrangement.parts;
  const nodes = reachable(graph);
  const placing: Placing = {
    ...entry,
    nodes,
    uses: countUses(nodes, [...graph.outputs.values(), ...graph.updates.values()]),
    base: (node) => behindReshapes(node, isBase),
    values: new Map([...graph.updates].map(([leaf, value]) => [leaf, rangeOf(value, isBase)])),
    places: new Map(),
    aside: new Map(),
    inState: new Map(),
  };
  const { places, aside, inState } = placing;
  const inputs = placeLeaves(placing);
  if (entry.packs) placePacksInState(placing);
  placeOutputs(placing);
  const late = placeUpdates(placing);
  const packs = placePacks(arrangement.parts, { places, inState, uses: placing.uses, slots: entry.packs });
  placeTemporaries(placing);
  return { places, aside, late, packs, inState, inputs };
}

function locate({ places }: Placing, node: Node, pool: PoolName, offset: number | null = null): Located {
  const own = located(pool, sizeOf(node.shape), offset);
  places.set(node, own);
  return own;
}

const fedPool = (node: Node): PoolName => (node.dtype === "u32" ? "ints" : "work");

/** Leaves: the layout of the state is given; what the host feeds is planned with the rest. */
function placeLeaves(placing: Placing): Map<string, Node> {
  const inputs = new Map<string, Node>();
  for (const node of placing.nodes) {
    if (node.op === "parameter" || node.op === "state") {
      const offset = placing.state.layout.get(node.attrs.name);
      if (offset === undefined) throw new Error(`schedule: ${node.attrs.name} has no place in the state`);
      locate(placing, node, "state", offset);
    } else if (node.op === "literal") placing.places.set(node, placing.literal(node));
    else if (node.op === "input") {
      locate(placing, node, fedPool(node));
      inputs.set(node.attrs.name, node);
    }
  }
  return inputs;
}

/** Packs that are the state as it lies. A result is none of them: it is read when the state has changed. */
function placePacksInState(placing: Placing): void {
  const { graph, arrangement, places, uses, base, values, inState } = placing;
  const results = new Set([
    ...[...graph.outputs.values()].map(base),
    ...[...values.values()].map((value) => value.base),
  ]);
  const offsetOf = (leaf: Node): number | null => (isState(leaf) ? mustGet(places, leaf).offset : null);
  for (const { kind, anchor } of arrangement.parts.clusters) {
    if (kind !== "pack" || !anchor || results.has(anchor)) continue;
    const at = lyingAt(anchor, offsetOf, uses);
    if (at !== null) inState.set(anchor, locate(placing, anchor, "state", at));
  }
}

/** Whether the entry changes a leaf. */
const changes = ({ values }: Placing, node: Node): boolean => {
  const value = values.get(node);
  return value !== undefined && value.base !== node;
};

/**
 * An output or a new value that is itself a leaf which this entry changes means the old value: it is set aside before
 * any kernel runs.
 */
function setAside(placing: Placing, leaf: Node, pool: PoolName): void {
  if (changes(placing, leaf) && !placing.aside.has(leaf)) placing.aside.set(leaf, located(pool, sizeOf(leaf.shape)));
}

function placeOutputs(placing: Placing): void {
  for (const node of placing.graph.outputs.values()) {
    const base = placing.base(node);
    if (!placing.places.has(base)) locate(placing, base, node.dtype === "u32" ? "ints" : "out");
    setAside(placing, base, "out");
  }
}

/** New values: where they lie already, over the old ones, or copied there in the end. */
function placeUpdates(placing: Placing): LateCopy[] {
  const { arrangement, places, inState, values, state } = placing;
  const { parts, regions } = arrangement;
  const alone = new Set(regions.flatMap(({ clusters }) => (clusters.length === 1 ? clusters : [])));
  const late: LateCopy[] = [];
  for (const [leaf, { base: value, offset }] of values) {
    if (value === leaf) continue;
    const placed = places.get(value);
    const home = knownStart(mustGet(places, leaf));
    if (placed?.pool === "state" && placed.offset !== null && placed.offset + offset === home) continue;
    const over =
      placed || !placing.inPlace
        ? null
        : inPlace({ leaf, value, offset }, { parts, alone, places, inState, values }, state);
    if (over) places.set(value, over);
    else {
      late.push({ leaf, value, offset });
      setAside(placing, value, "work");
    }
  }
  return late;
}

/** All that has no place yet, in a range of its own: activations in half precision where the page asks for it. */
function placeTemporaries(placing: Placing): void {
  const { graph, nodes, arrangement, profile, places } = placing;
  const onChip = new Set(arrangement.regions.flatMap((region) => [...region.onChip]));
  const isHalf = profile.half === true ? halves(graph, nodes, arrangement.classes) : () => false;
  for (const node of arrangement.parts.stored.keys())
    if (!places.has(node) && !onChip.has(node)) locate(placing, node, isHalf(node) ? "half" : fedPool(node));
}

/** Where a result of an entry lies: its old value, where that was set aside. */
export const resultPlace = ({ aside, places }: Placement, node: Node): Located =>
  aside.get(node) ?? mustGet(places, node);

/**
 * A placement as text, with the names that the graph's text gives its nodes: places of the state with their offsets,
 * those of other pools with theirs once they are planned, and of those before as the number of their range.
 */
export function printPlaces(graph: Graph, placement: Placement, offsets: Offsets | null = null): string {
  const name = namesOf(graph);
  const ranges = new Map<Located, number>();
  const words = (place: Located): string => {
    const { pool, part } = place;
    const whole = wholeOf(place);
    if (whole.offset === null && !ranges.has(whole)) ranges.set(whole, ranges.size);
    const start = offsets || whole.offset !== null ? startOf(place, offsets ?? new Map()) : null;
    const range = start === null ? `${pool} range ${mustGet(ranges, whole)}` : `${pool} at ${start}`;
    const within = part && start === null ? ` from ${inWhole(place)}` : "";
    return `${range}${within}, ${place.words} words`;
  };
  const { places, aside, late, packs, inState } = placement;
  const leafName = (node: Node): string =>
    node.op === "parameter" || node.op === "state" || node.op === "input" ? ` ${node.attrs.name}` : "";
  const lines = [
    ...[...places].map(
      ([node, at]) =>
        `${name(node)} ${node.op}${leafName(node)}: ${words(at)}${inState.has(node) ? ", the state as it lies" : ""}`,
    ),
    ...[...aside].map(([leaf, at]) => `old value of ${name(leaf)}: ${words(at)}`),
    ...[...packs.copies.values()].flat().map(({ from, to }) => `copy ${words(from)} to ${words(to)}`),
    ...[...packs.clears].flatMap(([{ order }, cleared]) =>
      cleared.map((at) => `clear ${words(at)} before cluster ${order}`),
    ),
    ...late.map(({ leaf, value, offset }) => `copy ${name(value)} from ${offset} to ${name(leaf)} in the end`),
  ];
  return [`places of ${graph.name} {`, ...lines.map((line) => `  ${line}`), "}"].join("\n");
}
