/**
 * Expressions that are numbers rather than tensors: dims (`4 * width`), settings and starts (`0.02 / sqrt(2 *
 * layers)`). Dims are evaluated symbolically; other numbers are kept as functions, since they may depend on facts that
 * come later.
 */
import type { BinarySign, Expr, Ident, Path } from "../../../grammar/ast.js";
import { argumentsOf, calleeOf, dotted } from "./syntax.js";
import {
  add,
  describe,
  divide,
  known,
  multiply,
  resolve,
  show,
  subtract,
  valueOf,
  type Polynomial,
} from "../../graph/sizes.js";
import type { Piece, SetInstance } from "../../manifolds/set.js";
import {
  fail,
  giveUp,
  lookup,
  lookupBare,
  namesIn,
  refuseBelow,
  unknownName,
  type Elaboration,
  type Entity,
  type Scope,
} from "./scope.js";
import type { DataSource, DeferredNumber, StartValue } from "../typed.js";
import { valueAt } from "../../../runtime/records.js";

/** The size that an expression stands for. */
export function sizeOf(state: Elaboration, e: Expr, scope: Scope): Polynomial {
  switch (e.kind) {
    case "number":
      return e.percent || e.bytes || !Number.isInteger(e.value)
        ? fail(state, "MHC215", e.span, `a size is a whole number, and this is ${e.text}`)
        : known(e.value);
    case "group":
      return sizeOf(state, e.inner, scope);
    case "path":
      return sizeOfPath(state, e, scope);
    case "binary": {
      const a = sizeOf(state, e.left, scope);
      const b = sizeOf(state, e.right, scope);
      switch (e.op) {
        case "+":
          return add(a, b);
        case "-":
          return subtract(a, b);
        case "*":
          return multiply(a, b);
        case "/":
          if (b.value === 0) return fail(state, "MHC209", e.span, `${describe(a)} is divided by zero`);
          return (
            divide(a, b) ??
            fail(state, "MHC209", e.span, `${describe(a)} is not divisible by ${describe(b)}`, {
              fix: `choose ${show(a)} as a multiple of ${show(b)}`,
            })
          );
        case "%":
          if (b.value === 0) return fail(state, "MHC209", e.span, `${describe(a)} is divided by zero`);
          return a.value !== null && b.value !== null
            ? known(a.value % b.value)
            : fail(state, "MHC208", e.span, `what is left of ${describe(a)} by ${describe(b)} is not known yet`);
        case "^": {
          if (b.value === null || b.value < 0)
            return fail(state, "MHC215", e.span, "the power of a size must be a number");
          return Array.from({ length: b.value }, () => a).reduce(multiply, known(1));
        }
        default:
          return fail(state, "MHC210", e.span, "a comparison is not a size");
      }
    }
    default:
      return fail(state, "MHC210", e.span, "this is not a size", {
        fix: "sizes are whole numbers, dims, and their sums, products and quotients",
      });
  }
}

/** The size that a name stands for: a dim, `corpus.vocab` of a source of data, or `M.free` of a manifold. */
function sizeOfPath(state: Elaboration, e: Path, scope: Scope): Polynomial {
  const [first, second, ...further] = e.parts;
  const entity = lookup(scope, first.name);
  if (!entity) refuseBelow(state, scope, first);
  if (!entity)
    return unknownName(state, {
      code: "MHC201",
      span: first.span,
      message: `there is no dim \`${first.name}\` here`,
      name: first.name,
      candidates: namesIn(scope),
    });
  if (entity.kind === "poison") return giveUp();
  if (second && !further.length) {
    const size = entity.kind === "data" ? entity.source.sizes.get(second.name) : undefined;
    // Sizes of data are dims of the page or facts, and both are polynomials.
    if (size) return size as Polynomial;
    if (entity.kind === "manifold" && second.name === "free") return freeSize(state, e, entity.manifold, scope);
    const hint = entity.kind === "data" ? { fix: `there is ${sizesOf(entity.source)}` } : {};
    return fail(state, "MHC201", e.span, `\`${dotted(e)}\` is not a size`, hint);
  }
  if (entity.kind === "number" && !second) return notASize(state, first, entity);
  if (entity.kind !== "dim" || second)
    return fail(state, "MHC210", e.span, `\`${dotted(e)}\` is not a dim`, {
      notes: [{ message: "it is defined here", span: entity.span }],
    });
  const size = resolve(entity.axis.size);
  return size.kind === "variable"
    ? fail(state, "MHC208", e.span, `the size of \`${dotted(e)}\` is not known yet here`)
    : size;
}

