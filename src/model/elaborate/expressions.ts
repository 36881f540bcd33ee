/**
 * Expressions to typed expressions: names become tensors, indices become axes, calls become instances. A tensor without
 * indices takes the axes that its place expects, by position, or else its own. Sums are not made explicit here:
 * `einstein.ts` does that once the wanted axes are known.
 */
import type { Call, Expr, Indexed, Path } from "../../../grammar/ast.js";
import type { Span } from "../../diagnostics/span.js";
import { nearest } from "../../diagnostics/suggest.js";
import { describe, resolve, unify, variable, type Polynomial, type Size } from "../../graph/sizes.js";
import { sets, type ConstraintSet } from "../../manifolds/registry.js";
import { rankOf } from "../../manifolds/set.js";
import { refuseBareAxes } from "./bare.js";
import { axisLike, unknownAxis } from "./axes.js";
import { settle } from "./einstein.js";
import { FUNCTIONS_ELSEWHERE } from "./elsewhere.js";
import { coordinates, rangeName, sizeOf } from "./numbers.js";
import { listed } from "../quantities.js";
import {
  childScope,
  endedName,
  fail,
  lookup,
  namesIn,
  unknownName,
  type DataArg,
  type Elaboration,
  type Entity,
  type Expected,
  type Scope,
} from "./scope.js";
import {
  axesOf,
  union,
  type Axis,
  type BinaryFunction,
  type Factor,
  type Reducer,
  type Tensor,
  type Typed,
  type UnaryFunction,
} from "../typed.js";

const UNARY: ReadonlySet<string> = new Set([
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
]);
const REDUCERS: ReadonlySet<string> = new Set(["sum", "max", "mean", "softmax", "rms"]);
/** Reducers that know what to make of an absent value. */
const ABSENT: ReadonlySet<string> = new Set(["sum", "max", "mean", "softmax"]);

/** What is said of an axis in a value. */
const OF_AXES: ReadonlySet<string> = new Set(["size", "index"]);

export const builtins: readonly string[] = [...UNARY, ...REDUCERS, ...OF_AXES, "min", "cross_entropy"];

const dotted = (path: Path): string => path.parts.map(({ name }) => name).join(".");

/** Elaborates and settles an expression whose result has the axes `wanted`. */
export function expressionOn(state: Elaboration, e: Expr, scope: Scope, wanted: readonly Axis[]): Typed {
  return settled(state, expression(state, e, { ...scope, wanted }, wanted), wanted);
}

/**
 * Elaborates and settles a definition whose left side names no axes: it has those of its value, in order of appearance.
 */
export function unlabelled(state: Elaboration, e: Expr, scope: Scope): Typed {
  return settled(state, expression(state, e, scope, null), null);
}

function settled(state: Elaboration, raw: Typed, wanted: readonly Axis[] | null): Typed {
  refuseBareAxes(raw, wanted, state.report);
  return settle(raw, wanted ?? axesOf(raw), state.report);
}

export function expression(state: Elaboration, e: Expr, scope: Scope, expected: Expected): Typed {
  const span = e.span;
  switch (e.kind) {
    case "number":
      return e.bytes
        ? fail(state, "MHC210", span, `${e.text} is a size of memory, and has no place in an expression`)
        : { kind: "number", value: e.value, span };
    case "string":
      return fail(state, "MHC210", span, "text has no place in an expression");
    case "tuple":
      return fail(state, "MHC210", span, "a tuple has no place in an expression");
    case "group":
      return expression(state, e.inner, scope, expected);
    case "path":
      return reference(state, e, scope, expected);
    case "index":
      return indexed(state, e, scope);
    case "unary":
      return { kind: "unary", f: "neg", a: expression(state, e.operand, scope, expected), span };
    case "where":
      return fail(
        state,
        "MHC212",
        span,
        "`where` stands only directly under `sum`, `max`, `mean` or `softmax`, which know what to do without a value",
      );
    case "call":
      return call(state, e, scope, expected);
    case "binary": {
      if (
        e.op === "^" &&
        e.right.kind === "path" &&
        /^(?:T|transpose)$/.test(dotted(e.right)) &&
        !lookup(scope, dotted(e.right))
      ) {
        return fail(state, "MHC201", e.right.span, "nothing is transposed: axes have names", {
          fix: "name them where it is used: `x[w, t]`",
        });
      }
      if (e.op === "*" || e.op === "/") return product(state, e, scope, expected);
      if (
        e.op === ">" ||
        e.op === ">=" ||
        e.op === "<" ||
        e.op === "<=" ||
        e.op === "==" ||
        e.op === "!=" ||
        e.op === "and" ||
        e.op === "or"
      ) {
        return fail(state, "MHC210", span, "a comparison stands only in the condition of a `where`");
      }
      return {
        kind: "binary",
        f: e.op,
        a: expression(state, e.left, scope, expected),
        b: expression(state, e.right, scope, expected),
        span,
      };
    }
    default:
      return e satisfies never;
  }
}

