/**
 * Where the operands of `pack` lie in its result. Every operand gets a slot that starts at a multiple of 64 words, the
 * offset alignment of WebGPU, so that a slot can be bound and copied like any tensor of a pool, and so that a pack of
 * tensors that already lie one after the other in memory is that memory. The rest of a slot is padding, and is zeros by
 * definition.
 */
import { sizeOf } from "./record.js";
import type { Shape } from "./node.js";

/** Slots start at multiples of this many words. */
export const SLOT = 64;

/** So many words rounded up to whole slots. */
export const wholeSlots = (words: number): number => Math.ceil(words / SLOT) * SLOT;

/** Where the operands of a pack lie, in words. */
export interface Slots {
  /** Where each operand starts, in order. */
  readonly offsets: readonly number[];
  /** Size of the whole vector, a multiple of SLOT. */
  readonly words: number;
}

/** The slots of operands of those shapes, one after the other. */
export function slotsOf(shapes: readonly Shape[]): Slots {
  let words = 0;
  const offsets = shapes.map((shape) => {
    const offset = words;
    words += wholeSlots(sizeOf(shape));
    return offset;
  });
  return { offsets, words };
}