/** A number where a size is expected. */
function notASize(
  state: Elaboration,
  { name, span }: Ident,
  { scalar, span: definition }: Extract<Entity, { readonly kind: "number" }>,
): never {
  const isLayer = scalar.depths?.length;
  return fail(
    state,
    "MHC210",
    span,
    isLayer
      ? `\`${name}\` depends on the layer, and a size is the same in all layers`
      : `\`${name}\` is a number, and a size is a whole number that is a \`dim\``,
    {
      notes: [{ message: "it is defined here", span: definition }],
      fix: isLayer ? null : `write \`dim ${name} = …\` if it is a size`,
    },
  );
}

/** `M.free`: the number of free coordinates of a point, in the argument of the map of M. */
function freeSize(state: Elaboration, e: Path, manifold: SetInstance, { mapping }: Scope): Polynomial {
  if (mapping?.manifold !== manifold)
    return fail(
      state,
      "MHC303",
      e.span,
      `\`${dotted(e)}\` is known only inside \`${e.parts[0].name}(…)\`, where the size of its argument is`,
      { fix: `write the size out: of a matrix that is mapped by itself, \`dim free = n * n\`` },
    );
  const { set, options } = manifold;
  const pieces = set.free(mapping.point, options);
  return "error" in pieces ? fail(state, "MHC303", e.span, `${set.name} ${pieces.error}`) : coordinates(pieces);
}

/** How many free coordinates there are in all. */
export const coordinates = (pieces: readonly Piece[]): Polynomial =>
  pieces.map(({ shape }) => shape.reduce(multiply, known(1))).reduce(add, known(0));

/** The sizes of a source of data, in words. */
const sizesOf = ({ name, sizes }: DataSource): string =>
  [...sizes.keys()].map((size) => `\`${name}.${size}\``).join(" and ");

/** Operators of numbers; comparisons are none. */
const ARITHMETIC: Readonly<Partial<Record<BinarySign, (x: number, y: number) => number>>> = {
  "+": (x, y) => x + y,
  "-": (x, y) => x - y,
  "*": (x, y) => x * y,
  "/": (x, y) => x / y,
  // What is left has the sign of the divisor.
  "%": (x, y) => x - y * Math.floor(x / y),
  "^": (x, y) => x ** y,
};

/** Functions of numbers. */
const FUNCTIONS: Readonly<Record<string, (x: number) => number>> = {
  sqrt: Math.sqrt,
  log: Math.log,
  exp: Math.exp,
  // Kept away from 0 and 1, where it is infinite: a gate over one lane is wide open, not undefined.
  logit: (p) => {
    const q = Math.min(0.999, Math.max(0.001, p));
    return Math.log(q / (1 - q));
  },
};

/** Whether numbers have a function of this name. */
export const isNumberFunction = (name: string): boolean => valueAt(FUNCTIONS, name) !== undefined;

/** A number made of others, by a function of their values. */
export function numberFrom(
  parts: readonly DeferredNumber[],
  text: string,
  f: (...values: number[]) => number,
): DeferredNumber {
  const depths = [...new Set(parts.flatMap((part) => part.depths ?? []))];
  const value: DeferredNumber["value"] = (layers) => f(...parts.map((part) => part.value(layers)));
  return { text, value, ...(depths.length ? { depths } : {}) };
}

