/**
 * The skeleton of a region (`../../fusion/regions.ts`): a group takes some tokens, and of these a tile at a time
 * through every cluster of the region, stage after stage. What only the region reads lives in an array of the thread,
 * `tile` tokens long, in the first-level cache; ranges of it are reused as soon as no later stage reads them
 * (`../../memory/lifetimes.ts` plans this too). Stages are
 *
 *   maps and rows        token by token, a vector of channels at a time
 *   Sinkhorn             a token in each lane
 *   products per token   (mixing streams, their gradient) token by token
 *   products with weights shared by all tokens
 *                        4 tokens by two vectors of columns in registers. Columns of several products of one operand
 *                        share the walk over it: a connection's three gates are one. The weights of a group are packed
 *                        once, in the order in which the tile reads them. Products that add up are a chain
 *                        (`chains.ts`).
 *
 * This is how a CPU does it; `gpu.ts` has what a GPU does.
 */
import type { KernelProfile } from "../../../kernel/profile.js";
import type { Node } from "../../../graph/node.js";
import { SLOT } from "../../../graph/packing.js";
import * as k from "../../../kernel/build.js";
import { fuse } from "../../../kernel/fuse.js";
import { mustAt, mustGet } from "../../../../runtime/lookup.js";
import type { AxisClasses } from "../../fusion/axes.js";
import { planChip, type ChipPlan } from "./on-chip.js";
import { chosen, type Choice } from "../../emit/choices.js";
import { constant, type Coord } from "../../emit/coords.js";
import type { ReductionAt } from "../../emit/emit.js";
import { kernelize, type Bound, type Chip, type Places, type Workbench } from "../../emit/kernelize.js";
import type { Cluster } from "../../fusion/clusters.js";
import { stagesOf, type RegionStage } from "./stages.js";
import type { Region } from "../../fusion/regions.js";
import { byLevel, lanes, storeRoots, sumsOf, waits } from "../rows.js";
import { createProjection, type Projection } from "../projection.js";
import { chain } from "./chains.js";
import { createPrefetch } from "./prefetch.js";
import { createProducts, runChain, runProducts, type Products } from "./products.js";
import {
  coordsAt,
  neighbours,
  stridesInside,
  tokenRows,
  tokensOf,
  type RegionTokens,
  type TileWalk,
  type Token,
} from "./tiles.js";
import { unflatten } from "../../emit/reductions.js";
import { sizeOf } from "../../../graph/record.js";
import { rowMajor } from "../../fusion/views.js";
import { anchorOf } from "../anchor.js";

/** Tokens of a tile at most: as many as there are lanes, for the projection of a matrix in each of them. */
const tokensAtMost = ({ lanes }: KernelProfile): number => Math.max(8, lanes);

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

/** The knobs of a region's kernel on a CPU. */
export interface RegionTile extends Choice {
  /** Tokens that go through a stage before the next begins. */
  readonly tile: number;
}

/** The members of the family that tests force. */
export const regionTiles: readonly RegionTile[] = [{ tile: 3 }, { tile: 4 }, { tile: 8 }, { tile: 16 }];

const group = k.ref("group", k.INDEX);

/** The kernel of a region on a CPU. */
export function regionCpu(region: Region, classes: AxisClasses, profile: KernelProfile, places: Places): Bound {
  const tokens = tokensOf(region, classes);
  const { axes, total, wordsOf } = tokens;
  const widest = [...region.onChip].reduce((most, node) => Math.max(most, wordsOf(node)), 1);
  const shape = `${total}x${widest}`;
  const fallback: RegionTile = {
    tile: Math.max(4, Math.min(tokensAtMost(profile), Math.floor(WIDEST / widest / 4) * 4)),
  };
  const tile = Math.max(1, Math.min(total, chosen(profile, "token", shape, fallback).tile));
  const span = Math.ceil(Math.min(SPAN, total / SPANS) / tile) * tile;
  const whole = total % tile === 0;

  const stages = chain(stagesOf(region, classes, places.isBase, false), region, places.isBase);
  const plan = planChip(stages, region.onChip, (node) => wordsOf(node) * tile, SLOT);
  const tileTokens = createTileTokens(tokens);
  let current = mustAt(stages, 0);
  const begin = (stage: RegionStage): void => void (current = stage);
  const chip = chipOf(plan, tokens, tileTokens, () => current);
  const request = { name: "token", clusters: region.clusters, profile, places, lanes: profile.lanes, workgroup: 1 };
  const bound = kernelize({ ...request, chip }, (bench) => {
    const { emitter: e } = bench;
    bench.choose("token", shape, fallback);
    if (plan.words > 0) e.push(k.arrayS("chip", "f32", plan.words));
    const projections = projectionsOf(bench, stages);
    const ahead = createPrefetch(bench, region, stages, tokens, tile);
    const products = createProducts(bench, axes, stages, begin, ahead);
    const from = e.bind(k.mul(group, k.idx(span)));
    const to = e.bind(k.min(k.add(from, k.idx(span)), k.idx(total)));
    e.loop(from, to, tile, (start) => {
      ahead?.begin(start);
      const walk: TileWalk = {
        axes,
        tile,
        step: (node) => stepOf(node, plan, tokens),
        whole,
        count: whole ? k.idx(tile) : e.bind(k.min(k.idx(tile), k.sub(to, start.at))),
        token: (local) => tileTokens.bind(bench, start, local),
      };
      for (const stage of stages) {
        begin(stage);
        emitStage(bench, stage, walk, products, projections);
      }
    });
    return Math.ceil(total / span);
  });
  return { ...bound, kernel: { ...bound.kernel, body: fuse(bound.kernel.body) } };
}

