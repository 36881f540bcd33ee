/**
 * What a region's kernel depends on, as text: the nodes from its results to what lies in memory, numbered as they are
 * met, with their ops, shapes and wiring, which of them share a place, which axes are tokens, and how the region is
 * made of clusters. Regions of one signature have one kernel over different places, so a layer's kernels are emitted
 * once and found again for every other layer. Names of leaves, ids and offsets are not in it.
 */
import { mustAt, mustGet } from "../../runtime/lookup.js";
import type { Node } from "../graph/node.js";
import type { AxisClasses } from "./fusion/axes.js";
import type { Bound, Place, Places } from "./emit/kernelize.js";
import type { Region } from "./fusion/regions.js";

/** What a region's kernel depends on. */
export interface Signature {
  readonly text: string;
  /** The nodes in the order of their numbers. */
  readonly nodes: readonly Node[];
}

/**
 * The signature of a region: regions whose texts are equal have the same kernel, over the places of each one's nodes.
 */
export function signatureOf({ clusters, tokens, onChip }: Region, classes: AxisClasses, places: Places): Signature {
  const numbers = new Map<Node, number>();
  const placed = new Map<Place, number>();
  const members = new Set(clusters.flatMap((cluster) => [...cluster.members]));
  const parts: string[] = [];
  const placeOf = (node: Node): string => {
    const place = places.of(node);
    if (!place) return onChip.has(node) ? "chip" : "";
    const number = placed.get(place) ?? placed.size;
    placed.set(place, number);
    return `${place.pool}${number}`;
  };
  const visit = (node: Node): number => {
    const known = numbers.get(node);
    if (known !== undefined) return known;
    const base = places.isBase(node) && !members.has(node);
    const inputs = base ? [] : node.inputs.map(visit);
    const number = numbers.size;
    numbers.set(node, number);
    const local = tokens.length ? tokens.map((token) => classes(node).indexOf(token)).join() : "";
    // Products of connections are in f32 where others are of bf16.
    const precise = node.op === "contract" && node.origin.connects ? "precise " : "";
    const what = base ? "" : `${precise}${node.op}${JSON.stringify(node.attrs)}`;
    const place = places.isBase(node) ? placeOf(node) : "";
    parts.push(`${what}|${node.dtype}${node.shape.join("x")}|${inputs.join()}|${place}|${local}`);
    return number;
  };
  const list = (nodes: Iterable<Node>): string => Array.from(nodes, visit).join();
  const wholes = clusters.map(({ kind, roots, members: own, reads, anchor, shape, axes }) => {
    const nodes = [list(roots), list(own), list(reads), anchor ? visit(anchor) : ""];
    return `${kind}(${[...nodes, shape.join("x"), axes?.join() ?? "none"].join(";")})`;
  });
  return { text: `${parts.join("\n")}\n${wholes.join("\n")}`, nodes: [...numbers.keys()] };
}

/** A kernel that was made for one region, as that of any other region of its signature. */
export type Template = (other: Signature, otherPlaces: Places) => Bound;

/** The template of a kernel that was made for a region of that signature. Throws when it reads what is not in it. */
export function template(bound: Bound, { nodes }: Signature, places: Places): Template {
  const numberOf = (place: Place): number =>
    nodes.findIndex((node) => places.isBase(node) && places.of(node) === place);
  const numbers = bound.places.map(numberOf);
  const made = [...bound.made].filter((place) => !bound.scratch.has(place)).map(numberOf);
  if (made.includes(-1) || bound.places.some((place, i) => numbers[i] === -1 && !bound.scratch.has(place)))
    throw new Error("schedule: a kernel reads what its region does not name");
  return (other, otherPlaces) => {
    const at = (number: number): Place => {
      const place = otherPlaces.of(mustAt(other.nodes, number));
      if (!place) throw new Error("bug: regions of one signature differ in what is in memory");
      return place;
    };
    const own = new Map(Array.from(bound.scratch, ([place, words]) => [place, otherPlaces.scratch(words)]));
    return {
      ...bound,
      places: bound.places.map((place, i) => own.get(place) ?? at(mustAt(numbers, i))),
      made: new Set([...made.map(at), ...own.values()]),
      scratch: new Map(Array.from(bound.scratch, ([place, words]) => [mustGet(own, place), words])),
    };
  };
}
