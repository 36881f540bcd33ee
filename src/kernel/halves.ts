/**
 * Vectors of 8 lanes as two of 4, side by side: for WebAssembly, whose vectors have 4, on engines that join neighbours
 * again (V8's revectorizer makes one instruction of 256 bits of two that lie next to each other).
 */
import { mustAt } from "../../runtime/lookup.js";
import * as k from "./build.js";
import type { Expr, Kernel, Stmt, Type } from "./ir.js";
import { eachExpr, mapOperands } from "./operands.js";

const WHOLE = 8;
const HALF = 4;

/** The lower and the upper lanes of a vector. */
type Halves = readonly [Expr, Expr];

const halfType = ({ of }: Type): Type => ({ of, lanes: HALF });
const halfNames = (name: string): readonly [string, string] => [`${name}lower`, `${name}upper`];

/** The kernel with vectors of 4 lanes at most; itself where it has none of 8. */
export function halved(kernel: Kernel): Kernel {
  let isWide = false;
  eachExpr(kernel.body, ({ type }) => (isWide ||= type.lanes === WHOLE));
  return isWide ? { ...kernel, body: kernel.body.flatMap(halfStmts) } : kernel;
}

function halfStmts(s: Stmt): readonly Stmt[] {
  switch (s.kind) {
    case "let":
    case "var":
    case "assign": {
      if (s.value.type.lanes !== WHOLE) return [{ ...s, value: narrow(s.value) }];
      const names = halfNames(s.name);
      return halves(s.value).map((value, i) => ({ ...s, name: mustAt(names, i), value }));
    }
    case "store": {
      const index = narrow(s.index);
      if (s.value.type.lanes !== WHOLE) return [{ ...s, index, value: narrow(s.value) }];
      return halves(s.value).map((value, i) => ({ ...s, index: k.add(index, k.idx(HALF * i)), value }));
    }
    case "prefetch":
      return [{ ...s, index: narrow(s.index) }];
    case "for":
      return [{ ...s, from: narrow(s.from), to: narrow(s.to), body: s.body.flatMap(halfStmts) }];
    case "if":
      return [
        { ...s, condition: narrow(s.condition), then: s.then.flatMap(halfStmts), else: s.else.flatMap(halfStmts) },
      ];
    case "tiles":
    case "array":
    case "shared":
    case "barrier":
      return [s];
    default:
      return s satisfies never;
  }
}

/** An expression of fewer lanes, whose operands may have 8: one lane of them. */
function narrow(e: Expr): Expr {
  if (e.kind === "extract" && e.a.type.lanes === WHOLE)
    return k.extract(mustAt(halves(e.a), Math.floor(e.lane / HALF)), e.lane % HALF);
  return mapOperands(e, narrow);
}

/** The halves of a vector of 8 lanes. */
function halves(e: Expr): Halves {
  const each = (make: (half: 0 | 1) => Expr): Halves => [make(0), make(1)];
  const type = halfType(e.type);
  switch (e.kind) {
    case "ref":
      return each((half) => k.ref(halfNames(e.name)[half], type));
    case "load": {
      const index = narrow(e.index);
      return each((half) => k.load(e.from, k.add(index, k.idx(HALF * half)), type));
    }
    case "splat": {
      const a = narrow(e.a);
      return each(() => ({ ...e, a, type }));
    }
    case "lanes": {
      const items = e.items.map(narrow);
      return each((half) => k.lanes(items.slice(HALF * half, HALF * (half + 1))));
    }
    case "shuffle": {
      const parts = [...halves(e.a), ...halves(e.b)];
      return each((half) => gathered(parts, e.order.slice(HALF * half, HALF * (half + 1))));
    }
    case "unary":
    case "cast":
    case "bitcast": {
      const a = halves(e.a);
      return each((half) => ({ ...e, a: a[half], type }));
    }
    case "binary": {
      const [a, b] = [halves(e.a), halves(e.b)];
      return each((half) => ({ ...e, a: a[half], b: b[half], type }));
    }
    case "fma": {
      const [a, b, c] = [halves(e.a), halves(e.b), halves(e.c)];
      return each((half) => ({ ...e, a: a[half], b: b[half], c: c[half], type }));
    }
    case "select": {
      const [condition, yes, no] = [halves(e.condition), halves(e.then), halves(e.else)];
      return each((half) => ({ ...e, condition: condition[half], then: yes[half], else: no[half], type }));
    }
    case "const":
    case "extract":
    case "exchange":
      throw new Error(`bug: ${e.kind} of ${WHOLE} lanes`);
    default:
      return e satisfies never;
  }
}

/** Lanes of several vectors of 4, counted through: one part after the other is shuffled in. */
function gathered(parts: readonly Expr[], order: readonly number[]): Expr {
  const used = [...new Set(order.map((lane) => Math.floor(lane / HALF)))];
  const first = mustAt(parts, mustAt(used, 0));
  const isOfFirst = (lane: number): boolean => Math.floor(lane / HALF) === used[0];
  if (used.length === 1) {
    const isAsItIs = order.every((lane, i) => lane % HALF === i);
    return isAsItIs
      ? first
      : k.shuffle(
          first,
          first,
          order.map((lane) => lane % HALF),
        );
  }
  // Lanes that come from a later part are whatever stands there, until their turn.
  return used.slice(1).reduce((result, number, turn) => {
    const places = order.map((lane, i) => {
      if (Math.floor(lane / HALF) === number) return HALF + (lane % HALF);
      return turn === 0 && isOfFirst(lane) ? lane % HALF : i;
    });
    return k.shuffle(result, mustAt(parts, number), places);
  }, first);
}
