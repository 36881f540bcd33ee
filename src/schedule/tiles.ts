/** Tokens inside a tile of a region's kernel: their coordinates, and their places in the arrays on the chip. */
import type { Node } from "../graph/node.js";
import * as k from "../kernel/build.js";
import type { Expr } from "../kernel/ir.js";
import type { Coord } from "./emit.js";
import type { Workbench } from "./kernelize.js";

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
export function coordsAt(node: Node, axes: readonly number[], token: Token, rest: readonly Coord[]): Coord[] {
  let i = 0;
  return node.shape.map((_, axis) => {
    const own = axes.indexOf(axis);
    return own >= 0 ? token.parts[own]! : rest[i++]!;
  });
}

/** Whether a block of `height` neighbours may reach past the end of its tile. */
export const clamps = (walk: Walk, height: number): boolean => !walk.whole || walk.count.kind !== "const" || walk.count.value % height !== 0;

/** Tokens of the tile from `first`, one after the other; past its end the last one again, whose results are stored again where they stand. */
export function neighbours(bench: Workbench, walk: Walk, first: Coord, height: number): Token[] {
  const { emitter: e } = bench;
  const clamped = clamps(walk, height);
  return Array.from({ length: height }, (_, r) => {
    if (r === 0) return walk.token(first);
    const at = k.add(first.at, k.idx(r));
    return walk.token(e.coord(clamped ? k.min(at, k.sub(walk.count, k.idx(1))) : at));
  });
}