/** A chain of * and / as one product. */
function product(state: Elaboration, e: Expr, scope: Scope, expected: Expected): Typed {
  const factors: Factor[] = [];
  const collect = (part: Expr, inverse: boolean): void => {
    if (part.kind === "group") collect(part.inner, inverse);
    else if (part.kind === "binary" && part.op === "*" && !inverse) {
      collect(part.left, false);
      collect(part.right, false);
    } else if (part.kind === "binary" && part.op === "/" && !inverse) {
      collect(part.left, false);
      collect(part.right, true);
    } else factors.push({ e: expression(state, part, scope, expected), inverse });
  };
  collect(e, false);
  return { kind: "product", factors, summed: [], span: e.span };
}

function reference(state: Elaboration, e: Path, scope: Scope, expected: Expected): Typed {
  const span = e.span;
  const first = e.parts[0]!;
  const entity = lookup(scope, first.name);
  if (e.parts.length > 1) {
    const parameter = state.parameters.find(({ name }) => name === scope.prefix + dotted(e));
    if (parameter) return placed(state, parameter.tensor, expected, span);
  }
  if (e.parts.length > 1 && /^(?:T|mT|H|transpose)$/.test(e.parts.at(-1)!.name) && entity?.kind !== "data") {
    return fail(state, "MHC201", e.parts.at(-1)!.span, "nothing is transposed: axes have names", {
      fix: "name them where it is used: `x[w, t]`",
    });
  }
  if (!entity) {
    const ended = endedName(scope, first.name);
    if (ended) {
      fail(
        state,
        "MHC201",
        first.span,
        `\`${first.name}\` is defined inside a \`repeat\`, and means nothing after it`,
        {
          notes: [{ message: "it is defined here", span: ended }],
          fix:
            `what leaves a \`repeat\` is a stream: \`stream ${first.name}[…] = …\` before it, and ` +
            `\`${first.name} = …\` inside`,
        },
      );
    }
    const candidates = [...namesIn(scope), ...state.blocks.keys(), ...builtins];
    return unknownName(
      state,
      "MHC201",
      first.span,
      e.parts.length > 1 ? `there is no \`${dotted(e)}\`` : `\`${first.name}\` is not defined here`,
      first.name,
      candidates,
    );
  }
  switch (entity.kind) {
    case "tensor":
      if (e.parts.length === 1) return placed(state, entity.tensor, expected, span);
      break;
    case "dim":
      if (e.parts.length === 1) return { kind: "size", size: entity.axis.size, bare: entity.axis, span };
      break;
    case "number":
      if (e.parts.length === 1) return { kind: "scalar", scalar: entity.scalar, span };
      break;
    case "data": {
      const field = e.parts[1] && entity.fields.get(e.parts[1].name);
      if (field && e.parts.length === 2) return placed(state, field, expected, span);
      if (e.parts[1]?.name === rangeName(entity.source.kind) && e.parts.length === 2)
        return { kind: "size", size: entity.source.range, span };
      if (e.parts[1])
        return unknownName(
          state,
          "MHC201",
          e.parts[1].span,
          `\`${first.name}\` has no \`${e.parts[1].name}\`; it has ${[...entity.fields.keys()].join(" and ")}`,
          e.parts[1].name,
          entity.fields.keys(),
        );
      return fail(state, "MHC210", span, `\`${first.name}\` is a source of data`, {
        fix:
          "use one of its tensors: " +
          `${[...entity.fields.keys()].map((name) => `\`${first.name}.${name}\``).join(", ")}`,
      });
    }
    case "manifold":
      if (e.parts[1]?.name === "free") return { kind: "size", size: sizeOf(state, e, scope), span };
      break;
    case "poison":
      return giveUp();
    case "block":
    case "start":
      break;
    default:
      entity satisfies never;
  }
  return fail(state, "MHC210", span, `\`${dotted(e)}\` is not a tensor or a number`, {
    notes: [{ message: "it is defined here", span: entity.span }],
  });
}

/** The definition was reported already: nothing more to say. */
function giveUp(): never {
  // An empty report: the first error stands.
  return fail({ report: () => undefined } as unknown as Elaboration, "MHC201", { file: "", start: 0, end: 0 }, "");
}

/** A tensor without indices: takes the expected axes by position when the ranks agree. */
function placed(state: Elaboration, tensor: Tensor, expected: Expected, span: Span): Typed {
  if (!expected || expected.length !== tensor.axes.length || expected.length === 0)
    return { kind: "tensor", tensor, axes: tensor.axes, span };
  const moved = tensor.axes.some((axis, i) => expected[i] !== axis && expected.includes(axis));
  if (moved)
    return fail(
      state,
      "MHC203",
      span,
      `\`${tensor.name}\` has the axes ${listed(tensor.axes)}, and ${listed(expected)} is expected`,
      { fix: `name its axes: \`${tensor.name}[…]\`` },
    );
  tensor.axes.forEach((axis, i) => agree(state, axis.size, expected[i]!.size, span, tensor, axis, expected[i]!));
  return { kind: "tensor", tensor, axes: expected, span };
}

function agree(state: Elaboration, own: Size, wanted: Size, span: Span, tensor: Tensor, axis: Axis, other: Axis): void {
  const before = [describe(own), describe(wanted)];
  if (unify(own, wanted)) return;
  fail(
    state,
    "MHC203",
    span,
    `axis \`${axis.name}\` of \`${tensor.name}\` has size ${before[0]}, and \`${other.name}\` here is ${before[1]}`,
    {
      notes: [{ message: `\`${tensor.name}\` is declared here with axes ${listed(tensor.axes)}`, span: tensor.span }],
    },
  );
}

/**
 * The axis that a name in brackets stands for. `like`: the axis of which it is likely to be a second name, if it is not
 * declared.
 */
export function axisNamed(
  state: Elaboration,
  name: string,
  span: Span,
  scope: Scope,
  like: string | null = null,
): Axis {
  const entity = lookup(scope, name);
  if (entity?.kind === "dim") return entity.axis;
  if (entity?.kind === "poison") return giveUp();
  if (entity)
    return fail(state, "MHC205", span, `\`${name}\` is not an axis`, {
      notes: [{ message: "it is defined here", span: entity.span }],
    });
  return unknownAxis(state, name, span, scope, like);
}

function indexed(state: Elaboration, e: Indexed, scope: Scope): Typed {
  const base = reference(state, e.base, scope, null);
  if (base.kind !== "tensor") return fail(state, "MHC210", e.base.span, `\`${dotted(e.base)}\` has no axes`);
  const { tensor } = base;
  if (e.axes.length !== tensor.axes.length) {
    return fail(
      state,
      "MHC206",
      e.span,
      `\`${tensor.name}\` has ${tensor.axes.length} ${tensor.axes.length === 1 ? "axis" : "axes"}, ` +
        `${listed(tensor.axes)}, and ${e.axes.length} ${e.axes.length === 1 ? "is" : "are"} named here`,
      { notes: [{ message: "it is declared here", span: tensor.span }] },
    );
  }
  const isAxis = (axis: Expr): axis is Path =>
    axis.kind === "path" && axis.parts.length === 1 && lookup(scope, axis.parts[0]!.name)?.kind !== "tensor";
  const [first, ...others] = e.axes;
  if (first && !isAxis(first)) {
    const index = expression(state, first, scope, null);
    const from = kindOf(index);
    if (from.dtype !== "u32" || !from.range)
      return fail(
        state,
        "MHC210",
        first.span,
        "an index is the name of an axis or a tensor of whole numbers from the data",
      );
    const row = tensor.axes[0]!;
    agree(state, row.size, from.range, e.span, tensor, row, { name: "the range of the index", size: from.range });
    const rest = others.map((axis, i) => {
      if (!isAxis(axis)) return fail(state, "MHC210", axis.span, "only the first axis can be indexed by a tensor");
      const found = axisNamed(state, axis.parts[0]!.name, axis.span, scope, tensor.axes[i + 1]!.name);
      agree(state, tensor.axes[i + 1]!.size, found.size, axis.span, tensor, tensor.axes[i + 1]!, found);
      return found;
    });
    return { kind: "gather", table: tensor, index, axes: rest, span: e.span };
  }
  const axes = e.axes.map((axis, i) => {
    if (!isAxis(axis)) return fail(state, "MHC210", axis.span, "only the first axis can be indexed by a tensor");
    const found = axisNamed(state, axis.parts[0]!.name, axis.span, scope, tensor.axes[i]!.name);
    agree(state, tensor.axes[i]!.size, found.size, axis.span, tensor, tensor.axes[i]!, found);
    return found;
  });
  const twice = axes.find((axis, i) => axes.indexOf(axis) !== i);
  if (twice)
    return fail(state, "MHC206", e.span, `the axis \`${twice.name}\` stands twice in \`${tensor.name}\``, {
      fix: `declare a second name for it: \`dim other = ${twice.name}\``,
    });
  return { kind: "tensor", tensor, axes, span: e.span };
}

/** What a typed expression holds: floats, or whole numbers below a size. */
export function kindOf(e: Typed): { readonly dtype: "f32" | "u32"; readonly range: Size | null } {
  if (e.kind === "tensor") return e.tensor;
  if (e.kind === "relabel") return kindOf(e.a);
  return { dtype: "f32", range: null };
}

function call(state: Elaboration, e: Call, scope: Scope, expected: Expected): Typed {
  const name = dotted(e.callee);
  const span = e.span;
  const entity: Entity | null = e.callee.parts.length === 1 ? lookup(scope, name) : null;
  if (entity?.kind === "poison") return giveUp();
  const owner = e.callee.parts.length === 2 ? lookup(scope, e.callee.parts[0]!.name) : null;
  if (owner?.kind === "poison") return giveUp();
  if (owner?.kind === "manifold") return distance(state, e, owner, scope);
  if (e.axes) return reduction(state, e, name, scope);
  if (entity?.kind === "manifold") return mapped(state, e, entity, scope, expected);
  if (!entity && !state.blocks.has(name)) {
    if (isElementwise(name)) return elementwise(state, e, name, (arg) => expression(state, arg, scope, expected));
    if (REDUCERS.has(name))
      return fail(state, "MHC207", span, `\`${name}\` needs the axes that it works along`, {
        fix: `write \`${name}[axis](…)\``,
      });
    if (name === "cross_entropy") return crossEntropy(state, e, scope);
    if (OF_AXES.has(name)) return ofAxis(state, e, name, scope);
    return unknownFunction(state, e, name, `there is no block or function \`${name}\``, [
      ...state.blocks.keys(),
      ...builtins,
      ...namesIn(scope),
    ]);
  }
  if (entity && entity.kind !== "block")
    return fail(state, "MHC210", e.callee.span, `\`${name}\` is not a block or a function`, {
      notes: [{ message: "it is defined here", span: entity.span }],
    });
  const decl = entity?.block.decl ?? state.blocks.get(name)!;
  const split = e.lists.length > 1;
  const config = split ? e.lists[0]! : [];
  const data: DataArg[] = (e.lists[e.lists.length - 1] ?? []).map((arg) => ({ kind: "written", arg, scope }));
  const block = entity?.block ?? { decl, config, scope, path: null, wrapped: false, span };
  if (entity && split) return fail(state, "MHC207", span, `\`${name}\` has its configuration already`);
  return state.instantiate(state, block, data, scope, expected, e.as, span);
}

/** What there is instead, if the function is known elsewhere; a near name; and all that there are. */
function unknownFunction(
  state: Elaboration,
  e: Call,
  name: string,
  message: string,
  candidates: Iterable<string>,
): never {
  const elsewhere = FUNCTIONS_ELSEWHERE.get(name);
  const guess = nearest(name, candidates);
  const along = [...REDUCERS].map((reducer) => `${reducer}[w]`).join(", ");
  const all = `the functions are ${[...UNARY].join(", ")}, min, max and cross_entropy; along axes there are ${along}`;
  return fail(state, "MHC201", e.callee.span, message, {
    notes: [{ message: all, span: null }],
    fix: elsewhere ?? (guess ? `did you mean \`${guess}\`?` : null),
  });
}

const isElementwise = (name: string): boolean => UNARY.has(name) || name === "min" || name === "max";

/** A function of numbers, place by place; `read` makes its arguments. */
function elementwise(state: Elaboration, { lists, span }: Call, name: string, read: (arg: Expr) => Typed): Typed {
  const args = lists.flat();
  const arity = UNARY.has(name) ? 1 : 2;
  if (args.length !== arity || lists.length !== 1)
    return fail(state, "MHC207", span, `\`${name}\` takes ${arity} argument${arity === 1 ? "" : "s"}`);
  const [a, b] = args.map((arg) => read(arg.value));
  return b
    ? { kind: "binary", f: name as BinaryFunction, a: a!, b, span }
    : { kind: "unary", f: name as UnaryFunction, a: a!, span };
}

/** `size(t)`, or `index(t)`. */
function ofAxis(state: Elaboration, e: Call, name: string, scope: Scope): Typed {
  const [arg, ...more] = e.lists.flat();
  const path = arg?.value.kind === "path" ? arg.value : null;
  if (!path || more.length || arg!.name)
    return fail(state, "MHC207", e.span, `\`${name}\` takes the name of an axis`, { fix: `write \`${name}(t)\`` });
  const entity = path.parts.length === 1 ? lookup(scope, path.parts[0]!.name) : null;
  if (name === "size")
    return { kind: "size", size: entity?.kind === "dim" ? entity.axis.size : sizeOf(state, path, scope), span: e.span };
  return { kind: "position", axis: axisNamed(state, dotted(path), path.span, scope), span: e.span };
}

function reduction(state: Elaboration, e: Call, name: string, scope: Scope): Typed {
  const args = e.lists.flat();
  if (!REDUCERS.has(name)) return unknownFunction(state, e, name, `\`${name}\` does not work along axes`, REDUCERS);
  if (args.length !== 1) return fail(state, "MHC207", e.span, `\`${name}\` takes one argument`);
  const axes = e.axes!.map((axis) =>
    axisNamed(state, axis.name, axis.span, scope, axisLike(args[0]!.value, axis.name, scope)),
  );
  if (axes.length === 0) return fail(state, "MHC207", e.span, `\`${name}\` needs at least one axis`);
  let inner: Expr = args[0]!.value;
  while (inner.kind === "group") inner = inner.inner;
  let a: Typed;
  if (inner.kind === "where") {
    if (!ABSENT.has(name))
      return fail(state, "MHC212", inner.span, `\`${name}\` does not know what to do without a value`);
    const value = expression(state, inner.value, scope, null);
    const present = condition(state, inner.condition, scope, union(union(axesOf(value), axes), scope.wanted));
    a = { kind: "where", a: value, condition: present, span: inner.span };
  } else a = expression(state, inner, scope, null);
  const at = axes.findIndex((axis) => !axesOf(a).includes(axis));
  const missing = axes[at];
  if (missing)
    return fail(
      state,
      "MHC205",
      e.axes![at]!.span,
      `\`${name}\` works along \`${missing.name}\`, which its argument does not have`,
      { fix: `its axes are ${listed(axesOf(a))}` },
    );
  return { kind: "reduce", f: name as Reducer, axes, a, span: e.span };
}

/** In a comparison a name that nothing has is an axis that was not declared. */
function knownIn(state: Elaboration, side: Expr, comparison: Expr, scope: Scope): void {
  if (side.kind !== "path" || side.parts.length > 1 || lookup(scope, side.parts[0]!.name)) return;
  const { name } = side.parts[0]!;
  unknownAxis(state, name, side.span, scope, axisLike(comparison, name, scope));
}

/** A condition: an axis of the guarded value, or of the left side, is its position; any other dim is its size. */
function condition(state: Elaboration, e: Expr, scope: Scope, axes: readonly Axis[]): Typed {
  const span = e.span;
  const inner = (part: Expr): Typed => condition(state, part, scope, axes);
  switch (e.kind) {
    case "group":
      return inner(e.inner);
    case "path": {
      const entity = e.parts.length === 1 ? lookup(scope, e.parts[0]!.name) : null;
      if (entity?.kind === "dim" && axes.includes(entity.axis)) return { kind: "position", axis: entity.axis, span };
      return reference(state, e, scope, null);
    }
    case "binary": {
      switch (e.op) {
        case "<":
        case "<=":
        case "==":
        case "!=":
        case "and":
        case "or":
        case "+":
        case "-":
          if (e.op !== "and" && e.op !== "or") for (const side of [e.left, e.right]) knownIn(state, side, e, scope);
          return { kind: "binary", f: e.op, a: inner(e.left), b: inner(e.right), span };
        case ">":
        case ">=":
          return { kind: "binary", f: e.op === ">" ? "<" : "<=", a: inner(e.right), b: inner(e.left), span };
        case "*":
          return {
            kind: "product",
            factors: [
              { e: inner(e.left), inverse: false },
              { e: inner(e.right), inverse: false },
            ],
            summed: [],
            span,
          };
        default:
          return fail(state, "MHC210", span, `\`${e.op}\` has no place in a condition`);
      }
    }
    case "unary":
      return { kind: "unary", f: "neg", a: inner(e.operand), span };
    case "call": {
      const name = dotted(e.callee);
      const elsewhere = e.axes !== null || lookup(scope, name) !== null || state.blocks.has(name);
      return !elsewhere && isElementwise(name) ? elementwise(state, e, name, inner) : expression(state, e, scope, null);
    }
    default:
      return expression(state, e, scope, null);
  }
}

function mapped(
  state: Elaboration,
  e: Call,
  entity: Extract<Entity, { readonly kind: "manifold" }>,
  scope: Scope,
  expected: Expected,
): Typed {
  const name = dotted(e.callee);
  const args = e.lists.flat();
  const { set, options } = entity.manifold;
  const rank = rankOf(set.point);
  if (args.length !== 1)
    return fail(state, "MHC207", e.span, `\`${name}(…)\` takes the free coordinates: one argument`);
  if (!expected || expected.length < rank)
    return fail(
      state,
      "MHC208",
      e.span,
      `the size of the ${rank === 2 ? "matrix" : "vector"} that \`${name}\` makes is not known here`,
      { fix: `define it with its axes: \`mix[t, n, m] = ${name}(…)\`` },
    );
  const outer = expected.slice(0, expected.length - rank);
  const point = expected.slice(outer.length);
  const [n, m] = point;
  if (set.point === "square" && !unify(n!.size, m!.size))
    return fail(
      state,
      "MHC303",
      e.span,
      `a matrix on \`${name}\` is square, and \`${n!.name}\` is ${describe(n!.size)} while \`${m!.name}\` is ` +
        `${describe(m!.size)}`,
    );
  const sizes = point.map((axis): Polynomial => {
    const size = resolve(axis.size);
    return size.kind === "variable"
      ? fail(state, "MHC208", e.span, `the size of \`${axis.name}\` is not known here`)
      : size;
  });
  const pieces = set.free(sizes, options);
  if ("error" in pieces) return fail(state, "MHC303", e.span, `${set.name} ${pieces.error}`);
  if (pieces.length > 1)
    return fail(
      state,
      "MHC303",
      e.span,
      `a member of ${set.name} is made of ${pieces.map((piece) => `\`${piece.name}\``).join(", ")}, so only a ` +
        "parameter can be one",
      { fix: `write \`param w[…] ~ normal(0.02) on ${name}\`` },
    );
  const [piece] = pieces;
  // Coordinates of a vector go by its own axes; those of a matrix are one axis.
  const free: readonly Axis[] = !piece ? [] : rank < 2 ? point : [{ name: "free", size: coordinates(pieces) }];
  const inner: Scope = {
    ...childScope(scope, scope.prefix),
    instances: scope.instances,
    wanted: scope.wanted,
    mapping: { manifold: entity.manifold, point: sizes },
  };
  // Without free coordinates the argument is not made: its parameters would have no effect.
  const a = piece ? expression(state, args[0]!.value, inner, [...outer, ...free]) : null;
  return {
    kind: "map",
    name: entity.name,
    manifold: entity.manifold,
    a: a && settle(a, [...outer, ...free], state.report),
    free,
    axes: expected,
    span: e.span,
  };
}

