/**
 * The entries of a model, one graph each: what the runtime can ask of it. `train` makes a step, `loss` evaluates a batch example by
 * example, `gradients` and `vjp` differentiate without changing anything, `forward` computes logits for generation or the
 * outputs of a spec that has no loss. `monitor` measures gains, mixes and claims, and `start` puts what was drawn onto manifolds; neither is there unless needed.
 */
import { createBuilder, type Builder } from "./graph/builder.js";
import type { Graph, Node } from "./graph/node.js";
import type { Schedule } from "./graph/schedules.js";
import { activationsOf, narrowestRead, type Forward } from "./graph/streams.js";
import { lower, type Lowered } from "./model/lower.js";
import type { LoweredParameter } from "./model/parameters.js";
import type { RateSettings, TrainSettings, TypedModel } from "./model/typed.js";
import { fuseAttention } from "./passes/attention.js";
import { gradients, vjp } from "./passes/differentiate.js";
import { claimed, SHARPER } from "./passes/claims.js";
import { monitors } from "./passes/monitors.js";
import { reach } from "./passes/reach.js";
import { applyOptimizer, type OptimizerSpec } from "./passes/optimizer.js";
import type { OnManifold } from "./passes/riemannian.js";
import { lossScale, type State } from "./passes/scaling.js";

export interface Entries {
  readonly graphs: readonly Graph[];
  /** By the name of a graph with a derivative in it, what the derivative was taken of: recompute starts from that. */
  readonly forwards: ReadonlyMap<string, Forward>;
  /** Parameters in the order of the page, as lowered for training. */
  readonly lowered: Lowered;
  readonly states: readonly State[];
  /** Names of parameters and states in the order of memory that suits the update; null when there is none. */
  readonly order: readonly string[] | null;
}

const none: ReadonlyMap<Node, Node> = new Map();

/** What the entry `monitor` measures: monitored claims alone, gains and mixes too, or all that can be measured of what the page promises. */
export type Monitors = boolean | "all";

export function buildEntries(model: TypedModel, options: { readonly monitors: Monitors }): Entries {
  const batch = model.train?.batch ?? 1;
  const half = model.train?.half ?? null;
  const graphs: Graph[] = [];
  const forwards = new Map<string, Forward>();
  const differentiated = (graph: Graph, { chains }: Lowered, results: Iterable<Node>): void => {
    graphs.push({ ...graph, streams: activationsOf(chains) });
    forwards.set(graph.name, { results: [...results], chains });
  };
  const inHalf = (graph: Graph, { chains }: Lowered, results: readonly Node[]): Graph => (half ? { ...graph, half: narrowestRead({ results, chains }) } : graph);
  let states: Entries["states"] = [];
  let order: Entries["order"] = null;
  let first: Lowered | null = null;

  if (model.loss && model.train) {
    const b = createBuilder();
    const lowered = fused(lower(model, createBuilder(), batch), b);
    first = lowered;
    const nodes = lowered.parameters.map(({ node }) => node);
    const scaling = half ? lossScale(b) : null;
    const found = gradients(b, lowered.pull ? b.add(lowered.loss!, lowered.pull) : lowered.loss!, nodes, scaling?.scale);
    const { clip } = model.train;
    const trained = lowered.parameters.map((parameter) => ({ ...parameter, manifold: onManifold(parameter) }));
    const spec = optimizerOf(model.train);
    const update = b.within({ block: "", phase: "update" }, () => applyOptimizer(b, trained, found, spec, clip, scaling, lowered.loss!));
    states = update.states;
    order = update.order;
    const constraints = constraintOutputs(lowered);
    const ahead = [lowered.loss!, ...lowered.constraints.values()];
    const unscaled = (gradient: Node): Node => (scaling ? b.div(gradient, b.broadcast(scaling.scale, gradient.shape, [])) : gradient);
    const train: Graph = { name: "train", outputs: new Map([["loss", lowered.loss!], ...(update.norm ? [["norm", update.norm] as const] : []), ...constraints]), updates: update.updates };
    const loss: Graph = { name: "loss", outputs: new Map([["losses", lowered.losses!], ...constraints]), updates: none };
    const gradient: Graph = { name: "gradients", outputs: new Map([["loss", lowered.loss!], ...lowered.parameters.map(({ name }, i) => [`gradient:${name}`, unscaled(found[i]!)] as const)]), updates: none };
    differentiated(inHalf(train, lowered, ahead), lowered, ahead);
    graphs.push(inHalf(loss, lowered, ahead));
    const watched = watch(b, model, lowered, options.monitors);
    if (watched.size) graphs.push(inHalf({ name: "monitor", outputs: watched, updates: none }, lowered, ahead));
    const start = startOf(b, lowered.parameters);
    if (start) graphs.push(start);
    differentiated(inHalf(gradient, lowered, ahead), lowered, ahead);
    if (lowered.predicts !== null) {
      const single = fused(lower(model, createBuilder(), 1), createBuilder());
      graphs.push(inHalf({ name: "forward", outputs: new Map([["logits", single.logits!]]), updates: none }, single, [single.logits!]));
    }
  }
  if (model.outputs.length) {
    const b = createBuilder();
    const lowered = fused(lower(model, createBuilder(), batch), b);
    first ??= lowered;
    const outputs = [...lowered.outputs];
    const constraints = constraintOutputs(lowered);
    const cotangents = outputs.map(([name, node]) => b.input(`cotangent:${name}`, node.shape, "f32"));
    const inputs = [...lowered.inputs].filter(([, node]) => node.dtype === "f32");
    const wrt = [...inputs.map(([, node]) => node), ...lowered.parameters.map(({ node }) => node)];
    const found = vjp(b, outputs.map(([, node]) => node), cotangents, wrt);
    const names = [...inputs.map(([name]) => `cotangent:${name}`), ...lowered.parameters.map(({ name }) => `gradient:${name}`)];
    const forward = model.loss ? "outputs" : "forward";
    const watched = !model.loss && options.monitors === "all" ? watch(b, model, lowered, "all") : null;
    if (watched?.size) graphs.push({ name: "monitor", outputs: watched, updates: none });
    graphs.push({ name: forward, outputs: new Map([...outputs, ...constraints]), updates: none });
    differentiated({ name: "vjp", outputs: new Map(names.map((name, i) => [name, found[i]!] as const)), updates: none }, lowered, lowered.outputs.values());
  }
  return { graphs, forwards, lowered: first!, states, order };
}

