/** A copy from one place to another, for new values that could not be stored over the old ones. */
import type { KernelProfile } from "../../codegen/target.js";
import * as k from "../kernel/build.js";
import type { Expr, Stmt } from "../kernel/ir.js";
import type { Bound, Place } from "./kernelize.js";

const GROUP = 8192;

/** Copies `words` words. */
export function copyKernel(from: Place, to: Place, words: number, profile: KernelProfile): Bound {
  const group = k.ref("group", k.INDEX);
  const of = from.pool === "ints" ? "u32" : "f32";
  const word = (at: Expr): Stmt => k.store("b1", at, k.load("b0", at, { of, lanes: 1 }));
  const buffers = [{ name: "b0", pool: from.pool, access: "read" }, { name: "b1", pool: to.pool, access: "write" }] as const;
  if (profile.kind === "gpu") {
    const at = k.ref("at", k.INDEX);
    const body = [
      k.letS("at", k.add(k.mul(group, k.idx(profile.workgroup)), k.ref("local", k.INDEX))),
      k.ifS(k.lt(at, k.idx(words)), [word(at)]),
    ];
    return { kernel: { name: "copy", groups: Math.ceil(words / profile.workgroup), workgroup: profile.workgroup, buffers, body }, places: [from, to], flops: 0, made: new Set<Place>(), tuned: null };
  }
  const body = [
    k.letS("from", k.mul(group, k.idx(GROUP))),
    k.letS("to", k.min(k.add(k.ref("from", k.INDEX), k.idx(GROUP)), k.idx(words))),
    k.forS("at", k.ref("from", k.INDEX), k.ref("to", k.INDEX), 1, [word(k.ref("at", k.INDEX))]),
  ];
  return { kernel: { name: "copy", groups: Math.ceil(words / GROUP), workgroup: 1, buffers, body }, places: [from, to], flops: 0, made: new Set<Place>(), tuned: null };
}
