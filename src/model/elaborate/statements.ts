/**
 * What a page computes: definitions, new values of streams, and layers (`repeat`). A name of a `repeat` means nothing
 * outside of it; what goes from layer to layer is a stream.
 */
import type { Apply, Ident, Let, Path, Repeat } from "../../../grammar/ast.js";
import type { Span } from "../../diagnostics/span.js";
import { listed } from "../quantities.js";
import type { Statement, Tensor } from "../typed.js";
import { blockValue } from "./arguments.js";
import { axisLike, axisNamed } from "./axes.js";
import { definition, valueOn } from "./definitions.js";
import { attempt, type ModelDraft } from "./draft.js";
import { settle } from "./einstein.js";
import { sizeOf } from "./numbers.js";
import { noteDefinition, noteLets, refuseBetween, tensorOf } from "./recurrences.js";
import {
  childScope,
  defineTensor,
  fail,
  giveUp,
  lookup,
  namesIn,
  unknownName,
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
  if (before && !isHere) return refuseHidden(state, item.name, before);
  const named = item.axes?.map((ident) => axisNamed(state, ident, scope, axisLike(item.value, ident.name, scope)));
  const { value, axes } = definition(state, item.value, scope, named ?? null);
  const tensor = tensorOf(scope.body, item, axes, kindOf(value));
  defineTensor(state, scope, tensor);
  return { kind: "let", ...noteDefinition(state, scope.body, tensor, value) };
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

/** A name of a `repeat` that hides one outside of it would be thrown away with the layer. */
function refuseHidden(state: Elaboration, { name, span }: Ident, before: Entity): never {
  const what =
    before.kind === "tensor"
      ? `\`${name}\` is defined outside of this \`repeat\`, and only a stream changes from layer to layer`
      : `\`${name}\` has a meaning outside of this \`repeat\` already`;
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
  const name = bareName(item.count) ?? "repeat";
  const before = scope.instances.get(name);
  if (before) refuseSecondRepeat(state, name, span, before);
  scope.instances.set(name, span);
  const inner = childScope(scope, `${scope.prefix}${name}.*.`);
  const body: Statement[] = [];
  noteLets(inner.body, item.body);
  for (const part of item.body) {
    const ident = part.kind === "let" ? part.name : null;
    const statement = attempt(draft, ident, () => readStatement(draft, part, inner), inner);
    if (statement) body.push(statement);
  }
  for (const [ended, place] of inner.ended) scope.ended.set(ended, place);
  for (const [local, entity] of inner.names) scope.ended.set(local, entity.span);
  return { kind: "repeat", name, count, body, span };
}

function refuseSecondRepeat(state: Elaboration, name: string, span: Span, before: Span): never {
  return fail(
    state,
    "MHC211",
    span,
    `the layers of this \`repeat\` would be called \`${name}\` as those of another, and share their parameters`,
    {
      notes: [{ message: "the first use", span: before }],
      fix: "declare a dim for it, `dim others = 3`, and write `repeat others { … }`",
    },
  );
}

/** A statement of the page, or of a `repeat`. */
export function readStatement(draft: ModelDraft, item: Let | Apply | Repeat, scope: Scope): Statement {
  if (item.kind !== "let") refuseBetween(draft.state, scope.body, item.span);
  switch (item.kind) {
    case "let":
      return readLet(draft, item, scope);
    case "apply":
      return readApply(draft, item, scope);
    case "repeat":
      return readRepeat(draft, item, scope);
    default:
      return item satisfies never;
  }
}
