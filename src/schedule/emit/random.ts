/**
 * Threefry-2x32-20 (Salmon, Moraes, Dror, Shaw: Parallel Random Numbers: As Easy as 1, 2, 3, SC 2011) as kernel IR: u32
 * additions, rotations and exclusive ors only, so that every device draws the same bits. runtime/threefry.ts is the
 * reference that tests compare it with.
 */
import * as k from "../../kernel/build.js";
import type { Expr } from "../../kernel/ir.js";
import { mustAt } from "../../../runtime/lookup.js";

const ROTATIONS = [13, 15, 26, 6, 17, 29, 16, 24] as const;
const PARITY = 0x1bd11bda;

/** The two words for key (k0, k1) and counter (c0, c1); `bind` names an intermediate. */
export function random(k0: Expr, k1: Expr, c0: Expr, c1: Expr, bind: (value: Expr) => Expr): [Expr, Expr] {
  const word = (value: number): Expr => k.splat(k.u32(value), k0.type.lanes);
  const keys = [k0, k1, bind(k.xor(k.xor(k0, k1), word(PARITY)))] as const;
  let a = bind(k.add(c0, k0));
  let b = bind(k.add(c1, k1));
  for (let round = 0; round < 20; round++) {
    const by = mustAt(ROTATIONS, round % 8);
    a = bind(k.add(a, b));
    const rotated = k.or(k.shl(b, word(by)), k.shr(b, word(32 - by)));
    b = bind(k.xor(rotated, a));
    if (round % 4 === 3) {
      const injection = (round + 1) / 4;
      a = bind(k.add(a, mustAt(keys, injection % 3)));
      b = bind(k.add(b, k.add(mustAt(keys, (injection + 1) % 3), word(injection))));
    }
  }
  return [a, b];
}
