/**
 * The functions that the language has: those of numbers, place by place, those that reduce along axes, and those that
 * are said of an axis. What is called and is none of them is looked for among the names of other libraries.
 */
import type { Call, Expr } from "../../../grammar/ast.js";
import { mustAt } from "../../../runtime/lookup.js";
import { nearest } from "../../diagnostics/suggest.js";
import type { BinaryFunction, RandomFunction, Reducer, Typed, UnaryFunction } from "../typed.js";
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
  "sign",
  "floor",
  "round",
  "stop",
];
const BINARY = ["min", "max", "mod", "atan2"] as const satisfies readonly BinaryFunction[];

/** Functions along axes: `sum[w](x)`. */
export const REDUCERS: readonly Reducer[] = [
  "sum",
  "mean",
  "max",
  "min",
  "prod",
  "rms",
  "argmax",
  "softmax",
  "log_softmax",
  "cumsum",
];

/** Reducers that know what to make of an absent value: `sum[u](x where u <= t)`. */
export const REDUCERS_OF_ABSENT: readonly Reducer[] = REDUCERS.filter((f) => f !== "rms");

/** Reducers that work along one axis. */
export const ALONG_ONE: readonly Reducer[] = ["argmax", "cumsum"];

/** What makes an axis of a whole number: `one_hot[v](corpus.token)`. */
export const ONE_HOT = "one_hot";

/** What draws random numbers while training: `dropout(x, 0.1)`. */
export const RANDOM: readonly RandomFunction[] = ["dropout", "noise"];

/** What is said of an axis in a value: `size(t)`, `index(t)`. */
export const OF_AXES = ["size", "index"] as const;

/** All names of functions, for suggestions. */
export const BUILTINS: readonly string[] = [
  ...new Set([...UNARY, ...BINARY, ...REDUCERS, ...OF_AXES, ...RANDOM, ONE_HOT, "cross_entropy"]),
];

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
    return fail(state, "MHC207", span, `\`${f}\` takes ${arity} argument${arity === 1 ? "" : "s"}`, {
      fix: memberOf(REDUCERS, f) ? `along an axis it is \`${f}[axis](…)\`` : null,
    });
  if (called.arity === 1) return { kind: "unary", f: called.f, a: read(a.value), span };
  return { kind: "binary", f: called.f, a: read(a.value), b: read(mustAt(args, 1).value), span };
}

/** All functions that there are, a line for each kind. */
const functionsThere = (): readonly string[] => [
  `functions of one number: ${UNARY.join(", ")}`,
  `functions of two numbers: ${BINARY.map((f) => `${f}(${f === "atan2" ? "y, x" : "x, y"})`).join(", ")}`,
  `along axes: ${[...REDUCERS.map((f) => `${f}[w](x)`), `${ONE_HOT}[v](token)`].join(", ")}`,
  `others: cross_entropy(logits, target), ${OF_AXES.map((f) => `${f}(t)`).join(", ")}; at random while training: ` +
    "dropout(x, p), noise(x, deviation)",
];

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
  return fail(state, "MHC201", e.callee.span, message, {
    notes: functionsThere().map((line) => ({ message: line, span: null })),
    fix: elsewhere ?? (guess ? `did you mean \`${guess}\`?` : null),
  });
}
