/**
 * A region (`regions.ts`) on a GPU: every token goes through all stages of the region at once, taken by one invocation
 * or by a workgroup.
 *
 *   one invocation   walks over channels itself, four at a time; what stays on the chip lies in its private memory.
 *                    Nobody waits, which is
 *                    what software adapters need: there a barrier turns a kernel into a coroutine.
 *   a workgroup      strides over channels and sums together (`reductions.ts`); a stage begins when all have ended the
 *                    one before. What
 *                    stays on the chip lies in the memory that they share.
 *
 * A stage is a pass over its results, each computed where it is asked for; or, when it sums over many terms for few
 * results (the coefficients' products, norms, the gradients of mixes), one walk over the terms for all of them. Walks
 * of later stages over the same terms join it as soon as what they read is there: the streams are read once for their
 * norm and all coefficients.
 */
import { sizeOf } from "../../../graph/record.js";
import type { KernelProfile } from "../../../kernel/profile.js";
import type { Node, NodeWith } from "../../../graph/node.js";
import * as k from "../../../kernel/build.js";
import type { AxisClasses } from "../../fusion/axes.js";
import { madeAt, planChip } from "./on-chip.js";
import { chosen, type Choice } from "../../emit/choices.js";
import { constant, type Coord } from "../../emit/coords.js";
import { kernelize, type Bound, type Chip, type Places } from "../../emit/kernelize.js";
import type { Cluster } from "../../fusion/partition.js";
import type { Region } from "../../fusion/regions.js";
import { createProjection, type Projection } from "../sinkhorn.js";
import { stagesOf, type Stage } from "./stages.js";
import { coordsAt, stridesInside, tokensOf, type Tokens } from "./tiles.js";
import { clusterStage, ownOf, positions, summedBy, walksOf, type Team } from "./walks.js";

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

export interface TokenTeam extends Choice {
  /** Invocations that take a token together. */
  readonly threads: number;
}

const DEFAULT: TokenTeam = { threads: 32 };

/** The members of the family: whole powers of two, since a reduction is folded in two steps. */
export const tokenTeams: readonly TokenTeam[] = [{ threads: 1 }, { threads: 32 }, { threads: 64 }];

const group = k.ref("group", k.INDEX);
const local = k.ref("local", k.INDEX);

/** How a region is spread over a GPU. */
interface Layout {
  readonly tokens: Tokens;
  readonly stages: readonly Stage[];
  readonly shape: string;
  readonly threads: number;
}

function layoutOf(region: Region, classes: AxisClasses, profile: KernelProfile, places: Places): Layout {
  const tokens = tokensOf(region, classes);
  const widest = region.clusters
    .flatMap(({ roots }) => roots)
    .reduce((most, root) => Math.max(most, tokens.wordsOf(root)), 1);
  const shape = `${tokens.total}x${widest}`;
  const { threads } = chosen(profile, "token", shape, DEFAULT);
  const stages = stagesOf(region, classes, places, true);
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
  const {
    tokens: { wordsOf },
    stages,
    threads,
  } = layoutOf(region, classes, profile, { of: () => null, isBase });
  const kept: Node[] = [];
  for (const node of [...region.onChip].sort((a, b) => wordsOf(a) - wordsOf(b))) {
    if (planChip(stages, [...kept, node], wordsOf, VECTOR).words <= (threads === 1 ? PRIVATE : SHARED)) kept.push(node);
  }
  return { ...region, onChip: new Set(kept) };
}

