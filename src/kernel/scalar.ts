/**
 * Kernels without vectors: what a kernel of a CPU means, lane by lane. Every vector becomes as many scalars, so that a
 * target with scalars alone (JavaScript) computes the very same kernel, word for word, and can be compared with one
 * that has vectors. Where that target computes in f64, a kernel can be made to round every result too: how far the two
 * are apart says how much of a difference is rounding. Both are for tests of targets; nothing that is run for its speed
 * is made so.
 */
import { add, idx, INDEX, ref, U32 } from "./build.js";
import type { Expr, Kernel, Stmt, Type } from "./ir.js";
import { mapOperands } from "./operands.js";
import { mustAt } from "../../runtime/lookup.js";

/** How scalars are made. */
export interface ScalarOptions {
  /** Whether every f32 that is computed is rounded to f32, whatever the target computes in. */
  readonly rounded?: boolean;
}

/** The kernel with one lane. Throws an Error for a kernel of a GPU, or with products of bf16. */
export function scalarKernel(kernel: Kernel, { rounded = false }: ScalarOptions = {}): Kernel {
  let count = 0;
  const state: ScalarLowering = { fresh: () => count++, result: rounded ? roundTrip : (e) => e };
  return { ...kernel, body: stmts(state, kernel.body) };
}

/** The state of one kernel that is made scalar. */
interface ScalarLowering {
  /** Numbers names that are new in the kernel. */
  readonly fresh: () => number;
  /** What is made of the result of each operation. */
  readonly result: (e: Expr) => Expr;
}

/** A number as the bits of an f32 hold it. */
function roundTrip(e: Expr): Expr {
  const computes = e.kind === "unary" || e.kind === "binary" || e.kind === "fma" || e.kind === "cast";
  if (!computes || e.type.of !== "f32") return e;
  return { kind: "bitcast", a: { kind: "bitcast", a: e, type: U32 }, type: e.type };
}

const one = ({ of }: Type): Type => ({ of, lanes: 1 });

/** What lane `i` of a vector is called. */
const nameOf = (name: string, i: number): string => `${name}_lane${i}`;

/** A scalar of which no part is a vector. */
const scalar = (state: ScalarLowering, e: Expr): Expr =>
  e.kind === "extract" ? lane(state, e.a, e.lane) : state.result(mapOperands(e, (operand) => scalar(state, operand)));

/** One lane of a vector; of a scalar, which all lanes share, itself. */
function lane(state: ScalarLowering, e: Expr, i: number): Expr {
  if (e.type.lanes === 1) return scalar(state, e);
  switch (e.kind) {
    case "const":
      return { ...e, type: one(e.type) };
    case "ref":
      return ref(nameOf(e.name, i), one(e.type));
    case "load":
      return { ...e, index: behind(state, e.index, i), type: one(e.type) };
    case "splat":
      return scalar(state, e.a);
    case "lanes":
      return scalar(state, mustAt(e.items, i));
    case "shuffle": {
      const from = mustAt(e.order, i);
      return from < e.a.type.lanes ? lane(state, e.a, from) : lane(state, e.b, from - e.a.type.lanes);
    }
    case "unary":
    case "binary":
    case "fma":
    case "select":
    case "cast":
    case "bitcast":
      return state.result({ ...mapOperands(e, (operand) => lane(state, operand, i)), type: one(e.type) });
    case "extract":
    case "exchange":
      throw new Error(`kernel: a ${e.kind} is no vector of a CPU`);
    default:
      return e satisfies never;
  }
}

/** The word `i` words behind an index. */
const behind = (state: ScalarLowering, index: Expr, i: number): Expr => add(scalar(state, index), idx(i));

const lanesOf = (state: ScalarLowering, e: Expr): readonly Expr[] =>
  Array.from({ length: e.type.lanes }, (_, i) => lane(state, e, i));

const stmts = (state: ScalarLowering, list: readonly Stmt[]): Stmt[] => list.flatMap((s) => stmt(state, s));

function stmt(state: ScalarLowering, s: Stmt): Stmt[] {
  switch (s.kind) {
    case "let":
    case "var":
      if (s.value.type.lanes === 1) return [{ ...s, value: scalar(state, s.value) }];
      return lanesOf(state, s.value).map((value, i) => ({ ...s, name: nameOf(s.name, i), value }));
    case "assign":
      if (s.value.type.lanes === 1) return [{ ...s, value: scalar(state, s.value) }];
      return together(state, s.value, (value, i) => ({ ...s, name: nameOf(s.name, i), value }));
    case "store":
      if (s.value.type.lanes === 1) return [{ ...s, index: scalar(state, s.index), value: scalar(state, s.value) }];
      return storeLanes(state, s);
    case "prefetch":
      return [];
    case "for":
      return [{ ...s, from: scalar(state, s.from), to: scalar(state, s.to), body: stmts(state, s.body) }];
    case "if":
      return [{ ...s, condition: scalar(state, s.condition), then: stmts(state, s.then), else: stmts(state, s.else) }];
    case "array":
      return [s];
    case "tiles":
      throw new Error("kernel: products of bf16 are of no target with scalars alone");
    case "shared":
    case "barrier":
      throw new Error(`kernel: a ${s.kind} is of a kernel of a GPU`);
    default:
      return s satisfies never;
  }
}

/** All lanes are computed before any is written: a lane may be made of another that the statement writes. */
function together(state: ScalarLowering, value: Expr, write: (value: Expr, i: number) => Stmt): Stmt[] {
  const name = `lanes${state.fresh()}`;
  const computed = lanesOf(state, value).map((each, i): Stmt => ({ kind: "let", name: nameOf(name, i), value: each }));
  return [...computed, ...computed.map((_, i) => write(ref(nameOf(name, i), one(value.type)), i))];
}

function storeLanes(state: ScalarLowering, s: Extract<Stmt, { readonly kind: "store" }>): Stmt[] {
  const at = `place${state.fresh()}`;
  return [
    { kind: "let", name: at, value: scalar(state, s.index) },
    ...together(state, s.value, (each, i) => ({ ...s, index: add(ref(at, INDEX), idx(i)), value: each })),
  ];
}