/** The tokens of a tile that are bound in the kernel, by the names of their coordinates. */
interface TileTokens {
  /** Binds the token at a place of the tile that begins at `start`, in the current scope. */
  readonly bind: (bench: Workbench, start: Coord, local: Coord) => Token;
  /** The place in the tile of the token with these coordinates; undefined for one that was not bound. */
  readonly localOf: (parts: readonly Coord[]) => Coord | undefined;
}

function createTileTokens({ sizes }: RegionTokens): TileTokens {
  const locals = new Map<string, Coord>();
  const idOf = (parts: readonly Coord[]): string => parts.map(({ at }) => (at.kind === "ref" ? at.name : "")).join();
  return {
    bind: ({ emitter: e }, start, local) => {
      const parts = e.split(e.coord(k.add(start.at, local.at)), sizes);
      locals.set(idOf(parts), local);
      return { parts, local };
    },
    localOf: (parts) => locals.get(idOf(parts)),
  };
}

/** The memory of the kernel: of each node the values of a tile's tokens, token after token. */
const chipOf = (
  { offsets }: ChipPlan,
  { axes, wordsOf }: RegionTokens,
  tileTokens: TileTokens,
  current: () => RegionStage,
): Chip => ({
  isMade: (node) => current().clusters.some((cluster) => cluster.members.has(node)),
  arrayOf: (node) => (offsets.has(node) ? "chip" : null),
  emission: {
    placed: (node, coords) => {
      const offset = offsets.get(node);
      if (offset === undefined) return null;
      const tokenAxes = axes(node);
      const local = tileTokens.localOf(tokenAxes.map((axis) => mustAt(coords, axis)));
      if (!local) throw new Error(`schedule: ${node.op} is read at another token`);
      return {
        coords: [...coords, local, constant(offset)],
        strides: [...stridesInside(node, tokenAxes), wordsOf(node), 1],
      };
    },
  },
});

/** Words from a token to the next in a stored node, or null when they are not evenly spaced. */
function stepOf(node: Node, { offsets }: ChipPlan, { axes, wordsOf }: RegionTokens): number | null {
  if (offsets.has(node)) return wordsOf(node);
  const strides = rowMajor(node.shape);
  /** Words from one position of a token's axis to the next, and the size of that axis; the last axis comes last. */
  const steps = axes(node).map((axis) => ({ stride: mustAt(strides, axis), size: mustAt(node.shape, axis) }));
  const isEven = steps.every(({ stride }, i) => {
    const next = steps[i + 1];
    return !next || stride === next.stride * next.size;
  });
  return isEven ? mustAt(steps, steps.length - 1).stride : null;
}

function projectionsOf({ emitter: e, profile }: Workbench, stages: readonly RegionStage[]): Map<Cluster, Projection> {
  const projections = new Map<Cluster, Projection>();
  for (const stage of stages) {
    if (stage.kind !== "sinkhorn") continue;
    const [cluster] = stage.clusters;
    projections.set(cluster, createProjection(e, anchorOf(cluster, "sinkhorn", "sinkhorn_vjp"), profile.lanes, false));
  }
  return projections;
}

function emitStage(
  bench: Workbench,
  stage: RegionStage,
  walk: TileWalk,
  products: Products,
  projections: ReadonlyMap<Cluster, Projection>,
): void {
  const [cluster] = stage.clusters;
  switch (stage.kind) {
    case "map":
      return mapStage(bench, cluster, walk);
    case "inner":
      return innerStage(bench, cluster, stage.wide, walk);
    case "product":
      return runProducts(products, stage, walk);
    case "chain":
      return runChain(products, stage, walk);
    case "sinkhorn":
      return sinkhornStage(bench, cluster, mustGet(projections, cluster), walk);
    default:
      return stage satisfies never;
  }
}

