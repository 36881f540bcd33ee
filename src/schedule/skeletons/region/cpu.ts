/**
 * The skeleton of a region (`regions.ts`): a group takes some tokens, and of these a tile at a time through every
 * cluster of the region, stage after stage. What only the region reads lives in an array of the thread, `tile` tokens
 * long, in the first-level cache; ranges of it are reused as soon as no later stage reads them (`memory.ts` plans this
 * too). Stages are
 *
 *   maps and rows        token by token, four channels at a time
 *   Sinkhorn             four tokens in the lanes
 *   products per token   (mixing streams, their gradient) token by token
 *   products with weights shared by all tokens: 4 tokens by two vectors of columns in registers. Columns of several
 *     products
 *                        of one operand share the walk over it: a connection's three gates are one. The weights of a
 *                          group are
 *                        packed once, in the order in which the tile reads them. Products that add up are a chain
 *                          (`token-chains.ts`).
 *
 * This is how a CPU does it; `token-gpu.ts` has what a GPU does.
 */
import type { KernelProfile } from "../../../kernel/profile.js";
import type { Node, NodeWith } from "../../../graph/node.js";
import { SLOT } from "../../../graph/packing.js";
import * as k from "../../../kernel/build.js";
import { fuse } from "../../../kernel/fuse.js";
import type { Expr } from "../../../kernel/ir.js";
import type { AxisClasses } from "../../fusion/axes.js";
import { planChip } from "./on-chip.js";
import { chosen, type Choice } from "../../emit/choices.js";
import { constant, type Coord, type Placed, type ReductionAt } from "../../emit/emit.js";
import { kernelize, type Bound, type Chip, type Places, type Workbench } from "../../emit/kernelize.js";
import type { Cluster } from "../../fusion/partition.js";
import { stagesOf, type Stage } from "./stages.js";
import type { Region } from "../../fusion/regions.js";
import { byLevel, lanes, storeRoots, sumsOf, waits } from "../rows.js";
import { createProjection, type Projection } from "../sinkhorn.js";
import { chain, productsOf } from "./chains.js";
import { createProducts, type Products } from "./products.js";
import { coordsAt, neighbours, stridesInside, tokensOf, type Token, type Walk } from "./tiles.js";
import { unflatten } from "../../emit/reductions.js";
import { sizeOf } from "../../../graph/record.js";
import { rowMajor } from "../../fusion/views.js";

/** Words of the widest tensor on the chip that a tile may hold. */
const WIDEST = 8192;
/**
 * Tokens that share one packing of the weights: enough to hide it (with 48 a step's regions take 3% longer), few enough
 * to balance threads.
 */
const SPAN = 96;
/** Sums over a token's own values that are spelt out, and those that share a walk. */
const SPELT_OUT = 64;
const TOGETHER = 8;
/** Groups that a region has at least, where there are as many tiles. */
const SPANS = 8;

export interface TokenTile extends Choice {
  /** Tokens that go through a stage before the next begins. */
  readonly tile: number;
}

/** The members of the family that tests force. */
export const tokenTiles: readonly TokenTile[] = [{ tile: 3 }, { tile: 4 }, { tile: 8 }, { tile: 16 }];

const group = k.ref("group", k.INDEX);

