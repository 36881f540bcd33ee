/**
 * Kernels of a CPU with narrower vectors: what they mean, some lanes at a time. A vector becomes several, side by side.
 * It has two uses. Where an engine joins neighbours again (V8's revectorizer makes 256 bits of two vectors of
 * WebAssembly), kernels are made with 8 lanes and narrowed to 4. And a target with scalars alone (JavaScript) computes
 * the very same kernel narrowed to one, so that it can be compared with a target that has vectors; as it computes in
 * f64, every result can be rounded too, since how far the two are apart says how much of a difference is rounding.
 */
import { mustAt } from "../../runtime/lookup.js";
import * as k from "./build.js";
import type { Expr, Kernel, Lanes, Stmt, Type } from "./ir.js";
import { eachExpr, eachOperand, mapOperands } from "./operands.js";

/** What a kernel is narrowed to. */
export interface NarrowOptions {
  /** Lanes of its widest vectors. */
  readonly lanes: Lanes;
  /** Whether every f32 that is computed is rounded to f32, whatever the target computes in. */
  readonly rounded?: boolean;
}

/** The kernel with no wider vectors; itself where it has none. Throws an Error for one of a GPU that has some. */
export function narrowed(kernel: Kernel, { lanes, rounded = false }: NarrowOptions): Kernel {
  let isWide = rounded;
  eachExpr(kernel.body, ({ type }) => (isWide ||= type.lanes > lanes));
  if (!isWide) return kernel;
  let count = 0;
  const state: Narrowing = { lanes, fresh: () => count++, result: rounded ? roundTrip : (e) => e };
  return { ...kernel, body: stmts(state, kernel.body) };
}

/** The state of one kernel that is narrowed. */
interface Narrowing {
  readonly lanes: Lanes;
  /** Numbers names that are new in the kernel. */
  readonly fresh: () => number;
  /** What is made of the result of each operation. */
  readonly result: (e: Expr) => Expr;
}

/** A number as the bits of an f32 hold it. */
function roundTrip(e: Expr): Expr {
  const computes = e.kind === "unary" || e.kind === "binary" || e.kind === "fma" || e.kind === "cast";
  return computes && e.type.of === "f32" ? k.bitcast(k.bitcast(e, "u32"), "f32") : e;
}

const isWide = ({ lanes }: Narrowing, { type }: Expr): boolean => type.lanes > lanes;

/** What part `i` of a vector is called. */
const nameOf = (name: string, i: number): string => `${name}_part${i}`;

/** An expression that is narrow; its operands may be wide where one lane of them is taken. */
function narrow(state: Narrowing, e: Expr): Expr {
  if (e.kind !== "extract" || !isWide(state, e.a))
    return state.result(mapOperands(e, (operand) => narrow(state, operand)));
  const of = part(state, e.a, Math.floor(e.lane / state.lanes));
  return state.lanes === 1 ? of : k.extract(of, e.lane % state.lanes);
}

/** Part `i` of a vector that is too wide; of a scalar, which all parts share, itself. */
function part(state: Narrowing, e: Expr, i: number): Expr {
  if (!isWide(state, e)) return narrow(state, e);
  const { lanes } = state;
  const type: Type = { of: e.type.of, lanes };
  switch (e.kind) {
    case "ref":
      return k.ref(nameOf(e.name, i), type);
    case "load":
      return k.load(e.from, k.add(narrow(state, e.index), k.idx(lanes * i)), type);
    case "splat":
      return k.splat(narrow(state, e.a), lanes);
    case "lanes":
      return k.lanes(e.items.slice(lanes * i, lanes * (i + 1)).map((item) => narrow(state, item)));
    case "shuffle":
      return gathered([...parts(state, e.a), ...parts(state, e.b)], e.order.slice(lanes * i, lanes * (i + 1)));
    case "unary":
    case "binary":
    case "fma":
    case "select":
    case "cast":
    case "bitcast":
      return state.result({ ...mapOperands(e, (operand) => part(state, operand, i)), type });
    case "const":
    case "extract":
    case "exchange":
      throw new Error(`kernel: a ${e.kind} is no vector of a CPU`);
    default:
      return e satisfies never;
  }
}

