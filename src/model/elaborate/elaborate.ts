/**
 * A page to its typed model. Items are taken in order; what is wrong is reported at its place, its name is poisoned so
 * that it causes no second error, and the rest of the page is still checked. Nothing here knows the data: sizes that
 * come from it stay symbolic unless `facts` are given.
 */
import type {
  Apply,
  Block,
  Call,
  File,
  Ident,
  Let,
  ManifoldDecl,
  Model,
  Path,
  Repeat,
  Section,
} from "../../../grammar/ast.js";
import type { Diagnostic } from "../../diagnostics/diagnostic.js";
import { nearest } from "../../diagnostics/suggest.js";
import { diagnostic } from "../../diagnostics/table.js";
import { atom, resolve, valueOf, type Polynomial } from "../../graph/sizes.js";
import { sets, type ConstraintSet } from "../../manifolds/registry.js";
import { axisLike } from "./axes.js";
import { axisNamed, expressionOn, unlabelled } from "./expressions.js";
import { blockValue, instantiate } from "./instances.js";
import { claimOf } from "./claims.js";
import { clashesOf, mergedOf } from "./clashes.js";
import { COST_OVERRIDES, readCost } from "./cost.js";
import { gatesOf, layersIn } from "./shrinkable.js";
import { adaptationsOf } from "./adapt.js";
import { constrained, membershipOf, setOf } from "./membership.js";
import { isMixture, readMixture } from "./mixtures.js";
import { isPlain, scalarOf, sizeOf, startOf } from "./numbers.js";
import { listed } from "../quantities.js";
import { MOST_ELEMENTS, tooLarge } from "./limits.js";
import { inside } from "../paths.js";
import {
  Abandoned,
  childScope,
  define,
  fail,
  lookup,
  namesIn,
  unknownName,
  type Elaboration,
  type Entity,
  type Scope,
} from "./scope.js";
import { settle } from "./einstein.js";
import { readData, type Facts } from "./sources.js";
import { shared } from "./shares.js";
import { flagged, flagsOf, nameOf, valueOfFlag } from "./outside.js";
import { OVERRIDES, readTrain } from "./train.js";
import {
  axesOf,
  type Axis,
  type CostSettings,
  type DataSource,
  type Dim,
  type Parameter,
  type Statement,
  type Tensor,
  type Typed,
  type TypedModel,
} from "../typed.js";
import { merged, recordOf, valueAt } from "../../../runtime/records.js";

export type { Facts };

export interface ElaborateOptions {
  /** Dims and settings from outside: `width` -> `256`, `train.steps` -> `50`. */
  readonly set: Readonly<Record<string, string>>;
  /** Locations from outside, by the name of the data source. */
  readonly data: Readonly<Record<string, string>>;
  readonly facts: Facts | null;
  /** Sets of the user's own, beside those of the registry. */
  readonly sets?: readonly ConstraintSet[];
}

export interface Elaborated {
  readonly model: TypedModel | null;
  readonly diagnostics: readonly Diagnostic[];
}

