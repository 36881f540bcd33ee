/** Tokens inside a tile of a region's kernel: their coordinates, and their places in the arrays on the chip. */
import type { Node } from "../../../graph/node.js";
import * as k from "../../../kernel/build.js";
import type { Expr } from "../../../kernel/ir.js";
import type { AxisClasses } from "../../fusion/axes.js";
import type { Coord } from "../../emit/coords.js";
import type { Workbench } from "../../emit/kernelize.js";
import type { Region } from "../../fusion/regions.js";
import { sizeOf } from "../../../graph/record.js";
import { rowMajor } from "../../fusion/views.js";

/** The tokens of a region. */
export interface Tokens {
  /** The tokens' axes of a node, in the order of a token's parts. */
  readonly axes: (node: Node) => readonly number[];
  readonly sizes: readonly number[];
  readonly total: number;
  /** Words of a node that belong to one token. */
  readonly wordsOf: (node: Node) => number;
}

export function tokensOf({ tokens, clusters }: Region, classes: AxisClasses): Tokens {
  const axes = (node: Node): number[] => tokens.map((token) => classes(node).indexOf(token));
  const sample = clusters[0]!.roots[0]!;
  const sizes = axes(sample).map((axis) => sample.shape[axis]!);
  const total = sizeOf(sizes);
  return { axes, sizes, total, wordsOf: (node) => sizeOf(node.shape) / total };
}

/**
 * The strides of a node's own axes in a place where one token's values lie side by side; the tokens' axes have none.
 */
export function stridesInside(node: Node, axes: readonly number[]): number[] {
  const strides = rowMajor(node.shape.map((size, axis) => (axes.includes(axis) ? 1 : size)));
  return strides.map((stride, axis) => (axes.includes(axis) ? 0 : stride));
}

/** One token inside a stage: its coordinates along the tokens' axes, and its place in the tile. */
export interface Token {
  readonly parts: readonly Coord[];
  readonly local: Coord;
}

export interface Walk {
  /** The tokens' axes of a node, in the order of a token's parts. */
  readonly axes: (node: Node) => readonly number[];
  /** Words from a token to the next in a stored node, or null when they are not evenly spaced. */
  readonly step: (node: Node) => number | null;
  /** Tokens in this tile. */
  readonly count: Expr;
  /** Whether every tile is whole. */
  readonly whole: boolean;
  /** Binds the token at a place of the tile, in the current scope. */
  readonly token: (local: Coord) => Token;
}

/** Coordinates of a node: the token's along its own axes, `rest` along the others in order. */
export function coordsAt(
  node: Node,
  axes: readonly number[],
  parts: readonly Coord[],
  rest: readonly Coord[],
): Coord[] {
  let i = 0;
  return node.shape.map((_, axis) => {
    const own = axes.indexOf(axis);
    return own >= 0 ? parts[own]! : rest[i++]!;
  });
}

/** Whether a block of `height` neighbours may reach past the end of its tile. */
export const clamps = (walk: Walk, height: number): boolean =>
  !walk.whole || walk.count.kind !== "const" || walk.count.value % height !== 0;

/**
 * Tokens of the tile from `first`, one after the other; past its end the last one again, whose results are stored again
 * where they stand.
 */
export function neighbours(bench: Workbench, walk: Walk, first: Coord, height: number): Token[] {
  const { emitter: e } = bench;
  const clamped = clamps(walk, height);
  return Array.from({ length: height }, (_, r) => {
    if (r === 0) return walk.token(first);
    const at = k.add(first.at, k.idx(r));
    return walk.token(e.coord(clamped ? k.min(at, k.sub(walk.count, k.idx(1))) : at));
  });
}
