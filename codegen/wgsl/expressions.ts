/**
 * Expressions of the kernel IR as WGSL, and the places that loads and stores go to. What must be computed before an
 * expression (a part that stands twice in it) becomes a `let` in a line before.
 */
import * as k from "../../src/kernel/build.js";
import { poolType, type Expr, type Lanes, type PoolName, type Stmt, type Type } from "../../src/kernel/ir.js";
import { shortestF32 } from "../../src/kernel/literals.js";
import { INFIX } from "../../src/kernel/text.js";
import { power } from "../../src/kernel/mathematics.js";
import type { Vectors } from "../../src/kernel/vectors.js";
import { rename } from "./words.js";

const scalarName = (type: Type): string => (type.of === "index" ? "u32" : type.of);
/** The name of a type of the kernel IR. */
export function typeName(type: Type): string {
  if (type.lanes > 4) throw new Error(`codegen: WGSL has vectors of four, not of ${type.lanes}`);
  return type.lanes === 4 ? `vec4<${scalarName(type)}>` : scalarName(type);
}
/** A literal for every lane of a type. */
const wide = (text: string, type: Type): string => (type.lanes === 4 ? `${typeName(type)}(${text})` : text);
/**
 * The type of what lies in a pool. Four of half precision are two words, since drivers that load word by word take half
 * as long for them.
 */
export const storedName = (pool: PoolName, lanes: Lanes): string =>
  pool !== "half" ? typeName({ of: poolType[pool], lanes }) : lanes === 4 ? "vec2<u32>" : "f16";
const fourHalves = (words: string): string => `bitcast<vec4<f16>>(${words})`;
/** The names of the lanes of a vector. */
export const LANES = ["x", "y", "z", "w"] as const;

/**
 * Functions that are made from their arithmetic: WGSL has no erf, and promises of sin and cos only an absolute error of
 * 2^-11, which is not enough for a schedule of rates.
 */
export const HELPERS = { erf: "erf", sin: "sine", cos: "cosine" } as const;
/** An op of the kernel IR that is a function of the module. */
export type Helper = keyof typeof HELPERS;

/** A function has one type, so four lanes have a function of their own. */
export const helperName = (op: Helper, lanes: Lanes): string => (lanes === 4 ? `${HELPERS[op]}_4` : HELPERS[op]);

/** The state of printing the body of one function. */
export interface WgslPrinting {
  /** The pool of every buffer. */
  readonly pools: ReadonlyMap<string, PoolName>;
  readonly vectors: Vectors;
  /** Names that stay as they are: parameters of the function. */
  readonly parameters: ReadonlySet<string>;
  /** Lines of the body so far. */
  readonly lines: string[];
  /** Declarations of memory that a workgroup shares, which stand outside of the function. */
  readonly shared: string[];
  /** Asks for a helper function. */
  readonly need: (op: Helper, lanes: Lanes) => void;
  /** Blanks before the line that is printed now. */
  indent: string;
  /** How many temporaries there are so far. */
  temporaries: number;
}

/** The state at the start of a body. */
export const startPrinting = (
  given: Pick<WgslPrinting, "pools" | "vectors" | "parameters" | "need">,
): WgslPrinting => ({
  ...given,
  lines: [],
  shared: [],
  indent: "  ",
  temporaries: 0,
});

/** What a name of a kernel is called in the module. */
export const nameOf = (state: WgslPrinting, name: string): string => (state.parameters.has(name) ? name : rename(name));

/** Puts a line at the end of the body. */
export const put = (state: WgslPrinting, text: string): void => void state.lines.push(`${state.indent}${text}`);

/** Names the value of an expression; temporaries end in `_`, which no name of a kernel does. */
export function bind(state: WgslPrinting, e: Expr): Expr {
  if (e.kind === "ref" || e.kind === "const") return e;
  const name = `t${state.temporaries++}_`;
  put(state, `let ${name} = ${printExpr(state, e)};`);
  return k.ref(name, e.type);
}

/** Word `index` of a buffer or array, to read or to assign to. */
export function wordAt(state: WgslPrinting, name: string, index: Expr): string {
  const pool = state.pools.get(name);
  if (pool === undefined) return `${nameOf(state, name)}[${printExpr(state, index)}]`;
  const at = address(state, name, index);
  if (!state.vectors.pools.has(pool)) return `${pool}[${at}]`;
  const four = `${pool}[(${at}) >> 2u]`;
  return pool === "half" ? `bitcast<vec2<f16>>(${four}[((${at}) >> 1u) & 1u])[(${at}) & 1u]` : `${four}[(${at}) & 3u]`;
}

function address(state: WgslPrinting, name: string, index: Expr): string {
  const start = nameOf(state, name);
  return index.kind === "const" && index.value === 0 ? start : `${start} + ${printExpr(state, index)}`;
}

/**
 * Four words from `index` on as one vec4, for the load or the store `access`; null where the pool is not made of vec4
 * or they do not lie so.
 */
