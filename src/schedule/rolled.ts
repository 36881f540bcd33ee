/**
 * Registers that a loop fills, or empties, one a turn: all move up by one, so that one load or store of the text serves them all. An emulated
 * GPU makes a loop over its lanes of every load and store, with a branch for each word, and what its compiler takes grows with the
 * square of them: 16 loads of four words 0.6 s, 120 of them 33 s, on lavapipe. Moving registers costs it next to nothing.
 */
import * as k from "../kernel/build.js";
import type { Expr, Type } from "../kernel/ir.js";
import { constant, type Coord, type Emitter } from "./emit.js";

const group = k.ref("group", k.INDEX);

/** Counts from a start that is not known when it is compiled: the driver unrolls loops of up to 32 turns that it can count. */
function count(e: Emitter, turns: number, body: (i: Coord) => void): void {
  e.loop(group, k.add(group, k.idx(turns)), 1, ({ at }) => body(e.coord(k.sub(at, group))));
}

const nameOf = (register: Expr): string => (register as Extract<Expr, { readonly kind: "ref" }>).name;

export function register(e: Emitter, value: Expr): Expr {
  const name = e.fresh("r");
  e.push(k.varS(name, value));
  return k.ref(name, value.type);
}

export const set = (e: Emitter, to: Expr, value: Expr): void => e.push(k.assign(nameOf(to), value));

/** As many registers as `many`, of the values at 0, 1, … */
export function fill(e: Emitter, many: number, type: Type, value: (i: Coord) => Expr): Expr[] {
  if (many === 0) return [];
  if (many === 1) return [e.bind(value(constant(0)))];
  const zero = type.lanes === 4 ? k.splat(k.f32(0)) : k.f32(0);
  const registers = Array.from({ length: many }, () => register(e, zero));
  count(e, many, (i) => {
    const next = e.bind(value(i));
    registers.forEach((own, at) => set(e, own, registers[at + 1] ?? next));
  });
  return registers;
}

/** Hands each register to `body`; afterwards they hold nothing of use. */
export function drain(e: Emitter, registers: readonly Expr[], body: (i: Coord, value: Expr) => void): void {
  if (registers.length === 1) return body(constant(0), registers[0]!);
  if (registers.length === 0) return;
  count(e, registers.length, (i) => {
    body(i, registers[0]!);
    registers.slice(1).forEach((own, at) => set(e, registers[at]!, own));
  });
}