/** Elaborates the one model of `files[0]`, with the blocks of all files. */
export function elaborate(files: readonly File[], options: ElaborateOptions): Elaborated {
  const diagnostics: Diagnostic[] = [];
  const blocks = new Map<string, Block>();
  const all = merged(sets, recordOf((options.sets ?? []).map((set) => [set.name, set])));
  const state: Elaboration = {
    instantiate,
    blocks,
    sets: all,
    parameters: [],
    report: (d) => report(d),
    uses: [],
    pending: [],
    incomplete: false,
  };
  const report = (found: Diagnostic): void => {
    // What goes wrong inside a block of the library is shown where this page uses it; the library's line is a note.
    const use =
      found.span.file === files[0]!.name
        ? undefined
        : [...state.uses].reverse().find(({ span }) => span.file === files[0]!.name);
    const d: Diagnostic = use
      ? {
          ...found,
          span: use.span,
          notes: [
            { message: `in \`${state.uses[state.uses.length - 1]!.block}\`, here`, span: found.span },
            ...found.notes,
          ],
        }
      : found;
    // One error a place is enough: a block that is wrong is instantiated many times.
    if (
      !diagnostics.some(
        (other) => other.span.file === d.span.file && other.span.start === d.span.start && other.message === d.message,
      )
    )
      diagnostics.push(d);
  };
  for (const file of [...files].reverse()) {
    for (const item of file.items)
      if (item.kind === "block" || item.kind === "connection") {
        const before = blocks.get(item.name.name);
        if (before && before.span.file === item.span.file) {
          report(
            diagnostic("MHC202", item.name.span, `\`${item.name.name}\` is defined twice`, {
              notes: [{ message: "it is defined here first", span: before.name.span }],
            }),
          );
        } else blocks.set(item.name.name, item);
      }
  }
  const models = files[0]!.items.filter((item): item is Model => item.kind === "model");
  if (models.length !== 1) {
    const span = models[1]?.name.span ?? { file: files[0]!.name, start: 0, end: 1 };
    report(
      diagnostic(
        "MHC216",
        span,
        models.length ? "a file holds one model, and this is a second one" : "there is no model in this file",
        { fix: models.length ? "put it in a file of its own" : "begin with `model Name { … }`" },
      ),
    );
    return { model: null, diagnostics };
  }
  const model = readModel(newDraft(state, models[0]!, options));
  const large = diagnostics.some((d) => d.severity === "error") ? null : tooLarge(model);
  if (large) report(large);
  return { model: diagnostics.some((d) => d.severity === "error") ? null : model, diagnostics };
}

/** The manifolds that a model names. */
const manifoldsIn = (scope: Scope): TypedModel["manifolds"] =>
  [...scope.names.values()].flatMap((entity) =>
    entity.kind === "manifold" ? [{ name: entity.name, manifold: entity.manifold }] : [],
  );

/** The typed model while its page is being read. */
interface Draft {
  readonly state: Elaboration;
  readonly page: Model;
  readonly options: ElaborateOptions;
  readonly scope: Scope;
  readonly dims: Dim[];
  readonly data: DataSource[];
  readonly inputs: Tensor[];
  readonly statements: Statement[];
  readonly outputs: { readonly name: string; readonly axes: readonly Axis[]; readonly value: Typed }[];
  /** Names of `--set` that were met. */
  readonly used: Set<string>;
  readonly sections: Map<string, Section>;
  loss: Typed | null;
  /** Whether a part was given up. */
  incomplete: boolean;
}

const newDraft = (state: Elaboration, page: Model, options: ElaborateOptions): Draft => ({
  state,
  page,
  options,
  scope: childScope(null, ""),
  dims: [],
  data: [],
  inputs: [],
  statements: [],
  outputs: [],
  used: new Set(),
  sections: new Map(),
  loss: null,
  incomplete: false,
});

