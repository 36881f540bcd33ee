/**
 * The entries of a model, one graph each: what the runtime can ask of it. `train` makes a step, `loss` evaluates a
 * batch example by example, `gradients` and `vjp` differentiate without changing anything, `forward` computes logits
 * for generation or the outputs of a spec that has no loss. `monitor` measures gains, mixes and claims, and `start`
 * puts what was drawn onto manifolds; neither is there unless needed.
 */
import { mustAt } from "../../runtime/lookup.js";
import type { Kept } from "../../runtime/plan.js";
import type { InputRole } from "../../runtime/roles.js";
import type { Builder } from "../graph/builder.js";
import { createBuilder } from "../graph/create-builder.js";
import { vjp } from "../graph/differentiate.js";
import type { Node } from "../graph/node.js";
import { activationsOf, narrowestRead, type Forward } from "../graph/streams.js";
import type { Lowered } from "../model/lower/lower.js";
import type { LoweredParameter } from "../model/lower/parameters.js";
import type { TrainSettings, TypedModel } from "../model/typed.js";
import { drawsNumbers } from "../model/walk.js";
import { constraintOutputs, forwardPass, measuredOutputs, withLoss, type EntryPage } from "./forward.js";
import type { Shrinking } from "./hard-concrete.js";
import { gainGraphs, watchedOutputs, type Monitors } from "./measured.js";
import { entryGraph, inputId, output, type EntryGraph, type UnplacedState } from "./roles.js";
import { gradientsOf, notFrozen, trainStep, type TrainStep } from "./training.js";

/** The entries of a page, and what the plan needs to know of them together. */
export interface Entries {
  readonly graphs: readonly EntryGraph[];
  /** By the name of a graph with a derivative in it, what the derivative was taken of: recompute starts from that. */
  readonly forwards: ReadonlyMap<string, Forward>;
  /** Parameters in the order of the page, as lowered for training. */
  readonly lowered: Lowered;
  readonly states: readonly UnplacedState[];
  /** Names of parameters and states in the order of memory that suits the update; null when there is none. */
  readonly order: readonly string[] | null;
}

/** What is asked of the entries of a page. */
export interface EntriesOptions {
  readonly monitors: Monitors;
  /** The units that shrinking has left; absent for a model that is whole. */
  readonly kept?: Kept;
  /** What training asks of gates that may still close; null when none may. */
  readonly shrinking?: Shrinking | null;
  /** The training step alone: what counting its cost needs. */
  readonly stepOnly?: boolean;
  /** The entries that are kept, by name; all of them when it does not say. */
  readonly only?: readonly string[];
  /** Whether attention is one op where it is found; it is when this does not say. */
  readonly attention?: boolean;
}

/** The page, and the entries that have been made so far. */
interface EntryState {
  readonly page: EntryPage;
  readonly monitors: Monitors;
  readonly graphs: EntryGraph[];
  readonly forwards: Map<string, Forward>;
}

/** All entries of a model. Throws when it has neither a loss to train by nor outputs. */
export function buildEntries(model: TypedModel, options: EntriesOptions): Entries {
  const { train } = model;
  const page: EntryPage = {
    model,
    batch: train?.batch ?? 1,
    // `auto` was decided before, by the profile.
    half: train?.precision?.word === "f16",
    kept: options.kept ?? {},
    shrinking: options.shrinking ?? null,
    attention: options.attention ?? true,
  };
  const state: EntryState = { page, monitors: options.monitors, graphs: [], forwards: new Map() };
  const step = model.loss && train ? addTraining(state, train, options.stepOnly ?? false) : null;
  const isWhole = !step || !options.stepOnly;
  const outputs = model.outputs.length && isWhole ? addOutputs(state) : null;
  const lowered = step?.lowered ?? outputs;
  if (!lowered) throw new Error(`model: ${model.name} has nothing to compute`);
  const { only } = options;
  const graphs = only ? state.graphs.filter((graph) => only.includes(graph.name)) : state.graphs;
  const forwards = new Map([...state.forwards].filter(([name]) => graphs.some((graph) => graph.name === name)));
  // States belong to the step, and have no room where none is made.
  const trains = step && (!only || only.includes("train")) ? step : null;
  return { graphs, forwards, lowered, states: trains?.states ?? [], order: trains?.order ?? null };
}

/** An entry that reads activations in half precision where the page asks for it. */
function inHalf({ page }: EntryState, graph: EntryGraph, forward: Forward): EntryGraph {
  return page.half ? { ...graph, half: narrowestRead(forward) } : graph;
}

/** Adds an entry with a derivative in it, and what the derivative was taken of. */
function addDerivative({ graphs, forwards }: EntryState, graph: EntryGraph, forward: Forward): void {
  graphs.push({ ...graph, streams: activationsOf(forward.chains) });
  forwards.set(graph.name, forward);
}

/** What the loss of a page is computed with. */
const forwardOf = ({ loss, terms, metrics, constraints, chains }: Lowered): Forward => ({
  results: [...(loss ? [loss] : []), ...terms.values(), ...metrics.values(), ...constraints.values()],
  chains,
});

