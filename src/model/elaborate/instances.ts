/**
 * Instances of blocks. A block is elaborated anew for every use, with its own parameters and its own axes; sizes flow
 * in from the arguments (by position) and from what the place of the result expects, by unification. A connection is a
 * block that takes a block: `f(z)` instantiates the block that was passed.
 */
import type { Arg, Block, Formal, Ident } from "../../../grammar/ast.js";
import type { Span } from "../../diagnostics/span.js";
import { describe, unify, variable } from "../../graph/sizes.js";
import { axisLike, unknownAxis } from "./axes.js";
import { settle } from "./einstein.js";
import { expression, expressionOn, kindOf, unlabelled } from "./expressions.js";
import { membershipOf } from "./membership.js";
import { scalarOf, sizeOf, startOf } from "./numbers.js";
import {
  childScope,
  define,
  fail,
  lookup,
  namesIn,
  unknownName,
  type BlockValue,
  type DataArg,
  type Elaboration,
  type Expected,
  type Scope,
} from "./scope.js";
import { nearest } from "../../diagnostics/suggest.js";
import { axesOf, type Axis, type Instance, type Parameter, type Tensor, type Typed } from "../typed.js";

/** Blocks inside one another: deeper ones would end in the host's stack. */
const MOST_NESTED = 64;

/** What a formal takes. */
type FormalKind = "tensor" | "dim" | "block" | "manifold" | "start" | "number";

function formalKind(state: Elaboration, formal: Formal, decl: Block, last: boolean): FormalKind {
  if (formal.axes) return "tensor";
  if (!formal.type) return decl.kind === "connection" && last ? "block" : "dim";
  const type = formal.type.name;
  if (type === "dim" || type === "block" || type === "manifold" || type === "start" || type === "number") return type;
  return unknownName(
    state,
    "MHC210",
    formal.type.span,
    `\`${type}\` is not a kind of argument: dim, block, manifold, start or number`,
    type,
    ["dim", "block", "manifold", "start", "number"],
  );
}

/** Pairs arguments with formals: positional first, then by name. */
function pair<T extends { readonly name: Ident | null; readonly span: Span }>(
  state: Elaboration,
  formals: readonly Formal[],
  args: readonly T[],
  what: string,
  span: Span,
): Map<Formal, T> {
  const pairs = new Map<Formal, T>();
  let next = 0;
  for (const arg of args) {
    const formal = arg.name ? formals.find(({ name }) => name.name === arg.name!.name) : formals[next++];
    if (!formal) {
      if (arg.name)
        return unknownName(
          state,
          "MHC207",
          arg.name.span,
          `\`${what}\` has no argument \`${arg.name.name}\``,
          arg.name.name,
          formals.map(({ name }) => name.name),
        );
      return fail(
        state,
        "MHC207",
        arg.span,
        `\`${what}\` takes ${formals.length} argument${formals.length === 1 ? "" : "s"} here, and this is one more`,
      );
    }
    if (pairs.has(formal)) return fail(state, "MHC207", arg.span, `\`${formal.name.name}\` is given twice`);
    pairs.set(formal, arg);
  }
  const missing = formals.find((formal) => !pairs.has(formal) && !formal.default);
  if (missing)
    return fail(state, "MHC207", span, `\`${what}\` needs \`${missing.name.name}\``, {
      notes: [{ message: "it is declared here", span: missing.span }],
    });
  return pairs;
}

export function instantiate(
  state: Elaboration,
  block: BlockValue,
  data: readonly DataArg[],
  caller: Scope,
  expected: Expected,
  as: Ident | null,
  span: Span,
): Typed {
  const { decl } = block;
  const name = decl.name.name;
  if (caller.within.includes(name))
    return fail(
      state,
      "MHC218",
      span,
      `\`${name}\` contains itself: ${[...caller.within.slice(caller.within.indexOf(name)), name].join(" -> ")}`,
    );
  if (caller.within.length >= MOST_NESTED) {
    return fail(state, "MHC223", span, `\`${name}\` stands inside ${MOST_NESTED} blocks that use each other`, {
      fix: "name a part of them on the page: `h = …`",
    });
  }
  const own = as?.name ?? name;
  const path = block.path ?? caller.prefix + own;
  const before = block.path === null ? caller.instances.get(own) : undefined;
  const parameters = state.parameters.length;
  if (block.path === null && !before) caller.instances.set(own, span);
  state.uses.push({ block: name, span: block.span });
  try {
    const made = build(state, block, data, caller, expected, path, span);
    if (before && state.parameters.length > parameters) {
      return fail(
        state,
        "MHC211",
        span,
        `\`${own}\` is used a second time here, and its parameters need a name of their own`,
        {
          notes: [{ message: "the first use", span: before }],
          fix: `write \`${name}(…) as another\``,
        },
      );
    }
    return made;
  } finally {
    state.uses.pop();
  }
}

