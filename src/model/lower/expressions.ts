/**
 * Expressions as nodes, in the layer and the connection that lowering is in. What an expression stands for may change
 * with the layer, so each is lowered anew wherever it is met; the builder makes equal nodes one.
 */
import { mustAt } from "../../../runtime/lookup.js";
import { contractAll, multiply, type LabelledTensor } from "../../graph/contraction.js";
import type { Node } from "../../graph/node.js";
import { known, numberOf } from "../../graph/sizes.js";
import { rankOf } from "../../manifolds/set.js";
import {
  axesOf,
  type Axis,
  type BlockInstance,
  type Definition,
  type Parameter,
  type Tensor,
  type Typed,
  type TypedOf,
} from "../typed.js";
import { runsOf } from "../runs.js";
import { distanceOf } from "./distances.js";
import { activation, asFloats, compared, power } from "./functions.js";
import { headOf } from "./heads.js";
import { folded, isLayerNumber } from "./layer-numbers.js";
import { recurring } from "./recurrences.js";
import { both, chosen, presenceOf, shiftedRead, vanishes } from "./shifted.js";
import { valueOf } from "./parameters.js";
import { randomized } from "./randomness.js";
import { reduced } from "./reductions.js";
import { settingOf } from "./settings.js";
import { cutsOf, gatesAround, gatesOfAxis } from "./slots.js";
import {
  BATCH,
  batchFirst,
  hold,
  inThisLayer,
  labelHere,
  labelsOf,
  noteUse,
  onto,
  renamed,
  shapeOf,
  together,
  type PageLowering,
} from "./state.js";

/** The value of an expression; its nodes know where on the page it stands. */
export const evaluate = (state: PageLowering, e: Typed): LabelledTensor =>
  state.b.at(e.span, () => {
    const value = lowered(state, e);
    return isLayerNumber(e) ? { node: folded(state.b, value.node), labels: [] } : value;
  });

/** The value of an expression as floats, where it may be whole numbers. */
function numbers(state: PageLowering, e: Typed): LabelledTensor {
  const value = evaluate(state, e);
  return { ...value, node: asFloats(state.b, value.node) };
}

/** A value on exactly these axes, and the batch if it has it. */
export function labelled(state: PageLowering, e: Typed, axes: readonly Axis[]): LabelledTensor {
  const value = evaluate(state, e);
  const labels = [...(value.labels.includes(BATCH) ? [BATCH] : []), ...labelsOf(state, axes)];
  return { node: onto(state, value, labels), labels };
}

function lowered(state: PageLowering, e: Typed): LabelledTensor {
  const { b } = state;
  switch (e.kind) {
    case "number":
      return { node: b.constant(e.value), labels: [] };
    case "scalar":
      return { node: b.constant(e.scalar.value(state.counters)), labels: [] };
    case "size":
      return { node: b.constant(numberOf(e.size)), labels: [] };
    case "position": {
      const labels = labelsOf(state, [e.axis]);
      return { node: b.cast(b.iota(shapeOf(state, labels), 0), "f32"), labels };
    }
    case "tensor":
      return renamed(state, valueOfTensor(state, e.tensor), e.axes);
    case "relabel":
      return renamed(state, labelled(state, e.a, e.from), e.axes);
    case "shifted":
      return shifted(state, e);
    case "choice":
      return choice(state, e);
    case "gather":
      return gather(state, e);
    case "unary": {
      const a = numbers(state, e.a);
      // The gain of a stream is that of its values, wherever gradients go.
      return e.f === "stop" && state.gains ? a : { node: activation(b, e.f, a.node), labels: a.labels };
    }
    case "random":
      return randomized(state, e, numbers(state, e.a));
    case "binary": {
      const [x, y] = together(state, evaluate(state, e.a), evaluate(state, e.b));
      const node = e.f === "^" ? power(b, asFloats(b, x.node), asFloats(b, y.node)) : compared(b, e.f, x.node, y.node);
      return { node, labels: x.labels };
    }
    case "product":
      return product(state, e);
    case "reduce":
      return reduction(state, e);
    case "where":
      throw new Error("model: a `where` stands under a reducer");
    case "call": {
      const value = renamed(state, called(state, e.instance, e.args), e.axes);
      return state.holding?.has(e) ? hold(state, value) : value;
    }
    case "map":
      return image(state, e);
    case "distance": {
      const [x, y] = together(state, numbers(state, e.a), numbers(state, e.b));
      return distanceOf(state, e, x, y);
    }
    case "cross_entropy":
      return crossEntropy(state, e);
    default:
      return e satisfies never;
  }
}

/** The value that a tensor has at this place of the page. */
export function valueOfTensor(state: PageLowering, tensor: Tensor): LabelledTensor {
  const parameter = state.parameterOf.get(tensor);
  if (parameter) return valueOfParameter(state, parameter);
  const value = state.values.get(tensor);
  if (value) return value;
  if (tensor.kind !== "data" && tensor.kind !== "input") throw new Error(`model: ${tensor.name} has no value`);
  const labels = [BATCH, ...labelsOf(state, tensor.axes)];
  const node = state.b.input(tensor.name, shapeOf(state, labels), tensor.dtype);
  state.inputs.set(tensor.name, node);
  const input = { node, labels };
  state.values.set(tensor, input);
  return input;
}