/**
 * The forward pass after the passes that come before differentiation, in a builder of its own: nodes are numbered in the order in which the page
 * needs them, and differentiation, which goes by numbers, finds the gradient of a gain where the gain was used.
 */
function fused(lowered: Lowered, b: Builder): Lowered {
  const { parameters, loss, losses, logits, inputs, outputs, constraints, uses, chains, weights, adapted, pull } = lowered;
  const streams = chains.flat().flatMap(({ before, after, blocks, mix }) => [before, after, ...(mix.kind === "matrix" ? [mix.node] : []), ...blocks.flatMap((block) => [...block.inputs, block.output])]);
  const used = [...uses.values()].flat().flatMap(({ distances, points, free }) => [distances, points, ...free]);
  const results = [loss, losses, logits, pull, ...outputs.values(), ...constraints.values(), ...weights.values(), ...adapted.values()].filter((node) => node !== null);
  const names = new Map([...new Set([...parameters.map(({ node }) => node), ...inputs.values(), ...results, ...streams, ...used])].map((node, i) => [node, `${i}`]));
  const made = fuseAttention({ name: "forward", outputs: new Map([...names].map(([node, name]) => [name, node])), updates: none }, b);
  const now = (node: Node): Node => made.outputs.get(names.get(node)!)!;
  const all = (nodes: ReadonlyMap<string, Node>): ReadonlyMap<string, Node> => new Map([...nodes].map(([name, node]) => [name, now(node)]));
  return {
    ...lowered, inputs: all(inputs), outputs: all(outputs), constraints: all(constraints), weights: all(weights), adapted: all(adapted),
    uses: new Map([...uses].map(([name, own]) => [name, own.map(({ distances, points, free }) => ({ distances: now(distances), points: now(points), free: free.map(now) }))])),
    parameters: parameters.map((parameter) => ({ ...parameter, node: now(parameter.node) })),
    pull: pull && now(pull), loss: loss && now(loss), losses: losses && now(losses), logits: logits && now(logits),
    chains: chains.map((chain) => chain.map(({ before, after, blocks, stream, mix }) => ({
      stream, before: now(before), after: now(after), mix: mix.kind === "matrix" ? { ...mix, node: now(mix.node) } : mix, blocks: blocks.map((block) => ({ inputs: block.inputs.map(now), output: now(block.output) })),
    }))),
  };
}

const constraintOutputs = ({ constraints, adapted }: Lowered): (readonly [string, Node])[] =>
  [...[...constraints].map(([name, node]) => [`constraint:${name}`, node] as const), ...[...adapted].map(([name, node]) => [`adapted:${name}`, node] as const)];

/** What is measured: gains and mixes when they are asked for, and what the page's claims are about when they are monitored; proved ones, and how far the sets are reached into, when all is. */
function watch(b: Builder, { claims }: TypedModel, { chains, uses, weights, repeats }: Lowered, asked: Monitors): Map<string, Node> {
  const own = asked === "all" ? claims : claims.filter(({ monitored }) => monitored);
  if (!asked && !own.length) return new Map();
  const found = monitors(b, chains);
  const gains = new Map<string, Node[]>();
  for (const [name, node] of found) {
    const [kind, stream] = name.split(":");
    if (kind === "gain") gains.set(stream!, [...(gains.get(stream!) ?? []), node]);
  }
  return new Map([
    ...(asked ? [...found].map(([name, node]) => [`monitor:${name}`, node] as const) : []),
    ...[...claimed(b, own, { gains, weights, repeats, ...(asked === "all" ? { turns: SHARPER } : {}) })].map(([text, node]) => [`claim:${text}`, node] as const),
    ...(asked === "all" ? reach(b, uses) : []),
  ]);
}

/** Where a parameter moves, under a Riemannian optimizer. */
function onManifold({ name, node, points }: LoweredParameter): OnManifold | null {
  return points && points.set.kind === "manifold" ? { ...points, name, node, manifold: points.set } : null;
}

/** Puts what has just been drawn onto its manifold, as the map would; null when nothing is on one. */
function startOf(b: Builder, parameters: readonly LoweredParameter[]): Graph | null {
  const updates = parameters.flatMap(({ node, points }): [Node, Node][] => (points ? [[node, points.map(b, [node])]] : []));
  return updates.length ? { name: "start", outputs: new Map(), updates: new Map(updates) } : null;
}

function optimizerOf({ optimizer, steps }: TrainSettings): OptimizerSpec {
  const schedule = (rate: RateSettings): Schedule => (rate.kind === "constant" ? rate : { ...rate, steps });
  return { ...optimizer, rate: schedule(optimizer.rate) };
}
