/**
 * Instances of blocks. A block is elaborated anew for every use, with its own parameters and its own axes; sizes flow
 * in from the arguments (by position) and from what the place of the result expects, by unification. A connection is a
 * block that takes a block: `f(z)` instantiates the block that was passed.
 */
import type { Block, BlockItem, Expr, Ident, If, Let, ParamDecl, TermDecl } from "../../../grammar/ast.js";
import { mustAt } from "../../../runtime/lookup.js";
import type { Span } from "../../diagnostics/span.js";
import { nearest } from "../../diagnostics/suggest.js";
import { describe, unify, variable } from "../../graph/sizes.js";
import { listed } from "../quantities.js";
import { isConditional } from "../deferred.js";
import {
  axesOf,
  type Axis,
  type BlockInstance,
  type Parameter,
  type StartValue,
  type Tensor,
  type Typed,
} from "../typed.js";
import { bindConfig, bindData, plainKind } from "./arguments.js";
import { axisLike, unknownAxis } from "./axes.js";
import { chosenItems, dimsIn } from "./choices.js";
import { definition, numberOn } from "./definitions.js";
import { membershipOf, warnOfStart } from "./membership.js";
import { scalarOf, sizeOf, startOf } from "./numbers.js";
import { noteDefinition, noteNames, refuseBetween, tensorOf } from "./recurrences.js";
import {
  childScope,
  define,
  defineTensor,
  expression,
  fail,
  floatTensor,
  lookup,
  type BlockUse,
  type Elaboration,
  type Scope,
} from "./scope.js";
import { kindOf } from "./tensors.js";

/** Blocks inside one another: deeper ones would end in the host's stack. */
const MOST_NESTED = 64;

/** Makes an instance of a block. Two uses under one name may be one only where neither has parameters. */
export function instantiate(state: Elaboration, use: BlockUse): Typed {
  const { block, caller, as, span } = use;
  if (block.anything) return anyResult(state, use);
  const name = block.decl.name.name;
  if (caller.within.includes(name))
    return fail(
      state,
      "MHC218",
      span,
      `\`${name}\` contains itself: ${[...caller.within.slice(caller.within.indexOf(name)), name].join(" -> ")}`,
    );
  if (caller.within.length >= MOST_NESTED)
    return fail(state, "MHC223", span, `\`${name}\` stands inside ${MOST_NESTED} blocks that use each other`, {
      fix: "name a part of them on the page: `h = …`",
    });
  const label = as?.name ?? name;
  const path = block.path ?? caller.prefix + label;
  const before = block.path === null ? caller.instances.get(label) : undefined;
  const parameters = state.parameters.length;
  if (block.path === null && !before) caller.instances.set(label, span);
  state.uses.push({ block: name, span: block.span });
  try {
    const result = build(state, use, path);
    if (before && state.parameters.length > parameters)
      return fail(
        state,
        "MHC211",
        span,
        `\`${label}\` is used a second time here, and its parameters need a name of their own`,
        {
          notes: [{ message: "the first use", span: before }],
          fix: `write \`${name}(…) as another\``,
        },
      );
    return result;
  } finally {
    state.uses.pop();
  }
}

/** What a block makes of which nothing is known: what is expected, or something like its first argument. */
function anyResult(state: Elaboration, { block, data, expected, span }: BlockUse): Typed {
  const values = data.flatMap((arg) =>
    arg.kind === "written" ? expression(state, arg.arg.value, arg.scope, null) : arg.kind === "tensor" ? arg.value : [],
  );
  const axes = expected ?? (values[0] ? axesOf(values[0]) : []);
  return { kind: "tensor", tensor: floatTensor("let", block.decl.name, axes), axes, span };
}

/** An instance while its block is read. */
interface Building {
  readonly state: Elaboration;
  readonly use: BlockUse;
  readonly decl: Block;
  readonly path: string;
  /** The names of the block: those of its header and those that its items define. */
  readonly scope: Scope;
  readonly parameters: Parameter[];
  readonly body: BlockInstance["body"][number][];
  readonly losses: Tensor[];
}

