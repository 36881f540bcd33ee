/**
 * Arguments of blocks: pairs them with the formals of the header, positional ones first, then by name, and binds each
 * in the scope of the instance. A dim, a number, a start, a manifold or a block is evaluated where it was written.
 * Tensors are brought onto the axes of their formals by position, which is how sizes flow in.
 */
import type { Arg, Block, Call, Expr, Formal, Ident, Path } from "../../../grammar/ast.js";
import { mustAt } from "../../../runtime/lookup.js";
import type { Diagnostic } from "../../diagnostics/diagnostic.js";
import type { Span } from "../../diagnostics/span.js";
import { describe, unify } from "../../graph/sizes.js";
import { listed } from "../quantities.js";
import { axesOf, type Axis, type Tensor, type Typed } from "../typed.js";
import { settle } from "./einstein.js";
import { scalarOf, sizeOf, startOf } from "./numbers.js";
import {
  Abandoned,
  blocksIn,
  expression,
  fail,
  lookup,
  lookupBare,
  namesIn,
  refuseNotTaken,
  unknownName,
  type BlockUse,
  type BlockValue,
  type DataArg,
  type Elaboration,
  type Scope,
} from "./scope.js";
import { sizeUseOf } from "./size-uses.js";
import { argumentsOf, calleeOf, dotted } from "./syntax.js";
import { kindOf } from "./tensors.js";

/** What a formal can be said to take: `k: dim`, `norm: block`, `M: manifold`, `out: start`, `p: number`. */
const PLAIN_KINDS = ["dim", "block", "manifold", "start", "number"] as const;

/** `dim or number`: of a name without a type that no axis and no size of the block is made of. */
type PlainKind = (typeof PLAIN_KINDS)[number] | "dim or number";

/** An expression with the scope that it was written in. */
interface WrittenArgument {
  readonly e: Expr;
  readonly from: Scope;
}

/** What a formal takes that is not a tensor. `list`: the list of the header that it stands in. */
export function plainKind(state: Elaboration, formal: Formal, decl: Block, list: "config" | "data"): PlainKind {
  const { type } = formal;
  if (!type && decl.kind === "connection" && list === "data") return "block";
  if (!type && formal.default && isFraction(formal.default)) return "number";
  if (!type) return sizeUseOf(decl, formal.name.name) ? "dim" : "dim or number";
  return (
    PLAIN_KINDS.find((kind) => kind === type.name) ??
    unknownName(state, {
      code: "MHC210",
      span: type.span,
      message: `\`${type.name}\` is not a kind of argument: dim, block, manifold, start or number`,
      name: type.name,
      candidates: PLAIN_KINDS,
    })
  );
}

/** Whether a default is a number as it is written, and none that a size can be. */
function isFraction(e: Expr): boolean {
  if (e.kind === "group") return isFraction(e.inner);
  if (e.kind === "unary") return e.operand.kind === "number";
  return e.kind === "number" && (e.percent || !Number.isInteger(e.value));
}

/** What a list of arguments is of: the block, where it is used, and what may be given by name beside the list. */
interface ArgumentsPlace {
  readonly block: string;
  readonly span: Span;
  readonly beside: readonly string[];
}

/** What a block as a value takes by name beside what goes through it. */
const besides = ({ data }: Block): readonly string[] => {
  const through = data.find(({ axes }) => axes !== null);
  return data.filter((formal) => formal !== through).map((formal) => formal.name.name);
};