export function tokenKernel(region: Region, classes: AxisClasses, profile: KernelProfile, places: Places): Bound {
  const { axes, sizes, total, wordsOf } = tokensOf(region, classes);
  const widest = [...region.onChip].reduce((most, node) => Math.max(most, wordsOf(node)), 1);
  const shape = `${total}x${widest}`;
  const fallback: TokenTile = { tile: Math.max(4, Math.min(8, Math.floor(WIDEST / widest / 4) * 4)) };
  const tile = Math.max(1, Math.min(total, chosen(profile, "token", shape, fallback).tile));
  const span = Math.ceil(Math.min(SPAN, total / SPANS) / tile) * tile;
  const whole = total % tile === 0;

  const stages = chain(stagesOf(region, classes, places, false), region, places.isBase);
  const { offsets, words } = planChip(stages, region.onChip, (node) => wordsOf(node) * tile, SLOT);
  let stage: Stage = stages[0]!;
  const locals = new Map<string, Coord>();
  const idOf = (parts: readonly Coord[]): string => parts.map(({ at }) => (at.kind === "ref" ? at.name : "")).join();
  const chip: Chip = {
    isMade: (node) => stage.clusters.some((cluster) => cluster.members.has(node)),
    arrayOf: (node) => (offsets.has(node) ? "chip" : null),
    emission: {
      placed: (node, coords): Placed | null => {
        const offset = offsets.get(node);
        if (offset === undefined) return null;
        const own = axes(node);
        const local = locals.get(idOf(own.map((axis) => coords[axis]!)));
        if (!local) throw new Error(`schedule: ${node.op} is read at another token`);
        return {
          coords: [...coords, local, constant(offset)],
          strides: [...stridesInside(node, own), wordsOf(node), 1],
        };
      },
    },
  };
  const step = (node: Node): number | null => {
    if (offsets.has(node)) return wordsOf(node);
    const strides = rowMajor(node.shape);
    const own = axes(node);
    const even = own.every(
      (axis, i) => i + 1 === own.length || strides[axis] === strides[own[i + 1]!]! * node.shape[own[i + 1]!]!,
    );
    return even ? strides[own[own.length - 1]!]! : null;
  };
  const bound = kernelize(
    { name: "token", clusters: region.clusters, profile, places, lanes: profile.lanes, workgroup: 1, chip },
    (bench) => {
      const { emitter: e } = bench;
      bench.choose("token", shape, fallback);
      if (words > 0) e.push(k.arrayS("chip", "f32", words));
      const projections = new Map<Cluster, Projection>();
      for (const { kind, clusters } of stages) {
        if (kind === "sinkhorn")
          projections.set(
            clusters[0]!,
            createProjection(e, clusters[0]!.anchor as NodeWith<"sinkhorn">, profile.lanes, false),
          );
      }
      const products = createProducts(bench, axes);
      for (const each of stages) {
        stage = each;
        productsOf(each).forEach(products.pack);
      }
      const from = e.bind(k.mul(group, k.idx(span)));
      const to = e.bind(k.min(k.add(from, k.idx(span)), k.idx(total)));
      e.loop(from, to, tile, (start) => {
        const walk: Walk = {
          axes,
          step,
          whole,
          count: whole ? k.idx(tile) : e.bind(k.min(k.idx(tile), k.sub(to, start.at))),
          token: (local) => {
            const parts = e.split(e.coord(k.add(start.at, local.at)), sizes);
            locals.set(idOf(parts), local);
            return { parts, local };
          },
        };
        for (const each of stages) {
          stage = each;
          emitStage(bench, each, walk, products, projections);
        }
      });
      return Math.ceil(total / span);
    },
  );
  return { ...bound, kernel: { ...bound.kernel, body: fuse(bound.kernel.body) } };
}

function emitStage(
  bench: Workbench,
  stage: Stage,
  walk: Walk,
  products: Products,
  projections: ReadonlyMap<Cluster, Projection>,
): void {
  switch (stage.kind) {
    case "map":
      return mapStage(bench, stage.clusters[0]!, walk);
    case "inner":
      return innerStage(bench, stage.clusters[0]!, stage.wide, walk);
    case "product":
      return products.run(stage, walk);
    case "chain":
      return products.chain(stage, walk);
    case "sinkhorn":
      return sinkhornStage(bench, stage.clusters[0]!, projections.get(stage.clusters[0]!)!, walk);
    default:
      return stage satisfies never;
  }
}

const eachToken = (bench: Workbench, walk: Walk, body: (token: Token) => void): void =>
  bench.emitter.loop(k.idx(0), walk.count, 1, (local) => body(walk.token(local)));

