/**
 * Tensors where an expression names them. A bare name takes the axes that its place expects, by position, or else has
 * its own. Names in brackets say which axis is which, and a tensor of whole numbers in the brackets looks rows up.
 * Sizes are unified where a tensor is put on axes, so what does not fit is said here.
 */
import type { Expr, Indexed, Path } from "../../../grammar/ast.js";
import { mustAt } from "../../../runtime/lookup.js";
import type { Span } from "../../diagnostics/span.js";
import { describe, unify, type Size } from "../../graph/sizes.js";
import { listed } from "../quantities.js";
import type { Axis, Parameter, Tensor, Typed } from "../typed.js";
import { axisNamed } from "./axes.js";
import { BUILTINS } from "./builtins.js";
import { shifted } from "./indices.js";
import { isNumberFunction, sizeOf } from "./numbers.js";
import { definedBelow, recurringTensor } from "./recurrences.js";
import {
  endedName,
  expression,
  fail,
  giveUp,
  lookup,
  namesIn,
  ownerOfLoss,
  refuseBelow,
  unknownName,
  type Elaboration,
  type EndedName,
  type Entity,
  type Expected,
  type Scope,
} from "./scope.js";
import { dotted } from "./syntax.js";

/** What a typed expression holds: floats, or whole numbers below a size. */
export function kindOf(e: Typed): { readonly dtype: "f32" | "u32"; readonly range: Size | null } {
  if (e.kind === "tensor") return e.tensor;
  if (e.kind === "relabel") return kindOf(e.a);
  if (e.kind === "call") return kindOf(e.instance.result);
  if (e.kind === "reduce" && e.f === "argmax") return { dtype: "u32", range: e.axes[0]?.size ?? null };
  return { dtype: "f32", range: null };
}