const parts = (state: Narrowing, e: Expr): readonly Expr[] =>
  Array.from({ length: e.type.lanes / state.lanes }, (_, i) => part(state, e, i));

/** Lanes of several vectors of one width, counted through: one vector after the other is shuffled in. */
function gathered(vectors: readonly Expr[], order: readonly number[]): Expr {
  const width = order.length;
  const used = [...new Set(order.map((lane) => Math.floor(lane / width)))];
  const first = mustAt(vectors, mustAt(used, 0));
  const isOfFirst = (lane: number): boolean => Math.floor(lane / width) === used[0];
  if (used.length === 1) {
    const within = order.map((lane) => lane % width);
    return within.every((lane, i) => lane === i) ? first : k.shuffle(first, first, within);
  }
  // Lanes that come from a later vector are whatever stands there, until their turn.
  return used.slice(1).reduce((result, number, turn) => {
    const places = order.map((lane, i) => {
      if (Math.floor(lane / width) === number) return width + (lane % width);
      return turn === 0 && isOfFirst(lane) ? lane % width : i;
    });
    return k.shuffle(result, mustAt(vectors, number), places);
  }, first);
}

const stmts = (state: Narrowing, list: readonly Stmt[]): Stmt[] => list.flatMap((s) => stmt(state, s));

function stmt(state: Narrowing, s: Stmt): Stmt[] {
  switch (s.kind) {
    case "let":
    case "var":
      if (!isWide(state, s.value)) return [{ ...s, value: narrow(state, s.value) }];
      return parts(state, s.value).map((value, i) => ({ ...s, name: nameOf(s.name, i), value }));
    case "assign": {
      if (!isWide(state, s.value)) return [{ ...s, value: narrow(state, s.value) }];
      const values = parts(state, s.value);
      const reads = (value: Expr, i: number): boolean =>
        has(value, (e) => e.kind === "ref" && values.some((_, j) => j < i && e.name === nameOf(s.name, j)));
      return writes(state, values, values.some(reads), (value, i) => ({ ...s, name: nameOf(s.name, i), value }));
    }
    case "store":
      if (isWide(state, s.value)) return storeParts(state, s);
      return [{ ...s, index: narrow(state, s.index), value: narrow(state, s.value) }];
    case "prefetch":
      return [{ ...s, index: narrow(state, s.index) }];
    case "for":
      return [{ ...s, from: narrow(state, s.from), to: narrow(state, s.to), body: stmts(state, s.body) }];
    case "if":
      return [{ ...s, condition: narrow(state, s.condition), then: stmts(state, s.then), else: stmts(state, s.else) }];
    case "array":
    case "tiles":
      return [s];
    case "shared":
    case "barrier":
      throw new Error(`kernel: a ${s.kind} is of a kernel of a GPU`);
    default:
      return s satisfies never;
  }
}

function storeParts(state: Narrowing, s: Extract<Stmt, { readonly kind: "store" }>): Stmt[] {
  const values = parts(state, s.value);
  const index = narrow(state, s.index);
  const isLoad = (e: Expr): boolean => e.kind === "load";
  // Buffers of two names may be one range of memory.
  const early = values.some((value) => has(value, isLoad)) || has(index, isLoad);
  const place = `place${state.fresh()}`;
  const at = early ? k.ref(place, k.INDEX) : index;
  return [
    ...(early ? [k.letS(place, index)] : []),
    ...writes(state, values, early, (value, i) => k.store(s.to, k.add(at, k.idx(state.lanes * i)), value)),
  ];
}

/** Writes parts one after the other; first computes all where one may be made of what another is written to. */
function writes(
  state: Narrowing,
  values: readonly Expr[],
  early: boolean,
  write: (value: Expr, i: number) => Stmt,
): Stmt[] {
  if (!early) return values.map(write);
  const name = `made${state.fresh()}`;
  return [
    ...values.map((value, i) => k.letS(nameOf(name, i), value)),
    ...values.map((value, i) => write(k.ref(nameOf(name, i), value.type), i)),
  ];
}

/** Whether an expression has a part of a kind. */
function has(e: Expr, is: (part: Expr) => boolean): boolean {
  let found = is(e);
  eachOperand(e, (operand) => (found ||= has(operand, is)));
  return found;
}
