/**
 * What a page computes: definitions, new values of streams, layers (`repeat`) and what only some layers have (`if`). A
 * name of a body means nothing outside of it; what goes from layer to layer is a stream.
 */
import type { Apply, Expr, Ident, If, Let, PageStatement, Path, Repeat } from "../../../grammar/ast.js";
import type { Span } from "../../diagnostics/span.js";
import { listed } from "../quantities.js";
import type { Around, Branch } from "../deferred.js";
import type { DeferredNumber, Statement, Tensor } from "../typed.js";
import { blockValue } from "./arguments.js";
import { axisLike, axisNamed } from "./axes.js";
import { conditionOf, isBraced } from "./choices.js";
import { definition, valueOn } from "./definitions.js";
import { attempt, type ModelDraft } from "./draft.js";
import { settle } from "./einstein.js";
import { sizeOf } from "./numbers.js";
import { noteDefinition, noteNames, refuseBetween, tensorOf } from "./recurrences.js";
import {
  childScope,
  define,
  defineTensor,
  fail,
  giveUp,
  lookup,
  namesIn,
  refuseBelow,
  unknownName,
  type BodyKind,
  type DataArg,
  type Elaboration,
  type Entity,
  type Scope,
} from "./scope.js";
import { bareName } from "./syntax.js";
import { kindOf } from "./tensors.js";

/** `h[t, w] = …`: a definition, or the new value of a stream. */
export function readLet(draft: ModelDraft, item: Let, scope: Scope): Statement {
  const { state } = draft;
  const before = lookup(scope, item.name.name);
  const isHere = scope.names.has(item.name.name);
  if (before?.kind === "poison" && !isHere) return giveUp();
  if (before?.kind === "tensor" && before.tensor.kind === "stream")
    return readUpdate(state, item, before.tensor, scope);
  if (before && !isHere) return refuseHidden(state, item.name, before, scope.body ?? "repeat");
  const named = item.axes?.map((ident) => axisNamed(state, ident, scope, axisLike(item.value, ident.name, scope)));
  const { value, axes } = definition(state, item.value, scope, named ?? null);
  const tensor = tensorOf(scope.defining, item, axes, kindOf(value));
  defineTensor(state, scope, tensor);
  return { kind: "let", ...noteDefinition(state, scope.defining, tensor, value) };
}

/** `x = …` where `x` is a stream. Its axes may be named, and are then those that it was declared with. */
function readUpdate(state: Elaboration, item: Let, stream: Tensor, scope: Scope): Statement {
  const named = item.axes?.map((ident) => axisNamed(state, ident, scope));
  if (named && (named.length !== stream.axes.length || named.some((axis, i) => axis !== stream.axes[i])))
    fail(
      state,
      "MHC206",
      item.name.span,
      `the stream \`${stream.name}\` has the axes ${listed(stream.axes)}, and its new value here ${listed(named)}`,
      {
        notes: [{ message: "it is declared here", span: stream.span }],
        fix: `write \`${stream.name}${listed(stream.axes)} = …\`, or \`${stream.name} = …\``,
      },
    );
  const value = valueOn(state, item.value, scope, stream.axes);
  return { kind: "update", stream, value, path: scope.prefix.replace(/\.$/, ""), span: item.span };
}

/** A name of a body that hides one outside of it would be thrown away with the layer. */
function refuseHidden(state: Elaboration, { name, span }: Ident, before: Entity, body: BodyKind): never {
  const what =
    before.kind === "tensor"
      ? `\`${name}\` is defined outside of this \`${body}\`, and only a stream changes ` +
        (body === "repeat" ? "from layer to layer" : "in it")
      : `\`${name}\` has a meaning outside of this \`${body}\` already`;
  return fail(state, "MHC202", span, what, {
    notes: [{ message: "it is defined here first", span: before.span }],
    fix:
      before.kind === "tensor" && before.tensor.kind === "let"
        ? `declare it with \`stream ${name}[…] = …\`, or give this one another name`
        : "give this one another name",
  });
}

/** `x through attention(heads) via mhc(Mixing) as first`: a connection, which takes the stream and the block. */
export function readApply(draft: ModelDraft, item: Apply, scope: Scope): Statement {
  const { state } = draft;
  const stream = streamNamed(state, item.stream, scope);
  const wrapped = blockValue(state, item.block, scope);
  const residual: Path = { kind: "path", parts: [{ name: "residual", span: item.span }], span: item.span };
  const via = item.via ?? residual;
  const connection = blockValue(state, via, scope);
  if (connection.decl.kind !== "connection")
    fail(state, "MHC210", via.span, `\`${connection.decl.name.name}\` is a block, not a connection`, {
      notes: [{ message: "it is declared here", span: connection.decl.name.span }],
    });
  const block = wrapped.decl.name.name;
  const name = item.as?.name ?? block;
  const before = scope.instances.get(name);
  if (before)
    fail(
      state,
      "MHC211",
      item.as?.span ?? item.block.span,
      `\`${name}\` is used a second time here, and its parameters need a name of their own`,
      {
        notes: [{ message: "the first use", span: before }],
        fix: `write \`${item.stream.name} through ${block}(…) as another\``,
      },
    );
  scope.instances.set(name, item.span);
  const path = scope.prefix + name;
  const { axes } = stream;
  const data: readonly DataArg[] = [
    {
      kind: "tensor",
      value: { kind: "tensor", tensor: stream, axes, span: item.stream.span },
      span: item.stream.span,
    },
    { kind: "block", block: { ...wrapped, path, wrapped: true }, span: item.block.span },
  ];
  const value = state.readers.instantiate(state, {
    block: { ...connection, path: `${path}.${connection.decl.name.name}` },
    data,
    caller: childScope(scope, `${path}.`),
    expected: axes,
    as: null,
    span: item.span,
  });
  return { kind: "apply", stream, value: settle(value, axes, state.report), path };
}