function readModel(draft: Draft): TypedModel {
  for (const item of draft.page.items) {
    // What a repeat changes is known only once it is made; everything else is independent.
    attempt(draft, "name" in item ? item.name : null, () => readItem(draft, item));
  }
  draft.state.incomplete = draft.incomplete;
  for (const { size, span, what } of draft.state.pending) {
    if (resolve(size).kind === "variable")
      draft.state.report(
        diagnostic("MHC208", span, what, { fix: "pass a tensor that has this axis, or name the axes on the left" }),
      );
  }
  const section = draft.sections.get("train");
  overRun(draft);
  const overrides = section ? flagsOf(draft.state, "train", overridesOf(draft, "train", OVERRIDES)) : new Map();
  const costOverrides = draft.sections.has("cost") ? overridesOf(draft, "cost", COST_OVERRIDES) : {};
  for (const name of Object.keys(draft.options.set)) if (!draft.used.has(name)) unknownSetting(draft, name);
  for (const name of Object.keys(draft.options.data)) {
    if (draft.data.some((source) => source.name === name)) continue;
    const names = draft.data.map((source) => `\`${source.name}\``);
    draft.state.report(
      diagnostic("MHC401", draft.page.name.span, `--data ${name}: the spec has no data \`${name}\``, {
        fix: names.length ? `it has ${names.join(", ")}` : "it has none",
      }),
    );
  }
  const claims = draft.sections.get("constrain");
  const page = { state: draft.state, scope: draft.scope, statements: draft.statements };
  const put = claims
    ? constrained(draft.state, claims, draft.scope, (part) => attempt(draft, null, part))
    : draft.state.parameters;
  const parameters = claims
    ? shared({ ...page, parameters: put, mayGo: () => false }, claims, (part) => attempt(draft, null, part))
    : put;
  mergedOf(parameters).forEach(draft.state.report);
  const cost = costOf(draft, parameters, costOverrides);
  // Of a page that is not whole nothing follows, and why has been said.
  const { state } = draft;
  const claiming: Elaboration = state.incomplete
    ? { ...state, report: (d) => void (d.code !== "MHC305" && state.report(d)) }
    : state;
  const facts = {
    ...page,
    state: claiming,
    parameters,
    mayGo: (path: string) => cost?.gates.some(({ kind, name }) => kind === "layer" && inside(path, name)) === true,
  };
  const claimed = (claims?.clauses ?? [])
    .flatMap((clause) => (clause.kind === "bound" ? [attempt(draft, null, () => claimOf(facts, clause))] : []))
    .filter((claim) => claim !== null);
  const train = section
    ? attempt(draft, null, () =>
        readTrain(section, overrides, {
          number: (e) => attempt(draft, null, () => scalarOf(draft.state, e, draft.scope).value()),
          report: draft.state.report,
        }),
      )
    : null;
  if (!draft.page.items.some(({ kind }) => kind === "loss" || kind === "output")) {
    draft.state.report(
      diagnostic("MHC213", draft.page.name.span, `\`${draft.page.name.name}\` has neither a loss nor an output`, {
        fix: "add `loss = …` or `output y[…] = …`",
      }),
    );
  }
  if (draft.page.items.some(({ kind }) => kind === "loss") && !section)
    draft.state.report(
      diagnostic("MHC503", draft.page.name.span, "a model with a loss says how it is trained", {
        fix: "add `train { batch = 12, steps = 1000, optimizer = adamw(rate = 1e-3) }`",
      }),
    );
  return {
    name: draft.page.name.name,
    doc: draft.page.doc,
    dims: draft.dims,
    data: draft.data,
    inputs: draft.inputs,
    parameters,
    statements: draft.statements,
    outputs: draft.outputs,
    loss: draft.loss,
    manifolds: manifoldsIn(draft.scope),
    claims: claimed,
    cost,
    train,
  };
}

/** Settings of a section from outside, without its name. */
function overridesOf({ options, used }: Draft, section: string, names: readonly string[]): Record<string, string> {
  const found = Object.entries(options.set).filter(
    ([name]) => name.startsWith(`${section}.`) && names.includes(name.slice(section.length + 1)),
  );
  found.forEach(([name]) => used.add(name));
  return recordOf(found.map(([name, value]) => [name.slice(section.length + 1), value]));
}