export function tokenGpu(region: Region, classes: AxisClasses, profile: KernelProfile, places: Places): Bound {
  const { tokens, stages, shape, threads } = layoutOf(region, classes, profile, places);
  const { axes, sizes, total, wordsOf } = tokens;
  const alone = threads === 1;
  const workgroup = alone ? TOKENS : threads;
  const { offsets, words } = planChip(stages, region.onChip, wordsOf, VECTOR);
  let stage: Stage = stages[0]!;
  const chip: Chip = {
    isMade: (node) => stage.clusters.some((cluster) => cluster.members.has(node)),
    arrayOf: (node) => (offsets.has(node) ? "chip" : null),
    emission: {
      spelt: SPELT,
      wideLoads: true,
      placed: (node, coords) => {
        const offset = offsets.get(node);
        return offset === undefined
          ? null
          : { coords: [...coords, constant(offset)], strides: [...stridesInside(node, axes(node)), 1] };
      },
    },
  };
  return kernelize(
    {
      name: "token",
      clusters: region.clusters,
      profile,
      places,
      lanes: 1,
      workgroup,
      chip,
      ...(alone ? {} : { cooperation: { depth: 0, workgroup } }),
    },
    (bench) => {
      const { emitter: e } = bench;
      bench.choose("token", shape, DEFAULT);
      if (words > 0) e.push(alone ? k.arrayS("chip", "f32", words) : k.sharedS("chip", "f32", words));
      const projections = new Map<Stage, Projection>();
      /** A small matrix of an invocation alone comes from its registers, and stays there. */
      const spelt = ({ clusters: [cluster] }: Stage): boolean => alone && sizeOf(cluster.shape.slice(-2)) <= SPELT;
      for (const each of stages) {
        if (each.kind === "sinkhorn")
          projections.set(each, createProjection(e, each.clusters[0].anchor as NodeWith<"sinkhorn">, 1, spelt(each)));
      }
      /** Whether all that a later stage sums is there when stage `i` begins. */
      const mayBegin = (other: Stage, i: number): boolean =>
        summedBy(other, tokens, places.isBase).every((node) => madeAt(stages, node) < i);
      const run = (team: Team): void =>
        stages.forEach((each, i) => {
          stage = each;
          e.together(
            [each, ...stages.slice(i + 1).filter((other) => mayBegin(other, i))].flatMap((other) =>
              walksOf(other, team),
            ),
          );
          if (each.kind === "sinkhorn") sinkhornStage(team, each.clusters[0], projections.get(each)!, spelt(each));
          else for (const cluster of ownOf(each)) clusterStage(team, cluster, each);
          if (!alone && i + 1 < stages.length) e.push(k.barrier(true));
        });
      if (!alone) {
        const once = (body: () => void): void => e.guard(k.eq(local, k.idx(0)), body);
        const spread: Team["spread"] = (extent, _, body) =>
          sizeOf(extent) === 1
            ? once(() => body(extent.map(() => constant(0))))
            : e.loop(local, k.idx(sizeOf(extent)), threads, (flat) => body(e.split(flat, extent)));
        run({ bench, tokens, parts: e.split({ at: group, lane: 0, depth: 0 }, sizes), spread, once });
        return total;
      }
      const spread: Team["spread"] = (extent, light, body) => {
        if (light && sizeOf(extent) <= SPELT) return positions(extent, true).forEach(body);
        const outer = extent.slice(0, -1);
        if (!light || sizeOf(outer) > SIDE_BY_SIDE) return e.nest(extent, body);
        // What does not depend on the outer axes (the other streams) is loaded once for all of them.
        e.nest(extent.slice(-1), (last) => positions(outer, false).forEach((at) => body([...at, ...last])));
      };
      const flat = k.add(k.mul(group, k.idx(workgroup)), local);
      e.guard(k.lt(flat, k.idx(total)), () =>
        run({ bench, tokens, parts: e.split(e.coord(flat), sizes), spread, once: (body) => body() }),
      );
      return Math.ceil(total / workgroup);
    },
  );
}

/** A matrix is one invocation's work. */
function sinkhornStage(
  { bench, tokens, parts, spread }: Team,
  cluster: Cluster,
  project: Projection,
  spelt: boolean,
): void {
  const { emitter: e } = bench;
  const node = cluster.anchor!;
  const own = tokens.axes(node);
  const at = (rest: readonly Coord[]): Coord[] => coordsAt(node, own, parts, rest);
  spread(
    node.shape.slice(0, -2).filter((_, axis) => !own.includes(axis)),
    false,
    (matrix) =>
      project(
        (input, row, column) => e.emit(node.inputs[input]!, at([...matrix, row, column])),
        (row, column, value) => {
          const coords = at([...matrix, row, column]);
          if (spelt) e.define(node, coords, value);
          e.store(bench.write(node), node, coords, value);
        },
      ),
  );
}