/** The value of a parameter in this layer. */
export function valueOfParameter(state: PageLowering, parameter: Parameter): LabelledTensor {
  const { axes } = parameter.tensor;
  const name = inThisLayer(state, parameter.name);
  const labels = labelsOf(state, axes);
  const shape = shapeOf(state, labels);
  const cuts = cutsOf(state.gates, axes);
  return { node: valueOf(state.parameters, { parameter, name, shape, cuts, layers: [...state.counters] }), labels };
}

function shifted(state: PageLowering, e: TypedOf<"shifted">): LabelledTensor {
  const earlier = e.recurs && e.a.kind === "tensor" ? state.earlier.get(e.a.tensor) : undefined;
  return shiftedRead(state, e, earlier ?? evaluate(state, e.a));
}

function gather(state: PageLowering, e: TypedOf<"gather">): LabelledTensor {
  const index = evaluate(state, e.index);
  const table = valueOfTensor(state, e.table);
  if (table.labels.includes(BATCH)) throw new Error("model: a table that comes from the data cannot be indexed");
  return {
    node: state.b.gather(asFloats(state.b, table.node), index.node),
    labels: [...index.labels, ...labelsOf(state, e.axes)],
  };
}

function product(state: PageLowering, e: TypedOf<"product">): LabelledTensor {
  const { b } = state;
  const factors = e.factors.map(({ e: factor, inverse }): LabelledTensor => {
    const read = numbers(state, factor);
    const value = e.summed.length && !vanishes(factor) ? orZero(state, factor, read) : read;
    return inverse ? { node: b.div(b.fill(1, value.node.shape), value.node), labels: value.labels } : value;
  });
  const summed = new Set(labelsOf(state, e.summed));
  for (const axis of e.summed) if (!isMixed(state, e, axis)) gateProduct(state, e, factors, axis);
  const remaining = [...new Set(factors.flatMap(({ labels }) => labels))].filter((label) => !summed.has(label));
  return contractAll(b, factors, batchFirst(remaining));
}

/**
 * Multiplies what is summed over an axis by its gates: a parameter where there is one, since that is the smallest.
 */
function gateProduct(state: PageLowering, e: TypedOf<"product">, factors: LabelledTensor[], axis: Axis): void {
  const node = gatesOfAxis(state.gates, axis);
  if (!node) return;
  const gates = { node, labels: [labelHere(state, axis)] };
  const at = e.factors.findIndex(
    ({ e: factor, inverse }) =>
      !inverse && factor.kind === "tensor" && factor.tensor.kind === "parameter" && factor.axes.includes(axis),
  );
  if (at < 0) factors.push(gates);
  else factors[at] = multiply(state.b, mustAt(factors, at), gates);
}

/**
 * Whether the sum over an axis of gated units is by a matrix of a set that leaves closed units to themselves
 * (`set.units`): then no other gate is needed.
 */
function isMixed({ maps }: PageLowering, e: TypedOf<"product">, axis: Axis): boolean {
  return e.factors.some(({ e: factor }) => {
    const at = axesOf(factor).indexOf(axis);
    const map = factor.kind === "map" ? factor : factor.kind === "tensor" ? maps.get(factor.tensor) : undefined;
    return map !== undefined && at >= map.axes.length - rankOf(map.manifold.set.point);
  });
}

function reduction(state: PageLowering, e: TypedOf<"reduce">): LabelledTensor {
  const guarded = e.a.kind === "where" ? e.a : null;
  const inner = guarded?.a ?? e.a;
  const present = e.f === "sum" && vanishes(inner) ? null : presenceOf(state, inner);
  const conditions = [...(guarded ? [evaluate(state, guarded.condition)] : []), ...(present ? [present] : [])];
  const value = numbers(state, inner);
  if (conditions.length === 0) return reduced(state, e, value, null);
  const [x, condition] = together(state, value, both(state, conditions));
  return reduced(state, e, x, condition.node);
}

/** Where a read may lie outside, it is what `else` says. */
function choice(state: PageLowering, e: TypedOf<"choice">): LabelledTensor {
  const present = presenceOf(state, e.a, true);
  const conditions = [...(e.condition ? [evaluate(state, e.condition)] : []), ...(present ? [present] : [])];
  const [value, otherwise] = [numbers(state, e.a), numbers(state, e.otherwise)];
  return conditions.length ? chosen(state, both(state, conditions), value, otherwise) : value;
}

/** A factor that is 0 where it is absent. */
function orZero(state: PageLowering, e: Typed, value: LabelledTensor): LabelledTensor {
  const present = presenceOf(state, e);
  return present ? chosen(state, present, value, { node: state.b.constant(0), labels: [] }) : value;
}

