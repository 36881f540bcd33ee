/**
 * Where the temporary ranges of an entry begin: every range lives from the first dispatch that touches it to the last,
 * and those that do not live at once may share words (`lifetimes.ts`). What the host feeds is there before the first
 * dispatch, and what it reads must still be there after the last.
 */
import { mustAt, mustGet } from "../../../runtime/lookup.js";
import { wordBytes, type PoolName } from "../../../runtime/plan.js";
import { layOut, layOutInOrder, mostAtOnce, rangeOfUses, type RangeUse } from "./lifetimes.js";
import { inWhole, wholeOf, type Located, type Offsets } from "./places.js";

/** A dispatch whose places have no offsets yet: the number of its kernel, and the places of all its copies. */
export interface Run {
  readonly kernel: number;
  readonly places: readonly Located[];
}

/** The dispatches of an entry, and the ranges that they touch. */
export interface Unplanned {
  readonly runs: readonly Run[];
  /** Every range that is planned as a whole, in an order that decides between equal ones. */
  readonly ranges: readonly Located[];
  /** Ranges that the host writes before the first dispatch. */
  readonly fed: ReadonlySet<Located>;
  /** Ranges that the host reads after the last. */
  readonly kept: ReadonlySet<Located>;
  /** Places of the streams' activations, whose share of the peak is told. */
  readonly streams: ReadonlySet<Located>;
  /** Whether ranges that do not live at once may share words. */
  readonly reuse: boolean;
}

/** Bytes of the temporary floats of an entry, and of its streams' activations alone where they take most. */
export interface Peak {
  readonly work: number;
  readonly streams: number;
}

/** Where the ranges of an entry begin. */
export interface Planned {
  readonly offsets: Offsets;
  /** Words of each temporary pool that the entry needs. */
  readonly words: Readonly<Record<TemporaryPool, number>>;
  readonly peak: Peak;
}

/** Pools whose words are planned entry by entry. */
export type TemporaryPool = Exclude<PoolName, "state">;
const TEMPORARY = ["work", "half", "ints", "out"] as const satisfies readonly TemporaryPool[];

/** Plans the temporary pools of one entry. */
export function planOffsets({ runs, ranges: all, fed, kept, streams, reuse }: Unplanned): Planned {
  const uses = new Map<Located, RangeUse[]>(all.map((range) => [range, []]));
  for (const [position, { places }] of runs.entries()) {
    for (const place of places)
      mustGet(uses, wholeOf(place)).push({ at: inWhole(place), words: place.words, position });
  }
  const offsets = new Map<Located, number>();
  const words = { work: 0, half: 0, ints: 0, out: 0 };
  const peak = { work: 0, streams: 0 };
  for (const pool of TEMPORARY) {
    const planned = all.filter((range) => range.pool === pool && range.offset === null);
    const ranges = planned.map((range) => {
      const whole = (position: number): RangeUse => ({ at: 0, words: range.words, position });
      return rangeOfUses(range.words, [
        ...mustGet(uses, range),
        ...(fed.has(range) ? [whole(-1)] : []),
        ...(kept.has(range) ? [whole(runs.length)] : []),
      ]);
    });
    const layout = reuse ? layOut(ranges) : layOutInOrder(ranges.map((range) => range.words));
    if (pool === "work" || pool === "half") {
      peak.work += wordBytes[pool] * layout.words;
      peak.streams += wordBytes[pool] * mostAtOnce(ranges.filter((_, i) => streams.has(mustAt(planned, i))));
    }
    for (const [i, range] of planned.entries()) offsets.set(range, mustAt(layout.offsets, i));
    words[pool] = layout.words;
  }
  return { offsets, words, peak };
}
