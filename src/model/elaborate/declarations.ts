/**
 * The items of a model in the order of the page: dims, data, manifolds, streams, inputs, outputs, parameters and the
 * loss. Statements are read in `statements.ts`; sections are kept for later, since they speak of the page as a whole.
 */
import type {
  DimDecl,
  Ident,
  InputDecl,
  LossDecl,
  ManifoldDecl,
  ModelItem,
  NumberDecl,
  OutputDecl,
  ParamDecl,
  Section,
  StreamDecl,
} from "../../../grammar/ast.js";
import { merged, valueAt } from "../../../runtime/records.js";
import { atom, valueOf, type Polynomial } from "../../graph/sizes.js";
import type { SetInstance } from "../../manifolds/registry.js";
import type { Axis, Parameter } from "../typed.js";
import { adaptationsOf } from "./adapt.js";
import { axisNamed } from "./axes.js";
import { numberOn, valueOn } from "./definitions.js";
import type { ModelDraft } from "./draft.js";
import { MOST_ELEMENTS } from "./limits.js";
import { membershipOf, warnOfStart } from "./membership.js";
import { isMixture, readMixture } from "./mixtures.js";
import { isPlain, scalarOf, sizeOf, startOf } from "./numbers.js";
import { flagged, valueOfFlag } from "./outside.js";
import { define, defineTensor, fail, floatTensor } from "./scope.js";
import { setOf } from "./set-instances.js";
import { readData } from "./sources.js";
import { readStatement } from "./statements.js";
import { readMetric, readPart, scopeOfLosses } from "./terms.js";

/** Reads one item of the page into the draft. Throws `Abandoned` when it is wrong, which has been reported then. */
export function readItem(draft: ModelDraft, item: ModelItem): void {
  switch (item.kind) {
    case "dim":
      return readDim(draft, item);
    case "number":
      return readNumber(draft, item);
    case "data":
      draft.data.push(readData(draft.state, draft.scope, item, draft.options));
      return;
    case "manifold":
      return readManifold(draft, item);
    case "stream":
      return readStream(draft, item);
    case "input":
      return readInput(draft, item);
    case "output":
      return readOutput(draft, item);
    case "param":
      return readParameter(draft, item);
    case "let":
    case "apply":
    case "repeat":
    case "if":
      draft.statements.push(readStatement(draft, item, draft.scope));
      return;
    case "loss":
      return readLoss(draft, item);
    case "term":
      return readPart(draft, item);
    case "metric":
      return readMetric(draft, item);
    case "section":
      return keepSection(draft, item);
    case "allow":
      return;
    default:
      item satisfies never;
  }
}

function readDim(draft: ModelDraft, item: DimDecl): void {
  const { state, scope } = draft;
  const { name, span } = item.name;
  const override = valueAt(draft.options.set, name);
  draft.used.add(name);
  const size = override === undefined ? sizeOf(state, item.value, scope) : sizeFromFlag(draft, name, override);
  const value = valueOf(size);
  if (value !== null && value >= MOST_ELEMENTS)
    fail(state, "MHC224", item.span, `\`${name}\` is ${value}, and an axis has fewer than 2^32 places`);
  const place = override === undefined ? item.span : valueOfFlag(name, override);
  if (value !== null && value < 0) fail(state, "MHC215", place, `\`${name}\` is ${value}, and a dim is not negative`);
  // In messages a dim goes by its own name, whatever it was computed from.
  const named = atom(name, value);
  draft.dims.push({ name, size: named, doc: item.doc, place });
  const axis: Axis = { name, size: isPlain(item.value) || override !== undefined ? named : size };
  define(state, scope, name, { kind: "dim", axis, span });
}

function readNumber(draft: ModelDraft, item: NumberDecl): void {
  const { state, scope } = draft;
  const { name, span } = item.name;
  const override = valueAt(draft.options.set, name);
  draft.used.add(name);
  const scalar = scalarOf(state, override === undefined ? item.value : flagged(state, name, override), scope);
  draft.numbers.push({ name, scalar, doc: item.doc });
  // In messages and in the model as text it goes by its own name.
  define(state, scope, name, { kind: "number", scalar: { ...scalar, text: name }, span });
}