/** A number, evaluated when it is asked for. */
export function scalarOf(state: Elaboration, e: Expr, scope: Scope): DeferredNumber {
  switch (e.kind) {
    case "number":
      return e.bytes
        ? fail(state, "MHC210", e.span, `${e.text} is a size of memory, and a number is expected`)
        : { text: e.text, value: () => e.value };
    case "group": {
      const inner = scalarOf(state, e.inner, scope);
      return { ...inner, text: `(${inner.text})` };
    }
    case "unary": {
      const a = scalarOf(state, e.operand, scope);
      return numberFrom([a], `-${a.text}`, (x) => -x);
    }
    case "binary": {
      const a = scalarOf(state, e.left, scope);
      const b = scalarOf(state, e.right, scope);
      const f = ARITHMETIC[e.op];
      if (!f) return fail(state, "MHC210", e.span, "a comparison is not a number");
      return numberFrom([a, b], `${a.text} ${e.op} ${b.text}`, f);
    }
    case "call": {
      const name = dotted(e.callee);
      const f = valueAt(FUNCTIONS, name);
      const args = e.lists[0] ?? [];
      if (!f)
        return unknownName(state, {
          code: "MHC201",
          span: e.callee.span,
          message: `\`${name}\` is not a function of numbers`,
          name,
          candidates: Object.keys(FUNCTIONS),
        });
      const [arg] = args;
      if (!arg || args.length !== 1) return fail(state, "MHC207", e.span, `\`${name}\` takes one number`);
      const a = scalarOf(state, arg.value, scope);
      return numberFrom([a], `${name}(${a.text})`, f);
    }
    case "path": {
      const entity = lookupBare(scope, e);
      if (entity?.kind === "number") return entity.scalar;
      if (entity?.kind === "dim") {
        const { size } = entity.axis;
        return { text: dotted(e), value: () => valueOf(size) ?? Number.NaN };
      }
      const [first, second, ...further] = e.parts;
      const data = second && !further.length ? lookup(scope, first.name) : null;
      const number = second && data?.kind === "data" ? data.source.numbers.get(second.name) : undefined;
      if (number) return number;
      const size = sizeOf(state, e, scope);
      return { text: show(size), value: () => valueOf(size) ?? Number.NaN };
    }
    default:
      return fail(state, "MHC210", e.span, "this is not a number");
  }
}

/** A way in which parameters start. */
interface StartForm {
  readonly kind: StartValue["kind"];
  /** How many numbers it takes. */
  readonly arity: number;
  /** The number that it takes by itself. */
  readonly fixed?: number;
  /** How it is written, and what it gives, for the reference. */
  readonly form: string;
  readonly does: string;
}

/** The ways in which parameters start, by name. */
export const STARTS: Readonly<Record<string, StartForm>> = {
  normal: { kind: "normal", arity: 1, form: "normal(0.02)", does: "normal numbers of this deviation" },
  uniform: { kind: "uniform", arity: 2, form: "uniform(-0.1, 0.1)", does: "even numbers between two ends" },
  constant: { kind: "constant", arity: 1, form: "constant(0.5)", does: "this number everywhere" },
  zeros: { kind: "constant", arity: 0, fixed: 0, form: "zeros", does: "0 everywhere" },
  ones: { kind: "constant", arity: 0, fixed: 1, form: "ones", does: "1 everywhere" },
  identity: { kind: "identity", arity: 1, form: "identity(1)", does: "this number on the diagonal, 0 elsewhere" },
  ramp: {
    kind: "ramp",
    arity: 2,
    form: "ramp(0, 0.5)",
    does: "even steps along the last axis, from center - spread to center + spread",
  },
};

const scalar = (value: number): DeferredNumber => ({ text: `${value}`, value: () => value });

/** Every entry starts as this number. */
export const constantStart = (value: number): StartValue => ({ kind: "constant", args: [scalar(value)] });

/** How a parameter starts: `normal(0.02)`, `zeros`, `M.start`, or the name of an argument that is a start. */
export function startOf(state: Elaboration, e: Expr, scope: Scope): StartValue {
  if (e.kind === "path") {
    const entity = lookup(scope, e.parts[0].name);
    if (entity?.kind === "start" && e.parts.length === 1) return entity.start;
    if (entity?.kind === "manifold" && e.parts[1]?.name === "start" && e.parts.length === 2) {
      const { kind, value } = entity.manifold.set.start(entity.manifold.options);
      return { kind, args: [scalar(value)] };
    }
  }
  if (e.kind !== "path" && e.kind !== "call")
    return fail(state, "MHC210", e.span, "this does not say how a parameter starts", {
      fix: "write `normal(0.02)`, `zeros` or the like",
    });
  const callee = calleeOf(e);
  const name = dotted(callee);
  const args = argumentsOf(e);
  const start = valueAt(STARTS, name);
  if (!start)
    return unknownName(state, {
      code: "MHC201",
      span: callee.span,
      message: `\`${name}\` is not a way to start; there are ${Object.keys(STARTS).join(", ")}`,
      name,
      candidates: Object.keys(STARTS),
    });
  if (args.length !== start.arity)
    return fail(
      state,
      "MHC207",
      e.span,
      `\`${name}\` takes ${start.arity} number${start.arity === 1 ? "" : "s"}, not ${args.length}`,
    );
  if (start.fixed !== undefined) return constantStart(start.fixed);
  return { kind: start.kind, args: args.map((arg) => scalarOf(state, arg.value, scope)) };
}

/** Whether a dim is given as a number, and so goes by its own name. */
export const isPlain = (e: Expr): boolean => e.kind === "number" || (e.kind === "group" && isPlain(e.inner));