/** A map, or a row with its reductions, of one token after the other. */
function mapStage(bench: Workbench, cluster: Cluster, walk: Walk): void {
  const { emitter: e } = bench;
  const reduced = cluster.axes ?? [];
  const domain = reduced.length > 0 ? sumsOf(cluster)[0]!.inputs[0]! : cluster.roots[0]!;
  const tokens = walk.axes(domain);
  const own = domain.shape.map((_, axis) => axis).filter((axis) => !tokens.includes(axis));
  const free = own.filter((axis) => !reduced.includes(axis));
  const sizes = (list: readonly number[]): number[] => list.map((axis) => domain.shape[axis]!);
  const trailing = reduced.includes(own[own.length - 1]!);
  const { full, row } = byLevel(cluster);
  const first = sumsOf(cluster).filter((node) => !waits(node, cluster));
  eachToken(bench, walk, (token) => {
    const inner = (kept: readonly Coord[], along: readonly Coord[]): Coord[] =>
      coordsAt(
        domain,
        tokens,
        token.parts,
        own.map((axis) => (reduced.includes(axis) ? along[reduced.indexOf(axis)]! : kept[free.indexOf(axis)]!)),
      );
    const outer = (kept: readonly Coord[]): Coord[] =>
      inner(
        kept,
        reduced.map(() => constant(0)),
      ).filter((_, axis) => !reduced.includes(axis));
    if (reduced.length === 0) return lanes(bench, sizes(free), (kept) => storeRoots(bench, full, inner(kept, [])));
    if (trailing && full.length === 0)
      return inTurns(
        bench,
        sizes(free),
        (kept) => first.map((node) => ({ node, coords: outer(kept) })),
        (kept) => storeRoots(bench, row, outer(kept)),
      );
    const walkFree = trailing
      ? (body: (kept: Coord[]) => void): void => e.nest(sizes(free), body)
      : (body: (kept: Coord[]) => void): void => lanes(bench, sizes(free), body);
    walkFree((kept) => {
      storeRoots(bench, row, outer(kept));
      if (full.length === 0) return;
      const store = (along: readonly Coord[]): void => storeRoots(bench, full, inner(kept, along));
      if (trailing) lanes(bench, sizes(reduced), store);
      else e.nest(sizes(reduced), store);
    });
  });
}

/** A product whose operands both belong to the token. */
function innerStage(bench: Workbench, cluster: Cluster, wide: boolean, walk: Walk): void {
  const node = cluster.anchor as NodeWith<"contract">;
  const tokens = walk.axes(node);
  const sizes = node.shape.filter((_, axis) => !tokens.includes(axis));
  eachToken(bench, walk, (token) => {
    const at = (rest: readonly Coord[]): Coord[] => coordsAt(node, tokens, token.parts, rest);
    const store = (rest: readonly Coord[]): void => storeRoots(bench, cluster.roots, at(rest));
    if (wide) return lanes(bench, sizes, store);
    inTurns(bench, sizes, (rest) => [{ node, coords: at(rest) }], store);
  });
}

/**
 * Results one after the other; where they are few, those that follow each other share a walk over what they have in
 * common.
 */
function inTurns(
  { emitter: e }: Workbench,
  sizes: readonly number[],
  wanted: (at: readonly Coord[]) => readonly ReductionAt[],
  store: (at: readonly Coord[]) => void,
): void {
  if (sizeOf(sizes) > SPELT_OUT) return e.nest(sizes, store);
  const all = Array.from({ length: sizeOf(sizes) }, (_, flat) => unflatten(flat, sizes).map(constant));
  for (let from = 0; from < all.length; from += TOGETHER) {
    const some = all.slice(from, from + TOGETHER);
    e.together(some.flatMap(wanted));
    some.forEach(store);
  }
}

function sinkhornStage(bench: Workbench, cluster: Cluster, projection: Projection, walk: Walk): void {
  const { emitter: e, profile } = bench;
  const node = cluster.anchor!;
  const tokens = walk.axes(node);
  const others = node.shape.slice(0, -2).filter((_, axis) => !tokens.includes(axis));
  e.loop(k.idx(0), walk.count, profile.lanes, (first) => {
    const block = neighbours(bench, walk, first, profile.lanes);
    e.nest(others, (rest) => {
      const at = (token: Token, row: Coord, column: Coord): Coord[] =>
        coordsAt(node, tokens, token.parts, [...rest, row, column]);
      projection(
        (input, row, column) => {
          const items = block.map((token) => e.emit(node.inputs[input]!, at(token, row, column)));
          return items.length === 1 ? items[0]! : k.lanes(items as [Expr, Expr, Expr, Expr]);
        },
        (row, column, value) =>
          block.forEach((token, l) =>
            e.store(
              bench.write(node),
              node,
              at(token, row, column),
              block.length === 1 ? value : k.extract(value, l as 0 | 1 | 2 | 3),
            ),
          ),
      );
    });
  });
}
