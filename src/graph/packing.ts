/**
 * Where the operands of `pack` lie in its result. Every operand gets a slot that starts at a multiple of 64 words, the
 * offset alignment of WebGPU, so that a slot can be bound and copied like any tensor of a pool, and so that a pack of
 * tensors that already lie one after the other in memory is that memory. What is left of a slot is padding: zeros, by
 * definition.
 */
import { sizeOf } from "./record.js";
import type { Shape } from "./node.js";

/** Slots start at multiples of this many words. */
export const SLOT = 64;

export const wholeSlots = (words: number): number => Math.ceil(words / SLOT) * SLOT;

export interface Slots {
  readonly offsets: readonly number[];
  /** Size of the whole vector, a multiple of SLOT. */
  readonly words: number;
}

export function slotsOf(shapes: readonly Shape[]): Slots {
  let words = 0;
  const offsets = shapes.map((shape) => {
    const offset = words;
    words += wholeSlots(sizeOf(shape));
    return offset;
  });
  return { offsets, words };
}
