/**
 * Where every stored tensor lives. Lifetimes are known, so offsets are planned once: ranges are placed in order of size, each at
 * the lowest offset where no range with an overlapping lifetime is (greedy by size; Pisarchyk and Lee, 2020). Ranges
 * start at multiples of 64 words, which is the offset alignment of WebGPU.
 */

export const ALIGNMENT = 64;

export interface Range {
  readonly words: number;
  /** First and last position in the schedule at which the range holds a value that is still needed. */
  readonly from: number;
  readonly to: number;
}

export interface Layout {
  readonly offsets: readonly number[];
  readonly words: number;
}

const align = (words: number): number => Math.ceil(words / ALIGNMENT) * ALIGNMENT;

export function layOut(ranges: readonly Range[]): Layout {
  const offsets = new Array<number>(ranges.length).fill(0);
  const order = ranges.map((_, i) => i).sort((a, b) => ranges[b]!.words - ranges[a]!.words || a - b);
  /** Placed ranges in order of offset. */
  const placed: { readonly offset: number; readonly end: number; readonly from: number; readonly to: number }[] = [];
  let words = 0;
  for (const i of order) {
    const range = ranges[i]!;
    const size = align(range.words);
    let offset = 0;
    for (const other of placed) {
      if (other.from > range.to || range.from > other.to) continue;
      if (offset + size <= other.offset) break;
      offset = Math.max(offset, other.end);
    }
    offsets[i] = offset;
    words = Math.max(words, offset + size);
    const at = placed.findIndex((other) => other.offset > offset);
    placed.splice(at < 0 ? placed.length : at, 0, { offset, end: offset + size, from: range.from, to: range.to });
  }
  return { offsets, words };
}

/** Ranges that all live at once, in the order given. */
export function layOutInOrder(words: readonly number[], start = 0): Layout {
  let end = start;
  const offsets = words.map((size) => {
    const offset = end;
    end += align(size);
    return offset;
  });
  return { offsets, words: end };
}

/** Words of the ranges that live at the same time, where that is most. What a layout needs is this at least. */
export function mostAtOnce(ranges: readonly Range[]): number {
  const alive = (at: number): number => ranges.reduce((sum, { words, from, to }) => (from <= at && at <= to ? sum + words : sum), 0);
  return ranges.reduce((most, { from }) => Math.max(most, alive(from)), 0);
}