/** How such names are given. */
const byName = (names: readonly string[]): string | null =>
  names.length ? `give what it takes beside that by name: ${names.map((name) => `\`${name} = …\``).join(", ")}` : null;

/** Pairs arguments with formals. All formals are in the result but those that have a default and no argument. */
function pair<T extends { readonly name: Ident | null; readonly span: Span }>(
  state: Elaboration,
  formals: readonly Formal[],
  args: readonly T[],
  { block, span, beside }: ArgumentsPlace,
): Map<Formal, T> {
  const pairs = new Map<Formal, T>();
  let next = 0;
  for (const arg of args) {
    const { name } = arg;
    const formal = name ? formals.find((candidate) => candidate.name.name === name.name) : formals[next++];
    if (!formal) {
      if (name)
        return unknownName(state, {
          code: "MHC207",
          span: name.span,
          message: `\`${block}\` has no argument \`${name.name}\``,
          name: name.name,
          candidates: [...formals.map((candidate) => candidate.name.name), ...beside],
        });
      return fail(
        state,
        "MHC207",
        arg.span,
        `\`${block}\` takes ${formals.length} argument${formals.length === 1 ? "" : "s"} here, and this is one more`,
        { fix: byName(beside) },
      );
    }
    if (pairs.has(formal)) return fail(state, "MHC207", arg.span, `\`${formal.name.name}\` is given twice`);
    pairs.set(formal, arg);
  }
  const missing = formals.find((formal) => !pairs.has(formal) && !formal.default);
  if (missing)
    return fail(state, "MHC207", span, `\`${block}\` needs \`${missing.name.name}\``, {
      notes: [{ message: "it is declared here", span: missing.span }],
      fix: beside.includes(missing.name.name) ? `give it by name: \`${block}(${missing.name.name} = …)\`` : null,
    });
  return pairs;
}

/** Binds the configuration of a block in the scope of its instance. `span`: where the block is used. */
export function bindConfig(state: Elaboration, block: BlockValue, scope: Scope, span: Span): void {
  const { decl } = block;
  const pairs = pair(state, decl.config, block.config, {
    block: decl.name.name,
    span,
    beside: block.path === null ? [] : besides(decl),
  });
  for (const formal of decl.config) {
    if (formal.axes) return fail(state, "MHC210", formal.span, "tensors go in the last list of a block");
    const kind = plainKind(state, formal, decl, "config");
    const arg = pairs.get(formal);
    // A formal without an argument has a default, which is read in the scope of the block.
    const e = arg?.value ?? formal.default;
    if (e) bindPlain(noting(state, decl, formal), formal.name, kind, { e, from: arg ? block.scope : scope }, scope);
  }
}

/** Of an argument that is no size, and must be one, the error shows the use in the block that demands it. */
function noting(state: Elaboration, decl: Block, { type, name: { name } }: Formal): Elaboration {
  const use = type ? null : sizeUseOf(decl, name);
  if (!use) return state;
  const note = { message: `\`${name}\` of \`${decl.name.name}\` is a size, by its use here`, span: use };
  const isWrongKind = ({ code }: Diagnostic): boolean => code === "MHC210" || code === "MHC215";
  return { ...state, report: (d) => state.report(isWrongKind(d) ? { ...d, notes: [...d.notes, note] } : d) };
}

/** Binds a formal that is not a tensor. */
function bindPlain(state: Elaboration, formal: Ident, kind: PlainKind, arg: WrittenArgument, scope: Scope): void {
  const { name, span } = formal;
  const { e, from } = arg;
  switch (kind) {
    case "dim":
      return bindDim(state, formal, arg, scope);
    case "dim or number":
      return isSize(state, arg) ? bindDim(state, formal, arg, scope) : bindNumber(state, formal, arg, scope);
    case "number":
      return bindNumber(state, formal, arg, scope);
    case "start":
      scope.names.set(name, { kind: "start", start: startOf(state, e, from), span });
      return;
    case "manifold":
      return bindManifold(state, formal, arg, scope);
    case "block":
      scope.names.set(name, { kind: "block", block: blockValue(state, e, from), span });
      return;
    default:
      kind satisfies never;
  }
}

function bindNumber(state: Elaboration, { name, span }: Ident, { e, from }: WrittenArgument, scope: Scope): void {
  const scalar = scalarOf(state, e, from);
  const text = e.kind === "binary" ? `(${scalar.text})` : scalar.text;
  scope.names.set(name, { kind: "number", scalar: { ...scalar, text }, span });
}

/** Whether an argument is a size, and not another number. */
function isSize(state: Elaboration, { e, from }: WrittenArgument): boolean {
  try {
    sizeOf({ ...state, report: () => undefined }, e, from);
    return true;
  } catch (error) {
    if (!(error instanceof Abandoned)) throw error;
    return false;
  }
}