function costOf(
  draft: Draft,
  parameters: readonly Parameter[],
  overrides: Readonly<Record<string, string>>,
): CostSettings | null {
  const section = draft.sections.get("cost");
  if (!section) return null;
  const { targets, ...read } = readCost(section, overrides, draft.state.report);
  if (targets.length && !draft.page.items.some(({ kind }) => kind === "loss"))
    draft.state.report(
      diagnostic("MHC503", section.name.span, "gates close while training, and this page has no loss", {
        fix: "add `loss = …` and `train { … }`, or take `shrink` out",
      }),
    );
  const { statements, loss, outputs } = draft;
  const dims = draft.dims.flatMap(({ name }) => {
    const entity = lookup(draft.scope, name);
    return entity?.kind === "dim" ? [{ name, size: entity.axis.size }] : [];
  });
  // Of a page that is not whole, what is missing has been said.
  const layer =
    draft.incomplete || read.by === "gates"
      ? undefined
      : targets.find(({ name }) => layersIn(draft.statements, name).length > 0);
  if (layer)
    draft.state.report(
      diagnostic(
        "MHC505",
        layer.span,
        `\`${layer.name}\` has no magnitude: a layer is worth what it does to the stream, not what its parameters are`,
        { fix: "leave it out, or choose by gates" },
      ),
    );
  const gates = draft.incomplete
    ? null
    : attempt(draft, null, () => gatesOf(draft.state, { statements, loss, outputs, parameters, dims }, targets));
  return { ...read, gates: gates ?? [] };
}

/** Runs a part; when it is given up, its name is poisoned and null returned. */
function attempt<T>(draft: Draft, name: Ident | null, part: () => T, scope = draft.scope): T | null {
  const { pending } = draft.state;
  try {
    return part();
  } catch (error) {
    if (!(error instanceof Abandoned)) throw error;
    draft.incomplete = true;
    if (name && !scope.names.has(name.name)) scope.names.set(name.name, { kind: "poison", span: name.span });
    // Sizes that were still open are no errors of their own.
    draft.state.pending = pending;
    draft.state.uses.length = 0;
    return null;
  }
}

function unknownSetting(draft: Draft, name: string): void {
  const settings = [
    ...(draft.sections.has("train") ? OVERRIDES.map((setting) => `train.${setting}`) : []),
    ...(draft.sections.has("cost") ? COST_OVERRIDES.map((setting) => `cost.${setting}`) : []),
  ];
  const manifolds = manifoldsIn(draft.scope).map((manifold) => manifold.name);
  const names = [...draft.dims.map((dim) => dim.name), ...manifolds, ...settings];
  // `--set rate=1e-3` forgets the section.
  const guess = names.find((other) => other.endsWith(`.${name}`)) ?? nearest(name, names);
  const fix = guess ? `did you mean \`${guess}\`?` : `there are ${names.join(", ")}`;
  draft.state.report(
    diagnostic("MHC501", nameOf(name), `the spec has no dim, manifold or setting \`${name}\``, { fix }),
  );
}

