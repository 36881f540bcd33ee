/** Coordinates of elements, as kernels compute them, and the names under which their values are remembered. */
import * as k from "../../kernel/build.js";
import type { Node } from "../../graph/node.js";
import type { Expr } from "../../kernel/ir.js";

/** As many items as a list or tuple has. */
export type EachOf<T extends readonly unknown[], Item> = { -readonly [I in keyof T]: Item };

/** Where an element lies along one axis of a tensor. */
export interface Coord {
  /** A constant or a name: other expressions are bound first, so that equal coordinates have equal keys. */
  readonly at: Expr;
  /** The step from lane to lane: lane l stands for `at + l * lane`; 0 where all lanes are one element. */
  readonly lane: number;
  /** Depth of the scope in which `at` exists. */
  readonly depth: number;
}

/** A coordinate that is known when the kernel is made. */
export const constant = (value: number): Coord => ({ at: k.idx(value), lane: 0, depth: 0 });

/** The depth of the scope in which all of the coordinates exist. */
export const reachOf = (coords: readonly Coord[]): number =>
  coords.reduce((deepest, { depth }) => Math.max(deepest, depth), 0);

/** The same values, all with four lanes if one of them has. */
export function widen<T extends readonly Expr[]>(values: readonly [...T]): EachOf<T, Expr> {
  const hasVector = values.some((value) => value.type.lanes === 4);
  return values.map((value) => (hasVector && value.type.lanes === 1 ? k.splat(value) : value)) as EachOf<T, Expr>;
}

/** Four scalars as a vector, or one as it is. */
export function inLanes(items: readonly Expr[]): Expr {
  const [a, b, c, d] = items;
  if (a && b && c && d && items.length === 4) return k.lanes([a, b, c, d]);
  if (!a || b) throw new Error(`bug: ${items.length} values are neither a vector nor a scalar`);
  return a;
}

/** A constant of the type of `x`. */
export const like = (x: Expr, value: number): Expr => {
  const scalar = x.type.of === "u32" ? k.u32(value) : k.f32(value);
  return x.type.lanes === 4 ? k.splat(scalar) : scalar;
};

/** A coordinate as text: equal where the coordinates are. Throws an Error for one that is not bound. */
export function keyOf({ at, lane }: Coord): string {
  if (at.kind !== "const" && at.kind !== "ref") throw new Error("schedule: an unbound coordinate");
  return `${at.kind === "const" ? at.value : at.name}${lane ? `+${lane}` : ""}`;
}

/** The key under which a scope remembers the value of a node at coordinates. */
export const valueId = (node: Node, coords: readonly Coord[]): string => `${node.id}|${coords.map(keyOf).join(",")}`;

/** The vector along the last axis that holds an element at a constant coordinate, and its place in it. */
export function laneOf(
  coords: readonly Coord[],
): { readonly vector: readonly Coord[]; readonly lane: 0 | 1 | 2 | 3 } | null {
  const last = coords[coords.length - 1];
  if (last?.at.kind !== "const" || last.lane !== 0) return null;
  const lane = (last.at.value & 3) as 0 | 1 | 2 | 3;
  return { vector: [...coords.slice(0, -1), { ...constant(last.at.value - lane), lane: 1 }], lane };
}

/** What is remembered of a value in another form: as a lane of a vector, or as the lanes of one. */
export function lookUp(memo: ReadonlyMap<string, Expr>, node: Node, coords: readonly Coord[]): Expr | null {
  const place = laneOf(coords);
  const vector = place && memo.get(valueId(node, place.vector));
  if (vector) return vector.type.lanes === 4 ? k.extract(vector, place.lane) : null;
  const [stepping, ...others] = coords.filter(({ lane }) => lane !== 0);
  if (others.length > 0 || stepping?.at.kind !== "const") return null;
  const { value } = stepping.at;
  const scalars = [0, 1, 2, 3].flatMap((l) => {
    const inLane = coords.map((c) => (c.lane === 0 ? c : constant(value + l * c.lane)));
    const item = memo.get(valueId(node, inLane));
    return item?.type.lanes === 1 ? [item] : [];
  });
  return scalars.length === 4 ? inLanes(scalars) : null;
}