export function vectorAt(state: WgslPrinting, name: string, index: Expr, access: Expr | Stmt): string | null {
  const pool = state.pools.get(name);
  return pool !== undefined && state.vectors.pools.has(pool) && state.vectors.aligned.has(access)
    ? `${pool}[(${address(state, name, index)}) >> 2u]`
    : null;
}

function load(state: WgslPrinting, e: Extract<Expr, { readonly kind: "load" }>): string {
  const isHalf = state.pools.get(e.from) === "half";
  if (e.type.lanes === 1) {
    const word = wordAt(state, e.from, e.index);
    return isHalf ? `f32(${word})` : word;
  }
  const type = typeName(e.type);
  const four = vectorAt(state, e.from, e.index, e);
  if (four !== null) return isHalf ? `${type}(${fourHalves(four)})` : four;
  const words = LANES.map((_, lane) => wordAt(state, e.from, k.add(e.index, k.idx(lane)))).join(", ");
  return isHalf ? `${type}(vec4<f16>(${words}))` : `${type}(${words})`;
}

/** A value as it is stored to a buffer: rounded where the pool is of half precision. */
export function stored(state: WgslPrinting, to: string, value: Expr): string {
  const text = printExpr(state, value);
  if (state.pools.get(to) !== "half") return text;
  return value.type.lanes === 4 ? `bitcast<vec2<u32>>(vec4<f16>(${text}))` : `f16(${text})`;
}

/** An expression as text. Throws an Error for numbers without a literal. */
export function printExpr(state: WgslPrinting, e: Expr): string {
  const expr = (part: Expr): string => printExpr(state, part);
  switch (e.kind) {
    case "const":
      return literal(e.value, e.type);
    case "ref":
      return nameOf(state, e.name);
    case "unary":
      return unary(state, e);
    case "binary":
      return binary(state, e);
    // Not the built-in fma: adapters without the instruction emulate it, slowly.
    case "fma":
      return `(${expr(e.a)} * ${expr(e.b)} + ${expr(e.c)})`;
    case "select":
      return `select(${expr(e.else)}, ${expr(e.then)}, ${expr(e.condition)})`;
    case "load":
      return load(state, e);
    case "cast":
      return typeName(e.type) === typeName(e.a.type) ? expr(e.a) : `${typeName(e.type)}(${expr(e.a)})`;
    case "bitcast":
      return `bitcast<${typeName(e.type)}>(${expr(e.a)})`;
    case "splat":
      return wide(expr(e.a), e.type);
    case "lanes":
      return `${typeName(e.type)}(${e.items.map(expr).join(", ")})`;
    case "shuffle": {
      const [a, b] = [e.a, e.b].map((part) => bind(state, part)).map(expr);
      return `${typeName(e.type)}(${e.order.map((lane) => `${lane < 4 ? a : b}.${LANES[lane & 3]}`).join(", ")})`;
    }
    case "extract":
      return `${expr(e.a)}.${LANES[e.lane]}`;
    case "exchange":
      return `subgroupShuffle(${expr(e.a)}, (subgroup_lane & ${~(e.width - 1) >>> 0}u) | ${expr(e.lane)})`;
    default:
      return e satisfies never;
  }
}

function unary(state: WgslPrinting, e: Extract<Expr, { readonly kind: "unary" }>): string {
  if (e.op === "erf" || e.op === "sin" || e.op === "cos") {
    state.need(e.op, e.type.lanes);
    return `${helperName(e.op, e.type.lanes)}(${printExpr(state, e.a)})`;
  }
  const a = printExpr(state, e.a);
  switch (e.op) {
    case "neg":
      return `(-${a})`;
    case "not":
      return `(!${a})`;
    // Some drivers compute tanh from exp(2x), which overflows; beyond 15 it is 1 anyway.
    case "tanh":
      return `tanh(clamp(${a}, ${wide("-15.0f", e.type)}, ${wide("15.0f", e.type)}))`;
    case "exp":
    case "log":
    case "sqrt":
    case "abs":
    case "floor":
      return `${e.op}(${a})`;
    default:
      return e.op satisfies never;
  }
}

function binary(state: WgslPrinting, e: Extract<Expr, { readonly kind: "binary" }>): string {
  if (e.op === "pow")
    return printExpr(
      state,
      power(e.a, e.b, (part) => bind(state, part)),
    );
  const a = printExpr(state, e.a);
  const b = printExpr(state, e.b);
  return e.op === "min" || e.op === "max" ? `${e.op}(${a}, ${b})` : `(${a} ${INFIX[e.op]} ${b})`;
}

function literal(value: number, { of }: Type): string {
  switch (of) {
    case "f32": {
      if (!Number.isFinite(Math.fround(value))) throw new Error("codegen: WGSL has no literal for infinity or NaN");
      const text = shortestF32(value);
      return text.startsWith("-") ? `(${text}f)` : `${text}f`;
    }
    case "u32":
    case "index":
      return `${value}u`;
    case "bool":
      return `${value !== 0}`;
    default:
      return of satisfies never;
  }
}
