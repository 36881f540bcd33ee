/**
 * A region (`../../fusion/regions.ts`) on a GPU: every token goes through all stages of the region at once, taken by
 * one invocation or by a workgroup.
 *
 *   one invocation   walks over channels itself, four at a time; what stays on the chip lies in its private memory.
 *                    Nobody waits, which is what software adapters need: there a barrier turns a kernel into a
 *                    coroutine.
 *   a workgroup      strides over channels and sums together (`../../emit/reductions.ts`); a stage begins when all have
 *                    ended the one before. What stays on the chip lies in the memory that they share.
 *
 * A stage is a pass over its results, each computed where it is asked for; or, when it sums over many terms for few
 * results (the coefficients' products, norms, the gradients of mixes), one walk over the terms for all of them. Walks
 * of later stages over the same terms join it as soon as what they read is there: the streams are read once for their
 * norm and all coefficients.
 */
import { sizeOf } from "../../../graph/record.js";
import type { KernelProfile } from "../../../kernel/profile.js";
import type { Node } from "../../../graph/node.js";
import * as k from "../../../kernel/build.js";
import { mustAt, mustGet } from "../../../../runtime/lookup.js";
import type { AxisClasses } from "../../fusion/axes.js";
import { madeAt, planChip, type ChipPlan } from "./on-chip.js";
import { chosen, type Choice } from "../../emit/choices.js";
import { constant, outermost, type Coord } from "../../emit/coords.js";
import { kernelize, type Bound, type Chip, type Places, type Workbench } from "../../emit/kernelize.js";
import type { Cluster } from "../../fusion/clusters.js";
import type { Region } from "../../fusion/regions.js";
import { createProjection, type Projection } from "../projection.js";
import { stagesOf, type RegionStage } from "./stages.js";
import { coordsAt, positions, stridesInside, tokensOf, type RegionTokens } from "./tiles.js";
import { clusterStage, computedBy, summedBy, walksOf, type Team } from "./walks.js";
import { anchorOf } from "../anchor.js";

/**
 * Words on the chip: those of a workgroup for its token, and those of an invocation alone, where each is set to zero
 * first and costs time to compile.
 */
const SHARED = 1536;
const PRIVATE = 64;
/** Ranges on the chip start at whole vectors. */
const VECTOR = 4;
/** Terms of a sum, or positions of a pass, that are spelt out; and outer positions side by side. */
const SPELT = 16;
const SIDE_BY_SIDE = 4;
/** Tokens of a workgroup whose invocations work alone. */
const TOKENS = 32;

/** The knobs of a region's kernel on a GPU. */
export interface RegionTeam extends Choice {
  /** Invocations that take a token together. */
  readonly threads: number;
}

const DEFAULT: RegionTeam = { threads: 32 };

/** The members of the family: whole powers of two, since a reduction is folded in two steps. */
export const regionTeams: readonly RegionTeam[] = [{ threads: 1 }, { threads: 32 }, { threads: 64 }];

const group = k.ref("group", k.INDEX);
const local = k.ref("local", k.INDEX);

/** How a region is spread over a GPU. */
interface RegionSpread {
  readonly tokens: RegionTokens;
  readonly stages: readonly RegionStage[];
  /** The key of its choice: tokens x words of the widest result of a token. */
  readonly shape: string;
  readonly threads: number;
}

function spreadOf(
  region: Region,
  classes: AxisClasses,
  profile: KernelProfile,
  isBase: (node: Node) => boolean,
): RegionSpread {
  const tokens = tokensOf(region, classes);
  const widest = region.clusters
    .flatMap(({ roots }) => roots)
    .reduce((most, root) => Math.max(most, tokens.wordsOf(root)), 1);
  const shape = `${tokens.total}x${widest}`;
  const { threads } = chosen(profile, "token", shape, DEFAULT);
  const stages = stagesOf(region, classes, isBase, true);
  return { tokens, stages, shape, threads };
}

/** The region with so much on the chip as fits there: what is small first. */
export function fitChip(
  region: Region,
  classes: AxisClasses,
  profile: KernelProfile,
  isBase: (node: Node) => boolean,
): Region {
  if (region.clusters.length === 1) return region;
  const { tokens, stages, threads } = spreadOf(region, classes, profile, isBase);
  const { wordsOf } = tokens;
  const room = threads === 1 ? PRIVATE : SHARED;
  const fitting: Node[] = [];
  for (const node of [...region.onChip].sort((a, b) => wordsOf(a) - wordsOf(b))) {
    if (planChip(stages, [...fitting, node], wordsOf, VECTOR).words <= room) fitting.push(node);
  }
  return { ...region, onChip: new Set(fitting) };
}

/** One kernel of a region while it is made. */
interface RegionKernel {
  readonly bench: Workbench;
  readonly spread: RegionSpread;
  /** Projections by their stages. */
  readonly projections: ReadonlyMap<RegionStage, Projection>;
  /** Tells the chip which stage is emitted. */
  readonly begin: (stage: RegionStage) => void;
}