/** The result of an instance, for these arguments. */
function called(state: PageLowering, instance: BlockInstance, args: readonly Typed[]): LabelledTensor {
  const { formals, body, path } = instance;
  const actuals = args.map((arg, i) => labelled(state, arg, mustAt(formals, i).axes));
  // An instance's tensors are its own, but inside a repeat the instance is lowered many times: old values go.
  for (const [i, actual] of actuals.entries()) state.values.set(mustAt(formals, i), actual);
  const { connecting } = state;
  const connects = connecting && !state.wrapped?.holds(instance);
  state.connecting = connects;
  const result = state.b.within({ block: inThisLayer(state, path), phase: "forward", connects }, () => {
    for (const definitions of runsOf(body)) defineAll(state, definitions);
    for (const loss of instance.losses) noteLoss(state, loss, path);
    return labelled(state, instance.result, instance.axes);
  });
  state.connecting = connecting;
  const { wrapped, watching } = state;
  if (!watching && actuals.length && wrapped?.holds(instance))
    wrapped.uses.push({ inputs: actuals.map(({ node }) => node), output: result.node });
  return result;
}

/** The value of a tensor: floats, unless it holds whole numbers. */
export function valueFor(state: PageLowering, { axes, dtype }: Tensor, e: Typed): LabelledTensor {
  const value = labelled(state, e, axes);
  return dtype === "f32" ? { ...value, node: asFloats(state.b, value.node) } : value;
}

/** Gives tensors their values: those of a recurrence together, any other by itself. */
export function defineAll(state: PageLowering, definitions: readonly Definition[]): void {
  const define = ({ tensor, value }: Definition): void => {
    state.values.set(tensor, valueFor(state, tensor, value));
    if (value.kind === "map") state.maps.set(tensor, value);
  };
  const recurrence = definitions[0]?.recurrence;
  if (recurrence) recurring(state, recurrence, definitions, define);
  else definitions.forEach(define);
}

/**
 * Notes the loss of an instance in this layer, times the gates that may switch it off; but not where a mix is only made
 * to be watched.
 */
function noteLoss(state: PageLowering, loss: Tensor, path: string): void {
  const { b, losses, layers, watching } = state;
  if (watching) return;
  const { node, labels } = valueOfTensor(state, loss);
  const gates = gatesAround(state.gates, path) ?? [];
  const open = gates.reduce((value, gate) => b.mul(value, b.broadcast(gate, node.shape, [])), node);
  const inLayers = losses.get(loss) ?? new Map<string, LabelledTensor>();
  losses.set(loss, inLayers.set(layers.join("."), { node: open, labels }));
}

/** Points of a set, as the image of free coordinates; each is noted as a use of the set. */
function image(state: PageLowering, e: TypedOf<"map">): LabelledTensor {
  const { b, parameters } = state;
  const axes = labelsOf(state, e.axes);
  const { set, options } = e.manifold;
  const rank = rankOf(set.point);
  const outer = e.axes.slice(0, e.axes.length - rank);
  const free = e.a ? labelled(state, e.a, [...outer, ...e.free]) : null;
  const labels = [...(free?.labels.includes(BATCH) ? [BATCH] : []), ...axes];
  const shape = shapeOf(state, labels);
  const pieces = set.free(shapeOf(state, axes.slice(outer.length)).map(known), options);
  if ("error" in pieces) throw new Error(`model: ${set.name} ${pieces.error}`);
  const many = shape.slice(0, shape.length - rank);
  const nodes = free ? [b.reshape(asFloats(b, free.node), [...many, ...mustAt(pieces, 0).shape.map(numberOf)])] : [];
  const open = withClosedUnitsApart(state, e, nodes);
  const setting = settingOf(parameters.settings, e.manifold);
  const points = set.map(b, open, shape, setting);
  const distances = set.violation(b, points, setting);
  noteUse(state, e.name, { distances, points, free: nodes });
  const value = { node: points, labels };
  return state.holding ? hold(state, value) : value;
}

/** Free coordinates of which those of closed units have no part in the points, where the set can tell them apart. */
function withClosedUnitsApart(state: PageLowering, e: TypedOf<"map">, free: readonly Node[]): readonly Node[] {
  const last = e.axes.at(-1);
  const [first] = free;
  if (!last || !first) return free;
  const gates = gatesOfAxis(state.gates, last);
  const apart = gates && e.manifold.set.units?.(e.manifold.options);
  return apart ? [apart(state.b, first, gates)] : free;
}

/** The cross entropy of every example, as a mean over the target's axes but for those that are kept. */
function crossEntropy(state: PageLowering, e: TypedOf<"cross_entropy">): LabelledTensor {
  const { b, heads } = state;
  const target = evaluate(state, e.target);
  const batched = target.labels.includes(BATCH) ? target.labels : [BATCH, ...target.labels];
  const labels = [...batched, ...labelsOf(state, [e.classes])];
  const scores = onto(state, numbers(state, e.logits), labels);
  const head = headOf(heads, e, scores);
  if (head) heads.push(head);
  const loss = b.crossEntropy(scores, onto(state, target, batched));
  const kept = new Set([BATCH, ...labelsOf(state, e.kept)]);
  const averaged = batched.flatMap((label, axis) => (kept.has(label) ? [] : [axis]));
  return { node: b.mean(loss, averaged), labels: batched.filter((label) => kept.has(label)) };
}