const eachToken = (bench: Workbench, walk: TileWalk, body: (token: Token) => void): void =>
  bench.emitter.loop(k.idx(0), walk.count, 1, (local) => body(walk.token(local)));

/** A map, or a row with its reductions, of one token after the other. */
function mapStage(bench: Workbench, cluster: Cluster, walk: TileWalk): void {
  const { emitter: e } = bench;
  const sums = sumsOf(cluster);
  const isReduced = (cluster.axes ?? []).length > 0;
  const domain = isReduced ? mustAt(mustAt(sums, 0).inputs, 0) : mustAt(cluster.roots, 0);
  const { free, reduced, trailing, result, term } = tokenRows(domain, cluster, walk.axes(domain));
  const { full, row } = byLevel(cluster);
  const first = sums.filter((node) => !waits(node, cluster));
  eachToken(bench, walk, ({ parts }) => {
    if (!isReduced) return lanes(bench, free, (kept) => storeRoots(bench, full, term(parts, kept, [])));
    if (trailing && full.length === 0)
      return inTurns(
        bench,
        free,
        (kept) => first.map((node) => ({ node, coords: result(parts, kept) })),
        (kept) => storeRoots(bench, row, result(parts, kept)),
      );
    const eachResult = (kept: readonly Coord[]): void => {
      storeRoots(bench, row, result(parts, kept));
      if (full.length === 0) return;
      const store = (along: readonly Coord[]): void => storeRoots(bench, full, term(parts, kept, along));
      if (trailing) lanes(bench, reduced, store);
      else e.nest(reduced, store);
    };
    if (trailing) e.nest(free, eachResult);
    else lanes(bench, free, eachResult);
  });
}

/** A product whose operands both belong to the token. */
function innerStage(bench: Workbench, cluster: Cluster, wide: boolean, walk: TileWalk): void {
  const node = anchorOf(cluster, "contract");
  const axes = walk.axes(node);
  const sizes = node.shape.filter((_, axis) => !axes.includes(axis));
  eachToken(bench, walk, (token) => {
    const at = (rest: readonly Coord[]): Coord[] => coordsAt(node, axes, token.parts, rest);
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
  { emitter: e, profile }: Workbench,
  sizes: readonly number[],
  reductionsAt: (at: readonly Coord[]) => readonly ReductionAt[],
  store: (at: readonly Coord[]) => void,
): void {
  if (sizeOf(sizes) > SPELT_OUT) {
    const last = mustAt(sizes, sizes.length - 1);
    if (profile.lanes <= 4 || last % TOGETHER !== 0) return e.nest(sizes, store);
    // Wide vectors share the work of folding their lanes.
    return e.nest(sizes.slice(0, -1), (outer) =>
      e.loop(k.idx(0), k.idx(last), TOGETHER, (first) => {
        const turn = Array.from({ length: TOGETHER }, (_, i): Coord[] => [
          ...outer,
          i === 0 ? first : e.coord(k.add(first.at, k.idx(i))),
        ]);
        e.together(turn.flatMap(reductionsAt));
        turn.forEach(store);
      }),
    );
  }
  const positions = Array.from({ length: sizeOf(sizes) }, (_, flat) => unflatten(flat, sizes).map(constant));
  for (let from = 0; from < positions.length; from += TOGETHER) {
    const turn = positions.slice(from, from + TOGETHER);
    e.together(turn.flatMap(reductionsAt));
    turn.forEach(store);
  }
}

/** Projections of the matrices of some tokens at once, a token in each lane. */
function sinkhornStage(bench: Workbench, cluster: Cluster, projection: Projection, walk: TileWalk): void {
  const { emitter: e, profile } = bench;
  const node = anchorOf(cluster, "sinkhorn", "sinkhorn_vjp");
  const axes = walk.axes(node);
  const others = node.shape.slice(0, -2).filter((_, axis) => !axes.includes(axis));
  e.loop(k.idx(0), walk.count, profile.lanes, (first) => {
    const tokens = neighbours(bench, walk, first, profile.lanes);
    e.nest(others, (rest) => {
      const at = (token: Token, row: Coord, column: Coord): Coord[] =>
        coordsAt(node, axes, token.parts, [...rest, row, column]);
      projection(
        (input, row, column) =>
          k.lanes(tokens.map((token) => e.emit(mustAt(node.inputs, input), at(token, row, column)))),
        (row, column, value) => {
          for (const [l, token] of tokens.entries()) {
            const part = tokens.length === 1 ? value : k.extract(value, l);
            e.store(bench.write(node), node, at(token, row, column), part);
          }
        },
      );
    });
  });
}
