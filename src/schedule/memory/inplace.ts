/**
 * Whether a new value may be stored over the old one. A value may be the new content of one leaf, or, cut into slices,
 * of many that lie side by side in the state; either way it is written once, by the kernel that computes it, when no
 * other kernel still needs what was there and that kernel reads it only at the element that it is about to write.
 */
import type { Node } from "../../graph/node.js";
import { mustGet } from "../../../runtime/lookup.js";
import { isLeaf, type Cluster, type Partition } from "../fusion/clusters.js";
import { knownStart, located, type Located } from "./places.js";
import { isReduction, sameShape, sizeOf } from "../../graph/record.js";
import { isView } from "../fusion/views.js";

/** The pool `state`: offsets by the name of a parameter or state, whether the graph knows it or not. */
export interface State {
  readonly layout: ReadonlyMap<string, number>;
  readonly words: number;
}

/** What is known of an entry when new values are placed. */
export interface UpdatePlacing {
  readonly parts: Partition;
  /** Clusters that are kernels of their own. Several in one kernel go tile by tile, so their order says nothing. */
  readonly alone: ReadonlySet<Cluster>;
  readonly places: ReadonlyMap<Node, Located>;
  /** Packs of leaves that are memory as it lies. */
  readonly inState: ReadonlyMap<Node, Located>;
  /** Leaf -> where its new value lies. */
  readonly values: ReadonlyMap<Node, { readonly base: Node; readonly offset: number }>;
}

/** A new value: `leaf` becomes the words of `value` from `offset` on. */
export interface Update {
  readonly leaf: Node;
  readonly value: Node;
  readonly offset: number;
}

/** The place in the state for the value of an update; null when it must be stored elsewhere. */
export function inPlace({ leaf, value, offset }: Update, placing: UpdatePlacing, state: State): Located | null {
  const { parts, alone, places, inState } = placing;
  const home = parts.stored.get(value);
  if (!home || !alone.has(home) || (home.kind !== "map" && home.kind !== "matmul")) return null;
  const startIn = (node: Node): number => knownStart(mustGet(places, node));
  const start = startIn(leaf) - offset;
  const end = start + sizeOf(value.shape);
  // The leaves that become `value` are all that may lie in the range, and one of them begins it.
  const covered = new Map(
    [...placing.values]
      .map(([covers, from]) => ({ covers, from, at: startIn(covers) }))
      .filter(({ from, at }) => from.base === value && at - from.offset === start)
      .map(({ covers, at }) => [at, covers]),
  );
  if (end > state.words || !covered.has(start)) return null;
  for (const at of state.layout.values()) if (at >= start && at < end && !covered.has(at)) return null;

  const packs = [...inState]
    .filter(([, place]) => knownStart(place) < end && start < knownStart(place) + place.words)
    .map(([pack]) => pack);
  const overlapping = [...covered.values(), ...packs];
  const safe = (node: Node): boolean =>
    parts.readersOf(node).every((cluster) => {
      // A pack that is this memory reads nothing itself; its readers are asked.
      if (cluster.anchor && inState.has(cluster.anchor)) return true;
      if (cluster !== home) return cluster.order < home.order;
      return startIn(node) === start && sameShape(node.shape, value.shape) && readsPointwise(node, cluster, parts);
    });
  if (!overlapping.every(safe)) return null;
  // One object for one range, so that a kernel that reads and writes it has one buffer.
  const same = overlapping.find((node) => startIn(node) === start && sizeOf(node.shape) === end - start);
  return same ? mustGet(places, same) : located("state", end - start, start);
}

/** Whether the cluster reads `leaf` only at the element that it is computing. */
export function readsPointwise(leaf: Node, cluster: Cluster, parts: Partition): boolean {
  const seen = { here: new Set<Node>(), elsewhere: new Set<Node>() };
  const visit = (node: Node, pointwise: boolean): boolean => {
    if (node === leaf) return pointwise;
    const visited = pointwise ? seen.here : seen.elsewhere;
    if (visited.has(node) || isLeaf(node) || (parts.stored.has(node) && !cluster.members.has(node))) return true;
    visited.add(node);
    const same = pointwise && !isView(node) && node !== cluster.anchor && !isReduction(node) && node.op !== "gather";
    return node.inputs.every((input) => visit(input, same && sameShape(input.shape, cluster.shape)));
  };
  return cluster.roots.every((root) => visit(root, sameShape(root.shape, cluster.shape)));
}
