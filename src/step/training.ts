/**
 * The step of a page that is trained: the loss, its gradients, what the optimizer makes of them, and what moves the
 * gates that may close.
 */
import { mustAt } from "../../runtime/lookup.js";
import type { Builder } from "../graph/builder.js";
import { gradients } from "../graph/differentiate.js";
import type { Node, Origin } from "../graph/node.js";
import { stepOf, type Schedule } from "../graph/schedules.js";
import type { LoweredParameter } from "../model/lower/parameters.js";
import type { OptimizerSettings, TrainSettings } from "../model/typed.js";
import {
  constraintOutputs,
  forwardPass,
  gatesOf,
  measuredOutputs,
  withLoss,
  type EntryPage,
  type LoweredLoss,
} from "./forward.js";
import {
  expectedCosts,
  openProbability,
  priced,
  updateGates,
  type Gates,
  type Priced,
  type Shrinking,
} from "./hard-concrete.js";
import { applyOptimizer, type OptimizerSpec } from "./optimizer.js";
import type { OnManifold } from "./riemannian.js";
import { entryGraph, output, stateNode, type EntryGraph, type UnplacedState } from "./roles.js";
import { lossScale } from "./scaling.js";

/** A step of training. */
export interface TrainStep {
  /** The forward pass that it begins with; what may close is drawn in it. */
  readonly lowered: LoweredLoss;
  readonly graph: EntryGraph;
  readonly states: readonly UnplacedState[];
  /** Names of parameters and states in the order of memory that suits the update. */
  readonly order: readonly string[];
  /** Gradients of the loss by parameter that is not frozen, multiplied by the loss scale where there is one. */
  readonly slopes: readonly Node[];
  /** Takes the loss scale off a gradient. */
  readonly unscaled: (gradient: Node) => Node;
}

const UPDATE: Origin = { block: "", phase: "update" };

/** The training step in `b`. */
export function trainStep(page: EntryPage, b: Builder, train: TrainSettings): TrainStep {
  const { batch, half, shrinking } = page;
  const lowered = withLoss(forwardPass(page, b, { batch, isNoisy: true }));
  const { parameters, loss } = lowered;
  const scaling = half ? lossScale(b) : null;
  const unscaled = (gradient: Node): Node => (scaling ? divided(b, gradient, scaling.scale) : gradient);
  const gates = gatesOf(page, b, true);
  const drawn = gates ? [...gates.values.values()] : [];
  const free = notFrozen(parameters);
  const wrt = [...free.map(({ node }) => node), ...drawn];
  const derivatives = gradients(b, objectiveOf(b, lowered), wrt, scaling?.scale);
  const slopes = derivatives.slice(0, free.length);
  // What no gradient reaches stays as it is: weight decay alone would pull it to 0.
  const moved = free.flatMap((parameter, i) => (parameter.trained ? [{ parameter, gradient: mustAt(slopes, i) }] : []));
  const update = b.within(UPDATE, () =>
    applyOptimizer(b, {
      trained: moved.map(({ parameter }) => ({ ...parameter, manifold: onManifold(parameter) })),
      gradients: moved.map(({ gradient }) => gradient),
      spec: specOf(train.optimizer, train.steps),
      groups: train.groups.map(({ optimizer }) => specOf(optimizer, train.steps)),
      clip: train.clip,
      scaling,
      loss,
    }),
  );
  const closing =
    gates &&
    shrinking &&
    b.within(UPDATE, () => {
      const gradient = unscaled(b.pack(derivatives.slice(free.length)));
      return closeGates(b, shrinking, gates, { gradient, good: update.good });
    });
  const closingStates = closing?.states ?? [];
  const outputs = [
    output({ kind: "loss" }, loss),
    ...(update.norm ? [output({ kind: "norm" }, update.norm)] : []),
    ...measuredOutputs(lowered, (each) => b.mean(each, [0])),
    ...constraintOutputs(lowered),
    ...[...(closing?.costs ?? [])].map(([measure, node]) => output({ kind: "cost", name: measure }, node)),
  ];
  return {
    lowered,
    graph: entryGraph("train", outputs, { updates: new Map([...update.updates, ...(closing?.updates ?? [])]) }),
    states: [...update.states, ...closingStates],
    order: [
      ...update.order,
      ...closingStates.map(({ name }) => name),
      ...parameters.filter(({ trained }) => !trained).map(({ name }) => name),
    ],
    slopes,
    unscaled,
  };
}

/** Parameters that gradients are made of. */
export const notFrozen = (parameters: readonly LoweredParameter[]): readonly LoweredParameter[] =>
  parameters.filter(({ frozen }) => !frozen);

/** Gradients of the loss by parameter that is not frozen, with no step and no noise. */
export function gradientsOf(b: Builder, lowered: LoweredLoss, half: boolean): readonly Node[] {
  const scale = half ? lossScale(b).scale : undefined;
  const wrt = notFrozen(lowered.parameters).map(({ node }) => node);
  const slopes = gradients(b, objectiveOf(b, lowered), wrt, scale);
  return scale ? slopes.map((gradient) => divided(b, gradient, scale)) : slopes;
}

/** What training descends: a scalar. */
const objectiveOf = (b: Builder, { loss, pull }: LoweredLoss): Node => (pull ? b.add(loss, pull) : loss);

/** Every value of a gradient by one scalar. */
const divided = (b: Builder, gradient: Node, scale: Node): Node =>
  b.div(gradient, b.broadcast(scale, gradient.shape, []));

/**
 * The step of the gates: what they cost, and their new logits. `gradient`: of the loss by the gates as drawn, in their
 * slots, [words]; `good`: whether the step is made at all, null when nothing asks.
 */
function closeGates(
  b: Builder,
  { slots, words, prices, objective }: Shrinking,
  { slope }: Gates,
  { gradient, good }: { readonly gradient: Node; readonly good: Node | null },
): Omit<Priced, "objective"> {
  const measures = [...new Set([...objective.weights, ...objective.budgets].map(({ measure }) => measure))];
  const costs = expectedCosts(b, openProbability(b, words), slots, prices, measures);
  const paid = priced(b, costs, objective, good);
  const pulled = gradients(b, paid.objective, [stateNode(b, { kind: "gates" }, [words])]);
  const update = updateGates(b, b.add(b.mul(gradient, slope), mustAt(pulled, 0)), stepOf(b), good);
  return { costs, updates: new Map([...update.updates, ...paid.updates]), states: [...update.states, ...paid.states] };
}

/** Where a parameter moves, under a Riemannian optimizer. */
function onManifold({ name, node, points }: LoweredParameter): OnManifold | null {
  return points && points.set.kind === "manifold" ? { ...points, name, node, manifold: points.set } : null;
}

/** An optimizer of a page, whose rate changes over the `steps` of the run. */
function specOf(optimizer: OptimizerSettings, steps: number): OptimizerSpec {
  const { rate } = optimizer;
  const schedule: Schedule = rate.kind === "constant" ? rate : { ...rate, steps };
  return { ...optimizer, rate: schedule };
}
