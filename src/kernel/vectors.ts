/**
 * Which pools a kernel sees as an array of vec4. Four words at a multiple of four are one access then, where single
 * words would be four, each with its own check of bounds. A pool is bound once with one type, so the choice is the
 * pool's: it is made of vec4 when the kernel has such an access and every store to the pool is one. (A single word of a
 * vec4 may be read; a store to one may rewrite the other three, which belong to other invocations.) Four values of the
 * pool `half` are two words, likewise.
 *
 * Ranges start at multiples of 64 words. The rest is found by walking the kernel: a sum or remainder of multiples of
 * four is one, so is a product with one, so is a name or a loop variable made of them.
 */
import type { Expr, Kernel, PoolName, Stmt } from "./ir.js";

export interface Vectors {
  readonly pools: ReadonlySet<PoolName>;
  /** Loads and stores of four words at a multiple of four. */
  readonly aligned: ReadonlySet<Expr | Stmt>;
}

export function vectorsOf(kernel: Kernel): Vectors {
  const poolOf = new Map(kernel.buffers.map(({ name, pool }) => [name, pool]));
  const aligned = new Set<Expr | Stmt>();
  const wanted = new Set<PoolName>();
  const refused = new Set<PoolName>();
  /** Names of index values that are multiples of four. */
  const known = new Set<string>();

  const isMultiple = (e: Expr): boolean => {
    switch (e.kind) {
      case "const":
        return e.value % 4 === 0;
      case "ref":
        return known.has(e.name);
      case "binary":
        if (e.op === "add" || e.op === "sub" || e.op === "min" || e.op === "max" || e.op === "rem")
          return isMultiple(e.a) && isMultiple(e.b);
        return e.op === "mul" && (isMultiple(e.a) || isMultiple(e.b));
      default:
        return false;
    }
  };
  const name = (of: string, multiple: boolean): void => void (multiple ? known.add(of) : known.delete(of));
  /** Notes an access, which may be met again under names of another value: then the worse counts. */
  const access = (at: Expr | Stmt, to: string, index: Expr, lanes: number, seen: ReadonlySet<Expr | Stmt>): boolean => {
    const pool = poolOf.get(to);
    const whole = pool !== undefined && lanes === 4 && isMultiple(index) && (!seen.has(at) || aligned.has(at));
    if (whole) {
      aligned.add(at);
      wanted.add(pool);
    } else aligned.delete(at);
    return pool === undefined || whole;
  };

  const seen = new Set<Expr | Stmt>();
  const expr = (e: Expr): void => {
    switch (e.kind) {
      case "const":
      case "ref":
        return;
      case "unary":
      case "cast":
      case "bitcast":
      case "splat":
      case "extract":
        return expr(e.a);
      case "binary":
      case "shuffle":
        expr(e.a);
        return expr(e.b);
      case "exchange":
        expr(e.a);
        return expr(e.lane);
      case "fma":
        expr(e.a);
        expr(e.b);
        return expr(e.c);
      case "select":
        expr(e.condition);
        expr(e.then);
        return expr(e.else);
      case "lanes":
        return e.items.forEach(expr);
      case "load":
        expr(e.index);
        access(e, e.from, e.index, e.type.lanes, seen);
        seen.add(e);
        return;
      default:
        return e satisfies never;
    }
  };
  const stmts = (list: readonly Stmt[]): void => {
    for (const s of list) {
      switch (s.kind) {
        case "let":
          expr(s.value);
          name(s.name, s.value.type.of === "index" && isMultiple(s.value));
          break;
        case "var":
          expr(s.value);
          name(s.name, false);
          break;
        case "assign":
          expr(s.value);
          break;
        case "store":
          expr(s.index);
          expr(s.value);
          if (!access(s, s.to, s.index, s.value.type.lanes, seen)) refused.add(poolOf.get(s.to)!);
          seen.add(s);
          break;
        case "for":
          expr(s.from);
          expr(s.to);
          name(s.name, isMultiple(s.from) && s.step % 4 === 0);
          stmts(s.body);
          break;
        case "if":
          expr(s.condition);
          stmts(s.then);
          stmts(s.else);
          break;
        case "array":
        case "shared":
        case "barrier":
          break;
        default:
          s satisfies never;
      }
    }
  };
  stmts(kernel.body);
  return { pools: new Set([...wanted].filter((pool) => !refused.has(pool))), aligned };
}