/** The size that `--set` gives a dim. */
function sizeFromFlag({ state, scope }: ModelDraft, name: string, text: string): Polynomial {
  const size = sizeOf(state, flagged(state, name, text), scope);
  return size.value === null
    ? fail(
        state,
        "MHC208",
        valueOfFlag(name, text),
        "a size from outside is a number, or made of dims that stand before it",
      )
    : size;
}

function readManifold(draft: ModelDraft, item: ManifoldDecl): void {
  const { state, scope } = draft;
  const { name, span } = item.name;
  const override = valueAt(draft.options.set, name);
  draft.used.add(name);
  const set = override === undefined ? setAsWritten(draft, item) : setFromFlag(draft, name, override);
  const adapt = [...set.adapt, ...adaptationsOf(state, item, set, scope)];
  // A rank that adapts begins with all its parts.
  const rank = adapt.find((adaptation) => adaptation.kind === "rank");
  const options = rank ? merged(set.options, { rank: rank.to }) : set.options;
  define(state, scope, name, { kind: "manifold", name, manifold: { ...set, options, adapt }, span });
}

const setAsWritten = ({ state, scope }: ModelDraft, item: ManifoldDecl): SetInstance =>
  isMixture(item) ? readMixture(state, item, scope) : setOf(state, item.value, scope);

/** The set that `--set` gives a manifold. */
function setFromFlag({ state, scope }: ModelDraft, name: string, text: string): SetInstance {
  const e = flagged(state, name, text);
  return e.kind === "path" || e.kind === "call"
    ? setOf(state, e, scope)
    : fail(state, "MHC301", e.span, "this is not a manifold", {
        fix: `there are ${Object.keys(state.sets).join(", ")}`,
      });
}

const axesNamed = ({ state, scope }: ModelDraft, idents: readonly Ident[]): readonly Axis[] =>
  idents.map((ident) => axisNamed(state, ident, scope));

function readStream(draft: ModelDraft, item: StreamDecl): void {
  const { state, scope } = draft;
  const axes = axesNamed(draft, item.axes);
  const tensor = floatTensor("stream", item.name, axes);
  const value = valueOn(state, item.value, scope, axes);
  defineTensor(state, scope, tensor);
  draft.statements.push({ kind: "let", tensor, value });
}

function readInput(draft: ModelDraft, item: InputDecl): void {
  const tensor = floatTensor("input", item.name, axesNamed(draft, item.axes));
  defineTensor(draft.state, draft.scope, tensor);
  draft.inputs.push(tensor);
}

function readOutput(draft: ModelDraft, item: OutputDecl): void {
  const axes = axesNamed(draft, item.axes);
  const { name, span } = item.name;
  // The caller reads it, and the page what it is made of.
  draft.scope.ended.set(name, { ...span, body: "output" });
  draft.outputs.push({ name, axes, value: valueOn(draft.state, item.value, draft.scope, axes) });
}

function readParameter(draft: ModelDraft, item: ParamDecl): void {
  const { state, scope } = draft;
  const tensor = floatTensor("parameter", item.name, axesNamed(draft, item.axes));
  const parameter: Parameter = {
    tensor,
    name: item.name.name,
    start: startOf(state, item.start, scope),
    on: item.on && membershipOf(state, tensor, { each: item.each, on: item.on }, scope),
    ...(item.frozen ? { frozen: true } : {}),
    doc: item.doc,
  };
  state.parameters.push(parameter);
  warnOfStart(state, parameter, parameter.start, item.start);
  defineTensor(state, scope, tensor);
}

function readLoss(draft: ModelDraft, item: LossDecl): void {
  const { state } = draft;
  if (draft.loss) fail(state, "MHC202", item.span, "a model has one loss, and this is a second one");
  draft.loss = numberOn(state, item.value, scopeOfLosses(draft));
}

function keepSection({ state, sections }: ModelDraft, item: Section): void {
  const { name, span } = item.name;
  if (sections.has(name)) fail(state, "MHC202", span, `\`${name}\` stands twice`);
  sections.set(name, item);
}
