/** Coordinates of elements, as kernels compute them, and the names under which their values are remembered. */
import * as k from "../../kernel/build.js";
import type { Node } from "../../graph/node.js";
import type { Expr, Lanes } from "../../kernel/ir.js";

/** As many items as a list or tuple has. */
export type EachOf<T extends readonly unknown[], Item> = { -readonly [I in keyof T]: Item };

/** Where an element lies along one axis of a tensor. */
export interface Coord {
  /** A constant or a name: other expressions are bound first, so that equal coordinates have equal keys. */
  readonly at: Expr;
  /** The step from lane to lane: lane l stands for `at + l * lane`; 0 where all lanes are one element. */
  readonly lane: number;
  /** How many lanes step; 1 where none does. */
  readonly width: Lanes;
  /** Depth of the scope in which `at` exists. */
  readonly depth: number;
}

/** A coordinate that is known when the kernel is made. */
export const constant = (value: number): Coord => ({ at: k.idx(value), lane: 0, width: 1, depth: 0 });

/** A coordinate that exists in the body of the kernel: the number of its group or invocation. */
export const outermost = (at: Expr): Coord => ({ at, lane: 0, width: 1, depth: 0 });

/** Neighbours from a coordinate on, one in each of `width` lanes; itself for one. */
export const across = (c: Coord, width: Lanes): Coord => ({ ...c, lane: width === 1 ? 0 : 1, width });

/** The coordinate of the first lane alone. */
export const still = (c: Coord): Coord => ({ ...c, lane: 0, width: 1 });

/** How many lanes a value has at these coordinates. */
export const widthOf = (coords: readonly Coord[]): Lanes =>
  coords.reduce<Lanes>((most, { width }) => (width > most ? width : most), 1);

/** The depth of the scope in which all of the coordinates exist. */
export const reachOf = (coords: readonly Coord[]): number =>
  coords.reduce((deepest, { depth }) => Math.max(deepest, depth), 0);

/** The same values, all with as many lanes as the one that has most. */
export function widen<T extends readonly Expr[]>(values: readonly [...T]): EachOf<T, Expr> {
  const most = values.reduce<Lanes>((lanes, { type }) => (type.lanes > lanes ? type.lanes : lanes), 1);
  return values.map((value) => inAll(value, most)) as EachOf<T, Expr>;
}

/** A value of that many lanes: a scalar in all of them, or a vector as it is. */
export const inAll = (value: Expr, lanes: Lanes): Expr => (value.type.lanes === 1 ? k.splat(value, lanes) : value);

/** What each lane gives, as a vector; for one lane as it is. */
export const eachLane = (lanes: Lanes, item: (lane: number) => Expr): Expr =>
  k.lanes(Array.from({ length: lanes }, (_, l) => item(l)));

/** `width` lanes of a vector, from one on. */
export const lanesFrom = (vector: Expr, first: number, width: Lanes): Expr =>
  vector.type.lanes === width ? vector : eachLane(width, (l) => k.extract(vector, first + l));

/** A constant of the type of `x`. */
export const like = (x: Expr, value: number): Expr => {
  const scalar = x.type.of === "u32" ? k.u32(value) : k.f32(value);
  return k.splat(scalar, x.type.lanes);
};

/** A coordinate as text: equal where the coordinates are. Throws an Error for one that is not bound. */
export function keyOf({ at, lane, width }: Coord): string {
  if (at.kind !== "const" && at.kind !== "ref") throw new Error("schedule: an unbound coordinate");
  return `${at.kind === "const" ? at.value : at.name}${lane ? `+${lane}x${width}` : ""}`;
}

/** The key under which a scope remembers the value of a node at coordinates. */
export const valueId = (node: Node, coords: readonly Coord[]): string => `${node.id}|${coords.map(keyOf).join(",")}`;

/** A vector along the last axis, and a place in it. */
export interface LanePlace {
  readonly vector: readonly Coord[];
  readonly lane: number;
}

/** The vector of `width` lanes that holds an element at a constant coordinate, and its place in it. */
export function laneOf(coords: readonly Coord[], width: Lanes): LanePlace | null {
  const last = coords[coords.length - 1];
  if (last?.at.kind !== "const" || last.lane !== 0) return null;
  const lane = last.at.value % width;
  return { vector: [...coords.slice(0, -1), across(constant(last.at.value - lane), width)], lane };
}

/** Widths of vectors, the narrowest first. */
const WIDTHS: readonly Lanes[] = [4, 8, 16];

/** What is remembered of a value in another form: as a lane of a vector, or as the lanes of one. */
export function lookUp(memo: ReadonlyMap<string, Expr>, node: Node, coords: readonly Coord[]): Expr | null {
  for (const width of WIDTHS) {
    const place = laneOf(coords, width);
    const vector = place && memo.get(valueId(node, place.vector));
    if (vector) return vector.type.lanes === width ? k.extract(vector, place.lane) : null;
  }
  const [stepping, ...others] = coords.filter(({ lane }) => lane !== 0);
  if (others.length > 0 || stepping?.at.kind !== "const") return null;
  const { value } = stepping.at;
  const scalars = Array.from({ length: stepping.width }, (_, l) => l).flatMap((l) => {
    const inLane = coords.map((c) => (c.lane === 0 ? c : constant(value + l * c.lane)));
    const item = memo.get(valueId(node, inLane));
    return item?.type.lanes === 1 ? [item] : [];
  });
  return scalars.length === stepping.width ? k.lanes(scalars) : null;
}

/** Neighbours along an axis that are walked in vectors of one width, or one by one. */
export interface VectorRun {
  readonly from: number;
  readonly to: number;
  readonly width: Lanes;
}

/**
 * An axis of `size` elements as runs: whole vectors of `lanes` as far as they reach, then narrower ones, and the last
 * elements one by one. Every run begins at a multiple of its width.
 */
export function vectorRuns(size: number, lanes: Lanes): VectorRun[] {
  const runs: VectorRun[] = [];
  let from = 0;
  for (const width of [...WIDTHS.filter((w) => w <= lanes).reverse(), 1] as const) {
    const to = size - (size % width);
    if (to > from) runs.push({ from, to, width });
    from = Math.max(from, to);
  }
  return runs;
}
