/**
 * The entries of a model, one graph each: what the runtime can ask of it. `train` makes a step, `loss` evaluates a
 * batch example by example, `gradients` and `vjp` differentiate without changing anything, `forward` computes logits
 * for generation or the outputs of a spec that has no loss. `monitor` measures gains, mixes and claims, and `start`
 * puts what was drawn onto manifolds; neither is there unless needed.
 */
import type { Kept, SlotInfo } from "../../runtime/plan.js";
import { mustGet } from "../../runtime/lookup.js";
import type { InputRole, OutputRole } from "../../runtime/roles.js";
import { type Builder } from "../graph/builder.js";
import { createBuilder } from "../graph/create-builder.js";
import type { Node, Origin } from "../graph/node.js";
import { stepOf, type Schedule } from "../graph/schedules.js";
import { activationsOf, narrowestRead, type Chain, type Forward } from "../graph/streams.js";
import { lower, mapLowered, type Lowered } from "../model/lower/lower.js";
import { streamsIn } from "../model/quantities.js";
import type { LoweredParameter } from "../model/lower/parameters.js";
import type { RateSettings, TrainSettings, TypedModel } from "../model/typed.js";
import { fuseAttention } from "../passes/attention.js";
import { gradients, vjp } from "../graph/differentiate.js";
import { claimed, SHARPER } from "./claims.js";
import {
  expectedCosts,
  gateValues,
  openProbability,
  priced,
  updateGates,
  type Gates,
  type Objective,
  type Priced,
  type PricePolynomial,
} from "./hard-concrete.js";
import { gains } from "./gains.js";
import { monitors } from "./monitors.js";
import { reach } from "./reach.js";
import { applyOptimizer, type OptimizerSpec } from "./optimizer.js";
import type { OnManifold } from "./riemannian.js";
import { lossScale } from "./scaling.js";
import { entryGraph, inputId, output, stateNode, type EntryGraph, type Output, type State } from "./roles.js";

export interface Entries {
  readonly graphs: readonly EntryGraph[];
  /** By the name of a graph with a derivative in it, what the derivative was taken of: recompute starts from that. */
  readonly forwards: ReadonlyMap<string, Forward>;
  /** Parameters in the order of the page, as lowered for training. */
  readonly lowered: Lowered;
  readonly states: readonly State[];
  /** Names of parameters and states in the order of memory that suits the update; null when there is none. */
  readonly order: readonly string[] | null;
}

const none: ReadonlyMap<Node, Node> = new Map();
const PAGE: Origin = { block: "", phase: "forward" };
const UPDATE: Origin = { block: "", phase: "update" };

/**
 * What the entry `monitor` measures: monitored claims alone, gains and mixes too, or all that can be measured of what
 * the page promises.
 */
export type Monitors = boolean | "all";

export interface EntriesOptions {
  readonly monitors: Monitors;
  /** What is left of the model; all of it when it does not say. */
  readonly kept?: Kept;
  /** What training asks of gates that may still close; null when none may. */
  readonly shrinking?: Shrinking | null;
  /** The training step alone: what counting its cost needs. */
  readonly stepOnly?: boolean;
}

/** Gates that may close, and what they are paid for. */
export interface Shrinking {
  readonly slots: readonly SlotInfo[];
  readonly words: number;
  readonly prices: PricePolynomial;
  readonly objective: Objective;
}

