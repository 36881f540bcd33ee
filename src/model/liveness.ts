/**
 * What of a page is needed: by its loss and outputs, and by the gradient of its loss. Statements are walked from the
 * last to the first; a tensor is read when something needed reads it, and reached when a gradient comes back to it,
 * which it does not through a condition, an index, a target, a factor 0, or a function that is flat (`stop`, `floor`).
 * A stream is followed value by value, so that one that is replaced before anything reads it counts for nothing; the
 * body of a `repeat` is walked until a further layer changes nothing. A block's loss is needed wherever the block is
 * used, also where nothing else of the use is.
 */
import { mustAt } from "../../runtime/lookup.js";
import type { Span } from "../diagnostics/span.js";
import {
  FLAT,
  type BlockInstance,
  type LossTerm,
  type Parameter,
  type Statement,
  type Tensor,
  type Typed,
  type TypedModel,
  type TypedOf,
} from "./typed.js";
import { runsOf } from "./runs.js";
import { callsLosses, partsOf, type WalkedPage } from "./walk.js";

/** The parts of a model that say what is needed. */
type NeededPage = WalkedPage & Pick<TypedModel, "parameters" | "manifolds">;

/** What of a page is needed. */
export interface Liveness {
  /** Tensors that the loss, a metric or an output needs. */
  readonly read: ReadonlySet<Tensor>;
  /** Of these, the ones that a gradient reaches. */
  readonly reached: ReadonlySet<Tensor>;
  /** Statements whose value is needed. */
  readonly used: ReadonlySet<Statement>;
  /** Instances that are needed, and where the outermost call that they belong to stands. */
  readonly instances: ReadonlyMap<BlockInstance, Span>;
  /** Named parts of the loss that neither the loss nor a metric reads: they are measured alone. */
  readonly unweighed: ReadonlySet<LossTerm>;
}

const COMPARISONS: ReadonlySet<string> = new Set(["<", "<=", "==", "!=", "and", "or"]);

/** What has been found to be needed by what stands behind the place that the walk has come to. */
interface LivenessState {
  readonly read: Set<Tensor>;
  readonly reached: Set<Tensor>;
  readonly used: Set<Statement>;
  readonly instances: Map<BlockInstance, Span>;
  /** Whether a block of the page has a loss. */
  readonly hasLosses: boolean;
  /** Streams whose value at this place is needed, and whether by the gradient. */
  awaited: ReadonlyMap<Tensor, boolean>;
}

/** How an expression is needed. */
interface Need {
  /** Whether a gradient comes back to it. */
  readonly gradient: boolean;
  /** Where the outermost call around it stands; null outside of calls. */
  readonly use: Span | null;
}

/** What of a page its loss, its metrics and its outputs need. */
export function livenessOf({ statements, loss, outputs, terms, metrics }: NeededPage): Liveness {
  const state: LivenessState = {
    read: new Set(),
    reached: new Set(),
    used: new Set(),
    instances: new Map(),
    hasLosses: terms.some(({ kind }) => kind === "sum"),
    awaited: new Map(),
  };
  if (loss) need(state, loss, { gradient: true, use: null });
  for (const { value } of metrics) need(state, value, { gradient: false, use: null });
  const unweighed = needTerms(state, terms);
  for (const { value } of outputs) need(state, value, { gradient: loss === null, use: null });
  // What a block's loss is made of, where the use of the block stands beside statements.
  for (const e of [...(loss ? [loss] : []), ...outputs.map(({ value }) => value)]) needLosses(state, e, null);
  for (const term of terms) if (term.kind === "part") needLosses(state, term.value, null);
  backwards(state, statements);
  const { read, reached, used, instances } = state;
  return { read, reached, used, instances, unweighed };
}

/** What the named parts of the loss are made of, last to first; those that nothing reads are measured all the same. */
function needTerms(state: LivenessState, terms: readonly LossTerm[]): ReadonlySet<LossTerm> {
  const { read, reached } = state;
  const unweighed = new Set<LossTerm>();
  for (const term of terms.toReversed()) {
    if (!read.has(term.tensor)) unweighed.add(term);
    const gradient = reached.has(term.tensor);
    if (term.kind === "part") need(state, term.value, { gradient, use: null });
    else for (const tensor of term.uses) mark(state, tensor, gradient);
  }
  return unweighed;
}

function backwards(state: LivenessState, statements: readonly Statement[]): void {
  // A recurrence reads what is defined behind it.
  for (const group of runsOf(statements.toReversed()))
    group.forEach(() => group.forEach((statement) => run(state, statement)));
}

function run(state: LivenessState, statement: Statement): void {
  if (statement.kind === "repeat") return layers(state, statement.body);
  if (statement.kind === "if") return branches(state, statement);
  const { read, reached, used, awaited } = state;
  const tensor = statement.kind === "let" ? statement.tensor : statement.stream;
  const isStream = tensor.kind === "stream";
  if (isStream ? !awaited.has(tensor) : !read.has(tensor)) {
    if (needLosses(state, statement.value, null)) used.add(statement);
    return;
  }
  const gradient = isStream ? awaited.get(tensor) === true : reached.has(tensor);
  if (isStream) state.awaited = new Map([...awaited].filter(([stream]) => stream !== tensor));
  used.add(statement);
  need(state, statement.value, { gradient, use: null });
}