function readItem(draft: Draft, item: Model["items"][number]): void {
  const { state, scope } = draft;
  switch (item.kind) {
    case "dim": {
      const override = valueAt(draft.options.set, item.name.name);
      draft.used.add(item.name.name);
      const size =
        override === undefined ? sizeOf(state, item.value, scope) : overridden(draft, item.name.name, override);
      const value = valueOf(size);
      if (value !== null && value >= MOST_ELEMENTS)
        fail(state, "MHC224", item.span, `\`${item.name.name}\` is ${value}, and an axis has fewer than 2^32 places`);
      if (value !== null && value < 1)
        fail(
          state,
          "MHC215",
          override === undefined ? item.span : valueOfFlag(item.name.name, override),
          `\`${item.name.name}\` is ${value}, and a dim is at least 1`,
        );
      // In messages a dim goes by its own name, whatever it was computed from.
      const own = atom(item.name.name, value);
      draft.dims.push({ name: item.name.name, size: own, doc: item.doc });
      define(state, scope, item.name.name, {
        kind: "dim",
        axis: { name: item.name.name, size: isPlain(item.value) || override !== undefined ? own : size },
        span: item.name.span,
      });
      return;
    }
    case "data":
      return void draft.data.push(
        readData(state, scope, item, { data: draft.options.data, facts: draft.options.facts }),
      );
    case "manifold":
      return readManifold(draft, item);
    case "stream": {
      const axes = item.axes.map((axis) => axisNamed(state, axis.name, axis.span, scope));
      const tensor: Tensor = {
        name: item.name.name,
        kind: "stream",
        axes,
        dtype: "f32",
        range: null,
        span: item.name.span,
      };
      const value = expressionOn(state, item.value, scope, axes);
      define(state, scope, item.name.name, { kind: "tensor", tensor, span: item.name.span });
      draft.statements.push({ kind: "let", tensor, value });
      return;
    }
    case "input": {
      const axes = item.axes.map((axis) => axisNamed(state, axis.name, axis.span, scope));
      const tensor: Tensor = {
        name: item.name.name,
        kind: "input",
        axes,
        dtype: "f32",
        range: null,
        span: item.name.span,
      };
      define(state, scope, item.name.name, { kind: "tensor", tensor, span: item.name.span });
      draft.inputs.push(tensor);
      return;
    }
    case "output": {
      const axes = item.axes.map((axis) => axisNamed(state, axis.name, axis.span, scope));
      draft.outputs.push({ name: item.name.name, axes, value: expressionOn(state, item.value, scope, axes) });
      return;
    }
    case "let":
      draft.statements.push(readLet(draft, item, scope));
      return;
    case "param": {
      const axes = item.axes.map((axis) => axisNamed(state, axis.name, axis.span, scope));
      const tensor: Tensor = {
        name: item.name.name,
        kind: "parameter",
        axes,
        dtype: "f32",
        range: null,
        span: item.name.span,
      };
      const parameter: Parameter = {
        tensor,
        name: item.name.name,
        start: startOf(state, item.start, scope),
        on: item.on && membershipOf(state, tensor, item.each, item.on, scope),
        doc: item.doc,
      };
      state.parameters.push(parameter);
      define(state, scope, item.name.name, { kind: "tensor", tensor, span: item.name.span });
      return;
    }
    case "apply":
      draft.statements.push(readApply(draft, item, scope));
      return;
    case "repeat":
      draft.statements.push(readRepeat(draft, item, scope));
      return;
    case "loss": {
      if (draft.loss) fail(state, "MHC202", item.span, "a model has one loss, and this is a second one");
      draft.loss = expressionOn(state, item.value, scope, []);
      return;
    }
    case "section": {
      if (draft.sections.has(item.name.name))
        fail(state, "MHC202", item.name.span, `\`${item.name.name}\` stands twice`);
      draft.sections.set(item.name.name, item);
      return;
    }
    default:
      item satisfies never;
  }
}

function overridden(draft: Draft, name: string, text: string): Polynomial {
  const size = sizeOf(draft.state, flagged(draft.state, name, text), draft.scope);
  return size.value === null
    ? fail(
        draft.state,
        "MHC208",
        valueOfFlag(name, text),
        "a size from outside is a number, or made of dims that stand before it",
      )
    : size;
}

function readLet(draft: Draft, item: Let, scope: Scope): Statement {
  const { state } = draft;
  const before = lookup(scope, item.name.name);
  if (before?.kind === "poison" && !scope.names.has(item.name.name)) throw new Abandoned();
  if (before?.kind === "tensor" && before.tensor.kind === "stream")
    return readUpdate(draft, item, before.tensor, scope);
  if (before && !scope.names.has(item.name.name)) hidden(state, item, before);
  const axes =
    item.axes?.map(({ name, span }) => axisNamed(state, name, span, scope, axisLike(item.value, name, scope))) ?? null;
  const value = axes ? expressionOn(state, item.value, scope, axes) : unlabelled(state, item.value, scope);
  const tensor: Tensor = {
    name: item.name.name,
    kind: "let",
    axes: axes ?? axesOf(value),
    dtype: "f32",
    range: null,
    span: item.name.span,
  };
  define(state, scope, item.name.name, { kind: "tensor", tensor, span: item.name.span });
  return { kind: "let", tensor, value };
}

