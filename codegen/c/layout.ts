/** What the parts of a model in C are made from: its entries as functions, and where everything lies in its memory. */
import type { DevicePlan, Entry, Plan, TensorRef } from "../../runtime/plan.js";
import { sizeOf } from "../../src/graph/record.js";
import { shortestF32 } from "../../src/kernel/literals.js";

/** An entry as a function of C. */
export interface EntryFunction {
  readonly id: string;
  /** Its name behind the model's: `train`. */
  readonly name: string;
  readonly entry: Entry;
  /** What the caller gives: ids, and names of C. */
  readonly inputs: readonly { readonly id: string; readonly name: string; readonly at: TensorRef }[];
  /** What it leaves: ids, and names of C. */
  readonly outputs: readonly { readonly id: string; readonly name: string; readonly at: TensorRef }[];
}

/** What all parts of the files are made from. */
export interface CModel {
  readonly plan: Plan;
  readonly device: DevicePlan;
  /** The name of the type, and what the names of all functions begin with. */
  readonly name: string;
  /** The same for macros. */
  readonly macro: string;
  readonly stem: string;
  readonly entries: readonly EntryFunction[];
  /** Numbers of parameters and of states, in the order in which they are saved. */
  readonly saved: readonly { readonly offset: number; readonly size: number }[];
}

/** The pools of a model in C; a place has the number of its own. */
export const POOLS = ["state", "work", "ints", "out"] as const;
/** Bytes of a cache line. */
export const LINE = 64;
/** Bytes behind a pool that a vector of its last words may read. */
const TAIL = 64;

/** Numbers of a tensor. */
export const wordsOf = ({ shape }: TensorRef): number => sizeOf(shape);
/** The type of a tensor's numbers. */
export const typeOf = ({ dtype }: TensorRef): string => (dtype === "u32" ? "uint32_t" : "float");

/** Bytes of the model's memory but for scratch, and where each pool begins: behind the struct. */
export function layout({ device }: CModel): { readonly pools: readonly number[]; readonly bytes: number } {
  let at = 0;
  const pools = POOLS.map((pool) => {
    const words = device.pools[pool];
    if (words >= 2 ** 30) throw new Error(`codegen: the pool ${pool} is too large for the C target`);
    const start = at;
    at += Math.ceil((4 * words + TAIL) / LINE) * LINE;
    return start;
  });
  return { pools, bytes: at };
}

/** Bytes of scratch memory of a thread. */
export const scratchOf = ({ device: { code } }: CModel): number =>
  code.kind === "c" ? Math.ceil(Math.max(code.scratchBytes, LINE) / LINE) * LINE : 0;

/** The parameters of an entry's function behind the model. */
const parametersOf = ({ inputs }: EntryFunction): string =>
  inputs
    .map(({ at, name }) =>
      at.shape.length === 0 ? `, ${typeOf(at)} ${name}` : `, const ${typeOf(at)} ${name}[${wordsOf(at)}]`,
    )
    .join("");

/** The prototype of an entry's function: the training step returns the loss. */
export const prototype = ({ name }: CModel, entry: EntryFunction): string =>
  `${lossOf(entry) ? "float" : "void"} ${name}_${entry.name}(${name} *model${parametersOf(entry)})`;

/** The loss that an entry computes, if it is one number. */
export const lossOf = ({ outputs }: EntryFunction): TensorRef | undefined =>
  outputs.find(({ id, at }) => id === "loss" && at.shape.length === 0)?.at;

/** Bytes of room for the struct. */
export const STRUCT = 512;
/** Bytes that a thread has beside its scratch. */
export const PER_THREAD = 128;

/** The dispatches of all entries, one behind the other; where those of each begin. */
export function rangesOf({ device }: CModel): ReadonlyMap<string, { readonly first: number; readonly count: number }> {
  let first = 0;
  return new Map(
    Object.entries(device.entries).map(([id, { dispatches }]) => {
      const range = { first, count: dispatches.length };
      first += dispatches.length;
      return [id, range];
    }),
  );
}

/** A number as a float of C. */
export function floatOf(value: number): string {
  if (Number.isNaN(value)) return "NAN";
  if (!Number.isFinite(value)) return value > 0 ? "INFINITY" : "-INFINITY";
  const text = shortestF32(value);
  return `${/[.e]/.test(text) ? text : `${text}.0`}f`;
}

/** A place as the tables write it: a pool in the two upper bits, and words from its beginning. */
export const placeOf = (pool: TensorRef["pool"], offset: number): string =>
  `${(POOLS.indexOf(pool) * 2 ** 30 + offset) >>> 0}u`;