function build(state: Elaboration, use: BlockUse, path: string): Typed {
  const { block, caller, span } = use;
  const { decl } = block;
  const scope = childScope(null, `${path}.`, [...caller.within, decl.name.name]);
  bindConfig(state, block, scope, span);
  const building: Building = { state, use, decl, path, scope, parameters: [], body: [], losses: [] };
  noteNames(scope.defining, decl.items);
  declareImplicitAxes(building);

  // Axes of the result are matched with the place now, unless one is a dim that the body of the block computes.
  const early = decl.result.axes?.every((ident) => lookup(scope, ident.name)?.kind === "dim")
    ? decl.result.axes.map((ident) => axisIn(building, ident))
    : null;
  // Where all arguments are names of tensors, their sizes are known, and they are bound before the result is matched:
  // if something does not fit then, it is the result, and the error says so.
  const isPlain = use.data.every((arg) => arg.kind !== "written" || isTensor(arg.arg.value, arg.scope));
  if (early && !isPlain) matchResult(building, early);
  const tensors = bindData(state, use, scope);
  if (early && isPlain) matchResult(building, early);

  for (const item of decl.items) readItem(building, item);

  const wanted = decl.result.axes?.map((ident) => axisIn(building, ident)) ?? null;
  if (!early && wanted) matchResult(building, wanted);
  const { value: result, axes } = definition(state, decl.result.value, scope, wanted);
  const instance: BlockInstance = {
    block: decl.name.name,
    path,
    wrapped: block.wrapped,
    parameters: building.parameters,
    formals: tensors.map(({ formal }) => formal),
    body: building.body,
    losses: building.losses,
    result,
    axes,
  };
  const args = tensors.map(({ value }) => value);
  return { kind: "call", instance, args, axes: resultAxes(building, axes), span };
}

/**
 * Axes that the header, parameters and the result name without declaring them are variables, to be found by
 * unification.
 */
function declareImplicitAxes(building: Building): void {
  const { state, decl } = building;
  const declared = dimsIn(decl.items);
  const declare = (ident: Ident): void => declareImplicit(building, ident, declared);
  for (const formal of decl.data) {
    if (formal.axes) formal.axes.forEach(declare);
    else if (plainKind(state, formal, decl, "data") === "dim") declare(formal.name);
  }
  decl.result.axes?.forEach(declare);
  for (const item of decl.items) if (item.kind === "param") item.axes.forEach(declare);
}

function declareImplicit(
  { state, use, decl, scope }: Building,
  { name, span: place }: Ident,
  declared: ReadonlySet<string>,
): void {
  if (scope.names.has(name) || declared.has(name)) return;
  const size = variable(name);
  scope.names.set(name, { kind: "dim", axis: { name, size }, span: place });
  const guess = nearest(name, [...declared, ...[...scope.names.keys()].filter((other) => other !== name)]);
  const hint = guess ? ` (is \`${guess}\` meant?)` : "";
  const what = `the size of axis \`${name}\` of \`${decl.name.name}\` cannot be known from this use${hint}`;
  // Of a block that one of the library uses, the page's own use is shown.
  const page = state.uses[0]?.span.file;
  const span = state.uses.findLast((other) => other.span.file === page)?.span ?? use.span;
  state.pending.push({ size, span, what });
}

/** An axis of the block by its name. `value`: where an expression may show what an undeclared one is like. */
function axisIn({ state, scope }: Building, ident: Ident, value?: Expr): Axis {
  const entity = lookup(scope, ident.name);
  if (entity?.kind === "dim") return entity.axis;
  if (entity) return fail(state, "MHC205", ident.span, `\`${ident.name}\` is not an axis`);
  return unknownAxis(state, ident, scope, value ? axisLike(value, ident.name, scope) : null);
}

/** Unifies the axes of the result with those that its place expects, where there are as many. */
function matchResult({ state, use, decl }: Building, axes: readonly Axis[]): void {
  const { expected, span } = use;
  if (expected?.length !== axes.length) return;
  const { result } = decl;
  for (const [i, axis] of axes.entries()) {
    const wanted = mustAt(expected, i);
    if (unify(axis.size, wanted.size)) continue;
    const declared = { ...result.span, end: result.axes?.at(-1)?.span.end ?? result.span.end };
    fail(
      state,
      "MHC203",
      span,
      `\`${decl.name.name}\` gives \`${axis.name}\` of size ${describe(axis.size)}, and \`${wanted.name}\` here is ` +
        describe(wanted.size),
      { notes: [{ message: "its result is declared here", span: declared }] },
    );
  }
}

