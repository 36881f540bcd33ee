/**
 * Typed model to graph: `repeat` is unrolled, sizes become numbers, labelled tensors become nodes. While lowering, a
 * value is a node with a label for each axis; the batch axis is a label of its own and always comes first. What comes
 * from the data has it, parameters do not.
 */
import type { Builder } from "../../graph/builder.js";
import { arrange, contractAll, multiply, spread, type Labelled } from "../../graph/contraction.js";
import type { Node } from "../../graph/node.js";
import { between, largestOf, unit } from "../../graph/combine.js";
import { ABSENT } from "../../graph/ops/attention.js";
import { known, numberOf as number } from "../../graph/sizes.js";
import { ofItsOwn, type Connection } from "../../graph/streams.js";
import { rankOf } from "../../manifolds/set.js";
import {
  axesOf,
  type Axis,
  type Instance,
  type Parameter,
  type Statement,
  type Tensor,
  type Typed,
  type TypedModel,
} from "../typed.js";
import { activation, compared, power } from "./functions.js";
import { distanceOf } from "./distances.js";
import { heldIn } from "../held.js";
import { mixNode, type Lent } from "./mixes.js";
import { isIdentity, laneOf, mixingsIn, unwatched, type Applied } from "../mixing.js";
import type { Lowered } from "./lowered.js";
import { headOf, type Head } from "./heads.js";
import { createParameters, type Use } from "./parameters.js";
import { repeatsOf } from "../paths.js";
import { instancesIn } from "../walk.js";
import { createShrinking, ungated, type Gating } from "./slots.js";
import { numbered } from "../paths.js";

export type { Lowered } from "./lowered.js";

const BATCH = "batch";
const RMS_EPSILON = 1e-6;

/**
 * `gating`: what is left of a model that shrinks, and what may still close. `gains`: as gains are measured, with a node
 * of its own for every stream before a connection, and for what is held there.
 */