/** `x = …` where `x` is a stream. Its axes may be named, and are then those that it was declared with. */
function readUpdate({ state }: Draft, item: Let, stream: Tensor, scope: Scope): Statement {
  if (item.axes) {
    const named = item.axes.map((axis) => axisNamed(state, axis.name, axis.span, scope));
    if (named.length !== stream.axes.length || named.some((axis, i) => axis !== stream.axes[i])) {
      const wrong =
        `the stream \`${stream.name}\` has the axes ${listed(stream.axes)}, and its new value here ` +
        `${listed(named)}`;
      fail(state, "MHC206", item.name.span, wrong, {
        notes: [{ message: "it is declared here", span: stream.span }],
        fix: `write \`${stream.name}${listed(stream.axes)} = …\`, or \`${stream.name} = …\``,
      });
    }
  }
  const value = expressionOn(state, item.value, scope, stream.axes);
  return { kind: "update", stream, value, path: scope.prefix.replace(/\.$/, ""), span: item.span };
}

/** A name of a `repeat` that hides one outside of it would be thrown away with the layer. */
function hidden(state: Elaboration, { name }: Let, before: Entity): never {
  const what =
    before.kind === "tensor"
      ? `\`${name.name}\` is defined outside of this \`repeat\`, and only a stream changes from layer to layer`
      : `\`${name.name}\` has a meaning outside of this \`repeat\` already`;
  const declared = `\`stream ${name.name}[…] = …\``;
  return fail(state, "MHC202", name.span, what, {
    notes: [{ message: "it is defined here first", span: before.span }],
    fix:
      before.kind === "tensor" && before.tensor.kind === "let"
        ? `declare it with ${declared}, or give this one another name`
        : "give this one another name",
  });
}

function readApply(draft: Draft, item: Apply, scope: Scope): Statement {
  const { state } = draft;
  const entity = lookup(scope, item.stream.name);
  if (entity?.kind === "poison") throw new Abandoned();
  if (!entity)
    unknownName(
      state,
      "MHC201",
      item.stream.span,
      `there is no stream \`${item.stream.name}\``,
      item.stream.name,
      namesIn(scope),
    );
  const found = entity as Entity;
  if (found.kind !== "tensor" || found.tensor.kind !== "stream")
    fail(state, "MHC210", item.stream.span, `\`${item.stream.name}\` is not a stream`, {
      notes: [{ message: "it is defined here", span: found.span }],
      fix: `declare it with \`stream ${item.stream.name}[…] = …\``,
    });
  const stream = (found as Extract<Entity, { kind: "tensor" }>).tensor;
  const wrapped = blockValue(state, item.block, scope);
  const via: Path | Call = item.via ?? {
    kind: "path",
    parts: [{ name: "residual", span: item.span }],
    span: item.span,
  };
  const connection = blockValue(state, via, scope);
  if (connection.decl.kind !== "connection")
    fail(state, "MHC210", via.span, `\`${connection.decl.name.name}\` is a block, not a connection`, {
      notes: [{ message: "it is declared here", span: connection.decl.name.span }],
    });
  const name = item.as?.name ?? wrapped.decl.name.name;
  const before = scope.instances.get(name);
  if (before) {
    fail(
      state,
      "MHC211",
      item.as?.span ?? item.block.span,
      `\`${name}\` is used a second time here, and its parameters need a name of their own`,
      {
        notes: [{ message: "the first use", span: before }],
        fix: `write \`${item.stream.name} through ${wrapped.decl.name.name}(…) as another\``,
      },
    );
  }
  scope.instances.set(name, item.span);
  const path = scope.prefix + name;
  const inner: Scope = { ...childScope(scope, `${path}.`), instances: new Map() };
  const value = instantiate(
    state,
    { ...connection, path: `${path}.${connection.decl.name.name}` },
    [
      {
        kind: "tensor",
        value: { kind: "tensor", tensor: stream, axes: stream.axes, span: item.stream.span },
        span: item.stream.span,
      },
      { kind: "block", block: { ...wrapped, path, wrapped: true }, span: item.block.span },
    ],
    inner,
    stream.axes,
    null,
    item.span,
  );
  return { kind: "apply", stream, value: settle(value, stream.axes, state.report), path };
}