/** What the last layer leaves is needed after the repeat; what another leaves, by the layer after it. */
function layers(state: LivenessState, body: readonly Statement[]): void {
  const { read, reached, used, awaited: after } = state;
  const seen = (): string =>
    `${read.size} ${reached.size} ${used.size} ${[...state.awaited.values()].map(Number).join("")}`;
  for (let before = ""; before !== seen();) {
    before = seen();
    for (const [stream, gradient] of after) wait(state, stream, gradient);
    backwards(state, body);
  }
}

/** What is needed before an `if` is what either branch needs: a layer has the one or the other. */
function branches(state: LivenessState, { then, otherwise }: Extract<Statement, { readonly kind: "if" }>): void {
  const after = state.awaited;
  backwards(state, then);
  const before = state.awaited;
  state.awaited = after;
  backwards(state, otherwise);
  for (const [stream, gradient] of before) wait(state, stream, gradient);
}

/** The value that a stream has here is needed. */
function wait(state: LivenessState, stream: Tensor, gradient: boolean): void {
  state.awaited = new Map(state.awaited).set(stream, gradient || state.awaited.get(stream) === true);
}

function mark(state: LivenessState, tensor: Tensor, gradient: boolean): void {
  state.read.add(tensor);
  if (gradient) state.reached.add(tensor);
  if (tensor.kind === "stream") wait(state, tensor, gradient);
}

function need(state: LivenessState, e: Typed, how: Need): void {
  const without: Need = { ...how, gradient: false };
  switch (e.kind) {
    case "tensor":
      return mark(state, e.tensor, how.gradient);
    case "gather":
      mark(state, e.table, how.gradient);
      return need(state, e.index, without);
    case "where":
      need(state, e.a, how);
      return need(state, e.condition, without);
    case "choice":
      need(state, e.a, how);
      need(state, e.otherwise, how);
      return e.condition ? need(state, e.condition, without) : undefined;
    case "unary":
      return need(state, e.a, FLAT.has(e.f) ? without : how);
    case "reduce":
      return need(state, e.a, e.f === "argmax" ? without : how);
    case "binary":
      return [e.a, e.b].forEach((operand) => need(state, operand, COMPARISONS.has(e.f) ? without : how));
    case "cross_entropy":
      need(state, e.logits, how);
      return need(state, e.target, without);
    case "product": {
      const isNothing = e.factors.some(
        ({ e: factor, inverse }) => !inverse && factor.kind === "number" && factor.value === 0,
      );
      return e.factors.forEach((factor) => need(state, factor.e, isNothing ? without : how));
    }
    case "call":
      return needCall(state, e, how);
    default:
      return partsOf(e).forEach((part) => need(state, part, how));
  }
}

function needCall(state: LivenessState, { instance, args, span }: TypedOf<"call">, how: Need): void {
  const { instances } = state;
  const use = how.use ?? span;
  instances.set(instance, use);
  need(state, instance.result, { gradient: how.gradient, use });
  needInside(state, instance, args, use);
}

/** What is needed of a call, of which it is known what reads its body from outside. */
function needInside(state: LivenessState, instance: BlockInstance, args: readonly Typed[], use: Span): void {
  const { read, reached } = state;
  // A recurrence reads what is defined behind it, so its body is walked until nothing new is found.
  const turns = instance.body.some(({ recurrence }) => recurrence) ? instance.body.length : 1;
  for (let turn = 0; turn < turns; turn++)
    for (const { tensor, value } of instance.body.toReversed())
      if (read.has(tensor)) need(state, value, { gradient: reached.has(tensor), use });
      else needLosses(state, value, use);
  for (const [i, arg] of args.entries()) {
    const formal = mustAt(instance.formals, i);
    if (read.has(formal)) need(state, arg, { gradient: reached.has(formal), use });
    else needLosses(state, arg, use);
  }
}

/** What losses of blocks need of an expression that nothing else needs; whether that is something. */
function needLosses(state: LivenessState, e: Typed, use: Span | null): boolean {
  if (!state.hasLosses || !callsLosses(e)) return false;
  for (const part of partsOf(e)) if (e.kind !== "call") needLosses(state, part, use);
  if (e.kind !== "call") return true;
  const { instance, args, span } = e;
  const place = use ?? span;
  state.instances.set(instance, place);
  needLosses(state, instance.result, place);
  needInside(state, instance, args, place);
  return true;
}

/**
 * The parameters that training moves: those that a gradient reaches, and those that stand for an option of a set. Of a
 * page without a loss, all.
 */
export function trainedParameters(model: NeededPage): ReadonlySet<Parameter> {
  const { parameters, manifolds, loss } = model;
  if (!loss) return new Set(parameters);
  const { reached } = livenessOf(model);
  const settings = settingsOf(parameters, manifolds);
  return new Set(parameters.filter((parameter) => reached.has(parameter.tensor) || settings.has(parameter.name)));
}

/** Names of the parameters that stand for options of sets. No expression reads them: the maps of the sets do. */
export function settingsOf(parameters: readonly Parameter[], manifolds: TypedModel["manifolds"]): ReadonlySet<string> {
  const sets = [
    ...manifolds.map(({ manifold }) => manifold),
    ...parameters.flatMap(({ on }) => (on ? [on.manifold] : [])),
  ];
  return new Set(sets.flatMap(({ adapt }) => adapt.map(({ name }) => name)));
}