/** A name without brackets: a tensor, a size or a number. */
export function reference(state: Elaboration, e: Path, scope: Scope, expected: Expected): Typed {
  const { parts, span } = e;
  const [first, second] = parts;
  const last = parts.at(-1) ?? first;
  const entity = lookup(scope, first.name);
  if (second) {
    const parameter = state.parameters.find(({ name }) => name === scope.prefix + dotted(e));
    if (parameter) refuseElsewhere(state, parameter, e);
    if (parameter) return onExpected(state, parameter.tensor, expected, span);
  }
  if (second && /^(?:T|mT|H|transpose)$/.test(last.name) && entity?.kind !== "data") {
    return fail(state, "MHC201", last.span, "nothing is transposed: axes have names", {
      fix: "name them where it is used: `x[w, t]`",
    });
  }
  if (!entity) return undefinedName(state, e, scope);
  switch (entity.kind) {
    case "tensor":
      if (!second) return onExpected(state, entity.tensor, expected, span);
      break;
    case "dim":
      if (!second) return { kind: "size", size: entity.axis.size, bare: entity.axis, span };
      break;
    case "number":
      if (!second) return { kind: "scalar", scalar: entity.scalar, span };
      break;
    case "data":
      return ofData(state, e, entity, expected);
    case "manifold":
      if (second?.name === "free") return { kind: "size", size: sizeOf(state, e, scope), span };
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

/** A parameter of a branch is there only where the branch is. */
function refuseElsewhere(state: Elaboration, { around = [] }: Parameter, e: Path): void {
  if (around.every((part) => part.kind !== "branch" || state.around.includes(part))) return;
  fail(state, "MHC201", e.span, `\`${dotted(e)}\` stands inside an \`if\`, and is not there without it`);
}

const aBody = ({ body }: EndedName): string => (body === "if" ? "an `if`" : "a `repeat`");

function undefinedName(state: Elaboration, e: Path, scope: Scope): never {
  const [{ name, span }, second] = e.parts;
  const below = second ? null : definedBelow(scope, name);
  if (below)
    fail(state, "MHC201", span, `\`${name}\` is defined further down, and here only earlier places of it are known`, {
      notes: [{ message: "it is defined here", span: below.name.span }],
      fix: `move the definition up, or read an earlier place: \`${name}[t - 1]\``,
    });
  if (!second) refuseBelow(state, scope, { name, span });
  const ended = endedName(scope, name);
  if (ended?.body === "output")
    fail(state, "MHC201", span, `\`${name}\` is an output, which the caller reads and nothing on the page`, {
      notes: [{ message: "it is here", span: ended }],
      fix: `define it first, \`${name}[…] = …\`, and write \`output ${name}[…] = ${name}\``,
    });
  if (ended)
    fail(state, "MHC201", span, `\`${name}\` is defined inside ${aBody(ended)}, and means nothing after it`, {
      notes: [{ message: "it is defined here", span: ended }],
      fix: `what leaves ${aBody(ended)} is a stream: \`stream ${name}[…] = …\` before it, and \`${name} = …\` inside`,
    });
  const owner = second ? null : ownerOfLoss(state, name, span.file);
  if (owner)
    fail(
      state,
      "MHC201",
      span,
      `\`${name}\` is a loss of the block \`${owner}\`, which is known when all is computed`,
      {
        fix: "a page's `loss` and its metrics read it, and nothing before them",
      },
    );
  return unknownName(state, {
    code: "MHC201",
    span,
    message: second ? `there is no \`${dotted(e)}\`` : `\`${name}\` is not defined here`,
    name,
    candidates: [...namesIn(scope), ...state.blocks.keys(), ...BUILTINS],
  });
}

/** `corpus.token`, a tensor of a source of data, or `corpus.vocab`, its size. */
function ofData(
  state: Elaboration,
  { parts, span }: Path,
  { source, fields }: Extract<Entity, { readonly kind: "data" }>,
  expected: Expected,
): Typed {
  const [first, second] = parts;
  if (!second)
    return fail(state, "MHC210", span, `\`${first.name}\` is a source of data`, {
      fix: `use one of its tensors: ${[...fields.keys()].map((name) => `\`${first.name}.${name}\``).join(", ")}`,
    });
  const field = fields.get(second.name);
  if (field && parts.length === 2) return onExpected(state, field, expected, span);
  const size = source.sizes.get(second.name);
  if (size && parts.length === 2) return { kind: "size", size, span };
  const scalar = source.numbers.get(second.name);
  if (scalar && parts.length === 2) return { kind: "scalar", scalar, span };
  return unknownName(state, {
    code: "MHC201",
    span: second.span,
    message: `\`${first.name}\` has no \`${second.name}\`; it has ${[...fields.keys()].join(" and ")}`,
    name: second.name,
    candidates: fields.keys(),
  });
}

/** A tensor without indices takes the expected axes by position when there are as many of them. */
function onExpected(state: Elaboration, tensor: Tensor, expected: Expected, span: Span): Typed {
  const { axes } = tensor;
  if (!expected || expected.length !== axes.length || expected.length === 0)
    return { kind: "tensor", tensor, axes, span };
  if (axes.some((axis, i) => expected[i] !== axis && expected.includes(axis)))
    return fail(
      state,
      "MHC203",
      span,
      `\`${tensor.name}\` has the axes ${listed(axes)}, and ${listed(expected)} is expected`,
      { fix: `name its axes: \`${tensor.name}[…]\`` },
    );
  for (const [i, axis] of axes.entries()) unifyAxes(state, tensor, axis, mustAt(expected, i), span);
  return { kind: "tensor", tensor, axes: expected, span };
}

/** Makes an axis of a tensor the size of the axis that stands for it at a place, or says that they differ. */
function unifyAxes(state: Elaboration, tensor: Tensor, axis: Axis, other: Axis, span: Span): void {
  if (unify(axis.size, other.size)) return;
  fail(
    state,
    "MHC203",
    span,
    `axis \`${axis.name}\` of \`${tensor.name}\` has size ${describe(axis.size)}, and \`${other.name}\` here is ` +
      describe(other.size),
    {
      notes: [{ message: `\`${tensor.name}\` is declared here with axes ${listed(tensor.axes)}`, span: tensor.span }],
    },
  );
}

