/**
 * Typed model to graph: `repeat` is unrolled, sizes become numbers, labelled tensors become nodes. The state that the
 * functions of this room share is described in `state.ts`; statements are lowered in `statements.ts`, what stands in
 * them in `expressions.ts`, and this file begins and ends.
 */
import type { Builder } from "../../graph/builder.js";
import { largestOf } from "../../graph/combine.js";
import type { Node } from "../../graph/node.js";
import { mixingsIn } from "../mixing.js";
import { countsOf, repeatsOf } from "../paths.js";
import type { TypedModel } from "../typed.js";
import { evaluate, valueOfParameter } from "./expressions.js";
import { asFloats } from "./functions.js";
import type { Lowered } from "./lowered.js";
import { parameterState } from "./parameters.js";
import { adaptedOf } from "./settings.js";
import { gateState, isThere, ungated, type Gating } from "./slots.js";
import { BATCH, inThisLayer, labelsOf, noteUse, onto, type PageLowering } from "./state.js";
import { inEveryLayer, runAll } from "./statements.js";
import { metricsOf, termsOf } from "./terms.js";

export { mapLowered, type Lowered } from "./lowered.js";

/** What lowering is asked for, beside the model. */
export interface LowerOptions {
  /** Examples in a batch. */
  readonly batch: number;
  /** The units that shrinking has left, and the gates that may still close; absent for a model that does not shrink. */
  readonly gating?: Gating;
  /** As gains are measured: a node of its own for every stream before a connection, and for what is held there. */
  readonly gains?: boolean;
  /** As a training step computes it: what draws random numbers does. Elsewhere it is the value itself. */
  readonly draws?: boolean;
}

/** The nodes of a page, made by `b`. Throws when a size or a fact that the page needs is not known. */
export function lower(model: TypedModel, b: Builder, options: LowerOptions): Lowered {
  const state = begin(model, b, options);
  runAll(state, model.statements);
  // A `repeat` in a branch that is not taken has no layers.
  for (const name of countsOf(model.statements).keys()) if (!state.repeats.has(name)) state.repeats.set(name, 0);
  const terms = model.loss ? termsOf(state, model) : new Map<string, Node>();
  const perExample = model.loss ? evaluate(state, model.loss) : null;
  const losses = perExample ? asFloats(b, onto(state, perExample, [BATCH])) : null;
  const outputs = new Map(
    model.outputs.map(({ name, axes, value }) => [
      name,
      asFloats(b, onto(state, evaluate(state, value), [BATCH, ...labelsOf(state, axes)])),
    ]),
  );
  const metrics = model.loss ? metricsOf(state, model) : new Map<string, Node>();
  declareAll(state, model);
  const { parameters, heads, inputs, uses, chains, held, repeats } = state;
  const loss = losses ? b.mean(losses, [0]) : null;
  const constraints = new Map(
    [...uses].map(([name, usesOfSet]) => [
      name,
      largestOf(
        b,
        usesOfSet.map(({ distances }) => distances),
      ),
    ]),
  );
  return {
    parameters: [...parameters.declared.values()],
    losses,
    loss,
    terms,
    metrics,
    heads,
    inputs,
    outputs,
    constraints,
    uses,
    chains: [...chains.values()],
    held,
    weights: parameters.weights,
    repeats,
    ...adaptedOf(parameters.settings),
  };
}

/** The state before anything has been lowered. */
function begin(
  model: TypedModel,
  b: Builder,
  { batch, gating = ungated, gains = false, draws = false }: LowerOptions,
): PageLowering {
  const layers: number[] = [];
  const state: PageLowering = {
    b,
    gains,
    draws,
    sites: new Map(),
    parameters: parameterState(model, b, (name, use) => noteUse(state, name, use)),
    gates: gateState(model, gating, layers),
    parameterOf: new Map(model.parameters.map((parameter) => [parameter.tensor, parameter])),
    mixings: mixingsIn(model.statements),
    labels: new Map(),
    sizes: new Map([[BATCH, batch]]),
    values: new Map(),
    earlier: new Map(),
    recurrences: 0,
    maps: new Map(),
    inputs: new Map(),
    uses: new Map(),
    chains: new Map(),
    held: new Set(),
    heads: [],
    losses: new Map(),
    repeats: new Map(),
    layers,
    counters: [],
    repeatPath: "",
    wrapped: null,
    connecting: false,
    holding: null,
    watching: false,
  };
  return state;
}

/** Every parameter is there, also one that nothing reads, so that a checkpoint has all that the page declares. */
function declareAll(state: PageLowering, { parameters }: TypedModel): void {
  for (const parameter of parameters) {
    inEveryLayer(state, parameter.around ?? repeatsOf(parameter.name), () => {
      if (isThere(state.gates, inThisLayer(state, parameter.name))) valueOfParameter(state, parameter);
    });
  }
}