/** A dim may stand in the scope already, as an axis that the header names: then it gets its size. */
function bindDim(state: Elaboration, { name, span }: Ident, { e, from }: WrittenArgument, scope: Scope): void {
  const size = sizeOf(state, e, from);
  const entity = scope.names.get(name);
  if (entity?.kind !== "dim") {
    scope.names.set(name, { kind: "dim", axis: { name, size }, span });
    return;
  }
  const { axis } = entity;
  if (!unify(axis.size, size))
    fail(state, "MHC203", e.span, `\`${name}\` is ${describe(size)} here, and ${describe(axis.size)} elsewhere`);
}

function bindManifold(state: Elaboration, { name, span }: Ident, { e, from }: WrittenArgument, scope: Scope): void {
  const entity = lookupBare(from, e);
  if (entity?.kind === "poison") return void scope.names.set(name, entity);
  if (entity?.kind !== "manifold")
    return unknownName(state, {
      code: "MHC301",
      span: e.span,
      message: `\`${name}\` takes a manifold of this model`,
      name: e.kind === "path" ? e.parts[0].name : "",
      candidates: namesIn(from).filter((candidate) => lookup(from, candidate)?.kind === "manifold"),
    });
  scope.names.set(name, { ...entity, span });
}

/** A block as a value: its name, perhaps with its configuration. */
export function blockValue(state: Elaboration, e: Expr, scope: Scope): BlockValue {
  if (e.kind !== "path" && e.kind !== "call") return fail(state, "MHC210", e.span, "a block is expected here");
  const callee = calleeOf(e);
  const name = dotted(callee);
  const config = argumentsOf(e);
  const entity = lookupBare(scope, callee);
  if (entity?.kind === "block") {
    if (config.length) fail(state, "MHC207", e.span, `\`${name}\` has its configuration already`);
    return entity.block;
  }
  const blocks = blocksIn(state, callee.span.file);
  const decl = blocks.get(name);
  if (!decl) refuseNotTaken(state, name, callee.span);
  if (!decl)
    return unknownName(state, {
      code: "MHC201",
      span: callee.span,
      message: `there is no block \`${name}\``,
      name,
      candidates: blocks.keys(),
    });
  const { given, beside } = besideFirst(state, e, decl);
  return { decl, config: given, beside, scope, path: null, wrapped: false, span: e.span };
}

/**
 * The arguments of a block as a value: its configuration, and what is given by name of its last list beside its first
 * tensor, which is what goes through it: `memory` of `cross(heads, memory = m)`.
 */
function besideFirst(
  state: Elaboration,
  e: Path | Call,
  decl: Block,
): { readonly given: readonly Arg[]; readonly beside: readonly Arg[] } {
  const { config, data } = decl;
  const args = argumentsOf(e);
  const formalOf = (arg: Arg): Formal | undefined =>
    arg.name && !config.some((formal) => formal.name.name === arg.name?.name)
      ? data.find((formal) => formal.name.name === arg.name?.name)
      : undefined;
  const through = data.find(({ axes }) => axes !== null);
  const second = e.kind === "call" ? e.lists[1] : undefined;
  if (second)
    fail(
      state,
      "MHC207",
      e.span,
      `a block that something goes through has one list of arguments, and this is a second`,
      {
        fix: byName(besides(decl)) ?? "take it out",
      },
    );
  const taken = args.find((arg) => through && formalOf(arg) === through);
  if (taken)
    fail(state, "MHC207", taken.span, `\`${through?.name.name}\` is what goes through \`${decl.name.name}\``, {
      fix: byName(besides(decl)) ?? "take it out",
    });
  return { given: args.filter((arg) => !formalOf(arg)), beside: args.filter((arg) => formalOf(arg)) };
}

/** A tensor of a header with the value that is passed for it, on its axes. */
interface BoundTensor {
  readonly formal: Tensor;
  readonly value: Typed;
}

