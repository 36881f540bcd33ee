/**
 * Keeps short loops as loops. Drivers unroll a loop whose turns they can count, up to 32 of them with all loops around
 * (Mesa); one that emulates a GPU then makes a loop over lanes of every load, and compiles for seconds what runs for
 * microseconds. Here turns are counted from a number that is not known when the kernel is compiled.
 */
import * as k from "./build.js";
import type { Stmt } from "./ir.js";

const FEW = 32;
const group = k.ref("group", k.INDEX);

/** Turns of a loop; null when they are not known. */
export const turnsOf = ({ from, to, step }: Extract<Stmt, { readonly kind: "for" }>): number | null =>
  from.kind === "const" && to.kind === "const" ? Math.ceil((to.value - from.value) / step) : null;

/** A body whose short loops count their turns from `group`. */
export const keepLoops = (body: readonly Stmt[]): Stmt[] =>
  body.map((s): Stmt => {
    if (s.kind === "if") return { ...s, then: keepLoops(s.then), else: keepLoops(s.else) };
    if (s.kind !== "for") return s;
    const inner = keepLoops(s.body);
    const turns = turnsOf(s);
    if (turns === null || turns < 2 || turns > FEW) return { ...s, body: inner };
    const turn = `${s.name}_turn`;
    const at = k.add(k.mul(k.sub(k.ref(turn, k.INDEX), group), k.idx(s.step)), s.from);
    return k.forS(turn, group, k.add(group, k.idx(turns)), 1, [k.letS(s.name, at), ...inner]);
  });