function streamNamed(state: Elaboration, { name, span }: Ident, scope: Scope): Tensor {
  const entity = lookup(scope, name);
  if (entity?.kind === "poison") return giveUp();
  if (!entity) refuseBelow(state, scope, { name, span });
  if (!entity)
    return unknownName(state, {
      code: "MHC201",
      span,
      message: `there is no stream \`${name}\``,
      name,
      candidates: namesIn(scope),
    });
  if (entity.kind !== "tensor" || entity.tensor.kind !== "stream")
    return fail(state, "MHC210", span, `\`${name}\` is not a stream`, {
      notes: [{ message: "it is defined here", span: entity.span }],
      fix: `declare it with \`stream ${name}[…] = …\``,
    });
  return entity.tensor;
}

/** `repeat layers { … }`: its body is read once, for all layers. */
export function readRepeat(draft: ModelDraft, item: Repeat, scope: Scope): Statement {
  const { state } = draft;
  const { span } = item.count;
  const count = sizeOf(state, item.count, scope);
  const name = nameOfRepeat(state, item, scope);
  const { shared } = item;
  const inner: Scope = { ...childScope(scope, `${scope.prefix}${name}.${shared ? "" : "*."}`), body: "repeat" };
  const depth = state.around.filter(({ kind }) => kind === "repeat").length;
  if (item.as) defineLayerNumber(state, item.as, depth, inner);
  const body = readBody(draft, item.body, inner, { kind: "repeat", name, count, shared });
  return { kind: "repeat", name, count, shared, as: item.as?.name ?? null, body, span };
}

/**
 * What the layers of a `repeat` are called in paths: as its dim, or, where another one of that dim stands before it, as
 * the number of its layer.
 */
function nameOfRepeat(state: Elaboration, { count, as }: Repeat, scope: Scope): string {
  const name = bareName(count) ?? "repeat";
  const before = scope.instances.get(name);
  const another = before && as ? as.name : name;
  const taken = scope.instances.get(another);
  if (taken) refuseSecondRepeat(state, { name: another, span: as?.span ?? count.span }, count, taken);
  scope.instances.set(another, count.span);
  return another;
}

function refuseSecondRepeat(state: Elaboration, { name, span }: Ident, count: Expr, before: Span): never {
  const dim = bareName(count);
  return fail(
    state,
    "MHC211",
    span,
    `the layers of this \`repeat\` would be called \`${name}\` as those of another, and share their parameters`,
    {
      notes: [{ message: "the first use", span: before }],
      fix:
        `name the number of its layers, \`repeat ${dim ?? "…"} as other { … }\`: then its parameters are called ` +
        "`other.0.…`, too",
    },
  );
}

/** `l` of `repeat layers as l`: the number of the layer, from 0. */
function defineLayerNumber(state: Elaboration, ident: Ident, depth: number, inner: Scope): void {
  const { name, span } = ident;
  const before = inner.parent && lookup(inner.parent, name);
  if (before) refuseHidden(state, ident, before, "repeat");
  const value: DeferredNumber["value"] = (layers) => layers?.[depth] ?? Number.NaN;
  define(state, inner, name, { kind: "number", scalar: { text: name, value, depths: [depth] }, span });
}

/** The statements of a body. Its names mean nothing after it. */
function readBody(draft: ModelDraft, items: readonly PageStatement[], inner: Scope, around: Around): Statement[] {
  const { state } = draft;
  const { parent, body: kind } = inner;
  const body: Statement[] = [];
  noteNames(inner.defining, items);
  state.around.push(around);
  for (const item of items) {
    const ident = item.kind === "let" ? item.name : null;
    const statement = attempt(draft, ident, () => readStatement(draft, item, inner), inner);
    if (statement) body.push(statement);
  }
  state.around.pop();
  for (const [name, ended] of inner.ended) parent?.ended.set(name, ended);
  if (kind) for (const [name, { span }] of inner.names) parent?.ended.set(name, { ...span, body: kind });
  return body;
}

/** `if l % 4 == 3 { … } else { … }`: both branches are read, and a layer has one of them. */
function readIf(draft: ModelDraft, item: If<PageStatement>, scope: Scope): Statement {
  const { state } = draft;
  const condition = conditionOf(state, item.condition, scope);
  const branch = (taken: boolean): Branch => ({ kind: "branch", condition, taken });
  // Instances of both branches have names of their own: the paths of a page say which is meant.
  const inner = (): Scope => ({ ...childScope(scope, scope.prefix), body: "if", instances: scope.instances });
  const { otherwise } = item;
  const others = !otherwise ? [] : isBraced(otherwise) ? otherwise.items : [otherwise];
  return {
    kind: "if",
    condition,
    then: readBody(draft, item.then.items, inner(), branch(true)),
    otherwise: readBody(draft, others, inner(), branch(false)),
    span: item.condition.span,
  };
}

/** A statement of the page, or of a body. */
export function readStatement(draft: ModelDraft, item: PageStatement, scope: Scope): Statement {
  if (item.kind !== "let") refuseBetween(draft.state, scope.defining, item.span);
  switch (item.kind) {
    case "let":
      return readLet(draft, item, scope);
    case "apply":
      return readApply(draft, item, scope);
    case "repeat":
      return readRepeat(draft, item, scope);
    case "if":
      return readIf(draft, item, scope);
    default:
      return item satisfies never;
  }
}