export function buildEntries(model: TypedModel, options: EntriesOptions): Entries {
  const batch = model.train?.batch ?? 1;
  // `auto` was decided before, by the profile.
  const half = model.train?.half && !model.train.half.auto ? model.train.half : null;
  const shrinking = options.shrinking ?? null;
  const graphs: EntryGraph[] = [];
  const forwards = new Map<string, Forward>();
  const differentiated = (graph: EntryGraph, { chains }: Lowered, results: Iterable<Node>): void => {
    graphs.push({ ...graph, streams: activationsOf(chains) });
    forwards.set(graph.name, { results: [...results], chains });
  };
  const inHalf = (graph: EntryGraph, { chains }: Lowered, results: readonly Node[]): EntryGraph =>
    half ? { ...graph, half: narrowestRead({ results, chains }) } : graph;
  /** The forward pass in `b`; gates that may close are drawn for a step, or taken without noise. */
  const forward = (b: Builder, size: number, noisy: boolean): Lowered => {
    const inner = createBuilder();
    const values =
      shrinking && inner.within(PAGE, () => gateValues(inner, shrinking.slots, shrinking.words, noisy).values);
    return fused(lower(model, inner, { batch: size, gating: { kept: options.kept ?? {}, values } }), b);
  };
  /** The forward pass as gains are measured in it, without noise, and its builder. */
  const lowerForGains = (size: number) => (): { readonly b: Builder; readonly lowered: Lowered } => {
    const b = createBuilder();
    const values = shrinking && b.within(PAGE, () => gateValues(b, shrinking.slots, shrinking.words, false).values);
    return { b, lowered: lower(model, b, { batch: size, gating: { kept: options.kept ?? {}, values }, gains: true }) };
  };
  let states: Entries["states"] = [];
  let order: Entries["order"] = null;
  let first: Lowered | null = null;

  if (model.loss && model.train) {
    const b = createBuilder();
    const lowered = forward(b, batch, true);
    first = lowered;
    const nodes = lowered.parameters.map(({ node }) => node);
    const scaling = half ? lossScale(b) : null;
    const gates = shrinking && b.within(PAGE, () => gateValues(b, shrinking.slots, shrinking.words, true));
    const drawn = gates ? [...gates.values.values()] : [];
    const found = gradients(
      b,
      lowered.pull ? b.add(lowered.loss!, lowered.pull) : lowered.loss!,
      [...nodes, ...drawn],
      scaling?.scale,
    );
    const { clip } = model.train;
    // What no gradient reaches stays as it is: weight decay alone would pull it to 0.
    const moved = lowered.parameters.map(({ trained: moves }) => moves);
    const trained = lowered.parameters
      .filter((_, i) => moved[i])
      .map((parameter) => ({ ...parameter, manifold: onManifold(parameter) }));
    const spec = optimizerOf(model.train);
    const unscaled = (gradient: Node): Node =>
      scaling ? b.div(gradient, b.broadcast(scaling.scale, gradient.shape, [])) : gradient;
    const update = b.within(UPDATE, () =>
      applyOptimizer(
        b,
        trained,
        found.slice(0, nodes.length).filter((_, i) => moved[i]),
        spec,
        clip,
        scaling,
        lowered.loss!,
      ),
    );
    const closing =
      gates &&
      b.within(UPDATE, () => closeGates(b, shrinking, gates, unscaled(b.pack(found.slice(nodes.length))), update.good));
    states = [...update.states, ...(closing?.states ?? [])];
    order = [
      ...update.order,
      ...(closing?.states ?? []).map(({ name }) => name),
      ...lowered.parameters.filter((_, i) => !moved[i]).map(({ name }) => name),
    ];
    const constraints = constraintOutputs(lowered);
    const ahead = [lowered.loss!, ...lowered.constraints.values()];
    const costs = [...(closing?.costs ?? [])].map(([measure, node]) => output({ kind: "cost", name: measure }, node));
    const train = entryGraph(
      "train",
      [
        output({ kind: "loss" }, lowered.loss!),
        ...(update.norm ? [output({ kind: "norm" }, update.norm)] : []),
        ...constraints,
        ...costs,
      ],
      { updates: closing ? new Map([...update.updates, ...closing.updates]) : update.updates },
    );
    differentiated(inHalf(train, lowered, ahead), lowered, ahead);
    if (options.stepOnly) return { graphs, forwards, lowered, states, order };
    // What is evaluated, differentiated for its own sake or watched has no noise in it.
    const still = shrinking ? createBuilder() : b;
    const calm = shrinking ? forward(still, batch, false) : lowered;
    const calmAhead = [calm.loss!, ...calm.constraints.values()];
    const calmConstraints = constraintOutputs(calm);
    const slopes = shrinking ? calmSlopes(still, calm, half !== null) : found.slice(0, nodes.length).map(unscaled);
    graphs.push(
      inHalf(entryGraph("loss", [output({ kind: "losses" }, calm.losses!), ...calmConstraints]), calm, calmAhead),
    );
    const watched = watch(still, model, calm, options.monitors);
    if (watched.length) graphs.push(inHalf(entryGraph("monitor", watched), calm, calmAhead));
    if (options.monitors === "all") graphs.push(...gainGraphs(still, model, calm, lowerForGains(batch)));
    const start = startOf(still, calm.parameters);
    if (start) graphs.push(start);
    const gradient = entryGraph("gradients", [
      output({ kind: "loss" }, calm.loss!),
      ...calm.parameters.map(({ name }, i) => output({ kind: "gradient", name }, slopes[i]!)),
    ]);
    differentiated(inHalf(gradient, calm, calmAhead), calm, calmAhead);
    if (lowered.heads.length) {
      const single = forward(createBuilder(), 1, false);
      const only = single.heads.length === 1;
      const scores = single.heads.map(({ name, logits }) =>
        only ? output({ kind: "logits", name }, logits, "logits") : output({ kind: "logits", name }, logits),
      );
      graphs.push(
        inHalf(
          entryGraph("forward", scores),
          single,
          scores.map(({ node }) => node),
        ),
      );
    }
  }
  if (model.outputs.length) {
    const b = createBuilder();
    const lowered = forward(b, batch, false);
    first ??= lowered;
    const outputs = [...lowered.outputs];
    const constraints = constraintOutputs(lowered);
    const asked = outputs.map(([name]): InputRole => ({ kind: "cotangent", name }));
    const cotangents = outputs.map(([, node], i) => b.input(inputId(asked[i]!), node.shape, "f32"));
    const inputs = [...lowered.inputs].filter(([, node]) => node.dtype === "f32");
    const wrt = [...inputs.map(([, node]) => node), ...lowered.parameters.map(({ node }) => node)];
    const found = vjp(
      b,
      outputs.map(([, node]) => node),
      cotangents,
      wrt,
    );
    const wanted: readonly OutputRole[] = [
      ...inputs.map(([name]) => ({ kind: "cotangent", name }) as const),
      ...lowered.parameters.map(({ name }) => ({ kind: "gradient", name }) as const),
    ];
    const name = model.loss ? "outputs" : "forward";
    const watched = !model.loss && options.monitors === "all" ? watch(b, model, lowered, "all") : null;
    if (watched?.length) graphs.push(entryGraph("monitor", watched));
    if (watched) graphs.push(...gainGraphs(b, model, lowered, lowerForGains(batch)));
    graphs.push(
      entryGraph(name, [...outputs.map(([of, node]) => output({ kind: "output", name: of }, node)), ...constraints]),
    );
    differentiated(
      entryGraph(
        "vjp",
        wanted.map((role, i) => output(role, found[i]!)),
        { inputs: asked },
      ),
      lowered,
      lowered.outputs.values(),
    );
  }
  return { graphs, forwards, lowered: first!, states, order };
}