/** Whether a page can ask for distances: none of the sets of matrices has them in closed form. */
const measured = (set: ConstraintSet): boolean =>
  set.kind === "manifold" && set.distance !== null && rankOf(set.point) < 2;

/** `M.distance[d](u, v)`: `d` are the axes of a point, as those of `sum[d](…)` are what is summed over. */
function distance(
  state: Elaboration,
  e: Call,
  entity: Extract<Entity, { readonly kind: "manifold" }>,
  scope: Scope,
): Typed {
  const { set } = entity.manifold;
  const name = dotted(e.callee);
  const [, member] = e.callee.parts;
  if (member!.name !== "distance")
    return unknownName(
      state,
      "MHC201",
      member!.span,
      `\`${entity.name}\` has no function \`${member!.name}\`; it has distance`,
      member!.name,
      ["distance"],
    );
  if (!measured(set)) {
    const others = Object.values(sets).flatMap((other) => (measured(other) ? [other.name] : []));
    return fail(
      state,
      "MHC303",
      e.span,
      `${set.name} has no distance between its members${set.kind === "manifold" ? " in closed form" : ""}`,
      {
        fix: `those that have one are ${others.join(", ")}`,
        notes: [{ message: `\`${entity.name}\` is declared here`, span: entity.span }],
      },
    );
  }
  const args = e.lists.flat();
  if (args.length !== 2) return fail(state, "MHC207", e.span, `\`${name}\` takes two points`);
  if (!e.axes?.length)
    return fail(state, "MHC207", e.span, `\`${name}\` needs the axes of a point`, {
      fix: `write \`${name}[axis](…)\``,
    });
  const point = e.axes.map((axis) => axisNamed(state, axis.name, axis.span, scope));
  const twice = e.axes.find((_, i) => point.indexOf(point[i]!) !== i);
  if (twice) return fail(state, "MHC206", twice.span, `the axis \`${twice.name}\` stands twice`);
  const [a, b] = args.map((arg) => {
    const value = expression(state, arg.value, scope, null);
    const missing = point.find((axis) => !axesOf(value).includes(axis));
    return missing
      ? fail(
          state,
          "MHC205",
          arg.span,
          `\`${name}\` is between points along \`${missing.name}\`, which this does not have`,
          { fix: axesOf(value).length ? `its axes are ${listed(axesOf(value))}` : "it is a number" },
        )
      : value;
  }) as [Typed, Typed];
  return { kind: "distance", name: entity.name, manifold: entity.manifold, a, b, point, span: e.span };
}

function crossEntropy(state: Elaboration, e: Call, scope: Scope): Typed {
  const args = e.lists.flat();
  if (args.length !== 2) return fail(state, "MHC207", e.span, "`cross_entropy` takes logits and targets");
  const target = expression(state, args[1]!.value, scope, null);
  const { dtype, range } = kindOf(target);
  if (dtype !== "u32" || !range)
    return fail(
      state,
      "MHC210",
      args[1]!.span,
      "the targets of `cross_entropy` are whole numbers from the data, such as `corpus.next`",
    );
  const classes: Axis = { name: "class", size: variable("class") };
  unify(classes.size, range);
  const axes = [...axesOf(target), classes];
  const logits = expressionOn(state, args[0]!.value, scope, axes);
  return { kind: "cross_entropy", logits, target, classes, span: e.span };
}