/** The axes that the call has at its place: those that are expected, or, where nothing is, axes of its own. */
function resultAxes({ state, use, decl }: Building, axes: readonly Axis[]): readonly Axis[] {
  const { expected, span } = use;
  if (!expected) return axes.map(({ name, size }) => ({ name, size }));
  if (axes.length !== expected.length)
    return fail(
      state,
      "MHC206",
      span,
      `\`${decl.name.name}\` gives ${axes.length} ${axes.length === 1 ? "axis" : "axes"}, ${listed(axes)}, and ` +
        `${expected.length} are expected, ${listed(expected)}`,
      { notes: [{ message: "its result is declared here", span: decl.result.span }] },
    );
  return expected;
}

/** Whether an argument is a tensor by its name. */
const isTensor = (e: Expr, scope: Scope): boolean =>
  (e.kind === "path" || e.kind === "index") &&
  lookup(scope, (e.kind === "path" ? e : e.base).parts[0].name)?.kind === "tensor";

function readItem(building: Building, item: Block["items"][number]): void {
  const { state, scope } = building;
  switch (item.kind) {
    case "dim": {
      const { name, span } = item.name;
      const axis = { name, size: sizeOf(state, item.value, scope) };
      return define(state, scope, name, { kind: "dim", axis, span });
    }
    case "number": {
      const { name, span } = item.name;
      return define(state, scope, name, { kind: "number", scalar: scalarOf(state, item.value, scope), span });
    }
    case "if":
      return readChosen(building, item);
    case "param":
      return readParameter(building, item);
    case "let":
      return readLet(building, item);
    case "allow":
      return;
    case "term":
      return readLoss(building, item);
    default:
      item satisfies never;
  }
}

function readParameter(building: Building, item: ParamDecl): void {
  const { state, scope, path } = building;
  const axes = item.axes.map((ident) => axisIn(building, ident));
  const tensor = floatTensor("parameter", item.name, axes);
  const start = startOf(state, item.start, scope);
  const parameter: Parameter = {
    tensor,
    name: `${path}.${item.name.name}`,
    start,
    on: item.on && membershipOf(state, tensor, { each: item.each, on: item.on }, scope),
    ...(item.frozen ? { frozen: true } : {}),
    doc: item.doc,
    ...aroundOf(state, start, item.start.span),
  };
  warnOfStart(state, parameter, start, item.start);
  building.parameters.push(parameter);
  state.parameters.push(parameter);
  defineTensor(state, scope, tensor);
}

/** A loss of the block: a definition that is a number for each example, and that the page knows by its name. */
function readLoss({ state, use, decl, scope, body, losses }: Building, item: TermDecl): void {
  refuseBetween(state, scope.defining, item.span);
  const value = numberOn(state, item.value, scope);
  const tensor = floatTensor("let", item.name, []);
  body.push({ tensor, value });
  losses.push(tensor);
  state.losses.push({ tensor, block: decl.name.name, doc: item.doc, use: use.span });
  defineTensor(state, scope, tensor);
}

/** Reads the branch of an `if` that this use of the block has; axes of its parameters are declared with it. */
function readChosen(building: Building, choice: If<BlockItem>): void {
  const declared = dimsIn(building.decl.items);
  const items = chosenItems(building.state, choice, building.scope);
  noteNames(building.scope.defining, items);
  for (const item of items) {
    if (item.kind === "param") item.axes.forEach((ident) => declareImplicit(building, ident, declared));
    readItem(building, item);
  }
}

/** What a parameter stands in; refuses one of which shared layers would want different starts. */
function aroundOf(state: Elaboration, start: StartValue, span: Span): Pick<Parameter, "around"> {
  const around = [...state.around];
  const repeats = around.filter((part) => part.kind === "repeat");
  const depths = start.args.flatMap((arg) => arg.depths ?? []);
  const shared = depths.map((depth) => repeats[depth]).find((repeat) => repeat?.shared);
  if (shared)
    fail(
      state,
      "MHC210",
      span,
      `this start depends on the layer, and all layers of \`repeat ${shared.name} shared\` have one parameter`,
    );
  return repeats.some((repeat) => repeat.shared) || isConditional(around) ? { around } : {};
}

function readLet(building: Building, item: Let): void {
  const { state, scope } = building;
  const wanted = item.axes?.map((ident) => axisIn(building, ident, item.value)) ?? null;
  const { value, axes } = definition(state, item.value, scope, wanted);
  const tensor = tensorOf(scope.defining, item, axes, kindOf(value));
  building.body.push(noteDefinition(state, scope.defining, tensor, value));
  defineTensor(state, scope, tensor);
}
