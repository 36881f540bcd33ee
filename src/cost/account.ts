/**
 * What a plan's dispatches do and for whom: what a model of cost adds up. Made by `src/schedule`, which alone knows
 * what a kernel was made of.
 */
import type { PoolName } from "../../runtime/plan.js";
import type { Origin } from "../graph/node.js";
import type { Kind } from "./kinds.js";

/** Floating-point operations of nodes of one kind and one origin. */
export interface Work {
  readonly origin: Origin;
  readonly kind: Kind;
  readonly flops: number;
}

/**
 * What a dispatch reads or writes of one tensor, in bytes: what is moved is each once, and twice what it reads and then
 * writes.
 */
export interface Traffic {
  /** The maker of a tensor that is written, and the reader of one that is read. */
  readonly origin: Origin;
  readonly pool: PoolName;
  /** Where it lies in the pool, in words: two of one place are one tensor. */
  readonly at: number;
  /** The bytes that are moved, and the size that the tensor takes of a cache, however often it is moved. */
  readonly bytes: number;
  readonly size: number;
}

/** One dispatch, all its copies together. */
export interface Account {
  /** Index into the plan's kernels. */
  readonly kernel: number;
  /** Independent parts, of all copies. */
  readonly groups: number;
  readonly work: readonly Work[];
  readonly traffic: readonly Traffic[];
}

/**
 * The accounts of an entry, and the bytes of its temporary values: all, and the activations of the residual streams
 * alone where they take most.
 */
export interface Accounted {
  readonly accounts: readonly Account[];
  readonly peak: { readonly work: number; readonly streams: number };
}