/** Gradients of the loss without noise, by parameter. */
function calmSlopes(b: Builder, { loss, pull, parameters }: Lowered, half: boolean): Node[] {
  const scale = half ? lossScale(b).scale : undefined;
  const found = gradients(
    b,
    pull ? b.add(loss!, pull) : loss!,
    parameters.map(({ node }) => node),
    scale,
  );
  return scale ? found.map((gradient) => b.div(gradient, b.broadcast(scale, gradient.shape, []))) : found;
}

/**
 * What the gates become: what is descended beside the loss, and the new logits. `gradient`: of the loss by the gates as
 * drawn, in their slots.
 */
function closeGates(
  b: Builder,
  { slots, words, prices, objective }: Shrinking,
  { slope }: Gates,
  gradient: Node,
  good: Node | null,
): Omit<Priced, "objective"> {
  const measures = [...new Set([...objective.weights, ...objective.budgets].map(({ measure }) => measure))];
  const costs = expectedCosts(b, openProbability(b, words), slots, prices, measures);
  const paid = priced(b, costs, objective, good);
  const [pulled] = gradients(b, paid.objective, [stateNode(b, { kind: "gates" }, [words])]);
  const update = updateGates(b, b.add(b.mul(gradient, slope), pulled!), stepOf(b), good);
  return { costs, updates: new Map([...update.updates, ...paid.updates]), states: [...update.states, ...paid.states] };
}

/**
 * The forward pass after the passes that come before differentiation, in a builder of its own: nodes are numbered in
 * the order in which the page needs them, and differentiation, which goes by numbers, finds the gradient of a gain
 * where the gain was used.
 */
