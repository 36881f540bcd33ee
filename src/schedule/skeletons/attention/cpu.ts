/**
 * Attention for a CPU. Forward (`cpu-forward.ts`): a task is a batch, a head and a block of queries. It walks over
 * blocks of keys, transposed into scratch so that keys are lanes; four queries at a time have their scores, their
 * exponentials and the product with the values made while all of it is in the first-level cache. Backward
 * (`cpu-backward.ts`): a task is a batch and a head. It makes the weights of a block again, and from them what the
 * block adds to the three cotangents, in their own memory, which belongs to the task alone. With few heads that would
 * leave cores idle: then tasks that own a block of queries and tasks that own a block of keys make the weights twice.
 *
 * Blocks begin at multiples of a strip's rows, so that with the mask a strip of queries either sees a key of a block
 * each, or none. Scores are computed for whole vectors of keys; those that do not exist are overwritten before anything
 * reads them.
 *
 * This file has what both have in common: the knobs, and how blocks end.
 */
import type { Choice, KernelProfile } from "../../../kernel/profile.js";
import * as k from "../../../kernel/build.js";
import type { Expr } from "../../../kernel/ir.js";
import type { Blocks } from "./blocks.js";
import type { Attention } from "./operands.js";

/** Knobs of attention: queries and keys of a block, multiples of four. */
export const FORWARD = { queries: 64, keys: 128 };
/** Those of its derivative, which may also be `split`: its tasks own blocks then. */
export const BACKWARD = { queries: 32, keys: 64 };
/** Where C is compiled for the processor itself, more of a block stays near. */
export const backwardFor = ({ registers }: KernelProfile): typeof BACKWARD =>
  registers === undefined ? BACKWARD : { queries: 64, keys: 64 };

const MEMBERS = [
  { queries: 16, keys: 32 },
  { queries: 32, keys: 64 },
  { queries: 64, keys: 64 },
  { queries: 64, keys: 128 },
  { queries: 128, keys: 64 },
];
/** The family of attention, for tests and tuning. */
export const cpuAttentions: readonly Choice[] = MEMBERS;
/** The family of its derivative. */
export const cpuAttentionVjps: readonly Choice[] = MEMBERS.flatMap((member) => [
  { ...member, split: 0 },
  { ...member, split: 1 },
]);

/** The next multiple of `to`. */
export const up = (size: number, to: number): number => Math.ceil(size / to) * to;

/** Rows of a block: those of the knob, or all, in whole blocks of registers. */
export const blockOf = ({ height }: Blocks, knob: number, size: number): number =>
  up(Math.max(1, Math.min(knob, size)), height);

/** `height` queries from `t`, and `count` keys from `u0`. */
export interface Strip {
  readonly t: Expr;
  readonly height: number;
  readonly u0: Expr;
  readonly count: Expr;
}

/** Where a strip ends. */
export interface Edges {
  /** Keys of the block that one of the rows sees; the same in whole blocks of columns. */
  readonly end: Expr;
  readonly padded: Expr;
  /** Keys of the block that row r sees. */
  readonly seen: (r: number) => Expr;
  /** Whether rows have columns that stand for nothing. */
  readonly ragged: boolean;
}

/** The edges of a strip. */
export function edgesOf({ block }: Blocks, { causal, keys }: Attention, { t, height, u0, count }: Strip): Edges {
  const seen = (r: number): Expr => (causal ? k.min(count, k.sub(k.add(t, k.idx(r + 1)), u0)) : count);
  const end = seen(height - 1);
  const padded = k.mul(k.div(k.add(end, k.idx(block - 1)), k.idx(block)), k.idx(block));
  return { end, padded, seen, ragged: causal || keys % block !== 0 };
}