/** The kernel of a region on a GPU. */
export function regionGpu(region: Region, classes: AxisClasses, profile: KernelProfile, places: Places): Bound {
  const spread = spreadOf(region, classes, profile, places.isBase);
  const { tokens, stages, shape, threads } = spread;
  const alone = threads === 1;
  const workgroup = alone ? TOKENS : threads;
  const plan = planChip(stages, region.onChip, tokens.wordsOf, VECTOR);
  let current = mustAt(stages, 0);
  const chip = chipOf(plan, tokens, () => current);
  const cooperation = alone ? {} : { cooperation: { depth: 0, workgroup } };
  const request = { name: "token", clusters: region.clusters, profile, places, lanes: 1, workgroup, chip } as const;
  return kernelize({ ...request, ...cooperation }, (bench) => {
    const { emitter: e } = bench;
    bench.choose("token", shape, DEFAULT);
    if (plan.words > 0) e.push(alone ? k.arrayS("chip", "f32", plan.words) : k.sharedS("chip", "f32", plan.words));
    const projections = new Map<RegionStage, Projection>();
    for (const stage of stages) {
      if (stage.kind !== "sinkhorn") continue;
      const anchor = anchorOf(stage.clusters[0], "sinkhorn", "sinkhorn_vjp");
      projections.set(stage, createProjection(e, anchor, 1, isSpelt(stage, threads)));
    }
    const kernel = { bench, spread, projections, begin: (stage: RegionStage) => void (current = stage) };
    if (!alone) {
      runStages(kernel, workgroupTeam(kernel));
      return tokens.total;
    }
    const flat = k.add(k.mul(group, k.idx(workgroup)), local);
    e.guard(k.lt(flat, k.idx(tokens.total)), () => runStages(kernel, loneTeam(kernel, e.coord(flat))));
    return Math.ceil(tokens.total / workgroup);
  });
}

/** A small matrix of an invocation alone comes from its registers, and stays there. */
const isSpelt = ({ clusters: [cluster] }: RegionStage, threads: number): boolean =>
  threads === 1 && sizeOf(cluster.shape.slice(-2)) <= SPELT;

/** The memory of the kernel, one token's values side by side; `current` says which stage is emitted. */
const chipOf = ({ offsets }: ChipPlan, { axes }: RegionTokens, current: () => RegionStage): Chip => ({
  isMade: (node) => current().clusters.some((cluster) => cluster.members.has(node)),
  arrayOf: (node) => (offsets.has(node) ? "chip" : null),
  emission: {
    spelt: SPELT,
    wideLoads: true,
    placed: (node, coords) => {
      const offset = offsets.get(node);
      if (offset === undefined) return null;
      return { coords: [...coords, constant(offset)], strides: [...stridesInside(node, axes(node)), 1] };
    },
  },
});

/** A workgroup for each token: its invocations stride over the positions of a pass. */
function workgroupTeam({ bench, spread: { tokens, threads } }: RegionKernel): Team {
  const { emitter: e } = bench;
  const once: Team["once"] = (body) => e.guard(k.eq(local, k.idx(0)), body);
  return {
    bench,
    tokens,
    parts: e.split(outermost(group), tokens.sizes),
    once,
    spread: (extent, _, body) =>
      sizeOf(extent) === 1
        ? once(() => body(extent.map(() => constant(0))))
        : e.loop(local, k.idx(sizeOf(extent)), threads, (flat) => body(e.split(flat, extent))),
  };
}

/** An invocation for each token, which walks over all positions itself. */
function loneTeam({ bench, spread: { tokens } }: RegionKernel, token: Coord): Team {
  const { emitter: e } = bench;
  return {
    bench,
    tokens,
    parts: e.split(token, tokens.sizes),
    once: (body) => body(),
    spread: (extent, light, body) => {
      if (light && sizeOf(extent) <= SPELT) return positions(extent, 4).forEach(body);
      const outer = extent.slice(0, -1);
      if (!light || sizeOf(outer) > SIDE_BY_SIDE) return e.nest(extent, body);
      // What does not depend on the outer axes (the other streams) is loaded once for all of them.
      e.nest(extent.slice(-1), (last) => positions(outer, 1).forEach((at) => body([...at, ...last])));
    },
  };
}

/** All stages one after the other; walks of later ones join the first whose beginning they can share. */
function runStages({ bench, spread, projections, begin }: RegionKernel, team: Team): void {
  const { tokens, stages, threads } = spread;
  const { emitter: e, places } = bench;
  /** Whether all that a later stage sums is there when stage `i` begins. */
  const mayBegin = (later: RegionStage, i: number): boolean =>
    summedBy(later, tokens, places.isBase).every((node) => madeAt(stages, node) < i);
  for (const [i, stage] of stages.entries()) {
    begin(stage);
    const walking = [stage, ...stages.slice(i + 1).filter((later) => mayBegin(later, i))];
    e.together(walking.flatMap((other) => walksOf(other, team)));
    if (stage.kind === "sinkhorn")
      sinkhornStage(team, stage.clusters[0], mustGet(projections, stage), isSpelt(stage, threads));
    else for (const cluster of computedBy(stage)) clusterStage(team, cluster, stage);
    if (threads > 1 && i + 1 < stages.length) e.push(k.barrier(true));
  }
}

/** A matrix is one invocation's work. */
function sinkhornStage(
  { bench, tokens, parts, spread }: Team,
  cluster: Cluster,
  project: Projection,
  spelt: boolean,
): void {
  const { emitter: e } = bench;
  const node = anchorOf(cluster, "sinkhorn", "sinkhorn_vjp");
  const axes = tokens.axes(node);
  const at = (rest: readonly Coord[]): Coord[] => coordsAt(node, axes, parts, rest);
  const matrices = node.shape.slice(0, -2).filter((_, axis) => !axes.includes(axis));
  spread(matrices, false, (matrix) =>
    project(
      (input, row, column) => e.emit(mustAt(node.inputs, input), at([...matrix, row, column])),
      (row, column, value) => {
        const coords = at([...matrix, row, column]);
        if (spelt) e.define(node, coords, value);
        e.store(bench.write(node), node, coords, value);
      },
    ),
  );
}