function readRepeat(draft: Draft, item: Repeat, scope: Scope): Statement {
  const { state } = draft;
  const count = sizeOf(state, item.count, scope);
  const name = item.count.kind === "path" && item.count.parts.length === 1 ? item.count.parts[0]!.name : "repeat";
  const before = scope.instances.get(name);
  if (before) {
    fail(
      state,
      "MHC211",
      item.count.span,
      `the layers of this \`repeat\` would be called \`${name}\` as those of another, and share their parameters`,
      {
        notes: [{ message: "the first use", span: before }],
        fix: "declare a dim for it, `dim others = 3`, and write `repeat others { … }`",
      },
    );
  }
  scope.instances.set(name, item.count.span);
  const inner = childScope(scope, `${scope.prefix}${name}.*.`);
  const body: Statement[] = [];
  for (const part of item.body) {
    const made = attempt(
      draft,
      "name" in part ? part.name : null,
      () =>
        part.kind === "let"
          ? readLet(draft, part, inner)
          : part.kind === "apply"
            ? readApply(draft, part, inner)
            : readRepeat(draft, part, inner),
      inner,
    );
    if (made) body.push(made);
  }
  for (const [own, span] of inner.ended) scope.ended.set(own, span);
  for (const [own, { span }] of inner.names) scope.ended.set(own, span);
  return { kind: "repeat", name, count, body, span: item.count.span };
}

function readManifold(draft: Draft, item: ManifoldDecl): void {
  const { state, scope } = draft;
  const name = item.name.name;
  const override = valueAt(draft.options.set, name);
  draft.used.add(name);
  const other = override === undefined ? null : flagged(draft.state, name, override);
  if (other && other.kind !== "path" && other.kind !== "call")
    fail(state, "MHC301", other.span, "this is not a manifold", {
      fix: `there are ${Object.keys(state.sets).join(", ")}`,
    });
  const given = other ? setOf(state, other as Path | Call, scope) : null;
  const set = given ?? (isMixture(item) ? readMixture(state, item, scope) : setOf(state, item.value, scope));
  const adapt = [...set.adapt, ...adaptationsOf(state, item, set, scope)];
  // A rank that adapts begins with all its parts.
  const rank = adapt.find((one) => one.kind === "rank");
  const options = rank ? merged(set.options, { rank: rank.to }) : set.options;
  define(state, scope, name, { kind: "manifold", name, manifold: { ...set, options, adapt }, span: item.name.span });
}

/** A schedule is over the steps of a run, and a rank falls during one. */
function overRun({ page, sections, state, inputs }: Draft): void {
  const clauses = page.items.flatMap((item) => (item.kind === "manifold" ? item.adapt : []));
  const rank = clauses.find(({ what }) => what.name === "rank");
  if (rank && !page.items.some(({ kind }) => kind === "loss")) {
    state.report(
      diagnostic("MHC503", rank.span, "a rank is pulled down while training, and this page has no loss", {
        fix: "add `loss = …` and `train { … }`, or set the rank: `low_rank(rank = 4)`",
      }),
    );
  }
  const clause = clauses.find(({ kind }) => kind === "scheduled");
  if (clause && !sections.has("train"))
    state.report(
      diagnostic("MHC503", clause.span, "a schedule is over the steps of a run, and this page does not train", {
        fix: "add `train { … }`, or give the option one value",
      }),
    );
  const shrinks =
    sections
      .get("cost")
      ?.clauses.some(
        (part) => part.kind === "words" && part.words[0]?.kind === "path" && part.words[0].parts[0]!.name === "shrink",
      ) ?? false;
  const trains = sections.has("train") && page.items.some(({ kind }) => kind === "loss");
  clashesOf({ inputs, parameters: state.parameters, schedule: clause?.span ?? null, trains, shrinks }).forEach(
    state.report,
  );
}
