/** Tokens inside a tile of a region's kernel: their coordinates, and their places in the arrays on the chip. */
import type { Node } from "../../../graph/node.js";
import * as k from "../../../kernel/build.js";
import type { Expr, Lanes } from "../../../kernel/ir.js";
import { mustAt } from "../../../../runtime/lookup.js";
import { across, constant, vectorRuns, type Coord } from "../../emit/coords.js";
import { unflatten } from "../../emit/reductions.js";
import type { Workbench } from "../../emit/kernelize.js";
import type { AxisClasses } from "../../fusion/axes.js";
import type { Cluster } from "../../fusion/clusters.js";
import type { Region } from "../../fusion/regions.js";
import { sizeOf } from "../../../graph/record.js";
import { rowMajor } from "../../fusion/views.js";

/** The tokens of a region. */
export interface RegionTokens {
  /** The tokens' axes of a node, in the order of a token's parts. */
  readonly axes: (node: Node) => readonly number[];
  readonly sizes: readonly number[];
  readonly total: number;
  /** Words of a node that belong to one token. */
  readonly wordsOf: (node: Node) => number;
}

/** Reads which axes of its nodes are the tokens of a region. */
export function tokensOf({ tokens, clusters }: Region, classes: AxisClasses): RegionTokens {
  const axes = (node: Node): number[] => tokens.map((token) => classes(node).indexOf(token));
  const sample = mustAt(mustAt(clusters, 0).roots, 0);
  const sizes = axes(sample).map((axis) => mustAt(sample.shape, axis));
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

/** How a stage walks over the tokens of a tile. */
export interface TileWalk {
  /** The tokens' axes of a node, in the order of a token's parts. */
  readonly axes: (node: Node) => readonly number[];
  /** Words from a token to the next in a stored node, or null when they are not evenly spaced. */
  readonly step: (node: Node) => number | null;
  /** Tokens in this tile, and in a whole one. */
  readonly count: Expr;
  readonly tile: number;
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
    const part = axes.indexOf(axis);
    return part >= 0 ? mustAt(parts, part) : mustAt(rest, i++);
  });
}

/** A cluster's values of one token: results over free axes, each with terms over the axes that are reduced. */
export interface TokenRows {
  /** Sizes of the free and of the reduced axes. */
  readonly free: readonly number[];
  readonly reduced: readonly number[];
  /** Whether the last axis of a token is reduced. */
  readonly trailing: boolean;
  /** Coordinates of a result at a position of the free axes. */
  readonly result: (parts: readonly Coord[], kept: readonly Coord[]) => Coord[];
  /** Coordinates of one of its terms. */
  readonly term: (parts: readonly Coord[], kept: readonly Coord[], along: readonly Coord[]) => Coord[];
}

/** Cuts the axes of `domain`, which are those of the cluster, into the tokens', free and reduced ones. */
export function tokenRows(domain: Node, cluster: Cluster, tokens: readonly number[]): TokenRows {
  const reduced = cluster.axes ?? [];
  const inToken = [...domain.shape.keys()].filter((axis) => !tokens.includes(axis));
  const free = inToken.filter((axis) => !reduced.includes(axis));
  const term: TokenRows["term"] = (parts, kept, along) => {
    const rest = inToken.map((axis) =>
      reduced.includes(axis) ? mustAt(along, reduced.indexOf(axis)) : mustAt(kept, free.indexOf(axis)),
    );
    return coordsAt(domain, tokens, parts, rest);
  };
  const zeros = reduced.map(() => constant(0));
  return {
    free: free.map((axis) => mustAt(domain.shape, axis)),
    reduced: reduced.map((axis) => mustAt(domain.shape, axis)),
    trailing: inToken.length > 0 && reduced.includes(mustAt(inToken, inToken.length - 1)),
    result: (parts, kept) => term(parts, kept, zeros).filter((_, axis) => !reduced.includes(axis)),
    term,
  };
}

/** Constant coordinates, in vectors of the last axis where it holds such, else one by one. */
export function positions(sizes: readonly number[], lanes: Lanes): Coord[][] {
  const last = sizes[sizes.length - 1];
  if (last === undefined) return [[]];
  const outerSizes = sizes.slice(0, -1);
  const along = vectorRuns(last, lanes).flatMap(({ from, to, width }) =>
    Array.from({ length: (to - from) / width }, (_, i) => across(constant(from + i * width), width)),
  );
  return Array.from({ length: sizeOf(outerSizes) }, (_, o) => unflatten(o, outerSizes).map(constant)).flatMap((outer) =>
    along.map((c) => [...outer, c]),
  );
}

/** Whether a block of `height` neighbours may reach past the end of its tile. */
export const clamps = (walk: TileWalk, height: number): boolean =>
  !walk.whole || walk.count.kind !== "const" || walk.count.value % height !== 0;

/**
 * Tokens of the tile from `first`, one after the other; past its end the last one again, whose results are stored again
 * where they stand.
 */
export function neighbours(bench: Workbench, walk: TileWalk, first: Coord, height: number): [Token, ...Token[]] {
  const { emitter: e } = bench;
  const clamped = clamps(walk, height);
  const tokens: [Token, ...Token[]] = [walk.token(first)];
  for (let r = 1; r < height; r++) {
    const at = k.add(first.at, k.idx(r));
    tokens.push(walk.token(e.coord(clamped ? k.min(at, k.sub(walk.count, k.idx(1))) : at)));
  }
  return tokens;
}
