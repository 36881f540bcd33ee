/**
 * Plain runs of words: copies, for new values that could not be stored over the old ones and operands of packs, and
 * zeros, for padding.
 */
import type { KernelProfile } from "../../kernel/profile.js";
import * as k from "../../kernel/build.js";
import type { Buffer, Expr, Stmt } from "../../kernel/ir.js";
import type { Bound, Place } from "../emit/kernelize.js";

const GROUP = 8192;

/** Copies `words` words. */
export function copyKernel(from: Place, to: Place, words: number, profile: KernelProfile): Bound {
  const of = from.pool === "ints" ? "u32" : "f32";
  const buffers = [
    { name: "b0", pool: from.pool, access: "read" },
    { name: "b1", pool: to.pool, access: "write" },
  ] as const;
  const word = (at: Expr): Stmt => k.store("b1", at, k.load("b0", at, { of, lanes: 1 }));
  return run({ name: "copy", buffers, places: [from, to], words, word }, profile);
}

/** Stores `words` zeros. */
export function clearKernel(to: Place, words: number, profile: KernelProfile): Bound {
  const buffers = [{ name: "b0", pool: to.pool, access: "write" }] as const;
  return run({ name: "clear", buffers, places: [to], words, word: (at) => k.store("b0", at, k.f32(0)) }, profile);
}

/** What is done to each of some words. */
interface PlainRun {
  readonly name: string;
  readonly buffers: readonly Buffer[];
  readonly places: readonly Place[];
  readonly words: number;
  readonly word: (at: Expr) => Stmt;
}

function run({ name, buffers, places, words, word }: PlainRun, profile: KernelProfile): Bound {
  const group = k.ref("group", k.INDEX);
  if (profile.kind === "gpu") {
    const body = [
      k.letS("at", k.add(k.mul(group, k.idx(profile.workgroup)), k.ref("local", k.INDEX))),
      k.ifS(k.lt(k.ref("at", k.INDEX), k.idx(words)), [word(k.ref("at", k.INDEX))]),
    ];
    return {
      kernel: { name, groups: Math.ceil(words / profile.workgroup), workgroup: profile.workgroup, buffers, body },
      places,
      flops: 0,
      touched: places.map(() => null),
      made: new Set(),
      scratch: new Map(),
      tuned: null,
    };
  }
  const body = [
    k.letS("from", k.mul(group, k.idx(GROUP))),
    k.letS("to", k.min(k.add(k.ref("from", k.INDEX), k.idx(GROUP)), k.idx(words))),
    k.forS("at", k.ref("from", k.INDEX), k.ref("to", k.INDEX), 1, [word(k.ref("at", k.INDEX))]),
  ];
  return {
    kernel: { name, groups: Math.ceil(words / GROUP), workgroup: 1, buffers, body },
    places,
    flops: 0,
    touched: places.map(() => null),
    made: new Set(),
    scratch: new Map(),
    tuned: null,
  };
}