/** Adds the entries of a page that is trained. */
function addTraining(state: EntryState, train: TrainSettings, stepOnly: boolean): TrainStep {
  const b = createBuilder();
  const step = trainStep(state.page, b, train);
  const forward = forwardOf(step.lowered);
  addDerivative(state, inHalf(state, step.graph, forward), forward);
  if (stepOnly) return step;
  addEvaluation(state, b, step);
  if (step.lowered.heads.length) addSampling(state);
  return step;
}

/**
 * Adds the entries that evaluate, differentiate for its own sake, and watch. They are without noise, so that a page
 * with gates that may close, or with random numbers, needs a second forward pass for them.
 */
function addEvaluation(state: EntryState, stepBuilder: Builder, step: TrainStep): void {
  const { page, graphs, monitors } = state;
  const { batch, half, model, shrinking } = page;
  const isApart = shrinking !== null || drawsNumbers(model);
  const b = isApart ? createBuilder() : stepBuilder;
  const lowered = isApart ? withLoss(forwardPass(page, b, { batch, isNoisy: false })) : step.lowered;
  const slopes = isApart ? gradientsOf(b, lowered, half) : step.slopes.map(step.unscaled);
  const forward = forwardOf(lowered);
  const losses = entryGraph("loss", [
    output({ kind: "losses" }, lowered.losses),
    ...measuredOutputs(lowered, (each) => each),
    ...constraintOutputs(lowered),
  ]);
  graphs.push(inHalf(state, losses, forward));
  const watched = watchedOutputs(b, page, lowered, monitors);
  if (watched.length) graphs.push(inHalf(state, entryGraph("monitor", watched), forward));
  if (monitors === "all") graphs.push(...gainGraphs(b, page, lowered));
  graphs.push(...startGraphs(b, lowered.parameters));
  const gradients = entryGraph("gradients", [
    output({ kind: "loss" }, lowered.loss),
    ...notFrozen(lowered.parameters).map(({ name }, i) => output({ kind: "gradient", name }, mustAt(slopes, i))),
  ]);
  addDerivative(state, inHalf(state, gradients, forward), forward);
}

/** Adds the entry that samples: the scores of next tokens, for one example. */
function addSampling(state: EntryState): void {
  const { chains, heads } = forwardPass(state.page, createBuilder(), { batch: 1, isNoisy: false });
  const scores = heads.map(({ name, logits }) =>
    heads.length === 1 ? output({ kind: "logits", name }, logits, "logits") : output({ kind: "logits", name }, logits),
  );
  const results = scores.map(({ node }) => node);
  state.graphs.push(inHalf(state, entryGraph("forward", scores), { results, chains }));
}

/** Adds the entries of a page's outputs: their values, and their derivative by inputs and parameters. */
function addOutputs(state: EntryState): Lowered {
  const { page, graphs, monitors } = state;
  const { batch, model } = page;
  const b = createBuilder();
  const lowered = forwardPass(page, b, { batch, isNoisy: false });
  const derivative = outputDerivative(b, lowered);
  if (!model.loss && monitors === "all") {
    const watched = watchedOutputs(b, page, lowered, "all");
    if (watched.length) graphs.push(entryGraph("monitor", watched));
    graphs.push(...gainGraphs(b, page, lowered));
  }
  const outputs = [...lowered.outputs].map(([name, node]) => output({ kind: "output", name }, node));
  graphs.push(entryGraph(model.loss ? "outputs" : "forward", [...outputs, ...constraintOutputs(lowered)]));
  addDerivative(state, derivative, { results: [...lowered.outputs.values()], chains: lowered.chains });
  return lowered;
}

/** The entry `vjp`: cotangents of the inputs and gradients of the parameters, for cotangents of the outputs. */
function outputDerivative(b: Builder, { outputs, inputs, parameters }: Lowered): EntryGraph {
  const asked = [...outputs].map(([name, node]) => {
    const role: InputRole = { kind: "cotangent", name };
    return { node, role, cotangent: b.input(inputId(role), node.shape, "f32") };
  });
  const wrt = [
    ...[...inputs].flatMap(([name, node]) =>
      node.dtype === "f32" ? [{ node, role: { kind: "cotangent", name } as const }] : [],
    ),
    ...notFrozen(parameters).map(({ name, node }) => ({ node, role: { kind: "gradient", name } as const })),
  ];
  const slopes = vjp(
    b,
    asked.map(({ node }) => node),
    asked.map(({ cotangent }) => cotangent),
    wrt.map(({ node }) => node),
  );
  return entryGraph(
    "vjp",
    wrt.map(({ role }, i) => output(role, mustAt(slopes, i))),
    { inputs: asked.map(({ role }) => role) },
  );
}

/** Puts what has just been drawn onto its manifold, as the map would; nothing when no parameter is on one. */
function startGraphs(b: Builder, parameters: readonly LoweredParameter[]): readonly EntryGraph[] {
  const updates = parameters.flatMap(({ node, points }): (readonly [Node, Node])[] =>
    points ? [[node, points.map(b, [node])]] : [],
  );
  return updates.length ? [entryGraph("start", [], { updates: new Map(updates) })] : [];
}
