/**
 * The functions that the language has: those of numbers, place by place, those that reduce along axes, and those that
 * are said of an axis. What is called and is none of them is looked for among the names of other libraries.
 */
import type { Call, Expr } from "../../../grammar/ast.js";
import { mustAt } from "../../../runtime/lookup.js";
import { nearest } from "../../diagnostics/suggest.js";
import type { BinaryFunction, Reducer, Typed, UnaryFunction } from "../typed.js";
import { FUNCTIONS_ELSEWHERE } from "./elsewhere.js";
import { fail, type Elaboration } from "./scope.js";

const UNARY: readonly UnaryFunction[] = [
  "exp",
  "log",
  "sqrt",
  "sigmoid",
  "tanh",
  "gelu",
  "silu",
  "relu",
  "softplus",
  "erf",
  "abs",
  "sin",
  "cos",
  "logit",
];
const BINARY = ["min", "max"] as const satisfies readonly BinaryFunction[];

/** Functions along axes: `sum[w](x)`. */
export const REDUCERS: readonly Reducer[] = ["sum", "max", "mean", "softmax", "rms"];

/** Reducers that know what to make of an absent value: `sum[u](x where u <= t)`. */
export const REDUCERS_OF_ABSENT: readonly Reducer[] = ["sum", "max", "mean", "softmax"];

/** What is said of an axis in a value: `size(t)`, `index(t)`. */
export const OF_AXES = ["size", "index"] as const;

/** All names of functions, for suggestions. */
export const BUILTINS: readonly string[] = [...UNARY, ...REDUCERS, ...OF_AXES, "min", "cross_entropy"];

/** The member of a list of names that is called so; undefined when none is. */
export const memberOf = <T extends string>(names: readonly T[], name: string): T | undefined =>
  names.find((candidate) => candidate === name);

/** A function of numbers, place by place, by its name. */
export type Elementwise =
  | { readonly arity: 1; readonly f: UnaryFunction }
  | { readonly arity: 2; readonly f: (typeof BINARY)[number] };

/** The function of numbers of this name; null when there is none. */
export function elementwiseNamed(name: string): Elementwise | null {
  const unary = memberOf(UNARY, name);
  if (unary) return { arity: 1, f: unary };
  const binary = memberOf(BINARY, name);
  return binary ? { arity: 2, f: binary } : null;
}

/** A function of numbers, place by place; `read` makes its arguments. */
export function elementwise(
  state: Elaboration,
  { lists, span }: Call,
  called: Elementwise,
  read: (arg: Expr) => Typed,
): Typed {
  const { arity, f } = called;
  const args = lists.length === 1 ? lists.flat() : [];
  const [a] = args;
  if (!a || args.length !== arity)
    return fail(state, "MHC207", span, `\`${f}\` takes ${arity} argument${arity === 1 ? "" : "s"}`);
  if (called.arity === 1) return { kind: "unary", f: called.f, a: read(a.value), span };
  return { kind: "binary", f: called.f, a: read(a.value), b: read(mustAt(args, 1).value), span };
}

/**
 * Reports a function that there is not, with the names of those that there are, and with what to write instead: what
 * other libraries have under the name is an expression here, or else a near name may be meant.
 */
export function unknownFunction(
  state: Elaboration,
  e: Call,
  name: string,
  message: string,
  candidates: Iterable<string>,
): never {
  const elsewhere = FUNCTIONS_ELSEWHERE.get(name);
  const guess = nearest(name, candidates);
  const along = REDUCERS.map((reducer) => `${reducer}[w]`).join(", ");
  const functions = `the functions are ${UNARY.join(", ")}, min, max and cross_entropy; along axes there are ${along}`;
  return fail(state, "MHC201", e.callee.span, message, {
    notes: [{ message: functions, span: null }],
    fix: elsewhere ?? (guess ? `did you mean \`${guess}\`?` : null),
  });
}
