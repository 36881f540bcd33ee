/**
 * Registers that a loop fills, or empties, one a turn: all move up by one, so that one load or store of the text serves
 * them all. An emulated GPU makes a loop over its lanes of every load and store, with a branch for each word, and what
 * its compiler takes grows with the square of them: on lavapipe 4 loads of four words take 0.08 s, 16 take 0.35, and
 * 120 took 33. Moving registers costs it next to nothing. Drivers that unroll such a loop, as those of hardware may,
 * are left with the loads and no moves.
 */
import * as k from "../../kernel/build.js";
import type { Expr, Type } from "../../kernel/ir.js";
import { mustAt } from "../../../runtime/lookup.js";
import { constant, type Coord, type Emitter } from "../emit/emit.js";

/** A variable with a value. */
export function register(e: Emitter, value: Expr): Expr {
  const name = e.fresh("r");
  e.push(k.varS(name, value));
  return k.ref(name, value.type);
}

/** Assigns a value to a register. */
export const set = (e: Emitter, to: Expr, value: Expr): void => e.push(k.assign(k.nameOf(to), value));

/** As many registers as `count`, of the values at 0, 1, … */
export function fill(e: Emitter, count: number, type: Type, value: (i: Coord) => Expr): Expr[] {
  if (count === 0) return [];
  if (count === 1) return [e.bind(value(constant(0)))];
  const zero = k.splat(k.f32(0), type.lanes);
  const registers = Array.from({ length: count }, () => register(e, zero));
  e.loop(k.idx(0), k.idx(count), 1, (i) => {
    const next = e.bind(value(i));
    for (const [at, to] of registers.entries()) set(e, to, registers[at + 1] ?? next);
  });
  return registers;
}

/** Hands each register to `body`; afterwards they hold nothing of use. */
export function drain(e: Emitter, registers: readonly Expr[], body: (i: Coord, value: Expr) => void): void {
  const [first, ...others] = registers;
  if (!first) return;
  if (others.length === 0) return body(constant(0), first);
  e.loop(k.idx(0), k.idx(registers.length), 1, (i) => {
    body(i, first);
    for (const [at, from] of others.entries()) set(e, mustAt(registers, at), from);
  });
}