function fused(lowered: Lowered, b: Builder): Lowered {
  const needed = new Set<Node>();
  mapLowered(lowered, (node) => {
    needed.add(node);
    return node;
  });
  const outputs = new Map([...needed].map((node, i) => [`${i}`, node]));
  const { moved } = fuseAttention({ name: "forward", outputs, updates: none }, b);
  return mapLowered(lowered, (node) => mustGet(moved, node));
}

const constraintOutputs = ({ constraints, adapted }: Lowered): readonly Output[] => [
  ...[...constraints].map(([name, node]) => output({ kind: "constraint", name }, node)),
  ...[...adapted].map(([name, node]) => output({ kind: "adapted", name }, node)),
];

/**
 * What is measured: gains and mixes when they are asked for, and what the page's claims are about when they are
 * monitored; proved ones, and how far the sets are reached into, when all is.
 */
function watch(
  b: Builder,
  { claims }: TypedModel,
  { chains, uses, weights, repeats }: Lowered,
  asked: Monitors,
): readonly Output[] {
  const own = asked === "all" ? claims : claims.filter(({ monitored }) => monitored);
  if (!asked && !own.length) return [];
  // Of streams of one name the last counts.
  const watched = [...new Map(monitors(b, chains).map((monitored) => [monitored.id, monitored])).values()];
  const gains = new Map<string, Node[]>();
  for (const { role, node } of watched) {
    if (role.measure === "gain") gains.set(role.stream, [...(gains.get(role.stream) ?? []), node]);
  }
  return [
    ...(asked ? watched : []),
    ...claimed(b, own, { gains, weights, repeats, ...(asked === "all" ? { turns: SHARPER } : {}) }),
    ...(asked === "all" ? reach(b, uses) : []),
  ];
}

/**
 * What `mhc verify` measures gains by: `gain`, of every stream with a claim on it, and of those that mix lanes; and
 * `claims`, what gains are claimed together with, of the measured ones as inputs (`gain:x`).
 */
function gainGraphs(
  b: Builder,
  { claims }: TypedModel,
  { chains, weights, repeats }: Lowered,
  apart: () => { readonly b: Builder; readonly lowered: Lowered },
): EntryGraph[] {
  const own = claims.filter(({ quantity }) => streamsIn(quantity).length > 0);
  const claimedStreams = new Set(own.flatMap(({ quantity }) => streamsIn(quantity)));
  const isMeasured = (chain: Chain): boolean =>
    chain.some(
      ({ stream, mix, before }) => claimedStreams.has(stream) || (mix.kind !== "identity" && before.shape.length > 3),
    );
  if (!chains.some(isMeasured)) return [];
  const { b: inner, lowered } = apart();
  const sums = gains(inner, lowered.chains.filter(isMeasured), lowered.held);
  const gain = entryGraph("gain", sums.outputs, { inputs: sums.inputs });
  const fusedGain = { ...fuseAttention(gain).graph, roles: gain.roles };
  const inputs = [...claimedStreams].map((stream) => ({ kind: "gain", stream }) as const);
  const measured = new Map(inputs.map((role) => [role.stream, [b.input(inputId(role), [], "f32")]] as const));
  const outputs = claimed(b, own, { gains: measured, weights, repeats, turns: SHARPER });
  return [fusedGain, ...(own.length ? [entryGraph("claims", outputs, { inputs })] : [])];
}

/** Where a parameter moves, under a Riemannian optimizer. */
function onManifold({ name, node, points }: LoweredParameter): OnManifold | null {
  return points && points.set.kind === "manifold" ? { ...points, name, node, manifold: points.set } : null;
}

/** Puts what has just been drawn onto its manifold, as the map would; null when nothing is on one. */
function startOf(b: Builder, parameters: readonly LoweredParameter[]): EntryGraph | null {
  const updates = parameters.flatMap(({ node, points }): [Node, Node][] =>
    points ? [[node, points.map(b, [node])]] : [],
  );
  return updates.length ? entryGraph("start", [], { updates: new Map(updates) }) : null;
}

function optimizerOf({ optimizer, steps }: TrainSettings): OptimizerSpec {
  const schedule = (rate: RateSettings): Schedule => (rate.kind === "constant" ? rate : { ...rate, steps });
  return { ...optimizer, rate: schedule(optimizer.rate) };
}