/** Binds the last list of a block in the scope of its instance: tensors first, since they bring the sizes. */
export function bindData(state: Elaboration, use: BlockUse, scope: Scope): readonly BoundTensor[] {
  const { decl } = use.block;
  const { beside, scope: place } = use.block;
  const args = [...use.data, ...beside.map((arg): DataArg => ({ kind: "written", arg, scope: place }))].map((arg) =>
    arg.kind === "written" ? { arg, name: arg.arg.name, span: arg.arg.span } : { arg, name: null, span: arg.span },
  );
  const pairs = pair(state, decl.data, args, {
    block: decl.name.name,
    span: use.span,
    beside: use.block.path === null ? [] : besides(decl),
  });
  const tensors: BoundTensor[] = [];
  const tensorsFirst = [...decl.data].sort((a, b) => Number(b.axes !== null) - Number(a.axes !== null));
  for (const formal of tensorsFirst) {
    const arg = pairs.get(formal)?.arg ?? null;
    const { name, span } = formal.name;
    if (arg?.kind === "block") {
      if (formal.axes || plainKind(state, formal, decl, "data") !== "block")
        fail(state, "MHC210", arg.span, `\`${name}\` does not take a block`);
      scope.names.set(name, { kind: "block", block: arg.block, span });
    } else if (formal.axes) {
      tensors.push(bindTensor(state, use, { name: formal.name, axes: formal.axes }, arg, scope));
    } else {
      const kind = plainKind(state, formal, decl, "data");
      const e = arg?.kind === "written" ? arg.arg.value : formal.default;
      if (!e) return fail(state, "MHC210", use.span, `\`${decl.name.name}\` takes a ${kind} as \`${name}\``);
      const written = { e, from: arg?.kind === "written" ? arg.scope : scope };
      bindPlain(noting(state, decl, formal), formal.name, kind, written, scope);
    }
  }
  return tensors;
}

/** A formal that is a tensor: `y[t, w]`. */
interface TensorFormal {
  readonly name: Ident;
  readonly axes: readonly Ident[];
}

function bindTensor(
  state: Elaboration,
  { block: { decl }, span }: BlockUse,
  { name, axes: idents }: TensorFormal,
  arg: Exclude<DataArg, { readonly kind: "block" }> | null,
  scope: Scope,
): BoundTensor {
  const block = decl.name.name;
  const axes = idents.map((ident) => {
    const entity = scope.names.get(ident.name);
    return entity?.kind === "dim" ? entity.axis : fail(state, "MHC205", ident.span, `\`${ident.name}\` is not an axis`);
  });
  if (!arg) return fail(state, "MHC207", span, `\`${block}\` needs the tensor \`${name.name}\``);
  const raw = arg.kind === "tensor" ? arg.value : expression(state, arg.arg.value, arg.scope, axes);
  const value = onAxes(state, raw, axes, { block, formal: name.name }, arg.kind === "tensor" ? arg.span : arg.arg.span);
  const { dtype, range } = kindOf(value);
  const formal: Tensor = { name: name.name, kind: "formal", axes, dtype, range, span: name.span };
  scope.names.set(name.name, { kind: "tensor", tensor: formal, span: name.span });
  return { formal, value };
}

/** An argument brought onto the axes of its formal, by position. `place`: what messages call the formal. */
function onAxes(
  state: Elaboration,
  value: Typed,
  axes: readonly Axis[],
  place: { readonly block: string; readonly formal: string },
  span: Span,
): Typed {
  const carried = axesOf(value);
  if (carried.every((axis) => axes.includes(axis)) && (carried.length > 0 || axes.length === 0))
    return settle(value, axes, state.report);
  if (carried.length !== axes.length || carried.some((axis) => axes.includes(axis)))
    return fail(
      state,
      "MHC206",
      span,
      `\`${place.block}\` takes \`${place.formal}${listed(axes)}\`, and this has the axes ${listed(carried)}`,
      value.kind === "product" && carried.length > axes.length
        ? { fix: "a product that sums has a line of its own: `a[…] = …`, and `a` here" }
        : {},
    );
  for (const [i, axis] of carried.entries()) {
    const wanted = mustAt(axes, i);
    if (!unify(axis.size, wanted.size))
      fail(
        state,
        "MHC203",
        span,
        `axis \`${axis.name}\` is ${describe(axis.size)}, and \`${wanted.name}\` of \`${place.block}\` is ` +
          describe(wanted.size),
      );
  }
  return { kind: "relabel", a: settle(value, carried, state.report), from: carried, axes, span };
}