function build(
  state: Elaboration,
  block: BlockValue,
  data: readonly DataArg[],
  caller: Scope,
  expected: Expected,
  path: string,
  span: Span,
): Typed {
  const { decl } = block;
  const name = decl.name.name;
  const scope = childScope(null, `${path}.`, [...caller.within, name]);
  bindConfig(state, block, scope, span);

  // Axes that the header, parameters and the result name without declaring them are variables, to be found by
  // unification.
  const declared = new Set(decl.items.flatMap((item) => (item.kind === "dim" ? [item.name.name] : [])));
  const implicit = (ident: Ident): void => {
    if (scope.names.has(ident.name) || declared.has(ident.name)) return;
    const axis: Axis = { name: ident.name, size: variable(ident.name) };
    scope.names.set(ident.name, { kind: "dim", axis, span: ident.span });
    const guess = nearest(ident.name, [
      ...declared,
      ...[...scope.names.keys()].filter((other) => other !== ident.name),
    ]);
    state.pending = [
      ...state.pending,
      {
        size: axis.size,
        span,
        what:
          `the size of axis \`${ident.name}\` of \`${name}\` cannot be known from this ` +
          `use${guess ? ` (is \`${guess}\` meant?)` : ""}`,
      },
    ];
  };
  for (const formal of decl.data) {
    formal.axes?.forEach(implicit);
    if (formalKind(state, formal, decl, true) === "dim") implicit(formal.name);
  }
  decl.result.axes?.forEach(implicit);
  for (const item of decl.items) if (item.kind === "param") item.axes.forEach(implicit);

  const axisOf = (ident: Ident, value?: Arg["value"]): Axis => {
    const entity = lookup(scope, ident.name);
    if (entity?.kind === "dim") return entity.axis;
    if (entity) return fail(state, "MHC205", ident.span, `\`${ident.name}\` is not an axis`);
    return unknownAxis(state, ident.name, ident.span, scope, value ? axisLike(value, ident.name, scope) : null);
  };

  // A result axis that is a declared dim is unified when that dim is known; the others now.
  const resultNow = decl.result.axes?.every((ident) => lookup(scope, ident.name)?.kind === "dim")
    ? decl.result.axes.map((ident) => axisOf(ident))
    : null;
  // Tensors have their sizes, so they are bound before: what does not fit then is the result, and is said of it.
  const plain = data.every((given) => given.kind !== "written" || isTensor(given.arg.value, given.scope));
  const matched = (axes: readonly Axis[] | null): void => {
    if (axes && expected && axes.length === expected.length)
      axes.forEach((axis, i) => matchResult(state, decl, axis, expected[i]!, span));
  };
  if (!plain) matched(resultNow);

  const formals: Tensor[] = [];
  const args: Typed[] = [];
  bindData(state, decl, data, scope, span, (formal, value) => {
    formals.push(formal);
    args.push(value);
  });
  if (plain) matched(resultNow);

  const body: { tensor: Tensor; value: Typed }[] = [];
  const parameters: Parameter[] = [];
  for (const item of decl.items) {
    switch (item.kind) {
      case "dim": {
        const size = sizeOf(state, item.value, scope);
        define(state, scope, item.name.name, {
          kind: "dim",
          axis: { name: item.name.name, size },
          span: item.name.span,
        });
        break;
      }
      case "param": {
        const tensor: Tensor = {
          name: item.name.name,
          kind: "parameter",
          axes: item.axes.map((ident) => axisOf(ident)),
          dtype: "f32",
          range: null,
          span: item.name.span,
        };
        const parameter = {
          tensor,
          name: `${path}.${item.name.name}`,
          start: startOf(state, item.start, scope),
          on: item.on && membershipOf(state, tensor, item.each, item.on, scope),
          doc: item.doc,
        };
        parameters.push(parameter);
        state.parameters.push(parameter);
        define(state, scope, item.name.name, { kind: "tensor", tensor, span: item.name.span });
        break;
      }
      case "let": {
        const wanted = item.axes?.map((ident) => axisOf(ident, item.value)) ?? null;
        const value = wanted ? expressionOn(state, item.value, scope, wanted) : unlabelled(state, item.value, scope);
        const tensor: Tensor = {
          name: item.name.name,
          kind: "let",
          axes: wanted ?? axesOf(value),
          dtype: "f32",
          range: null,
          span: item.name.span,
        };
        body.push({ tensor, value });
        define(state, scope, item.name.name, { kind: "tensor", tensor, span: item.name.span });
        break;
      }
      default:
        item satisfies never;
    }
  }

  const wanted = decl.result.axes?.map((ident) => axisOf(ident)) ?? null;
  if (!resultNow) matched(wanted);
  const result = wanted
    ? expressionOn(state, decl.result.value, scope, wanted)
    : unlabelled(state, decl.result.value, scope);
  const axes = wanted ?? axesOf(result);
  const instance: Instance = { block: name, path, wrapped: block.wrapped, parameters, formals, body, result, axes };
  if (!expected)
    return { kind: "call", instance, args, axes: axes.map(({ name: own, size }) => ({ name: own, size })), span };
  if (axes.length !== expected.length) {
    return fail(
      state,
      "MHC206",
      span,
      `\`${name}\` gives ${axes.length} ${axes.length === 1 ? "axis" : "axes"}, ` +
        `[${axes.map((axis) => axis.name).join(", ")}], and ${expected.length} are expected, ` +
        `[${expected.map((axis) => axis.name).join(", ")}]`,
      {
        notes: [{ message: "its result is declared here", span: decl.result.span }],
      },
    );
  }
  return { kind: "call", instance, args, axes: expected, span };
}

function matchResult(state: Elaboration, { name, result }: Block, own: Axis, wanted: Axis, span: Span): void {
  const before = [describe(own.size), describe(wanted.size)];
  if (unify(own.size, wanted.size)) return;
  const declared = { ...result.span, end: result.axes?.at(-1)?.span.end ?? result.span.end };
  fail(
    state,
    "MHC203",
    span,
    `\`${name.name}\` gives \`${own.name}\` of size ${before[0]}, and \`${wanted.name}\` here is ${before[1]}`,
    { notes: [{ message: "its result is declared here", span: declared }] },
  );
}

/** Whether an argument is a tensor by its name. */
const isTensor = (e: Arg["value"], scope: Scope): boolean =>
  (e.kind === "path" || e.kind === "index") &&
  lookup(scope, (e.kind === "path" ? e : e.base).parts[0]!.name)?.kind === "tensor";

function bindConfig(state: Elaboration, block: BlockValue, scope: Scope, span: Span): void {
  const { decl } = block;
  const pairs = pair(state, decl.config, block.config, decl.name.name, span);
  for (const formal of decl.config) {
    const arg = pairs.get(formal);
    const kind = formalKind(state, formal, decl, false);
    if (kind === "tensor") fail(state, "MHC210", formal.span, "tensors go in the last list of a block");
    bindPlain(state, formal, kind, arg?.value ?? formal.default!, arg ? block.scope : scope, scope);
  }
}

/** Binds a formal that is not a tensor. */
function bindPlain(
  state: Elaboration,
  formal: Formal,
  kind: FormalKind,
  e: Arg["value"],
  from: Scope,
  scope: Scope,
): void {
  const name = formal.name.name;
  const span = formal.name.span;
  switch (kind) {
    case "dim": {
      const size = sizeOf(state, e, from);
      const there = scope.names.get(name);
      if (there?.kind === "dim") {
        if (!unify(there.axis.size, size))
          fail(
            state,
            "MHC203",
            e.span,
            `\`${name}\` is ${describe(size)} here, and ${describe(there.axis.size)} elsewhere`,
          );
      } else scope.names.set(name, { kind: "dim", axis: { name, size }, span });
      return;
    }
    case "number":
      scope.names.set(name, { kind: "number", scalar: scalarOf(state, e, from), span });
      return;
    case "start":
      scope.names.set(name, { kind: "start", start: startOf(state, e, from), span });
      return;
    case "manifold": {
      const found = e.kind === "path" && e.parts.length === 1 ? lookup(from, e.parts[0]!.name) : null;
      if (found?.kind === "poison") return void scope.names.set(name, found);
      if (found?.kind !== "manifold") {
        const manifolds = namesIn(from).filter((candidate) => lookup(from, candidate)?.kind === "manifold");
        const written = e.kind === "path" ? e.parts[0]!.name : "";
        return unknownName(
          state,
          "MHC301",
          e.span,
          `\`${formal.name.name}\` takes a manifold of this model`,
          written,
          manifolds,
        );
      }
      scope.names.set(name, { ...found, span });
      return;
    }
    case "block":
      scope.names.set(name, { kind: "block", block: blockValue(state, e, from), span });
      return;
    case "tensor":
      throw new Error("model: a tensor is bound elsewhere");
    default:
      kind satisfies never;
  }
}

/** A block as a value: its name, perhaps with its configuration. */
export function blockValue(state: Elaboration, e: Arg["value"], scope: Scope): BlockValue {
  if (e.kind !== "path" && e.kind !== "call") return fail(state, "MHC210", e.span, "a block is expected here");
  const callee = e.kind === "path" ? e : e.callee;
  const name = callee.parts.map((part) => part.name).join(".");
  const config = e.kind === "call" ? e.lists.flat() : [];
  const entity = callee.parts.length === 1 ? lookup(scope, name) : null;
  if (entity?.kind === "block") {
    if (config.length) fail(state, "MHC207", e.span, `\`${name}\` has its configuration already`);
    return entity.block;
  }
  const decl = state.blocks.get(name);
  if (!decl)
    return unknownName(state, "MHC201", callee.span, `there is no block \`${name}\``, name, state.blocks.keys());
  return { decl, config, scope, path: null, wrapped: false, span: e.span };
}

function bindData(
  state: Elaboration,
  decl: Block,
  data: readonly DataArg[],
  scope: Scope,
  span: Span,
  bound: (formal: Tensor, value: Typed) => void,
): void {
  const items = data.map((item) => ({
    item,
    name: item.kind === "written" ? item.arg.name : null,
    span: item.kind === "written" ? item.arg.span : item.span,
  }));
  const pairs = pair(state, decl.data, items, decl.name.name, span);
  const tensorFirst = [...decl.data].sort((a, b) => Number(b.axes !== null) - Number(a.axes !== null));
  for (const formal of tensorFirst) {
    const kind = formalKind(state, formal, decl, true);
    const given = pairs.get(formal)?.item ?? null;
    const name = formal.name.name;
    if (given?.kind === "block") {
      if (kind !== "block") fail(state, "MHC210", given.span, `\`${name}\` does not take a block`);
      scope.names.set(name, { kind: "block", block: given.block, span: formal.name.span });
      continue;
    }
    if (kind !== "tensor") {
      const e = given?.kind === "written" ? given.arg.value : formal.default;
      if (!e) return fail(state, "MHC210", span, `\`${decl.name.name}\` takes a ${kind} as \`${name}\``);
      bindPlain(state, formal, kind, e, given?.kind === "written" ? given.scope : scope, scope);
      continue;
    }
    const axes = formal.axes!.map((ident) => {
      const entity = scope.names.get(ident.name);
      return entity?.kind === "dim"
        ? entity.axis
        : fail(state, "MHC205", ident.span, `\`${ident.name}\` is not an axis`);
    });
    if (!given) return fail(state, "MHC207", span, `\`${decl.name.name}\` needs the tensor \`${name}\``);
    const value =
      given.kind === "tensor"
        ? onAxes(state, given.value, axes, decl, name, given.span)
        : onAxes(state, expression(state, given.arg.value, given.scope, axes), axes, decl, name, given.arg.span);
    const { dtype, range } = kindOf(value);
    const tensor: Tensor = { name, kind: "formal", axes, dtype, range, span: formal.name.span };
    scope.names.set(name, { kind: "tensor", tensor, span: formal.name.span });
    bound(tensor, value);
  }
}

/** An argument brought onto the axes of its formal, by position. */
function onAxes(
  state: Elaboration,
  value: Typed,
  axes: readonly Axis[],
  decl: Block,
  formal: string,
  span: Span,
): Typed {
  const own = axesOf(value);
  if (own.every((axis) => axes.includes(axis)) && (own.length > 0 || axes.length === 0))
    return settle(value, axes, state.report);
  if (own.length !== axes.length || own.some((axis) => axes.includes(axis))) {
    return fail(
      state,
      "MHC206",
      span,
      `\`${decl.name.name}\` takes \`${formal}[${axes.map((axis) => axis.name).join(", ")}]\`, and this has ` +
        `the axes [${own.map((axis) => axis.name).join(", ")}]`,
    );
  }
  own.forEach((axis, i) => {
    const before = [describe(axis.size), describe(axes[i]!.size)];
    if (!unify(axis.size, axes[i]!.size))
      fail(
        state,
        "MHC203",
        span,
        `axis \`${axis.name}\` is ${before[0]}, and \`${axes[i]!.name}\` of \`${decl.name.name}\` is ${before[1]}`,
      );
  });
  return { kind: "relabel", a: settle(value, own, state.report), from: own, axes, span };
}
