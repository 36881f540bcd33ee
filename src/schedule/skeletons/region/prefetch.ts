/**
 * What the next tile of a region reads and writes is fetched while a product of this tile computes: stages that only
 * move streams wait for memory, those with products do not need it, and one after the other they would take the sum of
 * both times (a tenth of a step with mHC at width 128, where the streams of a layer are larger than a core's caches).
 */
import type { KernelProfile } from "../../../kernel/profile.js";
import type { Node } from "../../../graph/node.js";
import { sizeOf } from "../../../graph/record.js";
import * as k from "../../../kernel/build.js";
import { mustAt } from "../../../../runtime/lookup.js";
import { constant, type Coord } from "../../emit/coords.js";
import type { Workbench } from "../../emit/kernelize.js";
import { rowMajor } from "../../fusion/views.js";
import type { Region } from "../../fusion/regions.js";
import { productsOf } from "./chains.js";
import type { RegionStage } from "./stages.js";
import { coordsAt, type RegionTokens } from "./tiles.js";
import { readWeighted } from "./weights.js";

/** Words of a cache line. */
const LINE = 16;
/** Words of a token below which a tensor is not worth it: it is read with its neighbours. */
const FEW = 64;

/** A tensor whose lines are fetched. */
interface FetchedTensor {
  readonly node: Node;
  readonly write: boolean;
  /** The sizes of its axes inside a token, the last in lines. */
  readonly lines: readonly number[];
  /** Whether its tokens lie one behind the other, in whole lines. */
  readonly isRun: boolean;
}

/** Fetching ahead in one kernel. */
export interface Prefetch {
  /** The stage in which it happens. */
  readonly stage: RegionStage;
  /** To be called in the scope of a tile, before its stages. */
  readonly begin: (start: Coord) => void;
  /** Emits the next of `calls` parts of a tile, each in a place of the stage that is run once. */
  readonly next: (calls: number) => void;
}

/** Whether kernels of a profile fetch ahead: where C is compiled for the processor itself. */
const fetches = ({ registers }: KernelProfile): boolean => registers !== undefined;

/** Null where no stage computes long enough, or nothing is large enough. */
export function createPrefetch(
  bench: Workbench,
  region: Region,
  stages: readonly RegionStage[],
  tokens: RegionTokens,
  tile: number,
): Prefetch | null {
  const stage = heaviest(stages);
  const tensors = tensorsOf(bench, region, tokens);
  if (!fetches(bench.profile) || !stage || tensors.length === 0) return null;
  const { emitter: e } = bench;
  const { sizes, total, axes } = tokens;
  let begun: { readonly start: Coord; readonly counter: string } | null = null;
  /** Fetches one line, which is counted through the tokens of the tile. */
  const fetch = ({ node, write, lines, isRun }: FetchedTensor, start: Coord, line: Coord): void => {
    const buffer = write ? bench.write(node) : bench.read(node);
    if (isRun) {
      const first = e.bind(k.mul(k.add(start.at, k.idx(tile)), k.idx(tokens.wordsOf(node))), start.depth);
      return e.push(k.prefetch(buffer, k.add(first, k.mul(line.at, k.idx(LINE))), write));
    }
    const [token = constant(0), ...inside] = e.split(line, [tile, ...lines]);
    const parts = e.split(e.coord(k.min(k.add(k.add(start.at, token.at), k.idx(tile)), k.idx(total - 1))), sizes);
    const rest = inside.map((coord, i) => (i < lines.length - 1 ? coord : e.coord(k.mul(coord.at, k.idx(LINE)))));
    const place = e.address(coordsAt(node, axes(node), parts, rest), rowMajor(node.shape)).at;
    e.push(k.prefetch(buffer, place, write));
  };
  return {
    stage,
    begin(start) {
      const counter = e.fresh("ahead");
      e.push(k.varS(counter, k.idx(0)));
      begun = { start, counter };
    },
    next(calls) {
      if (!begun) throw new Error("bug: a tile fetches ahead before it has begun");
      const { start, counter } = begun;
      const number = k.ref(counter, k.INDEX);
      // Tensors of one length share what surrounds them.
      for (const all of new Set(tensors.map(({ lines }) => tile * sizeOf(lines)))) {
        const alike = tensors.filter(({ lines }) => tile * sizeOf(lines) === all);
        const each = Math.ceil(all / calls);
        const one = (i: Coord): void => {
          const line = e.coord(k.add(k.mul(number, k.idx(each)), i.at));
          const fetchAll = (): void => alike.forEach((tensor) => fetch(tensor, start, line));
          if (each * calls === all) fetchAll();
          else e.guard(k.lt(line.at, k.idx(all)), fetchAll);
        };
        if (each === 1) one(constant(0));
        else e.loop(k.idx(0), k.idx(each), 1, one);
      }
      e.push(k.assign(counter, k.add(number, k.idx(1))));
    },
  };
}

/** The stage with most multiply-adds a token, if it has products. */
function heaviest(stages: readonly RegionStage[]): RegionStage | null {
  const workOf = (stage: RegionStage): number =>
    productsOf(stage).reduce((sum, { clusters, operand, columns }) => {
      const { terms } = readWeighted(clusters[0], operand);
      return sum + columns * sizeOf(terms);
    }, 0);
  return stages.reduce<RegionStage | null>(
    (most, stage) => (workOf(stage) > (most ? workOf(most) : 0) ? stage : most),
    null,
  );
}

/** What lies in memory with a row for each token, and is read or written. */
function tensorsOf(
  { places }: Workbench,
  { clusters, onChip }: Region,
  { axes, wordsOf }: RegionTokens,
): FetchedTensor[] {
  const written = new Set(clusters.flatMap(({ roots }) => roots));
  const read = new Set(clusters.flatMap(({ reads }) => [...reads]));
  const fits = (node: Node): boolean => {
    const own = axes(node);
    // Views are read from what they show.
    if (onChip.has(node) || !places.isBase(node) || places.of(node) === null) return false;
    return own.every((axis) => axis >= 0) && !own.includes(node.shape.length - 1) && wordsOf(node) >= FEW;
  };
  const linesOf = (node: Node): number[] => {
    const inside = node.shape.filter((_, axis) => !axes(node).includes(axis));
    return [...inside.slice(0, -1), Math.ceil((inside.at(-1) ?? 1) / LINE)];
  };
  return [...new Set([...read, ...written])].filter(fits).map((node) => ({
    node,
    write: written.has(node),
    lines: linesOf(node),
    isRun: axes(node).every((axis, i) => axis === i) && mustAt(node.shape, node.shape.length - 1) % LINE === 0,
  }));
}
