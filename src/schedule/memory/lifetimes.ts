/**
 * Where every stored tensor lives. Lifetimes are known, so offsets are planned once: ranges are placed in order of
 * size, each at the lowest offset where no range with an overlapping lifetime is (greedy by size; Pisarchyk and Lee,
 * 2020). A range may be cut into segments with lifetimes of their own, as the gradients of a pack are: until one is
 * stored, others may use its words. Ranges start at multiples of 64 words, which is the offset alignment of WebGPU.
 */
import { mustAt } from "../../../runtime/lookup.js";
import { SLOT, wholeSlots } from "../../graph/packing.js";

/** A part of a range that lives from one position of the schedule to another. */
export interface Segment {
  /** In its range, in whole slots. */
  readonly at: number;
  readonly words: number;
  /** First and last position in the schedule at which the segment holds a value that is still needed. */
  readonly from: number;
  readonly to: number;
}

/** So many words that lie one after another, and when each part of them is needed. */
export interface Range {
  readonly words: number;
  /** In order, without holes. */
  readonly segments: readonly Segment[];
}

/** One use of some words of a range, at a position in the schedule. */
export interface RangeUse {
  readonly at: number;
  readonly words: number;
  readonly position: number;
}

/** Where ranges begin, in their order, in words; and how many words all of them take. */
export interface Layout {
  readonly offsets: readonly number[];
  readonly words: number;
}

/** Cuts a range where its uses begin and end; a segment lives from the first use that touches it to the last. */
export function rangeOfUses(words: number, uses: readonly RangeUse[]): Range {
  const size = wholeSlots(words);
  const spans = uses.map(({ at, words: used, position }) => ({
    from: Math.floor(at / SLOT) * SLOT,
    to: wholeSlots(at + used),
    position,
  }));
  const cuts = [...new Set([0, size, ...spans.flatMap(({ from, to }) => [from, to])])].sort((a, b) => a - b);
  const segments = cuts.slice(1).map((end, i): Segment => {
    const at = mustAt(cuts, i);
    const touching = spans.filter(({ from, to }) => from < end && at < to).map(({ position }) => position);
    return {
      at,
      words: end - at,
      from: touching.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY),
      to: touching.reduce((a, b) => Math.max(a, b), -1),
    };
  });
  return { words, segments };
}

/**
 * Places ranges, the largest first, each at the lowest offset where no segment meets one that lives at the same time.
 */
export function layOut(ranges: readonly Range[]): Layout {
  const offsets = new Array<number>(ranges.length).fill(0);
  const order = Array.from(ranges.entries()).sort(([i, a], [j, b]) => b.words - a.words || i - j);
  /** Placed segments in order of offset. */
  const placed: { readonly offset: number; readonly end: number; readonly from: number; readonly to: number }[] = [];
  let words = 0;
  for (const [i, { segments }] of order) {
    let offset = 0;
    for (let before = -1; before !== offset;) {
      before = offset;
      for (const segment of segments) {
        for (const other of placed) {
          if (other.from > segment.to || segment.from > other.to) continue;
          if (offset + segment.at + segment.words <= other.offset) break;
          offset = Math.max(offset, other.end - segment.at);
        }
      }
      if (segments.length === 1) break;
    }
    offsets[i] = offset;
    for (const { at, words: size, from, to } of segments) {
      const start = offset + at;
      words = Math.max(words, start + size);
      const next = placed.findIndex((other) => other.offset > start);
      placed.splice(next < 0 ? placed.length : next, 0, { offset: start, end: start + size, from, to });
    }
  }
  return { offsets, words };
}

/** Ranges that all live at once, in the order given. */
export function layOutInOrder(words: readonly number[], start = 0): Layout {
  let end = start;
  const offsets = words.map((size) => {
    const offset = end;
    end += wholeSlots(size);
    return offset;
  });
  return { offsets, words: end };
}

/** Words of the ranges that live at the same time, where that is most. What a layout needs is this at least. */
export function mostAtOnce(ranges: readonly Range[]): number {
  const segments = ranges.flatMap((range) => range.segments).filter(({ from, to }) => from <= to);
  const alive = (at: number): number =>
    segments.reduce((sum, { words, from, to }) => (from <= at && at <= to ? sum + words : sum), 0);
  return segments.reduce((most, { from }) => Math.max(most, alive(from)), 0);
}