export function lower(model: TypedModel, b: Builder, batch: number, gating: Gating = ungated, gains = false): Lowered {
  const ids = new Map<Axis, string>();
  const label = (axis: Axis): string => {
    let id = ids.get(axis);
    if (id === undefined) {
      id = `a${ids.size}`;
      ids.set(axis, id);
    }
    return id;
  };
  const sizes = new Map<string, number>([[BATCH, batch]]);
  const labelsOf = (axes: readonly Axis[]): string[] =>
    axes.map((axis) => {
      sizes.set(label(axis), shrinking.left(axis) ?? number(axis.size));
      return label(axis);
    });

  const values = new Map<Tensor, Labelled>();
  const byTensor = new Map<Tensor, Parameter>(model.parameters.map((parameter) => [parameter.tensor, parameter]));
  const inputs = new Map<string, Node>();
  const uses = new Map<string, Use[]>();
  const use = (name: string, own: Use): void => void (watching || uses.set(name, [...(uses.get(name) ?? []), own]));
  const parameters = createParameters(model, b, use);
  const shrinking = createShrinking(model, gating, inThisLayer);
  /** Tensors that are the image of a map. */
  const maps = new Map<Tensor, Extract<Typed, { readonly kind: "map" }>>();
  const chains = new Map<Tensor, Connection[]>();
  const repeats = new Map<string, number>();
  /** Which instances are the blocks of the connection or update that is being lowered, and their uses so far. */
  let wrapped: {
    readonly holds: (instance: Instance) => boolean;
    readonly uses: Connection["blocks"][number][];
  } | null = null;
  /** What the page does to its streams, in order. */
  const mixings = mixingsIn(model.statements);
  const lent: Lent = {
    b,
    batch: BATCH,
    labelsOf,
    evaluate,
    onto,
    gatesOf: shrinking.gatesOf,
    sizeOf: (own) => sizes.get(own)!,
    alias: (axis, of) => void sizes.set(label(axis), sizes.get(labelsOf([of])[0]!)!),
    mapOf: (e) => (e.kind === "map" ? e : e.kind === "tensor" ? (maps.get(e.tensor) ?? null) : null),
  };
  const held = new Set<Node>();
  /** The calls of the connection being lowered whose results are held. */
  let holding: ReadonlySet<Typed> | null = null;
  /** While a mix is made to be watched, nothing is used anew. */
  let watching = false;
  let indices: number[] = [];
  /** `layers.*` */
  let repeatPath = "";
  const heads: Head[] = [];

  for (const statement of model.statements) run(statement);
  const perExample = model.loss ? evaluate(model.loss) : null;
  const losses = perExample ? onto(perExample, [BATCH]) : null;
  const outputs = new Map(
    model.outputs.map(({ name, axes, value }) => [name, onto(evaluate(value), [BATCH, ...labelsOf(axes)])]),
  );
  // Every parameter is there, also one that nothing reads, so that a checkpoint has all that the page declares.
  for (const parameter of model.parameters)
    inEveryLayer(
      repeatsOf(parameter.name),
      () => void (shrinking.isThere(inThisLayer(parameter.name)) && fromParameter(parameter)),
    );
  return {
    parameters: [...parameters.declared.values()],
    losses,
    loss: losses ? b.mean(losses, [0]) : null,
    heads,
    inputs,
    outputs,
    constraints: new Map(
      [...uses].map(([name, all]) => [
        name,
        largestOf(
          b,
          all.map(({ distances }) => distances),
        ),
      ]),
    ),
    uses,
    chains: [...chains.values()],
    held,
    weights: parameters.weights,
    repeats,
    ...parameters.adaptations(),
  };

  function run(statement: Statement): void {
    switch (statement.kind) {
      case "let":
        values.set(statement.tensor, labelled(statement.value, statement.tensor.axes));
        return;
      case "apply":
        return change(statement, (instance) => instance.path === statement.path);
      case "update": {
        const called = instancesIn(statement.value);
        return change(statement, (instance) => called.has(instance));
      }
      case "repeat": {
        const count = number(statement.count);
        repeats.set(statement.name, count);
        repeatPath += `${repeatPath && "."}${statement.name}.*`;
        for (let i = 0; i < count; i++) {
          indices.push(i);
          if (shrinking.around(repeatPath)) statement.body.forEach(run);
          indices.pop();
        }
        repeatPath = repeatPath.slice(0, -(statement.name.length + 2)).replace(/\.$/, "");
        return;
      }
      default:
        statement satisfies never;
    }
  }

  /** Gives a stream its new value, and writes down what recompute and monitors need to know of it. */
  function change(statement: Applied, holds: (instance: Instance) => boolean): void {
    const { stream, value, path } = statement;
    const gates = shrinking.around(path);
    if (gates === null) return;
    const gate = gates.length ? gates.reduce((x, y) => b.mul(x, y)) : null;
    const labels = [BATCH, ...labelsOf(stream.axes)];
    if (gains) values.set(stream, { node: ofItsOwn(b, onto(tensor(stream), labels), "stream"), labels });
    const before = tensor(stream);
    const blocks: Connection["blocks"][number][] = [];
    wrapped = { holds, uses: blocks };
    holding = gains ? heldIn(value, stream) : null;
    const after = b.within({ block: inThisLayer(path), phase: "forward" }, () => {
      const made = labelled(value, stream.axes);
      if (!gate) return made;
      const [off, on] = together(before, made);
      return { node: between(b, gate, off.node, on.node), labels: on.labels };
    });
    [wrapped, holding] = [null, null];
    values.set(stream, after);
    chains.set(stream, [
      ...(chains.get(stream) ?? []),
      { before: before.node, after: after.node, blocks, stream: stream.name, mix: mixOf(statement, gate) },
    ]);
  }

  /** Runs a part once for every layer of these repeats, the outermost first. */
  function inEveryLayer([repeat, ...inner]: readonly string[], part: () => void): void {
    if (repeat === undefined) return part();
    for (let i = 0; i < repeats.get(repeat)!; i++) {
      indices.push(i);
      inEveryLayer(inner, part);
      indices.pop();
    }
  }

  /** The mix of the connection that has just been lowered. */
  function mixOf(statement: Applied, gate: Node | null): Connection["mix"] {
    const mixing = mixings.get(statement)!;
    const all = [...mixings].flatMap(([{ stream }, own]) => (stream === statement.stream ? [own] : []));
    if (mixing.kind === "unknown" || unwatched(all) !== null) return { kind: "unknown" };
    if (isIdentity(mixing)) return { kind: "identity" };
    const lane = laneOf(all);
    watching = true;
    const { node, outer } = mixNode(lent, mixing, lane);
    watching = false;
    return { kind: "matrix", lane: lane ?? 0, outer, node: gate ? between(b, gate, unit(b, node.shape), node) : node };
  }

  /** The same values, which no derivative goes through. */
  function hold(value: Labelled): Labelled {
    const node = ofItsOwn(b, value.node, "held");
    held.add(node);
    return { ...value, node };
  }

  /** A value on exactly these axes, and the batch if it has it. */
  function labelled(e: Typed, axes: readonly Axis[]): Labelled {
    const value = evaluate(e);
    const labels = [...(value.labels.includes(BATCH) ? [BATCH] : []), ...labelsOf(axes)];
    return { node: onto(value, labels), labels };
  }

  /** Repeats and reorders to exactly these labels. */
  function onto(value: Labelled, labels: readonly string[]): Node {
    const all = [...value.labels, ...labels.filter((own) => !value.labels.includes(own))];
    return arrange(b, { node: spread(b, value, all, sizes), labels: all }, labels).node;
  }

  function tensor(t: Tensor): Labelled {
    const parameter = byTensor.get(t);
    if (parameter) return fromParameter(parameter);
    const known = values.get(t);
    if (known) return known;
    if (t.kind !== "data" && t.kind !== "input") throw new Error(`model: ${t.name} has no value`);
    const labels = [BATCH, ...labelsOf(t.axes)];
    const node = b.input(
      t.name,
      labels.map((own) => sizes.get(own)!),
      t.dtype,
    );
    inputs.set(t.name, node);
    const value = { node, labels };
    values.set(t, value);
    return value;
  }

  /** A name with the numbers of the layers in place of its stars. */
  function inThisLayer(name: string): string {
    return numbered(name, indices);
  }

  function fromParameter(parameter: Parameter): Labelled {
    const name = inThisLayer(parameter.name);
    const labels = labelsOf(parameter.tensor.axes);
    return {
      node: parameters.value(
        parameter,
        name,
        labels.map((own) => sizes.get(own)!),
        shrinking.cutsOf(parameter.tensor.axes),
      ),
      labels,
    };
  }

  function evaluate(e: Typed): Labelled {
    return b.at(e.span, () => lowered(e));
  }

  function lowered(e: Typed): Labelled {
    switch (e.kind) {
      case "number":
        return { node: b.constant(e.value), labels: [] };
      case "scalar":
        return { node: b.constant(e.scalar.value()), labels: [] };
      case "size":
        return { node: b.constant(number(e.size)), labels: [] };
      case "position": {
        const labels = labelsOf([e.axis]);
        return {
          node: b.cast(
            b.iota(
              labels.map((own) => sizes.get(own)!),
              0,
            ),
            "f32",
          ),
          labels,
        };
      }
      case "tensor":
        return renamed(tensor(e.tensor), e.axes);
      case "relabel":
        return renamed(labelled(e.a, e.from), e.axes);
      case "gather": {
        const index = evaluate(e.index);
        const table = tensor(e.table);
        if (table.labels.includes(BATCH)) throw new Error("model: a table that comes from the data cannot be indexed");
        return { node: b.gather(table.node, index.node), labels: [...index.labels, ...labelsOf(e.axes)] };
      }
      case "unary": {
        const a = evaluate(e.a);
        return { node: activation(b, e.f, a.node), labels: a.labels };
      }
      case "binary": {
        const [x, y] = together(evaluate(e.a), evaluate(e.b));
        const labels = x.labels;
        if (e.f === "^") return { node: power(b, x.node, y.node), labels };
        return { node: compared(b, e.f, x.node, y.node), labels };
      }
      case "product":
        return product(e);
      case "reduce":
        return reduction(e);
      case "where":
        throw new Error("model: a `where` stands under a reducer");
      case "call": {
        const value = renamed(instance(e.instance, e.args), e.axes);
        return holding?.has(e) ? hold(value) : value;
      }
      case "map": {
        const { free, mapped } = map(e);
        use(e.name, {
          distances: e.manifold.set.violation(b, mapped.node, parameters.settingOf(e.manifold)),
          points: mapped.node,
          free,
        });
        return holding ? hold(mapped) : mapped;
      }
      case "distance":
        return distanceOf(b, e, together(evaluate(e.a), evaluate(e.b)), labelsOf(e.point), {
          onto,
          setting: parameters.settingOf(e.manifold),
        });
      case "cross_entropy":
        return crossEntropy(e);
      default:
        return e satisfies never;
    }
  }

  /** The same node under the labels of other axes; the batch label stays. */
  function renamed(value: Labelled, axes: readonly Axis[]): Labelled {
    const own = labelsOf(axes);
    let i = 0;
    return { node: value.node, labels: value.labels.map((old) => (old === BATCH ? BATCH : own[i++]!)) };
  }

  function together(x: Labelled, y: Labelled): [Labelled, Labelled] {
    const all = [...new Set([...x.labels, ...y.labels])];
    const labels = all.includes(BATCH) ? [BATCH, ...all.filter((own) => own !== BATCH)] : all;
    return [
      { node: onto(x, labels), labels },
      { node: onto(y, labels), labels },
    ];
  }

  function product(e: Extract<Typed, { readonly kind: "product" }>): Labelled {
    const factors = e.factors.map(({ e: factor, inverse }): Labelled => {
      const value = evaluate(factor);
      return inverse ? { node: b.div(b.fill(1, value.node.shape), value.node), labels: value.labels } : value;
    });
    const gone = new Set(labelsOf(e.summed));
    for (const axis of e.summed) if (!mixes(e, axis)) gateProduct(e, factors, axis);
    const all = [...new Set(factors.flatMap(({ labels }) => labels))].filter((own) => !gone.has(own));
    const out = all.includes(BATCH) ? [BATCH, ...all.filter((own) => own !== BATCH)] : all;
    return contractAll(b, factors, out);
  }

  /**
   * Multiplies what is summed over an axis by its gates: a parameter where there is one, since that is the smallest.
   */
  function gateProduct(e: Extract<Typed, { readonly kind: "product" }>, factors: Labelled[], axis: Axis): void {
    const node = shrinking.gatesOf(axis);
    if (!node) return;
    const gates = { node, labels: labelsOf([axis]) };
    const at = e.factors.findIndex(
      ({ e: factor, inverse }) =>
        !inverse && factor.kind === "tensor" && factor.tensor.kind === "parameter" && factor.axes.includes(axis),
    );
    if (at < 0) factors.push(gates);
    else factors[at] = multiply(b, factors[at]!, gates);
  }

  /**
   * Whether the sum over an axis of gated units is by a matrix of a set that leaves closed units to themselves
   * (`set.units`): then no other gate is needed.
   */
  function mixes(e: Extract<Typed, { readonly kind: "product" }>, axis: Axis): boolean {
    return e.factors.some(({ e: factor }) => {
      const at = axesOf(factor).indexOf(axis);
      const map = factor.kind === "map" ? factor : factor.kind === "tensor" ? maps.get(factor.tensor) : undefined;
      return map !== undefined && at >= map.axes.length - rankOf(map.manifold.set.point);
    });
  }

  function reduction(e: Extract<Typed, { readonly kind: "reduce" }>): Labelled {
    const guarded = e.a.kind === "where";
    let value = evaluate(guarded ? (e.a as Extract<Typed, { kind: "where" }>).a : e.a);
    let present: Node | null = null;
    if (e.a.kind === "where") {
      const condition = evaluate(e.a.condition);
      const [x, y] = together(value, condition);
      value = x;
      present = y.node;
    }
    const gates = e.axes.flatMap((axis) => {
      const node = shrinking.gatesOf(axis);
      return node ? [{ node, labels: labelsOf([axis]) }] : [];
    });
    const axes = labelsOf(e.axes).map((own) => value.labels.indexOf(own));
    const labels = value.labels.filter((_, axis) => !axes.includes(axis));
    const gated = (x: Node): Node => gates.reduce((product, gate) => b.mul(product, onto(gate, value.labels)), x);
    // Units that are gone were counted: a mean divides by as many as there were.
    const count = (): number => e.axes.reduce((product, axis) => product * number(axis.size), 1);
    const mean = (x: Node): Node => {
      const total = b.sum(gated(x), axes);
      return b.mul(total, b.fill(1 / count(), total.shape));
    };
    const kept = value.labels.map((_, axis) => axis).filter((axis) => !axes.includes(axis));
    const masked = (neutral: number): Node =>
      present ? b.select(present, value.node, b.fill(neutral, value.node.shape)) : value.node;
    switch (e.f) {
      case "sum":
        return { node: b.sum(gated(masked(0)), axes), labels };
      case "max":
        return { node: b.reduceMax(masked(ABSENT), axes), labels };
      case "mean": {
        if (!present) return { node: mean(value.node), labels };
        return { node: b.div(b.sum(gated(masked(0)), axes), b.sum(b.cast(present, "f32"), axes)), labels };
      }
      case "rms": {
        const squares = mean(b.mul(value.node, value.node));
        return { node: b.sqrt(b.add(squares, b.fill(RMS_EPSILON, squares.shape))), labels };
      }
      case "softmax": {
        // The table's softmax works along the last axis: the softened axes go last, as one.
        const x = masked(ABSENT);
        const order = [...kept, ...axes];
        const moved = b.transpose(x, order);
        const outer = kept.map((axis) => x.shape[axis]!);
        const flat = b.reshape(moved, [...outer, axes.reduce((size, axis) => size * x.shape[axis]!, 1)]);
        const back = b.reshape(b.softmax(flat), moved.shape);
        return {
          node: b.transpose(
            back,
            order.map((_, axis) => order.indexOf(axis)),
          ),
          labels: value.labels,
        };
      }
      default:
        return e.f satisfies never;
    }
  }

  function instance(made: Instance, args: readonly Typed[]): Labelled {
    const bound = args.map((arg, i) => labelled(arg, made.formals[i]!.axes));
    // An instance's tensors are its own, but inside a repeat the instance is lowered many times: old values go.
    made.formals.forEach((formal, i) => values.set(formal, bound[i]!));
    const result = b.within({ block: inThisLayer(made.path), phase: "forward" }, () => {
      for (const { tensor: own, value } of made.body) {
        values.set(own, labelled(value, own.axes));
        if (value.kind === "map") maps.set(own, value);
      }
      return labelled(made.result, made.axes);
    });
    if (!watching && bound.length && wrapped?.holds(made))
      wrapped.uses.push({ inputs: bound.map(({ node }) => node), output: result.node });
    return result;
  }

  function map(e: Extract<Typed, { readonly kind: "map" }>): {
    readonly free: readonly Node[];
    readonly mapped: Labelled;
  } {
    const axes = labelsOf(e.axes);
    const { set, options } = e.manifold;
    const outer = e.axes.slice(0, e.axes.length - rankOf(set.point));
    const free = e.a ? labelled(e.a, [...outer, ...e.free]) : null;
    const labels = [...(free?.labels.includes(BATCH) ? [BATCH] : []), ...axes];
    const shape = labels.map((own) => sizes.get(own)!);
    const pieces = set.free(
      axes.slice(outer.length).map((own) => known(sizes.get(own)!)),
      options,
    );
    if ("error" in pieces) throw new Error(`model: ${set.name} ${pieces.error}`);
    const many = shape.slice(0, shape.length - rankOf(set.point));
    const nodes = free ? [b.reshape(free.node, [...many, ...pieces[0]!.shape.map(number)])] : [];
    const gates = shrinking.gatesOf(e.axes[e.axes.length - 1]!);
    const apart = gates && set.units?.(options);
    const open = apart && nodes[0] ? [apart(b, nodes[0], gates)] : nodes;
    return { free: nodes, mapped: { node: set.map(b, open, shape, parameters.settingOf(e.manifold)), labels } };
  }

  function crossEntropy(e: Extract<Typed, { readonly kind: "cross_entropy" }>): Labelled {
    const target = evaluate(e.target);
    const batched = target.labels.includes(BATCH) ? target.labels : [BATCH, ...target.labels];
    const labels = [...batched, ...labelsOf([e.classes])];
    const scores = onto(evaluate(e.logits), labels);
    const head = headOf(heads, e, scores);
    if (head) heads.push(head);
    const loss = b.crossEntropy(scores, onto(target, batched));
    return { node: b.mean(loss, loss.shape.map((_, axis) => axis).slice(1)), labels: [BATCH] };
  }
}