/** `x[t, w]`, or `table[token, w]`, which looks rows up. */
export function indexed(state: Elaboration, e: Indexed, scope: Scope): Typed {
  const isComputed = e.axes.some((index) => !isAxis(index, scope) && !isLookup(index, scope));
  const recurring = isComputed ? recurringTensor(state, e, scope) : null;
  if (recurring) {
    checkRank(state, e, recurring);
    return shifted(state, e, { tensor: recurring, recurs: true }, scope);
  }
  const base = reference(state, e.base, scope, null);
  if (base.kind !== "tensor") return fail(state, "MHC210", e.base.span, `\`${dotted(e.base)}\` has no axes`);
  const { tensor } = base;
  checkRank(state, e, tensor);
  const [first] = e.axes;
  if (first && isLookup(first, scope)) return gathered(state, e, tensor, first, scope);
  if (isComputed) return shifted(state, e, { tensor, recurs: false }, scope);
  const axes = axesOfIndices(state, tensor, e.axes, 0, scope);
  const twice = axes.find((axis, i) => axes.indexOf(axis) !== i);
  if (twice)
    return fail(state, "MHC206", e.span, `the axis \`${twice.name}\` stands twice in \`${tensor.name}\``, {
      fix: `declare a second name for it: \`dim other = ${twice.name}\``,
    });
  return { kind: "tensor", tensor, axes, span: e.span };
}

function checkRank(state: Elaboration, e: Indexed, tensor: Tensor): void {
  if (e.axes.length === tensor.axes.length) return;
  fail(
    state,
    "MHC206",
    e.span,
    `\`${tensor.name}\` has ${tensor.axes.length} ${tensor.axes.length === 1 ? "axis" : "axes"}, ` +
      `${listed(tensor.axes)}, and ${e.axes.length} ${e.axes.length === 1 ? "is" : "are"} named here`,
    { notes: [{ message: "it is declared here", span: tensor.span }] },
  );
}

/** Rows of a table, looked up by a tensor of whole numbers, the first of the indices. */
function gathered(state: Elaboration, e: Indexed, table: Tensor, first: Expr, scope: Scope): Typed {
  const index = expression(state, first, scope, null);
  const { dtype, range } = kindOf(index);
  if (dtype !== "u32" || !range)
    return fail(
      state,
      "MHC210",
      first.span,
      "an index is the name of an axis or a tensor of whole numbers from the data",
    );
  unifyAxes(state, table, mustAt(table.axes, 0), { name: "the range of the index", size: range }, e.span);
  const axes = axesOfIndices(state, table, e.axes.slice(1), 1, scope);
  return { kind: "gather", table, index, axes, span: e.span };
}

/** Whether an index names an axis: it is one name, and not that of a tensor or a number. */
function isAxis(index: Expr, scope: Scope): index is Path {
  if (index.kind !== "path" || index.parts.length > 1) return false;
  const entity = lookup(scope, index.parts[0].name);
  return entity?.kind !== "tensor" && entity?.kind !== "number";
}

/** Whether an index looks something up: it is a tensor, by its name or with its axes, or what a call makes. */
function isLookup(index: Expr, scope: Scope): boolean {
  switch (index.kind) {
    case "index":
      return true;
    case "path": {
      const kind = lookup(scope, index.parts[0].name)?.kind;
      return kind === "tensor" || (kind === "data" && index.parts.length > 1);
    }
    case "call": {
      const name = dotted(index.callee);
      return index.axes !== null || !(name === "index" || name === "size" || isNumberFunction(name));
    }
    default:
      return false;
  }
}

/** The axes that indices name; `offset`: the position in the tensor of the first of them. */
function axesOfIndices(
  state: Elaboration,
  tensor: Tensor,
  indices: readonly Expr[],
  offset: number,
  scope: Scope,
): readonly Axis[] {
  return indices.map((index, i) => {
    if (!isAxis(index, scope))
      return fail(state, "MHC210", index.span, "only the first axis can be indexed by a tensor");
    const declared = mustAt(tensor.axes, offset + i);
    const axis = axisNamed(state, index.parts[0], scope, declared.name);
    unifyAxes(state, tensor, declared, axis, index.span);
    return axis;
  });
}
