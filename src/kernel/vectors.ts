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
import type { Expr, Kernel, Lanes, PoolName, Stmt } from "./ir.js";
import { eachOperand } from "./operands.js";

/** What a kernel does in vectors of four words. */
export interface Vectors {
  /** Pools that are arrays of vec4. */
  readonly pools: ReadonlySet<PoolName>;
  /** Loads and stores of four words at a multiple of four. */
  readonly aligned: ReadonlySet<Expr | Stmt>;
}

/** The state of the walk over a kernel. */
interface Survey {
  /** The pool of every buffer. */
  readonly poolOf: ReadonlyMap<string, PoolName>;
  readonly aligned: Set<Expr | Stmt>;
  /** Pools with an access that would be one of a vec4. */
  readonly wanted: Set<PoolName>;
  /** Pools with a store that would not. */
  readonly refused: Set<PoolName>;
  /** Names of index values that are multiples of four. */
  readonly multiples: Set<string>;
  /** Loads and stores that were met before. */
  readonly seen: Set<Expr | Stmt>;
}

/** The pools of a kernel that are made of vec4, and the accesses that are. */
export function vectorsOf(kernel: Kernel): Vectors {
  const survey: Survey = {
    poolOf: new Map(kernel.buffers.map(({ name, pool }) => [name, pool])),
    aligned: new Set(),
    wanted: new Set(),
    refused: new Set(),
    multiples: new Set(),
    seen: new Set(),
  };
  visitStmts(survey, kernel.body);
  const { aligned, wanted, refused } = survey;
  return { pools: new Set([...wanted].filter((pool) => !refused.has(pool))), aligned };
}

function isMultiple(survey: Survey, e: Expr): boolean {
  switch (e.kind) {
    case "const":
      return e.value % 4 === 0;
    case "ref":
      return survey.multiples.has(e.name);
    case "binary":
      if (e.op === "add" || e.op === "sub" || e.op === "min" || e.op === "max" || e.op === "rem")
        return isMultiple(survey, e.a) && isMultiple(survey, e.b);
      return e.op === "mul" && (isMultiple(survey, e.a) || isMultiple(survey, e.b));
    default:
      return false;
  }
}

/** Notes whether a name stands for a multiple of four from now on. */
const note = ({ multiples }: Survey, name: string, multiple: boolean): void =>
  void (multiple ? multiples.add(name) : multiples.delete(name));

/**
 * Notes a load or a store, which may be met again under names of another value: then the worse counts. False when a
 * buffer is accessed otherwise than by a vec4.
 */
function access(survey: Survey, at: Expr | Stmt, buffer: string, index: Expr, lanes: Lanes): boolean {
  const { poolOf, aligned, seen, wanted } = survey;
  const pool = poolOf.get(buffer);
  const isFirst = !seen.has(at);
  seen.add(at);
  const isWhole = pool !== undefined && lanes === 4 && isMultiple(survey, index) && (isFirst || aligned.has(at));
  if (isWhole) {
    aligned.add(at);
    wanted.add(pool);
  } else aligned.delete(at);
  return pool === undefined || isWhole;
}

function visitExpr(survey: Survey, e: Expr): void {
  eachOperand(e, (operand) => visitExpr(survey, operand));
  if (e.kind === "load") access(survey, e, e.from, e.index, e.type.lanes);
}

function visitStmts(survey: Survey, list: readonly Stmt[]): void {
  for (const s of list) visitStmt(survey, s);
}

function visitStmt(survey: Survey, s: Stmt): void {
  switch (s.kind) {
    case "let":
      visitExpr(survey, s.value);
      note(survey, s.name, s.value.type.of === "index" && isMultiple(survey, s.value));
      break;
    case "var":
      visitExpr(survey, s.value);
      note(survey, s.name, false);
      break;
    case "assign":
      visitExpr(survey, s.value);
      break;
    case "store": {
      visitExpr(survey, s.index);
      visitExpr(survey, s.value);
      const pool = survey.poolOf.get(s.to);
      if (!access(survey, s, s.to, s.index, s.value.type.lanes) && pool) survey.refused.add(pool);
      break;
    }
    case "for":
      visitExpr(survey, s.from);
      visitExpr(survey, s.to);
      note(survey, s.name, isMultiple(survey, s.from) && s.step % 4 === 0);
      visitStmts(survey, s.body);
      break;
    case "if":
      visitExpr(survey, s.condition);
      visitStmts(survey, s.then);
      visitStmts(survey, s.else);
      break;
    case "prefetch":
    case "tiles":
    case "array":
    case "shared":
    case "barrier":
      break;
    default:
      s satisfies never;
  }
}
